/* Where references begin that no object has. */
#include "heap/roots.h"

#include <sys/uio.h>
#include <unistd.h>

#include "heap/dict_entries.h"
#include "heap/shape.h"

int rft_root_give(const struct rft_roots *roots, unsigned char kind, const char *label,
                  const char *detail, const void *target, bool counted)
{
    struct rft_root root = {.kind = kind,
                            .label = label,
                            .label_length = label != NULL ? strlen(label) : 0,
                            .detail = detail,
                            .detail_length = detail != NULL ? strlen(detail) : 0,
                            .target = target,
                            .counted = counted};
    return target != NULL ? roots->visit(&root, roots->arg) : 0;
}

static bool read_checked(const char *from, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* A program that is not position-independent has its data and malloc's memory from 4 MiB on, so
 * that a pointer to these looks like a refcount: of some million references, from memory of the
 * interpreter, to what else would be such an address. */
static bool is_low_address(uint32_t refcount)
{
    enum { LOWEST = 4 << 20 };
    char byte;
    return refcount >= LOWEST && refcount <= INT32_MAX && refcount % 8 == 0 &&
           read_checked((const char *)(uintptr_t)refcount, &byte, 1);
}

/* A free block's first word is 0 or a pointer, which no refcount looks like: with a GIL it is 32
 * bits, above which 3.14+ has flags and an overflow count (Include/object.h). */
bool rft_is_object(const char *op)
{
    const uint32_t *at = rft_heap.layout.at;
    unsigned char head[16];
    if ((uintptr_t)op < 4096 || (uintptr_t)op % 8 != 0 || !read_checked(op, head, sizeof head)) {
        return false;
    }
    uint64_t refcount = (uint64_t)word_at(head, 0);
    uint64_t foreign =
        rft_heap.layout.version >= 0x030E0000 ? refcount >> 32 & 0xFFFF : refcount >> 32;
    const char *type = pointer_at(head, at[RFT_OBJECT_TYPE]), *metatype;
    if ((uint32_t)refcount == 0 || foreign != 0 || is_low_address((uint32_t)refcount) ||
        (uintptr_t)type < 4096 || (uintptr_t)type % 8 != 0 ||
        !read_checked(type + at[RFT_OBJECT_TYPE], &metatype, sizeof metatype)) {
        return false;
    }
    if (metatype == rft_heap.type_type) {
        return true;
    }
    uint64_t flags;
    const char *above;
    return (uintptr_t)metatype >= 4096 && (uintptr_t)metatype % 8 == 0 &&
           read_checked(metatype + at[RFT_OBJECT_TYPE], &above, sizeof above) &&
           above == rft_heap.type_type &&
           read_checked(metatype + at[RFT_TYPE_FLAGS], &flags, sizeof flags) && flags & TYPE_TYPE;
}

/* _Py_IsImmortal (Include/refcount.h): the lower half's sign. */
static bool is_immortal(const char *op)
{
    int32_t low;
    memcpy(&low, op, sizeof low);
    return low < 0;
}

int rft_roots_in(const struct rft_roots *roots, const char *from, const char *to,
                 unsigned char kind, const char *label, const char *detail)
{
    int stop = 0;
    for (; from + 8 <= to && stop == 0; from += 8) {
        const char *op = pointer_at(from, 0);
        if (rft_is_object(op) && !is_immortal(op)) {
            stop = rft_root_give(roots, kind, label, detail, op, true);
        }
    }
    return stop;
}

/* sys.modules' modules by their names: references of that dict, told as roots too, so that a
 * path begins with the module. */
static int modules(const struct rft_roots *roots)
{
    const char *dict = pointer_at(roots->interpreter, rft_heap.layout.at[RFT_INTERP_MODULES]);
    struct rft_dict_entries d = {.count = 0};
    if (dict != NULL && type_flags(type_of(dict)) & TYPE_DICT) {
        rft_dict_open(dict, &d);
    }
    int stop = 0;
    for (size_t i = 0; i < d.count && stop == 0; i++) {
        const char *module = rft_dict_value(&d, i);
        if (module != NULL && module != rft_heap.none) {
            char name[160];
            size_t length = rft_text(rft_dict_key(&d, i), name, sizeof name - 1);
            name[length] = 0;
            stop = rft_root_give(roots, RFT_ROOT_MODULE, name, NULL, module, false);
        }
    }
    return stop;
}

/* Strings that are immortal because they are interned: the only ones that this keeps alive. */
static int interned(const struct rft_roots *roots)
{
    int stop = 0;
    for (int k = 0; k < RFT_INTERNED_MAX && rft_heap.interned[k] != NULL; k++) {
        struct rft_dict_entries d;
        rft_dict_open(rft_heap.interned[k], &d);
        for (size_t i = 0; i < d.count && stop == 0; i++) {
            const char *text = rft_dict_value(&d, i);
            if (text != NULL && is_immortal(text)) {
                stop = rft_root_give(roots, RFT_ROOT_INTERNED, NULL, NULL, text, false);
            }
        }
    }
    return stop;
}

/* struct atexit_state behind struct _warnings_runtime_state {filters, once_registry,
 * default_action, lock, filters_version, since 3.14 context}, which the module _warnings gives
 * away. Each warning puts there what the module warnings has: within warnings.catch_warnings()
 * that is another list of filters. Two of three tell the place.
 * The callbacks are a list of tuples since 3.14; in 3.13 a C array of pointers to
 * {function, args, kwargs}. */
static const char *find_warnings(const struct rft_roots *roots)
{
    static const char *const names[] = {"filters", "_onceregistry", "_defaultaction"};
    static const char *const changed[] = {"filters", "onceregistry", "defaultaction"};
    const char *dict = rft_module_dict(roots->interpreter, "_warnings");
    const char *module = rft_module_dict(roots->interpreter, "warnings");
    const char *end = roots->interpreter + rft_heap.layout.at[RFT_INTERP_SIZE];
    const char *known[3], *other[3];
    for (size_t i = 0; i < 3; i++) {
        known[i] = rft_dict_find(dict, names[i]);
        other[i] = rft_dict_find(module, changed[i]);
    }
    for (const char *at = roots->interpreter; at + 128 <= end; at += 8) {
        int same = 0;
        for (size_t i = 0; i < 3; i++) {
            const char *op = pointer_at(at, 8 * i);
            same += op != NULL && (op == known[i] || op == other[i]);
        }
        if (same >= 2) {
            return at;
        }
    }
    return NULL;
}

static int atexit_3_13(const struct rft_roots *roots, const char *state)
{
    const char *callbacks = pointer_at(state, 16);
    int32_t count;
    memcpy(&count, state + 24, sizeof count);
    int stop = 0;
    for (int32_t i = 0; i < count && count < 1 << 20 && callbacks != NULL && stop == 0; i++) {
        const char *callback;
        if (!read_checked(callbacks + 8 * i, &callback, sizeof callback)) {
            break;
        }
        for (size_t k = 0; k < 3 && callback != NULL && stop == 0; k++) {
            const char *op;
            if (read_checked(callback + 8 * k, &op, sizeof op) && rft_is_object(op)) {
                stop = rft_root_give(roots, RFT_ROOT_ATEXIT, NULL, NULL, op, true);
            }
        }
    }
    return stop;
}

/* The caches of an interpreter hold functions and code objects by their version, and a few
 * builtin functions, without owning them (struct _py_func_state, struct callable_cache). Weak
 * references are the first ones of lists (tp_weaklist). */
static bool is_borrowed(const char *op)
{
    const char *type = type_of(op);
    return type == rft_heap.function_type || type == rft_heap.code_type ||
           type == rft_heap.builtin_type || type == rft_heap.method_type ||
           type == rft_heap.wrapper_type || type == rft_heap.weakref_type;
}

/* Whether the collector's list has it, by the head before it: its neighbour points back. */
static bool is_tracked(const char *op)
{
    enum { HEAD_SIZE = 16, FLAGS = 3 };
    uintptr_t next, back;
    return read_checked(op - HEAD_SIZE, &next, sizeof next) && (next &= ~(uintptr_t)FLAGS) != 0 &&
           read_checked((const char *)(next + 8), &back, sizeof back) &&
           (back & ~(uintptr_t)FLAGS) == (uintptr_t)op - HEAD_SIZE;
}

/* 3.13 keeps freed objects in arrays (struct _Py_object_freelists), whose rest has pointers to
 * some that live again, and to memory that has been given back and is anything now: an int that
 * is the address of a class has that where an object has its type. Of the types that it does so
 * with nothing is believed there; of others, what is tracked: classes, and the AST's constants. */
static bool maybe_free(const char *op)
{
    uint64_t flags = type_flags(type_of(op));
    bool other = flags & TYPE_STR || (flags & (TYPE_HEAP | TYPE_TYPE) && is_tracked(op));
    return !is_interned_dict(op) && !other;
}

/* Types by their version, since 3.14: type_version_cache[4096], which does not own them (struct
 * types_state). It lies behind the states of static types, where no table tells: the first
 * types there are at the place of their version, most of them, so they tell where it begins. */
enum { VERSIONS_SIZE = 4096 * 8, VERSIONS_NEAR = 64 << 10, VERSIONS_ASKED = 64 };

static const char *find_versions(const char *states_end, const char *end)
{
    const char *begins[VERSIONS_ASKED];
    int count = 0, best = 0;
    const char *found = states_end;
    for (const char *word = states_end;
         word + 8 <= end && word < states_end + VERSIONS_NEAR && count < VERSIONS_ASKED;
         word += 8) {
        const char *op = pointer_at(word, 0);
        if (op == NULL || !rft_is_object(op) || !(type_flags(type_of(op)) & TYPE_TYPE)) {
            continue;
        }
        uint32_t version;
        memcpy(&version, op + tp(TP_VERSION_TAG), sizeof version);
        begins[count++] = word - (size_t)8 * (version % 4096);
    }
    for (int i = 0; i < count; i++) {
        int votes = 0;
        for (int k = 0; k < count; k++) {
            votes += begins[k] == begins[i];
        }
        if (votes > best) {
            best = votes;
            found = begins[i];
        }
    }
    return found;
}

/* Everything else that the interpreter's own memory refers to. Left out: what has been told
 * already, the array of static types and the caches beside it (borrowed), the cache of builtin
 * functions (borrowed), and thread states inside of it. */
static int interpreter(const struct rft_roots *roots, const struct rft_static_types *types)
{
    const uint32_t *at = rft_heap.layout.at;
    uint32_t minor = rft_heap.layout.version >> 16 & 0xFF;
    const char *base = roots->interpreter, *end = base + at[RFT_INTERP_SIZE];
    const char *warnings = find_warnings(roots);
    const char *atexit = warnings != NULL ? warnings + (minor == 13 ? 40 : 64) : NULL;
    const char *borrowed = types->states != NULL ? types->states + 48 * types->count : end;
    const char *versions = minor >= 14 && borrowed < end ? find_versions(borrowed, end) : end;
    const char *thread = pointer_at(base, at[RFT_INTERP_THREADS]);
    for (int i = 0; thread != NULL && i < 1 << 20; i++) {
        if (thread >= base && thread < end) {
            end = thread;
        }
        thread = pointer_at(thread, at[RFT_THREAD_NEXT]);
    }
    const struct {
        const char *at, *label;
        unsigned char kind;
    } named[] = {
        {base + at[RFT_INTERP_MODULES], "sys.modules", RFT_ROOT_INTERPRETER},
        {base + at[RFT_INTERP_MODULES] + 8, "modules by index", RFT_ROOT_INTERPRETER},
        {base + at[RFT_INTERP_MODULES] + 16, "importlib", RFT_ROOT_INTERPRETER},
        {base + at[RFT_INTERP_SYSDICT], NULL, RFT_ROOT_SYS},
        {base + at[RFT_INTERP_BUILTINS], NULL, RFT_ROOT_BUILTINS},
        {warnings, "warnings.filters", RFT_ROOT_INTERPRETER},
        {atexit != NULL && minor >= 14 ? atexit + 8 : NULL, NULL, RFT_ROOT_ATEXIT},
    };
    int stop = 0;
    for (const char *word = base; word + 8 <= end && stop == 0; word += 8) {
        if (types->states != NULL && word >= types->cache && word < borrowed) {
            word = borrowed - 8;
            continue;
        }
        const char *op = pointer_at(word, 0);
        if (op == NULL || !rft_is_object(op) || is_immortal(op)) {
            continue;
        }
        if (is_borrowed(op) ||
            (minor == 13 && word > atexit && (types->states == NULL || word < types->cache) &&
             maybe_free(op)) ||
            (word >= versions && word < versions + VERSIONS_SIZE)) {
            continue;
        }
        size_t i = 0;
        while (i < sizeof named / sizeof *named && named[i].at != word) {
            i++;
        }
        stop = i < sizeof named / sizeof *named
                   ? rft_root_give(roots, named[i].kind, named[i].label, NULL, op, true)
                   : rft_root_give(roots, RFT_ROOT_INTERPRETER,
                                   is_interned_dict(op) ? "interned strings" : "internal state",
                                   NULL, op, true);
    }
    if (stop == 0 && atexit != NULL && minor == 13) {
        stop = atexit_3_13(roots, atexit);
    }
    return stop;
}

int rft_roots_each(void *tstate, int (*visit)(const struct rft_root *root, void *arg), void *arg)
{
    struct rft_roots roots = {visit, arg,
                              pointer_at(tstate, rft_heap.layout.at[RFT_THREAD_INTERP])};
    struct rft_static_types types;
    rft_static_types_find(roots.interpreter, &types);
    int stop = modules(&roots);
    stop = stop != 0 ? stop : rft_roots_threads(&roots);
    stop = stop != 0 ? stop : rft_roots_types(&roots, &types);
    stop = stop != 0 ? stop : interpreter(&roots, &types);
    return stop != 0 ? stop : interned(&roots);
}

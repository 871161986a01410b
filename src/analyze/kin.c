/* What grows together: an instance that is kept keeps its dict, its strings and
 * lists. One of them is shown, the others stand beneath it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/growing.h"

/* Two growths have one shape if, at the end of every window, the shares of their
 * growth that have happened differ by no more than this. */
#define SHAPE_DIFFERENCE 0.15
/* Plain things beside an instance may grow in a few steps: of numbers, only those are
 * born that were not there before. */
#define SHAPE_DIFFERENCE_PLAIN 0.35
/* They are compared from where the later one begins: numbers up to 256 (or 1024) are
 * made once for all, so the growth of numbers begins later than that of what holds
 * them. Its beginning is where more than STARTED of it has happened, and so much of
 * the other's growth must be left. */
#define STARTED 0.02
#define LEFT_MIN 0.3
/* Windows after which numbers begin late. */
#define LATE_WINDOWS 2
/* How far up a stack the other's function is looked for. Deeper ones are recursion. */
#define STACK_LOOK 256

struct candidate {
    const struct rft_accused *accused;
    int rank;
    bool taken;
};

/* How much an object of this type tells a person: an instance of a class, a class,
 * or what any program is full of. */
static int type_rank(const char *name)
{
    static const char *const plain[] = {
        "dict",
        "list",
        "tuple",
        "set",
        "frozenset",
        "str",
        "bytes",
        "bytearray",
        "int",
        "float",
        "complex",
        "bool",
        "NoneType",
        "object",
        "cell",
        "function",
        "method",
        "builtin_function_or_method",
        "method-wrapper",
        "wrapper_descriptor",
        "method_descriptor",
        "getset_descriptor",
        "member_descriptor",
        "classmethod_descriptor",
        "mappingproxy",
        "property",
        "classmethod",
        "staticmethod",
        "frame",
        "FrameLocalsProxy",
        "traceback",
        "code",
        "slice",
        "range",
        "range_iterator",
        "list_iterator",
        "tuple_iterator",
        "set_iterator",
        "str_iterator",
        "str_ascii_iterator",
        "dict_keyiterator",
        "dict_valueiterator",
        "dict_itemiterator",
        "dict_keys",
        "dict_values",
        "dict_items",
        "enumerate",
        "zip",
        "map",
        "filter",
        "reversed",
        "memoryview",
        "managedbuffer",
        "hamt",
        "hamt_bitmap_node",
        "Context",
        "weakref",
        "weakproxy",
        "weakref.ReferenceType",
        "weakref.ProxyType",
        "_contextvars.Context",
        "weakref.KeyedRef",
        "builtin_method",
        "coroutine_wrapper",
        "coroutine",
        "async_generator",
        "generator",
        "functools._lru_list_elem",
        "Token",
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (!strcmp(name, plain[i]))
            return 0;
    }
    /* Containers and locks of the library: parts of whatever is kept. */
    static const char *const parts[] = {
        "collections.deque", "collections.OrderedDict", "collections.defaultdict",
        "_thread.lock",      "_thread.RLock",           "threading.Condition",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!strcmp(name, parts[i]))
            return 2;
    }
    if (!strcmp(name, "type") || !strcmp(name, "abc.ABCMeta") || !strcmp(name, "enum.EnumType"))
        return 1;
    bool internal = name[0] == '_' && strncmp(name, "__main__.", 9) != 0;
    return !strchr(name, '.') || internal ? 2 : 3;
}

/* Whether a class is the program's own, as far as names tell: it is of __main__, or
 * of a package that the file belongs to. */
static bool is_own_class(const char *type, const char *file)
{
    size_t length = strcspn(type, ".");
    if (!type[length])
        return false;
    if (!strncmp(type, "__main__.", 9))
        return true;
    for (const char *at = file; (at = strchr(at, '/')); at++) {
        if (!strncmp(at + 1, type, length) &&
            (at[length + 1] == '/' || !strcmp(at + length + 1, ".py")))
            return true;
    }
    return false;
}

static const struct rft_site *shown(const struct rft_model *model,
                                    const struct rft_accused *accused)
{
    return &model->sites[accused->members[0]];
}

static int rank_of(const struct rft_model *model, const struct rft_accused *accused)
{
    const struct rft_site *site = shown(model, accused);
    const struct rft_frame *own = rft_model_frame(model, rft_model_own_node(model, site->stack));
    const char *type = model->types[site->type].name;
    bool own_line = own->origin == RFT_ORIGIN_OWN;
    return 4 * type_rank(type) + 2 * own_line + (own_line && is_own_class(type, own->file));
}

static int by_rank(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->rank != y->rank)
        return y->rank - x->rank;
    uint64_t p = x->accused->growth.grown_bytes, q = y->accused->growth.grown_bytes;
    if (p != q)
        return p < q ? 1 : -1;
    return (x->accused->members[0] > y->accused->members[0]) -
           (x->accused->members[0] < y->accused->members[0]);
}

static int by_bytes(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    uint64_t p = x->accused->growth.grown_bytes, q = y->accused->growth.grown_bytes;
    return p != q ? (p < q ? 1 : -1) : by_rank(a, b);
}

/* --- kinship ------------------------------------------------------------------------------- */

static bool same_function(const struct rft_frame *a, const struct rft_frame *b)
{
    /* Texts are kept once: equal ones have one address. */
    return a->file == b->file && a->function == b->function;
}

/* Whether the function of stack node `own` is on the stack of `node`. */
static bool calls(const struct rft_model *model, uint32_t own, uint32_t node)
{
    const struct rft_frame *wanted = rft_model_frame(model, own);
    for (unsigned i = 0; node && i < STACK_LOOK; i++, node = model->stacks[node].parent) {
        if (same_function(rft_model_frame(model, node), wanted))
            return true;
    }
    return false;
}

static bool same_shape(const struct rft_accused *a, const struct rft_accused *b, double difference)
{
    unsigned start = 0;
    while (start < RFT_WINDOWS && (a->reached[start] < STARTED || b->reached[start] < STARTED))
        start++;
    double base_a = start ? a->reached[start - 1] : 0, base_b = start ? b->reached[start - 1] : 0;
    if (1 - base_a < LEFT_MIN || 1 - base_b < LEFT_MIN)
        return false;
    for (unsigned w = start; w < RFT_WINDOWS; w++) {
        double share_a = (a->reached[w] - base_a) / (1 - base_a);
        double share_b = (b->reached[w] - base_b) / (1 - base_b);
        if (fabs(share_a - share_b) > difference)
            return false;
    }
    return true;
}

/* Whether `other` is made in the function of `one`, in what that calls, or in what
 * calls that. Everything is called by the module's own code: an instance of a class
 * needs a closer relation than that to be taken for a mere companion. */
static bool is_near(const struct rft_model *model, const struct rft_site *one,
                    const struct rft_site *other)
{
    uint32_t stack = one->stack, other_stack = other->stack;
    uint32_t own = rft_model_own_node(model, stack);
    uint32_t other_own = rft_model_own_node(model, other_stack);
    const struct rft_frame *frame = rft_model_frame(model, own);
    const struct rft_frame *other_frame = rft_model_frame(model, other_own);
    if (same_function(frame, other_frame))
        return true;
    bool instance = type_rank(model->types[other->type].name) >= 2;
    if (calls(model, own, other_stack))
        return !instance || strcmp(frame->function, "<module>") != 0;
    if (calls(model, other_own, stack))
        return !instance || strcmp(other_frame->function, "<module>") != 0;
    return false;
}

/* Where no line of the program's own is, as at the start of each thread, nothing
 * tells more of a plain thing than that it comes in step with the others. */
static bool is_nowhere(const struct rft_model *model, const struct rft_site *site)
{
    uint32_t own = rft_model_own_node(model, site->stack);
    return rft_model_frame(model, own)->origin != RFT_ORIGIN_OWN;
}

/* A companion may have companions of its own: a coroutine is made in the function
 * that starts the task, what it then makes is not. But only one that the leader's
 * function calls; from its callers on, everything would be kin. */
static bool passes_on(const struct rft_model *model, const struct rft_accused *leader,
                      const struct rft_accused *companion)
{
    uint32_t own = rft_model_own_node(model, shown(model, leader)->stack);
    return strcmp(rft_model_frame(model, own)->function, "<module>") != 0 &&
           calls(model, own, shown(model, companion)->stack);
}

/* The way in which most objects of a site are held; NULL: the heap was not looked through, or
 * there is no such way. */
static const struct rft_path *held_by(const struct rft_model *model, uint32_t site)
{
    const struct rft_model_store *store = model->store;
    for (size_t i = 0; i < store->heap_parts.count; i++) {
        const struct rft_heap_part *part = &store->heap_parts.items[i];
        if (part->site != site)
            continue;
        for (uint32_t k = 0; k < part->pattern_count; k++)
            if (part->patterns[k].objects > part->sampled / 2)
                return &part->patterns[k].path;
    }
    return NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool is_in_variable(const struct rft_path *path)
{
    return path && path->count >= 2 && path->steps[0].kind == RFT_ROOT_MODULE &&
           path->steps[1].kind == RFT_EDGE_ATTRIBUTE && path->steps[1].label;
}

/* Whether two things that grow in step are kept in two variables of modules: then the one does
 * not hold the other, and who mends the one has not mended the other. */
static bool is_held_apart(const struct rft_model *model, const struct rft_site *one,
                          const struct rft_site *other)
{
    const struct rft_path *path = held_by(model, (uint32_t)(one - model->sites));
    const struct rft_path *other_path = held_by(model, (uint32_t)(other - model->sites));
    if (!is_in_variable(path) || !is_in_variable(other_path))
        return false;
    for (uint32_t i = 0; i < other_path->count; i++)
        if (same_text(other_path->steps[i].type, model->types[one->type].name))
            return false;
    return !same_text(path->steps[0].label, other_path->steps[0].label) ||
           !same_text(path->steps[1].label, other_path->steps[1].label);
}

/* --- arranging ------------------------------------------------------------------------------- */

static int by_importance(const void *a, const void *b)
{
    const struct rft_growing *x = a, *y = b;
    if (x->slowing != y->slowing)
        return x->slowing - y->slowing;
    if (x->total_grown_bytes != y->total_grown_bytes)
        return x->total_grown_bytes < y->total_grown_bytes ? 1 : -1;
    return (x->site > y->site) - (x->site < y->site);
}

/* The kin of `one` among the candidates that are left. */
static uint32_t collect_kin(const struct rft_model *model, const struct rft_accused *leader,
                            const struct rft_accused *one, struct candidate *from,
                            struct candidate *end, struct candidate *kin)
{
    uint32_t count = 0;
    for (struct candidate *other = from; other < end; other++) {
        const struct rft_site *site = shown(model, other->accused);
        bool plain = type_rank(model->types[site->type].name) == 0;
        if (other->taken || leader->process != other->accused->process ||
            !same_shape(leader, other->accused, plain ? SHAPE_DIFFERENCE_PLAIN : SHAPE_DIFFERENCE))
            continue;
        bool in_step = plain && is_nowhere(model, site) &&
                       !is_nowhere(model, shown(model, leader)) &&
                       same_shape(leader, other->accused, SHAPE_DIFFERENCE);
        if ((!in_step && !is_near(model, shown(model, one), site)) ||
            is_held_apart(model, shown(model, leader), site))
            continue;
        other->taken = true;
        kin[count++] = *other;
    }
    return count;
}

/* One entry: the first candidate that is left, and its kin. */
static struct rft_error *add_growing(struct rft_model *model, struct candidate *first,
                                     struct candidate *end, struct candidate *kin)
{
    struct rft_arena *arena = &model->store->arena;
    const struct rft_accused *leader = first->accused;
    struct rft_growing growing = {
        .site = leader->members[0],
        .slowing = leader->growth.kind == RFT_GROWTH_SLOWING,
        .members = leader->members,
        .member_count = leader->member_count,
        .growth = leader->growth,
        .total_grown_bytes = leader->growth.grown_bytes,
        .total_bytes_per_s = leader->growth.bytes_per_s,
    };
    first->taken = true;
    uint32_t count = collect_kin(model, leader, leader, first + 1, end, kin);
    for (uint32_t i = 0; i < count; i++) {
        const struct rft_accused *companion = kin[i].accused;
        growing.total_grown_bytes += companion->growth.grown_bytes;
        growing.total_bytes_per_s += companion->growth.bytes_per_s;
        if (passes_on(model, leader, companion))
            count += collect_kin(model, leader, companion, first + 1, end, kin + count);
    }
    if (count) {
        qsort(kin, count, sizeof(*kin), by_bytes);
        uint32_t *companions = rft_arena_alloc(arena, count * sizeof(*companions));
        struct rft_growth *growths = rft_arena_alloc(arena, count * sizeof(*growths));
        if (!companions || !growths)
            return rft_error_no_memory();
        for (uint32_t i = 0; i < count; i++) {
            companions[i] = kin[i].accused->members[0];
            growths[i] = kin[i].accused->growth;
        }
        growing.companions = companions;
        growing.companion_growths = growths;
        growing.companion_count = count;
    }
    return rft_vec_push(&model->store->growing, growing) ? NULL : rft_error_no_memory();
}

/* Small numbers are made once for all: up to 256, from 3.15 on up to 1,024. A bounded
 * cache of numbered things is full long before its numbers are, if these began to be
 * born late. So numbers that came late are not accused, if what they were
 * made with (at least half as many) does not grow. Whatever held them would. */
static bool is_late_number(const struct rft_model *model, const struct rft_accused *accused)
{
    const struct rft_site *site = shown(model, accused);
    if (strcmp(model->types[site->type].name, "int") != 0 ||
        accused->reached[LATE_WINDOWS - 1] > STARTED)
        return false;
    for (uint32_t i = 0; i < model->site_count; i++) {
        const struct rft_site *other = &model->sites[i];
        enum rft_growth_kind kind = other->growth.kind;
        if ((kind == RFT_GROWTH_SATURATED || kind == RFT_GROWTH_CYCLIC ||
             kind == RFT_GROWTH_TURNOVER || kind == RFT_GROWTH_STEP) &&
            2 * other->peak_live >= accused->growth.grown && is_near(model, other, site))
            return true;
    }
    return false;
}

static void acquit(struct rft_model *model, const struct rft_accused *accused)
{
    for (uint32_t i = 0; i < accused->member_count; i++)
        model->sites[accused->members[i]].growth.kind = RFT_GROWTH_SATURATED;
}

struct rft_error *rft_growing_arrange(struct rft_model *model, const rft_accused_list *accused)
{
    struct rft_model_store *store = model->store;
    struct candidate *candidates = malloc((accused->count + 1) * sizeof(*candidates));
    struct candidate *kin = malloc((accused->count + 1) * sizeof(*kin));
    struct rft_error *error = candidates && kin ? NULL : rft_error_no_memory();
    for (size_t i = 0; i < accused->count && !error; i++) {
        candidates[i] = (struct candidate){
            .accused = &accused->items[i],
            .rank = rank_of(model, &accused->items[i]),
        };
    }
    if (!error && candidates) {
        qsort(candidates, accused->count, sizeof(*candidates), by_rank);
        for (size_t i = 0; i < accused->count && !error; i++) {
            if (candidates[i].taken)
                continue;
            if (is_late_number(model, candidates[i].accused))
                acquit(model, candidates[i].accused);
            else
                error = add_growing(model, candidates + i, candidates + accused->count, kin);
        }
    }
    free(candidates);
    free(kin);
    if (error)
        return error;
    if (store->growing.count)
        qsort(store->growing.items, store->growing.count, sizeof(*store->growing.items),
              by_importance);
    for (uint32_t i = 0; i < store->growing.count; i++) {
        const struct rft_growing *growing = &store->growing.items[i];
        for (uint32_t k = 0; k < growing->member_count; k++)
            model->sites[growing->members[k]].growing = i;
        for (uint32_t k = 0; k < growing->companion_count; k++)
            model->sites[growing->companions[k]].growing = i;
    }
    return NULL;
}

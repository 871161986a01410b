/* What threads refer to: the frames that run, and fields of their thread states. */
#include <stdio.h>

#include "heap/dict_entries.h"
#include "heap/roots.h"
#include "heap/shape.h"

enum { FRAMES_MAX = 1 << 20, THREADS_MAX = 1 << 20, NAME_SIZE = 96 };

struct attribute {
    const char *name, *value;
};

static int compare(const struct rft_ref *ref, void *arg)
{
    struct attribute *a = arg;
    char text[NAME_SIZE];
    if (ref->name == NULL || ref->kind == RFT_EDGE_DICT_KEY ||
        rft_text(ref->name, text, sizeof text) != strlen(a->name) ||
        memcmp(text, a->name, strlen(a->name)) != 0) {
        return 0;
    }
    a->value = ref->target;
    return 1;
}

static int find_dict(const struct rft_ref *ref, void *arg)
{
    const char **dict = arg;
    if (ref->kind == RFT_EDGE_ATTRIBUTE && ref->label != NULL &&
        strcmp(ref->label, "__dict__") == 0) {
        *dict = ref->target;
    }
    return *dict != NULL;
}

/* An attribute of an instance of a Python class, or NULL. */
static const char *attribute(const char *op, const char *name)
{
    struct attribute a = {name, NULL};
    const char *dict = NULL;
    rft_refs_own(op, rft_shape_of(type_of(op)), true, compare, &a);
    if (a.value == NULL) {
        rft_refs_own(op, rft_shape_of(type_of(op)), true, find_dict, &dict);
        if (dict != NULL) {
            rft_refs_own(dict, rft_shape_of(type_of(dict)), true, compare, &a);
        }
    }
    return a.value;
}

/* The name that threading.Thread has for it: threading._active is {ident: Thread}. */
static void thread_name(const struct rft_roots *roots, const char *tstate, char *to)
{
    int64_t id = word_at(tstate, rft_heap.layout.at[RFT_THREAD_ID]), key;
    const char *active = rft_dict_find(rft_module_dict(roots->interpreter, "threading"), "_active");
    struct rft_dict_entries d = {.count = 0};
    if (active != NULL && type_flags(type_of(active)) & TYPE_DICT) {
        rft_dict_open(active, &d);
    }
    for (size_t i = 0; i < d.count; i++) {
        const char *op = rft_dict_key(&d, i), *thread = rft_dict_value(&d, i);
        if (thread != NULL && op != NULL && type_flags(type_of(op)) & TYPE_INT &&
            rft_int_value(op, &key) && key == id) {
            const char *name = attribute(thread, "_name");
            size_t length = name != NULL ? rft_text(name, to, NAME_SIZE - 1) : 0;
            if (length > 0) {
                to[length] = 0;
                return;
            }
        }
    }
    long long native = (long long)word_at(tstate, rft_heap.layout.at[RFT_THREAD_NATIVE_ID]);
    snprintf(to, NAME_SIZE, "%lld", native);
}

struct frame_roots {
    const struct rft_roots *roots;
    const char *detail, *tstate;
    uint32_t number;
    bool owned; /* by the thread, not by a generator, whose edges they are then */
};

static int on_frame_ref(const struct rft_ref *ref, void *arg)
{
    const struct frame_roots *f = arg;
    char label[NAME_SIZE];
    bool local = ref->kind == RFT_EDGE_LOCAL;
    size_t length = local && ref->name != NULL ? rft_text(ref->name, label, sizeof label - 1) : 0;
    label[length] = 0;
    struct rft_root root = {.kind = local ? RFT_ROOT_LOCAL : RFT_ROOT_STACK,
                            .label = label,
                            .label_length = length,
                            .detail = f->detail,
                            .detail_length = strlen(f->detail),
                            .target = ref->target,
                            .counted = ref->counted && f->owned,
                            .tstate = f->tstate,
                            .frame = f->number};
    return f->roots->visit(&root, f->roots->arg);
}

static int frames(const struct rft_roots *roots, const char *tstate, const char *thread)
{
    const uint32_t *at = rft_heap.layout.at;
    const char *frame = pointer_at(tstate, at[RFT_THREAD_FRAME]);
    uint32_t number = 0;
    int stop = 0;
    for (int depth = 0; frame != NULL && depth < FRAMES_MAX && stop == 0; depth++) {
        struct rft_frame_view view;
        if (rft_frame_open(frame, &view)) {
            char detail[3 * NAME_SIZE], function[NAME_SIZE];
            const char *name = pointer_at(view.code, at[RFT_CODE_QUALNAME]);
            size_t length = name != NULL ? rft_text(name, function, sizeof function - 1) : 0;
            function[length] = 0;
            snprintf(detail, sizeof detail, "%s in thread %s", function, thread);
            struct frame_roots f = {roots, detail, tstate, number++, !view.generator};
            stop = rft_frame_refs(&view, RFT_EDGE_LOCAL, on_frame_ref, &f);
        }
        frame = pointer_at(frame, at[RFT_FRAME_PREVIOUS]);
    }
    return stop;
}

/* struct _ts, then _PyThreadStateImpl (Include/internal/pycore_tstate.h): the running loop of
 * asyncio, since 3.14 the running task too. */
static int fields(const struct rft_roots *roots, const char *tstate, const char *thread)
{
    const uint32_t *at = rft_heap.layout.at;
    uint32_t minor = rft_heap.layout.version >> 16 & 0xFF;
    size_t size = at[RFT_THREAD_SIZE];
    size_t loop = minor == 13 ? size : minor == 14 ? size + 32 : size + at[RFT_FRAME_SIZE] + 48;
    const struct {
        size_t at;
        const char *label;
    } named[] = {
        {at[RFT_THREAD_EXCEPTION], "exception that is being raised"},
        {at[RFT_THREAD_EXC_STATE], "exception that is being handled"},
        {at[RFT_THREAD_DICT], "thread state's dict"},
    };
    int stop = 0;
    size_t from = 0;
    for (size_t next = 0; from < size && stop == 0; from = next) {
        /* What lies between the named ones, then the next named one. */
        const char *label = NULL;
        next = size;
        for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
            if (named[i].at >= from && named[i].at < next) {
                next = named[i].at;
                label = named[i].label;
            }
        }
        stop = rft_roots_in(roots, tstate + from, tstate + next, RFT_ROOT_THREAD, "thread state",
                            thread);
        if (stop == 0 && label != NULL) {
            stop = rft_roots_in(roots, tstate + next, tstate + next + 8, RFT_ROOT_THREAD, label,
                                thread);
            next += 8;
        }
    }
    if (stop == 0) {
        stop = rft_roots_in(roots, tstate + loop, tstate + loop + 8, RFT_ROOT_THREAD,
                            "running event loop", thread);
    }
    if (stop == 0 && minor >= 14) {
        stop = rft_roots_in(roots, tstate + loop + 8, tstate + loop + 16, RFT_ROOT_THREAD,
                            "running task", thread);
    }
    return stop;
}

int rft_roots_threads(const struct rft_roots *roots)
{
    const uint32_t *at = rft_heap.layout.at;
    const char *tstate = pointer_at(roots->interpreter, at[RFT_INTERP_THREADS]);
    int stop = 0;
    for (int i = 0; tstate != NULL && i < THREADS_MAX && stop == 0; i++) {
        char name[NAME_SIZE];
        thread_name(roots, tstate, name);
        stop = frames(roots, tstate, name);
        stop = stop != 0 ? stop : fields(roots, tstate, name);
        tstate = pointer_at(tstate, at[RFT_THREAD_NEXT]);
    }
    return stop;
}

/* What a frame refers to: locals and value stack (Include/internal/pycore_interpframe_structs.h;
 * pycore_frame.h in 3.13). */
#include "heap/shape.h"
#include "trace/format.h"

/* enum _frameowner. From 3 on a frame is C's, without code: FRAME_OWNED_BY_CSTACK in 3.13,
 * FRAME_OWNED_BY_INTERPRETER since. */
enum { OWNER_GENERATOR = 1, OWNER_FRAME_OBJECT = 2, OWNER_C = 3 };

/* _PyStackRef since 3.14 (Include/internal/pycore_stackref.h, with a GIL): the two low bits
 * are 0 for a counted reference, 1 for one that does not count (borrowed from a local, or to an
 * immortal object), 2 for an error, 3 for an int that is no object. NULL is 1. */
const char *rft_stack_ref(const char *at, bool *counted)
{
    uintptr_t bits;
    memcpy(&bits, at, sizeof bits);
    if (rft_heap.layout.version < 0x030E0000) {
        *counted = true;
        return (const char *)bits;
    }
    *counted = (bits & 3) == 0;
    return (bits & 3) <= 1 ? (const char *)(bits & ~(uintptr_t)3) : NULL;
}

bool rft_frame_open(const char *frame, struct rft_frame_view *view)
{
    const uint32_t *at = rft_heap.layout.at;
    memset(view, 0, sizeof *view);
    view->frame = frame;
    int owner = frame[at[RFT_FRAME_OWNER]];
    bool counted;
    const char *code = rft_stack_ref(frame + at[RFT_FRAME_EXECUTABLE], &counted);
    if (owner >= OWNER_C || owner < 0 || code == NULL || type_of(code) != rft_heap.code_type) {
        return false;
    }
    view->code = code;
    view->generator = owner == OWNER_GENERATOR;
    view->of_object = owner == OWNER_FRAME_OBJECT;
    view->locals = frame + at[RFT_FRAME_LOCALS];
    int32_t locals, stack;
    memcpy(&locals, code + at[RFT_CODE_NLOCALSPLUS], sizeof locals);
    memcpy(&stack, code + at[RFT_CODE_STACKSIZE], sizeof stack);
    if (locals < 0 || stack < 0) {
        return false;
    }
    int64_t count;
    if (rft_heap.layout.version < 0x030E0000) {
        int32_t top; /* below 0 while the frame runs: its value stack can't be told then */
        memcpy(&top, frame + at[RFT_FRAME_STACKPOINTER], sizeof top);
        count = top < 0 ? locals : top;
    } else {
        count = (pointer_at(frame, at[RFT_FRAME_STACKPOINTER]) - view->locals) / 8;
    }
    view->count = (size_t)(count < 0 || count > (int64_t)locals + stack ? locals : count);
    view->locals_count = view->count < (size_t)locals ? view->count : (size_t)locals;
    return true;
}

static int one(const char *at, uint8_t kind, const char *label, rft_ref_visit visit, void *arg)
{
    struct rft_ref ref = {.kind = kind, .label = label};
    ref.target = rft_stack_ref(at, &ref.counted);
    return ref.target != NULL ? visit(&ref, arg) : 0;
}

int rft_frame_code(const char *frame, rft_ref_visit visit, void *arg)
{
    return one(frame + rft_heap.layout.at[RFT_FRAME_EXECUTABLE], RFT_EDGE_ATTRIBUTE, "code", visit,
               arg);
}

int rft_frame_refs(const struct rft_frame_view *view, uint8_t local_kind, rft_ref_visit visit,
                   void *arg)
{
    const uint32_t *at = rft_heap.layout.at;
    /* f_funcobj, f_globals, f_builtins (both borrowed), f_locals, frame_obj */
    const char *function = view->frame + at[RFT_FRAME_FUNCTION];
    const char *names = pointer_at(view->code, at[RFT_CODE_LOCALNAMES]);
    size_t name_count = names != NULL ? (size_t)word_at(names, at[RFT_TUPLE_COUNT]) : 0;
    int stop = 0;
    for (size_t i = 0; i < view->count && stop == 0; i++) {
        struct rft_ref ref = {.kind = RFT_EDGE_STACK};
        ref.target = rft_stack_ref(view->locals + 8 * i, &ref.counted);
        if (i < view->locals_count) {
            ref.kind = local_kind;
            ref.name = i < name_count ? pointer_at(names, at[RFT_TUPLE_ITEM] + 8 * i) : NULL;
        }
        stop = ref.target != NULL ? visit(&ref, arg) : 0;
    }
    if (stop == 0) {
        stop = rft_frame_code(view->frame, visit, arg);
    }
    if (stop == 0) {
        stop = one(function, RFT_EDGE_ATTRIBUTE, "function", visit, arg);
    }
    for (size_t i = 0; i < 2 && stop == 0; i++) {
        struct rft_ref ref = {.kind = RFT_EDGE_ATTRIBUTE, .counted = true};
        ref.label = i == 0 ? "f_locals" : "frame";
        ref.target = pointer_at(function, 24 + 8 * i);
        stop = ref.target != NULL ? visit(&ref, arg) : 0;
    }
    return stop;
}

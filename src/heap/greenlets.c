/* Frames of greenlets that wait: they lie in the data stack of a thread that runs another one's, so
 * that no thread has them, and greenlet's tp_traverse visits them in part or not at all. */
#include "heap/roots.h"
#include "heap/shape.h"
#include "trace/format.h"

#include <sys/uio.h>
#include <unistd.h>

enum { FRAMES_MAX = 1 << 16, FRAME_OBJECT_FRAME = 24, HEADER = 128 };

static size_t read_some(const char *from, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    return got > 0 ? (size_t)got : 0;
}

/* By its name: a shape that was asked for might move another one, which our caller has. */
bool rft_is_frame_object(const char *op)
{
    const char *type = type_of(op), *name = pointer_at(type, rft_heap.layout.at[RFT_TYPE_NAME]);
    return type_flags(type) & TYPE_STATIC_BUILTIN && strcmp(name, "frame") == 0;
}

/* The frame of a frame object, if it is on a data stack and says that this is its object
 * (f_funcobj, f_globals, f_builtins, f_locals, frame_obj); else NULL. */
static const char *frame_of(const char *op)
{
    size_t object = rft_heap.layout.at[RFT_FRAME_FUNCTION] + 32;
    const char *frame, *back;
    if (!rft_is_object(op) || !rft_is_frame_object(op) ||
        read_some(op + FRAME_OBJECT_FRAME, &frame, sizeof frame) < sizeof frame ||
        read_some(frame + object, &back, sizeof back) < sizeof back || back != op) {
        return NULL;
    }
    return frame;
}

/* PyGreenlet {weak references, dict, pimpl} (greenlet 2 and 3). What pimpl points to has
 * PythonState {_context, _top_frame, ..., current_frame, ...}. _top_frame is NULL unless the
 * greenlet waits. Where it is, the first one that waits tells: current_frame follows after a few
 * words. */
static const char *top_frame(const char *op)
{
    enum { PIMPL = 32, WORDS = 20, NEAR = 8 }; /* the smallest has 23 words */
    const char *words[WORDS], *state = pointer_at(op, PIMPL);
    size_t at = rft_heap.greenlet_frame_at;
    if (state == NULL) {
        return NULL;
    }
    if (at != 0) {
        return read_some(state + at, words, 8) == 8 && words[0] != NULL ? frame_of(words[0]) : NULL;
    }
    size_t count = read_some(state, words, sizeof words) / 8;
    for (size_t i = 1; i < count; i++) {
        const char *frame = words[i] != NULL ? frame_of(words[i]) : NULL;
        for (size_t k = i + 1; frame != NULL && k < count && k <= i + NEAR; k++) {
            if (words[k] == frame) {
                rft_heap.greenlet_frame_at = 8 * i;
                return frame;
            }
        }
    }
    return NULL;
}

static bool is_readable(const char *frame, struct rft_frame_view *view)
{
    char header[HEADER];
    const uint32_t *at = rft_heap.layout.at;
    size_t size = at[RFT_FRAME_LOCALS] < HEADER ? at[RFT_FRAME_LOCALS] : HEADER;
    bool counted;
    if ((uintptr_t)frame % 8 != 0 || read_some(frame, header, size) < size) {
        return false;
    }
    const char *code = rft_stack_ref(header + at[RFT_FRAME_EXECUTABLE], &counted), *word;
    return rft_is_object(code) && rft_frame_open(frame, view) &&
           (view->count == 0 ||
            read_some(view->locals + 8 * (view->count - 1), &word, sizeof word) == sizeof word);
}

/* While it waits, greenlet has the frames linked past those of C (Greenlet::expose_frames). A
 * generator has its frame itself. */
int rft_greenlet_refs(const char *op, rft_ref_visit visit, void *arg)
{
    const char *frame = top_frame(op);
    int stop = 0;
    for (int depth = 0; frame != NULL && depth < FRAMES_MAX && stop == 0; depth++) {
        struct rft_frame_view view;
        if (!is_readable(frame, &view)) {
            break;
        }
        if (!view.generator && !view.of_object) {
            stop = rft_frame_refs(&view, RFT_EDGE_FRAME, visit, arg);
        }
        frame = pointer_at(frame, rft_heap.layout.at[RFT_FRAME_PREVIOUS]);
    }
    return stop;
}

/* Which C frame runs which Python frames. */
#ifndef RFT_RUNTIME_NATIVE_MERGE_H
#define RFT_RUNTIME_NATIVE_MERGE_H

#include "runtime/native_unwind.h"

/* One call of the evaluation function replaced by the Python frames that it runs. */
struct rft_merged {
    bool python;
    size_t first, count; /* of the Python frames; or one C frame */
};

struct rft_merge {
    RFT_VEC(struct rft_merged) order; /* innermost first */
    bool no_memory;
    size_t unplaced; /* Python frames for which no C frame was found; they come last */
};

/* Puts the Python frames of `capture` in place of the C frames that run them. Where the shim
 * frame or _PyCFrame of a call is known, that call is the C frame whose part of the stack has
 * it, which needs no symbols. Otherwise C frames named _PyEval_EvalFrameDefault are taken in
 * order. */
void rft_merge_stacks(struct rft_unwinder *unwinder, const struct rft_capture *capture,
                      const struct rft_native_frame *natives, size_t count,
                      struct rft_merge *merge);

void rft_merge_deinit(struct rft_merge *merge);

#endif

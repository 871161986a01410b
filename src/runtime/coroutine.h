/* The stack of a coroutine that is suspended: its frame, that of the coroutine it waits for,
 * and so on. */
#ifndef RFT_RUNTIME_COROUTINE_H
#define RFT_RUNTIME_COROUTINE_H

#include "runtime/local.h"

/* Sets *frames, innermost first, in the snapshot's memory; none if it has finished, or can't
 * be read. 3.14 and newer, where the target's table has generators. */
void rft_coroutine_frames(struct rft_runtime *runtime, rft_address coroutine,
                          struct rft_locals *locals, const struct rft_frame **frames,
                          size_t *frame_count);

#endif

/* Whether anything has moved since the last snapshot. */
#include <time.h>

#include "runtime/look.h"

/* The two copies of a thread are of the snapshot and of now. */
static bool thread_is_same(const struct rft_runtime *runtime, const struct rft_look_thread *thread)
{
    const struct rft_look *look = runtime->look;
    if (!thread->read || !thread->other ||
        !rft_same_stack(runtime, thread->state[0], thread->state[1]) ||
        (thread->cframe &&
         (!thread->cframe_read || !thread->cframe_other ||
          memcmp(thread->cframe_bytes[0], thread->cframe_bytes[1], RFT_CFRAME_BYTES) != 0))) {
        return false;
    }
    for (size_t k = 0; k < thread->chunks.count; k++) {
        const struct rft_look_chunk *chunk = &thread->chunks.items[k];
        if (!chunk->read || chunk->other < chunk->size ||
            memcmp(chunk->bytes[0], chunk->bytes[1], chunk->size) != 0) {
            return false;
        }
    }
    for (size_t k = 0; k < thread->frames.count; k++) {
        const struct rft_look_frame *frame = &thread->frames.items[k];
        if (!frame->read || !frame->other ||
            memcmp(frame->bytes[0], frame->bytes[1], look->frame_bytes) != 0) {
            return false;
        }
    }
    return true;
}

bool rft_snapshot_unmoved(struct rft_runtime *runtime, uint64_t *now_ns)
{
    struct rft_look *look = runtime->look;
    bool core = rft_space_kind(runtime->space) == RFT_SPACE_CORE;
    if (!look || !look->walked || !runtime->snapshot.consistent) {
        return false;
    }
    struct timespec now = {0};
    if (!core) {
        if (!rft_look_read(runtime, false) || !rft_look_lists_hold(runtime)) {
            return false;
        }
        for (size_t i = 0; i < look->threads.count; i++) {
            if (!thread_is_same(runtime, look->threads.items[i])) {
                return false;
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    if (now_ns) {
        *now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    }
    return true;
}

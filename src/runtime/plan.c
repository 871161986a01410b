/* The first plan of stacks. Frames outside of the data stack and code objects are found one by
 * one, each in what was read last; here that is done for all threads at once, so that a thousand
 * threads take as many system calls as the longest way of one. What is not found here, for there
 * are bounds, stack.c reads by itself. */
#include <stdlib.h>

#include "runtime/code.h"
#include "runtime/look.h"

/* Frames outside of chunks that are found in one stack: one for each call from C up to 3.14, each
 * frame up to 3.10. */
enum { ROUNDS_MAX = 256, STEPS_MAX = 1 << 16 };

/* A thread whose frames are followed. */
struct cursor {
    rft_address address; /* 0: the end, or what can't be read */
    size_t steps;
    bool pending; /* its frame is being read */
};

struct plan {
    struct rft_runtime *runtime;
    struct cursor *cursors; /* one for each thread */
    struct rft_index index; /* of codes */
    RFT_VEC(rft_address) codes;
};

static const unsigned char *inside(rft_address start, size_t size, const unsigned char *bytes,
                                   rft_address frame, size_t need)
{
    return frame >= start && frame - start <= size && size - (frame - start) >= need
               ? bytes + (frame - start)
               : NULL;
}

/* The frame in what the thread's batch has read, or as the last that was read besides. */
static const unsigned char *frame_at(const struct rft_look *look,
                                     const struct rft_look_thread *thread, rft_address frame)
{
    const unsigned char *found = NULL;
    for (size_t k = 0; !found && k < thread->chunks.count; k++) {
        const struct rft_look_chunk *chunk = &thread->chunks.items[k];
        if (chunk->read) {
            found = inside(chunk->address, chunk->size, chunk->bytes[chunk->now], frame,
                           look->frame_bytes);
        }
    }
    if (!found) {
        found = inside(thread->address, look->thread_bytes, rft_state_of(thread), frame,
                       look->frame_bytes);
    }
    if (!found && thread->frames.count) {
        const struct rft_look_frame *last = &thread->frames.items[thread->frames.count - 1];
        found = last->address == frame && last->read ? last->bytes[last->now] : NULL;
    }
    return found;
}

static bool note_code(struct plan *plan, rft_address address)
{
    uint32_t at = 0, item;
    uint64_t hash = (address >> 4) * 0x9e3779b97f4a7c15u >> 16;
    while ((item = rft_index_probe(&plan->index, hash, &at)) != RFT_INDEX_END) {
        if (plan->codes.items[item] == address) {
            return true;
        }
    }
    return plan->codes.count >= RFT_LOOK_CODES_MAX ||
           (rft_index_add(&plan->index, hash, (uint32_t)plan->codes.count) &&
            rft_vec_push(&plan->codes, address));
}

/* Goes on to the first frame that is not known, and puts it among the frames to be read. */
static bool follow(struct plan *plan, struct rft_look_thread *thread, struct cursor *cursor)
{
    struct rft_runtime *runtime = plan->runtime;
    struct rft_look *look = runtime->look;
    cursor->pending = false;
    while (cursor->address && cursor->steps++ < STEPS_MAX) {
        const unsigned char *bytes = frame_at(look, thread, cursor->address);
        if (!bytes) {
            struct rft_look_frame fresh = {.address = cursor->address};
            cursor->pending = rft_vec_push_one(&thread->frames, fresh);
            return cursor->pending;
        }
        rft_address code =
            rft_frame_is_shim(runtime, bytes) ? 0 : rft_frame_executable(runtime, bytes);
        if (code && !note_code(plan, code)) {
            return false;
        }
        cursor->address = rft_word(bytes, rft_at(runtime, RFT_FRAME_PREVIOUS));
    }
    cursor->address = 0;
    return true;
}

/* One frame further in all stacks; *on: there are some that go on. */
static bool step(struct plan *plan, bool *on)
{
    struct rft_look *look = plan->runtime->look;
    look->reads.count = 0;
    for (size_t i = 0; i < look->threads.count; i++) {
        struct rft_look_thread *thread = look->threads.items[i];
        struct cursor *cursor = &plan->cursors[i];
        if (!follow(plan, thread, cursor)) {
            return false;
        }
        if (cursor->pending) {
            struct rft_look_frame *frame = &thread->frames.items[thread->frames.count - 1];
            struct rft_read read = {
                .address = frame->address, .buffer = frame->bytes[0], .size = look->frame_bytes};
            if (!rft_vec_push(&look->reads, read)) {
                return false;
            }
        }
    }
    rft_space_read_many(plan->runtime->space, look->reads.items, look->reads.count);
    const struct rft_read *read = look->reads.items;
    *on = look->reads.count > 0;
    for (size_t i = 0; i < look->threads.count; i++) {
        struct rft_look_thread *thread = look->threads.items[i];
        if (!plan->cursors[i].pending) {
            continue;
        }
        if ((read++)->done) {
            thread->frames.items[thread->frames.count - 1].read = true;
        } else {
            thread->frames.count--;
            plan->cursors[i].address = 0;
        }
    }
    return true;
}

bool rft_look_plan_frames(struct rft_runtime *runtime)
{
    struct rft_look *look = runtime->look;
    struct plan plan = {.runtime = runtime,
                        .cursors = calloc(look->threads.count + 1, sizeof *plan.cursors)};
    bool ok = plan.cursors != NULL, on = true;
    for (size_t i = 0; ok && i < look->threads.count; i++) {
        const struct rft_look_thread *thread = look->threads.items[i];
        bool known = thread->read;
        plan.cursors[i].address = known ? rft_look_innermost(runtime, thread, &known) : 0;
    }
    for (unsigned round = 0; ok && on && round < ROUNDS_MAX; round++) {
        ok = step(&plan, &on);
    }
    if (ok) {
        rft_codes_fetch(runtime, plan.codes.items, plan.codes.count);
    }
    for (size_t i = 0; ok && i < plan.codes.count && !rft_has(runtime, RFT_INTERP_CODE_GENERATION);
         i++) {
        rft_look_remember_code(runtime, plan.codes.items[i]);
    }
    free(plan.cursors);
    rft_index_deinit(&plan.index);
    rft_vec_free(&plan.codes);
    return ok;
}

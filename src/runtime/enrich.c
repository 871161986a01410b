/* What is added to threads when lists and stacks are settled. What the OS knows is here;
 * names, exceptions, locals, tasks and native frames have files of their own. */
#include <stdlib.h>

#include "runtime/exception.h"
#include "runtime/local.h"
#include "runtime/look.h"
#include "runtime/names.h"
#include "runtime/native.h"
#include "runtime/object.h"
#include "runtime/task.h"
#include "runtime/wait.h"

/* --- the OS' view ------------------------------------------------------------------ */

static const struct rft_os_thread *find_os_thread(const struct rft_os_thread *threads, size_t count,
                                                  int64_t namespace_id)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (threads[middle].namespace_id < namespace_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && threads[low].namespace_id == namespace_id ? &threads[low] : NULL;
}

/* Up to 3.10 a thread state has no native id, only the pthread_t, which is the address of the
 * C library's own structure of the thread. Its field `tid` is found as the place that holds
 * an id of a thread of this process in all of them: 0x2d0 in glibc on x86-64, elsewhere in
 * other libraries. */
enum { PTHREAD_BYTES = 1024 };

static void find_native_ids(struct rft_runtime *runtime, const struct rft_os_thread *os,
                            size_t os_count)
{
    struct rft_snapshot *snapshot = &runtime->snapshot;
    unsigned char possible[PTHREAD_BYTES / 4];
    unsigned char bytes[PTHREAD_BYTES];
    memset(possible, 1, sizeof possible);
    size_t seen = 0;
    for (size_t i = 0; i < snapshot->interpreter_count; i++) {
        const struct rft_interpreter *interpreter = &snapshot->interpreters[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            if (!rft_space_try(runtime->space, interpreter->threads[k].id, bytes, sizeof bytes)) {
                continue;
            }
            seen++;
            for (size_t w = 0; w < PTHREAD_BYTES / 4; w++) {
                int32_t id = rft_int(bytes, w * 4);
                possible[w] = possible[w] && id > 0 && find_os_thread(os, os_count, id) != NULL;
            }
        }
    }
    size_t at = 0;
    while (at < PTHREAD_BYTES / 4 && !possible[at]) {
        at++;
    }
    if (seen == 0 || at == PTHREAD_BYTES / 4) {
        return;
    }
    for (size_t i = 0; i < snapshot->interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            struct rft_thread *thread = &rft_threads_of(interpreter)[k];
            int32_t id;
            if (rft_read_int(runtime, thread->id + at * 4, &id)) {
                thread->namespace_native_id = id;
            }
        }
    }
}

/* Size of struct _gil_runtime_state with room: 184 bytes in 3.8, 240 in 3.15. What lies behind
 * it are no futexes. */
enum { GIL_STATE_BYTES = 256 };

/* A thread that runs without the GIL computes in C, or has just been woken to take it. If the
 * GIL's condition has no more waiters than sleep in it, it computes. */
static void find_computing(struct rft_runtime *runtime, struct rft_interpreter *interpreter)
{
    /* pthread_cond_t of glibc: __wrefs, eight for each waiter, behind 36 bytes. It follows
     * `switch_number`. */
    enum { COND_WREFS = 36, INTERPRETERS_MOST = 4096 };
    struct rft_thread *threads = rft_threads_of(interpreter);
    int32_t references = -1;
    size_t asleep = 0;
    if (!interpreter->gil_enabled || !interpreter->gil || !rft_has(runtime, RFT_GIL_SWITCHES) ||
        runtime->snapshot.interpreter_count > INTERPRETERS_MOST ||
        !rft_read_int(runtime,
                      interpreter->gil + rft_at(runtime, RFT_GIL_SWITCHES) + 8 + COND_WREFS,
                      &references)) {
        return;
    }
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        const struct rft_interpreter *other = &runtime->snapshot.interpreters[i];
        for (size_t k = 0; other->gil == interpreter->gil && k < other->thread_count; k++) {
            asleep += other->threads[k].gil == RFT_GIL_WAITS;
        }
    }
    for (size_t k = 0; k < interpreter->thread_count; k++) {
        if (threads[k].gil == RFT_GIL_UNKNOWN && threads[k].state == RFT_THREAD_RUNNING &&
            references >= 0 && (uint32_t)references >> 3 <= asleep) {
            threads[k].gil = RFT_GIL_NOT_NEEDED;
        }
    }
}

static void fill_os(struct rft_runtime *runtime)
{
    const struct rft_os_thread *os;
    size_t count;
    struct rft_error *error = rft_space_os_threads(runtime->space, &os, &count);
    if (error) {
        rft_problem(runtime, &runtime->snapshot.problem, "%s", error->message);
        rft_error_destroy(error);
        return;
    }
    if (!rft_has(runtime, RFT_THREAD_NATIVE_ID) && count) {
        find_native_ids(runtime, os, count);
    }
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            struct rft_thread *thread = &rft_threads_of(interpreter)[k];
            if (thread->namespace_native_id == 0) {
                continue;
            }
            const struct rft_os_thread *found =
                find_os_thread(os, count, thread->namespace_native_id);
            if (!found) {
                thread->state = count ? RFT_THREAD_GONE : RFT_THREAD_UNKNOWN;
                continue;
            }
            thread->native_id = found->id;
            thread->state = found->state;
            const char *name = rft_arena_copy(&runtime->arena, found->name, strlen(found->name));
            const char *waits_in =
                rft_arena_copy(&runtime->arena, found->waits_in, strlen(found->waits_in));
            thread->name = name ? name : "";
            thread->waits_in = waits_in ? waits_in : "";
            thread->waits_timed = found->waits_timed;
            thread->waits_on = found->waits_on;
            /* 3.14 and older do not say who waits for the GIL. Who does sleeps in a futex of
             * its condition variable, a member of struct _gil_runtime_state. */
            if (thread->gil == RFT_GIL_UNKNOWN && thread->state == RFT_THREAD_BLOCKED) {
                bool in_gil = interpreter->gil && found->waits_on >= interpreter->gil &&
                              found->waits_on - interpreter->gil < GIL_STATE_BYTES;
                thread->gil = in_gil ? RFT_GIL_WAITS : RFT_GIL_NOT_NEEDED;
            }
        }
    }
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        bool unknown = false;
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            unknown = unknown || (interpreter->threads[k].gil == RFT_GIL_UNKNOWN &&
                                  interpreter->threads[k].state == RFT_THREAD_RUNNING);
        }
        if (unknown) {
            find_computing(runtime, interpreter);
        }
    }
}

/* --- what objects say ------------------------------------------------------------------ */

static void fill_exceptions(struct rft_runtime *runtime)
{
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            struct rft_thread *thread = &rft_threads_of(interpreter)[k];
            const unsigned char *bytes = rft_thread_bytes(runtime, thread);
            if (bytes) {
                const char *exception = rft_thread_exception(runtime, thread->address, bytes,
                                                             runtime->look->thread_bytes);
                thread->exception = exception ? exception : "";
            }
        }
    }
}

static void fill_locals(struct rft_runtime *runtime, struct rft_locals *locals)
{
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            struct rft_thread *thread = &rft_threads_of(interpreter)[k];
            for (size_t f = 0; f < thread->frame_count; f++) {
                struct rft_frame *frame = &rft_frames_of(thread)[f];
                size_t size = 0;
                const unsigned char *copy = rft_frame_copy(runtime, thread, frame->frame, &size);
                if (frame->kind == RFT_FRAME_PYTHON) {
                    rft_locals_of_frame(locals, frame, copy, size);
                }
            }
        }
    }
}

void rft_snapshot_enrich(struct rft_runtime *runtime, unsigned flags)
{
    if (!(flags & RFT_SNAPSHOT_NO_OS)) {
        fill_os(runtime);
    }
    rft_types_forget(runtime);
    rft_names_fill(runtime);
    fill_exceptions(runtime);
    /* Before the locals, which belong to the frames that are then there. */
    if (flags & RFT_SNAPSHOT_NATIVE) {
        rft_native_fill(runtime);
    }
    if ((flags & RFT_SNAPSHOT_LOCKS) && !(flags & RFT_SNAPSHOT_NO_OS)) {
        /* Many threads often wait for one lock, in frames of one function. */
        rft_space_remember_pages(runtime->space, true);
        rft_waits_fill(runtime);
        rft_space_remember_pages(runtime->space, false);
    }
    struct rft_locals *locals = NULL;
    if (flags & RFT_SNAPSHOT_LOCALS) {
        locals = rft_locals_begin(runtime);
        if (locals) {
            fill_locals(runtime, locals);
        } else {
            rft_problem(runtime, &runtime->snapshot.problem, "no memory for local variables");
        }
    }
    if (flags & RFT_SNAPSHOT_TASKS) {
        rft_tasks_fill(runtime, locals);
    }
    if (locals && rft_locals_exhausted(locals)) {
        rft_problem(runtime, &runtime->snapshot.problem,
                    "there are more local variables than are shown");
    }
    rft_locals_end(locals);
}

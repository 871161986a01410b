#include "runtime/native.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/kept.h"
#include "runtime/native_core.h"
#include "runtime/native_merge.h"
#include "runtime/native_stop.h"

/* Times that a thread is stopped until what was copied of it fits together. */
enum { ATTEMPTS = 8 };

struct rft_native {
    struct rft_unwinder *unwinder;
};

void rft_native_destroy(struct rft_native *native)
{
    if (native)
        rft_unwinder_destroy(native->unwinder);
    free(native);
}

/* One pass over all threads. */
struct pass {
    struct rft_runtime *runtime;
    struct rft_unwinder *unwinder;
    const struct rft_map *maps;
    size_t map_count;
    struct rft_core_registers *core; /* of a core */
    struct rft_capture capture;
    struct rft_merge merge;
    uint64_t stopped_ns;
};

/* --- capturing ----------------------------------------------------------------------- */

/* Where the C stack that has this address ends. */
static rft_address end_of_stack(const struct pass *pass, const struct rft_thread *thread,
                                rft_address stack_pointer)
{
    rft_address end = 0;
    size_t low = 0, high = pass->map_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pass->maps[middle].end <= stack_pointer)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < pass->map_count && pass->maps[low].start <= stack_pointer)
        end = pass->maps[low].end;
    /* The C library's own structure of a thread lies at the outer end of its stack. */
    if (thread->id > stack_pointer && thread->id < end)
        end = thread->id;
    return end;
}

static void capture_memory(struct pass *pass, const struct rft_thread *thread)
{
    rft_address stack_pointer, instruction;
    if (rft_capture_position(&pass->capture, &stack_pointer, &instruction))
        rft_capture_stack(pass->runtime, &pass->capture, end_of_stack(pass, thread, stack_pointer));
    rft_capture_frames(pass->runtime, &pass->capture, thread->address);
}

static bool capture_live(struct pass *pass, struct rft_thread *thread)
{
    struct rft_stopped stopped;
    char why[256];
    if (!rft_stop_begin((int)thread->native_id, &stopped, why, sizeof why)) {
        rft_problem(pass->runtime, &thread->problem,
                    "its C frames could not be read, because it could not be stopped: %s", why);
        return false;
    }
    pass->capture.register_count =
        rft_stop_registers(&stopped, pass->capture.registers, sizeof pass->capture.registers) /
        sizeof *pass->capture.registers;
    capture_memory(pass, thread);
    pass->stopped_ns += rft_stop_end(&stopped);
    return true;
}

static bool capture_core(struct pass *pass, struct rft_thread *thread)
{
    pass->capture.register_count =
        pass->core ? rft_core_registers_of(pass->core, (int)thread->namespace_native_id,
                                           pass->capture.registers)
                   : 0;
    if (!pass->capture.register_count) {
        rft_problem(pass->runtime, &thread->problem,
                    "its C frames could not be read: the core has no registers of it");
        return false;
    }
    capture_memory(pass, thread);
    return true;
}

/* --- frames ---------------------------------------------------------------------------- */

static struct rft_frame native_frame(struct rft_unwinder *unwinder,
                                     const struct rft_native_frame *from)
{
    const struct rft_symbol *symbol = rft_unwinder_symbol(unwinder, from);
    return (struct rft_frame){
        .kind = RFT_FRAME_NATIVE,
        .function = symbol->function,
        .file = symbol->file,
        .line = symbol->line,
        .column = symbol->column,
        .end_column = -1,
        .frame = from->stack_pointer,
        .code = from->instruction,
    };
}

/* A Python frame, from what was copied. */
static bool python_frame(struct rft_runtime *runtime, const struct rft_captured_frame *from,
                         struct rft_frame *to)
{
    memset(to, 0, sizeof *to);
    return rft_frame_describe(runtime, from->address, from->bytes, to);
}

static void build_frames(struct pass *pass, struct rft_thread *thread,
                         const struct rft_native_frame *natives)
{
    struct rft_runtime *runtime = pass->runtime;
    size_t most = 0, count = 0;
    for (size_t i = 0; i < pass->merge.order.count; i++)
        most += pass->merge.order.items[i].count;
    thread->truncated = pass->capture.frames_cut || most > RFT_FRAMES_MAX;
    if (most > RFT_FRAMES_MAX)
        most = RFT_FRAMES_MAX;
    struct rft_frame *frames = rft_arena_alloc(&runtime->arena, (most + 1) * sizeof *frames);
    if (!frames) {
        rft_problem(runtime, &thread->problem, "no memory for its C frames");
        return;
    }
    for (size_t i = 0; i < pass->merge.order.count; i++) {
        const struct rft_merged *item = &pass->merge.order.items[i];
        for (size_t k = 0; k < item->count && count < most; k++) {
            if (!item->python)
                frames[count++] = native_frame(pass->unwinder, &natives[item->first]);
            else if (python_frame(runtime, &pass->capture.frames.items[item->first + k],
                                  &frames[count]))
                count++;
        }
    }
    thread->frames = frames;
    thread->frame_count = count;
}

/* Whether the copies fit together. A thread may be stopped in the middle of a call or return,
 * where its list of frames is not what it was before or will be after. */
static bool fits(const struct pass *pass, const struct rft_thread *thread)
{
    return !pass->capture.frames_cut && !pass->merge.unplaced && !pass->merge.no_memory &&
           (pass->capture.runs.count || !thread->frame_count);
}

static void fill_thread(struct pass *pass, struct rft_thread *thread)
{
    struct rft_runtime *runtime = pass->runtime;
    bool live = rft_space_kind(runtime->space) != RFT_SPACE_CORE;
    if (thread->state == RFT_THREAD_GONE)
        return;
    if (live && !thread->native_id) {
        rft_problem(runtime, &thread->problem,
                    "its C frames could not be read: which thread of the system it is, is unknown");
        return;
    }
    const struct rft_native_frame *natives;
    size_t count;
    const char *end;
    for (unsigned attempt = 1;; attempt++) {
        if (!(live ? capture_live(pass, thread) : capture_core(pass, thread)))
            return;
        end = rft_unwinder_unwind(pass->unwinder, &pass->capture, &natives, &count);
        rft_merge_stacks(pass->unwinder, &pass->capture, natives, count, &pass->merge);
        if (!live || attempt == ATTEMPTS || fits(pass, thread))
            break;
    }
    if (pass->merge.no_memory) {
        rft_problem(runtime, &thread->problem, "no memory for its C frames");
        return;
    }
    /* What the look before had to say of the stack is not true of this one. */
    if (live && fits(pass, thread))
        thread->problem = "";
    build_frames(pass, thread, natives);
    if (end)
        rft_problem(runtime, &thread->problem,
                    "its C stack could be unwound for %zu frames only (%s)", count, end);
    else if (count <= 1 && pass->merge.unplaced)
        rft_problem(runtime, &thread->problem,
                    live ? "its C stack could not be read" : "its C stack is not in the core");
    if (pass->merge.unplaced)
        rft_problem(runtime, &thread->problem,
                    "%zu Python frames come last, because the C frames that run them %s",
                    pass->merge.unplaced,
                    end || count <= 1 ? "were not reached" : "have no symbols that tell them");
}

static void *run_pass(void *argument)
{
    struct pass *pass = argument;
    for (size_t i = 0; i < pass->runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(pass->runtime)[i];
        for (size_t t = 0; t < interpreter->thread_count; t++)
            fill_thread(pass, &rft_threads_of(interpreter)[t]);
    }
    return NULL;
}

/* Runs the pass in a thread of its own, with all signals blocked: the kernel lets go of every
 * thread that a tracer has when that tracer ends, in whatever way. */
static bool run_in_thread(struct pass *pass)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, run_pass, pass) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        pthread_join(thread, NULL);
    return started;
}

/* The unwinder of this runtime, made anew if other objects are mapped by now. */
static struct rft_error *find_unwinder(struct rft_runtime *runtime, struct rft_unwinder **unwinder)
{
    struct rft_objects *kept = rft_objects_kept(runtime);
    if (kept && !kept->native)
        kept->native = calloc(1, sizeof *kept->native);
    if (!kept || !kept->native)
        return rft_error_no_memory();
    struct rft_native *native = kept->native;
    if (native->unwinder && !rft_unwinder_is_current(native->unwinder)) {
        rft_unwinder_destroy(native->unwinder);
        native->unwinder = NULL;
    }
    struct rft_error *error =
        native->unwinder ? NULL : rft_unwinder_create(runtime, &native->unwinder);
    *unwinder = native->unwinder;
    return error;
}

void rft_native_fill(struct rft_runtime *runtime)
{
    enum rft_space_kind kind = rft_space_kind(runtime->space);
    struct pass pass = {.runtime = runtime};
    if (kind == RFT_SPACE_SELF || kind == RFT_SPACE_FAKE) {
        rft_problem(runtime, &runtime->snapshot.problem,
                    kind == RFT_SPACE_SELF ? "C frames can't be had of this process itself"
                                           : "C frames can't be had of bytes in memory");
        return;
    }
    struct rft_error *error = find_unwinder(runtime, &pass.unwinder);
    if (!error)
        error = rft_space_maps(runtime->space, &pass.maps, &pass.map_count);
    if (!error && kind == RFT_SPACE_CORE)
        error = rft_core_registers_read(rft_space_core_file(runtime->space), &pass.core);
    if (error) {
        rft_problem(runtime, &runtime->snapshot.problem, "there are no C frames: %s",
                    error->message);
        rft_error_destroy(error);
        return;
    }
    if (kind == RFT_SPACE_CORE)
        run_pass(&pass);
    else if (!run_in_thread(&pass))
        rft_problem(runtime, &runtime->snapshot.problem,
                    "there are no C frames: no further thread could be started for reading them");
    runtime->snapshot.stopped_ns = pass.stopped_ns;
    rft_capture_deinit(&pass.capture);
    rft_merge_deinit(&pass.merge);
    rft_core_registers_destroy(pass.core);
}

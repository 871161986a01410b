/* Looks until nothing moved, and makes the public structures of what was seen. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "runtime/code.h"
#include "runtime/look.h"

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void rft_problem(struct rft_runtime *runtime, const char **problem, const char *format, ...)
{
    struct rft_strbuf text = {0};
    if (**problem) {
        rft_strbuf_add(&text, *problem);
        rft_strbuf_add(&text, "; ");
    }
    char sentence[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    rft_strbuf_add(&text, sentence);
    const char *kept = text.failed ? NULL : rft_arena_copy(&runtime->arena, text.text, text.length);
    *problem = kept ? kept : "out of memory";
    rft_strbuf_deinit(&text);
}

/* --- looking ---------------------------------------------------------------------- */

/* Who has the GIL, or had it last, may run while we look. Without a GIL, or without knowing
 * its state, everybody may. */
static void plan_runners(struct rft_runtime *runtime)
{
    struct rft_look *look = runtime->look;
    bool core = rft_space_kind(runtime->space) == RFT_SPACE_CORE;
    for (size_t i = 0; i < look->threads.count; i++) {
        struct rft_look_thread *thread = look->threads.items[i];
        uint32_t g = look->interps.items[thread->interp]->gil;
        const struct rft_look_gil *gil =
            g < look->gils.count && look->gils.items[g].read ? &look->gils.items[g] : NULL;
        bool enabled =
            gil && rft_has(runtime, RFT_GIL_HOLDER) && rft_has(runtime, RFT_GIL_SWITCHES);
        if (enabled && rft_has(runtime, RFT_GIL_ENABLED)) {
            enabled = rft_int(gil->after, rft_at(runtime, RFT_GIL_ENABLED)) > 0;
        }
        thread->runs =
            !core &&
            (!enabled || rft_word(gil->after, rft_at(runtime, RFT_GIL_HOLDER)) == thread->address);
    }
}

/* Frames that nothing links to each other need many looks that agree, unless the OS says that
 * the thread did not run. To ask costs more than a look, so only these threads are asked for,
 * and few of them. */
enum { ASKED_MOST = 16 };

static bool asleep(struct rft_runtime *runtime, const struct rft_look_thread *thread,
                   uint64_t *switches)
{
    uint32_t at = rft_at(runtime, RFT_THREAD_NATIVE_ID);
    uint64_t id = at == RFT_NO_FIELD ? 0 : rft_word(rft_state_of(thread), at);
    if (id == 0 || id > INT32_MAX) {
        return false;
    }
    *switches = 0;
    /* Who calls us runs no Python meanwhile. */
    return (rft_space_kind(runtime->space) == RFT_SPACE_SELF && (pid_t)id == gettid()) ||
           rft_space_asleep(runtime->space, (int)id, switches);
}

static void ask_who_sleeps(struct rft_runtime *runtime)
{
    struct rft_look *look = runtime->look;
    unsigned asked = 0;
    for (size_t i = 0; i < look->threads.count; i++) {
        struct rft_look_thread *thread = look->threads.items[i];
        thread->asleep = !thread->settled && thread->runs && thread->read && thread->agreed &&
                         thread->agreed < RFT_AGREE && asked++ < ASKED_MOST &&
                         asleep(runtime, thread, &thread->switches);
    }
}

static bool slept(struct rft_runtime *runtime, const struct rft_look_thread *thread)
{
    uint64_t switches;
    return thread->asleep && asleep(runtime, thread, &switches) && switches == thread->switches;
}

/* One look at what is not settled yet. True: now everything is. */
static bool look_once(struct rft_runtime *runtime, bool only_unsettled, bool *no_memory)
{
    struct rft_look *look = runtime->look;
    ask_who_sleeps(runtime);
    rft_codes_look(runtime);
    if (!rft_look_read(runtime, only_unsettled)) {
        *no_memory = true;
        return false;
    }
    bool settled = true, core = rft_space_kind(runtime->space) == RFT_SPACE_CORE;
    bool planning = !look->planned && !core;
    look->planned = true;
    if (planning && !rft_look_plan_frames(runtime)) {
        *no_memory = true;
        return false;
    }
    look->lists_settled = rft_look_lists_hold(runtime);
    for (size_t i = 0; i < look->codes.count; i++) {
        if (look->codes.items[i].read) {
            rft_code_checked(runtime, look->codes.items[i].address, look->codes.items[i].head);
        }
    }
    for (size_t i = 0; i < look->threads.count; i++) {
        struct rft_look_thread *thread = look->threads.items[i];
        if (thread->settled) {
            continue;
        }
        if (planning) {
            settled = false; /* what was found just now is not in this batch */
        } else if (!thread->read) {
            thread->problem = "its thread state can't be read";
            thread->first_frame = look->frames.count;
            thread->frame_count = 0;
            thread->settled = core;
        } else {
            bool still = rft_thread_was_still(runtime, thread) || slept(runtime, thread);
            thread->settled = rft_stack_decode(runtime, thread, still);
            thread->twice = !core && !thread->settled;
        }
        settled = settled && thread->settled;
    }
    plan_runners(runtime);
    if (core) {
        look->lists_settled = true;
    } else if (!look->lists_settled) {
        if (!rft_look_walk(runtime)) {
            *no_memory = true;
        }
        settled = false;
    }
    return settled;
}

/* --- the public structures ---------------------------------------------------------- */

static uint64_t state_word(const struct rft_runtime *runtime, const struct rft_look_thread *thread,
                           enum rft_field field)
{
    return rft_has(runtime, field) ? rft_word(rft_state_of(thread), rft_at(runtime, field)) : 0;
}

static void make_thread(struct rft_runtime *runtime, const struct rft_look_thread *from,
                        struct rft_thread *to)
{
    *to = (struct rft_thread){
        .address = from->address,
        .id = state_word(runtime, from, RFT_THREAD_ID),
        .namespace_native_id = (int64_t)state_word(runtime, from, RFT_THREAD_NATIVE_ID),
        .name = "",
        .exception = "",
        .waits_in = "",
        .frames = from->frame_count ? runtime->look->frames.items + from->first_frame : NULL,
        .frame_count = from->frame_count,
        .truncated = from->truncated,
        .problem = from->problem,
    };
    if (!from->settled && !*to->problem) {
        to->problem = "it ran while it was looked at: its frames may not belong together";
    }
}

static bool make_interpreter(struct rft_runtime *runtime, const struct rft_look_interp *from,
                             struct rft_interpreter *to)
{
    const struct rft_look *look = runtime->look;
    *to = (struct rft_interpreter){
        .address = from->address,
        .id = -1,
        .idle = from->thread_count == 0,
        .gil_enabled = true,
        .problem = from->problem,
    };
    if (!from->read && *to->problem) {
        return true;
    }
    struct rft_thread *threads =
        rft_arena_alloc(&runtime->arena, (from->thread_count + 1) * sizeof *threads);
    if (!threads) {
        return false;
    }
    to->id = (int64_t)rft_fact(look, from, RFT_FACT_ID);
    to->main = to->id == 0;
    to->finalizing = rft_fact(look, from, RFT_FACT_FINALIZING) != 0 ||
                     rft_fact(look, from, RFT_FACT_FINALIZING_FLAG) != 0;
    to->gc_running = rft_fact(look, from, RFT_FACT_COLLECTING) != 0;
    if (rft_has(runtime, RFT_RUNTIME_GC)) {
        int32_t collecting; /* 3.8 has one collector for all */
        to->gc_running = rft_read_int(runtime,
                                      runtime->address + rft_at(runtime, RFT_RUNTIME_GC) +
                                          rft_at(runtime, RFT_GC_COLLECTING),
                                      &collecting) &&
                         collecting != 0;
    }
    /* 3.14+ say which one runs __main__. Before, and while none does: new threads come to
     * the front of the list, so the last one was the first. */
    rft_address main = rft_fact(look, from, RFT_FACT_THREADS_MAIN);
    for (uint32_t i = 0; i < from->thread_count; i++) {
        make_thread(runtime, look->threads.items[from->first_thread + i], &threads[i]);
        threads[i].main = main ? threads[i].address == main : i + 1 == from->thread_count;
    }
    to->threads = threads;
    to->thread_count = from->thread_count;
    /* Up to 3.12 a sub-interpreter that runs nothing keeps the thread state that it was made
     * with, without a frame (Modules/_xxsubinterpretersmodule.c). */
    if (runtime->minor <= 12 && !to->main && from->thread_count == 1 &&
        threads[0].frame_count == 0 && !*threads[0].problem) {
        to->idle = true;
    }
    rft_gil_fill(runtime, from, to);
    return true;
}

static bool make_snapshot(struct rft_runtime *runtime)
{
    struct rft_look *look = runtime->look;
    struct rft_interpreter *interpreters =
        rft_arena_alloc(&runtime->arena, (look->interps.count + 1) * sizeof *interpreters);
    if (!interpreters) {
        return false;
    }
    rft_gil_begin(runtime);
    for (size_t i = 0; i < look->interps.count; i++) {
        if (!make_interpreter(runtime, look->interps.items[i], &interpreters[i])) {
            return false;
        }
    }
    runtime->snapshot.interpreters = interpreters;
    runtime->snapshot.interpreter_count = look->interps.count;
    runtime->snapshot.problem = look->problem ? look->problem : "";
    uint32_t finalizing = rft_at(runtime, RFT_RUNTIME_FINALIZING);
    uint64_t word = 0;
    if (finalizing >= look->runtime_from &&
        finalizing + 8 <= look->runtime_from + look->runtime_bytes && look->runtime_read) {
        word = rft_word(look->runtime, finalizing - look->runtime_from);
    } else {
        rft_read_word(runtime, runtime->address + finalizing, &word);
    }
    runtime->snapshot.finalizing = word != 0;
    return true;
}

struct rft_error *rft_snapshot_take(struct rft_runtime *runtime, unsigned flags,
                                    const struct rft_snapshot **snapshot)
{
    if (!runtime || !snapshot) {
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "rft_snapshot_take() needs a runtime and a place for the snapshot");
    }
    bool core = rft_space_kind(runtime->space) == RFT_SPACE_CORE;
    if (!runtime->look) {
        runtime->codes = runtime->codes ? runtime->codes : rft_codes_create(runtime);
        runtime->look = runtime->codes ? rft_look_create(runtime) : NULL;
        if (!runtime->look) {
            return rft_error_no_memory();
        }
    }
    struct rft_look *look = runtime->look;
    rft_arena_reset(&runtime->arena);
    rft_codes_begin(runtime);
    look->frames.count = 0;
    runtime->snapshot = (struct rft_snapshot){.problem = ""};
    uint64_t begin = now_ns();
    bool no_memory = !look->walked && !rft_look_walk(runtime), settled = false;
    if (!no_memory && look->gils.count && !look->lists_settled) {
        /* The first time nobody is known to have the GIL. */
        for (size_t g = 0; g < look->gils.count; g++) {
            struct rft_look_gil *gil = &look->gils.items[g];
            gil->read = rft_space_try(runtime->space, gil->address, gil->after, look->gil_bytes);
        }
        plan_runners(runtime);
    }
    for (size_t i = 0; i < look->threads.count; i++) {
        look->threads.items[i]->settled = false;
    }
    unsigned attempts = 0;
    while (!no_memory && !settled && attempts < RFT_SNAPSHOT_ATTEMPTS) {
        settled = look_once(runtime, attempts > 0, &no_memory);
        attempts++;
        if (core && attempts == 2) {
            break; /* nothing changes any more; the second has read what the first planned */
        }
    }
    if (no_memory) {
        look->walked = false;
        return rft_error_no_memory();
    }
    if (!look->runtime_read && !rft_space_alive(runtime->space)) {
        look->walked = false;
        return rft_error_os(ESRCH, "looking at process %d", rft_space_facts(runtime->space)->pid);
    }
    runtime->snapshot.attempts = attempts;
    runtime->snapshot.consistent = settled || core;
    if (!make_snapshot(runtime)) {
        return rft_error_no_memory();
    }
    rft_snapshot_enrich(runtime, flags);
    runtime->snapshot.taken_ns = core ? 0 : begin;
    runtime->snapshot.duration_ns = now_ns() - begin;
    *snapshot = &runtime->snapshot;
    return NULL;
}

/* The thread of the look that a public thread was made of. */
static const struct rft_look_thread *thread_of(const struct rft_runtime *runtime,
                                               const struct rft_thread *thread)
{
    const struct rft_look *look = runtime->look;
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        const struct rft_interpreter *interpreter = &runtime->snapshot.interpreters[i];
        if (thread >= interpreter->threads &&
            thread < interpreter->threads + interpreter->thread_count) {
            return look->threads.items[look->interps.items[i]->first_thread +
                                       (size_t)(thread - interpreter->threads)];
        }
    }
    return NULL;
}

const unsigned char *rft_thread_bytes(const struct rft_runtime *runtime,
                                      const struct rft_thread *thread)
{
    const struct rft_look_thread *from = thread_of(runtime, thread);
    return from && from->read ? rft_state_of(from) : NULL;
}

const unsigned char *rft_frame_copy(const struct rft_runtime *runtime,
                                    const struct rft_thread *thread, rft_address frame,
                                    size_t *size)
{
    const struct rft_look_thread *from = thread_of(runtime, thread);
    for (size_t k = 0; from && k < from->chunks.count; k++) {
        const struct rft_look_chunk *chunk = &from->chunks.items[k];
        if (chunk->read && frame >= chunk->address && frame - chunk->address < chunk->size &&
            chunk->size - (frame - chunk->address) >= runtime->look->frame_bytes) {
            *size = chunk->size - (size_t)(frame - chunk->address);
            return chunk->bytes[chunk->now] + (frame - chunk->address);
        }
    }
    return NULL;
}

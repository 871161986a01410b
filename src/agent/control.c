/* Beginning and ending a trace from inside the program: what the Python package calls
 * (python/reftracer/_trace.py), through ctypes.PyDLL, so with the GIL.
 *
 * One trace at a time in a process. If `reftracer run` traces it already, that trace can
 * be marked, and no other begun. After an end the next trace may begin: the records of
 * threads stay, everything else starts anew (rft_tracer_reset). */
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"

#define EXPORT __attribute__((visibility("default")))

/* Is there a second GIL, or none? Then a callback may be running in another thread while
 * we hold ours, and nothing can be dropped under it. */
static bool only_one_gil(const char *tstate)
{
    const uint32_t *at = tracer.layout.at;
    if (tracer.layout.free_threaded) {
        return false;
    }
    const char *interpreter, *gil;
    memcpy(&interpreter, tstate + at[RFT_THREAD_INTERP], sizeof interpreter);
    memcpy(&gil, interpreter + at[RFT_INTERP_GIL], sizeof gil);
    memcpy(&interpreter, tracer.py.runtime + at[RFT_RUNTIME_INTERPRETERS], sizeof interpreter);
    for (int i = 0; interpreter != NULL && i < 1 << 16; i++) {
        const char *other;
        memcpy(&other, interpreter + at[RFT_INTERP_GIL], sizeof other);
        if (other != gil) {
            return false;
        }
        memcpy(&interpreter, interpreter + at[RFT_INTERP_NEXT], sizeof interpreter);
    }
    return true;
}

/* Begins a trace. path: absolute. collect: run the cycle collector before the last census.
 * NULL, or why not: a static text. */
EXPORT const char *reftracer_start(const char *path, int collect)
{
    static bool prepared, hooked;
    if (!prepared && atomic_load(&tracer.state) == RFT_IDLE) {
        const char *error = rft_prepare();
        if (error != NULL) {
            return error;
        }
    }
    prepared = true;
    const char *tstate = tracer.py.thread_state();
    if (tstate == NULL) {
        return "the calling thread has no thread state";
    }
    switch (atomic_load(&tracer.state)) {
    case RFT_TRACING:
    case RFT_FORKED:
        return "this process is traced already";
    case RFT_STOPPED:
        if (!only_one_gil(tstate)) {
            return "another trace in the same process needs a GIL that all interpreters share";
        }
        rft_ticker_stop(); /* of a trace that ended by itself; it may be writing still */
        rft_tracer_reset();
        rft_windows_reset();
        break;
    default:
        break;
    }
    if (strlen(path) >= sizeof rft_config.output) {
        return "the path of the trace is too long";
    }
    strcpy(rft_config.output, path);
    rft_config.children = false;
    rft_config.collect = collect != 0;
    rft_leave_set_pid();
    const char *error = rft_start_now(!hooked);
    hooked = true;
    return error;
}

/* A name for this moment. NULL, or why not. */
EXPORT const char *reftracer_mark(const char *label)
{
    if (atomic_load(&tracer.state) != RFT_TRACING) {
        return "nothing is being traced";
    }
    rft_record_mark(label);
    return NULL;
}

/* Ends the trace, with a census of what is alive. NULL, or why not. */
EXPORT const char *reftracer_stop(void)
{
    if (atomic_load(&tracer.state) != RFT_TRACING) {
        return "nothing is being traced (any more): out of memory or disk, as stderr says";
    }
    if (rft_config.collect) {
        rft_collect_before_census();
    }
    rft_ticker_stop();
    rft_finish(RFT_CENSUS_REQUEST, RFT_END_ASKED);
    return NULL;
}

/* 1 while events are recorded. */
EXPORT int reftracer_is_tracing(void)
{
    return atomic_load(&tracer.state) == RFT_TRACING;
}

/* Writes what has happened up to now. NULL, or why not. */
EXPORT const char *reftracer_flush(void)
{
    if (atomic_load(&tracer.state) != RFT_TRACING) {
        return "nothing is being traced";
    }
    rft_record_tick(rft_now_ms(), false);
    return NULL;
}

/* The file of the trace that runs; NULL: none. */
EXPORT const char *reftracer_path(void)
{
    return atomic_load(&tracer.state) == RFT_TRACING ? rft_record_path() : NULL;
}

/* Times in which the process did not run at all: stopped by a signal or a debugger, frozen
 * with its container, or without a processor. The agent's ticker did not run then, either.
 * And those in which its heap was looked through, when the ticker goes on. */
#include "analyze/store.h"

#include <stdlib.h>

enum {
    PAUSE_MS = 300,  /* shorter ones do not change what curves look like, unless they are many */
    PAUSE_TICKS = 3, /* the ticks of a large trace come further apart: twice as far each time */
    LOOK_MS = 100,   /* looks that are shorter than a tick do not change what curves look like */
};
/* A tick that was dear delays the next one, too, but the program works on: with more than
 * this share of its births before. */
static const double PAUSE_BIRTHS = 0.3;

bool rft_pauses_see(struct rft_intake *intake, uint64_t time_ms)
{
    uint64_t gap = time_ms - intake->last_tick_ms, usual = intake->usual_gap_ms;
    double before = usual ? (double)intake->usual_births / (double)usual : 0;
    uint64_t births = intake->births - intake->births_then;
    bool pause = usual && gap >= PAUSE_MS && gap >= PAUSE_TICKS * usual &&
                 (double)births < PAUSE_BIRTHS * before * (double)gap;
    if (pause) {
        struct rft_pause found = {intake->last_tick_ms, gap - usual};
        if (!rft_vec_push(&intake->pauses, found))
            return false;
    } else if (intake->ticks > 1) { /* the first one comes soon after the start */
        intake->usual_gap_ms = gap;
        intake->usual_births = births;
    }
    intake->last_tick_ms = time_ms;
    intake->births_then = intake->births;
    return true;
}

static int by_begin(const void *a, const void *b)
{
    const struct rft_pause *x = a, *y = b;
    return (x->from_ms > y->from_ms) - (x->from_ms < y->from_ms);
}

bool rft_pauses_take_looks(struct rft_intake *intake, const struct rft_trace *trace)
{
    size_t count;
    const struct rft_trace_heap *heaps = rft_trace_heaps(trace, &count);
    for (size_t i = 0; i < count; i++) {
        struct rft_pause pause = {heaps[i].time_ms, heaps[i].pause_ms};
        if (pause.length_ms >= LOOK_MS && !rft_vec_push(&intake->pauses, pause))
            return false;
    }
    if (intake->pauses.count < 2)
        return true;
    qsort(intake->pauses.items, intake->pauses.count, sizeof(*intake->pauses.items), by_begin);
    struct rft_pause *last = intake->pauses.items;
    for (size_t i = 1; i < intake->pauses.count; i++) {
        struct rft_pause pause = intake->pauses.items[i];
        uint64_t apart = pause.from_ms - last->from_ms;
        if (apart > last->length_ms)
            *++last = pause;
        else if (last->length_ms < apart + pause.length_ms)
            last->length_ms = apart + pause.length_ms;
    }
    intake->pauses.count = (size_t)(last - intake->pauses.items) + 1;
    return true;
}

uint64_t rft_lived_ms(const struct rft_process *process, uint64_t ms)
{
    uint64_t lived = ms;
    for (uint32_t i = 0; i < process->pause_count; i++) {
        const struct rft_pause *pause = &process->pauses[i];
        if (ms <= pause->from_ms)
            break;
        lived -= ms - pause->from_ms < pause->length_ms ? ms - pause->from_ms : pause->length_ms;
    }
    return lived;
}

uint64_t rft_told_ms(const struct rft_process *process, uint64_t lived_ms)
{
    uint64_t ms = lived_ms;
    for (uint32_t i = 0; i < process->pause_count && process->pauses[i].from_ms < ms; i++)
        ms += process->pauses[i].length_ms;
    return ms;
}

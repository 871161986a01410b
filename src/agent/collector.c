/* How long CPython's cycle collector ran since the trace began.
 *
 * 3.15 counts that itself: struct gc_stats has, for each generation, a ring of statistics,
 * whose newest entry has the total so far (Include/internal/pycore_interp_structs.h). In
 * older versions a flag tells that it runs, and the ticker looks at it each millisecond; only
 * with --holders, and only at the main interpreter, whose memory is there until the end. */
#include <string.h>
#include <time.h>

#include "agent/agent.h"

enum {
    YOUNG = 11, /* entries of the ring of the youngest generation, and of the others */
    OLD = 3,
    ENTRY = 64,    /* struct gc_generation_stats */
    DURATION = 48, /* double, seconds */
    YOUNG_SIZE = YOUNG * ENTRY + 8,
    OLD_SIZE = OLD * ENTRY + 8,
    STATS_SIZE = YOUNG_SIZE + 2 * OLD_SIZE + 8,
};

static struct {
    const char *_Atomic gc; /* struct _gc_runtime_state of the main interpreter */
    double before;          /* seconds that 3.15 had counted when the trace began */
    _Atomic uint64_t sampled_ns;
    _Atomic bool sampled; /* that was done at all */
    uint64_t last_ns;     /* of the sampling thread */
} collector;

static bool counts_itself(void)
{
    return tracer.layout.at[RFT_GC_STATS] != RFT_NO_FIELD &&
           tracer.layout.at[RFT_GC_STATS_SIZE] == STATS_SIZE;
}

static const char *gc_of(const char *tstate)
{
    const char *interpreter;
    memcpy(&interpreter, tstate + tracer.layout.at[RFT_THREAD_INTERP], sizeof interpreter);
    return interpreter + tracer.layout.at[RFT_INTERP_GC];
}

static bool collecting(const char *gc)
{
    int flag;
    memcpy(&flag, gc + tracer.layout.at[RFT_GC_COLLECTING], sizeof flag);
    return flag != 0;
}

bool rft_collector_runs(const char *tstate)
{
    return collecting(gc_of(tstate));
}

static double newest(const char *ring, unsigned entries)
{
    double seconds = 0;
    signed char index = ring[entries * ENTRY];
    if (index >= 0 && (unsigned)index < entries) {
        memcpy(&seconds, ring + (size_t)index * ENTRY + DURATION, sizeof seconds);
    }
    return seconds > 0 && seconds < 1e9 ? seconds : 0;
}

static double own_seconds(const char *gc)
{
    const char *stats;
    memcpy(&stats, gc + tracer.layout.at[RFT_GC_STATS], sizeof stats);
    return stats != NULL ? newest(stats, YOUNG) + newest(stats + YOUNG_SIZE, OLD) +
                               newest(stats + YOUNG_SIZE + OLD_SIZE, OLD)
                         : 0;
}

void rft_collector_begin(const char *tstate)
{
    atomic_store(&collector.gc, NULL);
    atomic_store(&collector.sampled_ns, 0);
    atomic_store(&collector.sampled, false);
    if (tstate == NULL || !rft_is_main_interpreter((void *)(uintptr_t)tstate)) {
        return;
    }
    const char *gc = gc_of(tstate);
    collector.before = counts_itself() ? own_seconds(gc) : 0;
    atomic_store(&collector.gc, gc);
}

bool rft_collector_is_sampled(void)
{
    return rft_config.holders > 0 && !counts_itself() && atomic_load(&collector.gc) != NULL;
}

void rft_collector_sample(void)
{
    const char *gc = atomic_load(&collector.gc);
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    uint64_t now = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    /* Not what lies before a gap: the ticker ends for a while around a fork. */
    if (gc != NULL && now - collector.last_ns < 1000000000 && collecting(gc)) {
        atomic_fetch_add(&collector.sampled_ns, now - collector.last_ns);
    }
    collector.last_ns = now;
    atomic_store(&collector.sampled, true);
}

uint64_t rft_collector_ms(const char *tstate, enum rft_collector_time *known)
{
    const char *gc = gc_of(tstate);
    bool is_main = gc == atomic_load(&collector.gc);
    *known = RFT_COLLECTOR_NOT_KNOWN;
    /* An interpreter other than the main one has lived in the trace only, unless that was
     * begun in mid-life. */
    if (counts_itself() && (is_main || rft_config.holders > 0)) {
        *known = RFT_COLLECTOR_OWN;
        double seconds = own_seconds(gc) - (is_main ? collector.before : 0);
        return seconds > 0 ? (uint64_t)(seconds * 1000 + 0.5) : 0;
    }
    if (is_main && atomic_load(&collector.sampled)) {
        *known = RFT_COLLECTOR_SAMPLED;
        return atomic_load(&collector.sampled_ns) / 1000000;
    }
    return 0;
}

/* Windows: what was born since a moment and is alive, from the counters of cohorts.
 *
 * A mark separates cohorts. It waits for the next millisecond, so that all cohorts of before
 * started earlier; then each thread, before its next birth, looks at the clock and opens a
 * new cohort for every site (new_context, slot_now). So the cohorts that start at the mark's
 * time or later have what was born after it, and nothing else. */
#include <string.h>
#include <time.h>

#include "tracer/live_map.h"
#include "tracer/tracer.h"

uint32_t rft_mark(void)
{
    uint32_t before = rft_now_ms(), now;
    uint64_t next = tracer.start_ns + ((uint64_t)before + 1) * 1000000u;
    struct timespec then = {(time_t)(next / 1000000000u), (long)(next % 1000000000u)};
    do { /* again after a signal */
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL);
        now = rft_now_ms();
    } while (now == before);
    if (atomic_fetch_add_explicit(&tracer.marks, 1, memory_order_relaxed) == UINT32_MAX) {
        atomic_fetch_add_explicit(&tracer.marks, 1, memory_order_relaxed); /* never 0 */
    }
    /* release: pairs with the acquire in new_context() */
    atomic_fetch_add_explicit(&tracer.epoch, 1, memory_order_release);
    return now;
}

static uint32_t load(const _Atomic uint32_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static bool in_window(const struct rft_cohort *cohort, uint32_t from, uint32_t until)
{
    uint32_t start = rft_cohort_start(cohort);
    return start >= from && (until == 0 || start < until);
}

/* Objects of the cohort that are alive. Its fields belong together only while its thread
 * is in no callback; otherwise they are read again, a few times, if they can't be true. */
static uint32_t alive_in(const struct rft_cohort *cohort, const struct rft_site *site)
{
    int32_t alive = 0;
    for (int attempt = 0; attempt < 4; attempt++) {
        bool open = atomic_load_explicit(&cohort->span, memory_order_acquire) == 0;
        uint32_t births = load(&site->births) - load(&site->births_before_cohort);
        uint32_t at_once = load(&site->at_once) - load(&site->at_once_before_cohort);
        alive = atomic_load_explicit(&cohort->remaining, memory_order_acquire);
        if (!open) {
            break;
        }
        alive += (int32_t)(births - load(&cohort->deaths) - at_once);
        if (alive >= 0 && load(&cohort->span) == 0) {
            break;
        }
    }
    return alive > 0 ? (uint32_t)alive : 0;
}

bool rft_survivors(uint32_t from, uint32_t until, struct rft_survivors **ret, size_t *count,
                   size_t *size)
{
    pthread_mutex_lock(&tracer.lock);
    uint32_t sites = tracer.site_count;
    pthread_mutex_unlock(&tracer.lock);
    uint32_t *alive = rft_pages_alloc(((size_t)sites + 1) * sizeof *alive);
    uint32_t ids = rft_cohort_ids(), used = 0;
    for (uint32_t id = 1; alive != NULL && id < ids; id++) {
        const struct rft_cohort *cohorts =
            atomic_load_explicit(&rft_cohort_chunks[id / RFT_COHORT_CHUNK], memory_order_acquire);
        if (cohorts == NULL) { /* none has an id this low */
            id |= RFT_COHORT_CHUNK - 1;
            continue;
        }
        const struct rft_cohort *cohort = &cohorts[id % RFT_COHORT_CHUNK];
        const struct rft_site *site = atomic_load_explicit(&cohort->site, memory_order_acquire);
        if (site == NULL || !in_window(cohort, from, until) || site->id > sites ||
            (site->flags & RFT_SITE_ENDED)) {
            continue;
        }
        uint32_t more = alive_in(cohort, site);
        used += more > 0 && alive[site->id] == 0;
        alive[site->id] += more;
    }
    *size = ((size_t)used + 1) * sizeof **ret;
    *ret = alive != NULL ? rft_pages_alloc(*size) : NULL;
    *count = 0;
    for (uint32_t id = 1; *ret != NULL && id <= sites; id++) {
        if (alive[id] != 0) {
            (*ret)[(*count)++] = (struct rft_survivors){id, alive[id]};
        }
    }
    rft_pages_free(alive, ((size_t)sites + 1) * sizeof *alive);
    return *ret != NULL;
}

struct search {
    uint32_t from, until, site;
    uint64_t *addresses;
    size_t capacity, found;
};

static void search_leaf(uintptr_t base, rft_leaf leaf, void *arg)
{
    struct search *search = arg;
    for (uint32_t i = 0; i < RFT_LEAF_SLOTS; i++) {
        uint32_t slot = load(&leaf[i]);
        if (slot == 0) {
            continue;
        }
        const struct rft_cohort *cohort = rft_cohort(slot >> RFT_STAMP_BITS);
        const struct rft_site *site = atomic_load_explicit(&cohort->site, memory_order_acquire);
        const char *op = (const char *)(base + ((uintptr_t)i << 4));
        if (site != NULL && site->id == search->site &&
            in_window(cohort, search->from, search->until) && rft_looks_alive(op)) {
            if (search->found < search->capacity) {
                search->addresses[search->found] = (uint64_t)(uintptr_t)op;
            }
            search->found++;
        }
    }
}

size_t rft_survivor_objects(uint32_t from, uint32_t until, uint32_t site, uint64_t *addresses,
                            size_t capacity)
{
    struct search search = {from, until, site, addresses, capacity, 0};
    rft_live_map_each(search_leaf, &search);
    return search.found;
}

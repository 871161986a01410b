/* Ticks and censuses: the bulk of a trace. Each payload is walked twice, first to
 * check it to its end, then to hand it over in batches: so a chunk that makes no
 * sense has no effect, and a large one takes little memory. */
#include "trace/content.h"

enum {
    BATCH_SITES = 1024,
    BATCH_DETAILS = 1 << 16, /* ages or cohorts */
};

/* The next site id of a tick or census: ids ascend. */
static uint32_t next_site(struct rft_trace *trace, struct rft_content *content, uint64_t *site)
{
    uint64_t step = rft_content_number(content, UINT32_MAX);
    *site += step;
    if (!step || (!content->bad && !rft_trace_admit_site(trace, *site, content)))
        content->bad = true;
    return (uint32_t)*site;
}

/* Pairs of age bucket and objects. Bucket 0 is left out of tick_ages, and of the
 * count that is returned: it has a field of its own. */
static uint32_t read_ages(struct rft_trace *trace, struct rft_content *content, bool keep,
                          uint64_t *all, uint64_t *at_once)
{
    uint32_t kept = 0;
    uint64_t pairs = rft_content_number(content, RFT_AGE_BUCKETS);
    for (; pairs && !content->bad; pairs--) {
        struct rft_tick_age age;
        age.bucket = (uint32_t)rft_content_number(content, RFT_AGE_BUCKETS - 1);
        age.deaths = rft_content_count(content);
        *all += age.deaths;
        if (!age.bucket) {
            *at_once += age.deaths;
            continue;
        }
        kept++;
        if (keep && !content->bad)
            trace->tick_ages.items[trace->tick_ages.count++] = age;
    }
    return kept;
}

/* One site of a tick. Its ages, those of revived objects last, are appended to
 * tick_ages if `keep`. */
static struct rft_tick_site read_tick_site(struct rft_trace *trace, struct rft_content *content,
                                           uint64_t *site, bool keep)
{
    const unsigned known =
        RFT_TICK_BIRTHS | RFT_TICK_AT_ONCE | RFT_TICK_AGED | RFT_TICK_BYTES | RFT_TICK_REVIVED;
    struct rft_tick_site record = {.site = next_site(trace, content, site)};
    unsigned flags = rft_content_byte(content);
    if (flags & ~known)
        content->bad = true;
    if (flags & RFT_TICK_BIRTHS)
        record.births = rft_content_count(content);
    if (flags & RFT_TICK_AT_ONCE)
        record.at_once = rft_content_count(content);
    record.deaths = record.at_once;
    if (flags & RFT_TICK_AGED)
        record.age_count = read_ages(trace, content, keep, &record.deaths, &record.at_once);
    if (flags & RFT_TICK_BYTES)
        record.dead_bytes = rft_content_count(content);
    if (flags & RFT_TICK_REVIVED) {
        record.revived_age_count =
            read_ages(trace, content, keep, &record.revived, &record.revived_at_once);
        record.revived_bytes = rft_content_count(content);
    }
    return record;
}

static struct rft_error *hand_over_tick(struct rft_trace *trace, struct rft_tick *tick,
                                        const struct rft_trace_visitor *visitor)
{
    /* Without any age there is no array to point into. */
    const struct rft_tick_age *ages = trace->tick_ages.items;
    for (size_t i = 0; i < trace->tick_sites.count && ages != NULL; i++) {
        struct rft_tick_site *record = &trace->tick_sites.items[i];
        record->ages = ages;
        record->revived_ages = ages + record->age_count;
        ages = record->revived_ages + record->revived_age_count;
    }
    tick->sites = trace->tick_sites.items;
    tick->site_count = trace->tick_sites.count;
    struct rft_error *error = visitor->tick(visitor->data, trace, tick);
    /* The tick's own numbers go with its first batch only. */
    *tick = (struct rft_tick){.time_ms = tick->time_ms};
    trace->tick_sites.count = trace->tick_ages.count = 0;
    return error;
}

struct rft_error *rft_trace_tick(struct rft_trace *trace, struct rft_content *content,
                                 const struct rft_trace_visitor *visitor)
{
    struct rft_tick tick = {0};
    tick.time_ms = rft_content_time(content);
    tick.unseen_births = rft_content_count(content);
    tick.inferred_deaths = rft_content_count(content);
    tick.dropped_births = rft_content_count(content);
    uint64_t count = rft_content_number(content, rft_content_left(content));
    struct rft_content start = *content;
    uint64_t site = 0;
    for (uint64_t n = count; n && !content->bad; n--)
        read_tick_site(trace, content, &site, false);
    if (content->at != content->end)
        content->bad = true;
    if (content->no_memory)
        return rft_error_no_memory();
    if (content->bad)
        return NULL;

    rft_trace_saw_time(trace, tick.time_ms);
    if (!visitor || !visitor->tick)
        return NULL;
    trace->tick_sites.count = trace->tick_ages.count = 0;
    if (!rft_vec_reserve(&trace->tick_sites, BATCH_SITES) ||
        !rft_vec_reserve(&trace->tick_ages, BATCH_SITES * 2 * RFT_AGE_BUCKETS))
        return rft_error_no_memory();
    site = 0;
    for (uint64_t n = count; n; n--) {
        trace->tick_sites.items[trace->tick_sites.count++] =
            read_tick_site(trace, &start, &site, true);
        if (trace->tick_sites.count == BATCH_SITES && n > 1) {
            struct rft_error *error = hand_over_tick(trace, &tick, visitor);
            if (error)
                return error;
        }
    }
    return hand_over_tick(trace, &tick, visitor);
}

/* One site of a census. Its cohorts are appended to cohorts if `keep`. */
static struct rft_census_site read_census_site(struct rft_trace *trace, struct rft_content *content,
                                               uint64_t *site, bool keep)
{
    struct rft_census_site record = {.site = next_site(trace, content, site)};
    uint64_t cohorts = rft_content_number(content, rft_content_left(content));
    uint64_t birth = 0;
    if (keep && !rft_vec_reserve(&trace->cohorts, cohorts)) {
        content->no_memory = true;
        return record;
    }
    for (; cohorts && !content->bad; cohorts--) {
        birth += rft_content_time(content);
        if (birth > RFT_MS_SANE)
            content->bad = true;
        struct rft_cohort cohort = {.birth_ms = birth};
        cohort.length_ms = rft_content_time(content);
        cohort.survivors = rft_content_count(content);
        cohort.bytes = rft_content_count(content);
        if (keep)
            trace->cohorts.items[trace->cohorts.count++] = cohort;
        record.cohort_count++;
    }
    return record;
}

static struct rft_error *hand_over_census(struct rft_trace *trace, struct rft_census *census,
                                          const struct rft_trace_visitor *visitor)
{
    const struct rft_cohort *cohorts = trace->cohorts.items;
    for (size_t i = 0; i < trace->census_sites.count && cohorts != NULL; i++) {
        trace->census_sites.items[i].cohorts = cohorts;
        cohorts += trace->census_sites.items[i].cohort_count;
    }
    census->sites = trace->census_sites.items;
    census->site_count = trace->census_sites.count;
    struct rft_error *error = visitor->census(visitor->data, trace, census);
    trace->census_sites.count = trace->cohorts.count = 0;
    return error;
}

struct rft_error *rft_trace_census(struct rft_trace *trace, struct rft_content *content,
                                   const struct rft_trace_visitor *visitor)
{
    struct rft_census census = {0};
    census.kind = rft_content_byte(content);
    census.time_ms = rft_content_time(content);
    census.interpreter = (uint32_t)rft_content_number(content, trace->id_limit);
    uint64_t count = rft_content_number(content, rft_content_left(content));
    struct rft_content start = *content;
    uint64_t site = 0;
    for (uint64_t n = count; n && !content->bad; n--)
        read_census_site(trace, content, &site, false);
    if (content->at != content->end)
        content->bad = true;
    if (content->no_memory)
        return rft_error_no_memory();
    if (content->bad)
        return NULL;

    rft_trace_saw_time(trace, census.time_ms);
    if (!visitor || !visitor->census)
        return NULL;
    trace->census_sites.count = trace->cohorts.count = 0;
    if (!rft_vec_reserve(&trace->census_sites, BATCH_SITES))
        return rft_error_no_memory();
    site = 0;
    for (uint64_t n = count; n; n--) {
        struct rft_census_site record = read_census_site(trace, &start, &site, true);
        if (start.no_memory)
            return rft_error_no_memory();
        trace->census_sites.items[trace->census_sites.count++] = record;
        if (trace->census_sites.count == BATCH_SITES || trace->cohorts.count > BATCH_DETAILS) {
            struct rft_error *error = hand_over_census(trace, &census, visitor);
            if (error)
                return error;
        }
    }
    return hand_over_census(trace, &census, visitor);
}

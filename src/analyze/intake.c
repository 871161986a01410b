/* What a file says about its sites, added up while it is read. */
#include <string.h>

#include "analyze/store.h"
#include "trace/format.h"

static struct rft_error *make_sites(struct rft_intake *intake, const struct rft_trace *trace)
{
    size_t wanted = (size_t)rft_trace_site_count(trace) + 1;
    if (wanted <= intake->sites.count)
        return NULL;
    if (!rft_vec_reserve(&intake->sites, wanted - intake->sites.count))
        return rft_error_no_memory();
    while (intake->sites.count < wanted)
        intake->sites.items[intake->sites.count++] = (struct rft_intake_site){0};
    return NULL;
}

/* The whole program's numbers of the tick that has come in. */
static struct rft_error *close_tick(struct rft_intake *intake)
{
    if (!intake->ticks)
        return NULL;
    if (!rft_pauses_see(intake, intake->pending.time_ms))
        return rft_error_no_memory();
    struct rft_curve_point point = intake->pending;
    intake->pending = (struct rft_curve_point){.time_ms = point.time_ms};
    if (!point.births && !point.deaths)
        return NULL;
    intake->live += point.births - (uint64_t)point.deaths;
    if ((int64_t)intake->live > (int64_t)intake->peak_live)
        intake->peak_live = intake->live;
    if (!rft_curve_add(&intake->whole, &intake->store->arena, point))
        return rft_error_no_memory();
    return NULL;
}

static struct rft_error *add_ages(struct rft_intake *intake, struct rft_intake_site *site,
                                  const struct rft_tick_site *record)
{
    if (!site->ages && (record->age_count || record->revived_age_count)) {
        site->ages = rft_arena_alloc(&intake->store->arena, RFT_AGE_BUCKETS * sizeof(*site->ages));
        if (!site->ages)
            return rft_error_no_memory();
        for (unsigned i = 0; i < RFT_AGE_BUCKETS; i++)
            site->ages[i] = 0;
    }
    for (uint32_t i = 0; i < record->age_count; i++)
        site->ages[record->ages[i].bucket] += record->ages[i].deaths;
    for (uint32_t i = 0; i < record->revived_age_count; i++)
        site->ages[record->revived_ages[i].bucket] -= record->revived_ages[i].deaths;
    return NULL;
}

static struct rft_error *take_site(struct rft_intake *intake, uint64_t time_ms,
                                   const struct rft_tick_site *record)
{
    struct rft_arena *arena = &intake->store->arena;
    struct rft_intake_site *site = &intake->sites.items[record->site];
    struct rft_curve_point point = {
        .time_ms = time_ms,
        .births = record->births,
        .deaths = (int64_t)(record->deaths - record->revived),
    };
    site->births += record->births;
    site->deaths += (uint64_t)point.deaths;
    if (intake->collection_mark && record->deaths) {
        if (!site->collecting && !rft_vec_push(&intake->collecting, record->site))
            return rft_error_no_memory();
        site->collecting += record->deaths;
    }
    site->at_once += record->at_once - record->revived_at_once;
    site->dead_bytes += record->dead_bytes - record->revived_bytes;
    site->last_tick = intake->ticks;
    uint64_t live = site->births - site->deaths;
    if ((int64_t)live > (int64_t)site->peak_live)
        site->peak_live = live;
    intake->births += record->births;
    intake->deaths += (uint64_t)point.deaths;
    intake->pending.births += record->births;
    intake->pending.deaths += point.deaths;
    if (!site->curve) {
        site->curve = rft_arena_alloc(arena, sizeof(*site->curve));
        if (!site->curve)
            return rft_error_no_memory();
        *site->curve = (struct rft_curve){0};
    }
    if (!rft_curve_add(site->curve, arena, point))
        return rft_error_no_memory();
    return add_ages(intake, site, record);
}

/* Whether a final collection has begun; marks come between ticks. */
static void look_for_collection(struct rft_intake *intake, const struct rft_trace *trace)
{
    const size_t length = strlen(RFT_MARK_COLLECTION);
    size_t count;
    const struct rft_trace_mark *marks = rft_trace_marks(trace, &count);
    for (; intake->marks_seen < count; intake->marks_seen++) {
        struct rft_string label = marks[intake->marks_seen].label;
        if (label.length == length && !memcmp(label.bytes, RFT_MARK_COLLECTION, length))
            intake->collection_mark = intake->marks_seen + 1;
    }
}

/* A sub-interpreter's final collection is over: of what died meanwhile, its own objects were
 * garbage. The program goes on, and what dies from now on is freed by the program. */
static void end_collection(struct rft_intake *intake, const struct rft_trace *trace,
                           uint32_t interpreter)
{
    for (size_t i = 0; i < intake->collecting.count; i++) {
        uint32_t id = intake->collecting.items[i];
        struct rft_intake_site *site = &intake->sites.items[id];
        if (rft_trace_site(trace, id)->interpreter == interpreter)
            site->collected += site->collecting;
        site->collecting = 0;
    }
    intake->collecting.count = 0;
    intake->collection_mark = 0;
}

static struct rft_error *take_tick(void *data, const struct rft_trace *trace,
                                   const struct rft_tick *tick)
{
    struct rft_intake *intake = data;
    struct rft_error *error = make_sites(intake, trace);
    if (error)
        return error;
    if (!intake->ticks || tick->time_ms != intake->pending.time_ms) {
        error = close_tick(intake);
        if (error)
            return error;
        intake->ticks++;
        intake->pending.time_ms = tick->time_ms;
    }
    look_for_collection(intake, trace);
    intake->unseen_births += tick->unseen_births;
    intake->inferred_deaths += tick->inferred_deaths;
    intake->dropped_births += tick->dropped_births;
    for (size_t i = 0; i < tick->site_count; i++) {
        error = take_site(intake, tick->time_ms, &tick->sites[i]);
        if (error)
            return error;
    }
    return NULL;
}

/* The number of a census from 1: its chunks have the same kind, time and
 * interpreter. */
static uint32_t census_number(struct rft_intake *intake, const struct rft_census *census)
{
    size_t count = intake->censuses.count;
    if (count) {
        const struct rft_intake_census *last = &intake->censuses.items[count - 1];
        if (last->kind == census->kind && last->time_ms == census->time_ms &&
            last->interpreter == census->interpreter)
            return (uint32_t)count;
    }
    struct rft_intake_census added = {
        .kind = census->kind,
        .interpreter = census->interpreter,
        .time_ms = census->time_ms,
        .after_tick = intake->ticks,
    };
    return rft_vec_push(&intake->censuses, added) ? (uint32_t)count + 1 : 0;
}

static struct rft_error *take_census(void *data, const struct rft_trace *trace,
                                     const struct rft_census *census)
{
    struct rft_intake *intake = data;
    struct rft_error *error = make_sites(intake, trace);
    if (error)
        return error;
    uint32_t number = census_number(intake, census);
    if (!number)
        return rft_error_no_memory();
    look_for_collection(intake, trace);
    if (census->kind == RFT_CENSUS_INTERPRETER_END)
        end_collection(intake, trace, census->interpreter);
    for (size_t i = 0; i < census->site_count; i++) {
        const struct rft_census_site *record = &census->sites[i];
        struct rft_intake_site *site = &intake->sites.items[record->site];
        site->census = number;
        site->live_then = site->births - site->deaths;
        site->survivors = NULL;
        site->survivor_count = site->survivor_bytes = 0;
        for (uint32_t k = record->cohort_count; k--;) {
            const struct rft_cohort *cohort = &record->cohorts[k];
            struct rft_survivors *survivors =
                rft_arena_alloc(&intake->store->arena, sizeof(*survivors));
            if (!survivors)
                return rft_error_no_memory();
            *survivors = (struct rft_survivors){
                .next = site->survivors,
                .birth_ms = cohort->birth_ms,
                .length_ms = cohort->length_ms,
                .objects = cohort->survivors,
                .bytes = cohort->bytes,
            };
            site->survivors = survivors;
            site->survivor_count += cohort->survivors;
            site->survivor_bytes += cohort->bytes;
        }
    }
    return NULL;
}

static bool pass_progress(void *data, uint64_t done, uint64_t total)
{
    const struct rft_intake *intake = data;
    (void)total;
    done += intake->done_before;
    return !intake->progress || intake->progress(intake->progress_data, done,
                                                 intake->total > done ? intake->total : done);
}

void rft_intake_visitor(struct rft_intake *intake, struct rft_trace_visitor *ret)
{
    *ret = (struct rft_trace_visitor){
        .tick = take_tick,
        .census = take_census,
        .progress = pass_progress,
        .data = intake,
    };
}

/* What was taken back may exceed what was counted, if the ticks that counted it
 * were lost. */
static void keep_positive(uint64_t *number)
{
    if ((int64_t)*number < 0)
        *number = 0;
}

struct rft_error *rft_intake_finish(struct rft_intake *intake)
{
    for (size_t i = 0; i < intake->sites.count; i++) {
        struct rft_intake_site *site = &intake->sites.items[i];
        keep_positive(&site->deaths);
        keep_positive(&site->at_once);
        keep_positive(&site->dead_bytes);
        site->collected += site->collecting;
        for (unsigned k = 0; site->ages && k < RFT_AGE_BUCKETS; k++)
            keep_positive(&site->ages[k]);
    }
    keep_positive(&intake->deaths);
    return close_tick(intake);
}

void rft_intake_deinit(struct rft_intake *intake)
{
    rft_vec_free(&intake->sites);
    rft_vec_free(&intake->censuses);
    rft_vec_free(&intake->pauses);
    rft_vec_free(&intake->collecting);
}

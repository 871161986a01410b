/* From collected parts to the finished model: order, totals, the timeline. */
#include <stdlib.h>
#include <string.h>

#include "analyze/store.h"

/* --- processes ------------------------------------------------------------------------- */

struct start {
    uint64_t ns;
    bool forked;
    uint32_t process;
};

/* A fork may have its parent's start. Without a start there is no telling: last. */
static int by_start(const void *a, const void *b)
{
    const struct start *x = a, *y = b;
    if (x->ns != y->ns)
        return x->ns - 1 < y->ns - 1 ? -1 : 1;
    if (x->forked != y->forked)
        return x->forked ? 1 : -1;
    return (x->process > y->process) - (x->process < y->process);
}

/* Files come in any order; the process that started first is the one to name. */
static bool order_processes(struct rft_model_store *store)
{
    size_t count = store->processes.count;
    struct start *starts = malloc((count + 1) * sizeof(*starts));
    uint32_t *places = malloc((count + 1) * sizeof(*places));
    struct rft_process *processes = malloc((count + 1) * sizeof(*processes));
    struct rft_curve *curves = malloc((count + 1) * sizeof(*curves));
    bool there = starts && places && processes && curves;
    for (size_t i = 0; there && i < count; i++) {
        const struct rft_process *process = &store->processes.items[i];
        starts[i] = (struct start){process->start_ns, process->forked, (uint32_t)i};
    }
    if (there) {
        qsort(starts, count, sizeof(*starts), by_start);
        for (size_t i = 0; i < count; i++) {
            places[starts[i].process] = (uint32_t)i;
            processes[i] = store->processes.items[starts[i].process];
            curves[i] = store->process_curves.items[starts[i].process];
        }
        memcpy(store->processes.items, processes, count * sizeof(*processes));
        memcpy(store->process_curves.items, curves, count * sizeof(*curves));
        for (size_t i = 0; i < store->parts.count; i++)
            store->parts.items[i].process = places[store->parts.items[i].process];
        for (size_t i = 0; i < store->threads.count; i++)
            store->threads.items[i].process = places[store->threads.items[i].process];
        for (size_t i = 0; i < store->losses.count; i++)
            store->losses.items[i].process = places[store->losses.items[i].process];
        for (size_t i = 0; i < store->marks.count; i++)
            store->marks.items[i].process = places[store->marks.items[i].process];
        for (size_t i = 0; i < store->heaps.count; i++)
            store->heaps.items[i].process = places[store->heaps.items[i].process];
        for (size_t i = 0; i < store->retainers.count; i++)
            store->retainers.items[i].process = places[store->retainers.items[i].process];
    }
    free(starts);
    free(places);
    free(processes);
    free(curves);
    return there;
}

/* --- time ------------------------------------------------------------------------------ */

/* Time 0 is the earliest start of a process. A process without a start (its
 * PROGRAM chunk was lost) counts as started then. */
static void place_in_time(struct rft_model *model)
{
    struct rft_model_store *store = model->store;
    uint64_t first_ns = 0;
    for (size_t i = 0; i < store->processes.count; i++) {
        uint64_t start_ns = store->processes.items[i].start_ns;
        if (start_ns && (!first_ns || start_ns < first_ns))
            first_ns = start_ns;
    }
    model->start_ns = first_ns;
    for (size_t i = 0; i < store->processes.count; i++) {
        struct rft_process *process = &store->processes.items[i];
        if (process->start_ns)
            process->offset_ms = process->start_ns / 1000000 - first_ns / 1000000;
        if (process->offset_ms + process->duration_ms > model->duration_ms)
            model->duration_ms = process->offset_ms + process->duration_ms;
    }
    for (size_t i = 0; i < store->marks.count; i++)
        store->marks.items[i].time_ms +=
            store->processes.items[store->marks.items[i].process].offset_ms;
    for (size_t i = 0; i < store->losses.count; i++)
        store->losses.items[i].time_ms +=
            store->processes.items[store->losses.items[i].process].offset_ms;
    for (size_t i = 0; i < store->heaps.count; i++)
        store->heaps.items[i].time_ms +=
            store->processes.items[store->heaps.items[i].process].offset_ms;
}

static uint64_t from_wall(const struct rft_model *model, uint64_t wall_ms)
{
    uint64_t start_ms = model->start_ns / 1000000;
    if (wall_ms == RFT_NEVER)
        return RFT_NEVER;
    return wall_ms > start_ms ? wall_ms - start_ms : 0;
}

static void place_threads_in_time(struct rft_model *model)
{
    struct rft_model_store *store = model->store;
    for (size_t i = 0; i < store->threads.count; i++) {
        struct rft_thread *thread = &store->threads.items[i];
        thread->start_ms = from_wall(model, thread->start_ms);
        thread->end_ms = from_wall(model, thread->end_ms);
    }
    for (size_t i = 0; i < store->interpreters.count; i++) {
        struct rft_interpreter *interpreter = &store->interpreters.items[i];
        interpreter->start_ms = from_wall(model, interpreter->start_ms);
        interpreter->end_ms = from_wall(model, interpreter->end_ms);
    }
}

/* --- the timeline ------------------------------------------------------------------------- */

/* What lives at the end of a process goes with it. It is no death, and the last
 * process's end is the end of the picture. */
static bool add_process_end(const struct rft_model *model, const struct rft_process *process,
                            uint64_t births, uint64_t deaths, rft_curve_points *to)
{
    uint64_t end_ms = process->offset_ms + process->duration_ms;
    struct rft_curve_point end = {end_ms, 0, (int64_t)(births - deaths)};
    return end_ms >= model->duration_ms || end.deaths <= 0 || rft_vec_push(to, end);
}

static struct rft_error *build_timeline(struct rft_model *model)
{
    struct rft_model_store *store = model->store;
    rft_curve_points points = {0};
    for (size_t i = 0; i < store->processes.count; i++) {
        const struct rft_process *process = &store->processes.items[i];
        if (!rft_curve_points_of(&store->process_curves.items[i], process->offset_ms, &points))
            goto no_memory;
        if (!add_process_end(model, process, process->births, process->deaths, &points))
            goto no_memory;
    }
    rft_curve_sort(&points);
    if (!rft_vec_reserve(&store->timeline, points.count))
        goto no_memory;
    int64_t live = 0;
    for (size_t i = 0; i < points.count; i++) {
        const struct rft_curve_point *point = &points.items[i];
        live += (int64_t)point->births - point->deaths;
        struct rft_timeline_point *to = &store->timeline.items[store->timeline.count++];
        *to = (struct rft_timeline_point){
            .time_ms = point->time_ms,
            .births = point->births,
            .deaths = point->deaths > 0 ? (uint64_t)point->deaths : 0,
            .live = live > 0 ? (uint64_t)live : 0,
        };
        if (to->live > model->totals.peak_live) {
            model->totals.peak_live = to->live;
            model->totals.peak_ms = to->time_ms;
        }
    }
    rft_vec_free(&points);
    return NULL;

no_memory:
    rft_vec_free(&points);
    return rft_error_no_memory();
}

/* --- sites ------------------------------------------------------------------------------------ */

/* The peak of a site that several curves make up: the sum of their peaks is only a
 * bound. */
static struct rft_error *find_peak(struct rft_model *model, struct rft_site *site)
{
    struct rft_model_store *store = model->store;
    rft_curve_points points = {0};
    struct rft_error *error = NULL;
    for (uint32_t i = 0; i < site->part_count && !error; i++) {
        const struct rft_site_part *part = &store->parts.items[site->first_part + i];
        const struct rft_process *process = &store->processes.items[part->process];
        if (!rft_curve_points_of(part->curve, process->offset_ms, &points) ||
            !add_process_end(model, process, part->births, part->deaths, &points))
            error = rft_error_no_memory();
    }
    rft_curve_sort(&points);
    int64_t live = 0, peak = 0;
    for (size_t i = 0; i < points.count; i++) {
        live += (int64_t)points.items[i].births - points.items[i].deaths;
        if (live > peak)
            peak = live;
    }
    rft_vec_free(&points);
    site->peak_live = (uint64_t)peak;
    return error;
}

struct order {
    uint64_t live_bytes, births;
    uint32_t site;
};

static int by_live_bytes(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->live_bytes != y->live_bytes)
        return x->live_bytes < y->live_bytes ? 1 : -1;
    if (x->births != y->births)
        return x->births < y->births ? 1 : -1;
    return (x->site > y->site) - (x->site < y->site);
}

/* What was found in the heap follows its site. */
static void move_heap_parts(struct rft_model_store *store, const uint32_t *places)
{
    for (size_t i = 0; i < store->heap_parts.count; i++)
        store->heap_parts.items[i].site = places[store->heap_parts.items[i].site];
    for (size_t i = 0; i < store->cycles.count; i++)
        if (store->cycles.items[i].site != RFT_NONE)
            store->cycles.items[i].site = places[store->cycles.items[i].site];
    for (size_t i = 0; i < store->retainers.count; i++)
        if (store->retainers.items[i].site != RFT_NONE)
            store->retainers.items[i].site = places[store->retainers.items[i].site];
}

/* Sites in the order that reports want, each with its parts beside one another. */
static bool order_sites(struct rft_model_store *store)
{
    static uint64_t no_ages[RFT_AGE_BUCKETS];
    size_t count = store->sites.count;
    struct order *orders = malloc((count + 1) * sizeof(*orders));
    struct rft_site *sites = malloc((count + 1) * sizeof(*sites));
    struct rft_site_part *parts = malloc((store->parts.count + 1) * sizeof(*parts));
    uint32_t *places = malloc((count + 1) * sizeof(*places));
    if (!orders || !sites || !parts || !places) {
        free(orders);
        free(places);
        free(sites);
        free(parts);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct rft_site *site = &store->sites.items[i];
        orders[i] = (struct order){site->live_bytes, site->births, (uint32_t)i};
    }
    qsort(orders, count, sizeof(*orders), by_live_bytes);
    uint32_t part_count = 0;
    for (size_t i = 0; i < count; i++) {
        sites[i] = store->sites.items[orders[i].site];
        sites[i].first_part = part_count;
        places[orders[i].site] = (uint32_t)i;
        if (!sites[i].ages)
            sites[i].ages = no_ages;
        for (uint32_t part = store->last_parts.items[orders[i].site]; part != RFT_NONE;
             part = store->earlier_parts.items[part]) {
            parts[part_count] = store->parts.items[part];
            parts[part_count++].site = (uint32_t)i;
        }
        sites[i].part_count = part_count - sites[i].first_part;
    }
    move_heap_parts(store, places);
    free(orders);
    free(places);
    free(store->sites.items);
    free(store->parts.items);
    store->sites.items = sites;
    store->sites.capacity = count + 1;
    store->parts.items = parts;
    store->parts.capacity = store->parts.count + 1;
    return true;
}

static struct rft_error *add_up(struct rft_model *model)
{
    struct rft_model_store *store = model->store;
    struct rft_totals *totals = &model->totals;
    for (size_t i = 0; i < store->sites.count; i++) {
        struct rft_site *site = &store->sites.items[i];
        bool several = site->part_count > 1 ||
                       (site->part_count == 1 && store->parts.items[site->first_part].curve &&
                        store->parts.items[site->first_part].curve->next);
        if (several) {
            struct rft_error *error = find_peak(model, site);
            if (error)
                return error;
        }
        totals->births += site->births;
        totals->deaths += site->deaths;
        totals->live += site->live;
        totals->live_bytes += site->live_bytes;
        totals->dead_bytes += site->dead_bytes;
        totals->died_at_once += site->died_at_once;
        totals->live_bytes_estimated |= site->live_bytes_estimated;
        model->losses.unexplained += site->unexplained;
        for (unsigned k = 0; k < RFT_AGE_BUCKETS; k++)
            totals->ages[k] += site->ages[k];
        for (uint32_t k = 0; k < site->part_count; k++) {
            const struct rft_site_part *part = &store->parts.items[site->first_part + k];
            totals->live_ended += part->live_ended;
            store->processes.items[part->process].live += part->live;
            store->processes.items[part->process].live_bytes += part->live_bytes;
        }
    }
    return NULL;
}

/* --- all ---------------------------------------------------------------------------------------
 */

static void publish(struct rft_model *model)
{
    struct rft_model_store *store = model->store;
    model->processes = store->processes.items;
    model->process_count = (uint32_t)store->processes.count;
    model->threads = store->threads.items;
    model->thread_count = (uint32_t)store->threads.count;
    model->interpreters = store->interpreters.items;
    model->interpreter_count = (uint32_t)store->interpreters.count;
    model->types = store->types.items;
    model->type_count = (uint32_t)store->types.count;
    model->frames = store->frames.items;
    model->frame_count = (uint32_t)store->frames.count;
    model->stacks = store->stacks.items;
    model->stack_count = (uint32_t)store->stacks.count;
    model->sites = store->sites.items;
    model->site_count = (uint32_t)store->sites.count;
    model->parts = store->parts.items;
    model->part_count = (uint32_t)store->parts.count;
    model->timeline = store->timeline.items;
    model->timeline_count = store->timeline.count;
    model->loss_list = store->losses.items;
    model->loss_count = store->losses.count;
    model->marks = store->marks.items;
    model->mark_count = store->marks.count;
}

struct rft_error *rft_build(struct rft_model *model)
{
    struct rft_model_store *store = model->store;
    if (!order_processes(store))
        return rft_error_no_memory();
    place_in_time(model);
    place_threads_in_time(model);
    if (!order_sites(store))
        return rft_error_no_memory();
    struct rft_error *error = add_up(model);
    if (!error)
        error = build_timeline(model);
    if (error)
        return error;
    publish(model);
    error = rft_growing_find(model);
    if (error)
        return error;
    model->growing = store->growing.items;
    model->growing_count = (uint32_t)store->growing.count;
    error = rft_held_find(model);
    if (error)
        return error;
    error = rft_exactness(model);
    model->reasons = store->reasons.items;
    model->reason_count = store->reasons.count;
    model->warnings = store->warnings.items;
    model->warning_count = store->warnings.count;
    return error;
}

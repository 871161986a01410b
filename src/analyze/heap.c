/* What a file says of the heap: the last look through each interpreter, in the model's words. */
#include <stdlib.h>
#include <string.h>

#include "analyze/store.h"

enum {
    PATTERNS_MOST = 1024, /* of a site; more tell nothing further */
    PAIRS_MOST = 4096,
};

struct taking {
    struct rft_model_store *store;
    const struct rft_heap_ids *ids;
    uint32_t *parts;     /* by the trace's site id: number in heap_parts; RFT_NONE */
    size_t heap;         /* the look: its number in the trace */
    uint32_t number;     /* and in the model */
    uint32_t first_part; /* of this file */
};

static uint32_t site_of(const struct taking *taking, uint32_t id)
{
    return id && id <= taking->ids->site_count ? taking->ids->sites[id] : RFT_NONE;
}

/* The part of a site; NULL without memory. What an earlier look said is forgotten, but for
 * its refcounts. */
static struct rft_heap_part *part_of(struct taking *taking, uint32_t id)
{
    struct rft_model_store *store = taking->store;
    if (taking->parts[id] == RFT_NONE) {
        struct rft_heap_part part = {.site = site_of(taking, id), .heap = taking->number};
        if (store->heap_parts.count >= RFT_NONE || !rft_vec_push(&store->heap_parts, part))
            return NULL;
        taking->parts[id] = (uint32_t)store->heap_parts.count - 1;
    }
    struct rft_heap_part *part = &store->heap_parts.items[taking->parts[id]];
    if (part->heap != taking->number)
        *part = (struct rft_heap_part){
            .site = part->site,
            .heap = taking->number,
            .looks = part->looks,
            .earlier_objects = part->earlier_objects,
            .earlier_references = part->earlier_references,
        };
    return part;
}

/* --- paths --------------------------------------------------------------------------------- */

/* NULL for "none", and where there is no memory (*failed). */
static const char *text_of(const struct taking *taking, uint32_t id, bool *failed)
{
    struct rft_string string = rft_trace_string(taking->ids->trace, id);
    if (!id)
        return NULL;
    const char *text = rft_store_text(taking->store, string);
    *failed |= !text;
    return text;
}

static const char *type_of(const struct taking *taking, uint32_t id, bool *failed)
{
    uint32_t name = rft_trace_type(taking->ids->trace, id)->name;
    return id ? text_of(taking, name, failed) : NULL;
}

static bool take_path(const struct taking *taking, const struct rft_trace_path *from,
                      struct rft_path *ret)
{
    struct rft_step steps[RFT_PATH_STEPS_MAX];
    bool failed = false;
    uint32_t count = from->count < RFT_PATH_STEPS_MAX ? from->count : RFT_PATH_STEPS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct rft_trace_step *step = &from->steps[i];
        steps[i] = (struct rft_step){
            .kind = step->kind,
            .type = type_of(taking, step->type, &failed),
            .label = text_of(taking, step->label, &failed),
            .detail = text_of(taking, step->detail, &failed),
            .index = step->index == RFT_TRACE_NO_INDEX ? RFT_NEVER : step->index,
        };
    }
    count = rft_path_tidy(steps, count);
    struct rft_step *kept = rft_arena_alloc(&taking->store->arena, count * sizeof(*kept) + 1);
    if (failed || !kept)
        return false;
    memcpy(kept, steps, count * sizeof(*kept));
    *ret = (struct rft_path){kept, count};
    return true;
}

/* --- the chunks ------------------------------------------------------------------------------ */

static bool take_holders(struct taking *taking)
{
    size_t count;
    const struct rft_trace_holders *all =
        rft_trace_heap_holders(taking->ids->trace, taking->heap, &count);
    for (size_t i = 0; i < count; i++) {
        if (site_of(taking, all[i].site) == RFT_NONE)
            continue;
        struct rft_heap_part *part = part_of(taking, all[i].site);
        uint32_t patterns =
            all[i].pattern_count < PATTERNS_MOST ? all[i].pattern_count : PATTERNS_MOST;
        struct rft_pattern *kept =
            rft_arena_alloc(&taking->store->arena, patterns * sizeof(*kept) + 1);
        if (!part || !kept)
            return false;
        for (uint32_t k = 0; k < patterns; k++) {
            kept[k].objects = all[i].patterns[k].objects;
            if (!take_path(taking, &all[i].patterns[k].path, &kept[k].path))
                return false;
        }
        part->objects = all[i].objects;
        part->retained_bytes = all[i].retained_bytes;
        part->sampled = all[i].sampled;
        part->unreachable = all[i].unreachable;
        part->patterns = kept;
        part->pattern_count = patterns;
    }
    return true;
}

static void add_surplus(const struct rft_surplus *pair, uint64_t *objects, uint64_t *references)
{
    if (pair->surplus <= 0)
        return;
    double sum = (double)pair->surplus * (double)pair->objects;
    *objects += pair->objects;
    *references += sum < 1e18 ? (uint64_t)sum : 0;
}

static bool take_refcounts(struct taking *taking)
{
    size_t count;
    const struct rft_trace_refcounts *all =
        rft_trace_heap_refcounts(taking->ids->trace, taking->heap, &count);
    for (size_t i = 0; i < count; i++) {
        if (site_of(taking, all[i].site) == RFT_NONE)
            continue;
        struct rft_heap_part *part = part_of(taking, all[i].site);
        uint32_t pairs = all[i].pair_count < PAIRS_MOST ? all[i].pair_count : PAIRS_MOST;
        struct rft_surplus *kept =
            rft_arena_alloc(&taking->store->arena, pairs * sizeof(*kept) + 1);
        if (!part || !kept)
            return false;
        uint64_t objects = 0, references = 0;
        for (uint32_t k = 0; k < pairs; k++) {
            kept[k] = (struct rft_surplus){all[i].pairs[k].surplus, all[i].pairs[k].objects};
            add_surplus(&kept[k], &objects, &references);
        }
        part->audited = all[i].audited;
        part->pairs = kept;
        part->pair_count = pairs;
        if (!part->looks++) {
            part->earlier_objects = objects;
            part->earlier_references = references;
        }
    }
    return true;
}

static bool take_garbage(struct taking *taking)
{
    size_t count;
    const struct rft_trace_garbage *all =
        rft_trace_heap_garbage(taking->ids->trace, taking->heap, &count);
    for (size_t i = 0; i < count; i++) {
        if (site_of(taking, all[i].site) == RFT_NONE)
            continue;
        struct rft_heap_part *part = part_of(taking, all[i].site);
        if (!part)
            return false;
        part->garbage_objects = all[i].objects;
        part->garbage_bytes = all[i].bytes;
    }
    return true;
}

static bool take_cycles(struct taking *taking)
{
    size_t count;
    const struct rft_trace_cycle *all =
        rft_trace_heap_cycles(taking->ids->trace, taking->heap, &count);
    for (size_t i = 0; i < count; i++) {
        struct rft_cycle cycle = {
            .site = site_of(taking, all[i].site),
            .cycles = all[i].cycles,
            .objects = all[i].objects,
        };
        if (!take_path(taking, &all[i].path, &cycle.path) ||
            !rft_vec_push(&taking->store->cycles, cycle))
            return false;
    }
    return true;
}

static bool take_retainers(struct taking *taking)
{
    size_t count;
    const struct rft_trace_retainer *all =
        rft_trace_heap_retainers(taking->ids->trace, taking->heap, &count);
    for (size_t i = 0; i < count; i++) {
        bool failed = false;
        struct rft_retainer retainer = {
            .process = taking->ids->process,
            .site = site_of(taking, all[i].site),
            .type = type_of(taking, all[i].type, &failed),
            .bytes = all[i].bytes,
            .retained_bytes = all[i].retained_bytes,
            .retained_objects = all[i].retained_objects,
        };
        if (!retainer.type)
            retainer.type = "?";
        if (failed || !take_path(taking, &all[i].path, &retainer.path) ||
            !rft_vec_push(&taking->store->retainers, retainer))
            return false;
    }
    return true;
}

/* --- the looks -------------------------------------------------------------------------------- */

/* For each interpreter the number of its last look; one that was refused counts only where
 * there is no other. */
static size_t *last_looks(const struct rft_heap_ids *ids, const struct rft_trace_heap *heaps,
                          size_t count)
{
    uint32_t highest = rft_trace_interpreter_count(ids->trace);
    size_t *last = malloc(((size_t)highest + 1) * sizeof(*last));
    for (uint32_t id = 0; last && id <= highest; id++)
        last[id] = SIZE_MAX;
    for (size_t i = 0; last && i < count; i++) {
        size_t *of = &last[heaps[i].interpreter <= highest ? heaps[i].interpreter : 0];
        bool refused = heaps[i].flags & RFT_HEAP_REFUSED;
        if (!refused || *of == SIZE_MAX || (heaps[*of].flags & RFT_HEAP_REFUSED))
            *of = i;
    }
    return last;
}

static bool take_look(struct taking *taking, const struct rft_trace_heap *from, bool last)
{
    struct rft_model_store *store = taking->store;
    uint32_t interpreters = rft_trace_interpreter_count(taking->ids->trace);
    struct rft_heap heap = {
        .process = taking->ids->process,
        .interpreter = from->interpreter <= interpreters
                           ? taking->ids->interpreters[from->interpreter]
                           : RFT_NONE,
        .time_ms = from->time_ms,
        .kind = from->kind,
        .flags = from->flags,
        .objects = from->objects,
        .references = from->references,
        .bytes = from->bytes,
        .pause_ms = from->pause_ms,
        .garbage_objects = from->garbage_objects,
        .garbage_bytes = from->garbage_bytes,
        .collector_ms = from->collector_ms,
        .collector_time = from->collector_time,
        .label = rft_store_text(store, from->label),
        .last = last,
    };
    if (!heap.label || store->heaps.count >= RFT_NONE || !rft_vec_push(&store->heaps, heap))
        return false;
    taking->number = (uint32_t)store->heaps.count - 1;
    return take_refcounts(taking) && (!last || (take_holders(taking) && take_garbage(taking) &&
                                                take_cycles(taking) && take_retainers(taking)));
}

/* Sites that only an earlier look had: nothing of them was alive at the last. */
static void drop_earlier(struct taking *taking)
{
    struct rft_model_store *store = taking->store;
    uint32_t kept = taking->first_part;
    for (uint32_t i = taking->first_part; i < store->heap_parts.count; i++)
        if (store->heaps.items[store->heap_parts.items[i].heap].last)
            store->heap_parts.items[kept++] = store->heap_parts.items[i];
    store->heap_parts.count = kept;
}

bool rft_heap_take(struct rft_model_store *store, const struct rft_heap_ids *ids)
{
    size_t count;
    const struct rft_trace_heap *heaps = rft_trace_heaps(ids->trace, &count);
    if (!count)
        return true;
    struct taking taking = {
        .store = store,
        .ids = ids,
        .parts = malloc(((size_t)ids->site_count + 1) * sizeof(*taking.parts)),
        .first_part = (uint32_t)store->heap_parts.count,
    };
    uint32_t highest = rft_trace_interpreter_count(ids->trace);
    size_t *last = last_looks(ids, heaps, count);
    bool taken = taking.parts && last;
    for (uint32_t id = 0; taken && id <= ids->site_count; id++)
        taking.parts[id] = RFT_NONE;
    for (taking.heap = 0; taken && taking.heap < count; taking.heap++) {
        const struct rft_trace_heap *heap = &heaps[taking.heap];
        uint32_t interpreter = heap->interpreter <= highest ? heap->interpreter : 0;
        taken = take_look(&taking, heap, last[interpreter] == taking.heap);
    }
    if (taken)
        drop_earlier(&taking);
    free(last);
    free(taking.parts);
    return taken;
}

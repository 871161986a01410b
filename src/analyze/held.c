/* What the heap says of the objects of one type and place: their sites' parts together. */
#include <stdlib.h>
#include <string.h>

#include "analyze/store.h"

struct ordered {
    uint64_t key; /* place and type */
    uint64_t objects;
    uint32_t part;
};

static int by_key(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->objects != y->objects)
        return x->objects < y->objects ? 1 : -1;
    return (x->part > y->part) - (x->part < y->part);
}

static uint64_t key_of(const struct rft_model *model, const struct rft_site *site)
{
    uint32_t own = rft_model_own_node(model, site->stack);
    uint32_t frame = own ? model->stacks[own].frame : model->frame_count;
    return (uint64_t)frame << 32 | site->type;
}

static int by_surplus(const void *a, const void *b)
{
    const struct rft_surplus *x = a, *y = b;
    return (x->surplus > y->surplus) - (x->surplus < y->surplus);
}

/* One group's parts, in `ordered`. */
struct gathering {
    struct rft_model *model;
    const struct ordered *ordered;
    uint32_t count;
};

static const struct rft_heap_part *part_at(const struct gathering *gathering, uint32_t i)
{
    return &gathering->model->store->heap_parts.items[gathering->ordered[i].part];
}

static bool gather_patterns(const struct gathering *gathering, struct rft_held *held)
{
    struct rft_arena *arena = &gathering->model->store->arena;
    size_t count = 0;
    for (uint32_t i = 0; i < gathering->count; i++)
        count += part_at(gathering, i)->pattern_count;
    struct rft_pattern *patterns = rft_arena_alloc(arena, count * sizeof(*patterns) + 1);
    if (!patterns || count >= RFT_NONE)
        return false;
    count = 0;
    for (uint32_t i = 0; i < gathering->count; i++) {
        const struct rft_heap_part *part = part_at(gathering, i);
        if (part->pattern_count)
            memcpy(patterns + count, part->patterns, part->pattern_count * sizeof(*patterns));
        count += part->pattern_count;
    }
    held->patterns = patterns;
    held->pattern_count = rft_patterns_join(patterns, (uint32_t)count, arena);
    return held->pattern_count != RFT_NONE;
}

static bool gather_refcounts(const struct gathering *gathering, struct rft_refcounts *refcounts)
{
    struct rft_arena *arena = &gathering->model->store->arena;
    size_t count = 0;
    for (uint32_t i = 0; i < gathering->count; i++)
        count += part_at(gathering, i)->pair_count;
    struct rft_surplus *pairs = rft_arena_alloc(arena, count * sizeof(*pairs) + 1);
    if (!pairs || count >= RFT_NONE)
        return false;
    count = 0;
    for (uint32_t i = 0; i < gathering->count; i++) {
        const struct rft_heap_part *part = part_at(gathering, i);
        if (part->pair_count)
            memcpy(pairs + count, part->pairs, part->pair_count * sizeof(*pairs));
        count += part->pair_count;
        refcounts->audited += part->audited;
        if (part->looks > refcounts->looks)
            refcounts->looks = part->looks;
    }
    /* Where sites were looked at from different times on, the ones that came later were not
     * there before. */
    for (uint32_t i = 0; i < gathering->count; i++) {
        const struct rft_heap_part *part = part_at(gathering, i);
        if (part->looks == refcounts->looks) {
            refcounts->earlier_objects += part->earlier_objects;
            refcounts->earlier_references += part->earlier_references;
        }
    }
    qsort(pairs, count, sizeof(*pairs), by_surplus);
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (left && pairs[left - 1].surplus == pairs[i].surplus)
            pairs[left - 1].objects += pairs[i].objects;
        else
            pairs[left++] = pairs[i];
    }
    refcounts->pairs = pairs;
    refcounts->pair_count = (uint32_t)left;
    return true;
}

static bool gather(const struct gathering *gathering)
{
    struct rft_model *model = gathering->model;
    struct rft_model_store *store = model->store;
    uint32_t *members = rft_arena_alloc(&store->arena, gathering->count * sizeof(*members));
    struct rft_held held = {
        .site = part_at(gathering, 0)->site,
        .members = members,
        .growing = RFT_NONE,
    };
    if (!members || !gather_patterns(gathering, &held) ||
        !gather_refcounts(gathering, &held.refcounts))
        return false;
    for (uint32_t i = 0; i < gathering->count; i++) {
        const struct rft_heap_part *part = part_at(gathering, i);
        held.objects += part->objects;
        held.retained_bytes += part->retained_bytes;
        held.sampled += part->sampled;
        held.unreachable += part->unreachable;
        held.garbage_objects += part->garbage_objects;
        held.garbage_bytes += part->garbage_bytes;
        /* A site that several processes have is a member once. */
        if (model->sites[part->site].held != (uint32_t)store->held.count) {
            model->sites[part->site].held = (uint32_t)store->held.count;
            members[held.member_count++] = part->site;
        }
    }
    return rft_vec_push(&store->held, held);
}

static int by_retained(const void *a, const void *b)
{
    const struct rft_held *x = a, *y = b;
    if (x->retained_bytes != y->retained_bytes)
        return x->retained_bytes < y->retained_bytes ? 1 : -1;
    if (x->objects != y->objects)
        return x->objects < y->objects ? 1 : -1;
    return (x->site > y->site) - (x->site < y->site);
}

static int by_cycle_objects(const void *a, const void *b)
{
    const struct rft_cycle *x = a, *y = b;
    if (x->objects != y->objects)
        return x->objects < y->objects ? 1 : -1;
    return (x->site > y->site) - (x->site < y->site);
}

static int by_retained_bytes(const void *a, const void *b)
{
    const struct rft_retainer *x = a, *y = b;
    if (x->retained_bytes != y->retained_bytes)
        return x->retained_bytes < y->retained_bytes ? 1 : -1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_process(const void *a, const void *b)
{
    const struct rft_heap *x = a, *y = b;
    if (x->process != y->process)
        return x->process < y->process ? -1 : 1;
    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return (x->interpreter > y->interpreter) - (x->interpreter < y->interpreter);
}

/* The growth of all its sites together. */
static struct rft_growth growth_of(const struct rft_model *model, const struct rft_held *held)
{
    if (held->growing != RFT_NONE)
        return model->growing[held->growing].growth;
    struct rft_growth growth = {.kind = RFT_GROWTH_NONE};
    for (uint32_t i = 0; i < held->member_count; i++) {
        const struct rft_growth *one = &model->sites[held->members[i]].growth;
        if (one->kind > growth.kind)
            growth.kind = one->kind;
        growth.grown += one->grown;
    }
    return growth;
}

/* Whether a line of the program or of a package made the objects, when it ran, not when it was
 * imported. */
static bool made_by_program(const struct rft_model *model, uint32_t site)
{
    uint32_t stack = model->sites[site].stack;
    for (uint32_t node = stack; node; node = model->stacks[node].parent)
        if (!strncmp(rft_model_frame(model, node)->file, "<frozen importlib", 17))
            return false;
    enum rft_origin origin = rft_model_frame(model, rft_model_own_node(model, stack))->origin;
    return origin == RFT_ORIGIN_OWN || origin == RFT_ORIGIN_PACKAGE;
}

static void join(struct rft_model *model)
{
    for (uint32_t i = 0; i < model->held_count; i++)
        for (uint32_t k = 0; k < model->held[i].member_count; k++)
            model->sites[model->held[i].members[k]].held = i;
    for (uint32_t g = 0; g < model->growing_count; g++) {
        struct rft_growing *growing = &model->growing[g];
        growing->held = RFT_NONE;
        for (uint32_t k = 0; k < growing->member_count && growing->held == RFT_NONE; k++)
            growing->held = model->sites[growing->members[k]].held;
        if (growing->held != RFT_NONE && model->held[growing->held].growing == RFT_NONE)
            model->held[growing->held].growing = g;
    }
    for (uint32_t i = 0; i < model->held_count; i++) {
        struct rft_growth growth = growth_of(model, &model->held[i]);
        rft_refcounts_judge(&model->held[i].refcounts, &growth,
                            made_by_program(model, model->held[i].site));
    }
}

/* qsort() takes no NULL, not even of no items. */
#define SORT(vec, order)                                                                           \
    do {                                                                                           \
        if ((vec)->count)                                                                          \
            qsort((vec)->items, (vec)->count, sizeof(*(vec)->items), order);                       \
    } while (0)

struct rft_error *rft_held_find(struct rft_model *model)
{
    struct rft_model_store *store = model->store;
    size_t count = store->heap_parts.count;
    struct ordered *ordered = malloc((count + 1) * sizeof(*ordered));
    bool there = ordered != NULL;
    for (size_t i = 0; there && i < count; i++) {
        const struct rft_heap_part *part = &store->heap_parts.items[i];
        uint64_t objects = part->objects ? part->objects : part->audited;
        ordered[i] =
            (struct ordered){key_of(model, &model->sites[part->site]), objects, (uint32_t)i};
    }
    if (there)
        qsort(ordered, count, sizeof(*ordered), by_key);
    for (size_t i = 0; there && i < count;) {
        size_t end = i + 1;
        while (end < count && ordered[end].key == ordered[i].key)
            end++;
        struct gathering gathering = {model, ordered + i, (uint32_t)(end - i)};
        there = gather(&gathering);
        i = end;
    }
    free(ordered);
    if (!there)
        return rft_error_no_memory();
    SORT(&store->heaps, by_process);
    SORT(&store->held, by_retained);
    SORT(&store->cycles, by_cycle_objects);
    SORT(&store->retainers, by_retained_bytes);
    model->heaps = store->heaps.items;
    model->heap_count = (uint32_t)store->heaps.count;
    model->held = store->held.items;
    model->held_count = (uint32_t)store->held.count;
    model->cycles = store->cycles.items;
    model->cycle_count = (uint32_t)store->cycles.count;
    model->retainers = store->retainers.items;
    model->retainer_count = (uint32_t)store->retainers.count;
    join(model);
    return NULL;
}

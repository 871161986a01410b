#include "analyze/curve.h"

#include <string.h>

#include "base/varint.h"

enum {
    FIRST_BLOCK = 16, /* most sites have one or two points */
    LARGEST_BLOCK = 4096,
    POINT_MAX = 3 * RFT_VARINT_MAX,
};

struct rft_curve_block {
    struct rft_curve_block *next;
    uint32_t used, capacity;
    unsigned char bytes[];
};

static struct rft_curve_block *add_block(struct rft_curve *curve, struct rft_arena *arena,
                                         size_t needed)
{
    size_t capacity = curve->last ? 2 * (size_t)curve->last->capacity : FIRST_BLOCK;
    if (capacity > LARGEST_BLOCK)
        capacity = LARGEST_BLOCK;
    if (capacity < needed)
        capacity = needed;
    struct rft_curve_block *block = rft_arena_alloc(arena, sizeof(*block) + capacity);
    if (!block)
        return NULL;
    *block = (struct rft_curve_block){.capacity = (uint32_t)capacity};
    if (curve->last)
        curve->last->next = block;
    else
        curve->first = block;
    curve->last = block;
    return block;
}

bool rft_curve_add(struct rft_curve *curve, struct rft_arena *arena, struct rft_curve_point point)
{
    unsigned char bytes[POINT_MAX];
    uint64_t later = point.time_ms > curve->last_ms ? point.time_ms - curve->last_ms : 0;
    size_t size = rft_varint_put(bytes, later);
    size += rft_varint_put(bytes + size, point.births);
    size += rft_varint_put(bytes + size, rft_zigzag(point.deaths));
    struct rft_curve_block *block = curve->last;
    if (!block || block->capacity - block->used < size) {
        block = add_block(curve, arena, size);
        if (!block)
            return false;
    }
    memcpy(block->bytes + block->used, bytes, size);
    block->used += (uint32_t)size;
    curve->last_ms += later;
    curve->steps++;
    return true;
}

bool rft_curve_points_of(const struct rft_curve *curve, uint64_t offset_ms, rft_curve_points *to)
{
    for (; curve; curve = curve->next) {
        if (!rft_vec_reserve(to, curve->steps))
            return false;
        uint64_t time_ms = offset_ms;
        for (const struct rft_curve_block *block = curve->first; block; block = block->next) {
            const unsigned char *at = block->bytes, *end = at + block->used;
            uint64_t later, births, deaths;
            while (at < end && rft_varint_get(&at, end, &later) &&
                   rft_varint_get(&at, end, &births) && rft_varint_get(&at, end, &deaths)) {
                time_ms += later;
                to->items[to->count++] =
                    (struct rft_curve_point){time_ms, births, rft_unzigzag(deaths)};
            }
        }
    }
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct rft_curve_point *x = a, *y = b;
    return (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

void rft_curve_sort(rft_curve_points *points)
{
    size_t count = points->count;
    bool sorted = true;
    for (size_t i = 1; i < count && sorted; i++)
        sorted = points->items[i - 1].time_ms < points->items[i].time_ms;
    if (sorted)
        return;
    qsort(points->items, count, sizeof(*points->items), by_time);
    size_t kept = 0;
    for (size_t i = 1; i < count; i++) {
        struct rft_curve_point *last = &points->items[kept], *point = &points->items[i];
        if (point->time_ms != last->time_ms) {
            points->items[++kept] = *point;
            continue;
        }
        last->births += point->births;
        last->deaths += point->deaths;
    }
    points->count = kept + 1;
}

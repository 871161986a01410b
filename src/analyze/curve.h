/* Births and deaths of one site over time, a few bytes per tick in which
 * something happened: traces have millions of such ticks. */
#ifndef RFT_ANALYZE_CURVE_H
#define RFT_ANALYZE_CURVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/vec.h"

struct rft_curve_block;

/* All zero is an empty curve. Lives in an arena. */
struct rft_curve {
    struct rft_curve *next; /* another curve of the same site and process: sites
                             * that became one when their names were known */
    struct rft_curve_block *first, *last;
    uint64_t last_ms;
    uint32_t steps;
};

struct rft_curve_point {
    uint64_t time_ms; /* process' time */
    uint64_t births;
    int64_t deaths; /* negative: revived ones taken back */
};

typedef RFT_VEC(struct rft_curve_point) rft_curve_points;

/* Add a point; times before the last one count as that one. False without
 * memory. */
bool rft_curve_add(struct rft_curve *curve, struct rft_arena *arena, struct rft_curve_point point);

/* Append the points of a curve and of those behind it (`next`), `offset_ms` later.
 * The points of one curve ascend, those of several follow one another. */
bool rft_curve_points_of(const struct rft_curve *curve, uint64_t offset_ms, rft_curve_points *to);

/* Sort by time and add up points of the same time. */
void rft_curve_sort(rft_curve_points *points);

#endif

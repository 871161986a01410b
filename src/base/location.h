/* Walking a code object's location table (co_linetable, CPython 3.11+;
 * Objects/locations.md in CPython's sources describes it). */
#ifndef RFT_BASE_LOCATION_H
#define RFT_BASE_LOCATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rft_location_walk {
    const unsigned char *at, *end;
    uint32_t unit;
    int64_t line;
};

struct rft_location_entry {
    uint32_t end_unit;   /* the entry holds for instructions before this code unit */
    uint32_t line;       /* 0: these instructions have no line */
    uint32_t column;     /* from 1, 0: not known */
    uint32_t end_line;   /* 0: not known */
    uint32_t end_column; /* from 1, the byte behind the last, 0: not known */
};

void rft_location_begin(struct rft_location_walk *walk, const void *table, size_t size,
                        uint32_t first_line);

/* False: at the end of the table, or where it stops making sense. */
bool rft_location_next(struct rft_location_walk *walk, struct rft_location_entry *ret);

#endif

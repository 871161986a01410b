#include "base/location.h"

/* Entry codes; 0 to 9 are the short form. */
enum { ONE_LINE = 10, NO_COLUMNS = 13, LONG = 14, NO_LOCATION = 15 };

/* Lines above this are damage; CPython itself stops at INT_MAX. */
#define LINE_MAX_SANE INT32_MAX

void rft_location_begin(struct rft_location_walk *walk, const void *table, size_t size,
                        uint32_t first_line)
{
    *walk = (struct rft_location_walk){
        .at = table,
        .end = size ? (const unsigned char *)table + size : table,
        .line = first_line,
    };
}

/* Varints of the table: six bits a byte, lowest first, bit 6 says more follow.
 * Only an entry's first byte has bit 7 set. */
static bool get(struct rft_location_walk *walk, uint32_t *ret)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 32; shift += 6) {
        if (walk->at == walk->end || *walk->at & 0x80)
            return false;
        uint32_t byte = *walk->at++;
        value |= (byte & 0x3f) << shift;
        if (!(byte & 0x40)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool get_line_step(struct rft_location_walk *walk)
{
    uint32_t value;
    if (!get(walk, &value))
        return false;
    walk->line += value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
    return walk->line >= 0 && walk->line <= LINE_MAX_SANE;
}

bool rft_location_next(struct rft_location_walk *walk, struct rft_location_entry *ret)
{
    if (walk->at == walk->end || !(*walk->at & 0x80))
        return false;
    unsigned first = *walk->at++;
    unsigned code = first >> 3 & 15;
    uint32_t column = 0, end_column = 0, span = 0;
    bool has_line = true;
    if (code < ONE_LINE) {
        if (walk->at == walk->end || *walk->at & 0x80)
            return false;
        column = (code << 3 | *walk->at >> 4) + 1;
        end_column = column + (*walk->at++ & 15);
    } else if (code < NO_COLUMNS) {
        walk->line += code - ONE_LINE;
        if (walk->end - walk->at < 2 || walk->line > LINE_MAX_SANE)
            return false;
        column = walk->at[0] + 1u;
        end_column = walk->at[1] + 1u;
        walk->at += 2;
    } else if (code == NO_COLUMNS) {
        if (!get_line_step(walk))
            return false;
    } else if (code == LONG) {
        if (!get_line_step(walk) || !get(walk, &span) || !get(walk, &column) ||
            !get(walk, &end_column) || span > LINE_MAX_SANE)
            return false;
    } else {
        has_line = false;
    }
    walk->unit += (first & 7) + 1;
    *ret = (struct rft_location_entry){
        .end_unit = walk->unit,
        .line = has_line ? (uint32_t)walk->line : 0,
        .column = column,
        .end_line = has_line ? (uint32_t)walk->line + span : 0,
        .end_column = end_column,
    };
    return true;
}

#include "base/location.h"

#include <reftracer/trace.h>

struct rft_position rft_location_lookup(const void *table, size_t size, uint32_t first_line,
                                        uint32_t instruction)
{
    struct rft_location_walk walk;
    struct rft_location_entry entry;
    rft_location_begin(&walk, table, size, first_line);
    while (instruction && rft_location_next(&walk, &entry)) {
        if (instruction - 1 < entry.end_unit)
            return entry.line ? (struct rft_position){entry.line, entry.column}
                              : (struct rft_position){first_line, 0};
    }
    return (struct rft_position){first_line, 0};
}

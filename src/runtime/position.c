/* From an instruction to its line and columns: co_linetable of 3.11+ (base/location.h),
 * co_linetable of 3.10 (PEP 626) and co_lnotab before (Objects/lnotab_notes.txt). */
#include "base/location.h"
#include "runtime/code.h"

static struct rft_place line_only(int64_t line)
{
    return (struct rft_place){
        .line = line > 0 && line <= INT32_MAX ? (int)line : 0,
        .column = -1,
        .end_column = -1,
    };
}

/* 3.11+: entries of code units. Unknown positions are 0 in the walk and -1 for columns
 * here. An instruction without a line gets none, as in sys._current_frames(). */
static struct rft_place from_locations(const struct rft_code *code, int64_t offset)
{
    struct rft_location_walk walk;
    struct rft_location_entry entry;
    uint64_t unit = (uint64_t)offset / 2;
    rft_location_begin(&walk, code->table, code->table_size, (uint32_t)code->first_line);
    while (rft_location_next(&walk, &entry)) {
        if (unit < entry.end_unit) {
            if (entry.line == 0) {
                return line_only(0);
            }
            return (struct rft_place){
                .line = (int)entry.line,
                .column = (int)entry.column - 1,
                .end_line = (int)entry.end_line,
                .end_column = (int)entry.end_column - 1,
            };
        }
    }
    return line_only(code->first_line);
}

/* 3.10: pairs of an unsigned step of bytes and a signed step of lines; -128: no line. */
static struct rft_place from_ranges(const struct rft_code *code, int64_t offset)
{
    int64_t line = code->first_line, end = 0;
    for (uint32_t i = 0; i + 1 < code->table_size; i += 2) {
        int step = (signed char)code->table[i + 1];
        end += code->table[i];
        if (step != -128) {
            line += step;
        }
        if (offset < end) {
            return line_only(step == -128 ? 0 : line);
        }
    }
    return line_only(line);
}

/* Before: the same pairs, but a line begins behind its step. */
static struct rft_place from_lnotab(const struct rft_code *code, int64_t offset)
{
    int64_t line = code->first_line, at = 0;
    for (uint32_t i = 0; i + 1 < code->table_size; i += 2) {
        at += code->table[i];
        if (at > offset) {
            break;
        }
        line += (signed char)code->table[i + 1];
    }
    return line_only(line);
}

struct rft_place rft_place_decode(const struct rft_runtime *runtime, const struct rft_code *code,
                                  int64_t offset)
{
    if (offset < 0) {
        return line_only(code->first_line);
    }
    return runtime->minor >= 11   ? from_locations(code, offset)
           : runtime->minor == 10 ? from_ranges(code, offset)
                                  : from_lnotab(code, offset);
}

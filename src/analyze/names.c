/* Strings that nobody holds but the interpreter's cache of attribute look-ups. */
#include <stdlib.h>
#include <string.h>

#include "analyze/store.h"

/* A site's number of them changes. */
static bool set(struct rft_intake *intake, uint32_t site, uint64_t time_ms, uint64_t *known,
                uint64_t objects)
{
    struct rft_intake_site *to = &intake->sites.items[site];
    if (*known == objects)
        return true;
    if (!to->names) {
        to->names = rft_arena_alloc(&intake->store->arena, sizeof(*to->names));
        if (!to->names)
            return false;
        *to->names = (struct rft_curve){0};
    }
    struct rft_curve_point point = {.time_ms = time_ms};
    if (objects > *known)
        point.births = objects - *known;
    else
        point.deaths = (int64_t)(*known - objects);
    *known = objects;
    return rft_curve_add(to->names, &intake->store->arena, point);
}

/* What a look does not name has none. Looks after the final collection, which empties the
 * cache, say nothing of the program. */
static bool take(struct rft_intake *intake, const struct rft_trace *trace, uint64_t *known,
                 uint32_t *last_look)
{
    size_t count;
    const struct rft_trace_names_look *looks = rft_trace_names_looks(trace, &count);
    size_t marks = intake->collection_mark;
    for (uint32_t k = 0; k < count && (!marks || looks[k].marks < marks); k++) {
        for (uint32_t i = 0; i < looks[k].count; i++) {
            const struct rft_trace_names *names = &looks[k].names[i];
            if (names->site >= intake->sites.count)
                continue;
            if (!set(intake, names->site, looks[k].time_ms, &known[names->site], names->objects))
                return false;
            last_look[names->site] = k;
        }
        for (uint32_t i = 0; k && i < looks[k - 1].count; i++) {
            uint32_t site = looks[k - 1].names[i].site;
            if (site < intake->sites.count && last_look[site] != k &&
                !set(intake, site, looks[k].time_ms, &known[site], 0))
                return false;
        }
    }
    return true;
}

struct rft_error *rft_names_take(struct rft_intake *intake, const struct rft_trace *trace)
{
    uint64_t *known = calloc(intake->sites.count + 1, sizeof(*known));
    uint32_t *last_look = calloc(intake->sites.count + 1, sizeof(*last_look));
    bool taken = known && last_look && take(intake, trace, known, last_look);
    free(known);
    free(last_look);
    return taken ? NULL : rft_error_no_memory();
}

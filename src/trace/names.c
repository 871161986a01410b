/* Strings that only the interpreter's cache of look-ups holds: chunk 19. */
#include "trace/content.h"

enum { NAMES_MAX = 4096 }; /* entries of that cache */

void rft_trace_names_chunk(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_names_look look = {.time_ms = rft_content_time(content)};
    uint64_t count = rft_content_number(content, NAMES_MAX), site = 0;
    struct rft_trace_names *sites =
        content->bad ? NULL : rft_arena_alloc(&trace->arena, (size_t)count * sizeof(*sites) + 1);
    if (!content->bad && !sites)
        content->no_memory = content->bad = true;
    for (uint64_t i = 0; i < count && !content->bad; i++) {
        uint64_t step = rft_content_number(content, UINT32_MAX);
        site += step;
        if (!step || (!content->bad && !rft_trace_admit_site(trace, site, content)))
            content->bad = true;
        sites[i] = (struct rft_trace_names){(uint32_t)site, rft_content_number(content, NAMES_MAX)};
    }
    if (content->bad || content->at != content->end) {
        content->bad = true;
        return;
    }
    look.names = sites;
    look.count = (uint32_t)count;
    look.marks = (uint32_t)trace->marks.count;
    rft_trace_saw_time(trace, look.time_ms);
    if (!rft_vec_push(&trace->names_looks, look))
        content->no_memory = content->bad = true;
}

const struct rft_trace_names_look *rft_trace_names_looks(const struct rft_trace *trace,
                                                         size_t *ret_count)
{
    *ret_count = trace->names_looks.count;
    return trace->names_looks.items;
}

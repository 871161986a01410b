/* Between the reader's files: the trace being built, and reading of payloads. */
#ifndef RFT_TRACE_CONTENT_H
#define RFT_TRACE_CONTENT_H

#include <reftracer/trace.h>

#include "base/arena.h"
#include "base/varint.h"
#include "base/vec.h"
#include "trace/format.h"

/* Numbers beyond these are damage, whatever the checksum says. They leave room
 * for sums, and for seconds as doubles. */
#define RFT_COUNT_SANE (UINT64_C(1) << 48)
#define RFT_MS_SANE (UINT64_C(1) << 42) /* 139 years */

/* What one look through the heap found. */
struct rft_trace_heap_lists {
    RFT_VEC(struct rft_trace_holders) holders;
    RFT_VEC(struct rft_trace_refcounts) refcounts;
    RFT_VEC(struct rft_trace_garbage) garbage;
    RFT_VEC(struct rft_trace_cycle) cycles;
    RFT_VEC(struct rft_trace_retainer) retainers;
};

/* Record 0 of each table is the empty one that accessors give for "none"; ids
 * index the tables directly. */
struct rft_trace {
    struct rft_trace_program program;
    struct rft_trace_damage damage;
    struct rft_trace_end end;
    uint64_t size, last_ms;
    uint32_t writer_pid, format_version;
    RFT_VEC(struct rft_string) strings;
    RFT_VEC(struct rft_trace_code) codes;
    RFT_VEC(struct rft_trace_type) types;
    RFT_VEC(struct rft_trace_stack) stacks;
    RFT_VEC(struct rft_trace_thread) threads;
    RFT_VEC(struct rft_trace_interpreter) interpreters;
    RFT_VEC(struct rft_trace_site) sites;
    RFT_VEC(struct rft_trace_loss) losses;
    RFT_VEC(struct rft_trace_mark) marks;
    RFT_VEC(struct rft_trace_names_look) names_looks;
    RFT_VEC(struct rft_trace_heap) heaps;
    RFT_VEC(struct rft_trace_heap_lists) heap_lists; /* of each heap */
    struct rft_arena arena;
    /* Ids above this are damage. Grows with the bytes read, so that a small
     * file cannot ask for large tables by naming a large id. */
    uint64_t id_limit;
    /* Reused for each tick and census. */
    RFT_VEC(struct rft_tick_site) tick_sites;
    RFT_VEC(struct rft_tick_age) tick_ages;
    RFT_VEC(struct rft_census_site) census_sites;
    RFT_VEC(struct rft_cohort) cohorts;
};

/* A payload being read. Anything that makes no sense sets `bad`, after which
 * every read gives 0: callers look at it once per record. */
struct rft_content {
    const unsigned char *at, *end;
    bool bad;
    bool no_memory;
};

static inline uint64_t rft_content_number(struct rft_content *content, uint64_t most)
{
    uint64_t value;
    if (!rft_varint_get(&content->at, content->end, &value) || value > most) {
        content->bad = true;
        content->at = content->end;
        return 0;
    }
    return value;
}

static inline unsigned rft_content_byte(struct rft_content *content)
{
    if (content->at == content->end) {
        content->bad = true;
        return 0;
    }
    return *content->at++;
}

static inline uint64_t rft_content_left(const struct rft_content *content)
{
    return (uint64_t)(content->end - content->at);
}

static inline uint64_t rft_content_time(struct rft_content *content)
{
    return rft_content_number(content, RFT_MS_SANE);
}

static inline uint64_t rft_content_count(struct rft_content *content)
{
    return rft_content_number(content, RFT_COUNT_SANE);
}

static inline void rft_trace_saw_time(struct rft_trace *trace, uint64_t ms)
{
    if (ms > trace->last_ms)
        trace->last_ms = ms;
}

/* definitions.c: put record 0 in each table. */
bool rft_trace_init_tables(struct rft_trace *trace);

/* definitions.c: a chunk that defines something. All or nothing: a chunk that
 * turns out bad leaves the trace as it was. */
void rft_trace_define(struct rft_trace *trace, unsigned type, struct rft_content *content);

/* Make sure that sites 1..id exist, undefined if they were in a lost chunk. False: id
 * is damage, or there is no memory (content->no_memory). */
bool rft_trace_admit_site(struct rft_trace *trace, uint64_t id, struct rft_content *content);

/* definitions.c: a length and as many bytes, copied. */
struct rft_string rft_trace_read_string(struct rft_trace *trace, struct rft_content *content);

/* heap.c: a chunk of what was found in the heap. All or nothing, as above. */
void rft_trace_heap_chunk(struct rft_trace *trace, unsigned type, struct rft_content *content);
void rft_trace_free_heaps(struct rft_trace *trace);

/* names.c: strings that only the interpreter's cache of look-ups holds. */
void rft_trace_names_chunk(struct rft_trace *trace, struct rft_content *content);

/* happenings.c: ticks and censuses. The payload is checked to its end before the
 * visitor sees any of it. */
struct rft_error *rft_trace_tick(struct rft_trace *trace, struct rft_content *content,
                                 const struct rft_trace_visitor *visitor);
struct rft_error *rft_trace_census(struct rft_trace *trace, struct rft_content *content,
                                   const struct rft_trace_visitor *visitor);

#endif

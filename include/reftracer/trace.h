/* Reading of .rft traces (docs/TRACE-FORMAT.md).
 *
 * A trace is read once from front to back. Its definitions (program, strings,
 * codes, types, stacks, threads, interpreters, sites, losses, marks) stay in a
 * `struct rft_trace`; ticks and censuses, which are the bulk, are handed to the
 * caller's visitor while the file is read and are not kept.
 *
 * The reader takes any bytes: every id and length is checked, a bad chunk is
 * dropped and counted, and memory stays in proportion to the file's size. */
#ifndef REFTRACER_TRACE_H
#define REFTRACER_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reftracer/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rft_trace;

/* Bytes of a string; not terminated, any byte may occur. Valid as long as the
 * trace. */
struct rft_string {
    const char *bytes;
    size_t length;
};

enum {
    RFT_PROGRAM_FREE_THREADED = 1,
    RFT_PROGRAM_DEBUG_BUILD = 2,
    RFT_PROGRAM_FORKED = 4,
};

/* The traced process. Times named `_ms` are milliseconds since the trace
 * started, in all of this header. */
struct rft_trace_program {
    uint32_t version; /* PY_VERSION_HEX; 0 if the chunk was lost */
    uint32_t flags;   /* RFT_PROGRAM_... */
    uint64_t pid, parent_pid;
    uint64_t start_ns; /* wall clock, ns since 1970 */
    uint64_t tick_ms;  /* interval between ticks */
    struct rft_string version_text, agent_version, executable, directory;
    const struct rft_string *arguments;
    size_t argument_count;
};

/* Ids count from 1; 0 is "none". An id that lies in a lost chunk is not
 * `defined`; the accessors then give an empty record. */
struct rft_trace_code {
    uint32_t file, function; /* strings */
    uint32_t first_line;
    struct rft_string location_table; /* co_linetable */
};

struct rft_trace_type {
    uint32_t name; /* string */
    uint32_t kind; /* enum rft_type_kind */
    uint64_t basic_size, item_size;
};

struct rft_trace_stack {
    uint32_t parent; /* stack node, 0: this is the outermost frame */
    uint32_t code;
    uint32_t instruction; /* code units + 1; 0: not known */
};

struct rft_trace_thread {
    uint64_t native_id;
    uint32_t name; /* string */
    uint64_t start_ms;
    uint64_t end_ms; /* UINT64_MAX: had not ended */
};

struct rft_trace_interpreter {
    uint64_t number; /* the interpreter's own id, 0 is the main one */
    uint64_t start_ms;
    uint64_t end_ms; /* UINT64_MAX: had not ended */
};

struct rft_trace_site {
    uint32_t stack, type, thread, interpreter;
};

struct rft_trace_loss {
    uint32_t kind; /* enum rft_loss_kind */
    uint64_t time_ms, duration_ms, count;
    struct rft_string text;
};

struct rft_trace_mark {
    uint64_t time_ms;
    struct rft_string label;
};

struct rft_trace_end {
    bool present;
    uint32_t reason; /* enum rft_end_reason */
    uint64_t time_ms, births, deaths, live;
};

/* What is wrong with the file itself. All zero: every byte was understood. */
struct rft_trace_damage {
    uint64_t bad_chunks;     /* checksum or content wrong */
    uint64_t lost_chunks;    /* missing according to the sequence numbers, bad ones included */
    uint64_t skipped_bytes;  /* not part of any good chunk */
    uint64_t cut_bytes;      /* of these, at the end: a chunk that was not written to its end */
    uint64_t unknown_chunks; /* of a type this reader does not know; no damage */
    uint64_t lost_ticks;     /* bad tick and census chunks whose type byte could be read */
};

struct rft_tick_age {
    uint32_t bucket; /* 1..RFT_AGE_BUCKETS-1 */
    uint64_t deaths;
};

/* One site in one tick: what happened since the last tick that named it. */
struct rft_tick_site {
    uint32_t site;
    uint32_t age_count;
    uint64_t births;
    uint64_t at_once; /* deaths with age bucket 0 */
    uint64_t deaths;  /* all of them, `at_once` included */
    uint64_t dead_bytes;
    const struct rft_tick_age *ages; /* age_count of them, bucket 0 left out */
    /* Deaths of earlier ticks, or of this one, to be taken back: `__del__` brought
     * the objects back to life. */
    uint64_t revived, revived_at_once, revived_bytes;
    const struct rft_tick_age *revived_ages; /* bucket 0 left out */
    uint32_t revived_age_count;
};

struct rft_tick {
    uint64_t time_ms;
    uint64_t unseen_births; /* deaths of objects never seen born */
    uint64_t inferred_deaths;
    uint64_t dropped_births;
    /* Ascending by site. A tick of many sites comes in several pieces with the same
     * time; the numbers above are then those of the first piece, 0 in the others. */
    const struct rft_tick_site *sites;
    size_t site_count;
};

struct rft_cohort {
    uint64_t birth_ms; /* born in [birth_ms, birth_ms + length_ms] */
    uint64_t length_ms;
    uint64_t survivors, bytes;
};

struct rft_census_site {
    uint32_t site;
    uint32_t cohort_count;
    const struct rft_cohort *cohorts; /* ascending by birth */
};

/* One chunk of a census; chunks of the same kind, time and interpreter belong
 * together. */
struct rft_census {
    uint32_t kind; /* enum rft_census_kind */
    uint64_t time_ms;
    uint32_t interpreter;                /* trace's interpreter id, 0: all */
    const struct rft_census_site *sites; /* ascending by site */
    size_t site_count;
};

/* The caller's functions, any of them may be NULL. What they are given is valid
 * during the call only, except for strings. The trace they are given holds what
 * was defined before this point of the file. An error they return stops the
 * reading and is returned from rft_trace_read(). */
struct rft_trace_visitor {
    struct rft_error *(*tick)(void *data, const struct rft_trace *trace,
                              const struct rft_tick *tick);
    struct rft_error *(*census)(void *data, const struct rft_trace *trace,
                                const struct rft_census *census);
    /* Called about every 256 KiB of input and once at the end. Return false to
     * stop: rft_trace_read() then fails with RFT_ERROR_INTERRUPTED. */
    bool (*progress)(void *data, uint64_t bytes_done, uint64_t bytes_total);
    void *data;
};

/* Read the trace at `path`. The file may still be growing: what is there now is
 * read. Fails if nothing can be read: missing, unreadable, a directory, empty,
 * not a trace, of a newer version, or damaged in its first 32 bytes; anything
 * else is success, with the damage counted in rft_trace_damage().
 *
 * @param visitor May be NULL.
 * @param ret The trace; give it to rft_trace_destroy(). */
struct rft_error *rft_trace_read(const char *path, const struct rft_trace_visitor *visitor,
                                 struct rft_trace **ret);

/* The same from memory. `bytes` must stay as they are while the trace lives.
 *
 * @param name Stands in messages for the file's path. */
struct rft_error *rft_trace_read_bytes(const char *name, const void *bytes, size_t size,
                                       const struct rft_trace_visitor *visitor,
                                       struct rft_trace **ret);

void rft_trace_destroy(struct rft_trace *trace);

/* Accessors. Pointers are valid as long as the trace (in a visitor: during the
 * call). An id that is 0, out of range or not defined gives a record that is
 * empty, never NULL. */
const struct rft_trace_program *rft_trace_program(const struct rft_trace *trace);
const struct rft_trace_damage *rft_trace_damage(const struct rft_trace *trace);
const struct rft_trace_end *rft_trace_end(const struct rft_trace *trace);
uint64_t rft_trace_size(const struct rft_trace *trace);           /* bytes read */
uint64_t rft_trace_last_ms(const struct rft_trace *trace);        /* latest time in any chunk */
uint32_t rft_trace_writer_pid(const struct rft_trace *trace);     /* from the file header */
uint32_t rft_trace_format_version(const struct rft_trace *trace); /* the writer's */

struct rft_string rft_trace_string(const struct rft_trace *trace, uint32_t id);
const struct rft_trace_code *rft_trace_code(const struct rft_trace *trace, uint32_t id);
const struct rft_trace_type *rft_trace_type(const struct rft_trace *trace, uint32_t id);
const struct rft_trace_stack *rft_trace_stack(const struct rft_trace *trace, uint32_t id);
const struct rft_trace_thread *rft_trace_thread(const struct rft_trace *trace, uint32_t id);
const struct rft_trace_interpreter *rft_trace_interpreter(const struct rft_trace *trace,
                                                          uint32_t id);
const struct rft_trace_site *rft_trace_site(const struct rft_trace *trace, uint32_t id);

/* Highest id so far: ids are 1..count. */
uint32_t rft_trace_string_count(const struct rft_trace *trace);
uint32_t rft_trace_code_count(const struct rft_trace *trace);
uint32_t rft_trace_type_count(const struct rft_trace *trace);
uint32_t rft_trace_stack_count(const struct rft_trace *trace);
uint32_t rft_trace_thread_count(const struct rft_trace *trace);
uint32_t rft_trace_interpreter_count(const struct rft_trace *trace);
uint32_t rft_trace_site_count(const struct rft_trace *trace);

const struct rft_trace_loss *rft_trace_losses(const struct rft_trace *trace, size_t *ret_count);
const struct rft_trace_mark *rft_trace_marks(const struct rft_trace *trace, size_t *ret_count);

/* Where a frame is in its source. */
struct rft_position {
    uint32_t line;   /* 0: not known */
    uint32_t column; /* from 1, in bytes of UTF-8; 0: not known */
};

/* The source position of an instruction, from a code object's location table
 * (co_linetable, CPython 3.11+). A damaged table gives the first line.
 *
 * @param instruction As in struct rft_trace_stack: code units + 1, or 0. */
struct rft_position rft_location_lookup(const void *table, size_t size, uint32_t first_line,
                                        uint32_t instruction);

#ifdef __cplusplus
}
#endif
#endif

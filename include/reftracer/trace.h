/* Reading of .rft traces (docs/TRACE-FORMAT.md).
 *
 * A trace is read once from front to back. Its definitions (program, strings,
 * codes, types, stacks, threads, interpreters, sites, losses, marks) and what was found
 * in the heap stay in a `struct rft_trace`; ticks and censuses, which are the bulk, are handed to
 * the caller's visitor while the file is read and are not kept.
 *
 * The reader takes any bytes: every id and length is checked, a bad chunk is
 * dropped and counted, and memory stays in proportion to the file's size.
 *
 * Times named `_ms` are milliseconds since the trace started. Sizes are in bytes. A trace
 * may be used by several threads at once when it has been read; while it is being read, by
 * the visitor's calls only. No function needs Python or the GIL.
 *
 * Errors are returned, NULL is success; out-parameters are written on success only. Without a
 * place for the result, or what it is made of, RFT_ERROR_ARGUMENT. Where a number of records is
 * given back, ret_count may be NULL. */
#ifndef REFTRACER_TRACE_H
#define REFTRACER_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reftracer/error.h>
#include <reftracer/trace_values.h>

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

/* The traced process. */
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

/* Strings of one site that nobody held but the interpreter's cache of attribute look-ups. */
struct rft_trace_names {
    uint32_t site;
    uint64_t objects;
};

/* What that cache held at one moment; sites ascend. */
struct rft_trace_names_look {
    uint64_t time_ms;
    const struct rft_trace_names *names;
    uint32_t count;
    uint32_t marks; /* how many marks the trace had told of before */
};

/* --- the heap, as it was looked through (`reftracer run --holders`) ---------------------- */

#define RFT_TRACE_NO_INDEX UINT64_MAX

/* One reference of a path. docs/TRACE-FORMAT.md has the kinds, and what label and index
 * are in each; a kind that is not known is a reference without a name. */
struct rft_trace_step {
    uint32_t kind;   /* RFT_EDGE_... below 64, RFT_ROOT_... from 64 on */
    uint32_t type;   /* of the holder, where the reference comes from; 0: a root */
    uint32_t label;  /* string */
    uint32_t detail; /* string; of roots only */
    uint64_t index;  /* RFT_TRACE_NO_INDEX: none */
};

/* From a root, its first step, to the object in question, which the last step leads to. */
struct rft_trace_path {
    const struct rft_trace_step *steps;
    uint32_t count; /* at least 1 */
};

/* Objects that are held in the same way, and how one of them is. */
struct rft_trace_pattern {
    uint64_t objects;
    struct rft_trace_path path;
};

struct rft_trace_holders {
    uint32_t site;
    uint32_t pattern_count;
    uint64_t objects; /* of the site, in the heap */
    uint64_t retained_bytes;
    uint64_t sampled;     /* of `objects`: whose path was looked for */
    uint64_t unreachable; /* of `objects`: garbage */
    const struct rft_trace_pattern *patterns;
};

struct rft_trace_surplus {
    int64_t surplus; /* refcount less references found */
    uint64_t objects;
};

struct rft_trace_refcounts {
    uint32_t site;
    uint32_t pair_count;
    uint64_t audited;                      /* objects */
    const struct rft_trace_surplus *pairs; /* ascending by surplus */
};

/* Objects of a site that only the cycle collector can free. */
struct rft_trace_garbage {
    uint32_t site;
    uint64_t objects, bytes;
};

/* Garbage cycles of one shape. */
struct rft_trace_cycle {
    uint32_t site;              /* of one object in it; 0: not of the trace */
    uint64_t cycles;            /* how many */
    uint64_t objects;           /* in all of them, with what hangs on them */
    struct rft_trace_path path; /* of one; no root, the last step leads back to the first holder */
};

/* An object that much would be freed with. */
struct rft_trace_retainer {
    uint32_t site; /* 0: not of the trace */
    uint32_t type;
    uint64_t bytes;                            /* its own */
    uint64_t retained_bytes, retained_objects; /* it included */
    struct rft_trace_path path;
};

/* One look through the heap of one interpreter. */
struct rft_trace_heap {
    uint64_t time_ms;
    uint32_t kind;        /* enum rft_heap_kind; 0: its own chunk was lost, numbers are 0 */
    uint32_t interpreter; /* trace's interpreter id */
    uint64_t objects, references, bytes;
    uint64_t pause_ms;       /* that the program was paused */
    uint32_t flags;          /* enum rft_heap_flags: what is missing */
    uint32_t collector_time; /* enum rft_collector_time: how collector_ms is known */
    uint64_t garbage_objects, garbage_bytes;
    uint64_t collector_ms;   /* that CPython's cycle collector took since the start */
    struct rft_string label; /* what was asked for; if refused: why */
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

/* Reads the trace at `path`. The file may still be growing: what is there now is
 * read, and the file is closed before the return.
 *
 * @param visitor Is given ticks and censuses; may be NULL. Borrowed for the call.
 * @param ret The trace; give it to rft_trace_destroy().
 * @return Errors if nothing can be read: RFT_ERROR_OS (missing, unreadable), RFT_ERROR_NOT_TRACE
 * (a directory, another format), RFT_ERROR_EMPTY, RFT_ERROR_NEWER (needs a newer reader),
 * RFT_ERROR_DAMAGED (in its first 32 bytes); RFT_ERROR_NO_MEMORY; RFT_ERROR_INTERRUPTED
 * (`progress` said so); or what the visitor has returned. Anything else is success, with the
 * damage counted in rft_trace_damage(). */
struct rft_error *rft_trace_read(const char *path, const struct rft_trace_visitor *visitor,
                                 struct rft_trace **ret);

/* Reads a trace from memory; otherwise as rft_trace_read().
 *
 * @param name Stands in messages for the file's path. Copied.
 * @param bytes Borrowed: must stay as they are while the trace lives.
 * @param size In bytes. */
struct rft_error *rft_trace_read_bytes(const char *name, const void *bytes, size_t size,
                                       const struct rft_trace_visitor *visitor,
                                       struct rft_trace **ret);

/* Frees a trace and all that its accessors have handed out. NULL is allowed. */
void rft_trace_destroy(struct rft_trace *trace);

/* --- accessors ------------------------------------------------------------
 *
 * None of them fails. Pointers are the trace's own and valid as long as it lives; in a
 * visitor, during the call. An id that is 0, out of range or not defined gives a record
 * that is all zero, never NULL. */

/* The traced process. */
const struct rft_trace_program *rft_trace_program(const struct rft_trace *trace);
/* What is wrong with the file. */
const struct rft_trace_damage *rft_trace_damage(const struct rft_trace *trace);
/* How the trace ended. Not `present` while the program runs, and after it was killed. */
const struct rft_trace_end *rft_trace_end(const struct rft_trace *trace);
/* Bytes that were read. */
uint64_t rft_trace_size(const struct rft_trace *trace);
/* The latest time in any chunk, in ms: how long was traced. */
uint64_t rft_trace_last_ms(const struct rft_trace *trace);
/* Process id of the writer, from the file's header. */
uint32_t rft_trace_writer_pid(const struct rft_trace *trace);
/* The version of the format that the writer wrote. */
uint32_t rft_trace_format_version(const struct rft_trace *trace);

/* A string by its id; "" of length 0 if there is none. Not terminated. */
struct rft_string rft_trace_string(const struct rft_trace *trace, uint32_t id);
/* A code object by its id. */
const struct rft_trace_code *rft_trace_code(const struct rft_trace *trace, uint32_t id);
/* A type by its id. */
const struct rft_trace_type *rft_trace_type(const struct rft_trace *trace, uint32_t id);
/* A stack by its id, which is that of its innermost frame; the rest by way of `parent`. A
 * parent's id is smaller, so the walk ends. */
const struct rft_trace_stack *rft_trace_stack(const struct rft_trace *trace, uint32_t id);
/* A thread by its id in the trace. */
const struct rft_trace_thread *rft_trace_thread(const struct rft_trace *trace, uint32_t id);
/* An interpreter by its id in the trace. */
const struct rft_trace_interpreter *rft_trace_interpreter(const struct rft_trace *trace,
                                                          uint32_t id);
/* A site by its id: what stack makes which type, in what thread and interpreter. */
const struct rft_trace_site *rft_trace_site(const struct rft_trace *trace, uint32_t id);

/* How many strings: ids are 1..count. So far, when asked by a visitor. */
uint32_t rft_trace_string_count(const struct rft_trace *trace);
/* How many code objects: ids are 1..count. */
uint32_t rft_trace_code_count(const struct rft_trace *trace);
/* How many types: ids are 1..count. */
uint32_t rft_trace_type_count(const struct rft_trace *trace);
/* How many stacks: ids are 1..count. */
uint32_t rft_trace_stack_count(const struct rft_trace *trace);
/* How many threads: ids are 1..count. */
uint32_t rft_trace_thread_count(const struct rft_trace *trace);
/* How many interpreters: ids are 1..count. */
uint32_t rft_trace_interpreter_count(const struct rft_trace *trace);
/* How many sites: ids are 1..count. */
uint32_t rft_trace_site_count(const struct rft_trace *trace);

/* What the trace could not see, as it was told; *ret_count of them. */
const struct rft_trace_loss *rft_trace_losses(const struct rft_trace *trace, size_t *ret_count);
/* Moments that were given a name, as they were told; *ret_count of them. */
const struct rft_trace_mark *rft_trace_marks(const struct rft_trace *trace, size_t *ret_count);

/* The looks at the interpreter's cache of attribute look-ups, ascending by time; *ret_count of
 * them. A site that a look does not name had no such strings then. */
const struct rft_trace_names_look *rft_trace_names_looks(const struct rft_trace *trace,
                                                         size_t *ret_count);

/* The looks through the heap, each in order of its end; *ret_count of them. Their results are
 * asked for by `heap`, the number of the look, from 0. These pointers move while the trace is
 * being read: a visitor may use them during its call only. */
const struct rft_trace_heap *rft_trace_heaps(const struct rft_trace *trace, size_t *ret_count);
/* Who holds the objects of each site, ascending by site. */
const struct rft_trace_holders *rft_trace_heap_holders(const struct rft_trace *trace, size_t heap,
                                                       size_t *ret_count);
/* Refcounts against the references that were found, ascending by site. */
const struct rft_trace_refcounts *rft_trace_heap_refcounts(const struct rft_trace *trace,
                                                           size_t heap, size_t *ret_count);
/* What only the cycle collector can free, by site. */
const struct rft_trace_garbage *rft_trace_heap_garbage(const struct rft_trace *trace, size_t heap,
                                                       size_t *ret_count);
/* The shapes of garbage cycles. */
const struct rft_trace_cycle *rft_trace_heap_cycles(const struct rft_trace *trace, size_t heap,
                                                    size_t *ret_count);
/* The objects that most would be freed with. */
const struct rft_trace_retainer *rft_trace_heap_retainers(const struct rft_trace *trace,
                                                          size_t heap, size_t *ret_count);

/* Where a frame is in its source. */
struct rft_position {
    uint32_t line;   /* 0: not known */
    uint32_t column; /* from 1, in bytes of UTF-8; 0: not known */
};

/* The source position of an instruction, from a code object's location table
 * (co_linetable, CPython 3.11+; Objects/codeobject.c). A damaged
 * table gives the first line.
 *
 * @param table Of `size` bytes: struct rft_trace_code's location_table. Borrowed for the call.
 * @param first_line That of the code object.
 * @param instruction As in struct rft_trace_stack: code units + 1, or 0. */
struct rft_position rft_location_lookup(const void *table, size_t size, uint32_t first_line,
                                        uint32_t instruction);

#ifdef __cplusplus
}
#endif
#endif

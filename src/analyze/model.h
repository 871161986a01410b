/* The model: what one or more traces say, merged, with verdicts. Reports are
 * written from it and never touch a trace.
 *
 * Sites of all files are merged by identity: type name, resolved stack (file,
 * line, function of each frame), thread name, interpreter number. What each
 * process contributed stays visible in the site's parts.
 *
 * All text in the model is printable UTF-8: control characters, surrogates and
 * invalid bytes are escaped (\n, \x1b, \udc80), so a report may print it as is. */
#ifndef RFT_ANALYZE_MODEL_H
#define RFT_ANALYZE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reftracer/error.h>

#include "trace/format.h"

#define RFT_NONE UINT32_MAX  /* no such index */
#define RFT_NEVER UINT64_MAX /* has not happened */

/* Where a frame's code comes from. */
enum rft_origin {
    RFT_ORIGIN_OWN,      /* the program's own files */
    RFT_ORIGIN_PACKAGE,  /* site-packages, dist-packages */
    RFT_ORIGIN_STDLIB,   /* Python's own library, <frozen ...> modules */
    RFT_ORIGIN_GENERATED /* <string>, <stdin>, <attrs generated ...>: no file */
};

struct rft_frame {
    const char *file, *function; /* function: qualified name */
    uint32_t line, column;       /* 0: not known */
    enum rft_origin origin;
};

/* Stacks are a tree: a stack is its innermost node; walk `parent` outwards.
 * Node 0 is the empty stack (no Python frame), its own parent, depth 0. */
struct rft_stack_node {
    uint32_t parent;
    uint32_t frame; /* index in frames; RFT_NONE for node 0 */
    uint32_t depth; /* frames from here outwards, this one included */
};

struct rft_type {
    const char *name; /* module-qualified */
    uint32_t kind;    /* enum rft_type_kind */
    uint64_t basic_size, item_size;
};

/* A time in which a process did not run at all. */
struct rft_pause {
    uint64_t from_ms, length_ms; /* process' time */
};

struct rft_process {
    const char *path;    /* the trace file */
    const char *command; /* arguments, shell-quoted, joined by blanks */
    const char *executable, *directory;
    const char *python_version; /* "3.14.10" */
    const char *version_text;   /* CPython's own, with compiler */
    const char *agent_version;
    const char *const *arguments;
    size_t argument_count;
    uint32_t version; /* PY_VERSION_HEX */
    bool free_threaded, debug_build, forked;
    uint64_t pid, parent_pid;
    uint64_t start_ns;  /* wall clock */
    uint64_t offset_ms; /* its start in the model's time */
    uint64_t duration_ms;
    uint64_t exit_ms; /* when the agent began with its own work at the end: the look through the
                       * heap, the collection, the census; duration_ms if there was none */
    uint64_t tick_ms;
    const struct rft_pause *pauses; /* ascending */
    uint32_t pause_count;
    bool ended;          /* the trace has an END */
    uint32_t end_reason; /* enum rft_end_reason, if ended */
    bool names_known;    /* that cache was looked at, in the main interpreter */
    bool census;         /* there is a final census: survivors are known one by one */
    uint64_t file_bytes;
    uint64_t births, deaths, live, live_bytes, peak_live;
};

struct rft_thread {
    const char *name;          /* "" if it has none */
    uint64_t native_id;        /* of the first thread with this name */
    uint32_t process;          /* of that thread */
    uint32_t count;            /* threads merged into this one */
    uint64_t start_ms, end_ms; /* earliest, latest; RFT_NEVER: still there at the end */
};

struct rft_interpreter {
    uint64_t number; /* 0: the main one */
    uint32_t count;  /* interpreters merged (one per process) */
    uint64_t start_ms, end_ms;
};

struct rft_loss {
    uint32_t kind; /* enum rft_loss_kind */
    uint32_t process;
    uint64_t time_ms, duration_ms, count;
    const char *text;
};

struct rft_mark {
    uint32_t process;
    uint64_t time_ms;
    const char *label;
};

struct rft_losses {
    uint64_t unseen_births;   /* deaths of objects older than the start; no inexactness */
    uint64_t inferred_deaths; /* CPython did not tell; seen when the address was born again */
    uint64_t dropped_births;  /* births that found no memory in the tracer */
    uint64_t stale;           /* gone at the census without a death; counted as deaths */
    uint64_t slot_gaps, slot_gap_ms;
    uint64_t truncated_stacks;
    uint64_t late_censuses;
    uint64_t dropped_records; /* the same as losses that the tracer wrote */
    uint64_t stopped;         /* times that tracing stopped early, and gave a reason */
    uint64_t stopped_early;   /* traces that end because tracing stopped */
    uint64_t unequal_ends;    /* traces whose own totals differ from the sum of their ticks */
    uint64_t no_end;          /* traces without an END: killed, or still running */
    uint64_t bad_chunks, lost_chunks, skipped_bytes; /* damage of the files */
    /* Sum over sites of |births - deaths - survivors of the census|: 0 unless
     * there is damage or a defect. */
    uint64_t unexplained;
};

struct rft_totals {
    uint64_t births, deaths, live, live_bytes, dead_bytes, died_at_once;
    uint64_t live_ended; /* of live: in sub-interpreters that ended before their process,
                          * and took these along */
    /* Most at one time, at tick resolution. What a process has alive at its end goes with
     * it, so of several processes this may be less than `live`, the sum of those ends. */
    uint64_t peak_live, peak_ms;
    bool live_bytes_estimated;      /* at least one site's are */
    uint64_t ages[RFT_AGE_BUCKETS]; /* deaths by age */
};

/* docs/VERDICT.md says how each is reached. */
enum rft_growth_kind {
    RFT_GROWTH_NONE,      /* nothing to speak of stays */
    RFT_GROWTH_STARTUP,   /* born at start-up, stays: imports, module state */
    RFT_GROWTH_STEP,      /* born in one go later on, stays: a table, a late import */
    RFT_GROWTH_SATURATED, /* rose, then stayed level: a bounded cache, a pool */
    RFT_GROWTH_CYCLIC,    /* rises and falls: batches, garbage cycles */
    RFT_GROWTH_TURNOVER,  /* each goes after a while; more were made, so more are there */
    RFT_GROWTH_SLOWING,   /* still rises at the end, but ever slower: a filling cache? */
    RFT_GROWTH_GROWING,   /* keeps growing */
};

struct rft_growth {
    enum rft_growth_kind kind;
    uint64_t since_ms;    /* model time where the growth begins; SLOWING and GROWING only */
    uint64_t grown;       /* objects it grew by since then */
    uint64_t grown_bytes; /* theirs, from the site's mean living size */
    double objects_per_s, bytes_per_s; /* since then */
    double born;                       /* births since then */
    double stays;                      /* share of these that never died, 0..1 */
};

/* Survivors of the last census that were born in one interval, process' time. */
struct rft_survivors {
    struct rft_survivors *next;
    uint64_t birth_ms, length_ms;
    uint64_t objects, bytes;
};

/* What one process contributed to a site. */
struct rft_site_part {
    uint32_t site, process;
    uint64_t births, deaths, live, live_bytes, dead_bytes;
    uint64_t peak_live;
    uint64_t live_ended;     /* of live, as in the totals */
    uint64_t collected;      /* deaths in the collection just before the census, if marked */
    struct rft_curve *curve; /* births and deaths over time; see rft_curve_begin() */
    /* How many strings nobody held but the interpreter's cache of attribute look-ups: more
     * (births) and fewer (deaths) over time. NULL: none. */
    struct rft_curve *names;
    struct rft_survivors *survivors; /* by birth time; NULL: none, or no census */
    bool census;                     /* live, live_bytes are from the census */
};

struct rft_site {
    uint32_t stack; /* innermost node in stacks */
    uint32_t type;
    uint32_t thread;                 /* RFT_NONE: not known */
    uint32_t interpreter;            /* RFT_NONE: not known */
    uint32_t first_part, part_count; /* range in parts; one part per process */
    uint64_t births, deaths;
    uint64_t live; /* survivors of the census; births - deaths where there is none */
    uint64_t live_bytes, dead_bytes;
    uint64_t died_at_once;
    uint64_t peak_live;
    uint64_t unexplained;      /* |births - deaths - live| */
    bool live_bytes_estimated; /* no census: mean of the dead, or the type's own size */
    uint64_t *ages;            /* deaths by age, RFT_AGE_BUCKETS of them; [0] equals died_at_once */
    struct rft_growth growth;
    uint32_t growing; /* index in growing this site is part of, or RFT_NONE */
    uint32_t held;    /* index in held, or RFT_NONE */
};

/* One thing that keeps growing: best first in rft_model.growing. */
struct rft_growing {
    uint32_t site;           /* the one to look at */
    bool slowing;            /* GROWING, or only SLOWING: these come last */
    const uint32_t *members; /* sites with the same type and place: other threads, callers;
                              * `site` itself first */
    uint32_t member_count;
    const uint32_t *companions; /* sites that grow along with it: an instance's dict, strings;
                                 * by grown bytes, descending */
    const struct rft_growth *companion_growths; /* theirs, all members of each together */
    uint32_t companion_count;
    struct rft_growth growth;   /* of all members together, without companions */
    uint64_t total_grown_bytes; /* members and companions */
    double total_bytes_per_s;
    uint32_t held; /* index in held: what the heap says of its objects; RFT_NONE: nothing */
};

/* --- the heap: only of traces that it was looked through in (`run --holders`) ------------- */

/* One look through the heap of one interpreter. */
struct rft_heap {
    uint32_t process;
    uint32_t interpreter; /* RFT_NONE: not known */
    uint64_t time_ms;     /* model time */
    uint32_t kind;        /* enum rft_heap_kind; 0: not known, the numbers are 0 */
    uint32_t flags;       /* enum rft_heap_flags */
    uint64_t objects, references, bytes, pause_ms;
    uint64_t garbage_objects, garbage_bytes;
    uint64_t collector_ms;   /* that CPython's cycle collector took until then */
    uint32_t collector_time; /* enum rft_collector_time */
    const char *label;       /* "" if it has none; if refused: why */
    bool last;               /* of its interpreter: the results below are this one's */
};

/* One reference of a path. */
struct rft_step {
    uint32_t kind;      /* RFT_EDGE_..., RFT_ROOT_... */
    uint32_t repeats;   /* so many steps, this one the last of them, come again and again */
    const char *type;   /* of the holder; NULL: a root */
    const char *label;  /* NULL: none, or a different one for each object of the pattern */
    const char *detail; /* of roots; NULL: none */
    uint64_t index;     /* RFT_NEVER: none, or a different one for each object */
};

/* From a root to an object, without what goes without saying: an instance's or module's
 * dict, the tuple between a function and its cells. */
struct rft_path {
    const struct rft_step *steps;
    uint32_t count;
};

/* Objects that are held in the same way. */
struct rft_pattern {
    uint64_t objects; /* of the sampled */
    struct rft_path path;
};

struct rft_surplus {
    int64_t surplus; /* refcount less references found */
    uint64_t objects;
};

/* Refcounts against the references that were found; docs/VERDICT.md. */
struct rft_refcounts {
    uint64_t audited;
    const struct rft_surplus *pairs; /* ascending by surplus */
    uint32_t pair_count;
    uint64_t surplus_objects, surplus_references; /* held by C code */
    uint64_t missing_objects, missing_references; /* released too often */
    uint32_t looks;              /* through the heap, in which the objects were audited */
    uint64_t earlier_objects;    /* surplus_objects in the first of several looks */
    uint64_t earlier_references; /* the same of references */
    bool leaked;                 /* objects that C code holds, and that become more */
    bool suspected; /* nearly all objects of a line of the program, of which it is not known
                     * whether they become more: kept or leaked by C code */
    bool piled;     /* few objects, to which C code has more and more references, or very many */
    bool too_few;   /* a use after free in waiting */
};

/* What the last look says of the objects of one type that were born at one place: by any
 * caller, in any thread, process and interpreter. */
struct rft_held {
    uint32_t site;           /* the one with the most objects */
    const uint32_t *members; /* all sites, `site` first */
    uint32_t member_count;
    uint32_t growing; /* index in growing, or RFT_NONE */
    /* Who holds them. */
    uint64_t objects;        /* found in the heap */
    uint64_t retained_bytes; /* what would be freed with them; sites of several callers or
                              * threads are added up */
    uint64_t sampled, unreachable;
    const struct rft_pattern *patterns; /* most objects first */
    uint32_t pattern_count;
    struct rft_refcounts refcounts;
    uint64_t garbage_objects, garbage_bytes; /* that only the cycle collector can free */
};

/* Garbage cycles of one shape. */
struct rft_cycle {
    uint32_t site; /* of one object; RFT_NONE: not of the trace */
    uint64_t cycles, objects;
    struct rft_path path; /* comes back to where it begins */
};

/* An object that much would be freed with. */
struct rft_retainer {
    uint32_t process;
    uint32_t site; /* RFT_NONE: not of the trace */
    const char *type;
    uint64_t bytes, retained_bytes, retained_objects;
    struct rft_path path;
};

/* Whole program over time. */
struct rft_timeline_point {
    uint64_t time_ms;        /* model time: end of the interval */
    uint64_t births, deaths; /* in the interval that ends here */
    uint64_t live;           /* after it */
};

/* Why counts are not exact; text for people, one sentence without a full stop. */
struct rft_inexact_reason {
    const char *text;
};

struct rft_model {
    struct rft_process *processes; /* by their start */
    struct rft_thread *threads;
    struct rft_interpreter *interpreters;
    struct rft_type *types;
    struct rft_frame *frames;
    struct rft_stack_node *stacks;
    struct rft_site *sites; /* most live bytes first, then most births */
    struct rft_site_part *parts;
    struct rft_growing *growing;         /* best first; empty: nothing keeps growing */
    struct rft_timeline_point *timeline; /* ascending */
    struct rft_loss *loss_list;
    struct rft_mark *marks;
    struct rft_heap *heaps;         /* looks through the heap: by process, then time */
    struct rft_held *held;          /* most retained bytes first */
    struct rft_cycle *cycles;       /* most objects first */
    struct rft_retainer *retainers; /* most retained bytes first */
    uint32_t heap_count, held_count, cycle_count, retainer_count;
    uint32_t process_count, thread_count, interpreter_count, type_count, frame_count;
    uint32_t stack_count, site_count, part_count, growing_count;
    size_t timeline_count, loss_count, mark_count;

    bool exact;
    struct rft_inexact_reason *reasons; /* reason_count of them; none if exact */
    size_t reason_count;
    /* Files that could be read in part: what is wrong with each, for people. */
    const char **warnings;
    size_t warning_count;

    struct rft_losses losses;
    struct rft_totals totals;
    uint64_t start_ns;    /* wall clock of the model's time 0: the earliest start */
    uint64_t duration_ms; /* to the end of the last process */

    struct rft_model_store *store; /* owns all of the above */
};

/* Called while files are read; `done` and `total` are bytes of all files.
 * Return false to stop. */
typedef bool rft_progress_fn(void *data, uint64_t done, uint64_t total);

/* Read and merge traces.
 *
 * Fails with the first file that cannot be read at all; a file that is damaged
 * in part is read in part, see `warnings` and `losses`.
 *
 * @param progress May be NULL.
 * @param ret The model; give it to rft_model_destroy(). */
struct rft_error *rft_model_read(const char *const *paths, size_t path_count,
                                 rft_progress_fn *progress, void *progress_data,
                                 struct rft_model **ret);

void rft_model_destroy(struct rft_model *model);

/* The frame of a stack node; a frame with empty names for node 0. */
const struct rft_frame *rft_model_frame(const struct rft_model *model, uint32_t node);

/* Innermost frame of the program's own code, else the innermost of a package,
 * else the innermost; node 0 for an empty stack. This is the line a person looks
 * at first. */
uint32_t rft_model_own_node(const struct rft_model *model, uint32_t node);

/* Walk a site's births and deaths over time, all processes together. One step
 * per tick in which the site had births or deaths. */
struct rft_curve_step {
    uint64_t time_ms; /* model time */
    /* Objects that `__del__` revived are taken off `deaths`, which stops at 0: sums of
     * births and deaths may then differ from `live`, which is right. */
    uint64_t births, deaths;
    uint64_t live; /* after the step */
};

struct rft_curve_cursor {
    struct rft_curve_step *steps; /* all of them, ascending by time */
    size_t count, at;
};

struct rft_error *rft_curve_begin(const struct rft_model *model, uint32_t site,
                                  struct rft_curve_cursor *ret);
/* False: at the end. */
bool rft_curve_next(struct rft_curve_cursor *cursor, struct rft_curve_step *ret);
void rft_curve_end(struct rft_curve_cursor *cursor);

#endif

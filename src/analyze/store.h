/* What a model is built in: growing arrays, and indexes that find equal things.
 * Internal to src/analyze. */
#ifndef RFT_ANALYZE_STORE_H
#define RFT_ANALYZE_STORE_H

#include <reftracer/trace.h>

#include "analyze/curve.h"
#include "analyze/model.h"
#include "base/arena.h"
#include "base/index.h"
#include "base/strbuf.h"
#include "base/vec.h"

struct rft_text {
    const char *text;
    size_t length;
    uint64_t hash;
};

/* What the looks of one process say of one site. */
struct rft_heap_part {
    uint32_t site; /* the store's, then the model's */
    uint32_t heap; /* the look: index in heaps */
    uint64_t objects, retained_bytes, sampled, unreachable;
    const struct rft_pattern *patterns;
    uint32_t pattern_count;
    uint64_t audited;
    const struct rft_surplus *pairs;
    uint32_t pair_count;
    uint32_t looks;
    uint64_t earlier_objects, earlier_references;
    uint64_t garbage_objects, garbage_bytes;
};

struct rft_model_store {
    struct rft_arena arena;
    RFT_VEC(struct rft_text) texts;
    struct rft_index text_index, frame_index, stack_index, type_index, thread_index;
    struct rft_index interpreter_index, site_index;
    struct rft_strbuf scratch;

    RFT_VEC(struct rft_process) processes;
    RFT_VEC(struct rft_thread) threads;
    RFT_VEC(struct rft_interpreter) interpreters;
    RFT_VEC(struct rft_type) types;
    RFT_VEC(struct rft_frame) frames;
    RFT_VEC(struct rft_stack_node) stacks;
    RFT_VEC(struct rft_site) sites;
    RFT_VEC(struct rft_site_part) parts;
    RFT_VEC(struct rft_growing) growing;
    RFT_VEC(struct rft_timeline_point) timeline;
    RFT_VEC(struct rft_loss) losses;
    RFT_VEC(struct rft_mark) marks;
    RFT_VEC(struct rft_heap) heaps;
    RFT_VEC(struct rft_heap_part) heap_parts;
    RFT_VEC(struct rft_held) held;
    RFT_VEC(struct rft_cycle) cycles;
    RFT_VEC(struct rft_retainer) retainers;
    RFT_VEC(struct rft_inexact_reason) reasons;
    RFT_VEC(const char *) warnings;
    /* The whole program's births and deaths, of all processes, to become the
     * timeline. Process' time. */
    RFT_VEC(struct rft_curve) process_curves;
    /* While parts are collected: the last part of each site, and for each part the
     * one before it of the same site. RFT_NONE ends the chain. */
    RFT_VEC(uint32_t) last_parts;
    RFT_VEC(uint32_t) earlier_parts;
};

/* --- identity.c: each name, frame, stack, type, ... once -----------------------------
 * All give RFT_NONE (or NULL) without memory. */

/* The text made printable, once. */
const char *rft_store_text(struct rft_model_store *store, struct rft_string string);
/* The same for text of our own, which must be printable. */
const char *rft_store_format(struct rft_model_store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
uint32_t rft_store_frame(struct rft_model_store *store, struct rft_frame frame);
uint32_t rft_store_stack(struct rft_model_store *store, uint32_t parent, uint32_t frame);
uint32_t rft_store_type(struct rft_model_store *store, struct rft_type type);
uint32_t rft_store_thread(struct rft_model_store *store, struct rft_thread thread);
uint32_t rft_store_interpreter(struct rft_model_store *store, struct rft_interpreter interpreter);
/* A site without numbers yet. */
uint32_t rft_store_site(struct rft_model_store *store, uint32_t stack, uint32_t type,
                        uint32_t thread, uint32_t interpreter);

/* --- origin.c ---------------------------------------------------------------------- */

enum rft_origin rft_origin_of(const char *file);

/* --- intake.c: one file, as it is read ------------------------------------------------ */

struct rft_intake_site {
    uint64_t births, deaths, at_once, dead_bytes;
    uint64_t collected;  /* deaths after the mark of its interpreter's final collection */
    uint64_t collecting; /* after such a mark, of an interpreter that is not known yet */
    uint64_t peak_live;
    uint64_t *ages; /* NULL: no death but at once */
    struct rft_curve *curve;
    struct rft_curve *names; /* as struct rft_site_part has it */
    /* The last census that named the site. */
    struct rft_survivors *survivors;
    uint64_t survivor_count, survivor_bytes;
    uint64_t live_then; /* births - deaths when that census came */
    uint32_t census;    /* its number from 1; 0: none */
    uint32_t last_tick; /* number from 1 of the last tick that named the site */
};

struct rft_intake_census {
    uint32_t kind, interpreter;
    uint64_t time_ms;
    uint32_t after_tick; /* number of the last tick before it */
};

struct rft_intake {
    struct rft_model_store *store;
    RFT_VEC(struct rft_intake_site) sites; /* by the trace's site id */
    RFT_VEC(struct rft_intake_census) censuses;
    struct rft_curve whole;
    uint64_t births, deaths, live, peak_live;
    /* Of the tick that is coming in, in pieces perhaps. */
    struct rft_curve_point pending;
    uint64_t unseen_births, inferred_deaths, dropped_births;
    uint32_t ticks;
    /* The last tick, and the distance and births of those before it that were no pause. */
    uint64_t last_tick_ms, births_then, usual_gap_ms, usual_births;
    RFT_VEC(struct rft_pause) pauses;
    size_t marks_seen;
    /* The mark of a final collection that no census has followed yet: its number from 1, or 0.
     * Each interpreter has one, and its census says whose it was; the last is the main one's. */
    size_t collection_mark;
    RFT_VEC(uint32_t) collecting; /* sites with deaths since then */
    rft_progress_fn *progress;
    void *progress_data;
    uint64_t done_before, total; /* bytes of earlier files, of all files */
};

void rft_intake_visitor(struct rft_intake *intake, struct rft_trace_visitor *ret);
/* After the file was read. */
struct rft_error *rft_intake_finish(struct rft_intake *intake);
void rft_intake_deinit(struct rft_intake *intake);

/* --- names.c: what the interpreter's cache of look-ups held ---------------------------- */

/* After the file was read. */
struct rft_error *rft_names_take(struct rft_intake *intake, const struct rft_trace *trace);

/* --- pauses.c: when the process did not run ---------------------------------------------- */

/* A tick is coming in; the ones before it are counted. False: no memory. */
bool rft_pauses_see(struct rft_intake *intake, uint64_t time_ms);
/* After the file was read. */
bool rft_pauses_take_looks(struct rft_intake *intake, const struct rft_trace *trace);
/* Process' time without pauses, and back. */
uint64_t rft_lived_ms(const struct rft_process *process, uint64_t ms);
uint64_t rft_told_ms(const struct rft_process *process, uint64_t lived_ms);

/* --- merge.c: a file that was read becomes part of the model -------------------------- */

struct rft_error *rft_merge(struct rft_model *model, const char *path,
                            const struct rft_trace *trace, const struct rft_intake *intake);

/* --- heap.c: what a file says of the heap ------------------------------------------------ */

/* The model's numbers of the trace's ids; RFT_NONE: nothing is known of it. */
struct rft_heap_ids {
    const struct rft_trace *trace;
    uint32_t process;
    const uint32_t *sites; /* ids 0 to site_count */
    uint32_t site_count;
    const uint32_t *interpreters;
};

bool rft_heap_take(struct rft_model_store *store, const struct rft_heap_ids *ids);

/* --- held.c: sites of one type and place together; after the search for growth ------------ */

struct rft_error *rft_held_find(struct rft_model *model);

/* --- path.c -------------------------------------------------------------------------------- */

/* Leaves out what goes without saying, and folds what repeats. `steps` is changed; returns
 * how many are left. */
uint32_t rft_path_tidy(struct rft_step *steps, uint32_t count);

/* Puts together patterns that are the same, or differ in nothing but their keys; most
 * objects first. Returns how many are left. */
uint32_t rft_patterns_join(struct rft_pattern *patterns, uint32_t count, struct rft_arena *arena);

/* --- refcounts.c ---------------------------------------------------------------------------- */

/* Sums and verdict, from the pairs, the looks and how the objects grow.
 *
 * @param by_program Whether a line of the program or of a package made them, and no import. */
void rft_refcounts_judge(struct rft_refcounts *refcounts, const struct rft_growth *growth,
                         bool by_program);

/* --- build.c: from collected parts to the finished model ------------------------------- */

struct rft_error *rft_build(struct rft_model *model);

/* --- exactness.c -------------------------------------------------------------------------- */

/* Losses, warnings of one file; called by rft_merge. */
struct rft_error *rft_exactness_file(struct rft_model *model, uint32_t process,
                                     const struct rft_trace *trace,
                                     const struct rft_intake *intake);
/* `exact` and the reasons; called last. */
struct rft_error *rft_exactness(struct rft_model *model);

/* --- growing.c ----------------------------------------------------------------------------- */

/* Verdicts of all sites, and the list of what keeps growing. */
struct rft_error *rft_growing_find(struct rft_model *model);

#endif

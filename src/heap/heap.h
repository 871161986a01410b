/* The heap as a graph: which objects there are, who refers to whom, who holds whom.
 *
 * graph.c       objects and references of one interpreter
 * guesses.c     references that types of extensions keep to themselves
 * texts.c       labels, each kept once
 * paths.c       the shortest path from a root to each object
 * patterns.c    paths of many objects, grouped
 * dominators.c  what would be freed with an object
 * cycles.c      what only the cycle collector can free
 * audit.c       refcounts against the references that were found
 * edges.h       what one object refers to, and where references come from (roots)
 *
 * All of it runs in the traced process with the GIL held, calls no Python code, changes no
 * refcount, and takes its memory from mmap. What an object refers to is learnt through
 * struct rft_heap_host, so that a test can make up its own heap. */
#ifndef RFT_HEAP_H
#define RFT_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heap/edges.h"
#include "heap/memory.h"
#include "layout/layout.h"

#define RFT_NO_NODE UINT32_MAX

/* What the graph needs from outside. Nothing here may run Python code. */
struct rft_heap_host {
    const struct rft_layout *layout;
    void *tstate; /* for roots_each */
    void *context;
    /* Each object that the cycle collector tracks, until visit returns 0. */
    void (*each_tracked)(int (*visit)(void *op, void *arg), void *arg);
    /* Each object of the trace that lives: its site (from 1), and the time of its birth in
     * ms. context: the one above. */
    void (*each_survivor)(void (*visit)(const void *op, uint32_t site, uint32_t birth, void *arg),
                          void *arg, void *context);
    uint32_t (*size)(const void *op, void *context); /* bytes of the object with its buffers */
    int (*edges_each)(const void *op, int (*visit)(const void *target, int counted, void *arg),
                      void *arg);
    /* Words in which there may be more references. NULL: in none. */
    void (*edges_hidden)(const void *op, int (*visit)(const void *word, int counted, void *arg),
                         void *arg);
    int (*roots_each)(void *tstate, int (*visit)(const struct rft_root *root, void *arg),
                      void *arg);
    void (*label_of)(const void *holder, const void *target, struct rft_label *label);
    /* The same of each reference of a chain of objects, where the names of variables need
     * more than two of them. NULL: variables of closures have no names. */
    void (*labels_of)(const void *const *objects, size_t count, const struct rft_root *root,
                      struct rft_label *labels);
    /* Objects that hold nearly all, so that a path through them tells nothing: sys.modules. */
    const void *passed_over[4];
    uint32_t sites; /* all site ids are at most this */
    bool exact;     /* a survivor's address holds an object for certain */
};

/* Why a result is only part of the whole. */
enum rft_heap_cut { RFT_WHOLE = 0, RFT_CUT_MEMORY = 1, RFT_CUT_TIME = 2 };

enum rft_node_flags {
    RFT_NODE_TRACKED = 1,  /* by the cycle collector */
    RFT_NODE_IMMORTAL = 2, /* its refcount means nothing */
    RFT_NODE_LONE = 4,     /* nothing refers to it: only the trace knows it */
    RFT_NODE_ROOT = 8,     /* a root owns a reference to it */
    RFT_NODE_OURS = 16,    /* of the Python package reftracer */
    RFT_NODE_PASSED_OVER = 32,
};

/* A reference that does not count (borrowed), in rft_graph.target. */
#define RFT_EDGE_BORROWED 0x80000000u

struct rft_graph_root {
    uint32_t node;
    uint32_t label, detail; /* texts, 0: none */
    uint8_t kind;
    bool counted;
};

/* Texts are numbered from 1, equal ones alike. */
struct rft_texts {
    char *bytes;
    uint32_t *starts, *table;
    size_t bytes_used, bytes_capacity;
    uint32_t count, capacity, mask;
};

struct rft_graph {
    const struct rft_heap_host *host;
    struct rft_heap_memory memory;
    uint64_t deadline; /* CLOCK_MONOTONIC, ns */
    enum rft_heap_cut cut;
    bool part; /* by whom it was built: not all of the heap was read */

    /* Nodes. Order: the collector's, then as they are come by. */
    uint32_t count, capacity;
    uintptr_t *address;
    uint8_t *flags;
    uint32_t *found; /* references that were found and count */
    uint32_t *site;  /* 0: not of the trace */
    uint32_t *birth; /* ms; of those of the trace */
    uint32_t *size;  /* bytes */
    uint32_t *table; /* address -> node + 1, open addressing */
    uint32_t mask;

    /* References of node i: target[first[i]] .. target[first[i + 1] - 1]. */
    uint32_t *first, *target;
    size_t edges, edge_capacity;
    uint32_t *back_first, *back; /* the same backwards, when asked for */

    struct rft_graph_root *roots;
    size_t root_count, root_capacity;
    struct rft_texts texts;
    uint64_t bytes; /* of all objects that are not immortal */
};

/* Reads the heap. Returns false if nothing is usable; graph->cut says whether it is whole.
 * graph: zeroed. milliseconds, bytes: bounds of time and memory for all that is done with
 * it. rft_graph_deinit() in any case. */
bool rft_graph_build(struct rft_graph *graph, const struct rft_heap_host *host,
                     uint32_t milliseconds, size_t bytes);
void rft_graph_deinit(struct rft_graph *graph);
bool rft_graph_reverse(struct rft_graph *graph);                        /* makes back_first, back */
uint32_t rft_graph_find(const struct rft_graph *graph, const void *op); /* or RFT_NO_NODE */
bool rft_graph_in_time(struct rft_graph *graph); /* else sets cut; costs a look at the clock */
uint64_t rft_heap_clock(void);                   /* ns */

static inline const char *rft_node_object(const struct rft_graph *graph, uint32_t node)
{
    return (const char *)graph->address[node];
}
uintptr_t rft_node_type(const struct rft_graph *graph, uint32_t node);
uint64_t rft_node_refcount(const struct rft_graph *graph, uint32_t node);
/* What is left of the refcount; 0 if immortal. */
int64_t rft_node_surplus(const struct rft_graph *graph, uint32_t node);

/* ---- guesses.c ---- */
/* Adds what rft_edges_hidden finds, as far as it explains refcounts. Before back is made. */
void rft_graph_guess(struct rft_graph *graph);

/* ---- texts.c ---- */
uint32_t rft_text_id(struct rft_graph *graph, const char *text, size_t length); /* 0: none */
const char *rft_text_of(const struct rft_graph *graph, uint32_t id, size_t *length);
void rft_texts_deinit(struct rft_graph *graph);

/* ---- paths.c ---- */

/* How a node was come by: another node, or with RFT_FROM_ROOT the number of a root. */
#define RFT_FROM_ROOT 0x80000000u
enum { RFT_ROOT_NUMBER_C = 0x7ffffffe }; /* held by C code */
#define RFT_UNREACHED UINT32_MAX

struct rft_paths {
    uint32_t *parent; /* by node; RFT_UNREACHED: garbage */
    uint32_t reached;
    uint32_t *order; /* nodes in the order in which they were reached */
};

/* One step of a path; the first one comes from a root. */
struct rft_step {
    uint8_t kind;    /* RFT_ROOT_* or RFT_EDGE_* of trace/format.h */
    uint32_t holder; /* node that the reference comes from, RFT_NO_NODE: a root */
    uint32_t label, detail;
    uint64_t index; /* + 1; 0: none */
};

/* From all roots, nearest first. Named roots (modules, threads, ...) come before the
 * interpreter's own, these before references that only C code can have, and those before
 * ways through the package reftracer itself. False without memory or time. */
bool rft_paths_find(struct rft_graph *graph, struct rft_paths *paths);
void rft_paths_deinit(struct rft_graph *graph, struct rft_paths *paths);

/* How the reference from holder to target is called. */
typedef void (*rft_step_maker)(struct rft_graph *graph, uint32_t holder, uint32_t target,
                               struct rft_step *step, void *arg);
void rft_step_between(struct rft_graph *graph, uint32_t holder, uint32_t target,
                      struct rft_step *step, void *arg); /* arg: unused */

/* The path to a node, at most RFT_PATH_STEPS_MAX steps; returns how many. make is called
 * for each but the first. */
unsigned rft_path_steps(struct rft_graph *graph, const struct rft_paths *paths, uint32_t node,
                        rft_step_maker make, void *arg, struct rft_step *steps);
unsigned rft_path_nodes(const struct rft_paths *paths, uint32_t node, uint32_t *nodes,
                        unsigned *gap, uint64_t *depth);

/* ---- patterns.c ---- */
enum { RFT_SAMPLES_MAX = 200 };
struct rft_sample_path {
    uint64_t shape; /* hash of what a pattern has in common */
    unsigned count; /* steps */
    struct rft_step steps[RFT_PATH_STEPS_MAX];
};
struct rft_pattern {
    uint32_t objects;
    uint64_t shape;
    const struct rft_sample_path *sample;
};
enum { RFT_KNOWN_LABELS = 8192, RFT_KNOWN_HOLDERS = 1024 };
struct rft_patterns {
    unsigned count, sampled;
    struct rft_pattern patterns[RFT_SAMPLES_MAX]; /* most frequent first */
    struct rft_sample_path samples[RFT_SAMPLES_MAX];
    /* Labels that were found before: to look for one costs as much as its holder is large. */
    struct {
        uint32_t target, holder; /* target + 1 */
        struct rft_step step;
    } labels[RFT_KNOWN_LABELS];
    struct {
        uint32_t holder, times; /* holder + 1 */
        uintptr_t type;         /* of the targets */
        uint8_t kind;
    } holders[RFT_KNOWN_HOLDERS];
};
/* The paths of up to RFT_SAMPLES_MAX reached nodes, grouped: alike are those that differ in
 * indexes and in keys of dicts only. What differs is left out of the pattern's steps, which
 * are good until the next call. patterns: zeroed before the first. */
void rft_patterns_find(struct rft_graph *graph, const struct rft_paths *paths,
                       const uint32_t *nodes, unsigned count, struct rft_patterns *patterns);

/* ---- dominators.c ---- */
struct rft_dominators {
    uint32_t count;     /* nodes that are reached, and the root: number 0 */
    uint32_t *number;   /* by node; 0: not reached */
    uint32_t *node;     /* by number */
    uint32_t *idom;     /* by number; number of the immediate dominator */
    uint64_t *retained; /* by number: bytes that are freed with it, its own too */
    uint32_t *retained_objects;
    uint32_t *child, *sibling; /* by number: the tree downwards, 0: none */
};
/* Needs rft_graph_reverse. False without memory or time. */
bool rft_dominators_find(struct rft_graph *graph, const struct rft_paths *paths,
                         struct rft_dominators *dominators);
void rft_dominators_deinit(struct rft_graph *graph, struct rft_dominators *dominators);
/* bytes[site]: what would be freed with all of the site's objects, without counting twice
 * those that hold each other. bytes: host->sites + 1 of them, zeroed. */
bool rft_dominators_by_site(struct rft_graph *graph, const struct rft_dominators *dominators,
                            uint64_t *bytes);
/* Objects that retain much by themselves, biggest first; returns how many. */
unsigned rft_dominators_biggest(struct rft_graph *graph, const struct rft_dominators *dominators,
                                uint32_t *nodes, unsigned max);

/* ---- cycles.c ---- */
struct rft_cycle {
    uint32_t site;    /* of an object in it; 0: none of the trace */
    uint32_t cycles;  /* of this shape */
    uint32_t objects; /* in all of them */
    uint16_t steps, of;
};
enum { RFT_CYCLE_SHAPES = 32, RFT_CYCLE_STEPS = 32 };
struct rft_cycles {
    uint64_t objects, bytes; /* of all garbage */
    unsigned count;
    struct rft_cycle cycles[RFT_CYCLE_SHAPES]; /* most objects first */
    struct rft_step steps[RFT_CYCLE_SHAPES * RFT_CYCLE_STEPS];
};
/* What no root leads to. False without memory or time: then cycles is incomplete. */
bool rft_cycles_find(struct rft_graph *graph, const struct rft_paths *paths,
                     struct rft_cycles *cycles);
bool rft_node_is_garbage(const struct rft_graph *graph, const struct rft_paths *paths,
                         uint32_t node);

/* ---- audit.c ---- */
struct rft_surplus {
    int32_t surplus;
    uint32_t objects;
};
enum { RFT_SURPLUS_MAX = 64 };
/* Surpluses of the given objects, ascending, immortal ones left out. Returns how many
 * different ones; more than `RFT_SURPLUS_MAX` are put together at the ends. */
unsigned rft_audit(const struct rft_graph *graph, const uint32_t *nodes, uint32_t count,
                   struct rft_surplus *pairs);

#endif

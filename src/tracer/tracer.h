/* The reference tracer: what happens at each birth and death.
 *
 * Rules of the callback (facts: CPython's Objects/object.c, PyRefTracer):
 * it may run in any thread that has a thread state, in several threads at once
 * (own-GIL sub-interpreters, free-threaded builds), with an exception pending,
 * in the middle of an allocation. So it makes no Python object, touches no
 * refcount and no exception, and never waits for anything that waits for a GIL.
 *
 * Who writes what:
 * - A thread's record (struct rft_thread) is written by its thread alone; the
 *   ticker reads some counters of it and stores 0 to its countdown.
 * - A site's own counters are written by the thread that owns the site; deaths
 *   caused by other threads go to the site's foreign counters, atomically.
 *   The ticker reads both, relaxed, and writes differences; they may wrap.
 * - The live map's slots are single words: stored at birth, cleared at death.
 * - Everything else is behind tracer.lock, which is never held while waiting
 *   for a GIL and never held across a write to the disk. */
#ifndef RFT_TRACER_H
#define RFT_TRACER_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout/layout.h"
#include "trace/format.h"
#include "tracer/pool.h"

/* CPython's events (Include/cpython/object.h). REMOVED exists from 3.15 on. */
enum { RFT_EVENT_CREATE = 0, RFT_EVENT_DESTROY = 1, RFT_EVENT_REMOVED = 2 };
typedef int (*rft_callback)(void *op, int event, void *data);

/* A slot of the live map: cohort << STAMP_BITS | stamp; 0 is "no object". The
 * stamp is the birth time inside of the cohort in units of 2^shift ms. */
enum { RFT_STAMP_BITS = 7, RFT_STAMPS = 1 << RFT_STAMP_BITS };
enum { RFT_COHORT_CHUNK = 4096, RFT_COHORT_CHUNKS = (1 << 25) / RFT_COHORT_CHUNK };

/* How many live cohorts a site may have before its next ones span twice the
 * time: keeps the cohorts of a site that leaks for T to about 64 * log2(T). */
enum { RFT_COHORTS_PER_SPAN = 64 };

struct rft_site;

/* The objects of one site that were born in one span of time. 32 bytes. */
struct rft_cohort {
    struct rft_site *site;
    uint32_t start;        /* ms since the trace began */
    _Atomic uint32_t span; /* ms, set when the cohort is closed; 0: open */
    uint32_t deaths;       /* by the site's own thread while it is open */
    /* Objects that have yet to die, once it is closed; while it is open, minus
     * the deaths by other threads. The death that brings it to 0 is the last
     * one to touch the cohort, and puts it on a free list. acq_rel: pairs with
     * the other deaths of the cohort, so that all are done with it then. */
    _Atomic int32_t remaining;
    uint8_t shift; /* unit of the stamps: 2^shift ms */
};
_Static_assert(sizeof(struct rft_cohort) == 32, "two to a cache line");

struct rft_ages {
    _Atomic uint32_t deaths[RFT_AGE_BUCKETS];
};

/* What a death at this site needs beyond counting; 0 for most sites. */
enum {
    RFT_SITE_VARSIZE = 1,    /* bytes are read from the object */
    RFT_SITE_REMEMBERED = 2, /* its objects are code objects or types: caches to clear */
    RFT_SITE_FINALIZER = 4,  /* its objects may be resurrected by __del__ */
    RFT_SITE_ENDED = 8,      /* its interpreter had its census: deaths no longer count */
};

struct rft_site {
    /* hot: one cache line */
    alignas(64) _Atomic uint32_t births;
    uint32_t slot_base; /* current cohort << STAMP_BITS; 0: none yet */
    uint32_t cohort_start;
    uint32_t last_birth; /* low bits of (address >> 4) of the newest object */
    struct rft_identity *owner;
    _Atomic uint64_t dead_bytes;
    _Atomic uint32_t at_once;
    uint32_t fixed_size; /* bytes of one instance, without its variable part */
    uint8_t shift, flags, kind;
    uint16_t item_size;
    uint32_t births_before_cohort;
    uint32_t live_cohorts; /* closed ones that still have objects; owner only */
    /* what a tick looks at besides: one more cache line */
    alignas(64) struct rft_ages *_Atomic ages;
    struct rft_ages *_Atomic f_ages; /* f_: deaths caused by other threads */
    _Atomic uint64_t f_dead_bytes;
    _Atomic uint32_t f_at_once;
    uint32_t id;
    uint32_t seen_births, seen_at_once, seen_f_at_once; /* what the trace already has */
    _Atomic uint32_t f_closed; /* closed cohorts emptied by other threads */
    uint64_t seen_bytes;
    uint32_t *seen_ages; /* 2 * RFT_AGE_BUCKETS: own, foreign */
    /* identity */
    alignas(64) uint32_t node;
    uint32_t type_id, interp, thread;
    struct rft_site *next_in_hash;
};

_Static_assert(sizeof(struct rft_site) == 3 * 64, "a tick reads two of its three lines");

struct rft_chain_entry {
    uintptr_t frame, instr;
    uint32_t node; /* 0: not looked up yet */
};

struct rft_site_entry {
    uintptr_t instr;
    void *type;
    uint64_t parent_and_tag;
    struct rft_site *site;
};
enum {
    RFT_SITE_CACHE = 32768,
    RFT_NODE_CACHE = 32768,
    RFT_TYPE_CACHE = 256,
    RFT_LEAF_CACHE = 16,
    RFT_POSITIONS = 1024
};

struct rft_node_entry {
    uintptr_t instr;
    uint64_t parent_and_tag;
    uint32_t node;
};
struct rft_type_entry {
    void *type;
    uint32_t tag;
    struct rft_type *record;
};
struct rft_leaf_entry {
    uintptr_t region; /* (address >> 20) + 1 */
    _Atomic uint32_t *leaf;
};

/* A thread as the trace knows it, with its sites. A server that starts a thread
 * for each request would have as many as requests; so when a thread ends, the
 * next one of the same name, numbers that threading gave apart, takes over its
 * identity. One thread at a time holds it: its sites have one writer. Handed on
 * under tracer.lock. */
struct rft_identity {
    uint32_t id;          /* thread id in the trace */
    uint32_t name, start; /* string id; ms */
    uint64_t kind;        /* hash of the name without numbers; 0: unnamed */
    struct rft_site **site_hash;
    uint32_t site_mask, site_count;
    struct rft_identity *next; /* all */
    struct rft_identity *next_free;
};

enum {
    RFT_MUTED_OURS = 1,  /* they are our own, not the program's */
    RFT_MUTED_ENDED = 2, /* the interpreter had its census and is being torn down */
};

struct rft_thread {
    void *tstate;              /* the thread state that the fields below are for */
    _Atomic int32_t countdown; /* events until the clock is read again */
    uint32_t now;              /* ms since the trace began, as of the last reading */
    uintptr_t top;             /* frame of chain[depth - 1], or 0 */
    uint64_t parent_and_tag;   /* node of chain[depth - 2]; tag in the high half */
    uint32_t epoch;            /* tracer.epoch that the caches are good for */
    uint32_t tag;              /* changes when the caches' contents become void */
    uint8_t muted;             /* RFT_MUTED_*: births are not counted */
    uint32_t depth, capacity;
    struct rft_chain_entry *chain;
    struct rft_leaf_entry leaves[RFT_LEAF_CACHE];
    struct rft_site_entry sites[RFT_SITE_CACHE];
    struct rft_node_entry nodes[RFT_NODE_CACHE];
    struct rft_type_entry types[RFT_TYPE_CACHE];
    uint32_t positions[RFT_POSITIONS]; /* frame -> index in chain, without frame tags */
    uint32_t unchecked; /* events since the whole chain was verified, without frame tags */
    uint32_t interp;    /* index of the current interpreter */
    struct rft_identity *identity; /* whose sites its births belong to */
    struct rft_identity *unnamed;  /* its identity until its name is known */
    int native_id;
    bool named;
    uint32_t free_cohorts; /* list through rft_cohort.start, ids */
    /* counters, read by the ticker */
    _Atomic uint32_t events, unseen, inferred, dropped;
    uint32_t seen_unseen, seen_inferred, seen_dropped;
    struct rft_thread *next; /* all records; guarded by tracer.lock */
    struct rft_thread *next_free;
};

struct rft_type {
    uint32_t id;
    uint32_t fixed_size;
    uint16_t item_size;
    uint8_t kind;
    bool finalizer; /* may be resurrected: has a Python-level __del__ */
};

/* Functions of CPython, found with dlsym. */
struct rft_cpython {
    void *(*thread_state)(void);             /* PyThreadState_GetUnchecked */
    int (*set_tracer)(rft_callback, void *); /* PyRefTracer_SetTracer */
    rft_callback (*get_tracer)(void **);     /* PyRefTracer_GetTracer */
    int (*is_initialized)(void);
    /* PyUnstable_GC_VisitObjects: this interpreter's; NULL where it is missing */
    void (*visit_gc_objects)(int (*)(void *, void *), void *);
    char *runtime; /* _PyRuntime */
    void *code_type, *set_type, *frozenset_type, *bytearray_type;
};

/* FORKED: in a child that has had no event yet. */
enum rft_state { RFT_IDLE, RFT_TRACING, RFT_STOPPED, RFT_FORKED };

struct rft_tracer {
    struct rft_layout layout;
    struct rft_cpython py;
    bool frame_tags;   /* frames can be marked; see chain.c */
    bool loses_deaths; /* this CPython release does not report every death */
    _Atomic int state;
    _Atomic uint32_t epoch; /* bumped when a known code object or type dies */
    uint64_t start_ns;      /* CLOCK_MONOTONIC */
    _Atomic bool gaps;      /* the slot was somebody else's for a while */

    pthread_mutex_t lock; /* guards what follows, and the tables of the rooms' files */
    struct rft_thread *threads, *free_threads;
    struct rft_identity *identities, *free_identities;
    uint32_t thread_count, interp_count, site_count;
    /* definitions that the trace does not have yet */
    struct rft_buffer strings, codes, types, stacks, thread_records, interp_records, sites, losses;
    uint32_t strings_n, codes_n, types_n, stacks_n, threads_n, interps_n, sites_n;
    const char *out_of_memory; /* what could not be allocated, or NULL */

    /* The agent's: called by a traced thread, often; and for a thread's first event. */
    void (*on_clock)(uint32_t now);
    void (*on_thread)(struct rft_thread *t);
    void (*on_fork)(void); /* a forked child's first event: must leave FORKED */
};
extern struct rft_tracer tracer;
extern _Thread_local struct rft_thread *rft_self;

/* tracer.c */
/* The callback for CPython: one of two that are the same but for what is known
 * about this CPython when they are compiled. */
int rft_on_event(void *op, int event, void *data);
int rft_on_event_tags(void *op, int event, void *data);
rft_callback rft_tracer_callback(void);
struct rft_thread *rft_thread_record(void); /* this thread's, made on first use; may be NULL */
void rft_thread_ended(struct rft_thread *t);
uint32_t rft_now_ms(void);
void rft_census_stale(struct rft_thread *t, uint32_t slot);
void rft_stop_for_memory(const char *what);
void rft_tracer_reset_after_fork(void);

/* chain.c: the current thread's stack */
void rft_chain_resolve(struct rft_thread *t, uintptr_t frame);
uint32_t rft_chain_node(struct rft_thread *t, uint32_t index);

/* codes.c: code objects, stack nodes, strings */
uint64_t rft_string_hash(const char *bytes, size_t length); /* never 0 */
uint32_t rft_string_id(const char *bytes, size_t length);
uint32_t rft_node_child(struct rft_thread *t, uint32_t parent, uintptr_t frame, uintptr_t instr);
bool rft_code_forget(void *code); /* a code object died; true if it was known */
void rft_codes_reset(void);

/* types.c */
struct rft_type *rft_type_record(struct rft_thread *t, void *type);
bool rft_type_forget(void *type);
bool rft_type_known(void *type); /* takes tracer.lock */
void rft_types_reset(void);

/* sizes.c */
typedef bool (*rft_read)(const void *from, void *to, size_t size);
uint64_t rft_object_size(const char *op, unsigned kind, uint64_t fixed, unsigned item_size);
bool rft_object_size_checked(const char *op, unsigned kind, uint64_t fixed, unsigned item_size,
                             rft_read read, uint64_t *size);

/* sites.c */
struct rft_site *rft_site_find(struct rft_thread *t, uint32_t node, struct rft_type *type);
struct rft_site *rft_site_by_id(uint32_t id);
uint32_t rft_site_next_active(uint32_t id);
void rft_sites_settle(void);
void rft_sites_end(uint32_t interp);
bool rft_sites_any_finalizer(void);
uint32_t rft_cohort_ids(void); /* all ids are below this */
uint32_t rft_cohort_open(struct rft_thread *t, struct rft_site *site);
void rft_cohort_death(struct rft_thread *t, uint32_t id, struct rft_cohort *cohort);
void rft_sites_reset(void);
extern struct rft_cohort *_Atomic rft_cohort_chunks[RFT_COHORT_CHUNKS];
static inline struct rft_cohort *rft_cohort(uint32_t id)
{
    return atomic_load_explicit(&rft_cohort_chunks[id / RFT_COHORT_CHUNK], memory_order_acquire) +
           id % RFT_COHORT_CHUNK;
}

/* graves.c: objects whose __del__ may have brought them back */
struct rft_grave {
    void *op;
    struct rft_site *site;
    uint32_t bytes, slot;
    uint8_t bucket;
    struct rft_grave *next;
};
void rft_grave_dig(const struct rft_grave *grave);
bool rft_grave_close(void *op); /* its object died again: there was one */
void rft_graves_each(void (*visit)(struct rft_grave *grave, void *arg), void *arg);
void rft_graves_reset(void);

/* threads.c */
void rft_identity_begin(struct rft_thread *t);             /* holds tracer.lock */
void rft_identity_end(struct rft_thread *t, uint32_t now); /* holds tracer.lock */
void rft_thread_name(struct rft_thread *t);
void rft_identities_reset(void);

/* tick.c: what happened since the last tick, as chunk payloads. */
struct rft_definitions {
    struct rft_buffer chunks[RFT_CHUNK_SITES + 1]; /* by chunk type; empty: nothing new */
    struct rft_buffer losses;
};
bool rft_tick_collect(uint32_t now, struct rft_definitions *definitions, struct rft_buffer *tick);
void rft_tick_totals(uint64_t *births, uint64_t *deaths);
void rft_tick_take_back(uint64_t deaths);
void rft_tick_reset(void);
void rft_loss(enum rft_loss_kind kind, uint32_t now, uint32_t duration, uint64_t count,
              const char *text);

/* census.c: who is alive. interp: index, 0 for all that had none yet. */
void rft_census(struct rft_thread *t, enum rft_census_kind kind, uint32_t interp,
                struct rft_buffer *revived_tick, struct rft_buffer *census);

/* interps.c */
uint32_t rft_interp_index(struct rft_thread *t, void *tstate, bool *ended);
void rft_interp_ended(uint32_t index, uint32_t now);
void rft_interps_reset(void);

#endif

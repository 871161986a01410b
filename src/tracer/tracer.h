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
    /* Low half: ms since the trace began, when it was opened. High half: the id of
     * the identity whose deaths at once are counted without looking at the site;
     * 0 when it is closed, its stamps are coarser than 1 ms, or a death takes more
     * (RFT_SITE_REMEMBERED and so on). */
    _Atomic uint64_t key;
    struct rft_site *_Atomic site; /* NULL: on a free list; see rft_cohort_site() */
    _Atomic uint32_t span;         /* ms, set when the cohort is closed; 0: open */
    /* By the site's own thread while it is open, but for those at once. */
    _Atomic uint32_t deaths;
    /* Objects that have yet to die, once it is closed; while it is open, minus
     * the deaths by other threads. The death that brings it to 0 is the last
     * one to touch the cohort, and puts it on a free list. acq_rel: pairs with
     * the other deaths of the cohort, so that all are done with it then. */
    _Atomic int32_t remaining;
    uint8_t shift; /* unit of the stamps: 2^shift ms */
    uint8_t kind;  /* the site's */
};
_Static_assert(sizeof(struct rft_cohort) == 32, "two to a cache line");

static inline uint32_t rft_cohort_start(const struct rft_cohort *cohort)
{
    return (uint32_t)atomic_load_explicit(&cohort->key, memory_order_relaxed);
}

static inline struct rft_site *rft_cohort_site(const struct rft_cohort *cohort)
{
    return atomic_load_explicit(&cohort->site, memory_order_relaxed);
}

struct rft_ages {
    _Atomic uint32_t deaths[RFT_AGE_BUCKETS];
};

/* What a death at this site needs beyond counting; 0 for most sites. */
enum {
    RFT_SITE_VARSIZE = 1,    /* bytes are read from the object */
    RFT_SITE_REMEMBERED = 2, /* its objects are code objects or types: caches to clear */
    RFT_SITE_FINALIZER = 4,  /* its objects have a __del__ */
    RFT_SITE_ENDED = 8,      /* its interpreter had its census: deaths no longer count */
    RFT_SITE_REVIVABLE = 16, /* a finalizer, in C or in Python, may save its objects: graves.c */
    RFT_SITE_UNTRACKED = 32, /* and the cycle collector does not know them */
};

/* A kind that is none in the trace, where such types are FIXED: generators, coroutines and
 * asynchronous generators. Only those that have not run to their end may be saved. */
enum { RFT_KIND_GENERATOR = 255 };

struct rft_site {
    /* hot: one cache line */
    alignas(64) _Atomic uint32_t births;
    /* What a birth in the millisecond `slot_time` stores; not if shift > 0. */
    uint32_t slot_time, slot_value;
    uint32_t slot_base; /* current cohort << STAMP_BITS; 0: none yet */
    uint32_t cohort_start;
    uint32_t last_birth; /* if shift > 0: low bits of (address >> 4) of the newest object */
    _Atomic uint32_t at_once;
    uint32_t id;
    struct rft_identity *owner;
    _Atomic uint64_t dead_bytes; /* beyond fixed_size of each */
    uint32_t fixed_size;         /* bytes of one instance, without its variable part */
    uint16_t item_size;
    uint8_t shift, flags, kind;
    uint32_t mark; /* the thread's when the current cohort was opened; 0: there is none */
    /* what a tick looks at besides: one more cache line */
    alignas(64) struct rft_ages *_Atomic ages;
    struct rft_ages *_Atomic f_ages; /* f_: deaths caused by other threads */
    _Atomic uint64_t f_dead_bytes;
    _Atomic uint32_t f_at_once;
    uint32_t seen_births, seen_at_once, seen_f_at_once; /* what the trace already has */
    _Atomic uint32_t f_closed; /* closed cohorts emptied by other threads */
    uint64_t seen_bytes;
    uint32_t *seen_ages; /* 2 * RFT_AGE_BUCKETS: own, foreign */
    /* identity */
    alignas(64) uint32_t node;
    uint32_t type_id, interp, thread;
    struct rft_site *next_in_hash;
    /* for the owner, when a cohort opens or closes */
    _Atomic uint32_t births_before_cohort, at_once_before_cohort;
    uint32_t live_cohorts; /* closed ones that still have objects */
};

_Static_assert(sizeof(struct rft_site) == 3 * 64, "a tick reads two of its three lines");

/* nodes.h: a node as one thread knows it, and where it goes on from there. */
struct rft_way {
    uintptr_t instr;
    void *type; /* NULL: a call */
    void *to;   /* struct rft_site or, of a call, struct rft_node; NULL: no way */
};
struct rft_node {
    struct rft_way *ways;
    uint32_t mask; /* number of buckets - 1 */
    uint32_t count;
    uint32_t id; /* in the trace */
    char pad[8]; /* the first ways lie behind it, and a bucket should not cross a cache line */
};
struct rft_node_block;

struct rft_chain_entry {
    uintptr_t frame, instr;
    struct rft_node *node; /* NULL: not looked up yet */
};

enum { RFT_TYPE_CACHE = 256, RFT_LEAF_CACHE = 256, RFT_POSITIONS = 1024 };

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
    void *tstate;  /* the thread state that the fields below are for */
    uintptr_t top; /* frame of chain[depth - 1], or 0 */
    union {        /* equal to tracer.epoch if the usual birth may be counted */
        struct {
            uint32_t epoch; /* tracer.epoch, as of the last look at what moves it */
            uint32_t muted; /* RFT_MUTED_*: births are not counted */
        };
        uint64_t gate;
    };
    union { /* to compare with a cohort's key */
        struct {
            uint32_t now;         /* ms since the trace began, as of the last reading */
            uint32_t identity_id; /* identity->id */
        };
        uint64_t key;
    };
    _Atomic int32_t countdown; /* births until the clock is read again */
    uint32_t mask;             /* parent->mask */
    struct rft_way *ways;      /* parent->ways */
    struct rft_node *parent;   /* node of chain[depth - 2], or the root */
    int32_t clock_interval;    /* births from one reading of the clock to the next */
    uint32_t tag;              /* changes when the caches' contents become void */
    uint32_t depth, capacity;
    struct rft_chain_entry *chain;
    struct rft_node *root;
    struct rft_node_block *node_blocks, *node_block; /* all; the one that is being filled */
    size_t node_bytes;
    struct rft_leaf_entry leaves[RFT_LEAF_CACHE];
    struct rft_type_entry types[RFT_TYPE_CACHE];
    uint32_t positions[RFT_POSITIONS]; /* frame -> index in chain, without frame tags */
    uint32_t unchecked; /* events since the whole chain was verified, without frame tags */
    uint32_t interp;    /* index of the current interpreter */
    struct rft_identity *identity; /* whose sites its births belong to */
    struct rft_identity *unnamed;  /* its identity until its name is known */
    int native_id;
    bool named;
    uint32_t voids;        /* tracer.voids that the caches are good for */
    uint32_t mark;         /* tracer.marks that its births come after */
    uint32_t free_cohorts; /* list through rft_cohort.key, ids */
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
    uint8_t site_kind;  /* as kind, or RFT_KIND_GENERATOR */
    uint8_t site_flags; /* RFT_SITE_ */
};

/* Functions of CPython, found with dlsym. */
struct rft_cpython {
    void *(*thread_state)(void);             /* PyThreadState_GetUnchecked */
    intptr_t thread_state_at;                /* what that reads, from the thread pointer; or 0 */
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
    bool frame_tags;    /* frames can be marked; see chain.c */
    uint32_t depth_max; /* frames of a stack; the outer ones of a deeper one are cut off, a loss */
    bool loses_deaths;  /* this CPython release does not report every death */
    _Atomic int state;
    _Atomic uint32_t epoch; /* bumped when one of the next two is: threads look at them then */
    _Atomic uint32_t voids; /* bumped when a known code object or type dies */
    _Atomic uint32_t marks; /* bumped by rft_mark(); never 0 */
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

/* Nothing that a thread remembers by address is good any more. release: who sees the
 * new epoch sees what it was bumped for. */
static inline void rft_addresses_void(void)
{
    atomic_fetch_add_explicit(&tracer.voids, 1, memory_order_release);
    atomic_fetch_add_explicit(&tracer.epoch, 1, memory_order_release);
}

/* The same for one thread, by that thread. */
static inline void rft_thread_void(struct rft_thread *t)
{
    t->voids = atomic_load_explicit(&tracer.voids, memory_order_relaxed) - 1;
    t->epoch = atomic_load_explicit(&tracer.epoch, memory_order_relaxed) - 1;
}

#ifdef __SANITIZE_THREAD__
#define RFT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RFT_TSAN 1
#endif
#endif
#ifndef RFT_TSAN
#define RFT_TSAN 0
#endif
extern _Thread_local struct rft_thread *rft_self;

/* tracer.c */
/* The callback for CPython: one of two that are the same but for what is known
 * about this CPython when they are compiled. */
int rft_on_event(void *op, int event, void *data);
int rft_on_event_tags(void *op, int event, void *data);
int rft_on_event_direct(void *op, int event, void *data);
rft_callback rft_tracer_callback(void);
struct rft_thread *rft_thread_record(void); /* this thread's, made on first use; may be NULL */
void rft_thread_ended(struct rft_thread *t);
uint32_t rft_now_ms(void);
void rft_census_stale(struct rft_thread *t, uint32_t slot);
void rft_stop_for_memory(const char *what);
void rft_tracer_reset_after_fork(void);
void rft_tracer_reset(void);

/* window.c: objects that were born since a moment */
uint32_t rft_mark(void); /* up to 1 ms; ms: cohorts that start then or later came after */
struct rft_survivors {
    uint32_t site, live;
};
/* Sites with objects alive of cohorts that start in [from, until), by id; until 0: now.
 * Reads counters, never objects. Exact while no other thread is in a callback. *ret: pages
 * of *size bytes, to be freed. False without memory. */
bool rft_survivors(uint32_t from, uint32_t until, struct rft_survivors **ret, size_t *count,
                   size_t *size);
/* Their addresses, for one site, from the live map; returns how many there are. */
size_t rft_survivor_objects(uint32_t from, uint32_t until, uint32_t site, uint64_t *addresses,
                            size_t capacity);

/* names.c: what the ids of strings, codes, stacks and types stand for, for questions that
 * are asked while the trace is being written. All behind tracer.lock. */
void rft_names_string(const char *bytes, size_t length);
void rft_names_code(void *object, uint32_t file, uint32_t name, uint32_t line);
void rft_names_code_dies(uint32_t id, const char *table, size_t length);
void rft_names_node(uint32_t parent, uint32_t code, uint32_t offset);
void rft_names_type(uint32_t name);
void rft_names_of_site(uint32_t site, uint32_t depth, struct rft_buffer *out);
void rft_names_reset(void);

/* chain.c: the current thread's stack */
void rft_chain_resolve(struct rft_thread *t, uintptr_t frame);
void rft_chain_set_parent(struct rft_thread *t); /* after a change of the chain or its nodes */

/* codes.c: code objects, stack nodes, strings */
uint64_t rft_string_hash(const char *bytes, size_t length); /* never 0 */
uint32_t rft_string_id(const char *bytes, size_t length);
uint32_t rft_node_id(uint32_t parent, uintptr_t frame, uintptr_t instr); /* takes tracer.lock */
/* A code object died; true if it was known. intact: it can still be read. */
bool rft_code_forget(void *code, bool intact);
void rft_codes_reset(void);

/* types.c */
struct rft_type *rft_type_record(struct rft_thread *t, void *type);
bool rft_type_forget(void *type);
uint32_t rft_type_id(void *type); /* 0: not known; takes tracer.lock */
void rft_types_reset(void);

/* sizes.c */
typedef bool (*rft_read)(const void *from, void *to, size_t size);
uint64_t rft_object_extra(const char *op, unsigned kind, unsigned item_size); /* beyond fixed */
/* What a death takes besides counting it where the kind is not RFT_KIND_FIXED: bytes, and for
 * a generator the grave. slot: what the live map had; bucket: its age. Returns 0. */
int rft_count_extra(const char *op, struct rft_site *site, uint32_t slot, unsigned bucket);
bool rft_generator_is_over(const char *op);
bool rft_object_size_checked(const char *op, unsigned kind, uint64_t fixed, unsigned item_size,
                             rft_read read, uint64_t *size);

/* sites.c */
struct rft_site *rft_site_find(struct rft_thread *t, uint32_t node, struct rft_type *type);
struct rft_site *rft_site_by_id(uint32_t id);

/* Ticks look at groups of sites, and only at those where something may have happened:
 * each is looked at in this many more ticks after the last one that found anything.
 * More than one, because a birth tells only once in a millisecond of its thread's
 * clock, and a death at once not at all. The last tick looks at all. */
enum { RFT_SITES_IN_GROUP = 64, RFT_SITES_MAX = 1 << 24, RFT_QUIET_TICKS = 3 };
extern _Atomic uint8_t rft_site_groups[RFT_SITES_MAX / RFT_SITES_IN_GROUP];
static inline void rft_site_touch(const struct rft_site *site)
{
    _Atomic uint8_t *group = &rft_site_groups[(site->id - 1) / RFT_SITES_IN_GROUP];
    if (atomic_load_explicit(group, memory_order_relaxed) != RFT_QUIET_TICKS) {
        atomic_store_explicit(group, RFT_QUIET_TICKS, memory_order_relaxed);
    }
}
uint32_t rft_site_next_active(uint32_t id);
void rft_sites_settle(void);
void rft_sites_end(uint32_t interp);
bool rft_sites_any_finalizer(void);
uint32_t rft_cohort_ids(void); /* all ids are below this */
uint32_t rft_cohort_open(struct rft_thread *t, struct rft_site *site);
void rft_cohort_death(struct rft_thread *t, uint32_t id, struct rft_cohort *cohort);
void rft_cohort_emptied(struct rft_thread *t, uint32_t id, struct rft_cohort *cohort);
void rft_sites_reset(void);
extern struct rft_cohort *_Atomic rft_cohort_chunks[RFT_COHORT_CHUNKS];
static inline struct rft_cohort *rft_cohort(uint32_t id)
{
    return atomic_load_explicit(&rft_cohort_chunks[id / RFT_COHORT_CHUNK], memory_order_acquire) +
           id % RFT_COHORT_CHUNK;
}

/* graves.c: objects whose finalizer may have brought them back */
struct rft_grave {
    void *op;
    struct rft_site *site;
    uint32_t bytes, slot;
    uint8_t bucket;
    struct rft_grave *next;
};
void rft_grave_dig(const struct rft_grave *grave);
bool rft_grave_close(void *op); /* its object died again: there was one */
bool rft_graves_any(void);
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
/* all: of all sites, not only of those that had events of late. */
uint32_t rft_tick_sites_written(void);
bool rft_tick_collect(uint32_t now, bool all, struct rft_definitions *definitions,
                      struct rft_buffer *tick);
void rft_tick_totals(uint64_t *births, uint64_t *deaths);
void rft_tick_take_back(uint64_t deaths);
void rft_tick_reset(void);
void rft_loss(enum rft_loss_kind kind, uint32_t now, uint32_t duration, uint64_t count,
              const char *text);

/* census.c: who is alive. interp: index, 0 for all that had none yet. rft_revived_find()
 * comes first, with no lock held: it may have to stop all threads for a moment. The census
 * itself is to be taken by rft_alone(). */
struct rft_revived {
    struct rft_grave *graves; /* of objects that live */
    size_t count, capacity;
};
void rft_revived_find(struct rft_thread *t, uint32_t interp, struct rft_revived *revived);
void rft_revived_free(struct rft_revived *revived);
bool rft_looks_alive(const char *op); /* by its header, read through the kernel */
void rft_census(struct rft_thread *t, enum rft_census_kind kind, uint32_t interp,
                struct rft_revived *revived, struct rft_buffer *revived_tick,
                struct rft_buffer *census);
/* Each object that the live map has of an interpreter (0: of all), with the id of its site
 * and the time of its birth in ms. */
void rft_survivors_each(uint32_t interp,
                        void (*visit)(const void *op, uint32_t site, uint32_t birth, void *arg),
                        void *arg);

/* world.c: runs a function while no other thread of this interpreter runs. With a thread
 * state, and without any lock that a callback may wait for. */
void rft_alone(void (*function)(void *), void *argument);

/* interps.c */
uint32_t rft_interp_index(struct rft_thread *t, void *tstate, bool *ended);
void rft_interp_ended(uint32_t index, uint32_t now);
void rft_interps_reset(void);

#endif

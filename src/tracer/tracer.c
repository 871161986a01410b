#include "tracer/tracer.h"

#include <string.h>
#include <time.h>

#include "tracer/chain.h"
#include "tracer/events.h"
#include "tracer/hash.h"
#include "tracer/live_map.h"
#include "tracer/nodes.h"
#include "tracer/share.h"

struct rft_tracer tracer = {.lock = PTHREAD_MUTEX_INITIALIZER, .depth_max = 1 << 22, .marks = 1};
_Thread_local struct rft_thread *rft_self;

uint32_t rft_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return (uint32_t)((ns - tracer.start_ns) / 1000000u);
}

void rft_stop_for_memory(const char *what)
{
    tracer.out_of_memory = what;
    int tracing = RFT_TRACING;
    atomic_compare_exchange_strong(&tracer.state, &tracing, RFT_STOPPED);
}

/* --- contexts --------------------------------------------------------- */

static __attribute__((noinline)) void read_clock(struct rft_thread *t)
{
    uint32_t now = rft_now_ms();
    if (now != t->now) {
        t->clock_interval = t->clock_interval > RFT_CLOCK_INTERVAL_MIN * 2 ? t->clock_interval / 2
                                                                           : RFT_CLOCK_INTERVAL_MIN;
    } else if (t->clock_interval < RFT_CLOCK_INTERVAL_MAX) {
        t->clock_interval *= 2;
    }
    t->now = now;
    atomic_store_explicit(&t->countdown, t->clock_interval, memory_order_relaxed);
    atomic_store_explicit(&t->events, atomic_load_explicit(&t->events, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (tracer.on_clock != NULL) {
        tracer.on_clock(t->now);
    }
}

static inline void count_birth(struct rft_thread *t)
{
    int32_t left = atomic_load_explicit(&t->countdown, memory_order_relaxed) - 1;
    atomic_store_explicit(&t->countdown, left, memory_order_relaxed);
    if (__builtin_expect(left < 0, 0)) {
        read_clock(t);
    }
}

/* Another thread state, or a known code object or type has died: nothing that
 * was remembered by address is good any more. Or a mark: births go into other
 * cohorts from here on, which start after it, whatever the clock showed this
 * thread last. */
static __attribute__((noinline)) void new_context(struct rft_thread *t, void *tstate)
{
    t->epoch = atomic_load_explicit(&tracer.epoch, memory_order_acquire);
    uint32_t marks = atomic_load_explicit(&tracer.marks, memory_order_relaxed);
    if (marks != t->mark) {
        t->mark = marks;
        t->now = rft_now_ms();
    }
    bool ended;
    uint32_t voids = atomic_load_explicit(&tracer.voids, memory_order_relaxed);
    if (voids == t->voids && tstate == t->tstate &&
        ((t->muted & RFT_MUTED_ENDED) == 0 ||
         (rft_interp_index(t, tstate, &ended) == t->interp && ended))) {
        return;
    }
    t->voids = voids;
    t->tag++;
    t->depth = 0;
    t->top = 0;
    t->tstate = tstate;
    rft_nodes_reset(t);
    if (t->identity == NULL) { /* its first event in another trace: rft_tracer_reset() */
        t->now = rft_now_ms();
        pthread_mutex_lock(&tracer.lock);
        rft_identity_begin(t);
        pthread_mutex_unlock(&tracer.lock);
        if (t->identity == NULL) {
            rft_stop_for_memory("a thread");
            t->muted |= RFT_MUTED_OURS;
            return;
        }
    }
    t->interp = rft_interp_index(t, tstate, &ended);
    t->muted = (t->muted & ~(uint32_t)RFT_MUTED_ENDED) | (ended ? RFT_MUTED_ENDED : 0u);
}

/* Whether births are not counted in this context. Of an interpreter that has ended that is asked
 * each time: the next one, and its thread state, may be at the same addresses. */
static __attribute__((noinline)) bool is_muted(struct rft_thread *t, void *tstate)
{
    if (t->muted & RFT_MUTED_ENDED) {
        new_context(t, tstate);
    }
    return t->muted != 0;
}

/* --- births ----------------------------------------------------------- */

/* What the hot path needs of the layout. The usual values are compiled in. */
struct hot {
    bool tags;
    uint32_t thread_frame, frame_instr, frame_owner, object_type;
};
#define HOT_TAGS ((struct hot){true, 72, 56, 74, 8})
#define HOT_ANY                                                                                    \
    ((struct hot){tracer.frame_tags, tracer.layout.at[RFT_THREAD_FRAME],                           \
                  tracer.layout.at[RFT_FRAME_INSTR], tracer.layout.at[RFT_FRAME_OWNER],            \
                  tracer.layout.at[RFT_OBJECT_TYPE]})

/* A way that was not in the first place of its bucket, or not known yet. */
static __attribute__((noinline)) struct rft_site *find_site(struct rft_thread *t, void *type,
                                                            uintptr_t instr)
{
    struct rft_site *site = rft_way_find(t->parent, instr, type);
    if (site != NULL) {
        return site;
    }
    if (!t->named && t->depth > 0) {
        rft_thread_name(t);
    }
    uint32_t node = 0;
    if (t->depth > 0) {
        node = rft_node_id(t->parent->id, t->chain[t->depth - 1].frame, instr);
    }
    struct rft_type *record = rft_type_record(t, type);
    site = record != NULL ? rft_site_find(t, node, record) : NULL;
    if (site != NULL) {
        rft_way_add(t, t->parent, instr, type, site);
    }
    return site;
}

/* Not tracing (yet, any more, or in this child yet), or a thread's first event. */
static __attribute__((noinline)) struct rft_thread *enter(void)
{
    int state = atomic_load_explicit(&tracer.state, memory_order_acquire);
    if (state == RFT_FORKED) {
        tracer.on_fork();
        state = atomic_load_explicit(&tracer.state, memory_order_acquire);
    }
    return state == RFT_TRACING ? rft_thread_record() : NULL;
}

/* What the slot of an object says that this site makes now; 0: the time for
 * another cohort has come. */
static inline uint32_t slot_now(struct rft_thread *t, struct rft_site *site, uintptr_t op)
{
    if (__builtin_expect(site->slot_time == t->now, 1)) {
        return site->slot_value;
    }
    uint32_t stamp = (t->now - site->cohort_start) >> site->shift;
    if (__builtin_expect(stamp >= RFT_STAMPS, 0) || __builtin_expect(site->mark != t->mark, 0)) {
        return 0;
    }
    if (site->shift != 0) {
        site->last_birth = (uint32_t)(op >> 4);
    } else {
        site->slot_time = t->now;
        site->slot_value = site->slot_base | stamp;
    }
    rft_site_touch(site);
    return site->slot_base | stamp;
}

/* Any birth, on any CPython. */
static __attribute__((noinline)) int on_birth_any(char *op)
{
    const struct hot hot = HOT_ANY;
    struct rft_thread *t = rft_self;
    if (__builtin_expect(t == NULL, 0) ||
        __builtin_expect(atomic_load_explicit(&tracer.state, memory_order_relaxed) != RFT_TRACING,
                         0)) {
        t = enter();
        if (t == NULL) {
            return 0;
        }
    }
    char *tstate = tracer.py.thread_state();
    uint32_t epoch = atomic_load_explicit(&tracer.epoch, memory_order_acquire);
    if (__builtin_expect((tstate != t->tstate) | (epoch != t->epoch), 0)) {
        new_context(t, tstate);
    }
    if (__builtin_expect(t->muted != 0, 0) && is_muted(t, tstate)) {
        return 0;
    }
    count_birth(t);

    /* The stack: usually the frame of the last birth, or one near it. */
    uintptr_t instr = 0;
    if (__builtin_expect(tstate != NULL, 1)) {
        uintptr_t frame;
        memcpy(&frame, tstate + hot.thread_frame, sizeof frame);
        if (__builtin_expect((frame != t->top) | (frame == 0), 0) || !hot.tags ||
            __builtin_expect(!rft_frame_is_tagged_at(frame, hot.frame_owner), 0)) {
            rft_chain_resolve(t, frame);
            frame = t->top;
        }
        if (__builtin_expect(frame != 0, 1)) {
            memcpy(&instr, (char *)frame + hot.frame_instr, sizeof instr);
        }
    }

    /* The site. */
    void *type;
    memcpy(&type, op + hot.object_type, sizeof type);
    const struct rft_way *way = rft_bucket(t->ways, t->mask, instr, type);
    struct rft_site *site = rft_way_is(way, instr, type) ? way->to : find_site(t, type, instr);
    if (__builtin_expect(site == NULL, 0)) {
        rft_bump(&t->dropped);
        return 0;
    }

    /* The live map. */
    _Atomic uint32_t *slot = rft_live_map_slot(t, (uintptr_t)op, true);
    uint32_t value = slot_now(t, site, (uintptr_t)op);
    if (__builtin_expect(value == 0, 0)) {
        rft_cohort_open(t, site);
        value = slot_now(t, site, (uintptr_t)op);
    }
    if (__builtin_expect((slot == NULL) | (value == 0), 0)) {
        rft_bump(&t->dropped);
        return 0;
    }
    uint32_t before = atomic_load_explicit(slot, memory_order_relaxed);
    atomic_store_explicit(slot, value, memory_order_relaxed);
    rft_bump(&site->births);
    if (__builtin_expect(before != 0, 0)) {
        rft_death_inferred(t, op, before);
    }
    return 0;
}

/* The usual birth, in two parts, with HOT_TAGS known when this is compiled.
 * Neither calls anything, so that neither needs a stack frame: what is out of the
 * ordinary jumps to a function that starts anew. Up to the slot of the live map
 * nothing is done that may not be done twice. */
static inline __attribute__((always_inline)) int birth_in(struct rft_thread *t, char *op,
                                                          uintptr_t frame)
{
    const struct hot hot = HOT_TAGS;
    uintptr_t instr;
    memcpy(&instr, (char *)frame + hot.frame_instr, sizeof instr);
    void *type;
    memcpy(&type, op + hot.object_type, sizeof type);
    const struct rft_way *way = rft_bucket(t->ways, t->mask, instr, type);
    if (__builtin_expect(!rft_way_is(way, instr, type), 0) && !rft_way_is(++way, instr, type)) {
        return on_birth_any(op);
    }
    struct rft_site *site = way->to;
    uintptr_t region = ((uintptr_t)op >> 20) + 1;
    struct rft_leaf_entry *leaf = &t->leaves[region % RFT_LEAF_CACHE];
    if (__builtin_expect(leaf->region != region, 0)) {
        return on_birth_any(op);
    }
    _Atomic uint32_t *slot = &leaf->leaf[((uintptr_t)op >> 4) % RFT_LEAF_SLOTS];
    uint32_t value = slot_now(t, site, (uintptr_t)op);
    if (__builtin_expect(value == 0, 0) ||
        __builtin_expect(atomic_load_explicit(slot, memory_order_relaxed) != 0, 0)) {
        return on_birth_any(op);
    }
    atomic_store_explicit(slot, value, memory_order_relaxed);
    rft_bump(&site->births);
    return 0;
}

/* The frame is not that of the last birth. */
static __attribute__((noinline)) int birth_elsewhere(char *op, struct rft_thread *t,
                                                     uintptr_t frame)
{
    rft_chain_resolve(t, frame);
    frame = t->top;
    return __builtin_expect(frame != 0, 1) ? birth_in(t, op, frame) : on_birth_any(op);
}

/* This thread's state, as PyThreadState_GetUnchecked() gives it. */
static inline __attribute__((always_inline)) char *thread_state(bool direct)
{
#ifdef __x86_64__
    if (direct) {
        char *tstate;
        __asm__("movq %%fs:(%1), %0" : "=r"(tstate) : "r"(tracer.py.thread_state_at) : "memory");
        return tstate;
    }
#endif
    (void)direct;
    return tracer.py.thread_state();
}

static inline __attribute__((always_inline)) int on_birth(char *op, bool direct)
{
    const struct hot hot = HOT_TAGS;
    struct rft_thread *t = rft_self;
    if (__builtin_expect(t == NULL, 0) ||
        __builtin_expect(atomic_load_explicit(&tracer.state, memory_order_relaxed) != RFT_TRACING,
                         0)) {
        return on_birth_any(op);
    }
    char *tstate = thread_state(direct);
    if (__builtin_expect(tstate != t->tstate, 0) || __builtin_expect(tstate == NULL, 0) ||
        __builtin_expect(atomic_load_explicit(&tracer.epoch, memory_order_acquire) != t->gate, 0)) {
        return on_birth_any(op);
    }
    int32_t left = atomic_load_explicit(&t->countdown, memory_order_relaxed) - 1;
    atomic_store_explicit(&t->countdown, left, memory_order_relaxed);
    if (__builtin_expect(left < 0, 0)) {
        return on_birth_any(op);
    }
    uintptr_t frame;
    memcpy(&frame, tstate + hot.thread_frame, sizeof frame);
    if (__builtin_expect(frame != t->top, 0) || __builtin_expect(frame == 0, 0) ||
        __builtin_expect(!rft_frame_is_tagged_at(frame, hot.frame_owner), 0)) {
        return birth_elsewhere(op, t, frame);
    }
    return birth_in(t, op, frame);
}

/* --- deaths ----------------------------------------------------------- */

static int on_death(void *op);

/* The ticker sets the countdown to 0 now and then; a death only looks. */
static __attribute__((noinline)) int death_after_clock(struct rft_thread *t, void *op)
{
    read_clock(t);
    return on_death(op);
}

static __attribute__((noinline)) int death_on_entry(void *op)
{
    return enter() != NULL ? on_death(op) : 0;
}

static __attribute__((noinline)) int death_elsewhere(struct rft_thread *t, void *op)
{
    if (rft_live_map_slot(t, (uintptr_t)op, false) == NULL) {
        rft_death_unseen(t, op);
        return 0;
    }
    return on_death(op);
}

static __attribute__((noinline)) int death_unseen(struct rft_thread *t, void *op)
{
    rft_death_unseen(t, op);
    return 0;
}

/* Budget: 35 instructions for an object of fixed size that dies at once, with
 * no stack frame: everything else is a jump to one of the functions above. */
static __attribute__((noinline)) int on_death(void *op)
{
    struct rft_thread *t = rft_self;
    if (__builtin_expect(t == NULL, 0) ||
        __builtin_expect(atomic_load_explicit(&tracer.state, memory_order_relaxed) != RFT_TRACING,
                         0)) {
        return death_on_entry(op);
    }
    if (__builtin_expect(atomic_load_explicit(&t->countdown, memory_order_relaxed) <= 0, 0)) {
        return death_after_clock(t, op);
    }
    uintptr_t region = ((uintptr_t)op >> 20) + 1;
    struct rft_leaf_entry *entry = &t->leaves[region % RFT_LEAF_CACHE];
    if (__builtin_expect(entry->region != region, 0)) {
        return death_elsewhere(t, op);
    }
    _Atomic uint32_t *place = &entry->leaf[((uintptr_t)op >> 4) % RFT_LEAF_SLOTS];
    uint32_t slot = atomic_load_explicit(place, memory_order_relaxed);
    if (__builtin_expect(slot == 0, 0)) {
        return death_unseen(t, op);
    }
    atomic_store_explicit(place, 0, memory_order_relaxed);
    struct rft_cohort *cohort = rft_cohort(slot >> RFT_STAMP_BITS);
    if (atomic_load_explicit(&cohort->key, memory_order_relaxed) + slot % RFT_STAMPS != t->key) {
        return rft_death_later(t, op, slot, cohort);
    }
    struct rft_site *site = rft_cohort_site(cohort);
    rft_bump(&site->at_once);
    return cohort->kind == RFT_KIND_FIXED ? 0 : rft_count_extra(op, site, slot, 0);
}

#ifdef RFT_EMPTY_CALLBACK /* what CPython itself charges for a tracer: bench/ */
static const bool empty = true;
#else
static const bool empty = false;
#endif

/* CPython 3.15 tells who stands in the slot that somebody takes it. A tool that puts us back
 * a moment later, as it should, would otherwise go unnoticed. */
static __attribute__((noinline)) int on_other_event(int event)
{
    if (event == RFT_EVENT_REMOVED) {
        rft_slot_removed();
    }
    return 0;
}

int rft_on_event(void *op, int event, void *data)
{
    (void)data;
    if (event == RFT_EVENT_DESTROY && !empty) {
        return on_death(op);
    }
    if (event == RFT_EVENT_CREATE) {
        return empty ? 0 : on_birth_any(op);
    }
    return on_other_event(event);
}

int rft_on_event_tags(void *op, int event, void *data)
{
    (void)data;
    if (event == RFT_EVENT_DESTROY && !empty) {
        return on_death(op);
    }
    if (event == RFT_EVENT_CREATE) {
        return empty ? 0 : on_birth(op, false);
    }
    return on_other_event(event);
}

static __attribute__((noinline)) int on_birth_direct(char *op)
{
    return on_birth(op, true);
}

int rft_on_event_direct(void *op, int event, void *data)
{
    (void)data;
    if (event == RFT_EVENT_DESTROY && !empty) {
        return on_death(op);
    }
    if (event == RFT_EVENT_CREATE) {
        return empty ? 0 : on_birth_direct(op);
    }
    return on_other_event(event);
}

rft_callback rft_tracer_callback(void)
{
    const struct hot any = HOT_ANY, tags = HOT_TAGS;
    bool same = any.tags == tags.tags && any.thread_frame == tags.thread_frame &&
                any.frame_instr == tags.frame_instr && any.frame_owner == tags.frame_owner &&
                any.object_type == tags.object_type;
    if (!same) {
        return rft_on_event;
    }
    return tracer.py.thread_state_at != 0 ? rft_on_event_direct : rft_on_event_tags;
}

#include "tracer/tracer.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tracer/chain.h"
#include "tracer/hash.h"
#include "tracer/live_map.h"

struct rft_tracer tracer = {.lock = PTHREAD_MUTEX_INITIALIZER};
_Thread_local struct rft_thread *rft_self;

/* Births and deaths between two readings of the clock. A reading costs about
 * as much as two births; see also ticker.c, which cuts the wait short. */
enum { EVENTS_PER_CLOCK = 32 };

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

static void bump(_Atomic uint32_t *counter)
{
    /* Single writer: a load and a store, no locked instruction. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* --- threads ---------------------------------------------------------- */

struct rft_thread *rft_thread_record(void)
{
    struct rft_thread *t = rft_self;
    if (t != NULL) {
        return t;
    }
    pthread_mutex_lock(&tracer.lock);
    t = tracer.free_threads;
    if (t != NULL) {
        tracer.free_threads = t->next_free;
    } else if ((t = rft_pages_alloc(sizeof *t)) != NULL) {
        t->next = tracer.threads;
        tracer.threads = t;
    }
    if (t != NULL) {
        t->now = rft_now_ms();
        t->native_id = (int)syscall(SYS_gettid);
        rft_identity_begin(t);
    }
    pthread_mutex_unlock(&tracer.lock);
    if (t == NULL || t->identity == NULL) {
        rft_stop_for_memory("a thread");
        return NULL;
    }
    t->epoch = atomic_load(&tracer.epoch) - 1; /* sets up the caches at the first event */
    rft_self = t;
    if (tracer.on_thread != NULL) {
        tracer.on_thread(t);
    }
    return t;
}

/* The thread ends: its record goes to the next thread that starts, its identity
 * to the next one of its name. */
void rft_thread_ended(struct rft_thread *t)
{
    rft_self = NULL;
    t->tstate = NULL;
    t->depth = 0;
    t->top = 0;
    t->tag++;
    t->interp = 0;
    pthread_mutex_lock(&tracer.lock);
    rft_identity_end(t, rft_now_ms());
    t->next_free = tracer.free_threads;
    tracer.free_threads = t;
    pthread_mutex_unlock(&tracer.lock);
}

static __attribute__((noinline)) void read_clock(struct rft_thread *t)
{
    t->now = rft_now_ms();
    atomic_store_explicit(&t->countdown, EVENTS_PER_CLOCK, memory_order_relaxed);
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
 * was remembered by address is good any more. */
static __attribute__((noinline)) void new_context(struct rft_thread *t, void *tstate)
{
    t->epoch = atomic_load_explicit(&tracer.epoch, memory_order_acquire);
    t->tag++;
    t->depth = 0;
    t->top = 0;
    t->tstate = tstate;
    bool ended;
    t->interp = rft_interp_index(t, tstate, &ended);
    t->muted = (uint8_t)((t->muted & ~RFT_MUTED_ENDED) | (ended ? RFT_MUTED_ENDED : 0));
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

static inline struct rft_site_entry *site_entry(struct rft_thread *t, uintptr_t instr, void *type)
{
    return &t->sites[((t->parent_and_tag ^ instr ^ (uintptr_t)type << 9) *
                      UINT64_C(0x9E3779B97F4A7C15)) >>
                     49];
}
_Static_assert(RFT_SITE_CACHE == 1 << (64 - 49), "the shift that makes an index of a hash");

static __attribute__((noinline)) struct rft_site *find_site(struct rft_thread *t, void *type,
                                                            uintptr_t instr)
{
    uint32_t node = 0;
    if (t->depth > 0) {
        struct rft_chain_entry *top = &t->chain[t->depth - 1];
        if (top->instr != instr) {
            top->instr = instr;
            top->node = 0;
        }
        node = rft_chain_node(t, t->depth - 1);
    }
    if (!t->named && t->depth > 0) {
        rft_thread_name(t);
    }
    struct rft_type *record = rft_type_record(t, type);
    struct rft_site *site = record != NULL ? rft_site_find(t, node, record) : NULL;
    if (site != NULL) {
        struct rft_site_entry *entry = site_entry(t, instr, type);
        entry->instr = instr;
        entry->type = type;
        entry->parent_and_tag = t->parent_and_tag;
        entry->site = site;
    }
    return site;
}

/* A code object or a type dies: what is remembered by its address is void. */
static __attribute__((noinline)) void forget(void *op)
{
    pthread_mutex_lock(&tracer.lock);
    bool known = rft_code_forget(op) || rft_type_forget(op);
    pthread_mutex_unlock(&tracer.lock);
    if (known) {
        atomic_fetch_add_explicit(&tracer.epoch, 1, memory_order_release);
    }
}

/* An address is born that we hold alive: CPython did not report its death
 * (gh-130382, gh-156371, or while another tool held the slot). */
static void count_unreported_death(struct rft_thread *t, uint32_t slot);
static __attribute__((noinline)) void infer_death(struct rft_thread *t, void *op, uint32_t slot)
{
    struct rft_site *site = rft_cohort(slot >> RFT_STAMP_BITS)->site;
    /* An interpreter with its own GIL drops its heap without a word. */
    if (!(site->flags & RFT_SITE_ENDED)) {
        bump(&t->inferred);
    }
    if (site->flags & RFT_SITE_REMEMBERED) {
        forget(op);
    }
    count_unreported_death(t, slot);
}

/* The census found no object behind a slot: its death had not been reported. */
void rft_census_stale(struct rft_thread *t, uint32_t slot)
{
    count_unreported_death(t, slot);
}

static __attribute__((noinline)) struct rft_thread *enter(void);

static inline __attribute__((always_inline)) int on_birth(char *op, const struct hot hot)
{
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
    if (__builtin_expect(t->muted != 0, 0)) {
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
    struct rft_site_entry *entry = site_entry(t, instr, type);
    struct rft_site *site = entry->site;
    if (__builtin_expect(((entry->parent_and_tag ^ t->parent_and_tag) | (entry->instr ^ instr) |
                          ((uintptr_t)entry->type ^ (uintptr_t)type)) != 0,
                         0)) {
        site = find_site(t, type, instr);
        if (site == NULL) {
            bump(&t->dropped);
            return 0;
        }
    }

    /* The live map. */
    _Atomic uint32_t *slot = rft_live_map_slot(t, (uintptr_t)op, true);
    uint32_t stamp = (t->now - site->cohort_start) >> site->shift;
    uint32_t base = site->slot_base;
    if (__builtin_expect((stamp >= RFT_STAMPS) | (base == 0), 0)) {
        base = rft_cohort_open(t, site);
        stamp = 0;
    }
    if (__builtin_expect((slot == NULL) | (base == 0), 0)) {
        bump(&t->dropped);
        return 0;
    }
    uint32_t before = atomic_load_explicit(slot, memory_order_relaxed);
    atomic_store_explicit(slot, base | stamp, memory_order_relaxed);
    bump(&site->births);
    site->last_birth = (uint32_t)((uintptr_t)op >> 4);
    if (__builtin_expect(before != 0, 0)) {
        infer_death(t, op, before);
    }
    return 0;
}

/* --- deaths ----------------------------------------------------------- */

static unsigned age_bucket(uint32_t age)
{
    return age == 0 ? 0 : 32 - (unsigned)__builtin_clz(age);
}

static struct rft_ages *ages_of(struct rft_ages *_Atomic *place)
{
    struct rft_ages *ages = atomic_load_explicit(place, memory_order_acquire);
    if (ages == NULL) {
        pthread_mutex_lock(&tracer.lock);
        ages = atomic_load_explicit(place, memory_order_relaxed);
        if (ages == NULL && (ages = rft_pool_alloc(sizeof *ages)) != NULL) {
            atomic_store_explicit(place, ages, memory_order_release);
        }
        pthread_mutex_unlock(&tracer.lock);
    }
    return ages;
}

static __attribute__((noinline)) void count_aged(struct rft_thread *t, struct rft_site *site,
                                                 unsigned bucket)
{
    if (bucket >= RFT_AGE_BUCKETS) {
        bucket = RFT_AGE_BUCKETS - 1;
    }
    bool own = site->owner == t->identity;
    struct rft_ages *ages = ages_of(own ? &site->ages : &site->f_ages);
    if (ages == NULL) {
        rft_stop_for_memory("ages");
    } else if (own) {
        bump(&ages->deaths[bucket]);
    } else {
        atomic_fetch_add_explicit(&ages->deaths[bucket], 1, memory_order_relaxed);
    }
}

static __attribute__((noinline)) void count_foreign(struct rft_site *site, unsigned bucket,
                                                    uint64_t bytes)
{
    if (bucket == 0) {
        atomic_fetch_add_explicit(&site->f_at_once, 1, memory_order_relaxed);
    }
    if (bytes != 0) {
        atomic_fetch_add_explicit(&site->f_dead_bytes, bytes, memory_order_relaxed);
    }
}

static inline unsigned bucket_at_death(struct rft_thread *t, struct rft_site *site,
                                       struct rft_cohort *cohort, uintptr_t op, uint32_t slot)
{
    int32_t age =
        (int32_t)(t->now - cohort->start) - (int32_t)((slot % RFT_STAMPS) << cohort->shift);
    /* Where the stamps are coarser than 1 ms, the newest object of the site is
     * still known to have died at once if it is the one that dies. */
    if (age <= 0 || (cohort->shift > 0 && site->last_birth == (uint32_t)(op >> 4) &&
                     age < (1 << cohort->shift))) {
        return 0;
    }
    return age_bucket((uint32_t)age);
}

static __attribute__((noinline)) void dig_grave(struct rft_site *site, uintptr_t op, uint32_t slot,
                                                unsigned bucket, uint64_t bytes)
{
    struct rft_grave grave = {.op = (void *)op,
                              .site = site,
                              .slot = slot,
                              .bucket = (uint8_t)bucket,
                              .bytes = (uint32_t)bytes};
    rft_grave_dig(&grave);
}

/* A death in all its variety. bytes: of a site whose objects differ in size;
 * those of the others follow from the count (tick.c). */
static __attribute__((noinline)) int count_death(struct rft_thread *t, struct rft_cohort *cohort,
                                                 uintptr_t op, uint32_t slot, uint64_t bytes)
{
    struct rft_site *site = cohort->site;
    unsigned bucket = bucket_at_death(t, site, cohort, op, slot);
    if (site->owner == t->identity) {
        if (bucket == 0) {
            bump(&site->at_once);
        } else {
            count_aged(t, site, bucket);
        }
        atomic_store_explicit(&site->dead_bytes,
                              atomic_load_explicit(&site->dead_bytes, memory_order_relaxed) + bytes,
                              memory_order_relaxed);
    } else {
        count_foreign(site, bucket, bytes);
        if (bucket > 0) {
            count_aged(t, site, bucket);
        }
    }
    rft_cohort_death(t, slot >> RFT_STAMP_BITS, cohort);
    if ((site->flags & RFT_SITE_FINALIZER) && op != 0) {
        dig_grave(site, op, slot, bucket,
                  site->flags & RFT_SITE_VARSIZE ? bytes : site->fixed_size);
    }
    return 0;
}

/* A death that CPython did not report; the object's memory is not to be read. */
static void count_unreported_death(struct rft_thread *t, uint32_t slot)
{
    struct rft_cohort *cohort = rft_cohort(slot >> RFT_STAMP_BITS);
    struct rft_site *site = cohort->site;
    if (!(site->flags & RFT_SITE_ENDED)) {
        count_death(t, cohort, 0, slot, 0);
    }
}

/* The death of an object whose birth was not seen. */
static __attribute__((noinline)) void on_unseen_death(struct rft_thread *t, void *op)
{
    void *type = *(void **)((char *)op + tracer.layout.at[RFT_OBJECT_TYPE]);
    unsigned long flags;
    memcpy(&flags, (char *)type + tracer.layout.at[RFT_TYPE_FLAGS], sizeof flags);
    if (type == tracer.py.code_type || flags & 1ul << 31) { /* Py_TPFLAGS_TYPE_SUBCLASS */
        forget(op);
    }
    if (!rft_grave_close(op)) {
        bump(&t->unseen);
    }
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
        on_unseen_death(t, op);
        return 0;
    }
    return on_death(op);
}

static __attribute__((noinline)) int death_unseen(struct rft_thread *t, void *op)
{
    on_unseen_death(t, op);
    return 0;
}

/* Objects of many sizes, code objects and types, those with __del__, those that
 * another thread made, those that did not die at once. */
static __attribute__((noinline)) int death_in_full(struct rft_thread *t, void *op, uint32_t slot,
                                                   struct rft_cohort *cohort)
{
    struct rft_site *site = cohort->site;
    if (site->flags & RFT_SITE_REMEMBERED) {
        forget(op);
    }
    if (site->flags & RFT_SITE_ENDED) {
        return 0;
    }
    uint64_t bytes = 0;
    if (site->flags & RFT_SITE_VARSIZE) {
        bytes = rft_object_size(op, site->kind, site->fixed_size, site->item_size);
    }
    return count_death(t, cohort, (uintptr_t)op, slot, bytes);
}

/* An open cohort of fine stamps, of this thread, born in this very millisecond. */
static inline bool died_at_once(struct rft_thread *t, struct rft_site *site,
                                struct rft_cohort *cohort, uint32_t slot)
{
    return (((uintptr_t)site->owner ^ (uintptr_t)t->identity) |
            ((cohort->start + slot % RFT_STAMPS) ^ t->now) | cohort->shift |
            atomic_load_explicit(&cohort->span, memory_order_relaxed)) == 0;
}

static __attribute__((noinline)) int count_bytes(void *op, struct rft_site *site)
{
    uint64_t bytes = rft_object_size(op, site->kind, site->fixed_size, site->item_size);
    atomic_store_explicit(&site->dead_bytes,
                          atomic_load_explicit(&site->dead_bytes, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
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
    struct rft_site *site = cohort->site;
    if (!died_at_once(t, site, cohort, slot) || site->flags & ~RFT_SITE_VARSIZE) {
        return death_in_full(t, op, slot, cohort);
    }
    bump(&site->at_once);
    cohort->deaths++;
    return site->flags == 0 ? 0 : count_bytes(op, site);
}

/* Any birth, on any CPython. */
static __attribute__((noinline)) int on_birth_any(void *op)
{
    return on_birth(op, HOT_ANY);
}

/* The usual birth: 80 instructions, with HOT_TAGS known when this is compiled.
 * Whatever is out of the ordinary jumps to on_birth_any(), which starts anew: up
 * to the slot of the live map nothing is done that may not be done twice. The
 * calls in the middle leave only `op` and `t` to be kept in registers. */
static __attribute__((noinline)) int on_birth_tags(char *op)
{
    const struct hot hot = HOT_TAGS;
    struct rft_thread *t = rft_self;
    if (__builtin_expect(t == NULL, 0) ||
        __builtin_expect(atomic_load_explicit(&tracer.state, memory_order_relaxed) != RFT_TRACING,
                         0)) {
        return on_birth_any(op);
    }
    char *tstate = tracer.py.thread_state();
    uint32_t epoch = atomic_load_explicit(&tracer.epoch, memory_order_acquire);
    if (__builtin_expect(((uintptr_t)tstate ^ (uintptr_t)t->tstate) | (epoch ^ t->epoch) | t->muted,
                         0)) {
        return on_birth_any(op);
    }
    int32_t left = atomic_load_explicit(&t->countdown, memory_order_relaxed) - 1;
    atomic_store_explicit(&t->countdown, left, memory_order_relaxed);
    if (__builtin_expect(left < 0, 0)) {
        return on_birth_any(op);
    }
    if (__builtin_expect(tstate == NULL, 0)) {
        return on_birth_any(op);
    }
    uintptr_t frame;
    memcpy(&frame, tstate + hot.thread_frame, sizeof frame);
    if (__builtin_expect(frame != t->top, 0) || __builtin_expect(frame == 0, 0) ||
        __builtin_expect(!rft_frame_is_tagged_at(frame, hot.frame_owner), 0)) {
        rft_chain_resolve(t, frame);
        frame = t->top;
        if (__builtin_expect(frame == 0, 0)) {
            return on_birth_any(op);
        }
    }
    uintptr_t instr;
    memcpy(&instr, (char *)frame + hot.frame_instr, sizeof instr);
    void *type;
    memcpy(&type, op + hot.object_type, sizeof type);
    struct rft_site_entry *entry = site_entry(t, instr, type);
    if (__builtin_expect((entry->parent_and_tag ^ t->parent_and_tag) | (entry->instr ^ instr) |
                             ((uintptr_t)entry->type ^ (uintptr_t)type),
                         0)) {
        return on_birth_any(op);
    }
    struct rft_site *site = entry->site;
    uintptr_t region = ((uintptr_t)op >> 20) + 1;
    struct rft_leaf_entry *leaf = &t->leaves[region % RFT_LEAF_CACHE];
    if (__builtin_expect(leaf->region != region, 0)) {
        return on_birth_any(op);
    }
    _Atomic uint32_t *slot = &leaf->leaf[((uintptr_t)op >> 4) % RFT_LEAF_SLOTS];
    uint32_t before = atomic_load_explicit(slot, memory_order_relaxed);
    uint32_t stamp = (t->now - site->cohort_start) >> site->shift;
    uint32_t base = site->slot_base;
    if (__builtin_expect(stamp >= RFT_STAMPS, 0) || __builtin_expect(base == 0, 0) ||
        __builtin_expect(before != 0, 0)) {
        return on_birth_any(op);
    }
    atomic_store_explicit(slot, base | stamp, memory_order_relaxed);
    bump(&site->births);
    site->last_birth = (uint32_t)((uintptr_t)op >> 4);
    return 0;
}

#ifdef RFT_EMPTY_CALLBACK /* what CPython itself charges for a tracer: bench/ */
static const bool empty = true;
#else
static const bool empty = false;
#endif

int rft_on_event(void *op, int event, void *data)
{
    (void)data;
    if (event == RFT_EVENT_DESTROY && !empty) {
        return on_death(op);
    }
    return event == RFT_EVENT_CREATE && !empty ? on_birth_any(op) : 0;
}

int rft_on_event_tags(void *op, int event, void *data)
{
    (void)data;
    if (event == RFT_EVENT_DESTROY && !empty) {
        return on_death(op);
    }
    return event == RFT_EVENT_CREATE && !empty ? on_birth_tags(op) : 0;
}

rft_callback rft_tracer_callback(void)
{
    const struct hot any = HOT_ANY, tags = HOT_TAGS;
    bool same = any.tags == tags.tags && any.thread_frame == tags.thread_frame &&
                any.frame_instr == tags.frame_instr && any.frame_owner == tags.frame_owner &&
                any.object_type == tags.object_type;
    return same ? rft_on_event_tags : rft_on_event;
}

/* In the child of a fork: the parent's objects are older than this trace. The
 * caller has made sure that no other thread is in here. */
void rft_tracer_reset_after_fork(void)
{
    struct rft_thread *self = rft_self;
    for (struct rft_thread *t = tracer.threads, *next; t != NULL; t = next) {
        next = t->next;
        rft_pages_free(t->chain, t->capacity * sizeof *t->chain);
        if (t != self) {
            rft_pages_free(t, sizeof *t);
        }
    }
    rft_identities_reset();
    tracer.threads = tracer.free_threads = NULL;
    rft_self = NULL;
    if (self != NULL) {
        rft_pages_free(self, sizeof *self);
    }
    tracer.thread_count = tracer.interp_count = tracer.site_count = 0;
    struct rft_buffer *pending[] = {&tracer.strings, &tracer.codes,          &tracer.types,
                                    &tracer.stacks,  &tracer.thread_records, &tracer.interp_records,
                                    &tracer.sites,   &tracer.losses};
    for (size_t i = 0; i < sizeof pending / sizeof *pending; i++) {
        rft_buffer_clear(pending[i]);
    }
    tracer.strings_n = tracer.codes_n = tracer.types_n = tracer.stacks_n = 0;
    tracer.threads_n = tracer.interps_n = tracer.sites_n = 0;
    rft_live_map_clear();
    rft_codes_reset();
    rft_types_reset();
    rft_sites_reset();
    rft_interps_reset();
    rft_graves_reset();
    rft_tick_reset();
}

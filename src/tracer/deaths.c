/* What a death is counted as: the less usual ones, to which tracer.c jumps. */
#include "tracer/events.h"

#include <string.h>

/* A code object or a type dies: what is remembered by its address is void. intact: at this
 * moment, and not some time ago. */
static __attribute__((noinline)) void forget(void *op, bool intact)
{
    pthread_mutex_lock(&tracer.lock);
    bool known = rft_code_forget(op, intact) || rft_type_forget(op);
    pthread_mutex_unlock(&tracer.lock);
    if (known) {
        rft_addresses_void();
    }
}

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
        rft_bump(&ages->deaths[bucket]);
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
    int32_t age = (int32_t)(t->now - rft_cohort_start(cohort)) -
                  (int32_t)((slot % RFT_STAMPS) << cohort->shift);
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

static inline void add_bytes(struct rft_site *site, uint64_t bytes)
{
    atomic_store_explicit(&site->dead_bytes,
                          atomic_load_explicit(&site->dead_bytes, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
}

/* A death in all its variety. bytes: beyond fixed_size, which follows from the
 * count of the dead (tick.c). */
static __attribute__((noinline)) int count_death(struct rft_thread *t, struct rft_cohort *cohort,
                                                 uintptr_t op, uint32_t slot, uint64_t bytes)
{
    struct rft_site *site = rft_cohort_site(cohort);
    unsigned bucket = bucket_at_death(t, site, cohort, op, slot);
    rft_site_touch(site);
    if (site->owner == t->identity) {
        if (bucket == 0) {
            rft_bump(&site->at_once);
            rft_bump(&site->at_once_before_cohort); /* the cohort is told of it below */
        } else {
            count_aged(t, site, bucket);
        }
        add_bytes(site, bytes);
    } else {
        count_foreign(site, bucket, bytes);
        if (bucket > 0) {
            count_aged(t, site, bucket);
        }
    }
    rft_cohort_death(t, slot >> RFT_STAMP_BITS, cohort);
    bool revivable = site->kind == RFT_KIND_GENERATOR
                         ? op != 0 && !rft_generator_is_over((const char *)op)
                         : site->flags & RFT_SITE_REVIVABLE;
    if (revivable && op != 0) {
        dig_grave(site, op, slot, bucket, bytes + site->fixed_size);
    }
    return 0;
}

/* A death that CPython did not report; the object's memory is not to be read. */
static void count_unreported_death(struct rft_thread *t, uint32_t slot)
{
    struct rft_cohort *cohort = rft_cohort(slot >> RFT_STAMP_BITS);
    struct rft_site *site = rft_cohort_site(cohort);
    if (!(site->flags & RFT_SITE_ENDED)) {
        count_death(t, cohort, 0, slot, 0);
    }
}

/* An address is born that we hold alive: CPython did not report its death
 * (gh-130382, gh-156371, or while another tool held the slot). */
void rft_death_inferred(struct rft_thread *t, void *op, uint32_t slot)
{
    struct rft_site *site = rft_cohort_site(rft_cohort(slot >> RFT_STAMP_BITS));
    /* An interpreter with its own GIL drops its heap without a word. */
    if (!(site->flags & RFT_SITE_ENDED)) {
        rft_bump(&t->inferred);
    }
    if (site->flags & RFT_SITE_REMEMBERED) {
        forget(op, false);
    }
    count_unreported_death(t, slot);
}

/* The census found no object behind a slot: its death had not been reported. */
void rft_census_stale(struct rft_thread *t, uint32_t slot)
{
    count_unreported_death(t, slot);
}

/* The death of an object whose birth was not seen. */
void rft_death_unseen(struct rft_thread *t, void *op)
{
    void *type = *(void **)((char *)op + tracer.layout.at[RFT_OBJECT_TYPE]);
    unsigned long flags;
    memcpy(&flags, (char *)type + tracer.layout.at[RFT_TYPE_FLAGS], sizeof flags);
    if (type == tracer.py.code_type || flags & 1ul << 31) { /* Py_TPFLAGS_TYPE_SUBCLASS */
        forget(op, true);
    }
    if (!rft_grave_close(op)) {
        rft_bump(&t->unseen);
    }
}

/* Objects of many sizes, code objects and types, those with a finalizer, those that
 * another thread made, those that did not die at once. */
static __attribute__((noinline)) int death_in_full(struct rft_thread *t, void *op, uint32_t slot,
                                                   struct rft_cohort *cohort)
{
    struct rft_site *site = rft_cohort_site(cohort);
    if (site->flags & RFT_SITE_REMEMBERED) {
        forget(op, true);
    }
    if (site->flags & RFT_SITE_ENDED) {
        return 0;
    }
    uint64_t bytes = 0;
    if (site->flags & RFT_SITE_VARSIZE) {
        bytes = rft_object_extra(op, site->kind, site->item_size);
    }
    return count_death(t, cohort, (uintptr_t)op, slot, bytes);
}

/* The usual object that did not die at once: in the thread of its birth, of a site
 * that had such deaths before, and without more to do. */
int rft_death_later(struct rft_thread *t, void *op, uint32_t slot, struct rft_cohort *cohort)
{
    struct rft_site *site = rft_cohort_site(cohort);
    struct rft_ages *ages = atomic_load_explicit(&site->ages, memory_order_relaxed);
    unsigned bucket = bucket_at_death(t, site, cohort, (uintptr_t)op, slot);
    if (site->owner != t->identity || site->flags & ~RFT_SITE_VARSIZE || ages == NULL ||
        bucket - 1 >= RFT_AGE_BUCKETS - 1) {
        return death_in_full(t, op, slot, cohort);
    }
    rft_site_touch(site);
    rft_bump(&ages->deaths[bucket]);
    bool varsize = site->flags != 0;
    if (atomic_load_explicit(&cohort->span, memory_order_relaxed) == 0) {
        rft_bump(&cohort->deaths);
    } else if (atomic_fetch_sub_explicit(&cohort->remaining, 1, memory_order_acq_rel) == 1) {
        rft_cohort_emptied(t, slot >> RFT_STAMP_BITS, cohort);
    }
    return varsize ? rft_count_extra(op, site, slot, bucket) : 0;
}

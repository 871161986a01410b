/* Sites, and the cohorts of their objects. */
#include "tracer/hash.h"
#include "tracer/tracer.h"

#include <string.h>

enum { SITE_CHUNK = 1024, SITE_CHUNKS = RFT_SITES_MAX / SITE_CHUNK };
static struct rft_site *site_chunks[SITE_CHUNKS]; /* by id - 1; behind tracer.lock */

struct rft_cohort *_Atomic rft_cohort_chunks[RFT_COHORT_CHUNKS];
_Atomic uint8_t rft_site_groups[RFT_SITES_MAX / RFT_SITES_IN_GROUP];
static uint32_t cohort_count; /* given out to threads so far, behind tracer.lock; id 0 is unused */

/* Chunks whose sites have all ended, and were written for the last time. */
static bool chunk_done[SITE_CHUNKS];

/* The first site at or after this id that may have changed; 0: there is none. */
uint32_t rft_site_next_active(uint32_t id)
{
    while (id <= tracer.site_count && chunk_done[(id - 1) / SITE_CHUNK]) {
        id = ((id - 1) / SITE_CHUNK + 1) * SITE_CHUNK + 1;
    }
    return id <= tracer.site_count ? id : 0;
}

/* The interpreter had its census, and a tick has been written since: what its
 * sites do in the teardown is not counted. */
void rft_sites_settle(void)
{
    for (uint32_t chunk = 0; (chunk + 1) * (uint32_t)SITE_CHUNK <= tracer.site_count; chunk++) {
        bool done = !chunk_done[chunk];
        for (uint32_t i = 0; done && i < SITE_CHUNK; i++) {
            done = site_chunks[chunk][i].flags & RFT_SITE_ENDED;
        }
        chunk_done[chunk] |= done;
    }
}

/* May an object with a __del__ be alive? */
bool rft_sites_any_finalizer(void)
{
    pthread_mutex_lock(&tracer.lock);
    bool any = false;
    for (uint32_t id = 1; !any && (id = rft_site_next_active(id)) != 0; id++) {
        struct rft_site *site = rft_site_by_id(id);
        any = (site->flags & (RFT_SITE_FINALIZER | RFT_SITE_ENDED)) == RFT_SITE_FINALIZER;
    }
    pthread_mutex_unlock(&tracer.lock);
    return any;
}

void rft_sites_end(uint32_t interp)
{
    for (uint32_t id = 1; (id = rft_site_next_active(id)) != 0; id++) {
        struct rft_site *site = rft_site_by_id(id);
        if (site->interp == interp) {
            site->flags |= RFT_SITE_ENDED;
            if (site->slot_base != 0) { /* its deaths are no longer counted without a look */
                struct rft_cohort *cohort = rft_cohort(site->slot_base >> RFT_STAMP_BITS);
                atomic_store_explicit(&cohort->key, rft_cohort_start(cohort), memory_order_relaxed);
            }
        }
    }
}

struct rft_site *rft_site_by_id(uint32_t id)
{
    return &site_chunks[(id - 1) / SITE_CHUNK][(id - 1) % SITE_CHUNK];
}

static struct rft_site *new_site(struct rft_thread *t, uint32_t node, struct rft_type *type)
{
    uint32_t index = tracer.site_count;
    if (index / SITE_CHUNK >= SITE_CHUNKS) {
        rft_stop_for_memory("more than 16 million sites");
        return NULL;
    }
    struct rft_site **chunk = &site_chunks[index / SITE_CHUNK];
    if (*chunk == NULL && (*chunk = rft_pages_alloc(SITE_CHUNK * sizeof **chunk)) == NULL) {
        rft_stop_for_memory("sites");
        return NULL;
    }
    struct rft_site *site = &(*chunk)[index % SITE_CHUNK];
    site->id = ++tracer.site_count;
    site->node = node;
    site->type_id = type->id;
    site->interp = t->interp;
    site->thread = t->identity->id;
    site->owner = t->identity;
    site->kind = type->site_kind;
    site->slot_time = UINT32_MAX;
    site->fixed_size = type->fixed_size;
    site->item_size = type->item_size;
    site->flags =
        (uint8_t)((type->site_kind != RFT_KIND_FIXED ? RFT_SITE_VARSIZE : 0) |
                  (type->kind == RFT_KIND_TYPE || type->kind == RFT_KIND_CODE ? RFT_SITE_REMEMBERED
                                                                              : 0) |
                  type->site_flags);
    tracer.sites_n++;
    rft_buffer_varint(&tracer.sites, node);
    rft_buffer_varint(&tracer.sites, type->id);
    rft_buffer_varint(&tracer.sites, t->identity->id);
    rft_buffer_varint(&tracer.sites, t->interp);
    return site;
}

static bool grow(struct rft_identity *identity)
{
    uint32_t capacity = identity->site_hash ? (identity->site_mask + 1) * 2 : 1024;
    struct rft_site **slots = rft_pages_alloc(capacity * sizeof(struct rft_site *));
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; identity->site_hash != NULL && i <= identity->site_mask; i++) {
        for (struct rft_site *site = identity->site_hash[i], *next; site != NULL; site = next) {
            next = site->next_in_hash;
            struct rft_site **slot =
                &slots[rft_mix((uint64_t)site->node << 32 | site->type_id) & (capacity - 1)];
            site->next_in_hash = *slot;
            *slot = site;
        }
    }
    if (identity->site_hash != NULL) {
        rft_pages_free(identity->site_hash, (identity->site_mask + 1) * sizeof(struct rft_site *));
    }
    identity->site_hash = slots;
    identity->site_mask = capacity - 1;
    return true;
}

struct rft_site *rft_site_find(struct rft_thread *t, uint32_t node, struct rft_type *type)
{
    struct rft_identity *identity = t->identity;
    uint64_t hash = rft_mix((uint64_t)node << 32 | type->id);
    if (identity->site_hash != NULL) {
        for (struct rft_site *site = identity->site_hash[hash & identity->site_mask]; site != NULL;
             site = site->next_in_hash) {
            if (site->node == node && site->type_id == type->id && site->interp == t->interp) {
                return site;
            }
        }
    }
    if ((identity->site_hash == NULL || identity->site_count > identity->site_mask) &&
        !grow(identity)) {
        rft_stop_for_memory("sites");
        return NULL;
    }
    pthread_mutex_lock(&tracer.lock);
    struct rft_site *site = new_site(t, node, type);
    pthread_mutex_unlock(&tracer.lock);
    if (site != NULL) {
        struct rft_site **slot = &identity->site_hash[hash & identity->site_mask];
        site->next_in_hash = *slot;
        *slot = site;
        identity->site_count++;
    }
    return site;
}

uint32_t rft_cohort_ids(void)
{
    pthread_mutex_lock(&tracer.lock);
    uint32_t count = cohort_count;
    pthread_mutex_unlock(&tracer.lock);
    return count;
}

/* Takes a batch of fresh cohorts for this thread's free list. */
static bool refill(struct rft_thread *t)
{
    enum { BATCH = 64 };
    pthread_mutex_lock(&tracer.lock);
    uint32_t first = cohort_count ? cohort_count : BATCH; /* ids below one batch stay unused */
    struct rft_cohort *_Atomic *chunk = &rft_cohort_chunks[first / RFT_COHORT_CHUNK];
    struct rft_cohort *cohorts = NULL;
    if (first < RFT_COHORT_CHUNKS * RFT_COHORT_CHUNK) {
        cohorts = atomic_load_explicit(chunk, memory_order_relaxed);
        if (cohorts == NULL) {
            cohorts = rft_pages_alloc(RFT_COHORT_CHUNK * sizeof *cohorts);
            /* release: pairs with the acquire in rft_cohort() */
            atomic_store_explicit(chunk, cohorts, memory_order_release);
        }
    }
    if (cohorts != NULL) {
        cohort_count = first + BATCH;
    } else {
        rft_stop_for_memory("cohorts");
    }
    pthread_mutex_unlock(&tracer.lock);
    for (uint32_t i = 0; cohorts != NULL && i < BATCH; i++) {
        atomic_store_explicit(&rft_cohort(first + i)->key, t->free_cohorts, memory_order_relaxed);
        t->free_cohorts = first + i;
    }
    return cohorts != NULL;
}

static void give_back(struct rft_thread *t, uint32_t id, struct rft_cohort *cohort)
{
    atomic_store_explicit(&cohort->site, NULL, memory_order_relaxed);
    atomic_store_explicit(&cohort->key, t->free_cohorts, memory_order_relaxed);
    t->free_cohorts = id;
}

static uint32_t load(const _Atomic uint32_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Closes the site's current cohort and opens the next. Returns the slot base,
 * or 0 without memory. Called by the site's owner. */
uint32_t rft_cohort_open(struct rft_thread *t, struct rft_site *site)
{
    uint32_t births = load(&site->births), at_once = load(&site->at_once);
    uint32_t current = site->slot_base >> RFT_STAMP_BITS;
    if (current != 0) {
        struct rft_cohort *old = rft_cohort(current);
        uint32_t start = rft_cohort_start(old), span = t->now - start;
        int32_t left = (int32_t)(births - load(&site->births_before_cohort) - load(&old->deaths) -
                                 (at_once - load(&site->at_once_before_cohort)));
        atomic_store_explicit(&old->key, start, memory_order_relaxed);
        atomic_store_explicit(&old->span, span > 0 ? span : 1, memory_order_relaxed);
        if (atomic_fetch_add_explicit(&old->remaining, left, memory_order_acq_rel) + left == 0) {
            give_back(t, current, old);
        } else {
            site->live_cohorts++;
        }
    }
    uint32_t emptied = atomic_exchange_explicit(&site->f_closed, 0, memory_order_relaxed);
    site->live_cohorts -= emptied < site->live_cohorts ? emptied : site->live_cohorts;
    if (t->free_cohorts == 0 && !refill(t)) {
        site->slot_base = site->mark = 0;
        site->slot_time = UINT32_MAX;
        return 0;
    }
    uint32_t id = t->free_cohorts;
    struct rft_cohort *cohort = rft_cohort(id);
    t->free_cohorts = rft_cohort_start(cohort);
    uint32_t shift = site->live_cohorts / RFT_COHORTS_PER_SPAN;
    bool plain = shift == 0 && (site->flags & ~RFT_SITE_VARSIZE) == 0;
    atomic_store_explicit(&cohort->deaths, 0, memory_order_relaxed);
    cohort->shift = (uint8_t)(shift < 20 ? shift : 20);
    cohort->kind = site->kind;
    atomic_store_explicit(&cohort->span, 0, memory_order_relaxed);
    atomic_store_explicit(&cohort->remaining, 0, memory_order_relaxed);
    atomic_store_explicit(&cohort->key, plain ? t->key : t->now, memory_order_relaxed);
    site->shift = cohort->shift;
    site->cohort_start = t->now;
    site->mark = t->mark;
    atomic_store_explicit(&site->births_before_cohort, births, memory_order_relaxed);
    atomic_store_explicit(&site->at_once_before_cohort, at_once, memory_order_relaxed);
    /* release: pairs with the acquire in window.c, which reads what is above */
    atomic_store_explicit(&cohort->site, site, memory_order_release);
    site->slot_base = id << RFT_STAMP_BITS;
    site->slot_time = UINT32_MAX;
    return site->slot_base;
}

/* An object of a cohort died, and all that the cohort tells of it has been read. */
void rft_cohort_death(struct rft_thread *t, uint32_t id, struct rft_cohort *cohort)
{
    struct rft_site *site = rft_cohort_site(cohort);
    if (site->owner == t->identity &&
        atomic_load_explicit(&cohort->span, memory_order_relaxed) == 0) {
        atomic_store_explicit(&cohort->deaths, load(&cohort->deaths) + 1, memory_order_relaxed);
    } else if (atomic_fetch_sub_explicit(&cohort->remaining, 1, memory_order_acq_rel) == 1) {
        rft_cohort_emptied(t, id, cohort);
    }
}

/* The caller took the last one off `remaining`. */
void rft_cohort_emptied(struct rft_thread *t, uint32_t id, struct rft_cohort *cohort)
{
    struct rft_site *site = rft_cohort_site(cohort);
    if (site->owner != t->identity) {
        atomic_fetch_add_explicit(&site->f_closed, 1, memory_order_relaxed);
    } else if (site->live_cohorts > 0) {
        site->live_cohorts--;
    }
    give_back(t, id, cohort);
}

void rft_sites_reset(void)
{
    for (uint32_t i = 0; i < SITE_CHUNKS && site_chunks[i] != NULL; i++) {
        rft_pages_free(site_chunks[i], SITE_CHUNK * sizeof *site_chunks[i]);
        site_chunks[i] = NULL;
    }
    for (uint32_t i = 0; i < RFT_COHORT_CHUNKS; i++) {
        struct rft_cohort *chunk =
            atomic_load_explicit(&rft_cohort_chunks[i], memory_order_relaxed);
        if (chunk != NULL) {
            rft_pages_free(chunk, RFT_COHORT_CHUNK * sizeof *chunk);
            atomic_store_explicit(&rft_cohort_chunks[i], NULL, memory_order_relaxed);
        }
    }
    memset(chunk_done, 0, sizeof chunk_done);
    memset(rft_site_groups, 0, sizeof rft_site_groups);
    cohort_count = 0;
}

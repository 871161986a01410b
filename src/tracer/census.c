/* The census: every object that is alive, by site and time of birth. */
#include "tracer/hash.h"
#include "tracer/live_map.h"
#include "tracer/tracer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct tally {
    uint32_t count;
    uint32_t cohort;
    uint64_t bytes;
};

struct census {
    uint32_t interp, own;  /* whose objects, 0: all; the calling thread's interpreter */
    bool check;            /* slots may be stale: follow no address unchecked */
    struct tally *tallies; /* by cohort id */
    uint32_t *used;        /* ids of cohorts that have somebody alive */
    size_t tally_count, used_count;
    uint64_t stale;
    struct rft_thread *t;
};

struct search {
    struct rft_thread *t;
    uint32_t interp;
    bool begun;
    struct rft_hash graves; /* address -> struct rft_grave *, of those that may live */
    struct rft_revived *revived;
};

enum { REVIVED_MAX = 1 << 16 };

/* Reads memory that may not be there: the kernel checks, no signal comes. */
static bool read_checked(const void *from, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* The id of the type of the object that is at this address still, as far as its header
 * tells, or 0. A freed block's first word is a free-list pointer or the refcount 0. */
static uint32_t type_of_living(const char *op)
{
    const struct rft_layout *l = &tracer.layout;
    unsigned char head[64];
    uint32_t size = l->at[RFT_OBJECT_SIZE];
    if (size > sizeof head || !read_checked(op, head, size)) {
        return 0;
    }
    void *type;
    memcpy(&type, head + l->at[RFT_OBJECT_TYPE], sizeof type);
    uint32_t id = rft_type_id(type);
    if (id == 0) {
        return 0;
    }
    if (l->free_threaded) { /* thread id, flags, ob_ref_local, ob_ref_shared, type */
        uint32_t local;
        int64_t shared;
        memcpy(&local, head + 12, sizeof local);
        memcpy(&shared, head + 16, sizeof shared);
        return local + (shared >> 2) > 0 ? id : 0;
    }
    uint64_t refcount;
    memcpy(&refcount, head, sizeof refcount);
    /* 3.14+: 32 bits of count, 16 of overflow, 16 of flags (Include/object.h). */
    uint64_t foreign = l->version >= 0x030E0000 ? refcount >> 32 & 0xFFFF : refcount >> 32;
    return (uint32_t)refcount != 0 && foreign == 0 ? id : 0;
}

bool rft_looks_alive(const char *op)
{
    return type_of_living(op) != 0;
}

static void visit_leaf(uintptr_t base, rft_leaf leaf, void *arg)
{
    struct census *census = arg;
    for (uint32_t i = 0; i < RFT_LEAF_SLOTS; i++) {
        uint32_t slot = atomic_load_explicit(&leaf[i], memory_order_relaxed);
        if (slot == 0) {
            continue;
        }
        uint32_t id = slot >> RFT_STAMP_BITS;
        struct rft_site *site = rft_cohort_site(rft_cohort(id));
        if ((site->flags & RFT_SITE_ENDED) ||
            (census->interp != 0 && site->interp != census->interp)) {
            continue;
        }
        const char *op = (const char *)(base + ((uintptr_t)i << 4));
        uint64_t bytes = site->fixed_size;
        if (census->check) {
            if (!rft_looks_alive(op) ||
                !rft_object_size_checked(op, site->kind, site->fixed_size, site->item_size,
                                         read_checked, &bytes)) {
                census->stale++;
                atomic_store_explicit(&leaf[i], 0, memory_order_relaxed);
                rft_census_stale(census->t, slot);
                continue;
            }
        } else if (site->kind != RFT_KIND_FIXED && site->interp != census->own) {
            /* Threads of another interpreter may run: it may die while we read. */
            if (!rft_object_size_checked(op, site->kind, site->fixed_size, site->item_size,
                                         read_checked, &bytes)) {
                bytes = site->fixed_size;
            }
        } else if (site->kind != RFT_KIND_FIXED) {
            bytes += rft_object_extra(op, site->kind, site->item_size);
        }
        if (census->tallies[id].count++ == 0) {
            census->used[census->used_count++] = id;
            census->tallies[id].cohort = id;
        }
        census->tallies[id].bytes += bytes;
    }
}

/* One in a grave was brought back: it goes back into the map, and its death is taken back. */
static void revive(struct search *search, uint64_t *value)
{
    struct rft_grave *grave = (struct rft_grave *)(uintptr_t)*value;
    struct rft_revived *revived = search->revived;
    if (grave == NULL || revived->count == revived->capacity) {
        return;
    }
    *value = 0;
    uint32_t id = grave->slot >> RFT_STAMP_BITS;
    bool recycled = rft_cohort_site(rft_cohort(id)) != grave->site;
    if (recycled && grave->site->slot_base == 0) {
        return;
    }
    revived->graves[revived->count++] = *grave;
    _Atomic uint32_t *slot = rft_live_map_slot(search->t, (uintptr_t)grave->op, true);
    if (slot != NULL) {
        atomic_store_explicit(slot, recycled ? grave->site->slot_base : grave->slot,
                              memory_order_relaxed);
    }
}

/* The graves whose address is empty: their objects are gone, or were brought back. What
 * no longer looks like an object of that type is gone; of what does, CPython is asked, where
 * the collector knows such objects. */
static void collect_grave(struct rft_grave *grave, void *arg)
{
    struct search *search = arg;
    if ((grave->site->flags & RFT_SITE_ENDED) ||
        (search->interp != 0 && grave->site->interp != search->interp)) {
        return;
    }
    _Atomic uint32_t *slot = rft_live_map_slot(search->t, (uintptr_t)grave->op, false);
    if (slot == NULL || atomic_load_explicit(slot, memory_order_relaxed) != 0 ||
        type_of_living(grave->op) != grave->site->type_id) {
        return;
    }
    uint64_t *value = rft_hash_put(&search->graves, (uint64_t)(uintptr_t)grave->op);
    if (value != NULL) {
        *value = (uint64_t)(uintptr_t)grave;
        if (grave->site->flags & RFT_SITE_UNTRACKED) {
            revive(search, value);
        }
    }
}

/* Every object that the cycle collector knows is alive. */
static int visit_object(void *op, void *arg)
{
    struct search *search = arg;
    if (!search->begun) { /* from here on no other thread runs */
        search->begun = true;
        rft_graves_each(collect_grave, search);
    }
    if (search->graves.count == 0) {
        return 0; /* no need to go on */
    }
    uint64_t *value = rft_hash_get(&search->graves, (uint64_t)(uintptr_t)op);
    if (value != NULL) {
        revive(search, value);
    }
    return 1; /* go on */
}

void rft_revived_find(struct rft_thread *t, uint32_t interp, struct rft_revived *revived)
{
    struct search search = {.t = t, .interp = interp, .revived = revived};
    *revived = (struct rft_revived){0};
    if (!rft_graves_any() || tracer.py.visit_gc_objects == NULL ||
        tracer.py.thread_state() == NULL) {
        return;
    }
    revived->graves = rft_pages_alloc(REVIVED_MAX * sizeof *revived->graves);
    revived->capacity = revived->graves != NULL ? REVIVED_MAX : 0;
    tracer.py.visit_gc_objects(visit_object, &search);
    rft_hash_clear(&search.graves);
}

void rft_revived_free(struct rft_revived *revived)
{
    rft_pages_free(revived->graves, revived->capacity * sizeof *revived->graves);
}

static int by_site(const void *a, const void *b)
{
    const struct rft_grave *x = a, *y = b;
    return (x->site->id > y->site->id) - (x->site->id < y->site->id);
}

static void write_revived(struct rft_revived *revived, uint32_t now, struct rft_buffer *tick)
{
    struct rft_grave *graves = revived->graves;
    qsort(graves, revived->count, sizeof *graves, by_site);
    uint32_t sites = 0, last_id = 0;
    for (size_t i = 0; i < revived->count; i++) {
        sites += i == 0 || graves[i].site != graves[i - 1].site;
    }
    rft_buffer_varint(tick, now);
    rft_buffer_varint(tick, 0);
    rft_buffer_varint(tick, 0);
    rft_buffer_varint(tick, 0);
    rft_buffer_varint(tick, sites);
    for (size_t i = 0, end; i < revived->count; i = end) {
        struct rft_site *site = graves[i].site;
        uint32_t objects[RFT_AGE_BUCKETS] = {0}, pairs = 0;
        uint64_t bytes = 0;
        for (end = i; end < revived->count && graves[end].site == site; end++) {
            unsigned bucket = graves[end].bucket;
            pairs += objects[bucket]++ == 0;
            bytes += graves[end].bytes;
        }
        rft_buffer_varint(tick, site->id - last_id);
        last_id = site->id;
        rft_buffer_byte(tick, RFT_TICK_REVIVED);
        rft_buffer_varint(tick, pairs);
        for (unsigned b = 0; b < RFT_AGE_BUCKETS; b++) {
            if (objects[b] != 0) {
                rft_buffer_varint(tick, b);
                rft_buffer_varint(tick, objects[b]);
            }
        }
        rft_buffer_varint(tick, bytes);
        rft_tick_take_back(end - i);
    }
}

static int by_site_and_birth(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;
    const struct rft_cohort *cx = rft_cohort(x->cohort), *cy = rft_cohort(y->cohort);
    uint32_t site_x = rft_cohort_site(cx)->id, site_y = rft_cohort_site(cy)->id;
    if (site_x != site_y) {
        return (site_x > site_y) - (site_x < site_y);
    }
    uint32_t start_x = rft_cohort_start(cx), start_y = rft_cohort_start(cy);
    return (start_x > start_y) - (start_x < start_y);
}

static void write_census(const struct tally *tallies, size_t used, uint32_t now,
                         struct rft_buffer *out)
{
    uint32_t sites = 0, last_id = 0;
    for (size_t i = 0; i < used; i++) {
        sites += i == 0 || rft_cohort_site(rft_cohort(tallies[i].cohort)) !=
                               rft_cohort_site(rft_cohort(tallies[i - 1].cohort));
    }
    rft_buffer_varint(out, sites);
    for (size_t i = 0, end; i < used; i = end) {
        struct rft_site *site = rft_cohort_site(rft_cohort(tallies[i].cohort));
        for (end = i; end < used && rft_cohort_site(rft_cohort(tallies[end].cohort)) == site;
             end++) {
        }
        rft_buffer_varint(out, site->id - last_id);
        last_id = site->id;
        rft_buffer_varint(out, end - i);
        uint32_t last_start = 0;
        for (size_t k = i; k < end; k++) {
            struct rft_cohort *cohort = rft_cohort(tallies[k].cohort);
            uint32_t span = cohort->span, start = rft_cohort_start(cohort);
            rft_buffer_varint(out, start - last_start);
            last_start = start;
            rft_buffer_varint(out, span != 0 ? span : now - start + 1);
            rft_buffer_varint(out, tallies[k].count);
            rft_buffer_varint(out, tallies[k].bytes);
        }
    }
}

void rft_census(struct rft_thread *t, enum rft_census_kind kind, uint32_t interp,
                struct rft_revived *revived, struct rft_buffer *revived_tick,
                struct rft_buffer *out)
{
    bool ended;
    uint32_t now = rft_now_ms();
    struct census census = {.interp = interp,
                            .t = t,
                            .tally_count = rft_cohort_ids(),
                            .own = rft_interp_index(t, tracer.py.thread_state(), &ended),
                            .check = tracer.loses_deaths ||
                                     atomic_load_explicit(&tracer.gaps, memory_order_relaxed)};
    census.tallies = rft_pages_alloc(census.tally_count * sizeof *census.tallies);
    census.used = rft_pages_alloc(census.tally_count * sizeof *census.used);
    if (census.tallies != NULL && census.used != NULL) {
        if (revived->count > 0) {
            write_revived(revived, now, revived_tick);
        }
        rft_live_map_each(visit_leaf, &census);
        struct tally *alive = rft_pages_alloc(census.used_count * sizeof *alive + 1);
        size_t used = alive != NULL ? census.used_count : 0;
        for (size_t i = 0; i < used; i++) {
            alive[i] = census.tallies[census.used[i]];
        }
        if (used > 0) {
            qsort(alive, used, sizeof *alive, by_site_and_birth);
        }
        rft_buffer_byte(out, (unsigned char)kind);
        rft_buffer_varint(out, now);
        rft_buffer_varint(out, interp);
        write_census(alive, used, now, out);
        rft_pages_free(alive, census.used_count * sizeof *alive + 1);
        if (census.stale > 0) {
            rft_loss(RFT_LOSS_STALE, now, 0, census.stale,
                     "objects were gone whose deaths had not been reported");
        }
    } else {
        rft_loss(RFT_LOSS_LATE_CENSUS, now, 0, 0, "no memory for the census");
    }
    rft_pages_free(census.tallies, census.tally_count * sizeof *census.tallies);
    rft_pages_free(census.used, census.tally_count * sizeof *census.used);
    if (kind == RFT_CENSUS_INTERPRETER_END) {
        rft_sites_end(interp);
    }
}

struct survivors {
    uint32_t interp;
    void (*visit)(const void *op, uint32_t site, uint32_t birth, void *arg);
    void *arg;
};

static void visit_survivors(uintptr_t base, rft_leaf leaf, void *arg)
{
    const struct survivors *survivors = arg;
    for (uint32_t i = 0; i < RFT_LEAF_SLOTS; i++) {
        uint32_t slot = atomic_load_explicit(&leaf[i], memory_order_relaxed);
        if (slot == 0) {
            continue;
        }
        const struct rft_cohort *cohort = rft_cohort(slot >> RFT_STAMP_BITS);
        const struct rft_site *site = cohort->site;
        /* Other interpreters may go on meanwhile: their cohorts come and go. */
        if (site == NULL || (site->flags & RFT_SITE_ENDED) ||
            (survivors->interp != 0 && site->interp != survivors->interp)) {
            continue;
        }
        uint32_t birth = rft_cohort_start(cohort) + ((slot & (RFT_STAMPS - 1)) << cohort->shift);
        survivors->visit((const void *)(base + ((uintptr_t)i << 4)), site->id, birth,
                         survivors->arg);
    }
}

void rft_survivors_each(uint32_t interp,
                        void (*visit)(const void *op, uint32_t site, uint32_t birth, void *arg),
                        void *arg)
{
    struct survivors survivors = {interp, visit, arg};
    rft_live_map_each(visit_survivors, &survivors);
}

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
    uint32_t interp;
    bool check;            /* slots may be stale: follow no address unchecked */
    struct tally *tallies; /* by cohort id */
    uint32_t *used;        /* ids of cohorts that have somebody alive */
    size_t tally_count, used_count;
    uint64_t stale;
    struct rft_thread *t;
    struct rft_hash graves; /* address -> struct rft_grave *, of those that may live */
    struct rft_grave **revived;
    size_t revived_count, revived_capacity;
};

/* Reads memory that may not be there: the kernel checks, no signal comes. */
static bool read_checked(const void *from, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* Is there an object at this address still, as far as its header tells? A
 * freed block's first word is a free-list pointer or the refcount 0. */
static bool looks_alive(const char *op)
{
    const struct rft_layout *l = &tracer.layout;
    unsigned char head[64];
    uint32_t size = l->at[RFT_OBJECT_SIZE];
    if (size > sizeof head || !read_checked(op, head, size)) {
        return false;
    }
    void *type;
    memcpy(&type, head + l->at[RFT_OBJECT_TYPE], sizeof type);
    if (!rft_type_known(type)) {
        return false;
    }
    if (l->free_threaded) {
        return true;
    }
    uint64_t refcount;
    memcpy(&refcount, head, sizeof refcount);
    /* 3.14+: 32 bits of count, 16 of overflow, 16 of flags (Include/object.h). */
    uint64_t foreign = l->version >= 0x030E0000 ? refcount >> 32 & 0xFFFF : refcount >> 32;
    return (uint32_t)refcount != 0 && foreign == 0;
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
        struct rft_site *site = rft_cohort(id)->site;
        if ((site->flags & RFT_SITE_ENDED) ||
            (census->interp != 0 && site->interp != census->interp)) {
            continue;
        }
        const char *op = (const char *)(base + ((uintptr_t)i << 4));
        uint64_t bytes = site->fixed_size;
        if (census->check) {
            if (!looks_alive(op) ||
                !rft_object_size_checked(op, site->kind, site->fixed_size, site->item_size,
                                         read_checked, &bytes)) {
                census->stale++;
                atomic_store_explicit(&leaf[i], 0, memory_order_relaxed);
                rft_census_stale(census->t, slot);
                continue;
            }
        } else if (site->kind != RFT_KIND_FIXED) {
            bytes = rft_object_size(op, site->kind, site->fixed_size, site->item_size);
        }
        if (census->tallies[id].count++ == 0) {
            census->used[census->used_count++] = id;
            census->tallies[id].cohort = id;
        }
        census->tallies[id].bytes += bytes;
    }
}

/* The graves whose address is empty: their objects are gone, or were brought
 * back. Nothing in freed memory tells which, so CPython is asked. */
static void collect_grave(struct rft_grave *grave, void *arg)
{
    struct census *census = arg;
    if ((grave->site->flags & RFT_SITE_ENDED) ||
        (census->interp != 0 && grave->site->interp != census->interp)) {
        return;
    }
    _Atomic uint32_t *slot = rft_live_map_slot(census->t, (uintptr_t)grave->op, false);
    if (slot != NULL && atomic_load_explicit(slot, memory_order_relaxed) == 0) {
        uint64_t *value = rft_hash_put(&census->graves, (uint64_t)(uintptr_t)grave->op);
        if (value != NULL) {
            *value = (uint64_t)(uintptr_t)grave;
        }
    }
}

/* Every object that the cycle collector knows is alive. One in a grave was
 * brought back: it goes back into the map, and its death is taken back. */
static int visit_object(void *op, void *arg)
{
    struct census *census = arg;
    uint64_t *value = rft_hash_get(&census->graves, (uint64_t)(uintptr_t)op);
    struct rft_grave *grave = value != NULL ? (struct rft_grave *)(uintptr_t)*value : NULL;
    if (grave == NULL || census->revived_count == census->revived_capacity) {
        return 1;
    }
    *value = 0;
    uint32_t id = grave->slot >> RFT_STAMP_BITS;
    bool recycled = rft_cohort(id)->site != grave->site;
    if (recycled && grave->site->slot_base == 0) {
        return 1;
    }
    census->revived[census->revived_count++] = grave;
    _Atomic uint32_t *slot = rft_live_map_slot(census->t, (uintptr_t)op, true);
    if (slot != NULL) {
        atomic_store_explicit(slot, recycled ? grave->site->slot_base : grave->slot,
                              memory_order_relaxed);
    }
    return 1; /* go on */
}

static void find_revived(struct census *census)
{
    rft_graves_each(collect_grave, census);
    if (census->graves.count > 0 && tracer.py.visit_gc_objects != NULL &&
        tracer.py.thread_state() != NULL) {
        tracer.py.visit_gc_objects(visit_object, census);
    }
    rft_hash_clear(&census->graves);
}

static int by_site(const void *a, const void *b)
{
    const struct rft_grave *const *x = a, *const *y = b;
    return ((*x)->site->id > (*y)->site->id) - ((*x)->site->id < (*y)->site->id);
}

static void write_revived(struct census *census, uint32_t now, struct rft_buffer *tick)
{
    qsort(census->revived, census->revived_count, sizeof(struct rft_grave *), by_site);
    uint32_t sites = 0, last_id = 0;
    for (size_t i = 0; i < census->revived_count; i++) {
        sites += i == 0 || census->revived[i]->site != census->revived[i - 1]->site;
    }
    rft_buffer_varint(tick, now);
    rft_buffer_varint(tick, 0);
    rft_buffer_varint(tick, 0);
    rft_buffer_varint(tick, 0);
    rft_buffer_varint(tick, sites);
    for (size_t i = 0, end; i < census->revived_count; i = end) {
        struct rft_site *site = census->revived[i]->site;
        uint32_t objects[RFT_AGE_BUCKETS] = {0}, pairs = 0;
        uint64_t bytes = 0;
        for (end = i; end < census->revived_count && census->revived[end]->site == site; end++) {
            unsigned bucket = census->revived[end]->bucket;
            pairs += objects[bucket]++ == 0;
            bytes += census->revived[end]->bytes;
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
    if (cx->site->id != cy->site->id) {
        return (cx->site->id > cy->site->id) - (cx->site->id < cy->site->id);
    }
    return (cx->start > cy->start) - (cx->start < cy->start);
}

static void write_census(const struct tally *tallies, size_t used, uint32_t now,
                         struct rft_buffer *out)
{
    uint32_t sites = 0, last_id = 0;
    for (size_t i = 0; i < used; i++) {
        sites += i == 0 ||
                 rft_cohort(tallies[i].cohort)->site != rft_cohort(tallies[i - 1].cohort)->site;
    }
    rft_buffer_varint(out, sites);
    for (size_t i = 0, end; i < used; i = end) {
        struct rft_site *site = rft_cohort(tallies[i].cohort)->site;
        for (end = i; end < used && rft_cohort(tallies[end].cohort)->site == site; end++) {
        }
        rft_buffer_varint(out, site->id - last_id);
        last_id = site->id;
        rft_buffer_varint(out, end - i);
        uint32_t last_start = 0;
        for (size_t k = i; k < end; k++) {
            struct rft_cohort *cohort = rft_cohort(tallies[k].cohort);
            uint32_t span = cohort->span;
            rft_buffer_varint(out, cohort->start - last_start);
            last_start = cohort->start;
            rft_buffer_varint(out, span != 0 ? span : now - cohort->start + 1);
            rft_buffer_varint(out, tallies[k].count);
            rft_buffer_varint(out, tallies[k].bytes);
        }
    }
}

void rft_census(struct rft_thread *t, enum rft_census_kind kind, uint32_t interp,
                struct rft_buffer *revived_tick, struct rft_buffer *out)
{
    uint32_t now = rft_now_ms();
    struct census census = {.interp = interp,
                            .t = t,
                            .tally_count = rft_cohort_ids(),
                            .revived_capacity = 1 << 16,
                            .check = tracer.loses_deaths ||
                                     atomic_load_explicit(&tracer.gaps, memory_order_relaxed)};
    census.tallies = rft_pages_alloc(census.tally_count * sizeof *census.tallies);
    census.used = rft_pages_alloc(census.tally_count * sizeof *census.used);
    census.revived = rft_pages_alloc(census.revived_capacity * sizeof *census.revived);
    if (census.tallies != NULL && census.used != NULL && census.revived != NULL) {
        find_revived(&census);
        if (census.revived_count > 0) {
            write_revived(&census, now, revived_tick);
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
    rft_pages_free(census.revived, census.revived_capacity * sizeof *census.revived);
    if (kind == RFT_CENSUS_INTERPRETER_END) {
        rft_sites_end(interp);
    }
}

/* A tick: what each site did since the last one. */
#include "tracer/tracer.h"

#include <string.h>

/* What the trace already has, in ids; behind tracer.lock. */
static uint32_t written[RFT_CHUNK_SITES + 1];
static uint64_t total_births, total_deaths;

static void take(struct rft_buffer *pending, uint32_t *count, int type, struct rft_buffer *out)
{
    if (*count == 0) {
        return;
    }
    if (type != RFT_CHUNK_THREADS && type != RFT_CHUNK_INTERPRETERS) {
        rft_buffer_varint(out, written[type] + 1);
        written[type] += *count;
    }
    rft_buffer_varint(out, *count);
    rft_buffer_append(out, pending->bytes, pending->length);
    out->failed |= pending->failed;
    rft_buffer_clear(pending);
    *count = 0;
}

static uint32_t since(uint32_t now, uint32_t *seen)
{
    uint32_t difference = now - *seen; /* counters may wrap between ticks' totals, not within one */
    *seen = now;
    return difference;
}

static uint32_t load(const _Atomic uint32_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Deaths by age bucket since the last tick, own and foreign together. */
static unsigned aged_since(struct rft_site *site, uint32_t deaths[RFT_AGE_BUCKETS])
{
    struct rft_ages *ages[2] = {atomic_load_explicit(&site->ages, memory_order_acquire),
                                atomic_load_explicit(&site->f_ages, memory_order_acquire)};
    if (ages[0] == NULL && ages[1] == NULL) {
        return 0;
    }
    if (site->seen_ages == NULL) {
        site->seen_ages = rft_pool_alloc(2 * RFT_AGE_BUCKETS * sizeof *site->seen_ages);
        if (site->seen_ages == NULL) {
            rft_stop_for_memory("ages");
            return 0;
        }
    }
    unsigned pairs = 0;
    for (unsigned b = 1; b < RFT_AGE_BUCKETS; b++) {
        deaths[b] = 0;
        for (unsigned who = 0; who < 2; who++) {
            if (ages[who] != NULL) {
                deaths[b] +=
                    since(load(&ages[who]->deaths[b]), &site->seen_ages[who * RFT_AGE_BUCKETS + b]);
            }
        }
        pairs += deaths[b] != 0;
    }
    return pairs;
}

static bool collect_site(struct rft_site *site, uint32_t *last_id, struct rft_buffer *tick)
{
    uint32_t deaths[RFT_AGE_BUCKETS];
    /* Deaths before births: an object that dies while we read is then counted
     * in the same tick as its birth, or later, never earlier. */
    unsigned pairs = aged_since(site, deaths);
    uint32_t at_once = since(load(&site->at_once), &site->seen_at_once) +
                       since(load(&site->f_at_once), &site->seen_f_at_once);
    uint64_t dead = at_once;
    for (unsigned b = 1; pairs > 0 && b < RFT_AGE_BUCKETS; b++) {
        dead += deaths[b];
    }
    uint64_t new_bytes = dead * site->fixed_size;
    if (site->flags & RFT_SITE_VARSIZE) {
        uint64_t bytes = atomic_load_explicit(&site->dead_bytes, memory_order_relaxed) +
                         atomic_load_explicit(&site->f_dead_bytes, memory_order_relaxed);
        new_bytes += bytes - site->seen_bytes;
        site->seen_bytes = bytes;
    }
    uint32_t births = since(load(&site->births), &site->seen_births);
    if (births == 0 && at_once == 0 && pairs == 0 && new_bytes == 0) {
        return false;
    }
    rft_buffer_varint(tick, site->id - *last_id);
    *last_id = site->id;
    rft_buffer_byte(
        tick, (unsigned char)((births ? RFT_TICK_BIRTHS : 0) | (at_once ? RFT_TICK_AT_ONCE : 0) |
                              (pairs ? RFT_TICK_AGED : 0) | (new_bytes ? RFT_TICK_BYTES : 0)));
    if (births)
        rft_buffer_varint(tick, births);
    if (at_once)
        rft_buffer_varint(tick, at_once);
    total_births += births;
    total_deaths += at_once;
    if (pairs) {
        rft_buffer_varint(tick, pairs);
        for (unsigned b = 1; b < RFT_AGE_BUCKETS; b++) {
            if (deaths[b] != 0) {
                rft_buffer_varint(tick, b);
                rft_buffer_varint(tick, deaths[b]);
                total_deaths += deaths[b];
            }
        }
    }
    if (new_bytes)
        rft_buffer_varint(tick, new_bytes);
    return true;
}

/* Takes one off the ticks that a group of sites is looked at still; before the look,
 * and unless one of its sites is touched at this moment. */
static bool group_is_due(uint32_t index)
{
    _Atomic uint8_t *group = &rft_site_groups[index];
    uint8_t ticks = atomic_load_explicit(group, memory_order_relaxed);
    if (ticks == 0) {
        return false;
    }
    atomic_compare_exchange_strong_explicit(group, &ticks, (uint8_t)(ticks - 1),
                                            memory_order_relaxed, memory_order_relaxed);
    return true;
}

/* The trace knows sites up to this id. For the one who writes ticks. */
uint32_t rft_tick_sites_written(void)
{
    return written[RFT_CHUNK_SITES];
}

/* Fills the payloads of the chunks that a tick writes. Returns false when
 * memory ran out: the payloads are then not to be written. */
bool rft_tick_collect(uint32_t now, bool all, struct rft_definitions *d, struct rft_buffer *tick)
{
    struct rft_buffer sites = {0};
    uint32_t count = 0, last_id = 0, unseen = 0, inferred = 0, dropped = 0;

    pthread_mutex_lock(&tracer.lock);
    take(&tracer.strings, &tracer.strings_n, RFT_CHUNK_STRINGS, &d->chunks[RFT_CHUNK_STRINGS]);
    take(&tracer.codes, &tracer.codes_n, RFT_CHUNK_CODES, &d->chunks[RFT_CHUNK_CODES]);
    take(&tracer.types, &tracer.types_n, RFT_CHUNK_TYPES, &d->chunks[RFT_CHUNK_TYPES]);
    take(&tracer.stacks, &tracer.stacks_n, RFT_CHUNK_STACKS, &d->chunks[RFT_CHUNK_STACKS]);
    take(&tracer.thread_records, &tracer.threads_n, RFT_CHUNK_THREADS,
         &d->chunks[RFT_CHUNK_THREADS]);
    take(&tracer.interp_records, &tracer.interps_n, RFT_CHUNK_INTERPRETERS,
         &d->chunks[RFT_CHUNK_INTERPRETERS]);
    take(&tracer.sites, &tracer.sites_n, RFT_CHUNK_SITES, &d->chunks[RFT_CHUNK_SITES]);
    rft_buffer_append(&d->losses, tracer.losses.bytes, tracer.losses.length);
    rft_buffer_clear(&tracer.losses);

    for (uint32_t id = 1; (id = rft_site_next_active(id)) != 0;) {
        uint32_t end = (id - 1) / RFT_SITES_IN_GROUP * RFT_SITES_IN_GROUP + RFT_SITES_IN_GROUP;
        end = end < tracer.site_count ? end : tracer.site_count;
        if (all || group_is_due((id - 1) / RFT_SITES_IN_GROUP)) {
            uint32_t before = count;
            for (uint32_t i = id; i <= end; i++) {
                count += collect_site(rft_site_by_id(i), &last_id, &sites);
            }
            if (count != before) {
                rft_site_touch(rft_site_by_id(id));
            }
        }
        id = end + 1;
    }
    for (struct rft_thread *t = tracer.threads; t != NULL; t = t->next) {
        unseen += since(load(&t->unseen), &t->seen_unseen);
        inferred += since(load(&t->inferred), &t->seen_inferred);
        dropped += since(load(&t->dropped), &t->seen_dropped);
    }
    rft_buffer_varint(tick, now);
    rft_buffer_varint(tick, unseen);
    rft_buffer_varint(tick, inferred);
    rft_buffer_varint(tick, dropped);
    rft_buffer_varint(tick, count);
    rft_buffer_append(tick, sites.bytes, sites.length);
    bool whole = !tick->failed && !sites.failed && !d->losses.failed;
    for (int type = 0; type <= RFT_CHUNK_SITES; type++) {
        whole = whole && !d->chunks[type].failed;
    }
    pthread_mutex_unlock(&tracer.lock);
    rft_pages_free(sites.bytes, sites.capacity);
    return whole;
}

void rft_tick_totals(uint64_t *births, uint64_t *deaths)
{
    *births = total_births;
    *deaths = total_deaths;
}

void rft_tick_take_back(uint64_t deaths)
{
    total_deaths -= deaths;
}

/* Keeps a loss for the next tick; each is length-prefixed, as ticks may carry
 * several. Any thread; takes tracer.lock. */
void rft_loss(enum rft_loss_kind kind, uint32_t now, uint32_t duration, uint64_t count,
              const char *text)
{
    struct rft_buffer loss = {0};
    rft_buffer_varint(&loss, kind);
    rft_buffer_varint(&loss, now);
    rft_buffer_varint(&loss, duration);
    rft_buffer_varint(&loss, count);
    rft_buffer_text(&loss, text, strlen(text));
    pthread_mutex_lock(&tracer.lock);
    if (!loss.failed) {
        rft_buffer_varint(&tracer.losses, loss.length);
        rft_buffer_append(&tracer.losses, loss.bytes, loss.length);
    }
    pthread_mutex_unlock(&tracer.lock);
    rft_pages_free(loss.bytes, loss.capacity);
}

void rft_tick_reset(void)
{
    memset(written, 0, sizeof written);
    total_births = total_deaths = 0;
}

/* What the traces could not see, and whether the counts are exact. */
#include <inttypes.h>

#include "analyze/store.h"

/* --- CPython releases that lose deaths ------------------------------------------------------ */

struct lossy_release {
    uint32_t from, to; /* PY_VERSION_HEX, `to` not included */
    const char *why;
};

static const struct lossy_release lossy_releases[] = {
    /* gh-130382: the interpreter's loop freed objects without telling the tracer. */
    {0x030d0000, 0x030d0300, "CPython 3.13.0 to 3.13.2 do not report all deaths (gh-130382)"},
    /* gh-156371: objects whose deallocation was put off for want of stack. */
    {0x030e0000, 0x030e0800,
     "CPython 3.14.0 to 3.14.7 do not report deaths of deeply nested objects (gh-156371)"},
    {0x030f0000, 0x030f0100,
     "CPython 3.15.0 does not report deaths of deeply nested objects (gh-156371)"},
};

static const char *lossy_release(uint32_t version)
{
    for (size_t i = 0; i < sizeof lossy_releases / sizeof *lossy_releases; i++) {
        if (version >= lossy_releases[i].from && version < lossy_releases[i].to)
            return lossy_releases[i].why;
    }
    return NULL;
}

/* --- one file --------------------------------------------------------------------------------- */

static void count_loss(struct rft_losses *losses, const struct rft_trace_loss *loss)
{
    switch (loss->kind) {
    case RFT_LOSS_SLOT_GAP:
        losses->slot_gaps += loss->count ? loss->count : 1;
        losses->slot_gap_ms += loss->duration_ms;
        break;
    case RFT_LOSS_DROPPED:
        losses->dropped_records += loss->count;
        break;
    case RFT_LOSS_STALE:
        losses->stale += loss->count;
        break;
    case RFT_LOSS_STOPPED:
        losses->stopped++;
        break;
    case RFT_LOSS_TRUNCATED_STACK:
        losses->truncated_stacks += loss->count;
        break;
    case RFT_LOSS_LATE_CENSUS:
        losses->late_censuses++;
        break;
    default:
        break;
    }
}

static bool warn(struct rft_model_store *store, const char *text)
{
    return text && rft_vec_push(&store->warnings, text);
}

static bool warn_of_file(struct rft_model_store *store, const struct rft_process *process,
                         const struct rft_trace *trace)
{
    const struct rft_trace_damage *damage = rft_trace_damage(trace);
    bool damaged = damage->bad_chunks || damage->lost_chunks;
    if (damaged &&
        !warn(store, rft_store_format(store,
                                      "%s is damaged: %" PRIu64 " parts could not be read (%" PRIu64
                                      " of %" PRIu64 " bytes); the rest was",
                                      process->path, damage->lost_chunks, damage->skipped_bytes,
                                      process->file_bytes)))
        return false;
    if (!damaged && damage->cut_bytes &&
        !warn(store, rft_store_format(store,
                                      "%s ends in the middle of a record (%" PRIu64
                                      " bytes left out): it was cut off, or is still being written",
                                      process->path, damage->cut_bytes)))
        return false;
    if (damage->unknown_chunks &&
        !warn(store,
              rft_store_format(store,
                               "%s has %" PRIu64 " records of a kind that this reftracer does "
                               "not know; a newer one shows more",
                               process->path, damage->unknown_chunks)))
        return false;
    return true;
}

struct rft_error *rft_exactness_file(struct rft_model *model, uint32_t process,
                                     const struct rft_trace *trace, const struct rft_intake *intake)
{
    struct rft_model_store *store = model->store;
    struct rft_losses *losses = &model->losses;
    const struct rft_trace_damage *damage = rft_trace_damage(trace);
    const struct rft_trace_end *end = rft_trace_end(trace);
    losses->unseen_births += intake->unseen_births;
    losses->inferred_deaths += intake->inferred_deaths;
    losses->dropped_births += intake->dropped_births;
    losses->stopped_early += end->present && end->reason == RFT_END_STOPPED;
    losses->bad_chunks += damage->bad_chunks;
    losses->lost_chunks += damage->lost_chunks;
    losses->skipped_bytes += damage->skipped_bytes;
    if (end->present && (end->births != intake->births || end->deaths != intake->deaths))
        losses->unequal_ends++;

    size_t count;
    bool stopped = false;
    const struct rft_trace_loss *known = rft_trace_losses(trace, &count);
    for (size_t i = 0; i < count; i++) {
        struct rft_loss loss = {
            .kind = known[i].kind,
            .process = process,
            .time_ms = known[i].time_ms,
            .duration_ms = known[i].duration_ms,
            .count = known[i].count,
            .text = rft_store_text(store, known[i].text),
        };
        if (!loss.text || !rft_vec_push(&store->losses, loss))
            return rft_error_no_memory();
        count_loss(losses, &known[i]);
        stopped |= known[i].kind == RFT_LOSS_STOPPED;
    }
    /* A full disk leaves no room for an END, but the tracer has said why it went. */
    if (stopped && !end->present) {
        store->processes.items[process].ended = true;
        store->processes.items[process].end_reason = RFT_END_STOPPED;
    }
    losses->no_end += !end->present && !stopped;
    return warn_of_file(store, &store->processes.items[process], trace) ? NULL
                                                                        : rft_error_no_memory();
}

/* --- the verdict on exactness --------------------------------------------------------------------
 */

static bool add_reason(struct rft_model_store *store, const char *text)
{
    return text && rft_vec_push(&store->reasons, (struct rft_inexact_reason){text});
}

/* Each lossy release once, however many processes ran it. */
static bool add_releases(struct rft_model *model)
{
    struct rft_model_store *store = model->store;
    const char *said[sizeof lossy_releases / sizeof *lossy_releases] = {0};
    size_t said_count = 0;
    for (size_t i = 0; i < store->processes.count; i++) {
        const char *why = lossy_release(store->processes.items[i].version);
        bool new = why != NULL;
        for (size_t k = 0; k < said_count; k++)
            new &= said[k] != why;
        if (!new)
            continue;
        said[said_count++] = why;
        uint64_t found = model->losses.inferred_deaths + model->losses.stale;
        if (!add_reason(store, rft_store_format(store,
                                                "%s: %" PRIu64
                                                " such deaths were found out, there may be more",
                                                why, found)))
            return false;
    }
    return true;
}

struct rft_error *rft_exactness(struct rft_model *model)
{
    struct rft_model_store *store = model->store;
    const struct rft_losses *losses = &model->losses;
    bool lossy = false;
    for (size_t i = 0; i < store->processes.count; i++)
        lossy |= lossy_release(store->processes.items[i].version) != NULL;
    bool there = add_releases(model);

    if (losses->slot_gaps)
        there &= add_reason(
            store, rft_store_format(store,
                                    "another tool took CPython's tracer slot %" PRIu64
                                    " times, %.3f s in all; births and deaths in "
                                    "that time are missing",
                                    losses->slot_gaps, (double)losses->slot_gap_ms / 1000));
    if (losses->dropped_births || losses->dropped_records)
        there &= add_reason(
            store, rft_store_format(store, "%" PRIu64 " births found no memory in the tracer",
                                    losses->dropped_births > losses->dropped_records
                                        ? losses->dropped_births
                                        : losses->dropped_records));
    if (losses->truncated_stacks)
        there &= add_reason(
            store, rft_store_format(store,
                                    "%" PRIu64 " times a stack was deeper than the tracer follows: "
                                    "its outermost frames are missing; the counts are right",
                                    losses->truncated_stacks));
    if (losses->stopped || losses->stopped_early)
        there &= add_reason(store, rft_store_format(store,
                                                    "tracing stopped before the program ended in "
                                                    "%" PRIu64 " of %zu processes",
                                                    losses->stopped > losses->stopped_early
                                                        ? losses->stopped
                                                        : losses->stopped_early,
                                                    store->processes.count));
    if (losses->bad_chunks || losses->lost_chunks)
        there &=
            add_reason(store, rft_store_format(store, "%" PRIu64 " parts of the trace are damaged",
                                               losses->lost_chunks));
    if (losses->no_end)
        there &= add_reason(
            store,
            store->processes.count == 1
                ? "the trace has no end: the program was killed or is still running; counts are "
                  "exact up to the last tick"
                : rft_store_format(store,
                                   "%" PRIu64 " of %zu traces have no end: those programs were "
                                   "killed or are still running; their counts are exact up to the "
                                   "last tick",
                                   losses->no_end, store->processes.count));
    if (losses->late_censuses)
        there &= add_reason(store, "the survivors were counted after modules had been torn down, "
                                   "or not at all");
    /* With deaths known to be missing, these need no reason of their own. */
    bool explained = lossy || losses->slot_gaps;
    if (losses->stale && !explained)
        there &= add_reason(store,
                            rft_store_format(store, "%" PRIu64 " objects were gone without a death",
                                             losses->stale));
    if (losses->inferred_deaths && !explained)
        there &= add_reason(store, rft_store_format(store,
                                                    "%" PRIu64 " births where the object before "
                                                    "had not died: C code that makes one object "
                                                    "twice (numpy and pandas do), or frees it "
                                                    "itself; births and deaths may be too many by "
                                                    "that number, the living are right",
                                                    losses->inferred_deaths));
    bool known_cause = store->reasons.count > 0;
    if (losses->unexplained && !known_cause)
        there &= add_reason(store, rft_store_format(store,
                                                    "births less deaths and survivors differ by "
                                                    "%" PRIu64 " objects; nobody knows why",
                                                    losses->unexplained));
    if (losses->unequal_ends && !known_cause)
        there &=
            add_reason(store, "the totals that the tracer wrote at the end differ from the sum "
                              "of its ticks");
    if (!there)
        return rft_error_no_memory();
    model->exact = !store->reasons.count;
    return NULL;
}

#include "report/growing.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/strbuf.h"
#include "report/held.h"
#include "report/place.h"
#include "report/units.h"

enum {
    COMPANIONS_SHOWN = 4,
    START_MS = 500, /* growth that began this early began at the start */
};

const char *growth_word(enum rft_growth_kind kind)
{
    switch (kind) {
    case RFT_GROWTH_NONE:
        return "";
    case RFT_GROWTH_STARTUP:
        return "start-up";
    case RFT_GROWTH_STEP:
        return "one go";
    case RFT_GROWTH_SATURATED:
        return "level";
    case RFT_GROWTH_CYCLIC:
        return "up and down";
    case RFT_GROWTH_TURNOVER:
        return "come and go";
    case RFT_GROWTH_SLOWING:
        return "slowing";
    case RFT_GROWTH_GROWING:
        return "growing";
    }
    return "";
}

const char *growth_reason(enum rft_growth_kind kind)
{
    switch (kind) {
    case RFT_GROWTH_STARTUP:
        return "start-up: imports, module state";
    case RFT_GROWTH_STEP:
        return "made in one go: table, late import";
    case RFT_GROWTH_SATURATED:
        return "filled up, then level: cache, pool";
    case RFT_GROWTH_CYCLIC:
        return "up and down: batches, cycles";
    case RFT_GROWTH_TURNOVER:
        return "come and go: more work, more alive";
    case RFT_GROWTH_SLOWING:
        return "rises ever slower";
    case RFT_GROWTH_GROWING:
        return "keeps growing";
    case RFT_GROWTH_NONE:
        break;
    }
    return "a few at each place";
}

static bool is_shown(const struct rft_report *report, const struct rft_growing *growing)
{
    for (uint32_t i = 0; i < growing->member_count; i++)
        if (site_filter_matches(report->filter, growing->members[i]))
            return true;
    return site_filter_matches(report->filter, growing->site);
}

struct growing_counts growing_count(const struct rft_report *report)
{
    struct growing_counts counts = {0};
    for (uint32_t i = 0; i < report->model->growing_count; i++) {
        const struct rft_growing *growing = &report->model->growing[i];
        if (!is_shown(report, growing))
            continue;
        if (growing->slowing) {
            counts.slowing++;
        } else {
            counts.growing++;
            counts.objects_per_s += growing->growth.objects_per_s;
            counts.bytes_per_s += growing->total_bytes_per_s;
        }
    }
    return counts;
}

void growing_verdict(const struct rft_report *report)
{
    const struct page *page = report->page;
    struct growing_counts counts = growing_count(report);
    char objects[UNIT_SIZE], bytes[UNIT_SIZE];
    page_line(page);
    if (counts.growing == 0) {
        page_put(page, INK_GOOD, "Nothing keeps growing.");
    } else {
        page_format(page, INK_BAD, "%" PRIu32 " %s growing", counts.growing,
                    counts.growing == 1 ? "site keeps" : "sites keep");
        page_format(page, INK_PLAIN, ": +%s objects/s, +%s/s",
                    units_rate(counts.objects_per_s, objects, sizeof objects),
                    units_bytes(counts.bytes_per_s, bytes, sizeof bytes));
    }
    page_line(page);
}

/* Whether no companion before number i has its type. */
static bool is_first_of_type(const struct rft_model *model, const struct rft_growing *growing,
                             uint32_t i)
{
    for (uint32_t j = 0; j < i; j++)
        if (model->sites[growing->companions[j]].type == model->sites[growing->companions[i]].type)
            return false;
    return true;
}

/* The types that grow along, each with what all its sites add up to. */
static void write_companions(const struct rft_report *report, const struct rft_growing *growing)
{
    const struct rft_model *model = report->model;
    struct rft_strbuf line = {0};
    uint32_t types = 0;
    if (growing->companion_count == 0)
        return;
    rft_strbuf_add(&line, "with it grows what it holds: ");
    for (uint32_t i = 0; i < growing->companion_count && types <= COMPANIONS_SHOWN; i++) {
        uint32_t type = model->sites[growing->companions[i]].type;
        if (!is_first_of_type(model, growing, i))
            continue;
        if (types++ == COMPANIONS_SHOWN) {
            rft_strbuf_add(&line, " and more");
            break;
        }
        double objects_per_s = 0;
        for (uint32_t j = i; j < growing->companion_count; j++)
            if (model->sites[growing->companions[j]].type == type)
                objects_per_s += model->sites[growing->companions[j]].growth.objects_per_s;
        char rate[UNIT_SIZE];
        rft_strbuf_format(&line, "%s%s +%s/s", types > 1 ? ", " : "", model->types[type].name,
                          units_rate(objects_per_s, rate, sizeof rate));
    }
    char bytes[UNIT_SIZE];
    rft_strbuf_format(&line, "; together +%s/s",
                      units_bytes(growing->total_bytes_per_s, bytes, sizeof bytes));
    page_paragraph(report->page, INK_DIM, 5, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
}

/* A look that was refused has found nothing. */
static bool was_looked_through(const struct rft_model *model)
{
    for (uint32_t i = 0; i < model->heap_count; i++)
        if (model->heaps[i].objects > 0)
            return true;
    return false;
}

static void write_why_not(const struct rft_report *report, const struct rft_heap *heap)
{
    struct rft_strbuf line = {0};
    rft_strbuf_format(&line, "who holds them is not known: %s", heap->label);
    page_paragraph(report->page, INK_CAUTION, 5, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
}

/* Nobody holds them, and they are there: the collector is off, or rarely comes to the old. */
static void write_garbage(const struct rft_report *report, const struct rft_held *held)
{
    char objects[UNIT_SIZE];
    struct rft_strbuf line = {0};
    rft_strbuf_format(&line,
                      "held by: nobody: %s waited in cycles for the collector (--view garbage); is "
                      "it off, or does it come too rarely?",
                      units_exact(held->garbage_objects, objects, sizeof objects));
    page_paragraph(report->page, INK_PLAIN, 5, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
}

static void write_one(const struct rft_report *report, const struct rft_growing *growing,
                      uint32_t number, unsigned frames)
{
    const struct rft_model *model = report->model;
    const struct page *page = report->page;
    const struct rft_site *site = &model->sites[growing->site];
    const struct rft_growth *growth = &growing->growth;
    char objects[UNIT_SIZE], bytes[UNIT_SIZE], since[UNIT_SIZE], grown[UNIT_SIZE];
    char stays[UNIT_SIZE];

    page_line(page);
    page_format(page, INK_PLAIN, "%3" PRIu32 "  ", number);
    page_put(page, growing->slowing ? INK_CAUTION : INK_BAD, model->types[site->type].name);
    page_format(page, INK_BOLD, "  +%s objects/s  +%s/s",
                units_rate(growth->objects_per_s, objects, sizeof objects),
                units_bytes(growth->bytes_per_s, bytes, sizeof bytes));
    page_line(page);
    place_print_stack(page, model, site->stack, report->full_stacks, 5, frames);

    struct rft_strbuf line = {0};
    rft_strbuf_format(&line, "%s more (%s) since ", units_count(growth->grown, grown, sizeof grown),
                      units_bytes((double)growth->grown_bytes, bytes, sizeof bytes));
    if (growth->since_ms < START_MS)
        rft_strbuf_add(&line, "the start");
    else
        rft_strbuf_format(&line, "%s after the start",
                          units_duration(growth->since_ms, since, sizeof since));
    rft_strbuf_format(&line, "; %s of those born since then never died",
                      units_share(growth->stays, stays, sizeof stays));
    if (growing->slowing)
        rft_strbuf_add(&line, "; it grows ever slower: a cache that fills?");
    page_paragraph(page, INK_PLAIN, 5, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
    if (growing->member_count > 1) {
        page_format(page, INK_DIM,
                    "     added up over %" PRIu32
                    " callers or threads; this stack is the most frequent",
                    growing->member_count);
        page_line(page);
    }
    write_companions(report, growing);
    const struct rft_held *held = growing->held != RFT_NONE ? &model->held[growing->held] : NULL;
    if (held && held->garbage_objects > held->objects / 2) {
        write_garbage(report, held);
    } else if (held && held->pattern_count > 0) {
        held_by(report, held, 5, 2);
    } else if (was_looked_through(model)) {
        page_put(page, INK_DIM,
                 site->live > 0
                     ? "     who holds them is not known: too many places have more objects"
                     : "     none was left when the heap was looked through");
        page_line(page);
    } else if (model->heap_count > 0 && model->heaps[0].flags & RFT_HEAP_REFUSED) {
        write_why_not(report, &model->heaps[0]);
    }
}

void growing_list(const struct rft_report *report, uint32_t limit, unsigned frames)
{
    uint32_t shown = 0;
    uint32_t matching = 0;
    for (uint32_t i = 0; i < report->model->growing_count; i++) {
        const struct rft_growing *growing = &report->model->growing[i];
        if (!is_shown(report, growing))
            continue;
        matching++;
        if (shown < limit)
            write_one(report, growing, ++shown, frames);
    }
    report_rest(report, shown, matching);
}

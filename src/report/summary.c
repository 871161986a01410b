/* The view `summary`: what a person at 3 a.m. needs, and nothing else. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/strbuf.h"
#include "report/churn.h"
#include "report/growing.h"
#include "report/held.h"
#include "report/place.h"
#include "report/units.h"
#include "report/view.h"

enum {
    GROWING_SHOWN = 5,
    FRAMES_SHOWN = 5,
    CHURN_SHOWN = 5,
    ACCUSED_SHOWN = 3,
    LARGE_SHOWN = 3,
    LARGE_BYTES = 1 << 20, /* as much as 130,000 entries of a list */
};

/* Kinds that look like growth to whoever compares two snapshots. */
static const enum rft_growth_kind harmless[] = {
    RFT_GROWTH_SLOWING, RFT_GROWTH_SATURATED, RFT_GROWTH_TURNOVER, RFT_GROWTH_CYCLIC,
    RFT_GROWTH_STEP,    RFT_GROWTH_STARTUP,   RFT_GROWTH_NONE,
};
enum { HARMLESS = sizeof harmless / sizeof harmless[0] };

/* What the sites of a kind add up to. The model's sites are sorted by bytes
 * alive: the first one has the most. */
struct kind_sum {
    uint32_t first;
    uint64_t live, live_bytes;
};

static struct kind_sum sum_of_kind(const struct rft_report *report, enum rft_growth_kind kind)
{
    struct kind_sum sum = {.first = RFT_NONE};
    for (uint32_t i = 0; i < report->model->site_count; i++) {
        const struct rft_site *site = &report->model->sites[i];
        if (site->growth.kind != kind || !site_filter_matches(report->filter, i))
            continue;
        if (sum.first == RFT_NONE)
            sum.first = i;
        sum.live += site->live;
        sum.live_bytes += site->live_bytes;
    }
    return sum;
}

static struct rft_error *write_harmless(const struct rft_report *report)
{
    static const struct column columns[] = {
        {"Alive", COLUMN_NUMBER},
        {"Bytes", COLUMN_NUMBER},
        {"Why it is no growth", COLUMN_TEXT},
        {"Most of it", COLUMN_PLACE},
    };
    const struct rft_model *model = report->model;
    struct table *table = table_create(report->page, columns, 4);
    if (table == NULL)
        return rft_error_no_memory();
    bool any = false;
    for (int i = 0; i < HARMLESS; i++) {
        struct kind_sum sum = sum_of_kind(report, harmless[i]);
        if (sum.live == 0)
            continue;
        if (!any)
            page_heading(report->page, "Stays, but does not keep growing", NULL);
        any = true;
        char text[UNIT_SIZE];
        struct rft_strbuf most = {0};
        const struct rft_site *site = &model->sites[sum.first];
        rft_strbuf_format(&most, "%s, ", model->types[site->type].name);
        place_stack(&most, model, site->stack);
        table_row(table);
        table_cell(table, INK_PLAIN, units_count(sum.live, text, sizeof text));
        table_cell(table, INK_PLAIN, units_bytes((double)sum.live_bytes, text, sizeof text));
        table_cell(table, INK_PLAIN, growth_reason(harmless[i]));
        table_cell(table, INK_DIM, rft_strbuf_text(&most));
        rft_strbuf_deinit(&most);
    }
    return table_print(table, 2); /* of no rows: nothing */
}

/* One list, bytearray or dict that gets ever longer, of things that were there before,
 * makes no births that tell of it. What has become large is named. */
static struct rft_error *write_large(const struct rft_report *report)
{
    static const struct column columns[] = {
        {"Alive", COLUMN_NUMBER},
        {"Each", COLUMN_NUMBER},
        {"Type", COLUMN_NAME},
        {"Place", COLUMN_PLACE},
    };
    const struct rft_model *model = report->model;
    struct table *table = table_create(report->page, columns, 4);
    if (table == NULL)
        return rft_error_no_memory();
    unsigned shown = 0;
    for (uint32_t i = 0; i < model->site_count && shown < LARGE_SHOWN; i++) {
        const struct rft_site *site = &model->sites[i];
        uint64_t each = site->live > 0 ? site->live_bytes / site->live : 0;
        if (each < LARGE_BYTES || site->live_bytes_estimated ||
            site->growth.kind >= RFT_GROWTH_SLOWING || !site_filter_matches(report->filter, i))
            continue;
        if (shown++ == 0)
            page_heading(report->page, "Large objects",
                         "over 1 MiB each at the end; how one grew inside is not recorded");
        char text[UNIT_SIZE];
        struct rft_strbuf place = {0};
        place_stack(&place, model, site->stack);
        table_row(table);
        table_cell(table, INK_PLAIN, units_count(site->live, text, sizeof text));
        table_cell(table, INK_PLAIN, units_bytes((double)each, text, sizeof text));
        table_cell(table, INK_PLAIN, model->types[site->type].name);
        table_cell(table, INK_PLAIN, rft_strbuf_text(&place));
        rft_strbuf_deinit(&place);
    }
    return table_print(table, 2); /* of no rows: nothing */
}

/* Accusations on refcounts; or how to get to know who holds what grows. */
static void write_held(const struct rft_report *report, bool growing)
{
    if (report->model->heap_count > 0) {
        held_accusations(report, ACCUSED_SHOWN);
    } else if (growing) {
        page_line(report->page);
        page_put(report->page, INK_DIM, "Who holds them: trace with 'reftracer run --holders'.");
        page_line(report->page);
    }
}

static void write_next(const struct rft_report *report, bool growing)
{
    static const struct {
        const char *options, *purpose;
        bool heap;
    } steps[] = {
        {"--view leaks", "everything that grows, in full", false},
        {"--view holders", "who keeps the objects alive", true},
        {"--view churn", "all garbage (--group-by line)", false},
        {"--view types", "every type (sites: every place)", false},
        {"--filter TEXT", "only what has TEXT in its stack", false},
    };
    page_heading(report->page, "Next", NULL);
    for (size_t i = growing ? 0 : 1; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].heap && report->model->heap_count == 0)
            continue;
        page_format(report->page, INK_PLAIN, "  reftracer report %s %-14s", report->files,
                    steps[i].options);
        page_format(report->page, INK_DIM, "  %s", steps[i].purpose);
        page_line(report->page);
    }
}

struct rft_error *view_summary(const struct rft_report *report)
{
    report_opening(report);
    if (report_is_void(report))
        return NULL;
    growing_verdict(report);
    growing_list(report, report_top(report, GROWING_SHOWN), FRAMES_SHOWN);
    write_held(report, growing_count(report).growing > 0);
    struct rft_error *error = write_large(report);
    if (error == NULL)
        error = write_harmless(report);
    if (error == NULL)
        error =
            churn_table(report, report_top(report, CHURN_SHOWN),
                        report->group_by != GROUP_DEFAULT ? report->group_by : GROUP_SITE, false);
    if (error == NULL)
        write_next(report, growing_count(report).growing > 0);
    return error;
}

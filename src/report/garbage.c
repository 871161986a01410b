/* The view `garbage`: what only the cycle collector can free, and what that costs. */
#include "report/held.h"

#include <inttypes.h>
#include <stdlib.h>

#include "report/place.h"
#include "report/units.h"

enum { CYCLES_SHOWN = 8, ROWS = 20 };

static void write_totals(const struct rft_report *report)
{
    const struct rft_model *model = report->model;
    uint64_t objects = 0, bytes = 0, collector_ms = 0, duration_ms = 0;
    bool searched = false, sampled = false, known = false;
    for (uint32_t i = 0; i < model->heap_count; i++) {
        const struct rft_heap *heap = &model->heaps[i];
        if (!heap->last || heap->flags & RFT_HEAP_REFUSED)
            continue;
        searched |= !(heap->flags & RFT_HEAP_NO_GARBAGE);
        objects += heap->garbage_objects;
        bytes += heap->garbage_bytes;
        if (heap->collector_time == RFT_COLLECTOR_NOT_KNOWN)
            continue;
        known = true;
        sampled |= heap->collector_time == RFT_COLLECTOR_SAMPLED;
        collector_ms += heap->collector_ms;
        duration_ms += heap->time_ms - model->processes[heap->process].offset_ms;
    }
    char text[UNIT_SIZE], more[UNIT_SIZE], share[UNIT_SIZE];
    struct rft_strbuf line = {0};
    page_line(report->page);
    if (!searched)
        rft_strbuf_add(&line, "Cyclic garbage was not looked for");
    else if (objects == 0)
        rft_strbuf_add(&line, "No cyclic garbage");
    else
        rft_strbuf_format(&line, "Cyclic garbage: %s, %s, waited for the collector",
                          units_plural(objects, "object", "objects", text, sizeof text),
                          units_bytes((double)bytes, more, sizeof more));
    if (known)
        rft_strbuf_format(&line, "; CPython's collector took %s%s of %s (%s)",
                          sampled ? "about " : "", units_duration(collector_ms, text, sizeof text),
                          units_duration(duration_ms, more, sizeof more),
                          units_share(duration_ms ? (double)collector_ms / (double)duration_ms : 0,
                                      share, sizeof share));
    page_paragraph(report->page, INK_PLAIN, 0, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
}

static void write_cycles(const struct rft_report *report)
{
    const struct rft_model *model = report->model;
    uint32_t shown = 0, all = 0, limit = report_top(report, CYCLES_SHOWN);
    for (uint32_t i = 0; i < model->cycle_count; i++) {
        const struct rft_cycle *cycle = &model->cycles[i];
        bool matches =
            report->filter_text == NULL ||
            (cycle->site != RFT_NONE && site_filter_matches(report->filter, cycle->site));
        if (!matches || all++ >= limit)
            continue;
        char count[UNIT_SIZE], objects[UNIT_SIZE];
        struct rft_strbuf line = {0};
        if (shown++ == 0)
            page_heading(report->page, "Cycles", NULL);
        path_cycle(&line, &cycle->path, held_style(report->page));
        page_paragraph(report->page, INK_BOLD, 2, rft_strbuf_text(&line));
        rft_strbuf_clear(&line);
        rft_strbuf_format(
            &line, "%s of this kind, %s", units_exact(cycle->cycles, count, sizeof count),
            units_plural(cycle->objects, "object", "objects", objects, sizeof objects));
        if (cycle->site != RFT_NONE) {
            rft_strbuf_add(&line, "; born at ");
            place_stack(&line, model, model->sites[cycle->site].stack);
        }
        page_paragraph(report->page, INK_PLAIN, 4, rft_strbuf_text(&line));
        rft_strbuf_deinit(&line);
    }
    report_rest(report, shown, all);
}

static int by_garbage(const void *a, const void *b)
{
    const struct rft_held *x = *(const struct rft_held *const *)a;
    const struct rft_held *y = *(const struct rft_held *const *)b;
    if (x->garbage_bytes != y->garbage_bytes)
        return x->garbage_bytes < y->garbage_bytes ? 1 : -1;
    if (x->garbage_objects != y->garbage_objects)
        return x->garbage_objects < y->garbage_objects ? 1 : -1;
    return (x->site > y->site) - (x->site < y->site);
}

static struct rft_error *write_sites(const struct rft_report *report)
{
    static const struct column columns[] = {
        {"Garbage", COLUMN_NUMBER},
        {"Bytes", COLUMN_NUMBER},
        {"Type", COLUMN_NAME},
        {"Site", COLUMN_PLACE},
    };
    const struct rft_model *model = report->model;
    struct table *table = table_create(report->page, columns, 4);
    const struct rft_held **order = malloc(((size_t)model->held_count + 1) * sizeof(*order));
    if (table == NULL || order == NULL) {
        free(order);
        if (table)
            rft_error_destroy(table_print(table, 0));
        return rft_error_no_memory();
    }
    uint32_t all = 0, limit = report_top(report, ROWS);
    for (uint32_t i = 0; i < model->held_count; i++)
        if (model->held[i].garbage_objects > 0 && held_is_shown(report, &model->held[i]))
            order[all++] = &model->held[i];
    qsort(order, all, sizeof(*order), by_garbage);
    if (all > 0)
        page_heading(report->page, "Where it was born", NULL);
    struct rft_strbuf line = {0};
    for (uint32_t i = 0; i < all && i < limit; i++) {
        char text[UNIT_SIZE];
        const struct rft_site *site = &model->sites[order[i]->site];
        table_row(table);
        table_cell(table, INK_BOLD, units_count(order[i]->garbage_objects, text, sizeof text));
        table_cell(table, INK_PLAIN,
                   units_bytes((double)order[i]->garbage_bytes, text, sizeof text));
        table_cell(table, INK_PLAIN, model->types[site->type].name);
        rft_strbuf_clear(&line);
        place_stack(&line, model, site->stack);
        table_cell(table, INK_PLAIN, rft_strbuf_text(&line));
    }
    rft_strbuf_deinit(&line);
    free(order);
    struct rft_error *error = table_print(table, 2);
    report_rest(report, all < limit ? all : limit, all);
    return error;
}

struct rft_error *view_garbage(const struct rft_report *report)
{
    report_opening(report);
    if (!heap_opening(report))
        return NULL;
    write_totals(report);
    write_cycles(report);
    return write_sites(report);
}

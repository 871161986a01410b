/* The view `retained`: what would be freed, with single objects and with all of a site's. */
#include "report/held.h"

#include <inttypes.h>

#include "report/place.h"
#include "report/units.h"

enum { RETAINERS_SHOWN = 10, ROWS = 20 };

static bool is_shown(const struct rft_report *report, const struct rft_retainer *retainer)
{
    return report->filter_text == NULL ||
           (retainer->site != RFT_NONE && site_filter_matches(report->filter, retainer->site));
}

static void write_retainer(const struct rft_report *report, const struct rft_retainer *retainer)
{
    const struct page *page = report->page;
    char bytes[UNIT_SIZE], own[UNIT_SIZE], objects[UNIT_SIZE];
    struct rft_strbuf line = {0};
    page_format(page, INK_BOLD, "%12s",
                units_bytes((double)retainer->retained_bytes, bytes, sizeof bytes));
    page_put(page, INK_PLAIN, "  ");
    page_put(page, INK_PLAIN, retainer->type);
    page_format(
        page, INK_DIM, "  %s, itself %s",
        units_plural(retainer->retained_objects, "object", "objects", objects, sizeof objects),
        units_bytes((double)retainer->bytes, own, sizeof own));
    page_line(page);
    path_text(&line, &retainer->path, held_style(page));
    page_paragraph(page, INK_PLAIN, 14, rft_strbuf_text(&line));
    if (retainer->site != RFT_NONE) {
        rft_strbuf_clear(&line);
        rft_strbuf_add(&line, "born at ");
        place_stack(&line, report->model, report->model->sites[retainer->site].stack);
        page_paragraph(page, INK_DIM, 14, rft_strbuf_text(&line));
    }
    rft_strbuf_deinit(&line);
}

static struct rft_error *write_sites(const struct rft_report *report)
{
    static const struct column columns[] = {
        {"Retained", COLUMN_NUMBER},
        {"Alive", COLUMN_NUMBER},
        {"Type", COLUMN_NAME},
        {"Site", COLUMN_PLACE},
    };
    const struct rft_model *model = report->model;
    struct table *table = table_create(report->page, columns, 4);
    if (table == NULL)
        return rft_error_no_memory();
    page_heading(report->page, "With all objects of a site", NULL);
    uint32_t shown = 0, all = 0, limit = report_top(report, ROWS);
    struct rft_strbuf line = {0};
    for (uint32_t i = 0; i < model->held_count; i++) {
        const struct rft_held *held = &model->held[i];
        if (held->retained_bytes == 0 || !held_is_shown(report, held) || all++ >= limit)
            continue;
        char text[UNIT_SIZE];
        const struct rft_site *site = &model->sites[held->site];
        table_row(table);
        table_cell(table, INK_BOLD, units_bytes((double)held->retained_bytes, text, sizeof text));
        table_cell(table, INK_PLAIN, units_count(held->objects, text, sizeof text));
        table_cell(table, held->growing != RFT_NONE ? INK_BAD : INK_PLAIN,
                   model->types[site->type].name);
        rft_strbuf_clear(&line);
        place_stack(&line, model, site->stack);
        table_cell(table, INK_PLAIN, rft_strbuf_text(&line));
        shown++;
    }
    rft_strbuf_deinit(&line);
    struct rft_error *error = table_print(table, 2);
    report_rest(report, shown, all);
    return error;
}

struct rft_error *view_retained(const struct rft_report *report)
{
    const struct rft_model *model = report->model;
    report_opening(report);
    if (!heap_opening(report))
        return NULL;
    uint32_t shown = 0, all = 0, limit = report_top(report, RETAINERS_SHOWN);
    for (uint32_t i = 0; i < model->retainer_count; i++) {
        if (!is_shown(report, &model->retainers[i]) || all++ >= limit)
            continue;
        if (shown++ == 0)
            page_heading(report->page, "What would be freed with one object", NULL);
        write_retainer(report, &model->retainers[i]);
    }
    report_rest(report, shown, all);
    return write_sites(report);
}

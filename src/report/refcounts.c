/* The view `refcounts`: references that C code holds, or has given away twice. */
#include "report/held.h"

#include "report/place.h"
#include "report/units.h"

enum { ACCUSED_SHOWN = 20, ROWS = 20 };

/* What C code holds without being accused: static variables, tables, C structures. */
static struct rft_error *write_held_by_c(const struct rft_report *report)
{
    static const struct column columns[] = {
        {"Objects", COLUMN_NUMBER}, {"Of", COLUMN_NUMBER},  {"References", COLUMN_NUMBER},
        {"Type", COLUMN_NAME},      {"Site", COLUMN_PLACE},
    };
    const struct rft_model *model = report->model;
    struct table *table = table_create(report->page, columns, 5);
    if (table == NULL)
        return rft_error_no_memory();
    uint32_t shown = 0, all = 0, limit = report_top(report, ROWS);
    struct rft_strbuf line = {0};
    for (uint32_t i = 0; i < model->held_count; i++) {
        const struct rft_held *held = &model->held[i];
        const struct rft_refcounts *refcounts = &held->refcounts;
        if (refcounts->surplus_objects == 0 || refcounts->leaked || refcounts->piled ||
            refcounts->suspected || !held_is_shown(report, held) || all++ >= limit)
            continue;
        char text[UNIT_SIZE];
        const struct rft_site *site = &model->sites[held->site];
        if (shown++ == 0)
            page_heading(report->page, "Held by C code as well",
                         "few, constant, or made by imports");
        table_row(table);
        table_cell(table, INK_BOLD, units_count(refcounts->surplus_objects, text, sizeof text));
        table_cell(table, INK_PLAIN, units_count(refcounts->audited, text, sizeof text));
        table_cell(table, INK_PLAIN, units_count(refcounts->surplus_references, text, sizeof text));
        table_cell(table, INK_PLAIN, model->types[site->type].name);
        rft_strbuf_clear(&line);
        place_stack(&line, model, site->stack);
        table_cell(table, INK_PLAIN, rft_strbuf_text(&line));
    }
    rft_strbuf_deinit(&line);
    struct rft_error *error = table_print(table, 2);
    report_rest(report, shown, all);
    return error;
}

struct rft_error *view_refcounts(const struct rft_report *report)
{
    const struct rft_model *model = report->model;
    char objects[UNIT_SIZE];
    uint64_t audited = 0;
    report_opening(report);
    if (!heap_opening(report))
        return NULL;
    for (uint32_t i = 0; i < model->held_count; i++)
        audited += model->held[i].refcounts.audited;
    page_line(report->page);
    struct rft_strbuf line = {0};
    rft_strbuf_format(
        &line, "Audited: %s, whose references in objects, frames and known roots were counted.",
        units_plural(audited, "object", "objects", objects, sizeof objects));
    page_paragraph(report->page, INK_PLAIN, 0, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
    uint32_t limit = report_top(report, ACCUSED_SHOWN);
    if (audited > 0 && held_accusations(report, limit) + held_suspicions(report, limit) == 0) {
        page_put(report->page, INK_GOOD, "No object has too few, and none leaks in C code.");
        page_line(report->page);
    }
    return write_held_by_c(report);
}

#include "report/census.h"

#include "base/strbuf.h"
#include "report/growing.h"
#include "report/units.h"

enum { ROWS = 40, WIDE = 100, COLUMNS_MOST = 8 };

struct rft_error *census_table(const struct rft_report *report, const char *heading, uint32_t limit,
                               enum group_by by, enum group_order order)
{
    const struct rft_model *model = report->model;
    bool wide = report->page->width >= WIDE;
    bool typed = by == GROUP_SITE;
    struct column columns[COLUMNS_MOST];
    size_t count = 0;
    columns[count++] = (struct column){"Alive", COLUMN_NUMBER};
    columns[count++] = (struct column){"Bytes", COLUMN_NUMBER};
    columns[count++] = (struct column){"Born", COLUMN_NUMBER};
    if (wide)
        columns[count++] = (struct column){"At once", COLUMN_NUMBER};
    columns[count++] = (struct column){"Growth", typed ? COLUMN_TEXT : COLUMN_NUMBER};
    if (typed)
        columns[count++] = (struct column){"Type", COLUMN_NAME};
    columns[count++] =
        (struct column){group_heading(by), by == GROUP_TYPE ? COLUMN_NAME : COLUMN_PLACE};

    struct group_list list;
    struct rft_error *error = group_sites(model, report->filter, by, report->full_stacks, &list);
    if (error != NULL)
        return error;
    group_sort(&list, order);
    page_heading(report->page, heading, NULL);
    struct table *table = table_create(report->page, columns, count);
    struct rft_strbuf line = {0};
    char text[UNIT_SIZE];
    for (uint32_t i = 0; table != NULL && i < list.count && i < limit; i++) {
        const struct group *group = &list.groups[i];
        const struct rft_site *site = &model->sites[group->site];
        table_row(table);
        table_cell(table, INK_BOLD, units_count(group->live, text, sizeof text));
        table_cell(table, INK_PLAIN, units_bytes((double)group->live_bytes, text, sizeof text));
        table_cell(table, INK_PLAIN, units_count(group->births, text, sizeof text));
        if (wide) {
            double share =
                group->births > 0 ? (double)group->died_at_once / (double)group->births : 0;
            table_cell(table, INK_PLAIN, units_share(share, text, sizeof text));
        }
        rft_strbuf_clear(&line);
        if (group->growing > 0)
            rft_strbuf_format(&line, "+%s/s", units_rate(group->objects_per_s, text, sizeof text));
        else if (typed)
            rft_strbuf_add(&line, growth_word(site->growth.kind));
        table_cell(table, group->growing > 0 ? INK_BAD : INK_DIM, rft_strbuf_text(&line));
        if (typed)
            table_cell(table, INK_PLAIN, model->types[site->type].name);
        rft_strbuf_clear(&line);
        group_text(&line, report->page, model, by, group, report->full_stacks);
        table_cell(table, INK_PLAIN, rft_strbuf_text(&line));
    }
    error = table != NULL ? table_print(table, 2) : rft_error_no_memory();
    if (error == NULL)
        report_rest(report, list.count < limit ? list.count : limit, list.count);
    rft_strbuf_deinit(&line);
    group_list_deinit(&list);
    return error;
}

struct rft_error *view_types(const struct rft_report *report)
{
    report_opening(report);
    if (report_is_void(report))
        return NULL;
    enum group_by by = report->group_by != GROUP_DEFAULT ? report->group_by : GROUP_TYPE;
    return census_table(report, "Most bytes alive", report_top(report, ROWS), by, ORDER_LIVE_BYTES);
}

struct rft_error *view_sites(const struct rft_report *report)
{
    report_opening(report);
    if (report_is_void(report))
        return NULL;
    enum group_by by = report->group_by != GROUP_DEFAULT ? report->group_by : GROUP_SITE;
    return census_table(report, "Most bytes alive", report_top(report, ROWS), by, ORDER_LIVE_BYTES);
}

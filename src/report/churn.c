/* The view `churn`: garbage. An object that dies within its first millisecond
 * was made for nothing but the moment; where that happens often, time is lost. */
#include "report/churn.h"

#include "base/strbuf.h"
#include "report/units.h"

enum { ROWS = 25, WIDE = 100 };

struct rft_error *churn_table(const struct rft_report *report, uint32_t limit, enum group_by by,
                              bool whole)
{
    const struct rft_model *model = report->model;
    bool wide = report->page->width >= WIDE;
    bool typed = by == GROUP_SITE;
    struct column columns[6];
    size_t count = 0;
    columns[count++] = (struct column){"At once", COLUMN_NUMBER};
    columns[count++] = (struct column){"Per s", COLUMN_NUMBER};
    columns[count++] = (struct column){"Of all", COLUMN_NUMBER};
    if (wide)
        columns[count++] = (struct column){"Bytes", COLUMN_NUMBER};
    if (typed)
        columns[count++] = (struct column){"Type", COLUMN_NAME};
    columns[count++] =
        (struct column){group_heading(by), by == GROUP_TYPE ? COLUMN_NAME : COLUMN_PLACE};

    struct group_list list;
    struct rft_error *error = group_sites(model, report->filter, by, report->full_stacks, &list);
    if (error != NULL)
        return error;
    group_sort(&list, ORDER_AT_ONCE);
    uint32_t with_garbage = 0;
    while (with_garbage < list.count && list.groups[with_garbage].died_at_once > 0)
        with_garbage++;

    double seconds = (double)model->duration_ms / 1000;
    double births = (double)list.all.births;
    char text[UNIT_SIZE];
    struct rft_strbuf line = {0};
    rft_strbuf_format(&line, "%s objects died within 1 ms, ",
                      units_count(list.all.died_at_once, text, sizeof text));
    rft_strbuf_format(
        &line, "%s of all births",
        units_share(births > 0 ? (double)list.all.died_at_once / births : 0, text, sizeof text));
    page_heading(report->page, "Most garbage", rft_strbuf_text(&line));

    struct table *table = table_create(report->page, columns, count);
    for (uint32_t i = 0; table != NULL && i < with_garbage && i < limit; i++) {
        const struct group *group = &list.groups[i];
        double at_once = (double)group->died_at_once;
        double share =
            (double)list.all.died_at_once > 0 ? at_once / (double)list.all.died_at_once : 0;
        table_row(table);
        table_cell(table, INK_BOLD, units_count(group->died_at_once, text, sizeof text));
        table_cell(table, INK_PLAIN,
                   units_rate(seconds > 0 ? at_once / seconds : 0, text, sizeof text));
        table_cell(table, INK_PLAIN, units_share(share, text, sizeof text));
        if (wide) {
            /* Sizes are known of all dead, not of these alone: the mean must do. */
            double mean = group->deaths > 0 ? (double)group->dead_bytes / (double)group->deaths : 0;
            table_cell(table, INK_PLAIN, units_bytes(at_once * mean, text, sizeof text));
        }
        if (typed)
            table_cell(table, INK_PLAIN, model->types[model->sites[group->site].type].name);
        rft_strbuf_clear(&line);
        group_text(&line, report->page, model, by, group, report->full_stacks);
        table_cell(table, INK_PLAIN, rft_strbuf_text(&line));
    }
    error = table != NULL ? table_print(table, 2) : rft_error_no_memory();
    if (error == NULL && whole)
        report_rest(report, with_garbage < limit ? with_garbage : limit, with_garbage);
    rft_strbuf_deinit(&line);
    group_list_deinit(&list);
    return error;
}

struct rft_error *view_churn(const struct rft_report *report)
{
    report_opening(report);
    if (report_is_void(report))
        return NULL;
    return churn_table(report, report_top(report, ROWS),
                       report->group_by != GROUP_DEFAULT ? report->group_by : GROUP_SITE, true);
}

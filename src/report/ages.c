/* The view `ages`: how old objects are when they die. */
#include <string.h>

#include "base/strbuf.h"
#include "report/units.h"
#include "report/view.h"

enum { ROWS = 25, BAR_CELLS = 30, BAR_SIZE = 160, WIDE = 100 };

/* Columns of ages: classes up to and including `last`, from where the one before
 * ended. Narrow pages get fewer. */
struct age_column {
    const char *heading;
    int last;
};

static const struct age_column narrow_columns[] = {
    {"at once", 0}, {"< 128 ms", 2}, {"< 8 s", 4}, {"longer", AGE_CLASSES - 1}};
enum { NARROW_COLUMNS = sizeof narrow_columns / sizeof narrow_columns[0] };

static int age_columns(const struct page *page, struct age_column *columns)
{
    if (page->width < WIDE) {
        memcpy(columns, narrow_columns, sizeof narrow_columns);
        return NARROW_COLUMNS;
    }
    for (int age = 0; age < AGE_CLASSES; age++)
        columns[age] = (struct age_column){age_class_names[age], age};
    return AGE_CLASSES;
}

static void share_cell(struct table *table, uint64_t count, uint64_t births)
{
    char text[UNIT_SIZE];
    double share = births > 0 ? (double)count / (double)births : 0;
    table_cell(table, INK_PLAIN, count > 0 ? units_share(share, text, sizeof text) : "");
}

static struct rft_error *write_histogram(const struct rft_report *report, const struct group *all)
{
    static const struct column columns[] = {
        {"Age", COLUMN_NUMBER},
        {"Died", COLUMN_NUMBER},
        {"Of all", COLUMN_NUMBER},
        {"", COLUMN_TEXT},
    };
    struct table *table = table_create(report->page, columns, 4);
    if (table == NULL)
        return rft_error_no_memory();
    double most = (double)all->live;
    for (int age = 0; age < AGE_CLASSES; age++)
        if ((double)all->ages[age] > most)
            most = (double)all->ages[age];
    double births = all->births > 0 ? (double)all->births : 1;
    char text[UNIT_SIZE];
    char bar[BAR_SIZE];
    page_heading(report->page, "How old objects became", "at once: within their first millisecond");
    for (int age = 0; age <= AGE_CLASSES; age++) {
        uint64_t count = age < AGE_CLASSES ? all->ages[age] : all->live;
        table_row(table);
        table_cell(table, INK_PLAIN, age < AGE_CLASSES ? age_class_names[age] : "still alive");
        table_cell(table, INK_BOLD, units_count(count, text, sizeof text));
        table_cell(table, INK_PLAIN, units_share((double)count / births, text, sizeof text));
        table_cell(table, age < AGE_CLASSES ? INK_PLAIN : INK_CAUTION,
                   page_bar(report->page, (double)count, most, BAR_CELLS, bar, sizeof bar));
    }
    return table_print(table, 2);
}

static struct rft_error *write_groups(const struct rft_report *report, struct group_list *list,
                                      enum group_by by)
{
    struct column columns[AGE_CLASSES + 3];
    size_t count = 0;
    columns[count++] = (struct column){"Born", COLUMN_NUMBER};
    struct age_column ages[AGE_CLASSES];
    int age_count = age_columns(report->page, ages);
    for (int i = 0; i < age_count; i++)
        columns[count++] = (struct column){ages[i].heading, COLUMN_NUMBER};
    columns[count++] = (struct column){"alive", COLUMN_NUMBER};
    columns[count++] =
        (struct column){group_heading(by), by == GROUP_TYPE ? COLUMN_NAME : COLUMN_PLACE};
    struct table *table = table_create(report->page, columns, count);
    if (table == NULL)
        return rft_error_no_memory();
    struct rft_strbuf line = {0};
    char text[UNIT_SIZE];
    uint32_t limit = report_top(report, ROWS);
    page_heading(report->page, "Share of births that died at each age", NULL);
    for (uint32_t i = 0; i < list->count && i < limit; i++) {
        const struct group *group = &list->groups[i];
        table_row(table);
        table_cell(table, INK_BOLD, units_count(group->births, text, sizeof text));
        int age = 0;
        for (int j = 0; j < age_count; j++) {
            uint64_t deaths = 0;
            for (; age <= ages[j].last; age++)
                deaths += group->ages[age];
            share_cell(table, deaths, group->births);
        }
        share_cell(table, group->live, group->births);
        rft_strbuf_clear(&line);
        if (by == GROUP_SITE) {
            uint32_t type = report->model->sites[group->site].type;
            rft_strbuf_format(&line, "%s, ", report->model->types[type].name);
        }
        group_text(&line, report->page, report->model, by, group, report->full_stacks);
        table_cell(table, INK_PLAIN, rft_strbuf_text(&line));
    }
    rft_strbuf_deinit(&line);
    struct rft_error *error = table_print(table, 2);
    if (error == NULL)
        report_rest(report, list->count < limit ? list->count : limit, list->count);
    return error;
}

struct rft_error *view_ages(const struct rft_report *report)
{
    enum group_by by = report->group_by != GROUP_DEFAULT ? report->group_by : GROUP_TYPE;
    struct group_list list;
    struct rft_error *error =
        group_sites(report->model, report->filter, by, report->full_stacks, &list);
    if (error != NULL)
        return error;
    group_sort(&list, ORDER_BIRTHS);
    report_opening(report);
    if (report_is_void(report))
        return NULL;
    error = write_histogram(report, &list.all);
    if (error == NULL)
        error = write_groups(report, &list, by);
    group_list_deinit(&list);
    return error;
}

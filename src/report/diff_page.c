#include "report/diff_page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "report/growing.h"
#include "report/place.h"
#include "report/units.h"

enum { ROWS = 15, VERDICTS_SHOWN = 10, WIDE = 100 };

static void write_side(const struct diff_report *report, const char *name,
                       const struct rft_model *model)
{
    const struct rft_process *process = &model->processes[0];
    char duration[UNIT_SIZE];
    char births[UNIT_SIZE];
    char live[UNIT_SIZE];
    char bytes[UNIT_SIZE];
    struct rft_strbuf line = {0};
    page_put(report->page, INK_BOLD, name);
    page_format(report->page, INK_PLAIN, "  %s: %s", process->path, process->command);
    page_line(report->page);
    rft_strbuf_format(&line, "Python %s, %s; %s born, %s alive at the end (%s)%s",
                      process->python_version,
                      units_duration(model->duration_ms, duration, sizeof duration),
                      units_count(model->totals.births, births, sizeof births),
                      units_count(model->totals.live, live, sizeof live),
                      units_bytes((double)model->totals.live_bytes, bytes, sizeof bytes),
                      model->exact ? "" : "; not exact:");
    page_paragraph(report->page, INK_PLAIN, 3, rft_strbuf_text(&line));
    for (size_t i = 0; i < model->reason_count; i++)
        page_paragraph(report->page, INK_CAUTION, 5, model->reasons[i].text);
    rft_strbuf_deinit(&line);
}

/* What keeps growing in a run. What grows along with something, such as an
 * instance's dict, is no verdict of its own. */
struct verdicts {
    const struct rft_model *model;
    uint32_t *of; /* by site: 1 + its index in the model's growing, or 0; owned */
    bool *told;   /* by index in growing; owned */
};

static bool verdicts_init(struct verdicts *verdicts, const struct rft_model *model)
{
    verdicts->model = model;
    verdicts->of = calloc(model->site_count + 1, sizeof *verdicts->of);
    verdicts->told = calloc(model->growing_count + 1, sizeof *verdicts->told);
    if (verdicts->of == NULL || verdicts->told == NULL)
        return false;
    for (uint32_t i = 0; i < model->growing_count; i++) {
        const struct rft_growing *growing = &model->growing[i];
        for (uint32_t j = 0; j < growing->member_count && !growing->slowing; j++)
            verdicts->of[growing->members[j]] = i + 1;
    }
    return true;
}

static void verdicts_deinit(struct verdicts *verdicts)
{
    free(verdicts->of);
    free(verdicts->told);
}

/* The verdict that the site is part of, NULL if it does not grow. */
static const struct rft_growing *verdict_on(const struct verdicts *verdicts, uint32_t site)
{
    if (site == RFT_NONE || verdicts->of[site] == 0)
        return NULL;
    return &verdicts->model->growing[verdicts->of[site] - 1];
}

static void write_verdict(const struct diff_report *report, const struct rft_model *model,
                          const struct rft_growing *growing, const char *change, enum page_ink ink)
{
    const struct rft_site *site = &model->sites[growing->site];
    char rate[UNIT_SIZE];
    char bytes[UNIT_SIZE];
    struct rft_strbuf place = {0};
    page_format(report->page, ink, "  %s", change);
    page_format(report->page, INK_BOLD, "  %s", model->types[site->type].name);
    page_format(report->page, INK_PLAIN, "  +%s objects/s  +%s/s",
                units_rate(growing->growth.objects_per_s, rate, sizeof rate),
                units_bytes(growing->total_bytes_per_s, bytes, sizeof bytes));
    page_line(report->page);
    place_stack(&place, model, site->stack);
    page_format(report->page, INK_PLAIN, "             %s", rft_strbuf_text(&place));
    page_line(report->page);
    rft_strbuf_deinit(&place);
}

enum change { CHANGE_BEGINS, CHANGE_ENDS, CHANGE_NONE, CHANGES };

/* Writes the changes, or only counts them. A verdict has several rows if its
 * objects have several callers; it counts once. */
static void go_through(const struct diff_report *report, struct verdicts *in_a,
                       struct verdicts *in_b, uint32_t *counts, bool write)
{
    memset(in_a->told, 0, in_a->model->growing_count * sizeof *in_a->told);
    memset(in_b->told, 0, in_b->model->growing_count * sizeof *in_b->told);
    uint32_t written = 0;
    for (size_t i = 0; i < report->diff->site_count; i++) {
        const struct rft_diff_site *row = &report->diff->sites[i];
        const struct rft_growing *a = verdict_on(in_a, row->a_site);
        const struct rft_growing *b = verdict_on(in_b, row->b_site);
        bool *told = b != NULL   ? &in_b->told[b - report->b->growing]
                     : a != NULL ? &in_a->told[a - report->a->growing]
                                 : NULL;
        if (told == NULL || *told)
            continue;
        *told = true;
        enum change change = a == NULL ? CHANGE_BEGINS : b == NULL ? CHANGE_ENDS : CHANGE_NONE;
        counts[change]++;
        if (!write || written++ >= VERDICTS_SHOWN)
            continue;
        if (change == CHANGE_BEGINS)
            write_verdict(report, report->b, b, "only in B", INK_BAD);
        else if (change == CHANGE_ENDS)
            write_verdict(report, report->a, a, "only in A", INK_GOOD);
        else
            write_verdict(report, report->b, b, "in both  ", INK_CAUTION);
    }
    if (write && written > VERDICTS_SHOWN) {
        page_format(report->page, INK_DIM, "  and %" PRIu32 " more, see --json",
                    written - VERDICTS_SHOWN);
        page_line(report->page);
    }
}

static struct rft_error *write_verdicts(const struct diff_report *report)
{
    struct verdicts in_a = {0};
    struct verdicts in_b = {0};
    struct rft_error *error = NULL;
    if (!verdicts_init(&in_a, report->a) || !verdicts_init(&in_b, report->b)) {
        error = rft_error_no_memory();
    } else {
        uint32_t counts[CHANGES] = {0};
        go_through(report, &in_a, &in_b, counts, false);
        page_line(report->page);
        if (counts[CHANGE_BEGINS] + counts[CHANGE_ENDS] + counts[CHANGE_NONE] == 0) {
            page_put(report->page, INK_GOOD, "Nothing keeps growing in either run.");
        } else {
            page_put(report->page, counts[CHANGE_BEGINS] > 0 ? INK_BAD : INK_BOLD, "Keeps growing");
            page_format(report->page, INK_PLAIN,
                        ": %" PRIu32 " only in B, %" PRIu32 " only in A, %" PRIu32 " in both",
                        counts[CHANGE_BEGINS], counts[CHANGE_ENDS], counts[CHANGE_NONE]);
        }
        page_line(report->page);
        go_through(report, &in_a, &in_b, counts, true);
    }
    verdicts_deinit(&in_a);
    verdicts_deinit(&in_b);
    return error;
}

static void count_cells(struct table *table, const struct rft_diff_counts *a,
                        const struct rft_diff_counts *b, bool wide)
{
    char text[UNIT_SIZE];
    enum page_ink ink = b->live_bytes > a->live_bytes ? INK_BOLD : INK_PLAIN;
    table_row(table);
    table_cell(table, ink, units_bytes_difference(a->live_bytes, b->live_bytes, text, sizeof text));
    table_cell(table, INK_PLAIN, units_difference(a->live, b->live, text, sizeof text));
    if (wide)
        table_cell(table, INK_PLAIN, units_count(b->live, text, sizeof text));
    table_cell(table, INK_PLAIN, units_difference(a->births, b->births, text, sizeof text));
}

static size_t count_columns(struct column *columns, bool wide)
{
    size_t count = 0;
    columns[count++] = (struct column){"Alive bytes", COLUMN_NUMBER};
    columns[count++] = (struct column){"Alive", COLUMN_NUMBER};
    if (wide)
        columns[count++] = (struct column){"In B", COLUMN_NUMBER};
    columns[count++] = (struct column){"Born", COLUMN_NUMBER};
    return count;
}

static bool differs(const struct rft_diff_counts *a, const struct rft_diff_counts *b)
{
    return a->live_bytes != b->live_bytes || a->live != b->live || a->births != b->births;
}

static void write_rest(const struct diff_report *report, size_t shown, size_t all)
{
    char rest[UNIT_SIZE];
    if (shown >= all)
        return;
    page_format(report->page, INK_DIM, "  %s more: --top %zu",
                units_exact(all - shown, rest, sizeof rest), all);
    page_line(report->page);
}

static struct rft_error *write_types(const struct diff_report *report, size_t limit)
{
    bool wide = report->page->width >= WIDE;
    struct column columns[5];
    size_t count = count_columns(columns, wide);
    columns[count++] = (struct column){"Type", COLUMN_NAME};
    struct table *table = table_create(report->page, columns, count);
    if (table == NULL)
        return rft_error_no_memory();
    size_t shown = 0;
    size_t all = 0;
    for (size_t i = 0; i < report->diff->type_count; i++) {
        const struct rft_diff_type *row = &report->diff->types[i];
        if (!differs(&row->a, &row->b) || ++all > limit)
            continue;
        count_cells(table, &row->a, &row->b, wide);
        table_cell(table, INK_PLAIN, row->name);
        shown++;
    }
    if (shown > 0)
        page_heading(report->page, "By type", "what B has more (+) or less (-) of");
    struct rft_error *error = table_print(table, 2);
    if (error == NULL)
        write_rest(report, shown, all);
    return error;
}

static struct rft_error *write_sites(const struct diff_report *report, size_t limit)
{
    bool wide = report->page->width >= WIDE;
    struct column columns[6];
    size_t count = count_columns(columns, wide);
    columns[count++] = (struct column){"Type", COLUMN_NAME};
    columns[count++] = (struct column){"Place", COLUMN_PLACE};
    struct table *table = table_create(report->page, columns, count);
    if (table == NULL)
        return rft_error_no_memory();
    struct rft_strbuf place = {0};
    size_t shown = 0;
    size_t all = 0;
    for (size_t i = 0; i < report->diff->site_count; i++) {
        const struct rft_diff_site *row = &report->diff->sites[i];
        if (!differs(&row->a, &row->b) || ++all > limit)
            continue;
        const struct rft_model *model = row->b_site != RFT_NONE ? report->b : report->a;
        const struct rft_site *site =
            &model->sites[row->b_site != RFT_NONE ? row->b_site : row->a_site];
        rft_strbuf_clear(&place);
        place_stack(&place, model, site->stack);
        if (row->a_site == RFT_NONE)
            rft_strbuf_add(&place, " (only in B)");
        else if (row->b_site == RFT_NONE)
            rft_strbuf_add(&place, " (only in A)");
        count_cells(table, &row->a, &row->b, wide);
        table_cell(table, INK_PLAIN, model->types[site->type].name);
        table_cell(table, INK_PLAIN, rft_strbuf_text(&place));
        shown++;
    }
    if (shown > 0)
        page_heading(report->page, "By place", NULL);
    struct rft_error *error = table_print(table, 2);
    rft_strbuf_deinit(&place);
    if (error == NULL)
        write_rest(report, shown, all);
    return error;
}

struct rft_error *diff_page(const struct diff_report *report)
{
    size_t limit = report->top > 0 ? report->top : ROWS;
    write_side(report, "A", report->a);
    write_side(report, "B", report->b);
    struct rft_error *error = write_verdicts(report);
    if (error == NULL)
        error = write_types(report, limit);
    if (error == NULL)
        error = write_sites(report, limit);
    return error;
}

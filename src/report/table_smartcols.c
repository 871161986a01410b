/* Prints tables with libsmartcols. */
#include <stdlib.h>

#include "late/smartcols.h"
#include "report/table.h"

static bool fill(const struct table *table, struct libscols_table *scols, const size_t *widths)
{
    for (size_t c = 0; c < table->column_count; c++) {
        const struct column *column = &table->columns[c];
        int flags = column->kind == COLUMN_NUMBER ? SCOLS_FL_RIGHT : 0;
        struct libscols_column *added =
            scols_table_new_column(scols, column->heading, (double)widths[c], flags);
        if (added == NULL)
            return false;
        if (table->page->colour)
            scols_cell_set_color(scols_column_get_header(added), page_ink_start(INK_DIM));
    }
    for (size_t i = 0; i < table->used; i++) {
        const struct cell *cell = &table->cells[i];
        size_t c = i % table->column_count;
        struct libscols_line *line = c == 0 ? scols_table_new_line(scols, NULL)
                                            : scols_table_get_line(scols, i / table->column_count);
        if (line == NULL)
            return false;
        if (scols_line_set_data(line, c, cell->text) != 0)
            return false;
        if (table->page->colour && cell->ink != INK_PLAIN)
            scols_cell_set_color(scols_line_get_cell(line, c), page_ink_start(cell->ink));
    }
    return true;
}

char *table_text_smartcols(const struct table *table, const size_t *widths)
{
    struct libscols_table *scols = scols_new_table();
    if (scols == NULL)
        return NULL;
    char *text = NULL;
    size_t total = 0;
    for (size_t c = 0; c < table->column_count; c++)
        total += widths[c] + TABLE_GAP;
    scols_table_enable_colors(scols, table->page->colour);
    /* Cells are printable already; encoded again, "\\x07" would be "\\x5cx07". */
    scols_table_enable_noencoding(scols, 1);
    scols_table_set_column_separator(scols, "  ");
    scols_table_set_termforce(scols, SCOLS_TERMFORCE_ALWAYS);
    scols_table_set_termwidth(scols, total);
    if (!fill(table, scols, widths) || scols_print_table_to_string(scols, &text) != 0)
        text = NULL;
    scols_unref_table(scols);
    return text;
}

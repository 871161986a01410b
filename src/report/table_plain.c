/* Prints tables where libsmartcols is missing: the same lines. */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "report/table.h"

static void blanks(struct rft_strbuf *text, size_t count)
{
    while (count-- > 0)
        rft_strbuf_add_char(text, ' ');
}

static void add(struct rft_strbuf *text, const struct table *table, size_t column, size_t width,
                enum page_ink ink, const char *cell, size_t cell_width)
{
    size_t room = width > cell_width ? width - cell_width : 0;
    bool right = table->columns[column].kind == COLUMN_NUMBER;
    bool coloured = table->page->colour && ink != INK_PLAIN;
    if (column > 0)
        blanks(text, TABLE_GAP);
    if (coloured)
        rft_strbuf_add(text, page_ink_start(ink));
    if (right)
        blanks(text, room);
    rft_strbuf_add(text, cell);
    if (!right && column + 1 < table->column_count)
        blanks(text, room);
    if (coloured)
        rft_strbuf_add(text, "\033[0m");
}

char *table_text_plain(const struct table *table, const size_t *widths)
{
    struct rft_strbuf text = {0};
    for (size_t c = 0; c < table->column_count && table->used > 0; c++) {
        const char *heading = table->columns[c].heading;
        add(&text, table, c, widths[c], INK_DIM, heading, strlen(heading));
    }
    if (table->used > 0) /* as libsmartcols: no rows, no headings */
        rft_strbuf_add_char(&text, '\n');
    for (size_t i = 0; i < table->used; i++) {
        const struct cell *cell = &table->cells[i];
        size_t c = i % table->column_count;
        size_t width = page_text_width(cell->text, strlen(cell->text));
        add(&text, table, c, widths[c], cell->ink, cell->text, width);
        if (c + 1 == table->column_count)
            rft_strbuf_add_char(&text, '\n');
    }
    char *lines = text.failed ? NULL : strdup(rft_strbuf_text(&text));
    rft_strbuf_deinit(&text);
    return lines;
}

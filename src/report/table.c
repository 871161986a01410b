/* Tables: what stands in them, and how wide their columns are. Names that are too long are
 * shortened here, because libsmartcols could only cut their ends. */
#include "report/table.h"

#include <stdlib.h>
#include <string.h>

#include "late/late.h"

enum { NAME_LEAST = 10 /* columns that a name gets even on the narrowest page */ };

struct table *table_create(const struct page *page, const struct column *columns, size_t count)
{
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    table->page = page;
    table->columns = columns;
    table->column_count = count;
    return table;
}

void table_row(struct table *table)
{
    /* Cells that the previous row did not fill stay empty. */
    while (!table->failed && table->used % table->column_count != 0)
        table_cell(table, INK_PLAIN, "");
}

void table_cell(struct table *table, enum page_ink ink, const char *text)
{
    if (table->used == table->capacity) {
        size_t capacity = table->capacity > 0 ? 2 * table->capacity : 64;
        struct cell *cells = realloc(table->cells, capacity * sizeof *cells);
        if (cells == NULL) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    struct cell *cell = &table->cells[table->used];
    cell->text = page_showable(table->page, text);
    if (cell->text == NULL) {
        table->failed = true;
        return;
    }
    cell->ink = ink;
    cell->width = page_text_width(cell->text, strlen(cell->text));
    table->used++;
}

/* ---- widths ---- */

static bool may_shrink(const struct table *table, size_t column)
{
    return table->columns[column].kind == COLUMN_NAME ||
           table->columns[column].kind == COLUMN_PLACE;
}

/* Each column gets what it needs; if that is too much, those that may shrink
 * share the rest: the short ones in full, the long ones equally. */
static void assign_widths(const struct table *table, size_t room, size_t *widths)
{
    size_t long_ones = 0;
    for (size_t c = 0; c < table->column_count; c++) {
        widths[c] = strlen(table->columns[c].heading);
        for (size_t i = c; i < table->used; i += table->column_count)
            if (table->cells[i].width > widths[c])
                widths[c] = table->cells[i].width;
        if (may_shrink(table, c)) {
            long_ones++;
        } else {
            size_t taken = widths[c];
            room = room > taken ? room - taken : 0;
        }
    }
    size_t gaps = TABLE_GAP * (table->column_count - 1);
    room = room > gaps ? room - gaps : 0;

    bool *settled = calloc(table->column_count, sizeof *settled);
    if (settled == NULL)
        return;
    for (bool changed = true; changed && long_ones > 0;) {
        changed = false;
        size_t share = room / long_ones;
        for (size_t c = 0; c < table->column_count; c++)
            if (may_shrink(table, c) && !settled[c] && widths[c] <= share) {
                settled[c] = true;
                room -= widths[c];
                long_ones--;
                changed = true;
                break;
            }
    }
    for (size_t c = 0; c < table->column_count; c++)
        if (may_shrink(table, c) && !settled[c])
            widths[c] = room / long_ones > NAME_LEAST ? room / long_ones : NAME_LEAST;
    free(settled);
}

/* Shortens the text to `width` columns, with a mark where something is missing. */
static void shorten(const struct table *table, struct cell *cell, enum column_kind kind,
                    size_t width)
{
    const char *mark = page_utf8(table->page) ? "…" : "~";
    size_t length = strlen(cell->text);
    char *shortened = malloc(length + strlen(mark) + 1);
    if (shortened == NULL)
        return; /* a long cell is better than none */
    size_t at = kind == COLUMN_NAME ? 0 : length;
    for (;;) { /* one character less each time, until the rest fits */
        bool fits = kind == COLUMN_NAME ? page_text_width(cell->text + at, length - at) < width
                                        : page_text_width(cell->text, at) < width;
        if (fits || (kind == COLUMN_NAME ? at == length : at == 0))
            break;
        if (kind == COLUMN_NAME)
            do
                at++;
            while (at < length && ((unsigned char)cell->text[at] & 0xc0) == 0x80);
        else
            do
                at--;
            while (at > 0 && ((unsigned char)cell->text[at] & 0xc0) == 0x80);
    }
    if (kind == COLUMN_NAME) {
        strcpy(shortened, mark);
        strcat(shortened, cell->text + at);
    } else {
        memcpy(shortened, cell->text, at);
        strcpy(shortened + at, mark);
    }
    free(cell->text);
    cell->text = shortened;
}

/* ---- printing ---- */

static void shorten_all(struct table *table, const size_t *widths)
{
    for (size_t i = 0; i < table->used; i++) {
        size_t c = i % table->column_count;
        if (table->cells[i].width > widths[c])
            shorten(table, &table->cells[i], table->columns[c].kind, widths[c]);
    }
}

/* There is no margin in the lines yet, and the last column is padded: both are seen to here. */
static void print_lines(const struct page *page, unsigned indent, const char *text)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        size_t end = length;
        while (end > 0 && text[end - 1] == ' ')
            end--;
        fprintf(page->to, "%*s%.*s\n", (int)indent, "", (int)end, text);
        text += length + (text[length] == '\n');
    }
}

struct rft_error *table_print(struct table *table, unsigned indent)
{
    table_row(table);
    struct rft_error *error = NULL;
    size_t *widths = calloc(table->column_count, sizeof *widths);
    char *text = NULL;
    if (widths != NULL && !table->failed) {
        size_t width = table->page->width > indent ? table->page->width - indent : 0;
        assign_widths(table, width, widths);
        shorten_all(table, widths);
#if RFT_HAVE_SMARTCOLS
        if (rft_late_missing(RFT_LATE_TABLES) == NULL)
            text = table_text_smartcols(table, widths);
        else
#endif
            text = table_text_plain(table, widths);
    }
    if (text != NULL)
        print_lines(table->page, indent, text);
    else
        error = rft_error_no_memory();
    free(text);
    free(widths);
    for (size_t i = 0; i < table->used; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
    return error;
}

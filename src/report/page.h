/* The page: where a report for people is written. It knows the width, whether
 * there are colours and which characters can be shown, and makes the tables.
 *
 * Text given to it is printable UTF-8 (as the model's is); where the locale has
 * no UTF-8, other characters than ASCII become '?'. */
#ifndef RFT_REPORT_PAGE_H
#define RFT_REPORT_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <reftracer/error.h>

enum page_ink {
    INK_PLAIN,
    INK_BOLD, /* what to read first */
    INK_DIM,  /* what to read last */
    INK_BAD,  /* something grows, something was lost */
    INK_GOOD,
    INK_CAUTION,
    INK_COUNT
};

struct page {
    FILE *to;
    size_t width; /* columns */
    bool colour;
};

enum page_colour { COLOUR_AUTO, COLOUR_NEVER };

/* A page on a stream; width and colours as its terminal, or else the
 * environment (COLUMNS, NO_COLOR, TERM), has them. */
void page_init(struct page *page, FILE *to, enum page_colour colour);

/* The escape sequence that begins an ink; every sequence ends with INK_END. */
const char *page_ink_start(enum page_ink ink);
#define INK_END "\033[0m"

/* Whether the locale has all characters. Only who has some beyond ASCII to show asks for that: to
 * load a locale takes as long as a look at a process. */
bool page_utf8(const struct page *page);

/* A copy of text with every character replaced that the locale can't show; NULL
 * without memory. */
char *page_showable(const struct page *page, const char *text);

/* Columns that `size` bytes of showable text take. */
size_t page_text_width(const char *text, size_t size);

/* Write text, without line end. */
void page_put(const struct page *page, enum page_ink ink, const char *text);
void page_format(const struct page *page, enum page_ink ink, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void page_line(const struct page *page); /* ends a line */

/* A paragraph, broken at blanks to fit the width, each line indented. Ends its
 * last line. */
void page_paragraph(const struct page *page, enum page_ink ink, unsigned indent, const char *text);

/* A heading: an empty line, then the bold text and a dim remark (may be NULL). */
void page_heading(const struct page *page, const char *text, const char *remark);

/* ---- tables ---- */

enum column_kind {
    COLUMN_NUMBER, /* to the right, never cut */
    COLUMN_TEXT,   /* to the left, never cut */
    COLUMN_NAME,   /* to the left; without room it keeps its end, where qualified names differ */
    COLUMN_PLACE,  /* to the left; without room it keeps its beginning, the file and line */
};

struct column {
    const char *heading;
    enum column_kind kind;
};

struct table;

/* The columns must stay as long as the table. NULL without memory. */
struct table *table_create(const struct page *page, const struct column *columns, size_t count);
/* The next row; then one cell after the other. */
void table_row(struct table *table);
/* `text` is copied. */
void table_cell(struct table *table, enum page_ink ink, const char *text);
/* Prints and destroys it. */
struct rft_error *table_print(struct table *table, unsigned indent);

/* A bar of up to `cells` characters for value/largest. */
const char *page_bar(const struct page *page, double value, double largest, unsigned cells,
                     char *text, size_t size);

#endif

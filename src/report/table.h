/* A table's insides: table.c lays it out, and one of two files prints it: table_smartcols.c,
 * or table_plain.c where libsmartcols is missing. Others use report/page.h. */
#ifndef RFT_REPORT_TABLE_H
#define RFT_REPORT_TABLE_H

#include "report/page.h"

enum { TABLE_GAP = 2 /* blanks between columns */ };

struct cell {
    char *text;
    enum page_ink ink;
    size_t width;
};

struct table {
    const struct page *page;
    const struct column *columns;
    size_t column_count;
    struct cell *cells; /* row by row, whole rows; none is wider than its column */
    size_t used, capacity;
    bool failed; /* without memory */
};

/* All lines with their headings; the caller frees them. NULL without memory. */
char *table_text_smartcols(const struct table *table, const size_t *widths);
char *table_text_plain(const struct table *table, const size_t *widths);

#endif

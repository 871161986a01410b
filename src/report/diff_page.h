/* The report of `reftracer diff`. */
#ifndef RFT_REPORT_DIFF_PAGE_H
#define RFT_REPORT_DIFF_PAGE_H

#include "analyze/diff.h"
#include "report/page.h"

struct diff_report {
    const struct rft_model *a, *b;
    const struct rft_diff *diff;
    const struct page *page;
    uint32_t top; /* rows of a table; 0: the usual number */
};

struct rft_error *diff_page(const struct diff_report *report);

#endif

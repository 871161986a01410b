/* The table of what dies at once. */
#ifndef RFT_REPORT_CHURN_H
#define RFT_REPORT_CHURN_H

#include "report/view.h"

/* With its heading; at most `limit` rows.
 *
 * @param whole Whether to say how many rows are left out, and how to get them. */
struct rft_error *churn_table(const struct rft_report *report, uint32_t limit, enum group_by by,
                              bool whole);

#endif

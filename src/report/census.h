/* The table of births, deaths and survivors, which several views show. */
#ifndef RFT_REPORT_CENSUS_H
#define RFT_REPORT_CENSUS_H

#include "report/view.h"

/* With its heading; at most `limit` rows, in the given order. */
struct rft_error *census_table(const struct rft_report *report, const char *heading, uint32_t limit,
                               enum group_by by, enum group_order order);

#endif

/* The view `leaks`: everything that grows, then what else is alive at the end. */
#include "report/census.h"
#include "report/growing.h"

enum { GROWING_SHOWN = 20, ROWS = 20 };

struct rft_error *view_leaks(const struct rft_report *report)
{
    report_opening(report);
    if (report_is_void(report))
        return NULL;
    growing_verdict(report);
    if (report->group_by != GROUP_DEFAULT)
        return census_table(report, "Most growth", report_top(report, ROWS), report->group_by,
                            ORDER_GROWTH);
    growing_list(report, report_top(report, GROWING_SHOWN), 0);
    return census_table(report, "Most bytes alive at the end", report_top(report, ROWS), GROUP_SITE,
                        ORDER_LIVE_BYTES);
}

#include "report/view.h"

#include <string.h>

#include "report/units.h"

const struct rft_view rft_views[] = {
    {"summary", "what keeps growing, what only looks like it, the most garbage", view_summary},
    {"leaks", "what keeps growing, with stacks; what else stays, and why", view_leaks},
    {"churn", "what dies at once: garbage of hot paths", view_churn},
    {"types", "births, deaths and survivors of each type", view_types},
    {"sites", "the same of each place in the code", view_sites},
    {"ages", "how old objects become", view_ages},
    {"holders", "who keeps objects alive (after run --holders, as the next three)", view_holders},
    {"retained", "what would be freed with an object, and with all of a site's", view_retained},
    {"refcounts", "references that C code leaked, or released too often", view_refcounts},
    {"garbage", "what only the cycle collector can free, with the cycles", view_garbage},
};

_Static_assert(sizeof rft_views / sizeof rft_views[0] == RFT_VIEW_COUNT,
               "each view of enum rft_view_id has its row in rft_views, in the same order");

const struct rft_view *rft_view_named(const char *name)
{
    for (int i = 0; i < RFT_VIEW_COUNT; i++)
        if (strcmp(rft_views[i].name, name) == 0)
            return &rft_views[i];
    return NULL;
}

uint32_t report_top(const struct rft_report *report, uint32_t usual)
{
    return report->top > 0 ? report->top : usual;
}

void report_rest(const struct rft_report *report, uint32_t shown, uint32_t all)
{
    char rest[UNIT_SIZE];
    if (shown >= all)
        return;
    page_format(report->page, INK_DIM, "  %s more: --top %u",
                units_exact(all - shown, rest, sizeof rest), all);
    page_line(report->page);
}

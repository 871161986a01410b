/* Views: what `reftracer report --view NAME` shows.
 *
 * To add a view:
 *   1. write src/report/NAME.c with one function as `write` below;
 *   2. declare it and add RFT_VIEW_NAME to `enum rft_view_id` here;
 *   3. add its row, at the same place of the order, to `rft_views` in
 *      src/report/view.c (a static assertion counts them), and the file to
 *      src/report/meson.build;
 *   4. name it in man/reftracer-report.1 and test it in tests/cli/. */
#ifndef RFT_REPORT_VIEW_H
#define RFT_REPORT_VIEW_H

#include <stdbool.h>

#include "analyze/model.h"
#include "report/group.h"
#include "report/page.h"

enum rft_view_id {
    RFT_VIEW_SUMMARY, /* the first is the default */
    RFT_VIEW_LEAKS,
    RFT_VIEW_CHURN,
    RFT_VIEW_TYPES,
    RFT_VIEW_SITES,
    RFT_VIEW_AGES,
    RFT_VIEW_HOLDERS,
    RFT_VIEW_RETAINED,
    RFT_VIEW_REFCOUNTS,
    RFT_VIEW_GARBAGE,
    RFT_VIEW_COUNT
};

/* What was asked for. */
struct rft_report {
    const struct rft_model *model;
    const struct page *page;
    const struct site_filter *filter;
    const char *filter_text; /* NULL: everything */
    const char *files;       /* the traces as the user named them, for further commands */
    enum group_by group_by;
    uint32_t top; /* rows of a table; 0: as many as the view likes to show */
    bool full_stacks;
};

struct rft_view {
    const char *name;
    const char *purpose; /* for --help */
    struct rft_error *(*write)(const struct rft_report *report);
};

extern const struct rft_view rft_views[RFT_VIEW_COUNT];

/* NULL if there is none of this name. */
const struct rft_view *rft_view_named(const char *name);

/* The report's first lines, the same in each view: which program, how long, how
 * much, and whether the counts are exact. */
void report_opening(const struct rft_report *report);

/* Whether the traces count nothing at all: the opening says why, tables would be empty. */
bool report_is_void(const struct rft_report *report);

/* How many rows to show: what the user wants, or else the view. */
uint32_t report_top(const struct rft_report *report, uint32_t usual);

/* "(3,200 more: --top 3210)" under a table that does not show everything. */
void report_rest(const struct rft_report *report, uint32_t shown, uint32_t all);

struct rft_error *view_summary(const struct rft_report *report);
struct rft_error *view_leaks(const struct rft_report *report);
struct rft_error *view_churn(const struct rft_report *report);
struct rft_error *view_types(const struct rft_report *report);
struct rft_error *view_sites(const struct rft_report *report);
struct rft_error *view_ages(const struct rft_report *report);
struct rft_error *view_holders(const struct rft_report *report);
struct rft_error *view_retained(const struct rft_report *report);
struct rft_error *view_refcounts(const struct rft_report *report);
struct rft_error *view_garbage(const struct rft_report *report);

#endif

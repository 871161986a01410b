/* The parts of a report that are about growth: used by the summary and by the
 * view `leaks`. */
#ifndef RFT_REPORT_GROWING_H
#define RFT_REPORT_GROWING_H

#include "report/view.h"

/* How much there is to tell: what grows, and what is still rising though ever
 * slower, after the filter. */
struct growing_counts {
    uint32_t growing, slowing;
    double objects_per_s, bytes_per_s; /* of all that grow, with what they hold */
};
struct growing_counts growing_count(const struct rft_report *report);

/* Writes "3 sites keep growing" or "Nothing keeps growing". */
void growing_verdict(const struct rft_report *report);

/* Writes the `limit` worst, each with at most `frames` lines of stack (0: all). */
void growing_list(const struct rft_report *report, uint32_t limit, unsigned frames);

/* What a kind of growth is called: in a word, and with what it usually is. */
const char *growth_word(enum rft_growth_kind kind);
const char *growth_reason(enum rft_growth_kind kind);

#endif

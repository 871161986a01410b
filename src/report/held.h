/* What the heap says, in lines that several views share. */
#ifndef RFT_REPORT_HELD_H
#define RFT_REPORT_HELD_H

#include "report/path.h"
#include "report/view.h"

/* How paths are written on this page. */
struct path_style held_style(const struct page *page);

/* Whether the report shows a group of sites. */
bool held_is_shown(const struct rft_report *report, const struct rft_held *held);

/* The numbers of the last look through each heap, and what is missing in it. False: there
 * was none, which it says, and how to get one. */
bool heap_opening(const struct rft_report *report);

/* "held by: 980 of 1,000 in app.bus._listeners[*]": a line for each of the most frequent
 * patterns, `limit` at most, and one for the rest. */
void held_by(const struct rft_report *report, const struct rft_held *held, unsigned indent,
             uint32_t limit);

/* The sentence on the refcounts of a group that is accused; false: it is not. */
bool held_accusation(struct rft_strbuf *to, const struct rft_report *report,
                     const struct rft_held *held);

/* Accusations of all groups that are shown, `limit` at most; how many there are. */
uint32_t held_accusations(const struct rft_report *report, uint32_t limit);
/* The same of those that are only suspected. */
uint32_t held_suspicions(const struct rft_report *report, uint32_t limit);

#endif

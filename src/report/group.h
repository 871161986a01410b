/* Sites summed up by what they have in common, and the choice of sites that a
 * report is about. */
#ifndef RFT_REPORT_GROUP_H
#define RFT_REPORT_GROUP_H

#include <stdbool.h>

#include "analyze/model.h"
#include "base/strbuf.h"
#include "report/page.h"

/* To add a grouping: a name here, its row in group.c's table, its key in
 * key_of() and its text in group_text() there. */
enum group_by {
    GROUP_DEFAULT, /* the view's own */
    GROUP_TYPE,
    GROUP_SITE,
    GROUP_STACK,
    GROUP_LINE,
    GROUP_FILE,
    GROUP_THREAD,
    GROUP_INTERPRETER,
    GROUP_COUNT
};

/* The grouping of this name; GROUP_DEFAULT if there is none. */
enum group_by group_named(const char *name);
/* All names, for messages: "type, site, ...". */
const char *group_names(void);
/* "Type", "Site": a column's heading. */
const char *group_heading(enum group_by by);

/* Deaths by age, in classes that fit a page; the model's buckets are finer. */
enum { AGE_CLASSES = 7 };
extern const char *const age_class_names[AGE_CLASSES]; /* "at once", "16 ms": less than that */
extern const int age_class_ends[AGE_CLASSES];          /* the first bucket that is too old for it */

struct group {
    uint32_t site;  /* the one with the most live bytes, or else births: stands for the group */
    uint32_t sites; /* how many */
    uint64_t births, deaths, live, live_bytes, dead_bytes, died_at_once;
    double objects_per_s, bytes_per_s; /* of its sites that keep growing */
    uint32_t growing;                  /* how many sites do */
    uint64_t ages[AGE_CLASSES];
};

struct group_list {
    struct group *groups; /* owned */
    uint32_t count;
    struct group all; /* sums over all groups */
};

/* Which sites match a text: their type, any frame of their stack or their thread
 * has it in it, whatever its case. */
struct site_filter {
    bool *matches;  /* by site; NULL: all do. Owned. */
    uint32_t count; /* how many match */
};

struct rft_error *site_filter_init(struct site_filter *filter, const struct rft_model *model,
                                   const char *text);
bool site_filter_matches(const struct site_filter *filter, uint32_t site);
void site_filter_deinit(struct site_filter *filter);

/* Sums up the matching sites.
 *
 * @param full_stacks GROUP_SITE and GROUP_STACK then tell complete stacks apart. Without, a
 * site is a type and a place (its own innermost frame and the foreign one that this led to),
 * whoever called it, and a stack ends in the program's own innermost frame. */
struct rft_error *group_sites(const struct rft_model *model, const struct site_filter *filter,
                              enum group_by by, bool full_stacks, struct group_list *ret);
void group_list_deinit(struct group_list *list);

enum group_order { ORDER_LIVE_BYTES, ORDER_BIRTHS, ORDER_AT_ONCE, ORDER_GROWTH, ORDER_DEATHS };
void group_sort(struct group_list *list, enum group_order order);

/* Appends what the group's sites have in common. */
void group_text(struct rft_strbuf *to, const struct page *page, const struct rft_model *model,
                enum group_by by, const struct group *group, bool full_stacks);

#endif

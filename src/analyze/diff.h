/* What a second model has more and less of than a first one. */
#ifndef RFT_ANALYZE_DIFF_H
#define RFT_ANALYZE_DIFF_H

#include "analyze/model.h"

struct rft_diff_counts {
    uint64_t births, deaths, live, live_bytes, died_at_once;
};

/* Sites are matched by type name and resolved stack, whatever the thread or
 * interpreter; if lines moved, by type, files and functions (`moved`). */
struct rft_diff_site {
    uint32_t a_site, b_site; /* a site of each model that stands for the row; RFT_NONE: absent */
    bool moved;              /* matched although a line number differs */
    struct rft_diff_counts a, b;
};

struct rft_diff_type {
    const char *name;
    struct rft_diff_counts a, b;
};

struct rft_diff {
    struct rft_diff_site *sites; /* by |difference of live bytes|, then of live, then of births */
    size_t site_count;
    struct rft_diff_type *types; /* same order */
    size_t type_count;
};

/* Both models must outlive the result.
 *
 * @param ret To be given to rft_diff_deinit(). */
struct rft_error *rft_diff_init(const struct rft_model *a, const struct rft_model *b,
                                struct rft_diff *ret);
void rft_diff_deinit(struct rft_diff *diff);

#endif

/* Between the two halves of the search for growth: accused groups of sites, before
 * and after they are put together. */
#ifndef RFT_ANALYZE_GROWING_H
#define RFT_ANALYZE_GROWING_H

#include "analyze/profile.h"
#include "analyze/store.h"

/* Sites of one type and place that grow. */
struct rft_accused {
    uint32_t *members; /* in the model's arena; the one to look at first */
    uint32_t member_count;
    uint32_t process;         /* where it grows most */
    struct rft_growth growth; /* in model time */
    /* Share of the growth that had happened by the end of each window of that
     * process's run. */
    double reached[RFT_WINDOWS];
};

/* growing.c: all of them. `ret` is to be freed. */
typedef RFT_VEC(struct rft_accused) rft_accused_list;

/* kin.c: who belongs together, who comes first. Fills model->store->growing. */
struct rft_error *rft_growing_arrange(struct rft_model *model, const rft_accused_list *accused);

#endif

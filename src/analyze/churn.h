/* Churn: where objects are born only to die at once. */
#ifndef RFT_ANALYZE_CHURN_H
#define RFT_ANALYZE_CHURN_H

#include "analyze/model.h"

enum rft_churn_order {
    RFT_CHURN_BY_COUNT, /* most deaths at once */
    RFT_CHURN_BY_BYTES, /* most bytes of the dead at once, estimated from the mean of the dead */
};

struct rft_churn_row {
    uint32_t site;
    uint64_t died_at_once;
    uint64_t bytes; /* died_at_once times the mean size of the site's dead */
    double per_s;   /* deaths at once per second of the run */
    double share;   /* of all deaths at once of the program, 0..1 */
};

/* All sites with deaths at once, worst first.
 *
 * @param ret Array to free() by the caller; NULL if there are none. */
struct rft_error *rft_churn(const struct rft_model *model, enum rft_churn_order order,
                            struct rft_churn_row **ret, size_t *ret_count);

#endif

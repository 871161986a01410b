/* From a profile to a verdict. The method is in docs/VERDICT.md. */
#ifndef RFT_ANALYZE_GROWTH_H
#define RFT_ANALYZE_GROWTH_H

#include "analyze/profile.h"

/* `grown` and rates are filled, `grown_bytes` and `bytes_per_s` from the mean size
 * of a living object. Times are the process's. */
struct rft_growth rft_growth_judge(const struct rft_profile *profile, double object_bytes);

/* Whether a site with this peak can be accused at all; spares the work for the
 * many that cannot. */
bool rft_growth_possible(double peak_live, double object_bytes);

#endif

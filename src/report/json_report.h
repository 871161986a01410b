/* Reports for programs. docs/JSON-SCHEMA.md documents every key. */
#ifndef RFT_REPORT_JSON_REPORT_H
#define RFT_REPORT_JSON_REPORT_H

#include <stdio.h>

#include "analyze/diff.h"
#include "analyze/model.h"
#include "base/json.h"
#include "report/group.h"

/* Raised when a key changes its meaning or goes; new keys don't raise it. */
#define JSON_REPORT_SCHEMA "reftracer-report/1"
#define JSON_DIFF_SCHEMA "reftracer-diff/1"

/* Writes everything the model knows, site by site as it goes along.
 *
 * @param top At most so many sites; 0: all. */
void json_report(FILE *to, const struct rft_model *model, const struct site_filter *filter,
                 uint32_t top);

void json_diff(FILE *to, const struct rft_model *a, const struct rft_model *b,
               const struct rft_diff *diff, uint32_t top);

/* Parts that both share. */
void json_program(struct rft_json *json, const struct rft_process *process);
void json_totals(struct rft_json *json, const struct rft_totals *totals);
void json_exactness(struct rft_json *json, const struct rft_model *model);
void json_stack(struct rft_json *json, const struct rft_model *model, uint32_t node);
const char *json_growth_name(enum rft_growth_kind kind);

#endif

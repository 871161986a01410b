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

/* Each site repeats its stack. Deep recursion with sites at each level would make
 * gigabytes of that, hence two bounds, unless the user sets one: frames of a stack, and
 * frames of all, after which a stack has JSON_STACK_LATER. What is cut is told by
 * `stack_depth`. */
enum {
    JSON_STACK_USUAL = 1000,
    JSON_STACK_LATER = 100,
    JSON_FRAMES_USUAL = 4000000,
};

struct json_stacks {
    uint32_t limit;   /* frames of a stack, at most; 0: JSON_STACK_USUAL, later fewer */
    bool shared;      /* a stack is a number: its place in `stacks`, which come last */
    uint64_t written; /* frames so far */
};

/* Writes everything the model knows, site by site as it goes along.
 *
 * @param top At most so many sites; 0: all.
 * @param stacks How stacks are written; nothing is written so far. */
void json_report(FILE *to, const struct rft_model *model, const struct site_filter *filter,
                 uint32_t top, struct json_stacks stacks);

void json_diff(FILE *to, const struct rft_model *a, const struct rft_model *b,
               const struct rft_diff *diff, uint32_t top, uint32_t stack_limit);

/* Parts that both share. */
void json_program(struct rft_json *json, const struct rft_process *process);
void json_totals(struct rft_json *json, const struct rft_totals *totals);
void json_exactness(struct rft_json *json, const struct rft_model *model);
void json_stack(struct rft_json *json, const struct rft_model *model, struct json_stacks *stacks,
                uint32_t node);
/* json_heap.c: the key `heap`; null if nobody looked through it. */
void json_heap(struct rft_json *json, const struct rft_model *model, struct json_stacks *stacks,
               const struct site_filter *filter);
/* Keys of what the heap says of some sites' objects: who holds them, what they retain. `held` is a
 * number in model->held, or RFT_NONE: nothing. */
void json_held(struct rft_json *json, const struct rft_model *model, uint32_t held);
const char *json_growth_name(enum rft_growth_kind kind);

#endif

#include "report/json_report.h"

static void write_counts(struct rft_json *json, const char *key,
                         const struct rft_diff_counts *counts)
{
    rft_json_key(json, key);
    rft_json_object_begin(json);
    rft_json_key(json, "births");
    rft_json_uint(json, counts->births);
    rft_json_key(json, "deaths");
    rft_json_uint(json, counts->deaths);
    rft_json_key(json, "live");
    rft_json_uint(json, counts->live);
    rft_json_key(json, "live_bytes");
    rft_json_uint(json, counts->live_bytes);
    rft_json_key(json, "died_at_once");
    rft_json_uint(json, counts->died_at_once);
    rft_json_object_end(json);
}

static void write_side(struct rft_json *json, const char *key, const struct rft_model *model)
{
    rft_json_key(json, key);
    rft_json_object_begin(json);
    rft_json_key(json, "program");
    json_program(json, &model->processes[0]);
    json_exactness(json, model);
    rft_json_key(json, "totals");
    json_totals(json, &model->totals);
    rft_json_object_end(json);
}

/* The verdict on a site, or null where the site does not exist. */
static void write_growth(struct rft_json *json, const char *key, const struct rft_model *model,
                         uint32_t site)
{
    rft_json_key(json, key);
    rft_json_string(json,
                    site != RFT_NONE ? json_growth_name(model->sites[site].growth.kind) : NULL);
}

static void write_site(struct rft_json *json, const struct rft_model *a, const struct rft_model *b,
                       struct json_stacks *stacks, const struct rft_diff_site *row)
{
    const struct rft_model *model = row->b_site != RFT_NONE ? b : a;
    const struct rft_site *site =
        &model->sites[row->b_site != RFT_NONE ? row->b_site : row->a_site];
    rft_json_line(json);
    rft_json_object_begin(json);
    rft_json_key(json, "type");
    rft_json_string(json, model->types[site->type].name);
    json_stack(json, model, stacks, site->stack);
    rft_json_key(json, "moved");
    rft_json_bool(json, row->moved);
    write_counts(json, "a", &row->a);
    write_counts(json, "b", &row->b);
    write_growth(json, "a_growth", a, row->a_site);
    write_growth(json, "b_growth", b, row->b_site);
    rft_json_object_end(json);
}

void json_diff(FILE *to, const struct rft_model *a, const struct rft_model *b,
               const struct rft_diff *diff, uint32_t top, uint32_t stack_limit)
{
    struct rft_json json;
    struct json_stacks stacks = {.limit = stack_limit};
    rft_json_init(&json, to, 0);
    rft_json_object_begin(&json);
    rft_json_key(&json, "schema");
    rft_json_string(&json, JSON_DIFF_SCHEMA);
    write_side(&json, "a", a);
    write_side(&json, "b", b);
    rft_json_key(&json, "types");
    rft_json_array_begin(&json);
    for (size_t i = 0; i < diff->type_count && (top == 0 || i < top); i++) {
        rft_json_object_begin(&json);
        rft_json_key(&json, "type");
        rft_json_string(&json, diff->types[i].name);
        write_counts(&json, "a", &diff->types[i].a);
        write_counts(&json, "b", &diff->types[i].b);
        rft_json_object_end(&json);
    }
    rft_json_array_end(&json);
    rft_json_key(&json, "sites");
    rft_json_array_begin(&json);
    for (size_t i = 0; i < diff->site_count && (top == 0 || i < top); i++)
        write_site(&json, a, b, &stacks, &diff->sites[i]);
    rft_json_array_end(&json);
    rft_json_object_end(&json);
    fputc('\n', to);
}

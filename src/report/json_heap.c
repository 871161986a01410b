/* What the heap says, for programs. docs/JSON-SCHEMA.md documents every key. */
#include "report/json_members.h"
#include "report/json_report.h"
#include "report/path.h"

#include "base/strbuf.h"

static const struct path_style style = {.arrow = "→", .whole = true};

static void write_steps(struct rft_json *json, const struct rft_path *path)
{
    rft_json_key(json, "steps");
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < path->count; i++) {
        const struct rft_step *step = &path->steps[i];
        rft_json_object_begin(json);
        member_string(json, "kind", path_kind_name(step->kind));
        member_string(json, "type", step->type);
        member_string(json, "label", step->label);
        member_string(json, "detail", step->detail);
        rft_json_key(json, "index");
        if (step->index == RFT_NEVER)
            rft_json_null(json);
        else
            rft_json_uint(json, step->index);
        member_uint(json, "repeats", step->repeats);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

static void write_path(struct rft_json *json, const struct rft_path *path, bool cycle)
{
    struct rft_strbuf text = {0};
    if (cycle)
        path_cycle(&text, path, style);
    else
        path_text(&text, path, style);
    member_string(json, "path", text.failed ? NULL : rft_strbuf_text(&text));
    rft_strbuf_deinit(&text);
    write_steps(json, path);
}

static void write_refcounts(struct rft_json *json, const struct rft_refcounts *refcounts)
{
    rft_json_object_begin(json);
    member_uint(json, "audited", refcounts->audited);
    rft_json_key(json, "surpluses");
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < refcounts->pair_count; i++) {
        rft_json_object_begin(json);
        rft_json_key(json, "surplus");
        rft_json_int(json, refcounts->pairs[i].surplus);
        member_uint(json, "objects", refcounts->pairs[i].objects);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
    member_uint(json, "surplus_objects", refcounts->surplus_objects);
    member_uint(json, "surplus_references", refcounts->surplus_references);
    member_uint(json, "missing_objects", refcounts->missing_objects);
    member_uint(json, "missing_references", refcounts->missing_references);
    member_uint(json, "looks", refcounts->looks);
    member_bool(json, "leaked", refcounts->leaked);
    member_bool(json, "suspected", refcounts->suspected);
    member_bool(json, "piled", refcounts->piled);
    member_bool(json, "too_few", refcounts->too_few);
    rft_json_object_end(json);
}

void json_held(struct rft_json *json, const struct rft_model *model, uint32_t number)
{
    static const struct rft_held nothing;
    const struct rft_held *held = number != RFT_NONE ? &model->held[number] : &nothing;
    rft_json_key(json, "retained_bytes");
    if (number != RFT_NONE)
        rft_json_uint(json, held->retained_bytes);
    else
        rft_json_null(json);
    member_uint(json, "heap_objects", held->objects);
    member_uint(json, "sampled", held->sampled);
    member_uint(json, "unreachable", held->unreachable);
    rft_json_key(json, "holders");
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < held->pattern_count; i++) {
        rft_json_object_begin(json);
        member_uint(json, "objects", held->patterns[i].objects);
        write_path(json, &held->patterns[i].path, false);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
    rft_json_key(json, "refcounts");
    if (held->refcounts.audited > 0)
        write_refcounts(json, &held->refcounts);
    else
        rft_json_null(json);
    rft_json_key(json, "garbage");
    rft_json_object_begin(json);
    member_uint(json, "objects", held->garbage_objects);
    member_uint(json, "bytes", held->garbage_bytes);
    rft_json_object_end(json);
}

static const char *heap_kind(uint32_t kind)
{
    return kind == RFT_HEAP_EXIT ? "exit" : kind == RFT_HEAP_REQUEST ? "request" : NULL;
}

static void write_looks(struct rft_json *json, const struct rft_model *model)
{
    rft_json_key(json, "looks");
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < model->heap_count; i++) {
        const struct rft_heap *heap = &model->heaps[i];
        rft_json_object_begin(json);
        member_seconds(json, "time", heap->time_ms);
        member_string(json, "kind", heap_kind(heap->kind));
        member_string(json, "label", heap->label);
        member_uint(json, "pid", model->processes[heap->process].pid);
        rft_json_key(json, "interpreter");
        if (heap->interpreter != RFT_NONE)
            rft_json_uint(json, model->interpreters[heap->interpreter].number);
        else
            rft_json_null(json);
        member_bool(json, "last", heap->last);
        member_bool(json, "refused", heap->flags & RFT_HEAP_REFUSED);
        member_bool(json, "cut_memory", heap->flags & RFT_HEAP_CUT_MEMORY);
        member_bool(json, "cut_time", heap->flags & RFT_HEAP_CUT_TIME);
        member_bool(json, "has_retained",
                    !(heap->flags & (RFT_HEAP_NO_RETAINED | RFT_HEAP_REFUSED)));
        member_bool(json, "has_refcounts",
                    !(heap->flags & (RFT_HEAP_NO_REFCOUNTS | RFT_HEAP_REFUSED)));
        member_bool(json, "has_garbage", !(heap->flags & (RFT_HEAP_NO_GARBAGE | RFT_HEAP_REFUSED)));
        member_uint(json, "objects", heap->objects);
        member_uint(json, "references", heap->references);
        member_uint(json, "bytes", heap->bytes);
        member_seconds(json, "pause", heap->pause_ms);
        member_uint(json, "garbage_objects", heap->garbage_objects);
        member_uint(json, "garbage_bytes", heap->garbage_bytes);
        rft_json_key(json, "collector");
        if (heap->collector_time != RFT_COLLECTOR_NOT_KNOWN)
            rft_json_double(json, (double)heap->collector_ms / 1000);
        else
            rft_json_null(json);
        member_bool(json, "collector_sampled", heap->collector_time == RFT_COLLECTOR_SAMPLED);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

static void write_site_or_null(struct rft_json *json, const struct rft_model *model,
                               struct json_stacks *stacks, uint32_t site)
{
    if (site != RFT_NONE) {
        json_stack(json, model, stacks, model->sites[site].stack);
        return;
    }
    rft_json_key(json, "stack_depth");
    rft_json_null(json);
    rft_json_key(json, "stack");
    rft_json_null(json);
}

static void write_cycles(struct rft_json *json, const struct rft_model *model,
                         struct json_stacks *stacks)
{
    rft_json_key(json, "cycles");
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < model->cycle_count; i++) {
        const struct rft_cycle *cycle = &model->cycles[i];
        rft_json_object_begin(json);
        member_uint(json, "cycles", cycle->cycles);
        member_uint(json, "objects", cycle->objects);
        write_path(json, &cycle->path, true);
        write_site_or_null(json, model, stacks, cycle->site);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

static void write_retainers(struct rft_json *json, const struct rft_model *model,
                            struct json_stacks *stacks)
{
    rft_json_key(json, "retainers");
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < model->retainer_count; i++) {
        const struct rft_retainer *retainer = &model->retainers[i];
        rft_json_object_begin(json);
        member_string(json, "type", retainer->type);
        member_uint(json, "pid", model->processes[retainer->process].pid);
        member_uint(json, "bytes", retainer->bytes);
        member_uint(json, "retained_bytes", retainer->retained_bytes);
        member_uint(json, "retained_objects", retainer->retained_objects);
        write_path(json, &retainer->path, false);
        write_site_or_null(json, model, stacks, retainer->site);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

static void write_places(struct rft_json *json, const struct rft_model *model,
                         struct json_stacks *stacks, const struct site_filter *filter)
{
    rft_json_key(json, "places");
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < model->held_count; i++) {
        const struct rft_held *held = &model->held[i];
        bool matches = false;
        for (uint32_t k = 0; k < held->member_count && !matches; k++)
            matches = site_filter_matches(filter, held->members[k]);
        if (!matches)
            continue;
        rft_json_line(json);
        rft_json_object_begin(json);
        member_string(json, "type", model->types[model->sites[held->site].type].name);
        json_stack(json, model, stacks, model->sites[held->site].stack);
        member_uint(json, "sites", held->member_count);
        member_bool(json, "growing", held->growing != RFT_NONE);
        json_held(json, model, i);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

void json_heap(struct rft_json *json, const struct rft_model *model, struct json_stacks *stacks,
               const struct site_filter *filter)
{
    rft_json_key(json, "heap");
    if (model->heap_count == 0) {
        rft_json_null(json);
        return;
    }
    rft_json_object_begin(json);
    write_looks(json, model);
    write_places(json, model, stacks, filter);
    write_cycles(json, model, stacks);
    write_retainers(json, model, stacks);
    rft_json_object_end(json);
}

#include "report/json_report.h"

#include <time.h>

#include "report/json_marks.h"
#include "report/json_members.h"

/* UTC, with milliseconds: "2026-11-23T23:00:03.120Z"; null if not known. */
static void member_moment(struct rft_json *json, const char *key, uint64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000u);
    struct tm utc;
    char text[64];
    char moment[80];
    rft_json_key(json, key);
    if (ns == 0 || gmtime_r(&seconds, &utc) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc) == 0) {
        rft_json_null(json);
        return;
    }
    snprintf(moment, sizeof moment, "%s.%03uZ", text, (unsigned)(ns / 1000000 % 1000));
    rft_json_string(json, moment);
}

const char *json_growth_name(enum rft_growth_kind kind)
{
    switch (kind) {
    case RFT_GROWTH_STARTUP:
        return "startup";
    case RFT_GROWTH_STEP:
        return "step";
    case RFT_GROWTH_SATURATED:
        return "saturated";
    case RFT_GROWTH_CYCLIC:
        return "cyclic";
    case RFT_GROWTH_TURNOVER:
        return "turnover";
    case RFT_GROWTH_SLOWING:
        return "slowing";
    case RFT_GROWTH_GROWING:
        return "growing";
    case RFT_GROWTH_NONE:
        break;
    }
    return "none";
}

static const char *end_name(const struct rft_process *process)
{
    if (!process->ended)
        return NULL;
    switch (process->end_reason) {
    case RFT_END_EXIT:
        return "exit";
    case RFT_END_OS_EXIT:
        return "os._exit";
    case RFT_END_EXEC:
        return "exec";
    case RFT_END_STOPPED:
        return "stopped";
    case RFT_END_ASKED:
        return "asked";
    default:
        return "other";
    }
}

void json_program(struct rft_json *json, const struct rft_process *process)
{
    rft_json_object_begin(json);
    rft_json_key(json, "command");
    rft_json_array_begin(json);
    for (size_t i = 0; i < process->argument_count; i++)
        rft_json_string(json, process->arguments[i]);
    rft_json_array_end(json);
    member_string(json, "python", process->python_version);
    member_uint(json, "pid", process->pid);
    member_moment(json, "start", process->start_ns);
    member_seconds(json, "duration", process->duration_ms);
    member_string(json, "trace", process->path);
    member_uint(json, "trace_bytes", process->file_bytes);
    member_string(json, "executable", process->executable);
    member_string(json, "directory", process->directory);
    member_string(json, "python_full", process->version_text);
    member_string(json, "agent", process->agent_version);
    member_bool(json, "free_threaded", process->free_threaded);
    member_bool(json, "debug_build", process->debug_build);
    member_bool(json, "forked", process->forked);
    member_uint(json, "parent_pid", process->parent_pid);
    member_seconds(json, "tick", process->tick_ms);
    member_string(json, "end", end_name(process));
    member_uint(json, "births", process->births);
    member_uint(json, "deaths", process->deaths);
    member_uint(json, "live", process->live);
    member_uint(json, "live_bytes", process->live_bytes);
    member_uint(json, "peak_live", process->peak_live);
    rft_json_object_end(json);
}

void json_totals(struct rft_json *json, const struct rft_totals *totals)
{
    rft_json_object_begin(json);
    member_uint(json, "births", totals->births);
    member_uint(json, "deaths", totals->deaths);
    member_uint(json, "live", totals->live);
    member_uint(json, "live_bytes", totals->live_bytes);
    member_uint(json, "live_ended", totals->live_ended);
    member_bool(json, "live_bytes_estimated", totals->live_bytes_estimated);
    member_uint(json, "dead_bytes", totals->dead_bytes);
    member_uint(json, "died_at_once", totals->died_at_once);
    member_uint(json, "peak_live", totals->peak_live);
    member_seconds(json, "peak_at", totals->peak_ms);
    rft_json_object_end(json);
}

void json_exactness(struct rft_json *json, const struct rft_model *model)
{
    member_bool(json, "exact", model->exact);
    rft_json_key(json, "exact_reasons");
    rft_json_array_begin(json);
    for (size_t i = 0; i < model->reason_count; i++)
        rft_json_string(json, model->reasons[i].text);
    rft_json_array_end(json);
    rft_json_key(json, "warnings");
    rft_json_array_begin(json);
    for (size_t i = 0; i < model->warning_count; i++)
        rft_json_string(json, model->warnings[i]);
    rft_json_array_end(json);
}

static void write_losses(struct rft_json *json, const struct rft_losses *losses)
{
    rft_json_object_begin(json);
    member_uint(json, "unseen_births", losses->unseen_births);
    member_uint(json, "inferred_deaths", losses->inferred_deaths);
    rft_json_key(json, "slot_gaps");
    rft_json_object_begin(json);
    member_uint(json, "count", losses->slot_gaps);
    member_seconds(json, "seconds", losses->slot_gap_ms);
    rft_json_object_end(json);
    /* The tracer counts them twice, at ticks and in a closing record: either can be lost. */
    member_uint(json, "dropped_records",
                losses->dropped_births > losses->dropped_records ? losses->dropped_births
                                                                 : losses->dropped_records);
    member_uint(json, "stale", losses->stale);
    member_uint(json, "truncated_stacks", losses->truncated_stacks);
    member_uint(json, "late_censuses", losses->late_censuses);
    member_uint(json, "stopped",
                losses->stopped > losses->stopped_early ? losses->stopped : losses->stopped_early);
    member_uint(json, "no_end", losses->no_end);
    member_uint(json, "unequal_ends", losses->unequal_ends);
    member_uint(json, "bad_chunks", losses->bad_chunks);
    member_uint(json, "lost_chunks", losses->lost_chunks);
    member_uint(json, "skipped_bytes", losses->skipped_bytes);
    member_uint(json, "unexplained", losses->unexplained);
    rft_json_object_end(json);
}

static uint32_t stack_limit(const struct json_stacks *stacks)
{
    if (stacks->limit)
        return stacks->limit;
    return stacks->written < JSON_FRAMES_USUAL ? JSON_STACK_USUAL : JSON_STACK_LATER;
}

static void write_frame(struct rft_json *json, const struct rft_frame *frame)
{
    rft_json_object_begin(json);
    member_string(json, "file", frame->file);
    rft_json_key(json, "line");
    if (frame->line > 0)
        rft_json_uint(json, frame->line);
    else
        rft_json_null(json);
    member_string(json, "function", frame->function);
    rft_json_object_end(json);
}

void json_stack(struct rft_json *json, const struct rft_model *model, struct json_stacks *stacks,
                uint32_t node)
{
    const uint32_t depth = model->stacks[node].depth, limit = stack_limit(stacks);
    member_uint(json, "stack_depth", depth);
    if (stacks->shared) {
        member_uint(json, "stack", node);
        return;
    }
    rft_json_key(json, "stack");
    rft_json_array_begin(json);
    for (uint32_t i = 0; node != 0 && i < limit; i++, node = model->stacks[node].parent) {
        write_frame(json, rft_model_frame(model, node));
        stacks->written++;
    }
    rft_json_array_end(json);
}

/* What the numbers of shared stacks stand for. */
static void write_shared_stacks(struct rft_json *json, const struct rft_model *model)
{
    rft_json_key(json, "frames");
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < model->frame_count; i++) {
        rft_json_line(json);
        write_frame(json, &model->frames[i]);
    }
    rft_json_array_end(json);
    rft_json_key(json, "stacks");
    rft_json_array_begin(json);
    rft_json_null(json);
    for (uint32_t node = 1; node < model->stack_count; node++) {
        rft_json_array_begin(json);
        rft_json_uint(json, model->stacks[node].frame);
        rft_json_uint(json, model->stacks[node].parent);
        rft_json_array_end(json);
    }
    rft_json_array_end(json);
}

/* Deaths by age; empty buckets are left out. */
static void write_ages(struct rft_json *json, const uint64_t *ages)
{
    rft_json_key(json, "ages");
    rft_json_array_begin(json);
    for (int bucket = 0; bucket < RFT_AGE_BUCKETS; bucket++) {
        if (ages[bucket] == 0)
            continue;
        rft_json_object_begin(json);
        member_double(json, "from", bucket == 0 ? 0 : (double)(UINT64_C(1) << (bucket - 1)) / 1000);
        rft_json_key(json, "to");
        if (bucket < RFT_AGE_BUCKETS - 1)
            rft_json_double(json, (double)(UINT64_C(1) << bucket) / 1000);
        else
            rft_json_null(json);
        member_uint(json, "deaths", ages[bucket]);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

/* The members of a site, without the braces. */
static void write_site_members(struct rft_json *json, const struct rft_model *model,
                               struct json_stacks *stacks, uint32_t index)
{
    const struct rft_site *site = &model->sites[index];
    member_string(json, "type", model->types[site->type].name);
    json_stack(json, model, stacks, site->stack);
    rft_json_key(json, "thread");
    rft_json_string(json, site->thread != RFT_NONE ? model->threads[site->thread].name : NULL);
    rft_json_key(json, "interpreter");
    if (site->interpreter != RFT_NONE)
        rft_json_uint(json, model->interpreters[site->interpreter].number);
    else
        rft_json_null(json);
    member_uint(json, "births", site->births);
    member_uint(json, "deaths", site->deaths);
    member_uint(json, "live", site->live);
    member_uint(json, "live_bytes", site->live_bytes);
    member_bool(json, "live_bytes_estimated", site->live_bytes_estimated);
    member_uint(json, "dead_bytes", site->dead_bytes);
    member_uint(json, "died_at_once", site->died_at_once);
    member_uint(json, "peak_live", site->peak_live);
    member_string(json, "growth", json_growth_name(site->growth.kind));
    write_ages(json, site->ages);
}

static void write_growing(struct rft_json *json, const struct rft_model *model,
                          struct json_stacks *stacks, const struct rft_growing *growing)
{
    const struct rft_growth *growth = &growing->growth;
    rft_json_line(json);
    rft_json_object_begin(json);
    member_double(json, "objects_per_second", growth->objects_per_s);
    member_double(json, "bytes_per_second", growth->bytes_per_s);
    member_double(json, "total_bytes_per_second", growing->total_bytes_per_s);
    member_seconds(json, "since", growth->since_ms);
    member_double(json, "never_die_share", growth->stays);
    member_uint(json, "grown", growth->grown);
    member_uint(json, "grown_bytes", growth->grown_bytes);
    member_bool(json, "slowing", growing->slowing);
    member_uint(json, "sites", growing->member_count);
    json_held(json, model, growing->held);
    rft_json_key(json, "companions");
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < growing->companion_count; i++) {
        const struct rft_site *site = &model->sites[growing->companions[i]];
        rft_json_object_begin(json);
        member_string(json, "type", model->types[site->type].name);
        member_double(json, "objects_per_second", site->growth.objects_per_s);
        member_double(json, "bytes_per_second", site->growth.bytes_per_s);
        json_stack(json, model, stacks, site->stack);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
    write_site_members(json, model, stacks, growing->site);
    rft_json_object_end(json);
}

/* `slowing` sites may be caches that still fill: they are no verdict, and have
 * a list of their own. */
static void write_growing_list(struct rft_json *json, const char *key,
                               const struct rft_model *model, struct json_stacks *stacks,
                               const struct site_filter *filter, bool slowing)
{
    rft_json_key(json, key);
    rft_json_array_begin(json);
    for (uint32_t i = 0; i < model->growing_count; i++)
        if (model->growing[i].slowing == slowing &&
            site_filter_matches(filter, model->growing[i].site))
            write_growing(json, model, stacks, &model->growing[i]);
    rft_json_array_end(json);
}

static void write_timeline(struct rft_json *json, const struct rft_model *model)
{
    rft_json_key(json, "timeline");
    rft_json_array_begin(json);
    for (size_t i = 0; i < model->timeline_count; i++) {
        const struct rft_timeline_point *point = &model->timeline[i];
        rft_json_object_begin(json);
        member_seconds(json, "time", point->time_ms);
        member_uint(json, "births", point->births);
        member_uint(json, "deaths", point->deaths);
        member_uint(json, "live", point->live);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

void json_report(FILE *to, const struct rft_model *model, const struct site_filter *filter,
                 uint32_t top, struct json_stacks stacks)
{
    struct rft_json json;
    struct json_marks marks;
    json_marks_init(&marks, model);
    rft_json_init(&json, to, 0);
    rft_json_object_begin(&json);
    member_string(&json, "schema", JSON_REPORT_SCHEMA);
    rft_json_key(&json, "program");
    json_program(&json, &model->processes[0]);
    rft_json_key(&json, "programs");
    rft_json_array_begin(&json);
    for (uint32_t i = 0; i < model->process_count; i++)
        json_program(&json, &model->processes[i]);
    rft_json_array_end(&json);
    json_exactness(&json, model);
    rft_json_key(&json, "losses");
    write_losses(&json, &model->losses);
    rft_json_key(&json, "totals");
    json_totals(&json, &model->totals);
    write_growing_list(&json, "growing", model, &stacks, filter, false);
    write_growing_list(&json, "slowing", model, &stacks, filter, true);
    write_timeline(&json, model);
    json_heap(&json, model, &stacks, filter);
    json_marks_write(&json, model);
    rft_json_key(&json, "sites");
    rft_json_array_begin(&json);
    uint32_t written = 0;
    for (uint32_t i = 0; i < model->site_count && (top == 0 || written < top); i++) {
        if (!site_filter_matches(filter, i))
            continue;
        rft_json_line(&json);
        rft_json_object_begin(&json);
        write_site_members(&json, model, &stacks, i);
        json_marks_of_site(&json, model, &marks, &model->sites[i]);
        rft_json_object_end(&json);
        written++;
    }
    rft_json_array_end(&json);
    if (stacks.shared)
        write_shared_stacks(&json, model);
    rft_json_object_end(&json);
    fputc('\n', to);
    json_marks_deinit(&marks);
}

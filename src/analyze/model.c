#include <stdlib.h>
#include <sys/stat.h>

#include "analyze/store.h"

struct rft_error *rft_curve_begin(const struct rft_model *model, uint32_t site,
                                  struct rft_curve_cursor *ret)
{
    rft_curve_points points = {0};
    if (site >= model->site_count)
        return rft_error_format(RFT_ERROR_ARGUMENT, "there is no site %u in the model", site);
    const struct rft_site *known = &model->sites[site];
    for (uint32_t i = 0; i < known->part_count; i++) {
        const struct rft_site_part *part = &model->parts[known->first_part + i];
        if (!rft_curve_points_of(part->curve, model->processes[part->process].offset_ms, &points)) {
            rft_vec_free(&points);
            return rft_error_no_memory();
        }
    }
    rft_curve_sort(&points);
    struct rft_curve_step *steps = malloc((points.count + 1) * sizeof(*steps));
    if (!steps) {
        rft_vec_free(&points);
        return rft_error_no_memory();
    }
    int64_t live = 0;
    for (size_t i = 0; i < points.count; i++) {
        const struct rft_curve_point *point = &points.items[i];
        live += (int64_t)point->births - point->deaths;
        steps[i] = (struct rft_curve_step){
            .time_ms = point->time_ms,
            .births = point->births,
            .deaths = point->deaths > 0 ? (uint64_t)point->deaths : 0,
            .live = live > 0 ? (uint64_t)live : 0,
        };
    }
    *ret = (struct rft_curve_cursor){steps, points.count, 0};
    rft_vec_free(&points);
    return NULL;
}

bool rft_curve_next(struct rft_curve_cursor *cursor, struct rft_curve_step *ret)
{
    if (cursor->at >= cursor->count)
        return false;
    *ret = cursor->steps[cursor->at++];
    return true;
}

void rft_curve_end(struct rft_curve_cursor *cursor)
{
    free(cursor->steps);
    *cursor = (struct rft_curve_cursor){0};
}

const struct rft_frame *rft_model_frame(const struct rft_model *model, uint32_t node)
{
    static const struct rft_frame empty = {
        .file = "", .function = "", .origin = RFT_ORIGIN_GENERATED};
    uint32_t frame = node < model->stack_count ? model->stacks[node].frame : RFT_NONE;
    return frame < model->frame_count ? &model->frames[frame] : &empty;
}

uint32_t rft_model_own_node(const struct rft_model *model, uint32_t node)
{
    uint32_t package = 0;
    for (uint32_t at = node; at; at = model->stacks[at].parent) {
        enum rft_origin origin = rft_model_frame(model, at)->origin;
        if (origin == RFT_ORIGIN_OWN)
            return at;
        if (origin == RFT_ORIGIN_PACKAGE && !package)
            package = at;
    }
    return package ? package : node;
}

static struct rft_error *read_file(struct rft_model *model, const char *path,
                                   struct rft_intake *intake)
{
    struct rft_trace_visitor visitor;
    struct rft_trace *trace;
    rft_intake_visitor(intake, &visitor);
    struct rft_error *error = rft_trace_read(path, &visitor, &trace);
    if (error)
        return error;
    error = rft_intake_finish(intake);
    if (!error && !rft_pauses_take_looks(intake, trace))
        error = rft_error_no_memory();
    if (!error)
        error = rft_names_take(intake, trace);
    if (!error)
        error = rft_merge(model, path, trace, intake);
    rft_trace_destroy(trace);
    return error;
}

static uint64_t size_of(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && status.st_size > 0 ? (uint64_t)status.st_size : 0;
}

static struct rft_error *read_files(struct rft_model *model, const char *const *paths,
                                    size_t path_count, rft_progress_fn *progress,
                                    void *progress_data)
{
    struct rft_model_store *store = model->store;
    if (!rft_vec_push(&store->stacks, ((struct rft_stack_node){0, RFT_NONE, 0})))
        return rft_error_no_memory();
    uint64_t total = 0, done = 0;
    for (size_t i = 0; i < path_count; i++)
        total += size_of(paths[i]);
    for (size_t i = 0; i < path_count; i++) {
        struct rft_intake intake = {
            .store = store,
            .progress = progress,
            .progress_data = progress_data,
            .done_before = done,
            .total = total,
        };
        struct rft_error *error = read_file(model, paths[i], &intake);
        rft_intake_deinit(&intake);
        if (error)
            return error;
        done += store->processes.items[i].file_bytes;
    }
    return rft_build(model);
}

struct rft_error *rft_model_read(const char *const *paths, size_t path_count,
                                 rft_progress_fn *progress, void *progress_data,
                                 struct rft_model **ret)
{
    if (!path_count)
        return rft_error_format(RFT_ERROR_ARGUMENT, "no trace was named");
    struct rft_model *model = calloc(1, sizeof(*model));
    if (model)
        model->store = calloc(1, sizeof(*model->store));
    struct rft_error *error = model && model->store
                                  ? read_files(model, paths, path_count, progress, progress_data)
                                  : rft_error_no_memory();
    if (error) {
        rft_model_destroy(model);
        return error;
    }
    *ret = model;
    return NULL;
}

void rft_model_destroy(struct rft_model *model)
{
    if (!model)
        return;
    struct rft_model_store *store = model->store;
    if (store) {
        rft_vec_free(&store->texts);
        rft_index_deinit(&store->text_index);
        rft_index_deinit(&store->frame_index);
        rft_index_deinit(&store->stack_index);
        rft_index_deinit(&store->type_index);
        rft_index_deinit(&store->thread_index);
        rft_index_deinit(&store->interpreter_index);
        rft_index_deinit(&store->site_index);
        rft_strbuf_deinit(&store->scratch);
        rft_vec_free(&store->processes);
        rft_vec_free(&store->threads);
        rft_vec_free(&store->interpreters);
        rft_vec_free(&store->types);
        rft_vec_free(&store->frames);
        rft_vec_free(&store->stacks);
        rft_vec_free(&store->sites);
        rft_vec_free(&store->parts);
        rft_vec_free(&store->growing);
        rft_vec_free(&store->timeline);
        rft_vec_free(&store->losses);
        rft_vec_free(&store->marks);
        rft_vec_free(&store->heaps);
        rft_vec_free(&store->heap_parts);
        rft_vec_free(&store->held);
        rft_vec_free(&store->cycles);
        rft_vec_free(&store->retainers);
        rft_vec_free(&store->reasons);
        rft_vec_free(&store->warnings);
        rft_vec_free(&store->process_curves);
        rft_vec_free(&store->last_parts);
        rft_vec_free(&store->earlier_parts);
        rft_arena_deinit(&store->arena);
    }
    free(store);
    free(model);
}

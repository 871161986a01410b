/* Marks, and which survivors were born after which. */
#include <stdlib.h>
#include <string.h>

#include "report/json_marks.h"
#include "trace/format.h"

struct moment {
    uint64_t time_ms;
    size_t mark;
};

static int by_time(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    return (a->mark > b->mark) - (a->mark < b->mark);
}

void json_marks_init(struct json_marks *marks, const struct rft_model *model)
{
    size_t count = model->mark_count;
    struct moment *moments = count > 0 ? calloc(count, sizeof *moments) : NULL;
    struct json_born *born = calloc(count + 1, sizeof *born);
    *marks = (struct json_marks){.born = born, .moments = moments};
    for (size_t i = 0; i < count && born != NULL && moments != NULL; i++)
        /* The one that the tracer itself sets is no moment of the program. */
        if (strcmp(model->marks[i].label, RFT_MARK_COLLECTION) != 0)
            moments[marks->count++] = (struct moment){model->marks[i].time_ms, i};
    if (marks->count > 0)
        qsort(moments, marks->count, sizeof *moments, by_time);
}

void json_marks_deinit(struct json_marks *marks)
{
    free(marks->moments);
    free(marks->born);
}

/* How many marks are not after `time_ms`. */
static size_t marks_until(const struct json_marks *marks, uint64_t time_ms)
{
    size_t low = 0, high = marks->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (marks->moments[middle].time_ms <= time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void json_marks_write(struct rft_json *json, const struct rft_model *model)
{
    rft_json_key(json, "marks");
    rft_json_array_begin(json);
    for (size_t i = 0; i < model->mark_count; i++) {
        rft_json_object_begin(json);
        rft_json_key(json, "time");
        rft_json_double(json, (double)model->marks[i].time_ms / 1000);
        rft_json_key(json, "label");
        rft_json_string(json, model->marks[i].label);
        rft_json_key(json, "pid");
        rft_json_uint(json, model->processes[model->marks[i].process].pid);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

void json_marks_of_site(struct rft_json *json, const struct rft_model *model,
                        const struct json_marks *marks, const struct rft_site *site)
{
    if (marks->count == 0)
        return;
    rft_json_key(json, "live_by_mark");
    bool known = true;
    memset(marks->born, 0, (marks->count + 1) * sizeof *marks->born);
    for (uint32_t i = 0; i < site->part_count; i++) {
        const struct rft_site_part *part = &model->parts[site->first_part + i];
        uint64_t offset_ms = model->processes[part->process].offset_ms;
        known = known && (part->census || part->live == 0);
        for (const struct rft_survivors *s = part->survivors; s != NULL; s = s->next) {
            struct json_born *born = &marks->born[marks_until(marks, s->birth_ms + offset_ms)];
            born->objects += s->objects;
            born->bytes += s->bytes;
        }
    }
    if (!known) {
        rft_json_null(json);
        return;
    }
    rft_json_array_begin(json);
    for (size_t i = 0; i <= marks->count; i++) {
        if (marks->born[i].objects == 0)
            continue;
        rft_json_object_begin(json);
        rft_json_key(json, "mark");
        if (i > 0)
            rft_json_uint(json, marks->moments[i - 1].mark);
        else
            rft_json_null(json);
        rft_json_key(json, "live");
        rft_json_uint(json, marks->born[i].objects);
        rft_json_key(json, "bytes");
        rft_json_uint(json, marks->born[i].bytes);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

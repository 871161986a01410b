#include "report/group.h"

#include <stdlib.h>
#include <string.h>

#include "base/index.h"
#include "report/place.h"

static const struct {
    const char *name, *heading;
} groupings[] = {
    {"", ""},         {"type", "Type"}, {"site", "Place"},    {"stack", "Stack"},
    {"line", "Line"}, {"file", "File"}, {"thread", "Thread"}, {"interpreter", "Interpreter"},
};

_Static_assert(sizeof groupings / sizeof groupings[0] == GROUP_COUNT,
               "each grouping has its row in `groupings`");

/* Bucket k ends at 2^k ms. */
const char *const age_class_names[AGE_CLASSES] = {
    "at once", "< 16 ms", "< 128 ms", "< 1 s", "< 8 s", "< 1 min", "longer",
};
const int age_class_ends[AGE_CLASSES] = {1, 5, 8, 11, 14, 17, RFT_AGE_BUCKETS};

enum group_by group_named(const char *name)
{
    for (int by = GROUP_DEFAULT + 1; by < GROUP_COUNT; by++)
        if (strcmp(name, groupings[by].name) == 0)
            return (enum group_by)by;
    return GROUP_DEFAULT;
}

const char *group_names(void)
{
    return "type, site, stack, line, file, thread or interpreter";
}

const char *group_heading(enum group_by by)
{
    return groupings[by].heading;
}

/* ---- filter ---- */

static bool frame_matches(const struct rft_frame *frame, const char *text)
{
    return strcasestr(frame->file, text) != NULL || strcasestr(frame->function, text) != NULL;
}

struct rft_error *site_filter_init(struct site_filter *filter, const struct rft_model *model,
                                   const char *text)
{
    *filter = (struct site_filter){.count = model->site_count};
    if (text == NULL || text[0] == '\0')
        return NULL;
    filter->count = 0;
    filter->matches = calloc(model->site_count + 1, sizeof *filter->matches);
    bool *frames = calloc(model->frame_count + 1, sizeof *frames);
    bool *types = calloc(model->type_count + 1, sizeof *types);
    /* By stack node: 0 not looked at yet, 1 no, 2 yes. */
    char *nodes = calloc(model->stack_count + 1, sizeof *nodes);
    if (filter->matches == NULL || frames == NULL || types == NULL || nodes == NULL) {
        free(filter->matches);
        free(frames);
        free(types);
        free(nodes);
        filter->matches = NULL;
        return rft_error_no_memory();
    }
    for (uint32_t i = 0; i < model->frame_count; i++)
        frames[i] = frame_matches(&model->frames[i], text);
    for (uint32_t i = 0; i < model->type_count; i++)
        types[i] = strcasestr(model->types[i].name, text) != NULL;
    nodes[0] = 1;
    for (uint32_t i = 0; i < model->site_count; i++) {
        const struct rft_site *site = &model->sites[i];
        uint32_t node = site->stack;
        while (nodes[node] == 0 && !frames[model->stacks[node].frame])
            node = model->stacks[node].parent;
        char found = nodes[node] == 0 ? 2 : nodes[node];
        for (uint32_t at = site->stack; nodes[at] == 0; at = model->stacks[at].parent) {
            nodes[at] = found;
            if (at == node)
                break;
        }
        bool thread =
            site->thread != RFT_NONE && strcasestr(model->threads[site->thread].name, text) != NULL;
        filter->matches[i] = found == 2 || types[site->type] || thread;
        filter->count += filter->matches[i];
    }
    free(frames);
    free(types);
    free(nodes);
    return NULL;
}

bool site_filter_matches(const struct site_filter *filter, uint32_t site)
{
    return filter->matches == NULL || filter->matches[site];
}

void site_filter_deinit(struct site_filter *filter)
{
    free(filter->matches);
}

/* ---- grouping ---- */

/* What the sites of a group have in common, as one number: the index of a thing
 * in the model, or the hash of a text (of 64 bits: two of a million different
 * texts are alike once in 10^7 reports). */
static uint64_t key_of(const struct rft_model *model, enum group_by by, bool full_stacks,
                       const struct rft_site *site)
{
    uint32_t own = rft_model_own_node(model, site->stack);
    const struct rft_frame *frame = rft_model_frame(model, own);
    switch (by) {
    case GROUP_TYPE:
        return site->type;
    case GROUP_STACK:
        return full_stacks ? site->stack : own;
    case GROUP_LINE:
        return rft_hash_mix(rft_hash_bytes(frame->file, strlen(frame->file)), frame->line);
    case GROUP_FILE:
        return rft_hash_bytes(frame->file, strlen(frame->file));
    case GROUP_THREAD:
        return site->thread;
    case GROUP_INTERPRETER:
        return site->interpreter;
    case GROUP_SITE:
        /* Without full stacks rows are what place_stack() tells apart. */
        return rft_hash_mix(
            full_stacks ? site->stack
                        : rft_hash_mix(model->stacks[own].frame, model->stacks[site->stack].frame),
            site->type);
    case GROUP_DEFAULT:
    case GROUP_COUNT:
        break;
    }
    return 0;
}

static void add_site(struct group *group, const struct rft_site *site)
{
    group->sites++;
    group->births += site->births;
    group->deaths += site->deaths;
    group->live += site->live;
    group->live_bytes += site->live_bytes;
    group->dead_bytes += site->dead_bytes;
    group->died_at_once += site->died_at_once;
    if (site->growth.kind == RFT_GROWTH_GROWING) {
        group->growing++;
        group->objects_per_s += site->growth.objects_per_s;
        group->bytes_per_s += site->growth.bytes_per_s;
    }
    int bucket = 0;
    for (int age = 0; age < AGE_CLASSES; age++)
        for (; bucket < age_class_ends[age]; bucket++)
            group->ages[age] += site->ages[bucket];
}

struct rft_error *group_sites(const struct rft_model *model, const struct site_filter *filter,
                              enum group_by by, bool full_stacks, struct group_list *ret)
{
    struct group_list list = {0};
    uint64_t *keys = calloc(model->site_count + 1, sizeof *keys);
    list.groups = calloc(model->site_count + 1, sizeof *list.groups);
    struct rft_index index = {0};
    bool failed = keys == NULL || list.groups == NULL;
    /* The model's sites are sorted: a group's first is the one that stands for it. */
    for (uint32_t i = 0; i < model->site_count && !failed; i++) {
        if (!site_filter_matches(filter, i))
            continue;
        uint64_t key = key_of(model, by, full_stacks, &model->sites[i]);
        uint64_t hash = rft_hash_mix(0, key);
        uint32_t at = 0;
        uint32_t found;
        while ((found = rft_index_probe(&index, hash, &at)) != RFT_INDEX_END)
            if (keys[found] == key)
                break;
        if (found == RFT_INDEX_END) {
            found = list.count++;
            keys[found] = key;
            list.groups[found].site = i;
            failed = !rft_index_add(&index, hash, found);
        }
        add_site(&list.groups[found], &model->sites[i]);
        add_site(&list.all, &model->sites[i]);
    }
    rft_index_deinit(&index);
    free(keys);
    if (failed) {
        group_list_deinit(&list);
        return rft_error_no_memory();
    }
    *ret = list;
    return NULL;
}

void group_list_deinit(struct group_list *list)
{
    free(list->groups);
}

/* ---- order ---- */

static int compare(double a, double b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

/* Every order ends in the site's index, which is unique, so that the same trace
 * always gives the same report. */
#define DEFINE_ORDER(name, first, second)                                                          \
    static int name(const void *left, const void *right)                                           \
    {                                                                                              \
        const struct group *a = left;                                                              \
        const struct group *b = right;                                                             \
        int order = compare((double)a->first, (double)b->first);                                   \
        if (order == 0)                                                                            \
            order = compare((double)a->second, (double)b->second);                                 \
        return order != 0 ? order : a->site < b->site ? -1 : 1;                                    \
    }

DEFINE_ORDER(by_live_bytes, live_bytes, births)
DEFINE_ORDER(by_births, births, live_bytes)
DEFINE_ORDER(by_at_once, died_at_once, births)
DEFINE_ORDER(by_growth, bytes_per_s, live_bytes)
DEFINE_ORDER(by_deaths, deaths, births)

void group_sort(struct group_list *list, enum group_order order)
{
    static int (*const orders[])(const void *, const void *) = {
        [ORDER_LIVE_BYTES] = by_live_bytes, [ORDER_BIRTHS] = by_births,
        [ORDER_AT_ONCE] = by_at_once,       [ORDER_GROWTH] = by_growth,
        [ORDER_DEATHS] = by_deaths,
    };
    if (list->count > 0)
        qsort(list->groups, list->count, sizeof *list->groups, orders[order]);
}

void group_text(struct rft_strbuf *to, const struct page *page, const struct rft_model *model,
                enum group_by by, const struct group *group, bool full_stacks)
{
    const struct rft_site *site = &model->sites[group->site];
    const struct rft_frame *frame = rft_model_frame(model, rft_model_own_node(model, site->stack));
    switch (by) {
    case GROUP_TYPE:
        rft_strbuf_add(to, model->types[site->type].name);
        break;
    case GROUP_THREAD:
        place_thread(to, model, site->thread);
        break;
    case GROUP_INTERPRETER:
        place_interpreter(to, model, site->interpreter);
        break;
    case GROUP_LINE:
        place_file(to, model, frame);
        rft_strbuf_format(to, ":%u", frame->line);
        break;
    case GROUP_FILE:
        place_file(to, model, frame);
        break;
    case GROUP_STACK: {
        uint32_t node = full_stacks ? site->stack : rft_model_own_node(model, site->stack);
        place_frame(to, model, rft_model_frame(model, node));
        place_callers(to, page, model, node, full_stacks);
        break;
    }
    default:
        place_stack(to, model, site->stack);
        break;
    }
}

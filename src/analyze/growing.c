/* Verdicts of all sites, and who is accused. */
#include "analyze/growing.h"

#include <stdlib.h>
#include <string.h>

#include "analyze/growth.h"

/* Sites with the same key, one after the other in `order`. */
struct group {
    uint32_t first, count;
    uint32_t outer; /* the wider group it is part of */
};

struct search {
    struct rft_model *model;
    struct rft_profile_frame *frames; /* of each process */
    RFT_VEC(struct group) narrow;     /* type and stack; threads and interpreters together */
    RFT_VEC(struct group) wide;       /* type and own line; callers together */
    uint32_t *order;                  /* sites by narrow group */
    uint32_t *narrow_order;           /* narrow groups by wide group */
    rft_accused_list accused;
    /* Reused. */
    rft_curve_points points, names;
    RFT_VEC(const struct rft_site_part *) parts;
};

/* --- grouping ---------------------------------------------------------------------------- */

static bool is_importer(const char *file)
{
    return !strncmp(file, "<frozen importlib._bootstrap", 28);
}

/* Whether a stack goes through an import: what a module makes when it is run is made
 * once, whatever line the import stands in. */
static bool through_import(const struct rft_model *model, uint32_t node)
{
    for (; node; node = model->stacks[node].parent) {
        if (is_importer(rft_model_frame(model, node)->file))
            return true;
    }
    return false;
}

typedef RFT_VEC(struct group) groups;

static uint32_t group_of(struct rft_index *index, uint64_t *keys, groups *to, uint64_t key)
{
    uint64_t hash = rft_hash_mix(key, 0);
    uint32_t at = 0, item;
    while ((item = rft_index_probe(index, hash, &at)) != RFT_INDEX_END) {
        if (keys[item] == key)
            return item;
    }
    keys[to->count] = key;
    to->items[to->count++] = (struct group){0};
    return rft_index_add(index, hash, (uint32_t)to->count - 1) ? (uint32_t)to->count - 1 : RFT_NONE;
}

/* Puts members into `order`, group after group. */
static void arrange(groups *groups_in, const uint32_t *group_of_member, uint32_t members,
                    uint32_t *order)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < members; i++)
        groups_in->items[group_of_member[i]].count++;
    for (size_t i = 0; i < groups_in->count; i++) {
        groups_in->items[i].first = at;
        at += groups_in->items[i].count;
        groups_in->items[i].count = 0;
    }
    for (uint32_t i = 0; i < members; i++) {
        struct group *group = &groups_in->items[group_of_member[i]];
        order[group->first + group->count++] = i;
    }
}

/* A sub-interpreter that has ended took its objects along: what it had kept until
 * then is judged by its own time alone, not added up with the next one's. */
static uint64_t apart(const struct rft_model *model, const struct rft_site *site, uint64_t key)
{
    if (site->interpreter == RFT_NONE)
        return key;
    const struct rft_interpreter *interpreter = &model->interpreters[site->interpreter];
    bool ended = interpreter->number != 0 && interpreter->end_ms < model->duration_ms;
    return ended ? rft_hash_mix(key, interpreter->number) : key;
}

static bool make_groups(struct search *search)
{
    const struct rft_model *model = search->model;
    uint32_t count = model->site_count;
    struct rft_index index = {0};
    groups narrow = {0}, wide = {0};
    uint64_t *keys = malloc(((size_t)count + 1) * sizeof(*keys));
    uint32_t *member_of = malloc(((size_t)count + 1) * sizeof(*member_of));
    search->order = malloc(((size_t)count + 1) * sizeof(*search->order));
    search->narrow_order = malloc(((size_t)count + 1) * sizeof(*search->narrow_order));
    bool there = keys && member_of && search->order && search->narrow_order &&
                 rft_vec_reserve(&narrow, (size_t)count + 1) &&
                 rft_vec_reserve(&wide, (size_t)count + 1);
    for (uint32_t i = 0; i < count && there; i++) {
        const struct rft_site *site = &model->sites[i];
        uint64_t key = (uint64_t)site->stack << 32 | site->type;
        member_of[i] = group_of(&index, keys, &narrow, apart(model, site, key));
        there = member_of[i] != RFT_NONE;
    }
    if (there) {
        arrange(&narrow, member_of, count, search->order);
        rft_index_deinit(&index);
    }
    for (uint32_t i = 0; there && i < narrow.count; i++) {
        const struct rft_site *site = &model->sites[search->order[narrow.items[i].first]];
        uint32_t own = rft_model_own_node(model, site->stack);
        /* Frames are numbered below the number of stacks: keys of both kinds differ. */
        uint64_t place = through_import(model, site->stack)
                             ? (uint64_t)model->frame_count + 1 + site->stack
                         : own ? model->stacks[own].frame
                               : model->frame_count;
        uint64_t key = place << 32 | site->type;
        member_of[i] = group_of(&index, keys, &wide, apart(model, site, key));
        narrow.items[i].outer = member_of[i];
        there = member_of[i] != RFT_NONE;
    }
    if (there)
        arrange(&wide, member_of, (uint32_t)narrow.count, search->narrow_order);
    free(keys);
    free(member_of);
    rft_index_deinit(&index);
    search->narrow.items = narrow.items;
    search->narrow.count = narrow.count;
    search->wide.items = wide.items;
    search->wide.count = wide.count;
    return there;
}

/* --- judging --------------------------------------------------------------------------------- */

static double object_bytes(const struct rft_model *model, const uint32_t *sites, uint32_t count)
{
    double live = 0, live_bytes = 0, deaths = 0, dead_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rft_site *site = &model->sites[sites[i]];
        live += (double)site->live;
        live_bytes += (double)site->live_bytes;
        deaths += (double)site->deaths;
        dead_bytes += (double)site->dead_bytes;
    }
    if (live > 0 && live_bytes > 0)
        return live_bytes / live;
    if (deaths > 0 && dead_bytes > 0)
        return dead_bytes / deaths;
    return count ? (double)model->types[model->sites[sites[0]].type].basic_size : 0;
}

/* The verdict of one process on some sites. */
static struct rft_error *judge_process(struct search *search, const uint32_t *sites, uint32_t count,
                                       uint32_t process, double bytes,
                                       struct rft_profile *ret_profile, struct rft_growth *ret)
{
    const struct rft_model *model = search->model;
    search->points.count = search->names.count = search->parts.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rft_site *site = &model->sites[sites[i]];
        for (uint32_t k = 0; k < site->part_count; k++) {
            const struct rft_site_part *part = &model->parts[site->first_part + k];
            if (part->process != process)
                continue;
            if (!rft_vec_push(&search->parts, part) ||
                !rft_curve_points_of(part->curve, 0, &search->points) ||
                !rft_curve_points_of(part->names, 0, &search->names))
                return rft_error_no_memory();
        }
    }
    rft_curve_sort(&search->names);
    if (!rft_vec_reserve(&search->points, search->names.count))
        return rft_error_no_memory();
    for (size_t i = 0; i < search->names.count; i++)
        search->points.items[search->points.count++] =
            (struct rft_curve_point){.time_ms = search->names.items[i].time_ms};
    rft_curve_sort(&search->points);
    rft_profile_make(&search->frames[process], &search->points, &search->names, search->parts.items,
                     search->parts.count, ret_profile);
    *ret = rft_growth_judge(ret_profile, bytes);
    /* Others may have come and gone: what stays is in the cache. */
    bool nothing_stays =
        ret->kind < RFT_GROWTH_SATURATED ||
        (ret->kind == RFT_GROWTH_CYCLIC && !rft_growth_possible(ret_profile->end_live, bytes));
    if (nothing_stays && rft_growth_possible(ret_profile->names_peak, bytes))
        ret->kind = RFT_GROWTH_SATURATED;
    uint64_t offset_ms = model->processes[process].offset_ms;
    if (ret->kind >= RFT_GROWTH_SLOWING)
        ret->since_ms = rft_told_ms(&model->processes[process], ret->since_ms) + offset_ms;
    return NULL;
}

/* Of two processes' verdicts on the same sites: the stronger one, or their sum. */
static void add_verdict(struct rft_growth *to, const struct rft_growth *from)
{
    if (from->kind < to->kind)
        return;
    if (from->kind > to->kind || from->kind < RFT_GROWTH_SLOWING) {
        *to = *from;
        return;
    }
    double born = to->born + from->born;
    if (from->since_ms < to->since_ms)
        to->since_ms = from->since_ms;
    to->grown += from->grown;
    to->grown_bytes += from->grown_bytes;
    to->objects_per_s += from->objects_per_s;
    to->bytes_per_s += from->bytes_per_s;
    to->stays = born > 0 ? (to->born * to->stays + from->born * from->stays) / born : 1;
    to->born = born;
}

/* How the growth went, for comparison with others'. */
static void set_reached(const struct rft_profile *profile, double reached[RFT_WINDOWS])
{
    bool revived = profile->revived > 0.5 * profile->final_survivors;
    const double *rise = revived ? profile->survivors : profile->rise;
    double sum = 0, total = 0;
    for (unsigned w = 0; w < profile->windows; w++)
        total += rise[w];
    for (unsigned w = 0; w < RFT_WINDOWS; w++) {
        if (w < profile->windows)
            sum += rise[w];
        reached[w] = total > 0 ? sum / total : 0;
    }
}

/* Each interpreter keeps the names of the last attributes that were looked up, in a
 * table of 4,096 (Objects/typeobject.c, the method cache). A program that makes
 * attribute names as it runs, as `getattr(self, "visit_" + kind)` does, leaves one here
 * and there until its own are all there: strings, few of many. So does C code that looks
 * names up which it makes each time anew (datetime.timetuple() its "struct_time"); the
 * table then has many copies, and each displaces an older one: as many have died late as
 * have stayed. Where the agent has looked at the table, profiles leave those out that
 * nobody else holds, and no guess is needed: in main interpreters of builds with a GIL. But
 * one that garbage holds too, which waits for the collector, is not left out: so many
 * come and go that half of those in the table may seem to grow in a slow run. For
 * the others only more than fit, or a site more of whose strings stay, is growth. */
enum { METHOD_CACHE_NAMES = 4096, LATE_BUCKET = 10 /* 512 ms and more */ };
static const double METHOD_CACHE_SHARE = 0.05, DISPLACED_SHARE = 0.25, SEEN_SHARE = 0.5;

static uint64_t died_late(const struct rft_model *model, const uint32_t *sites, uint32_t count)
{
    uint64_t late = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t *ages = model->sites[sites[i]].ages;
        for (unsigned bucket = LATE_BUCKET; ages && bucket < RFT_AGE_BUCKETS; bucket++)
            late += ages[bucket];
    }
    return late;
}

/* Whether the table that these strings would be in was looked at. */
static bool was_seen(const struct rft_model *model, const struct rft_site *site)
{
    if (site->interpreter != RFT_NONE && model->interpreters[site->interpreter].number != 0)
        return false;
    for (uint32_t i = 0; i < site->part_count; i++) {
        if (!model->processes[model->parts[site->first_part + i].process].names_known)
            return false;
    }
    return true;
}

static bool fits_method_cache(const struct rft_model *model, const uint32_t *sites, uint32_t count,
                              const struct rft_growth *growth, double names_peak)
{
    const struct rft_site *first = &model->sites[sites[0]];
    const char *type = model->types[first->type].name;
    if (strcmp(type, "str") != 0 || growth->grown >= METHOD_CACHE_NAMES)
        return false;
    if (was_seen(model, first))
        return growth->stays < METHOD_CACHE_SHARE &&
               (double)growth->grown < SEEN_SHARE * names_peak;
    return growth->stays < METHOD_CACHE_SHARE ||
           (growth->stays < DISPLACED_SHARE && died_late(model, sites, count) >= growth->grown);
}

/* What the importer itself makes (code objects, specs, modules, paths) comes from one
 * stack for all modules: a program that imports one now and then would be accused. Their
 * number is bounded by the code that there is. A program that makes modules without end
 * passes this: 30 objects a module. What a module's own lines make are other sites. */
enum { IMPORTED_OBJECTS = 10000 };

static bool fits_importing(const struct rft_model *model, uint32_t site,
                           const struct rft_growth *growth)
{
    const char *file = rft_model_frame(model, model->sites[site].stack)->file;
    return is_importer(file) && growth->grown < IMPORTED_OBJECTS;
}

/* The verdict of all processes on some sites. */
static struct rft_error *judge(struct search *search, const uint32_t *sites, uint32_t count,
                               struct rft_accused *ret)
{
    const struct rft_model *model = search->model;
    double bytes = object_bytes(model, sites, count), peak = 0;
    *ret = (struct rft_accused){.growth.kind = RFT_GROWTH_NONE};
    for (uint32_t i = 0; i < count; i++)
        peak += (double)model->sites[sites[i]].peak_live;
    /* Peaks of sites add up to more than the peak of all: a bound is enough here. */
    if (!rft_growth_possible(peak, bytes))
        return NULL;
    uint64_t most = 0;
    double names_peak = 0;
    for (uint32_t process = 0; process < model->process_count; process++) {
        struct rft_profile profile;
        struct rft_growth growth = {.kind = RFT_GROWTH_NONE};
        struct rft_error *error =
            judge_process(search, sites, count, process, bytes, &profile, &growth);
        if (error)
            return error;
        names_peak += profile.names_peak;
        if (growth.kind >= RFT_GROWTH_SLOWING && growth.grown > most) {
            most = growth.grown;
            ret->process = process;
            set_reached(&profile, ret->reached);
        }
        add_verdict(&ret->growth, &growth);
    }
    if (ret->growth.kind >= RFT_GROWTH_SLOWING &&
        fits_method_cache(model, sites, count, &ret->growth, names_peak))
        ret->growth.kind = RFT_GROWTH_SATURATED;
    if (ret->growth.kind >= RFT_GROWTH_SLOWING && fits_importing(model, sites[0], &ret->growth))
        ret->growth.kind = RFT_GROWTH_STARTUP;
    return NULL;
}

/* A group's verdict is its sites' verdict; numbers are shared out as their peaks
 * are. */
static void give_verdict(struct rft_model *model, const uint32_t *sites, uint32_t count,
                         const struct rft_growth *growth)
{
    double peaks = 0;
    for (uint32_t i = 0; i < count; i++)
        peaks += (double)model->sites[sites[i]].peak_live;
    for (uint32_t i = 0; i < count; i++) {
        struct rft_site *site = &model->sites[sites[i]];
        double share = peaks > 0 ? (double)site->peak_live / peaks : 0;
        site->growth = *growth;
        site->growth.grown = (uint64_t)(share * (double)growth->grown + 0.5);
        site->growth.grown_bytes = (uint64_t)(share * (double)growth->grown_bytes + 0.5);
        site->growth.objects_per_s *= share;
        site->growth.bytes_per_s *= share;
    }
}

/* --- accusing ------------------------------------------------------------------------------------
 */

struct ranked {
    uint64_t grown, peak;
    uint32_t site;
};

static int by_growth(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->grown != y->grown)
        return x->grown < y->grown ? 1 : -1;
    if (x->peak != y->peak)
        return x->peak < y->peak ? 1 : -1;
    return (x->site > y->site) - (x->site < y->site);
}

/* Most grown first: that one is shown. */
static struct rft_error *accuse(struct search *search, struct rft_accused *accused,
                                const uint32_t *sites, uint32_t count)
{
    struct rft_model *model = search->model;
    struct ranked *ranked = malloc(count * sizeof(*ranked));
    accused->members = rft_arena_alloc(&model->store->arena, count * sizeof(*accused->members));
    if (!ranked || !accused->members) {
        free(ranked);
        return rft_error_no_memory();
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct rft_site *site = &model->sites[sites[i]];
        ranked[i] = (struct ranked){site->growth.grown, site->peak_live, sites[i]};
    }
    qsort(ranked, count, sizeof(*ranked), by_growth);
    for (uint32_t i = 0; i < count; i++)
        accused->members[i] = ranked[i].site;
    accused->member_count = count;
    free(ranked);
    return rft_vec_push(&search->accused, *accused) ? NULL : rft_error_no_memory();
}

static struct rft_error *look_at_wide_group(struct search *search, const struct group *wide,
                                            uint32_t *sites)
{
    struct rft_accused sum = {.growth.kind = RFT_GROWTH_NONE}, one;
    uint32_t all = 0, accused = 0;
    struct rft_error *error;
    uint64_t most = 0;
    for (uint32_t i = 0; i < wide->count; i++) {
        const struct group *narrow = &search->narrow.items[search->narrow_order[wide->first + i]];
        const uint32_t *members = search->order + narrow->first;
        error = judge(search, members, narrow->count, &one);
        if (error)
            return error;
        give_verdict(search->model, members, narrow->count, &one.growth);
        all += narrow->count;
        if (one.growth.kind < RFT_GROWTH_SLOWING)
            continue;
        memcpy(sites + accused, members, narrow->count * sizeof(*sites));
        accused += narrow->count;
        if (one.growth.grown >= most) {
            most = one.growth.grown;
            sum.process = one.process;
            memcpy(sum.reached, one.reached, sizeof sum.reached);
        }
        /* A slowing stack beside a growing one is part of the growth. */
        struct rft_growth growth = sum.growth;
        enum rft_growth_kind kind = growth.kind > one.growth.kind ? growth.kind : one.growth.kind;
        if (growth.kind >= RFT_GROWTH_SLOWING)
            growth.kind = one.growth.kind = kind;
        add_verdict(&growth, &one.growth);
        sum.growth = growth;
    }
    if (accused)
        return accuse(search, &sum, sites, accused);
    if (wide->count < 2)
        return NULL;

    /* No stack grows for itself; do they together? One line that leaks may be
     * reached on many ways. */
    all = 0;
    for (uint32_t i = 0; i < wide->count; i++) {
        const struct group *narrow = &search->narrow.items[search->narrow_order[wide->first + i]];
        for (uint32_t k = 0; k < narrow->count; k++) {
            uint32_t site = search->order[narrow->first + k];
            if (search->model->sites[site].peak_live)
                sites[all++] = site;
        }
    }
    error = judge(search, sites, all, &one);
    if (error || one.growth.kind < RFT_GROWTH_SLOWING)
        return error;
    give_verdict(search->model, sites, all, &one.growth);
    return accuse(search, &one, sites, all);
}

static struct rft_error *make_frames(struct search *search)
{
    const struct rft_model *model = search->model;
    search->frames = calloc((size_t)model->process_count + 1, sizeof(*search->frames));
    if (!search->frames)
        return rft_error_no_memory();
    for (uint32_t i = 0; i < model->process_count; i++) {
        search->points.count = 0;
        if (!rft_curve_points_of(&model->store->process_curves.items[i], 0, &search->points))
            return rft_error_no_memory();
        rft_profile_frame_init(&search->frames[i], &model->processes[i], &search->points);
    }
    return NULL;
}

struct rft_error *rft_growing_find(struct rft_model *model)
{
    struct search search = {.model = model};
    uint32_t *sites = malloc(((size_t)model->site_count + 1) * sizeof(*sites));
    struct rft_error *error =
        sites && make_groups(&search) ? make_frames(&search) : rft_error_no_memory();
    for (size_t i = 0; i < search.wide.count && !error; i++)
        error = look_at_wide_group(&search, &search.wide.items[i], sites);
    if (!error)
        error = rft_growing_arrange(model, &search.accused);
    free(search.frames);
    free(sites);
    free(search.order);
    free(search.narrow_order);
    rft_vec_free(&search.narrow);
    rft_vec_free(&search.wide);
    rft_vec_free(&search.accused);
    rft_vec_free(&search.points);
    rft_vec_free(&search.names);
    rft_vec_free(&search.parts);
    return error;
}

#include "analyze/diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/index.h"
#include "base/vec.h"

/* Two models share no ids: sites are matched by hashes of what they are. A place
 * is a site's type and stack; its rough form has no line numbers, so that it is
 * found again after an edit. 64 bits of hash stand for it: with a million sites a
 * wrong match has a chance of one in forty million. */
struct place {
    uint64_t exact, rough;
    const char *type;
    uint32_t site; /* the one with most live bytes */
    struct rft_diff_counts counts;
    bool matched;
};

typedef RFT_VEC(struct place) places;

static void add_counts(struct rft_diff_counts *to, const struct rft_diff_counts *from)
{
    to->births += from->births;
    to->deaths += from->deaths;
    to->live += from->live;
    to->live_bytes += from->live_bytes;
    to->died_at_once += from->died_at_once;
}

static struct rft_diff_counts counts_of(const struct rft_site *site)
{
    return (struct rft_diff_counts){
        .births = site->births,
        .deaths = site->deaths,
        .live = site->live,
        .live_bytes = site->live_bytes,
        .died_at_once = site->died_at_once,
    };
}

/* Hashes of each stack, outermost frame first: nodes come after their parents. */
static uint64_t *hash_stacks(const struct rft_model *model, bool lines)
{
    uint64_t *hashes = malloc(((size_t)model->stack_count + 1) * sizeof(*hashes));
    if (!hashes)
        return NULL;
    hashes[0] = 0;
    for (uint32_t i = 1; i < model->stack_count; i++) {
        const struct rft_frame *frame = rft_model_frame(model, i);
        uint64_t hash = hashes[model->stacks[i].parent];
        hash = rft_hash_mix(hash, rft_hash_bytes(frame->file, strlen(frame->file)));
        hash = rft_hash_mix(hash, rft_hash_bytes(frame->function, strlen(frame->function)));
        hashes[i] = lines ? rft_hash_mix(hash, frame->line) : hash;
    }
    return hashes;
}

static bool collect(const struct rft_model *model, places *to)
{
    uint64_t *exact = hash_stacks(model, true), *rough = hash_stacks(model, false);
    struct rft_index index = {0};
    bool there = exact && rough && rft_vec_reserve(to, model->site_count);
    for (uint32_t i = 0; i < model->site_count && there; i++) {
        const struct rft_site *site = &model->sites[i];
        const char *type = model->types[site->type].name;
        uint64_t type_hash = rft_hash_bytes(type, strlen(type));
        struct place place = {
            .exact = rft_hash_mix(exact[site->stack], type_hash),
            .rough = rft_hash_mix(rough[site->stack], type_hash),
            .type = type,
            .site = i,
            .counts = counts_of(site),
        };
        uint32_t at = 0, item;
        while ((item = rft_index_probe(&index, place.exact, &at)) != RFT_INDEX_END) {
            if (to->items[item].exact == place.exact)
                break;
        }
        if (item != RFT_INDEX_END) {
            add_counts(&to->items[item].counts, &place.counts);
            continue;
        }
        to->items[to->count++] = place;
        there = rft_index_add(&index, place.exact, (uint32_t)to->count - 1);
    }
    free(exact);
    free(rough);
    rft_index_deinit(&index);
    return there;
}

/* Finds for each place of `a` one of `b` that no other has taken. */
static bool match(places *a, places *b, bool rough, struct rft_diff *diff)
{
    struct rft_index index = {0};
    bool there = true;
    for (size_t i = 0; i < b->count && there; i++) {
        if (!b->items[i].matched)
            there =
                rft_index_add(&index, rough ? b->items[i].rough : b->items[i].exact, (uint32_t)i);
    }
    for (size_t i = 0; i < a->count && there; i++) {
        struct place *place = &a->items[i];
        if (place->matched)
            continue;
        uint64_t wanted = rough ? place->rough : place->exact;
        uint32_t at = 0, item;
        while ((item = rft_index_probe(&index, wanted, &at)) != RFT_INDEX_END) {
            struct place *other = &b->items[item];
            if (other->matched || (rough ? other->rough : other->exact) != wanted)
                continue;
            place->matched = other->matched = true;
            diff->sites[diff->site_count++] = (struct rft_diff_site){
                .a_site = place->site,
                .b_site = other->site,
                .moved = rough,
                .a = place->counts,
                .b = other->counts,
            };
            break;
        }
    }
    rft_index_deinit(&index);
    return there;
}

static void add_unmatched(const places *a, const places *b, struct rft_diff *diff)
{
    for (size_t i = 0; i < a->count; i++) {
        if (!a->items[i].matched)
            diff->sites[diff->site_count++] = (struct rft_diff_site){
                .a_site = a->items[i].site, .b_site = RFT_NONE, .a = a->items[i].counts};
    }
    for (size_t i = 0; i < b->count; i++) {
        if (!b->items[i].matched)
            diff->sites[diff->site_count++] = (struct rft_diff_site){
                .a_site = RFT_NONE, .b_site = b->items[i].site, .b = b->items[i].counts};
    }
}

static bool add_types(const places *from, bool second, struct rft_index *index,
                      struct rft_diff *diff)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct place *place = &from->items[i];
        uint64_t hash = rft_hash_bytes(place->type, strlen(place->type));
        uint32_t at = 0, item;
        while ((item = rft_index_probe(index, hash, &at)) != RFT_INDEX_END) {
            if (!strcmp(diff->types[item].name, place->type))
                break;
        }
        if (item == RFT_INDEX_END) {
            item = (uint32_t)diff->type_count;
            diff->types[diff->type_count++] = (struct rft_diff_type){.name = place->type};
            if (!rft_index_add(index, hash, item))
                return false;
        }
        add_counts(second ? &diff->types[item].b : &diff->types[item].a, &place->counts);
    }
    return true;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* Larger differences first. */
static int compare(const struct rft_diff_counts *xa, const struct rft_diff_counts *xb,
                   const struct rft_diff_counts *ya, const struct rft_diff_counts *yb)
{
    uint64_t x = distance(xa->live_bytes, xb->live_bytes);
    uint64_t y = distance(ya->live_bytes, yb->live_bytes);
    if (x == y) {
        x = distance(xa->live, xb->live);
        y = distance(ya->live, yb->live);
    }
    if (x == y) {
        x = distance(xa->births, xb->births);
        y = distance(ya->births, yb->births);
    }
    return (x < y) - (x > y);
}

static int by_site_difference(const void *a, const void *b)
{
    const struct rft_diff_site *x = a, *y = b;
    int order = compare(&x->a, &x->b, &y->a, &y->b);
    if (order)
        return order;
    if (x->b_site != y->b_site)
        return x->b_site < y->b_site ? -1 : 1;
    return (x->a_site > y->a_site) - (x->a_site < y->a_site);
}

static int by_type_difference(const void *a, const void *b)
{
    const struct rft_diff_type *x = a, *y = b;
    int order = compare(&x->a, &x->b, &y->a, &y->b);
    return order ? order : strcmp(x->name, y->name);
}

struct rft_error *rft_diff_init(const struct rft_model *a, const struct rft_model *b,
                                struct rft_diff *ret)
{
    places in_a = {0}, in_b = {0};
    struct rft_index types = {0};
    *ret = (struct rft_diff){0};
    bool there = collect(a, &in_a) && collect(b, &in_b);
    if (there) {
        size_t room = in_a.count + in_b.count + 1;
        ret->sites = malloc(room * sizeof(*ret->sites));
        ret->types = malloc(room * sizeof(*ret->types));
        there = ret->sites && ret->types && match(&in_a, &in_b, false, ret) &&
                match(&in_a, &in_b, true, ret) && add_types(&in_a, false, &types, ret) &&
                add_types(&in_b, true, &types, ret);
    }
    if (there) {
        add_unmatched(&in_a, &in_b, ret);
        qsort(ret->sites, ret->site_count, sizeof(*ret->sites), by_site_difference);
        qsort(ret->types, ret->type_count, sizeof(*ret->types), by_type_difference);
    }
    rft_vec_free(&in_a);
    rft_vec_free(&in_b);
    rft_index_deinit(&types);
    if (there)
        return NULL;
    rft_diff_deinit(ret);
    return rft_error_no_memory();
}

void rft_diff_deinit(struct rft_diff *diff)
{
    free(diff->sites);
    free(diff->types);
    *diff = (struct rft_diff){0};
}

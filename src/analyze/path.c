/* Paths as a person would say them: what goes without saying is left out, what repeats is
 * said once, and objects that are held in the same way are put together. */
#include <stdlib.h>
#include <string.h>

#include "analyze/store.h"

enum {
    PERIOD_MOST = 3,   /* node -> list -> node is 2, with an instance's odd dict 3 */
    REPEATS_LEAST = 3, /* a list in a list is no chain */
    VARIANTS_MOST = 4, /* so many keys are told apart; with more, each is one of many */
};

static bool is(const char *text, const char *wanted)
{
    return text && !strcmp(text, wanted);
}

/* --- what goes without saying ----------------------------------------------------------- */

static bool is_namespace(const struct rft_step *step)
{
    switch (step->kind) {
    case RFT_ROOT_MODULE:
    case RFT_ROOT_BUILTINS:
    case RFT_ROOT_SYS:
        return true;
    case RFT_EDGE_ATTRIBUTE:
        return is(step->label, "__dict__");
    case RFT_EDGE_TYPE_SLOT:
        return is(step->label, "__dict__") || is(step->label, "tp_dict");
    default:
        return false;
    }
}

/* Takes away `count` steps from number `at` on. */
static uint32_t cut(struct rft_step *steps, uint32_t all, uint32_t at, uint32_t count)
{
    memmove(steps + at, steps + at + count, (all - at - count) * sizeof(*steps));
    return all - count;
}

static uint32_t leave_out(struct rft_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i + 1 < count; i++) {
        struct rft_step *step = &steps[i], *next = &steps[i + 1];
        /* The dict of a namespace: its keys are attributes. */
        if (is_namespace(step) && next->kind == RFT_EDGE_DICT_VALUE && is(next->type, "dict")) {
            next->kind = RFT_EDGE_ATTRIBUTE;
            next->index = RFT_NEVER;
            next->type = step->type ? step->type : "module";
            if (step->kind < RFT_ROOT_MODULE)
                count = cut(steps, count, i, 1);
            continue;
        }
        if (step->kind == RFT_EDGE_DESCRIPTOR && is(step->label, RFT_LABEL_CONTEXT_TREE)) {
            next->type = step->type;
            count = cut(steps, count, i--, 1);
            continue;
        }
        /* The cell that a variable is kept in for functions within. */
        bool variable = step->kind == RFT_ROOT_LOCAL || step->kind == RFT_EDGE_LOCAL ||
                        step->kind == RFT_EDGE_FRAME;
        if (variable && next->kind == RFT_EDGE_CELL && is(next->type, "cell")) {
            count = cut(steps, count, i + 1, 1);
            continue;
        }
        /* The tuple between a function and its cells; the name stands at one of them. */
        uint32_t cell = i;
        while (step->kind == RFT_EDGE_CLOSURE && cell + 1 < count && cell < i + 2 &&
               steps[cell].kind != RFT_EDGE_CELL)
            cell++;
        if (cell == i || steps[cell].kind != RFT_EDGE_CELL)
            continue;
        for (uint32_t k = cell; k-- > i && !steps[cell].label;)
            steps[cell].label = steps[k].label;
        steps[cell].type = step->type;
        count = cut(steps, count, i, cell - i);
    }
    return count;
}

/* --- what repeats ------------------------------------------------------------------------ */

/* Whether two steps may be two links of one chain. */
static bool same_link(const struct rft_step *a, const struct rft_step *b)
{
    if (a->kind != b->kind || a->type != b->type || a->repeats || b->repeats)
        return false;
    return a->label == b->label || a->kind == RFT_EDGE_ATTRIBUTE;
}

static bool same_links(const struct rft_step *a, const struct rft_step *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!same_link(&a[i], &b[i]))
            return false;
    return true;
}

/* Whether the last of some links has a label that none before it has: what a chain's end
 * holds is no further link. */
static bool ends_otherwise(const struct rft_step *steps, uint32_t links, uint32_t period)
{
    for (uint32_t k = 0; k < period; k++) {
        const char *label = steps[(links - 1) * period + k].label;
        bool known = false;
        for (uint32_t n = 0; n + 1 < links && !known; n++)
            known = steps[n * period + k].label == label;
        if (!known)
            return true;
    }
    return false;
}

/* Folds the links of `period` steps from number `at` on, if they are a chain. */
static uint32_t fold_at(struct rft_step *steps, uint32_t count, uint32_t at, uint32_t period)
{
    uint32_t links = 1;
    while (at + (links + 1) * period <= count &&
           same_links(steps + at, steps + at + links * period, period))
        links++;
    while (links >= REPEATS_LEAST && ends_otherwise(steps + at, links, period))
        links--;
    if (links < REPEATS_LEAST)
        return count;
    for (uint32_t k = 0; k < period; k++) {
        struct rft_step *step = &steps[at + k];
        step->index = RFT_NEVER;
        for (uint32_t n = 1; n < links; n++)
            if (steps[at + n * period + k].label != step->label)
                step->label = NULL;
    }
    steps[at + period - 1].repeats = period;
    return cut(steps, count, at + period, (links - 1) * period);
}

static uint32_t fold(struct rft_step *steps, uint32_t count)
{
    for (uint32_t period = 1; period <= PERIOD_MOST; period++)
        for (uint32_t at = 1; at + period * REPEATS_LEAST <= count; at++)
            count = fold_at(steps, count, at, period);
    /* A chain whose middle was left out. */
    for (uint32_t i = 1; i + 1 < count; i++) {
        struct rft_step *before = &steps[i - 1], *after = &steps[i + 1];
        if (steps[i].kind == RFT_EDGE_LEFT_OUT && before->repeats == 1 && after->repeats == 1 &&
            before->kind == after->kind && before->type == after->type) {
            if (before->label != after->label)
                before->label = NULL;
            count = cut(steps, count, i, 2);
        }
    }
    return count;
}

uint32_t rft_path_tidy(struct rft_step *steps, uint32_t count)
{
    return fold(steps, leave_out(steps, count));
}

/* --- what is held in the same way ------------------------------------------------------------ */

static bool has_key(const struct rft_step *step)
{
    return step->kind == RFT_EDGE_DICT_VALUE || step->kind == RFT_EDGE_DICT_KEY;
}

/* `loosely`: keys and threads may differ. */
static uint64_t hash_of(const struct rft_path *path, bool loosely)
{
    uint64_t hash = path->count;
    for (uint32_t i = 0; i < path->count; i++) {
        const struct rft_step *step = &path->steps[i];
        hash = rft_hash_mix(hash, (uint64_t)step->kind << 8 | step->repeats);
        hash = rft_hash_mix(hash, (uint64_t)(uintptr_t)step->type);
        if (loosely)
            continue;
        hash = rft_hash_mix(hash, (uint64_t)(uintptr_t)step->label);
        hash = rft_hash_mix(hash, (uint64_t)(uintptr_t)step->detail);
    }
    return hash;
}

static bool same_path(const struct rft_path *a, const struct rft_path *b, bool loosely)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct rft_step *x = &a->steps[i], *y = &b->steps[i];
        if (x->kind != y->kind || x->type != y->type || x->repeats != y->repeats)
            return false;
        if (x->label != y->label && !(loosely && has_key(x)))
            return false;
        if (x->detail != y->detail && !loosely)
            return false;
    }
    return true;
}

struct keyed {
    uint64_t hash;
    uint32_t pattern;
};

static int by_hash(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->pattern > y->pattern) - (x->pattern < y->pattern);
}

static int by_objects(const void *a, const void *b)
{
    const struct rft_pattern *x = a, *y = b;
    if (x->objects != y->objects)
        return x->objects < y->objects ? 1 : -1;
    return (x->path.count > y->path.count) - (x->path.count < y->path.count);
}

/* A copy of the path without what the other one has differently. */
static bool generalise(struct rft_path *path, const struct rft_path *other, struct rft_arena *arena)
{
    struct rft_step *steps = rft_arena_alloc(arena, path->count * sizeof(*steps));
    if (!steps)
        return false;
    memcpy(steps, path->steps, path->count * sizeof(*steps));
    for (uint32_t i = 0; i < path->count; i++) {
        if (steps[i].kind != RFT_EDGE_LEFT_OUT)
            steps[i].index = RFT_NEVER;
        if (!other)
            continue;
        if (steps[i].label != other->steps[i].label)
            steps[i].label = NULL;
        if (steps[i].detail != other->steps[i].detail)
            steps[i].detail = NULL;
    }
    path->steps = steps;
    return true;
}

/* Puts together what is the same, wherever more than `most` patterns are. Patterns that went
 * into another one are left with 0 objects. */
static bool put_together(struct rft_pattern *patterns, struct keyed *keyed, uint32_t count,
                         bool loosely, uint32_t most, struct rft_arena *arena)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++)
        if (patterns[i].objects)
            keyed[used++] = (struct keyed){hash_of(&patterns[i].path, loosely), i};
    qsort(keyed, used, sizeof(*keyed), by_hash);
    for (uint32_t i = 0; i < used;) {
        struct rft_pattern *first = &patterns[keyed[i].pattern];
        uint32_t end = i + 1;
        while (end < used && same_path(&first->path, &patterns[keyed[end].pattern].path, loosely))
            end++;
        for (uint32_t k = i + 1; k < end && end - i > most; k++) {
            struct rft_pattern *other = &patterns[keyed[k].pattern];
            if (loosely && !generalise(&first->path, &other->path, arena))
                return false;
            first->objects += other->objects;
            other->objects = 0;
        }
        i = end;
    }
    return true;
}

uint32_t rft_patterns_join(struct rft_pattern *patterns, uint32_t count, struct rft_arena *arena)
{
    struct keyed *keyed = malloc(((size_t)count + 1) * sizeof(*keyed));
    bool there = keyed && put_together(patterns, keyed, count, false, 1, arena) &&
                 put_together(patterns, keyed, count, true, VARIANTS_MOST, arena);
    uint32_t left = 0;
    for (uint32_t i = 0; i < count && there; i++) {
        if (!patterns[i].objects)
            continue;
        patterns[left] = patterns[i];
        /* The index is that of the one object that is the example. */
        if (patterns[left].objects > 1)
            there = generalise(&patterns[left].path, NULL, arena);
        left++;
    }
    free(keyed);
    if (!there)
        return RFT_NONE;
    qsort(patterns, left, sizeof(*patterns), by_objects);
    return left;
}

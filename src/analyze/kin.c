/* What grows together: an instance that is kept keeps its dict, its strings and
 * lists. One of them is shown, the others stand beneath it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/growing.h"

/* Two growths are one if, at the end of every window, the shares of their growth
 * that have happened differ by no more than this. */
#define SHAPE_DIFFERENCE 0.15
/* How far up a stack the other's function is looked for. Deeper ones are recursion. */
#define STACK_LOOK 256

struct candidate {
    const struct rft_accused *accused;
    int rank;
    bool taken;
};

/* How much an object of this type tells a person: an instance of a class, a class,
 * or what any program is full of. */
static int
type_rank(const char *name)
{
    static const char *const plain[] = {
        "dict", "list", "tuple", "set", "frozenset", "str", "bytes", "bytearray", "int", "float",
        "complex", "bool", "NoneType", "object", "cell", "function", "method",
        "builtin_function_or_method", "method-wrapper", "wrapper_descriptor", "method_descriptor",
        "getset_descriptor", "member_descriptor", "classmethod_descriptor", "mappingproxy",
        "property", "classmethod", "staticmethod", "frame", "FrameLocalsProxy", "traceback", "code",
        "slice", "range", "range_iterator", "list_iterator", "tuple_iterator", "set_iterator",
        "str_iterator", "str_ascii_iterator", "dict_keyiterator", "dict_valueiterator",
        "dict_itemiterator", "dict_keys", "dict_values", "dict_items", "enumerate", "zip", "map",
        "filter", "reversed", "memoryview", "managedbuffer", "hamt", "hamt_bitmap_node", "Context",
        "weakref", "weakproxy", "weakref.ReferenceType", "weakref.ProxyType", "_contextvars.Context",
        "weakref.KeyedRef", "builtin_method", "coroutine_wrapper", "coroutine", "async_generator",
        "generator", "functools._lru_list_elem", "Token",
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (!strcmp(name, plain[i]))
            return 0;
    }
    if (!strcmp(name, "type") || !strcmp(name, "abc.ABCMeta") || !strcmp(name, "enum.EnumType"))
        return 1;
    bool internal = name[0] == '_' && strncmp(name, "__main__.", 9) != 0;
    return !strchr(name, '.') || internal ? 2 : 3;
}

static const struct rft_site *
shown(const struct rft_model *model, const struct rft_accused *accused)
{
    return &model->sites[accused->members[0]];
}

static int
rank_of(const struct rft_model *model, const struct rft_accused *accused)
{
    const struct rft_site *site = shown(model, accused);
    uint32_t own = rft_model_own_node(model, site->stack);
    bool own_line = rft_model_frame(model, own)->origin == RFT_ORIGIN_OWN;
    /* Made in the own line itself, not in what it calls. */
    bool direct = own == site->stack;
    return 4 * type_rank(model->types[site->type].name) + 2 * own_line + direct;
}

static int
by_rank(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->rank != y->rank)
        return y->rank - x->rank;
    uint64_t p = x->accused->growth.grown_bytes, q = y->accused->growth.grown_bytes;
    if (p != q)
        return p < q ? 1 : -1;
    return (x->accused->members[0] > y->accused->members[0]) -
           (x->accused->members[0] < y->accused->members[0]);
}

static int
by_bytes(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    uint64_t p = x->accused->growth.grown_bytes, q = y->accused->growth.grown_bytes;
    return p != q ? (p < q ? 1 : -1) : by_rank(a, b);
}

/* --- kinship ------------------------------------------------------------------------------- */

static bool
same_function(const struct rft_frame *a, const struct rft_frame *b)
{
    /* Texts are kept once: equal ones have one address. */
    return a->file == b->file && a->function == b->function;
}

/* Whether the function of stack node `own` is on the stack of `node`. */
static bool
calls(const struct rft_model *model, uint32_t own, uint32_t node)
{
    const struct rft_frame *wanted = rft_model_frame(model, own);
    for (unsigned i = 0; node && i < STACK_LOOK; i++, node = model->stacks[node].parent) {
        if (same_function(rft_model_frame(model, node), wanted))
            return true;
    }
    return false;
}

static bool
is_kin(const struct rft_model *model, const struct rft_accused *a, const struct rft_accused *b)
{
    if (a->process != b->process)
        return false;
    for (unsigned w = 0; w < RFT_WINDOWS; w++) {
        if (fabs(a->reached[w] - b->reached[w]) > SHAPE_DIFFERENCE)
            return false;
    }
    uint32_t stack_a = shown(model, a)->stack, stack_b = shown(model, b)->stack;
    uint32_t own_a = rft_model_own_node(model, stack_a);
    uint32_t own_b = rft_model_own_node(model, stack_b);
    return calls(model, own_a, stack_b) || calls(model, own_b, stack_a);
}

/* --- arranging ------------------------------------------------------------------------------- */

static int
by_importance(const void *a, const void *b)
{
    const struct rft_growing *x = a, *y = b;
    if (x->slowing != y->slowing)
        return x->slowing - y->slowing;
    if (x->total_grown_bytes != y->total_grown_bytes)
        return x->total_grown_bytes < y->total_grown_bytes ? 1 : -1;
    return (x->site > y->site) - (x->site < y->site);
}

/* One entry: the first candidate that is left, and its kin. */
static struct rft_error *
add_growing(struct rft_model *model, struct candidate *first, struct candidate *end,
            struct candidate *kin)
{
    const struct rft_accused *leader = first->accused;
    struct rft_growing growing = {
        .site = leader->members[0],
        .slowing = leader->growth.kind == RFT_GROWTH_SLOWING,
        .members = leader->members,
        .member_count = leader->member_count,
        .growth = leader->growth,
        .total_grown_bytes = leader->growth.grown_bytes,
        .total_bytes_per_s = leader->growth.bytes_per_s,
    };
    uint32_t count = 0;
    first->taken = true;
    for (struct candidate *other = first + 1; other < end; other++) {
        if (other->taken || !is_kin(model, leader, other->accused))
            continue;
        other->taken = true;
        growing.total_grown_bytes += other->accused->growth.grown_bytes;
        growing.total_bytes_per_s += other->accused->growth.bytes_per_s;
        kin[count++] = *other;
    }
    if (count) {
        qsort(kin, count, sizeof(*kin), by_bytes);
        uint32_t *companions =
            rft_arena_alloc(&model->store->arena, count * sizeof(*companions));
        if (!companions)
            return rft_error_no_memory();
        for (uint32_t i = 0; i < count; i++)
            companions[i] = kin[i].accused->members[0];
        growing.companions = companions;
        growing.companion_count = count;
    }
    return rft_vec_push(&model->store->growing, growing) ? NULL : rft_error_no_memory();
}

struct rft_error *
rft_growing_arrange(struct rft_model *model, const rft_accused_list *accused)
{
    struct rft_model_store *store = model->store;
    struct candidate *candidates = malloc((accused->count + 1) * sizeof(*candidates));
    struct candidate *kin = malloc((accused->count + 1) * sizeof(*kin));
    struct rft_error *error = candidates && kin ? NULL : rft_error_no_memory();
    for (size_t i = 0; i < accused->count && !error; i++) {
        candidates[i] = (struct candidate){
            .accused = &accused->items[i],
            .rank = rank_of(model, &accused->items[i]),
        };
    }
    if (!error) {
        qsort(candidates, accused->count, sizeof(*candidates), by_rank);
        for (size_t i = 0; i < accused->count && !error; i++) {
            if (!candidates[i].taken)
                error = add_growing(model, candidates + i, candidates + accused->count, kin);
        }
    }
    free(candidates);
    free(kin);
    if (error)
        return error;
    if (store->growing.count)
        qsort(store->growing.items, store->growing.count, sizeof(*store->growing.items),
              by_importance);
    for (uint32_t i = 0; i < store->growing.count; i++) {
        const struct rft_growing *growing = &store->growing.items[i];
        for (uint32_t k = 0; k < growing->member_count; k++)
            model->sites[growing->members[k]].growing = i;
        for (uint32_t k = 0; k < growing->companion_count; k++)
            model->sites[growing->companions[k]].growing = i;
    }
    return NULL;
}

/* Static builtin types: their dicts and subclasses are the interpreter's (struct types_state,
 * Include/internal/pycore_interp_structs.h; pycore_typeobject.h in 3.13). No table tells where:
 * but a type has its place in the array, plus 1, in its tp_subclasses. */
#include "heap/roots.h"
#include "heap/shape.h"

enum {
    STATE_SIZE = 48, /* type, three ints, tp_dict, tp_subclasses, tp_weaklist */
    STATE_DICT = 24,
    STATE_SUBCLASSES = 32,
    STATES_MAX = 512,
    CACHE_SIZE = 4096 * 24,
};

bool rft_static_types_find(const char *interpreter, struct rft_static_types *found)
{
    const char *end = interpreter + rft_heap.layout.at[RFT_INTERP_SIZE];
    int64_t number = word_at(rft_heap.object_type, tp(TP_SUBCLASSES)) - 1;
    memset(found, 0, sizeof *found);
    if (number < 0 || number >= STATES_MAX) {
        return false;
    }
    for (const char *at = interpreter + CACHE_SIZE; at + STATE_SIZE <= end; at += 8) {
        if (pointer_at(at, 0) != rft_heap.object_type) {
            continue;
        }
        const char *states = at - STATE_SIZE * number;
        size_t count = states - 8 > interpreter ? (size_t)word_at(states, (size_t)-8) : 0;
        if (count <= (size_t)number || count > STATES_MAX || states + STATE_SIZE * count > end) {
            continue;
        }
        bool all = true;
        for (size_t i = 0; i < count && all; i++) {
            const char *type = pointer_at(states, STATE_SIZE * i);
            all = type != NULL && rft_is_object(type) && type_flags(type) & TYPE_STATIC_BUILTIN &&
                  word_at(type, tp(TP_SUBCLASSES)) == (int64_t)i + 1;
        }
        if (all) {
            found->states = states;
            found->count = count;
            found->cache = states - 8 - CACHE_SIZE;
            return true;
        }
    }
    return false;
}

int rft_roots_types(const struct rft_roots *roots, const struct rft_static_types *types)
{
    int stop = 0;
    for (size_t i = 0; i < types->count && stop == 0; i++) {
        const char *state = types->states + STATE_SIZE * i, *type = pointer_at(state, 0);
        const char *name = pointer_at(type, rft_heap.layout.at[RFT_TYPE_NAME]);
        stop = rft_root_give(roots, RFT_ROOT_STATIC_TYPE, name, NULL, type, false);
        stop = stop != 0 ? stop
                         : rft_root_give(roots, RFT_ROOT_STATIC_TYPE, name, NULL,
                                         pointer_at(state, STATE_DICT), true);
        stop = stop != 0 ? stop
                         : rft_root_give(roots, RFT_ROOT_STATIC_TYPE, name, NULL,
                                         pointer_at(state, STATE_SUBCLASSES), true);
    }
    /* The cache of attribute lookups owns the names, and borrows the values. */
    for (size_t i = 0; types->cache != NULL && i < 4096 && stop == 0; i++) {
        const char *name = pointer_at(types->cache, 24 * i + 8);
        if (name != NULL && name != rft_heap.none) {
            stop = rft_root_give(roots, RFT_ROOT_INTERPRETER, "cache of attribute lookups", NULL,
                                 name, true);
        }
    }
    return stop;
}

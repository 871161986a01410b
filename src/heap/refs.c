/* The references of one object, with their names, as its shape says. */
#include "heap/dict_entries.h"
#include "heap/shape.h"
#include "trace/format.h"

struct walk {
    rft_ref_visit visit;
    void *arg;
    bool all;
};

static inline int give(const struct walk *w, const char *target, uint8_t kind, const char *label)
{
    struct rft_ref ref = {.target = target, .counted = true, .kind = kind, .label = label};
    return target != NULL ? w->visit(&ref, w->arg) : 0;
}

static int items(const struct walk *w, const char *at, int64_t count)
{
    struct rft_ref ref = {.counted = true, .kind = RFT_EDGE_ITEM};
    for (int64_t i = 0; i < count; i++) {
        ref.target = pointer_at(at, 8 * (size_t)i);
        ref.index = (uint64_t)i;
        int stop = ref.target != NULL ? w->visit(&ref, w->arg) : 0;
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

/* Keys of a split table belong to the class that shares them (type_refs). Keys that are all
 * str are never visited by dict_traverse(). */
static int entries(const struct walk *w, const char *op)
{
    struct rft_dict_entries d;
    if (is_interned_dict(op)) {
        return 0; /* keeps nothing alive but what is immortal (roots.c) */
    }
    rft_dict_open(op, &d);
    bool keys = d.values == NULL && (w->all || d.kind != KEYS_GENERAL);
    for (size_t i = 0; i < d.count; i++) {
        struct rft_ref ref = {.counted = true, .index = i, .name = rft_dict_key(&d, i)};
        const char *value = rft_dict_value(&d, i);
        int stop = 0;
        if (value != NULL && w->all) {
            ref.kind = RFT_EDGE_DICT_VALUE;
            ref.target = value;
            stop = w->visit(&ref, w->arg);
        }
        if (stop == 0 && value != NULL && keys) {
            ref.kind = RFT_EDGE_DICT_KEY;
            ref.target = ref.name;
            stop = w->visit(&ref, w->arg);
        }
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

/* setentry is {key, hash}; a place that was left has the hash -1 (Objects/setobject.c). */
static int members(const struct walk *w, const char *op)
{
    const char *table = pointer_at(op, rft_heap.layout.set_table);
    int64_t mask = word_at(op, rft_heap.layout.set_mask);
    for (int64_t i = 0; i <= mask; i++) {
        const char *key = pointer_at(table, 16 * (size_t)i);
        int stop = 0;
        if (key != NULL && word_at(table, 16 * (size_t)i + 8) != -1) {
            stop = give(w, key, RFT_EDGE_MEMBER, NULL);
        }
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

/* PyCodeObject (Include/cpython/code.h): objects at the beginning, and from co_localsplusnames
 * on; _co_cached {co_code, co_varnames, co_cellvars, co_freevars}. */
static int code_refs(const struct walk *w, const char *op)
{
    static const struct {
        uint8_t at;
        const char *label;
    } first[] = {{24, "co_consts"}, {32, "co_names"}, {40, "co_exceptiontable"}},
      second[] = {{0, "co_localsplusnames"}, {8, "co_localspluskinds"}, {16, "co_filename"},
                  {24, "co_name"},           {32, "co_qualname"},       {40, "co_linetable"}},
      cached[] = {{0, "co_code"}, {8, "co_varnames"}, {16, "co_cellvars"}, {24, "co_freevars"}};
    const char *names = op + rft_heap.layout.at[RFT_CODE_LOCALNAMES];
    const char *cache = pointer_at(names, 64);
    int stop = 0;
    for (size_t i = 0; i < 3 && stop == 0; i++) {
        stop = give(w, pointer_at(op, first[i].at), RFT_EDGE_CODE, first[i].label);
    }
    for (size_t i = 0; i < 6 && stop == 0; i++) {
        stop = give(w, pointer_at(names, second[i].at), RFT_EDGE_CODE, second[i].label);
    }
    for (size_t i = 0; i < 4 && stop == 0 && cache != NULL; i++) {
        stop = give(w, pointer_at(cache, cached[i].at), RFT_EDGE_CODE, cached[i].label);
    }
    return stop;
}

/* PyFrameObject (Include/internal/pycore_frame.h): f_back, f_frame, f_trace, f_lineno, flags,
 * f_extra_locals, f_locals_cache, since 3.14 f_overwritten_fast_locals. */
static int frame_object_refs(const struct walk *w, const char *op)
{
    int stop = give(w, pointer_at(op, 16), RFT_EDGE_ATTRIBUTE, "f_back");
    stop = stop != 0 ? stop : give(w, pointer_at(op, 32), RFT_EDGE_ATTRIBUTE, "f_trace");
    stop = stop != 0 ? stop : give(w, pointer_at(op, 48), RFT_EDGE_ATTRIBUTE, "f_locals");
    stop = stop != 0 ? stop : give(w, pointer_at(op, 56), RFT_EDGE_ATTRIBUTE, "f_locals");
    if (rft_heap.layout.version >= 0x030E0000 && stop == 0) {
        stop = give(w, pointer_at(op, 64), RFT_EDGE_ATTRIBUTE, "f_locals");
    }
    struct rft_frame_view view;
    const char *frame = pointer_at(op, 24);
    if (stop == 0 && frame != NULL && rft_frame_open(frame, &view) && view.of_object) {
        stop = rft_frame_refs(&view, RFT_EDGE_LOCAL, w->visit, w->arg);
    }
    return stop;
}

/* PyGenObject: weakrefs, gi_name, gi_qualname, gi_exc_state {exc_value, previous},
 * gi_origin_or_finalizer, three flags, gi_frame_state, gi_iframe. FRAME_CLEARED is 4, since 3.15
 * 5: then the code alone is left. (3.13 itself lets go of that too.) */
static int generator_refs(const struct walk *w, const char *op)
{
    enum { NAME = 24, QUALNAME = 32, EXCEPTION = 40, STATE = 67, FRAME = 72 };
    int cleared = rft_heap.layout.version >= 0x030F0000 ? 5 : 4;
    int stop = give(w, pointer_at(op, NAME), RFT_EDGE_ATTRIBUTE, "__name__");
    stop = stop != 0 ? stop : give(w, pointer_at(op, QUALNAME), RFT_EDGE_ATTRIBUTE, "__qualname__");
    stop = stop != 0 ? stop
                     : give(w, pointer_at(op, EXCEPTION), RFT_EDGE_EXCEPTION, "handled exception");
    if (stop != 0) {
        return stop;
    }
    struct rft_frame_view view;
    if ((signed char)op[STATE] >= cleared) {
        return rft_frame_code(op + FRAME, w->visit, w->arg);
    }
    if (!rft_frame_open(op + FRAME, &view)) {
        return 0;
    }
    return rft_frame_refs(&view, RFT_EDGE_FRAME, w->visit, w->arg);
}

static int shared_keys(const struct walk *w, const char *keys)
{
    struct rft_dict_entries d;
    rft_dict_keys_open(keys, &d);
    for (size_t i = 0; i < d.count; i++) {
        int stop = give(w, rft_dict_key(&d, i), RFT_EDGE_TYPE_SLOT, "names of attributes");
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

/* A static builtin type has its dict in the interpreter (tp_dict is NULL there). Its subclasses
 * too; they are a root's (roots.c). */
static int type_refs(const struct walk *w, const char *op)
{
    static const struct {
        uint16_t at;
        const char *label;
    } told[] = {{TP_DICT, "__dict__"}, {TP_BASES, "__bases__"}, {TP_MRO, "__mro__"}};
    uint64_t flags = type_flags(op);
    bool heap = flags & TYPE_HEAP;
    int stop = 0;
    for (size_t i = 0; i < 3 && stop == 0 && (w->all || !heap); i++) {
        stop = give(w, pointer_at(op, tp(told[i].at)), RFT_EDGE_TYPE_SLOT, told[i].label);
    }
    if (stop == 0 && !(flags & TYPE_STATIC_BUILTIN)) {
        stop = give(w, pointer_at(op, tp(TP_SUBCLASSES)), RFT_EDGE_TYPE_SLOT, "__subclasses__");
    }
    if (stop != 0 || !heap) {
        return stop;
    }
    const struct rft_layout *l = &rft_heap.layout;
    if (w->all) {
        stop = give(w, pointer_at(op, tp(TP_BASE)), RFT_EDGE_TYPE_SLOT, "__base__");
        stop = stop != 0 ? stop
                         : give(w, pointer_at(op, l->ht_cached_keys + 8), RFT_EDGE_TYPE_SLOT,
                                "defining module");
    }
    stop = stop != 0 ? stop
                     : give(w, pointer_at(op, l->ht_qualname - 16), RFT_EDGE_TYPE_SLOT, "__name__");
    stop = stop != 0 ? stop
                     : give(w, pointer_at(op, l->ht_qualname - 8), RFT_EDGE_TYPE_SLOT, "__slots__");
    stop = stop != 0 ? stop
                     : give(w, pointer_at(op, l->ht_qualname), RFT_EDGE_TYPE_SLOT, "__qualname__");
    return stop != 0 ? stop : shared_keys(w, pointer_at(op, l->ht_cached_keys));
}

/* Modules/_functoolsmodule.c: the wrapper begins with the root of a ring of links {prev, next,
 * hash, key, result}. It owns the links, which tp_traverse does not visit; it visits what these
 * own, and their type. */
enum { LINK_NEXT = 24, LINK_KEY = 40, LINK_RESULT = 48, LINKS_MAX = 1 << 28 };

static int lru_refs(const struct walk *w, const char *op)
{
    const char *link = pointer_at(op, LINK_NEXT);
    int stop = 0;
    for (int i = 0; link != NULL && link != op && i < LINKS_MAX && stop == 0; i++) {
        stop = give(w, link, RFT_EDGE_ATTRIBUTE, "cached call");
        if (w->all) {
            stop = stop != 0 ? stop
                             : give(w, pointer_at(link, LINK_RESULT), RFT_EDGE_ATTRIBUTE,
                                    "cached result");
            stop = stop != 0 ? stop
                             : give(w, pointer_at(link, LINK_KEY), RFT_EDGE_ATTRIBUTE,
                                    "arguments of a cached call");
        }
        link = pointer_at(link, LINK_NEXT);
    }
    return stop;
}

/* numpy's PyArrayObject {data, nd, dimensions, strides, base, descr, flags} and PyArray_Descr
 * {typeobj, four bytes, type_num, flags, elsize} (ndarraytypes.h, numpy 2). The objects in it
 * are its own if the memory is, which then has no gaps, whatever the strides. */
static int ndarray_refs(const struct walk *w, const char *op)
{
    enum { DATA = 16, DIMENSION_COUNT = 24, DIMENSIONS = 32, DTYPE = 56, FLAGS = 64 };
    enum { TYPE_NUMBER = 28, ITEM_SIZE = 40, OBJECT = 17, OWNS_DATA = 4, DIMENSIONS_MAX = 64 };
    int32_t dimension_count, flags, number = 0;
    const char *dtype = pointer_at(op, DTYPE), *dimensions = pointer_at(op, DIMENSIONS);
    memcpy(&dimension_count, op + DIMENSION_COUNT, sizeof dimension_count);
    memcpy(&flags, op + FLAGS, sizeof flags);
    if (dtype != NULL) {
        memcpy(&number, dtype + TYPE_NUMBER, sizeof number);
    }
    if (number != OBJECT || word_at(dtype, ITEM_SIZE) != sizeof(void *) || !(flags & OWNS_DATA) ||
        pointer_at(op, DATA) == NULL || dimension_count < 0 || dimension_count > DIMENSIONS_MAX) {
        return 0;
    }
    int64_t count = 1;
    for (int32_t i = 0; i < dimension_count; i++) {
        if (__builtin_mul_overflow(count, word_at(dimensions, 8 * (size_t)i), &count)) {
            return 0;
        }
    }
    return items(w, pointer_at(op, DATA), count);
}

/* The tree of a context's variables (Python/hamt.c): nodes of pairs {bitmap or hash, pairs}, where
 * a key that is NULL stands before a node below, and nodes of 32 nodes. A value is called as its
 * variable is (Include/internal/pycore_context.h). */
static int context_pairs(const struct walk *w, const char *op)
{
    enum { PAIRS = 32, VARIABLE_NAME = 16 };
    int64_t count = word_at(op, rft_heap.layout.at[RFT_OBJECT_SIZE]);
    int stop = 0;
    for (int64_t i = 0; i + 1 < count && stop == 0; i += 2) {
        const char *variable = pointer_at(op, PAIRS + 8 * (size_t)i);
        const char *value = pointer_at(op, PAIRS + 8 * (size_t)i + 8);
        if (variable == NULL) {
            stop = give(w, value, RFT_EDGE_DESCRIPTOR, RFT_LABEL_CONTEXT_TREE);
        } else if (value != NULL) {
            struct rft_ref ref = {.target = value,
                                  .counted = true,
                                  .kind = RFT_EDGE_DICT_VALUE,
                                  .name = pointer_at(variable, VARIABLE_NAME)};
            stop = w->visit(&ref, w->arg);
            stop = stop != 0 ? stop : give(w, variable, RFT_EDGE_DICT_KEY, NULL);
        }
    }
    return stop;
}

static int context_nodes(const struct walk *w, const char *op)
{
    enum { NODES = 16, COUNT = 32 };
    int stop = 0;
    for (size_t i = 0; i < COUNT && stop == 0; i++) {
        stop = give(w, pointer_at(op, NODES + 8 * i), RFT_EDGE_DESCRIPTOR, RFT_LABEL_CONTEXT_TREE);
    }
    return stop;
}

static int body(const struct walk *w, const char *op, int kind)
{
    const uint32_t *at = rft_heap.layout.at;
    switch (kind) {
    case BODY_LIST:
        return w->all ? items(w, pointer_at(op, at[RFT_LIST_ITEM]), word_at(op, at[RFT_LIST_COUNT]))
                      : 0;
    case BODY_TUPLE:
        return w->all ? items(w, op + at[RFT_TUPLE_ITEM], word_at(op, at[RFT_TUPLE_COUNT])) : 0;
    case BODY_DICT:
        return entries(w, op);
    case BODY_SET:
        return w->all ? members(w, op) : 0;
    case BODY_CODE:
        return code_refs(w, op);
    case BODY_FRAME:
        return w->all ? frame_object_refs(w, op) : 0;
    case BODY_GENERATOR:
        return w->all ? generator_refs(w, op) : 0;
    case BODY_TYPE:
        return type_refs(w, op);
    case BODY_LRU:
        return lru_refs(w, op);
    case BODY_NDARRAY:
        return ndarray_refs(w, op);
    case BODY_CONTEXT_PAIRS:
        return w->all ? context_pairs(w, op) : 0;
    case BODY_CONTEXT_NODES:
        return w->all ? context_nodes(w, op) : 0;
    case BODY_GREENLET:
        return rft_greenlet_refs(op, w->visit, w->arg);
    default:
        return 0;
    }
}

/* PyMemberDef {name, type, offset, flags, doc}; T_OBJECT is 6, Py_T_OBJECT_EX 16
 * (Include/descrobject.h). */
enum { MEMBER_SIZE = 40, MEMBER_OBJECT = 6, MEMBER_OBJECT_EX = 16 };

static int member(const struct walk *w, const char *op, const char *definition, bool any,
                  uint32_t basicsize)
{
    int32_t type;
    memcpy(&type, definition + 8, sizeof type);
    int64_t at = word_at(definition, 16);
    bool object = type == MEMBER_OBJECT_EX || (any && type == MEMBER_OBJECT);
    if (!object || at < 16 || at + 8 > (int64_t)basicsize) {
        return 0;
    }
    return give(w, pointer_at(op, (size_t)at), RFT_EDGE_ATTRIBUTE, pointer_at(definition, 0));
}

/* __slots__ of the classes down to the one implemented in C: PyMemberDefs behind the type
 * object (PyHeapType_GET_MEMBERS). */
static int slot_refs(const struct walk *w, const char *op, const struct rft_shape *shape)
{
    const char *type = shape->type;
    for (int depth = 0; type != shape->solid && type != NULL && depth < 4096; depth++) {
        int64_t count = word_at(type, rft_heap.layout.at[RFT_OBJECT_SIZE]);
        const char *definition = type + word_at(type_of(type), tp(TP_BASICSIZE));
        for (int64_t i = 0; i < count; i++) {
            int stop = member(w, op, definition + MEMBER_SIZE * i, false, shape->basicsize);
            if (stop != 0) {
                return stop;
            }
        }
        type = pointer_at(type, tp(TP_BASE));
    }
    return 0;
}

/* Members that a type implemented in C tells of. If it has a tp_traverse, that visits them, and
 * these are their names. */
static int member_refs(const struct walk *w, const char *op, const struct rft_shape *shape)
{
    const char *type = shape->solid;
    for (int depth = 0; type != NULL && depth < 64; depth++) {
        const char *definition = pointer_at(type, tp(TP_MEMBERS));
        for (int i = 0; definition != NULL && pointer_at(definition, 0) != NULL && i < 256; i++) {
            int stop = member(w, op, definition, true, shape->basicsize);
            if (stop != 0) {
                return stop;
            }
            definition += MEMBER_SIZE;
        }
        type = pointer_at(type, tp(TP_BASE));
    }
    return 0;
}

/* Attributes that an instance keeps in itself: PyDictValues behind it, with the names in the
 * keys of its class. */
static int inline_refs(const struct walk *w, const char *op, const struct rft_shape *shape)
{
    const char *values = op + shape->basicsize;
    struct rft_dict_entries d;
    rft_dict_keys_open(pointer_at(shape->type, rft_heap.layout.ht_cached_keys), &d);
    if (values[3] == 0) { /* valid */
        return 0;
    }
    size_t capacity = (unsigned char)values[0];
    for (size_t i = 0; i < capacity; i++) {
        struct rft_ref ref = {.counted = true, .kind = RFT_EDGE_ATTRIBUTE};
        ref.target = pointer_at(values, 8 + 8 * i);
        ref.name = i < d.count ? rft_dict_key(&d, i) : NULL;
        int stop = ref.target != NULL ? w->visit(&ref, w->arg) : 0;
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

/* The dict if there is one, else the inline values: of a dict that uses these it is the dict
 * that has them, as in PyObject_VisitManagedDict() since gh-130327. */
static int dict_refs(const struct walk *w, const char *op, const struct rft_shape *shape)
{
    const char *dict = shape->dict_place == DICT_MANAGED
                           ? pointer_at(op - 24, 0) /* MANAGED_DICT_OFFSET, pycore_object.h */
                           : pointer_at(op, shape->dict_at);
    if (dict != NULL) {
        return give(w, dict, RFT_EDGE_ATTRIBUTE, "__dict__");
    }
    return shape->flags & TYPE_INLINE_VALUES ? inline_refs(w, op, shape) : 0;
}

/* Include/datetime.h: tzinfo is there if hastzinfo is set. */
static int datetime_refs(const struct walk *w, const char *op, const struct rft_shape *shape)
{
    const char *name = pointer_at(shape->solid, rft_heap.layout.at[RFT_TYPE_NAME]);
    size_t at = strcmp(name, "datetime.datetime") == 0 ? 40
                : strcmp(name, "datetime.time") == 0   ? 32
                                                       : 0;
    return at != 0 && op[24] != 0 ? give(w, pointer_at(op, at), RFT_EDGE_ATTRIBUTE, "tzinfo") : 0;
}

int rft_refs_own(const char *op, const struct rft_shape *shape, bool all, rft_ref_visit visit,
                 void *arg)
{
    struct walk w = {visit, arg, all};
    const struct rft_known_type *known = shape->known;
    int stop = 0;
    if (known != NULL) {
        stop = body(&w, op, known->body);
        for (size_t i = 0; i < known->field_count && stop == 0; i++) {
            const struct rft_place *field = &known->fields[i];
            if (all || field->untold) {
                stop = give(&w, pointer_at(op, field->at), field->kind, field->label);
            }
        }
    }
    if (stop == 0 && shape->slots) {
        stop = slot_refs(&w, op, shape);
    }
    if (stop == 0 && shape->dict_place != DICT_NOWHERE &&
        (!shape->dict_told || (all && !shape->covered))) {
        stop = dict_refs(&w, op, shape);
    }
    if (stop == 0 && !shape->covered && (all || shape->traverse == NULL)) {
        stop = member_refs(&w, op, shape);
    }
    if (stop == 0 && shape->traverse == NULL && known == NULL && shape->basicsize >= 40) {
        stop = datetime_refs(&w, op, shape);
    }
    if (stop == 0 && shape->flags & TYPE_HEAP) {
        stop = give(&w, shape->type, RFT_EDGE_TYPE, NULL);
    }
    return stop;
}

struct told {
    rft_ref_visit visit;
    void *arg;
    const char *type, *weakrefs; /* visited once each, and not to be told (again) */
    const char *link_type; /* visited for each link of an lru_cache, which has its type itself */
    int64_t links;
    /* What the frames of a greenlet refer to, of which each version of it visits some. */
    const char **of_frames;
    size_t of_frames_count;
    struct rft_ref ref;
};

/* Of a greenlet with more references in its frames nothing is told but those. */
enum { OF_FRAMES_MAX = 1 << 12 };

static int collect(const struct rft_ref *ref, void *arg)
{
    struct told *t = arg;
    if (t->of_frames_count == OF_FRAMES_MAX) {
        return 1;
    }
    t->of_frames[t->of_frames_count++] = ref->target;
    return 0;
}

/* A frame object belongs to its frame; the greenlet only says that it is the topmost. */
static bool is_of_frames(struct told *t, const char *target)
{
    if (rft_is_frame_object(target)) {
        return true;
    }
    for (size_t i = 0; i < t->of_frames_count; i++) {
        if (t->of_frames[i] == target) {
            t->of_frames[i] = t->of_frames[--t->of_frames_count];
            return true;
        }
    }
    return false;
}

static int on_visit(void *target, void *arg)
{
    struct told *t = arg;
    if (target == t->type) {
        t->type = NULL; /* rft_refs_own has it */
        return 0;
    }
    if (target == t->weakrefs && target != NULL) {
        t->weakrefs = NULL; /* the list of weak references, which owns nothing */
        return 0;
    }
    if (t->of_frames_count > 0 && is_of_frames(t, target)) {
        return 0;
    }
    if (target == t->link_type && t->links > 0) {
        t->links--;
        return 0;
    }
    t->ref.target = target;
    int stop = t->visit(&t->ref, t->arg);
    t->ref.index++;
    return stop;
}

int rft_refs_told(const char *op, const struct rft_shape *shape, rft_ref_visit visit, void *arg)
{
    /* type_traverse() aborts for a static type. */
    if (shape->traverse == NULL || (shape->flags & TYPE_TYPE && !(type_flags(op) & TYPE_HEAP))) {
        return 0;
    }
    struct told told = {.visit = visit, .arg = arg};
    told.type = shape->flags & TYPE_HEAP ? shape->type : NULL;
    told.weakrefs = shape->weaklist_at > 0 ? pointer_at(op, shape->weaklist_at) : NULL;
    told.ref.counted = true;
    if (shape->known != NULL && shape->known->body == BODY_LRU) {
        const char *link = pointer_at(op, LINK_NEXT);
        told.link_type = link != NULL && link != op ? type_of(link) : NULL;
        for (; link != NULL && link != op && told.links < LINKS_MAX; told.links++) {
            link = pointer_at(link, LINK_NEXT);
        }
    }
    if (shape->known != NULL && shape->known->body == BODY_GREENLET) {
        static const char *of_frames[OF_FRAMES_MAX]; /* with the GIL held */
        told.of_frames = of_frames;
        if (rft_greenlet_refs(op, collect, &told) != 0) {
            return 0;
        }
    }
    told.ref.kind = shape->known != NULL ? shape->known->other_kind : RFT_EDGE_REFERENCE;
    return shape->traverse((void *)(uintptr_t)op, on_visit, &told);
}

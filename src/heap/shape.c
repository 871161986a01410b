/* Shapes of types: found once for each type that is met, and kept until the next analysis. */
#include "heap/shape.h"

#include <sys/mman.h>

#include "trace/format.h"

/* Include/cpython/pyerrors.h, PyException_HEAD */
static const struct rft_place exception_fields[] = {
    {16, RFT_EDGE_ATTRIBUTE, 0, "__dict__"},  {24, RFT_EDGE_EXCEPTION, 0, "args"},
    {32, RFT_EDGE_EXCEPTION, 0, "__notes__"}, {40, RFT_EDGE_EXCEPTION, 0, "traceback"},
    {48, RFT_EDGE_EXCEPTION, 0, "context"},   {56, RFT_EDGE_EXCEPTION, 0, "cause"},
};
/* Types without a row, by what they derive from. */
static const struct rft_known_type list_like = {"", BODY_LIST, false, 0, 0, NULL, 0};
static const struct rft_known_type tuple_like = {"", BODY_TUPLE, false, 0, 0, NULL, 0};
static const struct rft_known_type dict_like = {"", BODY_DICT, false, 0, 0, NULL, 0};
static const struct rft_known_type type_like = {"", BODY_TYPE, false, 0, 0, NULL, 0};
static const struct rft_known_type exception_like = {
    "",
    BODY_NONE,
    false,
    0,
    0,
    exception_fields,
    sizeof exception_fields / sizeof *exception_fields};

/* Another type of the same name may be smaller than the one that we know. */
static bool fits(const struct rft_known_type *known, const char *solid)
{
    int64_t size = word_at(solid, tp(TP_BASICSIZE));
    for (size_t i = 0; i < known->field_count; i++) {
        if (known->fields[i].at + 8 > size) {
            return false;
        }
    }
    return true;
}

static const struct rft_known_type *known_of(const char *solid, uint64_t flags)
{
    const char *name = pointer_at(solid, rft_heap.layout.at[RFT_TYPE_NAME]);
    const struct rft_known_type *known = name != NULL ? rft_known_type(name) : NULL;
    if (known != NULL && fits(known, solid)) {
        return known;
    }
    return flags & TYPE_LIST        ? &list_like
           : flags & TYPE_TUPLE     ? &tuple_like
           : flags & TYPE_DICT      ? &dict_like
           : flags & TYPE_EXCEPTION ? &exception_like
           : flags & TYPE_TYPE      ? &type_like
                                    : NULL;
}

/* tp_traverse of a type; also where another type inherited it. */
static rft_traverse traverse_of(const char *type)
{
    rft_traverse traverse;
    memcpy(&traverse, type + tp(TP_TRAVERSE), sizeof traverse);
    return traverse;
}

static void describe(const char *type, struct rft_shape *shape)
{
    memset(shape, 0, sizeof *shape);
    shape->type = type;
    shape->flags = type_flags(type);
    shape->basicsize = (uint32_t)word_at(type, tp(TP_BASICSIZE));
    const char *solid = type;
    /* As subtype_traverse() does (Objects/typeobject.c): up to the first class that has
     * another tp_traverse. */
    for (int depth = 0; depth < 4096 && rft_heap.subtype_traverse != NULL &&
                        traverse_of(solid) == rft_heap.subtype_traverse;
         depth++) {
        const char *base = pointer_at(solid, tp(TP_BASE));
        if (base == NULL) {
            break;
        }
        shape->slots |= word_at(solid, rft_heap.layout.at[RFT_OBJECT_SIZE]) != 0;
        solid = base;
    }
    shape->solid = solid;
    shape->known = known_of(solid, shape->flags);
    shape->covered = shape->known != NULL && shape->known->covered;
    shape->traverse = type_flags(solid) & TYPE_HAVE_GC ? traverse_of(solid) : NULL;
    shape->to_compare = 3;
    int64_t dict = word_at(type, tp(TP_DICTOFFSET)), own = word_at(solid, tp(TP_DICTOFFSET));
    int64_t weak = word_at(type, tp(TP_WEAKLISTOFFSET));
    shape->weaklist_at = weak > 0 ? (uint32_t)weak : 0;
    if (shape->flags & TYPE_MANAGED_DICT) {
        shape->dict_place = DICT_MANAGED;
    } else if (dict > 0 && !(shape->flags & TYPE_TYPE)) {
        shape->dict_place = DICT_AT;
        shape->dict_at = (uint32_t)dict;
    }
    shape->dict_told = dict == own;
}

/* Types by address; grows, from pages. */
enum { CHUNK = 1 << 20 };
static struct {
    struct rft_shape *shapes;
    uint32_t *slots; /* index + 1 */
    uint32_t count, capacity, mask;
    struct rft_shape *last;
} table;

static void *pages(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

static uint32_t bucket_of(const char *type)
{
    return (uint32_t)((uintptr_t)type >> 4) * UINT32_C(2654435761);
}

void rft_shapes_reset(void)
{
    if (table.capacity > 0) {
        munmap(table.shapes, table.capacity * sizeof *table.shapes);
        munmap(table.slots, ((size_t)table.mask + 1) * sizeof *table.slots);
    }
    memset(&table, 0, sizeof table);
}

static bool grow(void)
{
    uint32_t capacity = table.capacity == 0 ? 4096 : 2 * table.capacity;
    struct rft_shape *shapes = pages(capacity * sizeof *shapes);
    uint32_t mask = 4 * capacity - 1;
    uint32_t *slots = pages(((size_t)mask + 1) * sizeof *slots);
    if (shapes == NULL || slots == NULL) {
        if (shapes != NULL) {
            munmap(shapes, capacity * sizeof *shapes);
        }
        if (slots != NULL) {
            munmap(slots, ((size_t)mask + 1) * sizeof *slots);
        }
        return false;
    }
    uint32_t count = table.count;
    if (count > 0) {
        memcpy(shapes, table.shapes, count * sizeof *shapes);
    }
    rft_shapes_reset();
    table.shapes = shapes;
    table.slots = slots;
    table.count = count;
    table.capacity = capacity;
    table.mask = mask;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = bucket_of(shapes[i].type) & mask;
        while (slots[at] != 0) {
            at = (at + 1) & mask;
        }
        slots[at] = i + 1;
    }
    return true;
}

struct rft_shape *rft_shape_of(const char *type)
{
    if (table.last != NULL && table.last->type == type) {
        return table.last;
    }
    uint32_t at = 0;
    if (table.capacity > 0) {
        for (at = bucket_of(type) & table.mask; table.slots[at] != 0; at = (at + 1) & table.mask) {
            struct rft_shape *shape = &table.shapes[table.slots[at] - 1];
            if (shape->type == type) {
                table.last = shape;
                return shape;
            }
        }
    }
    if (table.count == table.capacity) {
        if (!grow()) {
            static struct rft_shape alone; /* no memory: found anew each time */
            describe(type, &alone);
            alone.to_compare = 0;
            return &alone;
        }
        for (at = bucket_of(type) & table.mask; table.slots[at] != 0; at = (at + 1) & table.mask) {
        }
    }
    struct rft_shape *shape = &table.shapes[table.count++];
    describe(type, shape);
    table.slots[at] = table.count;
    table.last = shape;
    return shape;
}

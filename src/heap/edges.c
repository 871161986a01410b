/* What does one object refer to? */
#include "heap/edges.h"

#include "heap/dict_entries.h"
#include "heap/shape.h"

struct rft_heap_cpython rft_heap;

struct edges {
    rft_edge_visit visit;
    void *arg;
};

static int pass_on(const struct rft_ref *ref, void *arg)
{
    const struct edges *e = arg;
    return e->visit(ref->target, ref->counted, e->arg);
}

/* Targets of one object, to compare two ways to find them. More than these are not compared. */
enum { TARGETS = 256 };
struct targets {
    const char *at[TARGETS];
    size_t count;
    bool full;
};

static int collect(const struct rft_ref *ref, void *arg)
{
    struct targets *t = arg;
    t->full |= t->count == TARGETS;
    if (!t->full) {
        t->at[t->count++] = ref->target;
    }
    return t->full;
}

static int collect_told(void *target, void *arg)
{
    struct rft_ref ref = {.target = target};
    return collect(&ref, arg);
}

/* Does tp_traverse visit nothing but what we have found? If it does, the fields of this type
 * are not where we think: tp_traverse is right. */
static bool agrees(const char *op, const struct rft_shape *shape)
{
    struct targets own = {.count = 0}, told = {.count = 0};
    rft_traverse traverse;
    memcpy(&traverse, shape->type + tp(TP_TRAVERSE), sizeof traverse);
    bool static_type = shape->flags & TYPE_TYPE && !(type_flags(op) & TYPE_HEAP);
    if (!(shape->flags & TYPE_HAVE_GC) || traverse == NULL || static_type) {
        return true;
    }
    rft_refs_own(op, shape, true, collect, &own);
    traverse((void *)(uintptr_t)op, collect_told, &told);
    if (own.full || told.full) {
        return true;
    }
    for (size_t i = 0; i < told.count; i++) {
        size_t k = 0;
        while (k < own.count && own.at[k] != told.at[i]) {
            k++;
        }
        if (k == own.count) {
            return false;
        }
        own.at[k] = own.at[--own.count];
    }
    return true;
}

int rft_edges_each(const void *op, rft_edge_visit visit, void *arg)
{
    struct rft_shape *shape = rft_shape_of(type_of(op));
    if (shape->covered && shape->to_compare > 0) {
        shape->to_compare--;
        if (!agrees(op, shape)) {
            shape->covered = false;
            shape->known = NULL;
        }
    }
    struct edges e = {visit, arg};
    int stop = rft_refs_own(op, shape, shape->covered, pass_on, &e);
    return stop == 0 && !shape->covered ? rft_refs_told(op, shape, pass_on, &e) : stop;
}

/* Objects/capsule.c: {pointer, name, context, destructor}. One that is to be told when it goes may
 * own what it points to. */
static void visit_capsule(const char *op, rft_edge_visit visit, void *arg)
{
    enum { POINTER = 16, CONTEXT = 32, DESTRUCTOR = 40 };
    const char *pointer = pointer_at(op, POINTER), *context = pointer_at(op, CONTEXT);
    if (pointer_at(op, DESTRUCTOR) != NULL && (pointer == NULL || visit(pointer, 1, arg) == 0) &&
        context != NULL) {
        visit(context, 1, arg);
    }
}

void rft_edges_hidden(const void *op, rft_edge_visit visit, void *arg)
{
    const struct rft_shape *shape = rft_shape_of(type_of(op));
    if (shape->solid == rft_heap.capsule_type) {
        visit_capsule(op, visit, arg);
        return;
    }
    if (shape->covered || type_flags(shape->solid) & TYPE_STATIC_BUILTIN) {
        return;
    }
    size_t end = (size_t)word_at(shape->solid, tp(TP_BASICSIZE));
    size_t header = rft_heap.layout.at[RFT_OBJECT_TYPE] + 8;
    for (size_t at = header; at + 8 <= end; at += 8) {
        const char *word = pointer_at(op, at);
        if (word != NULL && at != shape->weaklist_at && visit(word, 1, arg) != 0) {
            return;
        }
    }
}

/* How is a reference called? */
#include "heap/edges.h"

#include "heap/shape.h"

struct search {
    const void *target;
    struct rft_label *label;
    const struct rft_known_type *known;
    bool found;
};

static void set_text(struct rft_label *label, const char *text)
{
    size_t length = strlen(text);
    label->length = length < sizeof label->text ? length : sizeof label->text;
    memcpy(label->text, text, label->length);
}

static int compare(const struct rft_ref *ref, void *arg)
{
    struct search *s = arg;
    if (ref->target != s->target) {
        return 0;
    }
    s->found = true;
    s->label->kind = ref->kind;
    s->label->index = ref->index;
    if (ref->label != NULL) {
        set_text(s->label, ref->label);
    } else if (ref->name != NULL) {
        s->label->length = rft_text(ref->name, s->label->text, sizeof s->label->text);
    }
    return 1;
}

static int compare_told(const struct rft_ref *ref, void *arg)
{
    struct search *s = arg;
    int stop = compare(ref, arg);
    if (stop != 0 && (s->known == NULL || !s->known->numbered)) {
        s->label->index = 0;
    }
    return stop;
}

void rft_label_of(const void *holder, const void *target, struct rft_label *label)
{
    const struct rft_shape *shape = rft_shape_of(type_of(holder));
    struct search s = {.target = target, .label = label, .known = shape->known};
    label->kind = RFT_EDGE_REFERENCE;
    label->index = 0;
    label->length = 0;
    rft_refs_own(holder, shape, true, compare, &s);
    if (!s.found && !shape->covered) {
        rft_refs_told(holder, shape, compare_told, &s);
    }
}

/* The variable that a function's cell is: co_freevars are the last of the code's
 * co_localsplusnames, in the order of the closure. */
static bool free_variable(const char *function, const char *closure, const void *cell,
                          struct rft_label *label)
{
    enum { CODE = 48, CLOSURE = 72 }; /* Include/cpython/funcobject.h */
    const uint32_t *at = rft_heap.layout.at;
    if (pointer_at(function, CLOSURE) != closure) {
        return false;
    }
    const char *code = pointer_at(function, CODE);
    const char *names = code != NULL ? pointer_at(code, at[RFT_CODE_LOCALNAMES]) : NULL;
    int64_t count = word_at(closure, at[RFT_TUPLE_COUNT]);
    int64_t named = names != NULL ? word_at(names, at[RFT_TUPLE_COUNT]) : 0;
    for (int64_t i = 0; i < count && count <= named; i++) {
        if (pointer_at(closure, at[RFT_TUPLE_ITEM] + 8 * (size_t)i) == cell) {
            const char *name =
                pointer_at(names, at[RFT_TUPLE_ITEM] + 8 * (size_t)(named - count + i));
            label->length = rft_text(name, label->text, sizeof label->text);
            return true;
        }
    }
    return false;
}

void rft_labels_of(const void *const *objects, size_t count, const struct rft_root *root,
                   struct rft_label *labels)
{
    for (size_t i = 0; i + 1 < count; i++) {
        const char *holder = objects[i];
        rft_label_of(holder, objects[i + 1], &labels[i]);
        const char *name = pointer_at(type_of(holder), rft_heap.layout.at[RFT_TYPE_NAME]);
        if (i > 0 && labels[i - 1].kind == RFT_EDGE_CLOSURE && labels[i].kind == RFT_EDGE_ITEM) {
            /* function -> tuple -> cell: the step into the cell has the variable's name */
            if (free_variable(objects[i - 1], holder, objects[i + 1], &labels[i])) {
                labels[i].kind = RFT_EDGE_CLOSURE;
                labels[i].index = 0;
            }
        } else if (labels[i].kind == RFT_EDGE_CELL && strcmp(name, "cell") == 0) {
            /* The cell's content is called as the cell is. */
            if (i > 0 &&
                (labels[i - 1].kind == RFT_EDGE_CLOSURE || labels[i - 1].kind == RFT_EDGE_LOCAL ||
                 labels[i - 1].kind == RFT_EDGE_FRAME)) {
                labels[i].length = labels[i - 1].length;
                memcpy(labels[i].text, labels[i - 1].text, labels[i].length);
            } else if (i == 0 && root != NULL && root->kind == RFT_ROOT_LOCAL) {
                labels[i].length = root->label_length < sizeof labels[i].text
                                       ? root->label_length
                                       : sizeof labels[i].text;
                memcpy(labels[i].text, root->label, labels[i].length);
            }
        }
    }
}

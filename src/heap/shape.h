/* What is known about the instances of one type: which words of theirs are references, how
 * these are called, and what only tp_traverse can tell.
 *
 * To add a C type: a row in known_types[] (known_types.c) with its name and its fields. A field is
 * a reference that the object owns. If the fields are all that there are, say COVERED: then
 * tp_traverse is not called, but for the first objects of each type, to compare. */
#ifndef RFT_HEAP_SHAPE_H
#define RFT_HEAP_SHAPE_H

#include <stdbool.h>

#include "heap/structures.h"

/* One word of an object. */
struct rft_place {
    uint16_t at;
    uint8_t kind;      /* RFT_EDGE_* */
    uint8_t untold;    /* tp_traverse does not visit it, though the object owns it */
    const char *label; /* NULL: none */
};

/* How the instances of a C type are read, besides their fields. */
enum rft_body {
    BODY_NONE, /* fields only */
    BODY_LIST,
    BODY_TUPLE,
    BODY_DICT,
    BODY_SET,
    BODY_CODE,
    BODY_FRAME,
    BODY_GENERATOR,
    BODY_TYPE,
    BODY_LRU,           /* functools.lru_cache */
    BODY_NDARRAY,       /* numpy.ndarray */
    BODY_CONTEXT_PAIRS, /* part of the tree of a context: {variable, value} or {NULL, part} */
    BODY_CONTEXT_NODES, /* part of that tree: 32 parts */
    BODY_GREENLET,      /* greenlet.greenlet */
};

/* A C type. */
struct rft_known_type {
    const char *name;
    uint8_t body;
    bool covered;       /* fields and body are all: tp_traverse has nothing to add */
    uint8_t other_kind; /* RFT_EDGE_* of what tp_traverse visits beyond the fields */
    uint8_t numbered;   /* they have an index: their place in the order of tp_traverse */
    const struct rft_place *fields;
    uint8_t field_count;
};

/* known_types.c. NULL: nothing is known. */
const struct rft_known_type *rft_known_type(const char *name);

/* Where instances have their dict. */
enum rft_dict_place { DICT_NOWHERE, DICT_MANAGED, DICT_AT };

struct rft_shape {
    const char *type;
    const char *solid;                  /* the base that is implemented in C */
    const struct rft_known_type *known; /* of `solid`; NULL: nothing */
    rft_traverse traverse;              /* of `solid`; NULL: none */
    uint64_t flags;
    uint32_t basicsize, weaklist_at, dict_at;
    uint8_t dict_place;
    bool dict_told;     /* it is a field of `solid`'s, whose tp_traverse visits it */
    bool slots;         /* some class between type and solid has __slots__ */
    bool covered;       /* as known->covered, as long as tp_traverse agrees */
    uint8_t to_compare; /* objects to compare with tp_traverse still */
};

/* The shape of a type's instances; valid until the next call. */
struct rft_shape *rft_shape_of(const char *type);
void rft_shapes_reset(void);

/* All that an object refers to, with the names. */
struct rft_ref {
    const char *target;
    bool counted;
    uint8_t kind;
    const char *label; /* C text, or NULL */
    const char *name;  /* str object (of a dict: any object), or NULL */
    uint64_t index;
};
typedef int (*rft_ref_visit)(const struct rft_ref *ref, void *arg);

/* refs.c: everything but what only tp_traverse knows. all: fields of a type that is not
 * covered too, which tp_traverse visits again; else only those that it does not visit. */
int rft_refs_own(const char *op, const struct rft_shape *shape, bool all, rft_ref_visit visit,
                 void *arg);
/* What tp_traverse knows. */
int rft_refs_told(const char *op, const struct rft_shape *shape, rft_ref_visit visit, void *arg);

/* text.c: the text of a str, int, bytes; of anything else its type. At most `size` bytes, not
 * ended by 0; returns how many. */
size_t rft_text(const char *op, char *to, size_t size);
bool rft_int_value(const char *op, int64_t *value); /* false: more than 63 bits */

/* prepare.c */
const char *rft_dict_find(const char *dict, const char *key);
const char *rft_module_dict(const char *interpreter, const char *name);

/* frame_edges.c */
struct rft_frame_view {
    const char *frame, *code; /* code: NULL where the frame is a shim of C */
    const char *locals;       /* of `count` words, value stack included */
    size_t locals_count, count;
    bool generator, of_object;
};
bool rft_frame_open(const char *frame, struct rft_frame_view *view);
/* A word of a frame: the object, or NULL. counted: does it count as a reference? */
const char *rft_stack_ref(const char *at, bool *counted);
int rft_frame_code(const char *frame, rft_ref_visit visit, void *arg); /* its code alone */
int rft_frame_refs(const struct rft_frame_view *view, uint8_t local_kind, rft_ref_visit visit,
                   void *arg);

/* greenlets.c: what the frames of a greenlet that waits refer to. */
bool rft_is_frame_object(const char *op);
int rft_greenlet_refs(const char *op, rft_ref_visit visit, void *arg);

#endif

/* CPython's structures as this room reads them: offsets that no table tells. All are public
 * ABI (PyTypeObject, PyMemberDef) or the same in 3.13 to 3.15, where not said otherwise. */
#ifndef RFT_HEAP_STRUCTURES_H
#define RFT_HEAP_STRUCTURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "layout/layout.h"

typedef int (*rft_traverse)(void *op, int (*visit)(void *target, void *arg), void *arg);

/* The one state of this room: what rft_edges_prepare found. Written by it alone, with the
 * GIL held; read by whoever looks through the heap, with the GIL held. */
enum { RFT_INTERNED_MAX = 16 };
struct rft_heap_cpython {
    struct rft_layout layout;
    char *runtime;
    const char *refused;
    const char *type_type, *object_type, *code_type, *function_type, *weakref_type, *module_type,
        *dict_type, *capsule_type, *none;
    const char *builtin_type, *method_type,
        *wrapper_type; /* of len, list.append, object.__init__ */
    /* Dicts of interned strings, which their keys and values do not count (3.13+:
     * Objects/unicodeobject.c, intern_common), one an interpreter at most. */
    const char *interned[RFT_INTERNED_MAX];
    rft_traverse subtype_traverse; /* tp_traverse of all classes made by Python; or NULL */
    size_t greenlet_frame_at;      /* greenlets.c; 0: not known yet */
};
extern struct rft_heap_cpython rft_heap;

/* struct _typeobject (Include/cpython/object.h), from tp_name on. */
enum {
    TP_BASICSIZE = 8,
    TP_ITEMSIZE = 16,
    TP_FLAGS = 144,
    TP_TRAVERSE = 160,
    TP_WEAKLISTOFFSET = 184,
    TP_MEMBERS = 216,
    TP_BASE = 232,
    TP_DICT = 240,
    TP_DICTOFFSET = 264,
    TP_IS_GC = 304,
    TP_BASES = 312,
    TP_MRO = 320,
    TP_SUBCLASSES = 336,
    TP_VERSION_TAG = 360, /* int */
};

/* tp_flags (Include/object.h). */
enum {
    TYPE_STATIC_BUILTIN = 1 << 1,
    TYPE_INLINE_VALUES = 1 << 2,
    TYPE_MANAGED_DICT = 1 << 4,
    TYPE_HEAP = 1 << 9,
    TYPE_HAVE_GC = 1 << 14,
    TYPE_INT = 1 << 24,
    TYPE_LIST = 1 << 25,
    TYPE_TUPLE = 1 << 26,
    TYPE_BYTES = 1 << 27,
    TYPE_STR = 1 << 28,
    TYPE_DICT = 1 << 29,
    TYPE_EXCEPTION = 1 << 30,
};
#define TYPE_TYPE (UINT64_C(1) << 31)

static inline const char *pointer_at(const void *base, size_t offset)
{
    const char *value;
    memcpy(&value, (const char *)base + offset, sizeof value);
    return value;
}

static inline int64_t word_at(const void *base, size_t offset)
{
    int64_t value;
    memcpy(&value, (const char *)base + offset, sizeof value);
    return value;
}

static inline const char *type_of(const void *op)
{
    return pointer_at(op, rft_heap.layout.at[RFT_OBJECT_TYPE]);
}

static inline bool is_interned_dict(const char *op)
{
    for (int i = 0; i < RFT_INTERNED_MAX && rft_heap.interned[i] != NULL; i++) {
        if (rft_heap.interned[i] == op) {
            return true;
        }
    }
    return false;
}

static inline uint64_t type_flags(const char *type)
{
    return (uint64_t)word_at(type, rft_heap.layout.at[RFT_TYPE_FLAGS]);
}

/* A field of a type by its TP_ constant. */
static inline size_t tp(size_t field)
{
    return rft_heap.layout.at[RFT_TYPE_NAME] + field;
}

#endif

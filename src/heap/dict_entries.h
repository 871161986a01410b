/* PyDictObject and PyDictKeysObject (Include/internal/pycore_dict.h): the same in 3.13 to
 * 3.15. Keys are: refcount (8), log2 of the table's size (1), log2 of the index's bytes (1),
 * kind (1), [mutex (1)], version (4), free entries (8), used entries (8), index, entries. */
#ifndef RFT_HEAP_DICT_ENTRIES_H
#define RFT_HEAP_DICT_ENTRIES_H

#include "heap/structures.h"

enum { KEYS_GENERAL = 0, KEYS_UNICODE = 1, KEYS_SPLIT = 2 };

struct rft_dict_entries {
    const char *entries; /* of 16 bytes {key, value}, or 24 {hash, key, value} */
    const char *values;  /* of a split table, by number of the entry; else NULL */
    size_t count, size;
    unsigned char kind;
};

/* keys: a PyDictKeysObject, or NULL: none. */
static inline void rft_dict_keys_open(const char *keys, struct rft_dict_entries *out)
{
    memset(out, 0, sizeof *out);
    if (keys != NULL) {
        out->kind = (unsigned char)keys[10];
        out->size = out->kind == KEYS_GENERAL ? 24 : 16;
        out->count = (size_t)word_at(keys, 24);
        out->entries = keys + 32 + ((size_t)1 << (keys[9] & 63));
    }
}

/* PyDictValues: capacity (1), size (1), embedded (1), valid (1), padding, values. */
static inline void rft_dict_open(const char *dict, struct rft_dict_entries *out)
{
    const uint32_t *at = rft_heap.layout.at;
    rft_dict_keys_open(pointer_at(dict, at[RFT_DICT_KEYS]), out);
    const char *values = pointer_at(dict, at[RFT_DICT_VALUES]);
    out->values = values != NULL ? values + 8 : NULL;
}

static inline const char *rft_dict_key(const struct rft_dict_entries *d, size_t i)
{
    return pointer_at(d->entries + i * d->size, d->kind == KEYS_GENERAL ? 8 : 0);
}

static inline const char *rft_dict_value(const struct rft_dict_entries *d, size_t i)
{
    return d->values != NULL ? pointer_at(d->values, 8 * i)
                             : pointer_at(d->entries + i * d->size, d->size - 8);
}

#endif

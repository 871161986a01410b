/* PyDictKeysObject (Include/internal/pycore_dict.h), the same in 3.13–3.15:
 * refcount (8), log2 of the table's size (1), log2 of the index's bytes (1), kind (1),
 * [mutex (1)], version (4), free entries (8), used entries (8), index, entries. */
#ifndef RFT_DICT_KEYS_H
#define RFT_DICT_KEYS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { RFT_DICT_KEYS_SIZE = 32, RFT_DICT_KEYS_GENERAL = 0 };

struct rft_dict_keys {
    int64_t refcount;
    size_t free, entries; /* entries that can still be added; that were used */
    size_t usable;        /* all entries there is room for */
    size_t entries_at, entry_size;
    size_t bytes; /* of the whole keys object */
};

static inline void rft_dict_keys_decode(const unsigned char *head, struct rft_dict_keys *out)
{
    memcpy(&out->refcount, head, 8);
    memcpy(&out->free, head + 16, 8);
    memcpy(&out->entries, head + 24, 8);
    unsigned log2_size = head[8] & 63, log2_index = head[9] & 63;
    out->usable = (((size_t)1 << log2_size) << 1) / 3;
    out->entry_size = head[10] == RFT_DICT_KEYS_GENERAL ? 24 : 16;
    out->entries_at = RFT_DICT_KEYS_SIZE + ((size_t)1 << log2_index);
    out->bytes = out->entries_at + out->usable * out->entry_size;
}

static inline void rft_dict_keys_read(const void *keys, struct rft_dict_keys *out)
{
    rft_dict_keys_decode(keys, out);
}

#endif

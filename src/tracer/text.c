#include "tracer/text.h"

#include <string.h>

#include "tracer/dict_keys.h"
#include "tracer/tracer.h"

enum { STR_SUBCLASS = 1 << 28 }; /* Py_TPFLAGS_UNICODE_SUBCLASS */

static const void *pointer_at(const void *object, uint32_t offset)
{
    return *(void *const *)((const char *)object + offset);
}

static bool is_str(const void *object)
{
    const void *type = pointer_at(object, tracer.layout.at[RFT_OBJECT_TYPE]);
    unsigned long flags;
    memcpy(&flags, (const char *)type + tracer.layout.at[RFT_TYPE_FLAGS], sizeof flags);
    return flags & STR_SUBCLASS;
}

/* Where a str keeps its characters: kind is 1, 2 or 4 bytes each. */
static const unsigned char *characters(const char *str, unsigned *kind, size_t *length)
{
    uint32_t state;
    memcpy(&state, str + tracer.layout.at[RFT_STR_STATE], sizeof state);
    state >>= tracer.layout.str_kind_shift;
    *kind = state & 7;
    memcpy(length, str + tracer.layout.at[RFT_STR_LENGTH], sizeof *length);
    bool compact = state & 8, ascii = state & 16;
    if (compact) {
        return (const unsigned char *)str +
               (ascii ? tracer.layout.str_ascii_size : tracer.layout.str_compact_size);
    }
    return pointer_at(str, tracer.layout.str_data_any);
}

size_t rft_str_to_utf8(const void *str, char *to, size_t size)
{
    unsigned kind;
    size_t length, used = 0;
    const unsigned char *from = str != NULL && is_str(str) ? characters(str, &kind, &length) : NULL;
    if (from == NULL) {
        to[0] = '?';
        return 1;
    }
    for (size_t i = 0; i < length && used + 4 <= size; i++) {
        uint32_t c = kind == 1   ? from[i]
                     : kind == 2 ? ((const uint16_t *)(const void *)from)[i]
                                 : ((const uint32_t *)(const void *)from)[i];
        if (c < 0x80) {
            to[used++] = (char)c;
        } else if (c < 0x800) {
            to[used++] = (char)(0xC0 | c >> 6);
            to[used++] = (char)(0x80 | (c & 0x3F));
        } else if (c < 0x10000) {
            to[used++] = (char)(0xE0 | c >> 12);
            to[used++] = (char)(0x80 | (c >> 6 & 0x3F));
            to[used++] = (char)(0x80 | (c & 0x3F));
        } else {
            to[used++] = (char)(0xF0 | (c >> 18 & 7));
            to[used++] = (char)(0x80 | (c >> 12 & 0x3F));
            to[used++] = (char)(0x80 | (c >> 6 & 0x3F));
            to[used++] = (char)(0x80 | (c & 0x3F));
        }
    }
    return used;
}

size_t rft_bytes_length(const void *bytes)
{
    size_t length = 0;
    if (bytes != NULL) {
        memcpy(&length, (const char *)bytes + tracer.layout.at[RFT_BYTES_COUNT], sizeof length);
    }
    return length < (1u << 22) ? length : 0;
}

static bool str_equals(const void *str, const char *ascii)
{
    unsigned kind;
    size_t length;
    if (!is_str(str)) {
        return false;
    }
    const unsigned char *from = characters(str, &kind, &length);
    return kind == 1 && length == strlen(ascii) && memcmp(from, ascii, length) == 0;
}

const void *rft_dict_value(const void *dict, const char *key)
{
    const char *keys = pointer_at(dict, tracer.layout.at[RFT_DICT_KEYS]);
    const void *const *values = pointer_at(dict, tracer.layout.at[RFT_DICT_VALUES]);
    if (keys == NULL || values != NULL) {
        return NULL; /* split dicts belong to instances, not to types and modules */
    }
    struct rft_dict_keys head;
    rft_dict_keys_read(keys, &head);
    for (size_t i = 0; i < head.entries && i < head.usable; i++) {
        const void *const *entry =
            (const void *const *)(const void *)(keys + head.entries_at + i * head.entry_size);
        const void *name = entry[head.entry_size == 24]; /* general entries begin with the hash */
        const void *value = entry[1 + (head.entry_size == 24)];
        if (name != NULL && value != NULL && str_equals(name, key)) {
            return value;
        }
    }
    return NULL;
}

/* Index of a key in a table of str keys, or -1. */
static int64_t key_index(const char *keys, const char *name)
{
    struct rft_dict_keys head;
    rft_dict_keys_read(keys, &head);
    for (size_t i = 0; head.entry_size == 16 && i < head.entries && i < head.usable; i++) {
        const void *key = *(void *const *)(const void *)(keys + head.entries_at + i * 16);
        if (key != NULL && str_equals(key, name)) {
            return (int64_t)i;
        }
    }
    return -1;
}

const void *rft_instance_value(const void *instance, const char *name)
{
    enum { INLINE_VALUES = 1 << 2, MANAGED_DICT = 1 << 4 };
    const char *type = pointer_at(instance, tracer.layout.at[RFT_OBJECT_TYPE]);
    unsigned long flags;
    memcpy(&flags, type + tracer.layout.at[RFT_TYPE_FLAGS], sizeof flags);
    if (flags & INLINE_VALUES) {
        /* PyDictValues behind the object: capacity, size, embedded, valid
         * (one byte each), then the values (pycore_dict.h). */
        long basic;
        memcpy(&basic, type + tracer.layout.tp_basicsize, sizeof basic);
        const unsigned char *values = (const unsigned char *)instance + basic;
        const char *keys = pointer_at(type, tracer.layout.ht_cached_keys);
        int64_t index = values[3] && keys != NULL ? key_index(keys, name) : -1;
        if (index >= 0 && index < values[0]) {
            return ((void *const *)(const void *)(values + 8))[index];
        }
    }
    if (flags & MANAGED_DICT) {
        /* MANAGED_DICT_OFFSET (pycore_object.h) */
        long words = tracer.layout.free_threaded ? 1 : 3;
        const void *dict = ((void *const *)instance)[-words];
        if (dict != NULL) {
            return rft_dict_value(dict, name);
        }
    }
    return NULL;
}

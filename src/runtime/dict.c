#include "runtime/dict.h"

enum {
    KEYS_HEAD_OLD = 40, /* up to 3.10: refcount, size, lookup function, usable, entries used */
    KEYS_HEAD = 32,     /* refcount, 2 logarithms, kind, [mutex,] version, usable, entries used */
    KEYS_GENERAL = 0,   /* dk_kind: with hashes; 1 all str, 2 split */
    CHUNK = 128,        /* entries that are compared at once */
};

/* Reads the head of a keys object; values: 0 or where the values of a split table lie. */
static bool open_keys(struct rft_runtime *runtime, rft_address keys, rft_address values,
                      struct rft_dict *out)
{
    bool old = runtime->layout.version < 0x030b0000;
    unsigned char head[KEYS_HEAD_OLD];
    if (!keys || !rft_space_try(runtime->space, keys, head, old ? KEYS_HEAD_OLD : KEYS_HEAD))
        return false;
    uint64_t size, index_bytes, used, usable;
    bool hashes = true;
    if (old) {
        size = rft_word(head, 8);
        if (size < 1 || size > (UINT64_C(1) << 40) || (size & (size - 1)))
            return false;
        index_bytes = size <= 0xff ? size : size <= 0xffff ? 2 * size : 4 * size;
        if (size > UINT32_MAX)
            index_bytes = 8 * size;
        usable = rft_word(head, 24);
        used = rft_word(head, 32);
        out->entries = keys + KEYS_HEAD_OLD + index_bytes;
    } else {
        if (head[8] > 40 || head[9] > 48)
            return false;
        size = UINT64_C(1) << head[8];
        hashes = head[10] == KEYS_GENERAL;
        usable = rft_word(head, 16);
        used = rft_word(head, 24);
        out->entries = keys + KEYS_HEAD + (UINT64_C(1) << head[9]);
    }
    /* USABLE_FRACTION: two thirds of the table. The empty keys object, of size 1 or 8, has no
     * room at all. */
    uint64_t room = (size << 1) / 3;
    if (used > room || usable > room || used > RFT_DICT_ENTRIES_MAX)
        return false;
    out->entry_size = hashes ? 24 : 16;
    out->key_at = hashes ? 8 : 0;
    out->value_at = out->key_at + 8;
    out->count = (size_t)used;
    out->values = values;
    return true;
}

/* Where the first value of a PyDictValues lies. */
static rft_address first_value(struct rft_runtime *runtime, rft_address values)
{
    /* 3.13 put capacity, size and two flags in front; before, they lie at lower addresses. */
    return runtime->layout.version >= 0x030d0000 ? values + 8 : values;
}

bool rft_dict_open(struct rft_runtime *runtime, rft_address dict, struct rft_dict *out)
{
    const uint32_t *at = runtime->layout.at;
    uint64_t keys, values;
    if (!dict || dict % 8)
        return false;
    struct rft_read reads[] = {
        {.address = dict + at[RFT_DICT_KEYS], .buffer = &keys, .size = 8},
        {.address = dict + at[RFT_DICT_VALUES], .buffer = &values, .size = 8},
    };
    return rft_space_read_many(runtime->space, reads, 2) == 2 &&
           open_keys(runtime, keys, values ? first_value(runtime, values) : 0, out);
}

bool rft_dict_read(struct rft_runtime *runtime, const struct rft_dict *dict, size_t first,
                   struct rft_dict_entry *entries, size_t max, size_t *count)
{
    unsigned char bytes[CHUNK * 24];
    uint64_t values[CHUNK];
    size_t wanted = first < dict->count ? dict->count - first : 0;
    if (wanted > max)
        wanted = max;
    for (size_t done = 0; done < wanted;) {
        size_t part = wanted - done < CHUNK ? wanted - done : CHUNK;
        struct rft_read reads[] = {
            {.address = dict->entries + (first + done) * dict->entry_size,
             .buffer = bytes,
             .size = part * dict->entry_size},
            {.address = dict->values + (first + done) * 8, .buffer = values, .size = part * 8},
        };
        size_t needed = dict->values ? 2 : 1;
        if (rft_space_read_many(runtime->space, reads, needed) != needed)
            return false;
        for (size_t i = 0; i < part; i++) {
            const unsigned char *entry = bytes + i * dict->entry_size;
            struct rft_dict_entry *to = &entries[done + i];
            to->key = rft_word(entry, dict->key_at);
            to->value = dict->values ? values[i] : rft_word(entry, dict->value_at);
            if (!to->key || !to->value)
                *to = (struct rft_dict_entry){0};
        }
        done += part;
    }
    *count = wanted;
    return true;
}

/* Which of `count` objects is a str that equals `key`: read together, because that is one
 * system call instead of hundreds. Returns `count` if none is. */
static size_t find_key(struct rft_runtime *runtime, const struct rft_dict_entry *entries,
                       size_t count, const char *key)
{
    const struct rft_layout *layout = &runtime->layout;
    /* The head of a compact ASCII str and its first characters; any other form has more than
     * that behind its head. */
    enum { HEAD_MAX = 80, KEY_MAX = 64 };
    static const size_t room = HEAD_MAX + KEY_MAX;
    unsigned char bytes[CHUNK][HEAD_MAX + KEY_MAX];
    struct rft_read reads[CHUNK];
    size_t length = strlen(key), size = layout->str_ascii_size + length;
    if (length >= KEY_MAX || size > room)
        return count;
    size_t used = 0, of[CHUNK];
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].key)
            continue;
        of[used] = i;
        reads[used] =
            (struct rft_read){.address = entries[i].key, .buffer = bytes[used], .size = size};
        used++;
    }
    rft_space_read_many(runtime->space, reads, used);
    for (size_t i = 0; i < used; i++) {
        if (!reads[i].done || rft_word(bytes[i], layout->at[RFT_STR_LENGTH]) != length)
            continue;
        uint32_t state =
            (uint32_t)rft_int(bytes[i], layout->at[RFT_STR_STATE]) >> layout->str_kind_shift;
        bool plain = (state & 31) == (1 | 8 | 16); /* of bytes, compact, ASCII */
        if (plain && !memcmp(bytes[i] + layout->str_ascii_size, key, length))
            return of[i];
    }
    return count;
}

bool rft_dict_find_again(struct rft_runtime *runtime, const struct rft_dict *dict, const char *key,
                         size_t *hint, rft_address *value)
{
    struct rft_dict_entry entries[CHUNK];
    size_t count;
    if (rft_dict_read(runtime, dict, *hint, entries, 1, &count) && count &&
        find_key(runtime, entries, 1, key) == 0) {
        *value = entries[0].value;
        return true;
    }
    for (size_t first = 0; first < dict->count; first += CHUNK) {
        if (!rft_dict_read(runtime, dict, first, entries, CHUNK, &count))
            return false;
        size_t found = find_key(runtime, entries, count, key);
        if (found < count) {
            *value = entries[found].value;
            *hint = first + found;
            return true;
        }
    }
    return false;
}

bool rft_dict_find(struct rft_runtime *runtime, const struct rft_dict *dict, const char *key,
                   rft_address *value)
{
    size_t hint = 0;
    return rft_dict_find_again(runtime, dict, key, &hint, value);
}

/* --- instances -------------------------------------------------------------------- */

/* The values that an instance has without a dict, and the keys that its class has for them. */
static bool open_values(struct rft_runtime *runtime, const struct rft_type *type,
                        rft_address values, struct rft_dict *out)
{
    uint64_t keys;
    return (type->flags & RFT_TPFLAGS_HEAP_TYPE) &&
           rft_read_word(runtime, type->address + runtime->layout.ht_cached_keys, &keys) &&
           open_keys(runtime, keys, values, out);
}

/* Where the dict of an instance of such a type is, 3.11 and newer; or its values. */
static bool open_managed(struct rft_runtime *runtime, rft_address object,
                         const struct rft_type *type, struct rft_dict *out)
{
    uint32_t version = runtime->layout.version;
    uint64_t words[2]; /* the two in front of the collector's head, resp. of the object */
    /* MANAGED_DICT_OFFSET (Include/internal/pycore_object.h). */
    rft_address dict_at = object - (runtime->layout.free_threaded ? 8 : 24);
    if (!rft_space_try(runtime->space, dict_at - 8, words, sizeof words))
        return false;
    uint64_t dict = words[1];
    if (version < 0x030c0000) /* 3.11: the values' pointer is in front of the dict's */
        return words[0] ? open_values(runtime, type, words[0], out)
                        : rft_dict_open(runtime, dict, out);
    if (version < 0x030d0000) /* 3.12: one pointer, less one if it is to values */
        return dict & 1 ? open_values(runtime, type, dict + 1, out)
                        : rft_dict_open(runtime, dict, out);
    if (dict)
        return rft_dict_open(runtime, dict, out);
    unsigned char head[8]; /* capacity, size, embedded, valid */
    rft_address values = object + type->basicsize;
    if (!(type->flags & RFT_TPFLAGS_INLINE_VALUES) ||
        !rft_space_try(runtime->space, values, head, sizeof head) || !head[3] ||
        !open_values(runtime, type, values + 8, out))
        return false;
    if (out->count > head[0])
        out->count = head[0]; /* the class may have learned more names than this object has room */
    return true;
}

bool rft_instance_attribute_again(struct rft_runtime *runtime, rft_address object, const char *name,
                                  size_t *hint, rft_address *value)
{
    struct rft_type type;
    struct rft_dict dict;
    if (!rft_object_type(runtime, object, &type))
        return false;
    if (runtime->layout.version >= 0x030b0000 && (type.flags & RFT_TPFLAGS_MANAGED_DICT))
        return open_managed(runtime, object, &type, &dict) &&
               rft_dict_find_again(runtime, &dict, name, hint, value);
    /* Negative offsets, of variable-sized objects, are not needed by anything that is read. */
    uint64_t address;
    return type.dictoffset > 0 && type.dictoffset < (1 << 20) &&
           rft_read_word(runtime, object + (uint64_t)type.dictoffset, &address) &&
           rft_dict_open(runtime, address, &dict) &&
           rft_dict_find_again(runtime, &dict, name, hint, value);
}

bool rft_instance_attribute(struct rft_runtime *runtime, rft_address object, const char *name,
                            rft_address *value)
{
    size_t hint = 0;
    return rft_instance_attribute_again(runtime, object, name, &hint, value);
}

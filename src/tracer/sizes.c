/* Bytes of one object, as sys.getsizeof would say, without running anything of
 * Python's. Where it tells less than there is, what there is: the values behind an
 * instance of a class belong to the instance. Each rule names the function of CPython that it
 * follows.
 *
 * Two readers share the rules: at a death the object is known to be intact and
 * is read directly; the census of a CPython that loses deaths reads through a
 * function that survives an address that is gone. */
#include "tracer/dict_keys.h"
#include "tracer/tracer.h"

#include <string.h>

/* A length that a live object cannot have: the field holds something else. */
#define LENGTH_MAX (INT64_C(1) << 40)

static inline bool read_direct(const void *from, void *to, size_t size)
{
    memcpy(to, from, size);
    return true;
}

static inline __attribute__((always_inline)) bool size_of(const char *op, unsigned kind,
                                                          uint64_t fixed, unsigned item_size,
                                                          rft_read read, uint64_t *out)
{
    const struct rft_layout *l = &tracer.layout;
    uint64_t size = fixed;
    int64_t n = 0;
    const char *pointer = NULL;
    switch (kind) {
    case RFT_KIND_INT: { /* int.__sizeof__: at least one digit */
        uint64_t tag;
        if (!read(op + l->at[RFT_LONG_TAG], &tag, 8))
            return false;
        n = (int64_t)(tag >> 3);
        size += (uint64_t)item_size * (uint64_t)(n > 0 && n < LENGTH_MAX ? n : 1);
        break;
    }
    case RFT_KIND_LIST: /* list.__sizeof__ */
        if (!read(op + l->list_allocated, &n, 8))
            return false;
        if (n > 0 && n < LENGTH_MAX)
            size += 8 * (uint64_t)n;
        break;
    case RFT_KIND_SET: { /* set.__sizeof__: the small table is part of the object */
        if (!read(op + l->set_table, &pointer, 8) || !read(op + l->set_mask, &n, 8))
            return false;
        if (pointer != op + l->set_small && n >= 0 && n < LENGTH_MAX) {
            size += 16 * ((uint64_t)n + 1);
        }
        break;
    }
    case RFT_KIND_BYTEARRAY: /* bytearray.__sizeof__ */
        if (!read(op + l->bytearray_alloc, &n, 8))
            return false;
        /* From 3.15 on the buffer is a bytes object, header included. */
        if (l->version >> 16 >= 0x30F && n > 0)
            size += l->at[RFT_BYTES_DATA] + 1;
        if (n > 0 && n < LENGTH_MAX)
            size += (uint64_t)n;
        break;
    case RFT_KIND_DICT: { /* _PyDict_SizeOf */
        unsigned char head[RFT_DICT_KEYS_SIZE];
        const char *values = NULL;
        if (!read(op + l->at[RFT_DICT_KEYS], &pointer, 8) ||
            !read(op + l->at[RFT_DICT_VALUES], &values, 8))
            return false;
        if (pointer == NULL)
            break;
        if (!read(pointer, head, sizeof head))
            return false;
        struct rft_dict_keys keys;
        rft_dict_keys_decode(head, &keys);
        if (values != NULL)
            size += 8 * (uint64_t)(keys.free + keys.entries);
        if (keys.refcount == 1)
            size += keys.bytes;
        break;
    }
    case RFT_KIND_STR: { /* str.__sizeof__ */
        uint32_t state;
        if (!read(op + l->at[RFT_STR_STATE], &state, 4) || !read(op + l->at[RFT_STR_LENGTH], &n, 8))
            return false;
        if (n < 0 || n >= LENGTH_MAX)
            break;
        state >>= l->str_kind_shift;
        unsigned char_size = state & 7;
        bool compact = state & 8, ascii = state & 16;
        uint64_t characters = (uint64_t)(n + 1) * char_size;
        if (compact && ascii) {
            size += l->str_ascii_size + (uint64_t)n + 1;
            break;
        }
        size += compact ? l->str_compact_size + characters : l->str_compact_size + 8u;
        const char *data = op + l->str_compact_size;
        if (!compact) {
            if (!read(op + l->str_data_any, &data, 8))
                return false;
            if (data != NULL)
                size += characters;
        }
        /* A cached UTF-8 copy is counted when it is a block of its own. */
        int64_t utf8_length;
        if (!read(op + l->str_utf8, &pointer, 8) || !read(op + l->str_utf8 - 8, &utf8_length, 8)) {
            return false;
        }
        if (pointer != NULL && pointer != data && utf8_length >= 0 && utf8_length < LENGTH_MAX) {
            size += (uint64_t)utf8_length + 1;
        }
        break;
    }
    case RFT_KIND_TYPE: { /* type.__sizeof__: with the keys that its instances share */
        unsigned char head[RFT_DICT_KEYS_SIZE];
        struct rft_dict_keys keys;
        if (!read(op + l->ht_cached_keys, &pointer, 8))
            return false;
        if (pointer == NULL)
            break;
        if (!read(pointer, head, sizeof head))
            return false;
        rft_dict_keys_decode(head, &keys);
        size += keys.bytes;
        break;
    }
    case RFT_KIND_INSTANCE: { /* _PyInlineValuesSize, for the capacity that this object has */
        unsigned char capacity;
        if (item_size == 0)
            break;
        if (!read(op + item_size, &capacity, 1))
            return false;
        size += (capacity + 7u) / 8 * 8 + (capacity + 1u) * 8;
        break;
    }
    case RFT_KIND_FIXED:
    case RFT_KIND_GENERATOR:
        break;
    default: /* object.__sizeof__ of everything else with an ob_size */
        if (!read(op + l->at[RFT_OBJECT_SIZE], &n, 8))
            return false;
        if (n > 0 && n < LENGTH_MAX)
            size += (uint64_t)item_size * (uint64_t)n;
    }
    *out = size;
    return true;
}

uint64_t rft_object_extra(const char *op, unsigned kind, unsigned item_size)
{
    uint64_t size = 0;
    size_of(op, kind, 0, item_size, read_direct, &size);
    return size;
}

/* A generator that was left in the middle is closed in dealloc, a coroutine that was never awaited
 * is warned about, an asynchronous generator is given to a hook of its loop's: each may save it. */
bool rft_generator_is_over(const char *op)
{
    return (signed char)op[tracer.layout.gen_state] >= tracer.layout.gen_cleared;
}

int rft_count_extra(const char *op, struct rft_site *site, uint32_t slot, unsigned bucket)
{
    uint64_t size = 0;
    if (site->kind == RFT_KIND_GENERATOR) {
        if (!rft_generator_is_over(op)) {
            rft_grave_dig(&(struct rft_grave){.op = (void *)(uintptr_t)op,
                                              .site = site,
                                              .slot = slot,
                                              .bucket = (uint8_t)bucket,
                                              .bytes = site->fixed_size});
        }
        return 0;
    }
    size_of(op, site->kind, 0, site->item_size, read_direct, &size);
    atomic_store_explicit(&site->dead_bytes,
                          atomic_load_explicit(&site->dead_bytes, memory_order_relaxed) + size,
                          memory_order_relaxed);
    return 0;
}

bool rft_object_size_checked(const char *op, unsigned kind, uint64_t fixed, unsigned item_size,
                             rft_read read, uint64_t *size)
{
    return size_of(op, kind, fixed, item_size, read, size);
}

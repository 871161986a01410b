/* Types: names and sizes, copied at the first birth of an instance. */
#include "tracer/hash.h"
#include "tracer/text.h"
#include "tracer/tracer.h"

#include <string.h>

/* Include/object.h, Include/cpython/object.h */
enum {
    TP_INLINE_VALUES = 1 << 2,
    TP_PREHEADER = 1 << 3 | 1 << 4, /* managed weakrefs or managed dict */
    TP_HEAPTYPE = 1 << 9,
    TP_HAVE_GC = 1 << 14,
    TP_LONG = 1 << 24,
    TP_LIST = 1 << 25,
    TP_TUPLE = 1 << 26,
    TP_BYTES = 1 << 27,
    TP_STR = 1 << 28,
    TP_DICT = 1 << 29,
};
#define TP_TYPE (1ul << 31)

static struct rft_hash types; /* address -> struct rft_type * */
static uint32_t type_count;

static const char *field(const void *object, uint32_t offset)
{
    return *(char *const *)((const char *)object + offset);
}

static long long_at(const void *object, uint32_t offset)
{
    long value;
    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

static bool derives_from(const void *type, const void *base)
{
    for (int depth = 0; type != NULL && depth < 1000; depth++) {
        if (type == base) {
            return true;
        }
        type = field(type, tracer.layout.tp_base);
    }
    return false;
}

static unsigned kind_of(const void *type, unsigned long flags, long item_size)
{
    if (flags & TP_TYPE)
        return RFT_KIND_TYPE;
    if (flags & TP_LONG)
        return RFT_KIND_INT;
    if (flags & TP_LIST)
        return RFT_KIND_LIST;
    if (flags & TP_TUPLE)
        return RFT_KIND_TUPLE;
    if (flags & TP_BYTES)
        return RFT_KIND_BYTES;
    if (flags & TP_STR)
        return RFT_KIND_STR;
    if (flags & TP_DICT)
        return RFT_KIND_DICT;
    if (type == tracer.py.code_type)
        return RFT_KIND_CODE;
    if (derives_from(type, tracer.py.set_type) || derives_from(type, tracer.py.frozenset_type)) {
        return RFT_KIND_SET;
    }
    if (derives_from(type, tracer.py.bytearray_type))
        return RFT_KIND_BYTEARRAY;
    if (flags & TP_INLINE_VALUES)
        return RFT_KIND_INSTANCE;
    return item_size > 0 ? RFT_KIND_VARSIZE : RFT_KIND_FIXED;
}

/* Frames, generators, coroutines and asynchronous generators have an item size but no
 * item count: what is in its place is a pointer (pycore_interpframe_structs.h, struct _frame
 * and _PyGenObject_HEAD). */
static bool has_no_count(const char *name)
{
    return strcmp(name, "generator") == 0 || strcmp(name, "coroutine") == 0 ||
           strcmp(name, "async_generator") == 0 || strcmp(name, "frame") == 0;
}

/* CPython's own, whose frame tells whether there is anything left that a finalizer could run.
 * Extension modules may have types of these names. */
static bool runs_like_a_generator(const char *name, unsigned long flags)
{
    return !(flags & TP_HEAPTYPE) && strcmp(name, "frame") != 0 && has_no_count(name);
}

/* tp_finalize may save its object: what it calls gets to see it. A __del__ of Python sits there;
 * in C, a file or socket that was not closed is in the ResourceWarning, a future in what is
 * told to its loop's exception handler. */
static uint8_t finalizer_flags(const void *type, unsigned long flags)
{
    bool python = (flags & TP_HEAPTYPE) && field(type, tracer.layout.ht_tpname) == NULL;
    return (uint8_t)(RFT_SITE_REVIVABLE | (python ? RFT_SITE_FINALIZER : 0) |
                     (flags & TP_HAVE_GC ? 0 : RFT_SITE_UNTRACKED));
}

/* What lies in front of the object: _PyType_PreHeaderSize (pycore_object.h). */
static long hidden_size(unsigned long flags)
{
    long size = 0;
    if ((flags & TP_HAVE_GC) && !tracer.layout.free_threaded) {
        size += 16;
    }
    if (flags & TP_PREHEADER) {
        size += 16;
    }
    return size;
}

static size_t qualified_name(const void *type, unsigned long flags, char *to, size_t size)
{
    const char *tp_name = field(type, tracer.layout.at[RFT_TYPE_NAME]);
    /* Types made from a spec in C have their full name in tp_name, and a copy
     * of it in _ht_tpname; classes have a bare one. */
    if (!(flags & TP_HEAPTYPE) || field(type, tracer.layout.ht_tpname) != NULL) {
        size_t length = tp_name != NULL ? strnlen(tp_name, size) : 0;
        if (length > 9 && memcmp(tp_name, "builtins.", 9) == 0) {
            tp_name += 9;
            length -= 9;
        }
        memcpy(to, tp_name, length);
        return length;
    }
    size_t length = 0;
    const void *dict = field(type, tracer.layout.tp_dict);
    const void *module = dict != NULL ? rft_dict_value(dict, "__module__") : NULL;
    if (module != NULL) {
        length = rft_str_to_utf8(module, to, size / 2);
        if (length == 8 && memcmp(to, "builtins", 8) == 0) {
            length = 0;
        } else if (length > 0) {
            to[length++] = '.';
        }
    }
    return length +
           rft_str_to_utf8(field(type, tracer.layout.ht_qualname), to + length, size - length);
}

static struct rft_type *record_slow(void *type)
{
    uint64_t *value = rft_hash_put(&types, (uint64_t)(uintptr_t)type);
    if (value != NULL && *value != 0) {
        return (struct rft_type *)(uintptr_t)*value;
    }
    struct rft_type *record = value != NULL ? rft_pool_alloc(sizeof *record) : NULL;
    if (record == NULL) {
        rft_stop_for_memory("types");
        return NULL;
    }
    *value = (uint64_t)(uintptr_t)record;
    unsigned long flags = (unsigned long)long_at(type, tracer.layout.at[RFT_TYPE_FLAGS]);
    long basic = long_at(type, tracer.layout.tp_basicsize);
    long item = long_at(type, tracer.layout.tp_itemsize);
    record->kind = (uint8_t)kind_of(type, flags, item);
    char name[2048];
    size_t length = qualified_name(type, flags, name, sizeof name - 1);
    name[length] = 0;
    long fixed = basic + hidden_size(flags);
    if (record->kind == RFT_KIND_STR) {
        /* str.__sizeof__ does not ask the type: it starts from the struct. */
        fixed = hidden_size(flags);
    }
    if (has_no_count(name)) {
        record->kind = RFT_KIND_FIXED;
    }
    record->site_kind = record->kind;
    if (runs_like_a_generator(name, flags) && basic > (long)tracer.layout.gen_state) {
        record->site_kind = RFT_KIND_GENERATOR;
    } else if (field(type, tracer.layout.tp_finalize) != NULL) {
        record->site_flags = finalizer_flags(type, flags);
    }
    record->id = ++type_count;
    record->fixed_size = fixed > 0 && fixed < (1l << 31) ? (uint32_t)fixed : 0;
    record->item_size = item > 0 && item < UINT16_MAX ? (uint16_t)item : 0;
    if (record->kind == RFT_KIND_INSTANCE) {
        record->item_size = basic < UINT16_MAX ? (uint16_t)basic : 0;
    }
    tracer.types_n++;
    uint32_t name_id = rft_string_id(name, length);
    rft_names_type(name_id);
    rft_buffer_varint(&tracer.types, name_id);
    rft_buffer_varint(&tracer.types, record->kind);
    rft_buffer_varint(&tracer.types, record->fixed_size);
    rft_buffer_varint(&tracer.types, record->item_size);
    return record;
}

struct rft_type *rft_type_record(struct rft_thread *t, void *type)
{
    struct rft_type_entry *entry = &t->types[rft_mix((uintptr_t)type) % RFT_TYPE_CACHE];
    if (entry->type == type && entry->tag == t->tag) {
        return entry->record;
    }
    pthread_mutex_lock(&tracer.lock);
    struct rft_type *record = record_slow(type);
    pthread_mutex_unlock(&tracer.lock);
    if (record != NULL) {
        entry->type = type;
        entry->tag = t->tag;
        entry->record = record;
    }
    return record;
}

bool rft_type_forget(void *type)
{
    uint64_t *value = rft_hash_get(&types, (uint64_t)(uintptr_t)type);
    if (value == NULL || *value == 0) {
        return false;
    }
    *value = 0;
    return true;
}

uint32_t rft_type_id(void *type)
{
    pthread_mutex_lock(&tracer.lock);
    uint64_t *value = rft_hash_get(&types, (uint64_t)(uintptr_t)type);
    const struct rft_type *record = value != NULL ? (struct rft_type *)(uintptr_t)*value : NULL;
    uint32_t id = record != NULL ? record->id : 0;
    pthread_mutex_unlock(&tracer.lock);
    return id;
}

void rft_types_reset(void)
{
    rft_hash_clear(&types);
    type_count = 0;
}

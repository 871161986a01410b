#include "runtime/object.h"

#include "runtime/kept.h"

/* Bases of a type that are looked at: classes seldom have ten. */
enum { BASES_MAX = 32 };

/* Of a tp_name, which has the module in front of it for types made in C. */
enum { NAME_MAX_BYTES = 512 };

/* The part of tp_name that is __name__: behind the last dot. */
static void set_name(struct rft_type *type, const char *full)
{
    const char *dot = strrchr(full, '.');
    const char *name = dot && dot[1] ? dot + 1 : full;
    size_t length = strlen(name);
    if (length >= sizeof type->name) {
        length = sizeof type->name - 1;
        while (length && ((unsigned char)name[length] & 0xc0) == 0x80) /* not within a character */
            length--;
    }
    memcpy(type->name, name, length);
    type->name[length] = 0;
}

/* The kinds that have no flag: static types of these names, and what is derived from them. */
static enum rft_object_kind kind_of_static(const struct rft_type *type)
{
    static const struct {
        const char *name;
        enum rft_object_kind kind;
    } kinds[] = {
        {"NoneType", RFT_OBJECT_NONE}, {"bool", RFT_OBJECT_BOOL},     {"float", RFT_OBJECT_FLOAT},
        {"set", RFT_OBJECT_SET},       {"frozenset", RFT_OBJECT_SET}, {"cell", RFT_OBJECT_CELL},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!strcmp(type->name, kinds[i].name))
            return kinds[i].kind;
    }
    return RFT_OBJECT_OTHER;
}

static enum rft_object_kind kind_of_flags(const struct rft_type *type)
{
    static const struct {
        uint64_t flag;
        enum rft_object_kind kind;
    } kinds[] = {
        {RFT_TPFLAGS_LONG, RFT_OBJECT_INT},    {RFT_TPFLAGS_STR, RFT_OBJECT_STR},
        {RFT_TPFLAGS_BYTES, RFT_OBJECT_BYTES}, {RFT_TPFLAGS_LIST, RFT_OBJECT_LIST},
        {RFT_TPFLAGS_TUPLE, RFT_OBJECT_TUPLE}, {RFT_TPFLAGS_DICT, RFT_OBJECT_DICT},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (type->flags & kinds[i].flag)
            return kinds[i].kind;
    }
    return RFT_OBJECT_OTHER;
}

/* Everything but the kind. */
static bool read_type(struct rft_runtime *runtime, rft_address address, struct rft_type *type)
{
    const struct rft_layout *layout = &runtime->layout;
    uint32_t name = layout->at[RFT_TYPE_NAME];
    /* tp_dictoffset, the same distance from tp_name since 3.8 (Include/cpython/object.h). */
    uint32_t dictoffset = name + 264;
    unsigned char bytes[512];
    size_t size = dictoffset + 8;
    if (size > sizeof bytes || !address || address % 8 ||
        !rft_space_try(runtime->space, address, bytes, size))
        return false;
    *type = (struct rft_type){
        .address = address,
        .flags = rft_word(bytes, layout->at[RFT_TYPE_FLAGS]),
        .basicsize = rft_word(bytes, layout->tp_basicsize),
        .base = rft_word(bytes, layout->tp_base),
        .dictoffset = (int64_t)rft_word(bytes, dictoffset),
    };
    if (!(type->flags & RFT_TPFLAGS_READY) || type->basicsize > (1u << 28))
        return false;
    const char *text =
        rft_read_cstr(runtime, rft_word(bytes, name), NAME_MAX_BYTES, &runtime->arena);
    if (!text || !*text)
        return false;
    set_name(type, text);
    return true;
}

bool rft_type_read(struct rft_runtime *runtime, rft_address address, struct rft_type *type)
{
    struct rft_objects *kept = rft_objects_kept(runtime);
    struct rft_type *slot = kept ? &kept->types[(address >> 4) % RFT_TYPES_KEPT] : NULL;
    if (slot && address && slot->address == address) {
        *type = *slot;
        return true;
    }
    if (!read_type(runtime, address, type))
        return false;
    enum rft_object_kind kind = kind_of_flags(type);
    struct rft_type at = *type;
    for (unsigned i = 0; i < BASES_MAX; i++) {
        if (!(at.flags & RFT_TPFLAGS_HEAP_TYPE)) {
            enum rft_object_kind base_kind = kind_of_static(&at);
            /* bool is an int to the flags. */
            if (base_kind != RFT_OBJECT_OTHER)
                kind = base_kind;
            break;
        }
        rft_address base = at.base;
        if (kind != RFT_OBJECT_OTHER || !read_type(runtime, base, &at))
            break;
    }
    type->kind = kind;
    if (slot) {
        *slot = *type;
        kept->types_used = true;
    }
    return true;
}

bool rft_object_type(struct rft_runtime *runtime, rft_address object, struct rft_type *type)
{
    rft_address address;
    return object && object % 8 == 0 &&
           rft_read_word(runtime, object + runtime->layout.at[RFT_OBJECT_TYPE], &address) &&
           rft_type_read(runtime, address, type);
}

void rft_types_forget(struct rft_runtime *runtime)
{
    struct rft_objects *kept = rft_objects_kept(runtime);
    if (!kept || !kept->types_used)
        return;
    memset(kept->types, 0, sizeof kept->types);
    kept->types_used = false;
}

/* --- str ---------------------------------------------------------------------- */

/* Where the characters of a str are. */
struct str_head {
    uint64_t length;
    unsigned char_size;
    rft_address data;
};

static bool read_str_head(struct rft_runtime *runtime, rft_address object, struct str_head *head)
{
    const struct rft_layout *layout = &runtime->layout;
    unsigned char bytes[128];
    uint32_t state_at = layout->at[RFT_STR_STATE], length_at = layout->at[RFT_STR_LENGTH];
    size_t size = (state_at > length_at ? state_at : length_at) + 8u;
    if (size > sizeof bytes || !object || !rft_space_try(runtime->space, object, bytes, size))
        return false;
    uint32_t state = (uint32_t)rft_int(bytes, state_at) >> layout->str_kind_shift;
    head->length = rft_word(bytes, length_at);
    head->char_size = state & 7;
    bool compact = state & 8, ascii = state & 16;
    if ((head->char_size != 1 && head->char_size != 2 && head->char_size != 4) ||
        head->length > (UINT64_C(1) << 44))
        return false;
    if (compact) {
        head->data = object + (ascii ? layout->str_ascii_size : layout->str_compact_size);
        return true;
    }
    /* Instances of subclasses of str have their characters elsewhere. */
    return rft_read_word(runtime, object + layout->str_data_any, &head->data) && head->data;
}

bool rft_str_points(struct rft_runtime *runtime, rft_address object, uint32_t *points, size_t max,
                    size_t *count, uint64_t *length)
{
    struct str_head head;
    if (!read_str_head(runtime, object, &head))
        return false;
    size_t wanted = head.length < max ? (size_t)head.length : max;
    unsigned char bytes[1024];
    for (size_t done = 0; done < wanted;) {
        size_t part = sizeof bytes / head.char_size;
        if (part > wanted - done)
            part = wanted - done;
        if (!rft_space_try(runtime->space, head.data + done * head.char_size, bytes,
                           part * head.char_size))
            return false;
        for (size_t i = 0; i < part; i++) {
            const unsigned char *at = bytes + i * head.char_size;
            uint32_t c = at[0];
            if (head.char_size > 1)
                c |= (uint32_t)at[1] << 8;
            if (head.char_size > 2)
                c |= (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
            if (c > 0x10ffff)
                return false;
            points[done + i] = c;
        }
        done += part;
    }
    *count = wanted;
    *length = head.length;
    return true;
}

bool rft_str_equals(struct rft_runtime *runtime, rft_address object, const char *text)
{
    uint32_t points[64];
    size_t count, wanted = strlen(text);
    uint64_t length;
    if (wanted >= sizeof points / sizeof *points ||
        !rft_str_points(runtime, object, points, wanted, &count, &length) || length != wanted)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (points[i] != (unsigned char)text[i])
            return false;
    }
    return true;
}

size_t rft_utf8_encode(uint32_t c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)(0xf00u >> length | c);
    return length;
}

/* --- int, tuple, list ----------------------------------------------------------- */

/* Sign and number of digits, from the word that has both. */
static bool decode_tag(const struct rft_runtime *runtime, uint64_t tag, bool *negative,
                       uint64_t *digits)
{
    if (runtime->layout.version >= 0x030c0000) {
        /* lv_tag: two bits of sign (0 positive, 1 zero, 2 negative), one that marks small ints
         * since 3.14, then the number of digits (Include/internal/pycore_long.h). */
        *negative = (tag & 3) == 2;
        *digits = (tag & 3) == 1 ? 0 : tag >> 3;
    } else {
        /* ob_size: the number of digits, negative for a negative number. */
        *negative = (int64_t)tag < 0;
        *digits = *negative ? 0 - tag : tag;
    }
    return *digits < (UINT64_C(1) << 40);
}

bool rft_int_head(struct rft_runtime *runtime, rft_address object, bool *negative, uint64_t *digits)
{
    uint64_t tag;
    return rft_read_word(runtime, object + runtime->layout.at[RFT_LONG_TAG], &tag) &&
           decode_tag(runtime, tag, negative, digits);
}

/* The number with these digits; false if it is none that fits. */
static bool sum_up(const uint32_t *digit, size_t digits, bool negative, uint64_t *value)
{
    uint64_t sum = 0;
    for (size_t i = digits; i; i--) {
        if (digit[i - 1] >> RFT_DIGIT_BITS || sum >> (64 - RFT_DIGIT_BITS))
            return false;
        sum = sum << RFT_DIGIT_BITS | digit[i - 1];
    }
    *value = negative ? 0 - sum : sum;
    return true;
}

bool rft_int_value(struct rft_runtime *runtime, rft_address object, uint64_t *value)
{
    bool negative;
    uint64_t digits;
    uint32_t digit[3];
    return object && rft_int_head(runtime, object, &negative, &digits) && digits <= 3 &&
           rft_space_try(runtime->space, object + runtime->layout.at[RFT_LONG_DIGIT], digit,
                         digits * sizeof *digit) &&
           sum_up(digit, (size_t)digits, negative, value);
}

void rft_int_values(struct rft_runtime *runtime, const rft_address *objects, size_t count,
                    uint64_t *values, bool *known)
{
    enum { MOST = 128, SPAN_MAX = 32 };
    uint32_t tag_at = runtime->layout.at[RFT_LONG_TAG],
             digit_at = runtime->layout.at[RFT_LONG_DIGIT];
    /* The word of the tag and two digits; an int of one digit is padded to that size. */
    size_t span = digit_at - tag_at + 8;
    unsigned char bytes[MOST][SPAN_MAX];
    struct rft_read reads[MOST];
    if (count > MOST || digit_at < tag_at || span > SPAN_MAX)
        count = 0;
    for (size_t i = 0; i < count; i++)
        reads[i] =
            (struct rft_read){.address = objects[i] + tag_at, .buffer = bytes[i], .size = span};
    rft_space_read_many(runtime->space, reads, count);
    for (size_t i = 0; i < count; i++) {
        bool negative;
        uint64_t digits;
        uint32_t digit[2];
        memcpy(digit, bytes[i] + span - 8, sizeof digit);
        known[i] = objects[i] && reads[i].done &&
                   decode_tag(runtime, rft_word(bytes[i], 0), &negative, &digits) && digits <= 2 &&
                   sum_up(digit, (size_t)digits, negative, &values[i]);
    }
}

bool rft_sequence_items(struct rft_runtime *runtime, rft_address object, bool list, size_t first,
                        rft_address *items, size_t max, size_t *count, uint64_t *length)
{
    const uint32_t *at = runtime->layout.at;
    rft_address data = object + at[RFT_TUPLE_ITEM];
    if (!object ||
        !rft_read_word(runtime, object + at[list ? RFT_LIST_COUNT : RFT_TUPLE_COUNT], length))
        return false;
    if (list && !rft_read_word(runtime, object + at[RFT_LIST_ITEM], &data))
        return false;
    if (*length > (UINT64_C(1) << 44))
        return false;
    *count = *length > first ? (size_t)(*length - first) : 0;
    if (*count > max)
        *count = max;
    return *count == 0 ||
           rft_space_try(runtime->space, data + 8 * first, items, *count * sizeof *items);
}

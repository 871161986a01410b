/* Short texts of objects, without calling anything of theirs. */
#include <stdio.h>

#include "heap/edges.h"
#include "heap/shape.h"

static size_t put_utf8(uint32_t c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) { /* lone surrogates too: whoever shows it escapes it */
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* PyUnicodeObject (Include/cpython/unicodeobject.h): not compact only in subclasses of str. */
static size_t str_text(const char *op, char *to, size_t size)
{
    const struct rft_layout *l = &rft_heap.layout;
    uint32_t state;
    memcpy(&state, op + l->at[RFT_STR_STATE], sizeof state);
    state >>= l->str_kind_shift;
    unsigned width = state & 7;
    bool compact = state & 8, ascii = state & 16;
    const char *characters = !compact ? pointer_at(op, l->str_data_any)
                                      : op + (ascii ? l->str_ascii_size : l->str_compact_size);
    int64_t count = word_at(op, l->at[RFT_STR_LENGTH]);
    size_t length = 0;
    for (int64_t i = 0; i < count && length + 4 <= size && characters != NULL; i++) {
        uint32_t c = 0;
        memcpy(&c, characters + i * width, width <= 4 ? width : 0);
        length += put_utf8(c, to + length);
    }
    return length;
}

static size_t bytes_text(const char *op, char *to, size_t size)
{
    const uint32_t *at = rft_heap.layout.at;
    int64_t count = word_at(op, at[RFT_BYTES_COUNT]);
    size_t length = 2;
    memcpy(to, "b'", 2);
    for (int64_t i = 0; i < count && length + 2 <= size; i++) {
        to[length++] = op[at[RFT_BYTES_DATA] + (size_t)i];
    }
    to[length++] = '\'';
    return length;
}

/* PyLongObject (Include/cpython/longintrepr.h): lv_tag has the number of digits above 3 bits,
 * of which the lowest two are 0: positive, 1: zero, 2: negative. */
bool rft_int_value(const char *op, int64_t *value)
{
    const uint32_t *at = rft_heap.layout.at;
    uint64_t tag = (uint64_t)word_at(op, at[RFT_LONG_TAG]), digits = tag >> 3, sum = 0;
    if (digits > 2) {
        uint32_t top;
        memcpy(&top, op + at[RFT_LONG_DIGIT] + 8, sizeof top);
        if (digits > 3 || top > 7) { /* 63 bits are enough for the id of a thread */
            return false;
        }
    }
    for (uint64_t i = digits; i-- > 0;) {
        uint32_t digit;
        memcpy(&digit, op + at[RFT_LONG_DIGIT] + 4 * i, sizeof digit);
        sum = sum << 30 | digit;
    }
    *value = (tag & 3) == 2 ? -(int64_t)sum : (tag & 3) == 1 ? 0 : (int64_t)sum;
    return true;
}

size_t rft_text(const char *op, char *to, size_t size)
{
    const char *type = type_of(op);
    uint64_t flags = type_flags(type);
    int64_t number;
    if (size < 8) {
        return 0;
    }
    if (flags & TYPE_STR) {
        return str_text(op, to, size);
    }
    if (op == rft_heap.none) {
        memcpy(to, "None", 4);
        return 4;
    }
    int length;
    if (flags & TYPE_BYTES && !(flags & TYPE_HEAP)) {
        return bytes_text(op, to, size);
    }
    if (flags & TYPE_INT && !(flags & TYPE_HEAP) && rft_int_value(op, &number)) {
        const char *name = pointer_at(type, rft_heap.layout.at[RFT_TYPE_NAME]);
        if (strcmp(name, "bool") == 0) {
            length = snprintf(to, size, "%s", number != 0 ? "True" : "False");
        } else {
            length = snprintf(to, size, "%lld", (long long)number);
        }
    } else {
        const char *name = pointer_at(type, rft_heap.layout.at[RFT_TYPE_NAME]);
        length = snprintf(to, size, "<%s>", name != NULL ? name : "?");
    }
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

size_t rft_type_text(const void *op, char *to, size_t size)
{
    const char *type = type_of(op);
    const char *name = pointer_at(type, rft_heap.layout.at[RFT_TYPE_NAME]);
    size_t length = 0;
    if (type_flags(type) & TYPE_HEAP) {
        const char *module = rft_dict_find(pointer_at(type, tp(TP_DICT)), "__module__");
        const char *qualname = pointer_at(type, rft_heap.layout.ht_qualname);
        if (module != NULL && type_flags(type_of(module)) & TYPE_STR && qualname != NULL) {
            length = rft_text(module, to, size);
            if (length == 8 && memcmp(to, "builtins", 8) == 0) {
                length = 0;
            } else if (length < size) {
                to[length++] = '.';
            }
            return length + rft_text(qualname, to + length, size - length);
        }
    }
    length = name != NULL ? strlen(name) : 0;
    length = length < size ? length : size;
    if (length > 0) {
        memcpy(to, name, length);
    }
    return length;
}

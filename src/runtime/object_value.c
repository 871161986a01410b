/* Short texts for values, made from the object's bytes alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "runtime/object.h"

enum {
    TEXT_MAX = 60,        /* characters of a str, or bytes, that are shown */
    EXACT_DIGITS_MAX = 9, /* digits (30 bits) of an int that is shown exactly: 256 bits and more */
};

/* --- str and bytes -------------------------------------------------------------- */

/* One character between single quotes. */
static void add_quoted(struct rft_strbuf *to, uint32_t c)
{
    if (c == '\'' || c == '\\') {
        rft_strbuf_add_char(to, '\\');
        rft_strbuf_add_char(to, (char)c);
        return;
    }
    char bytes[4];
    size_t size = rft_utf8_encode(c, bytes);
    rft_text_clean(to, bytes, size); /* escapes what would steer a terminal */
}

static bool add_str(struct rft_runtime *runtime, rft_address object, struct rft_strbuf *to)
{
    uint32_t points[TEXT_MAX];
    size_t count;
    uint64_t length;
    if (!rft_str_points(runtime, object, points, TEXT_MAX, &count, &length))
        return false;
    rft_strbuf_add_char(to, '\'');
    for (size_t i = 0; i < count; i++)
        add_quoted(to, points[i]);
    rft_strbuf_add_char(to, '\'');
    if (length > count)
        rft_strbuf_format(to, "… len %llu", (unsigned long long)length);
    return true;
}

static bool add_bytes(struct rft_runtime *runtime, rft_address object, struct rft_strbuf *to)
{
    const uint32_t *at = runtime->layout.at;
    unsigned char bytes[TEXT_MAX];
    uint64_t length;
    if (!rft_read_word(runtime, object + at[RFT_BYTES_COUNT], &length) || length >> 44)
        return false;
    size_t count = length < TEXT_MAX ? (size_t)length : TEXT_MAX;
    if (!rft_space_try(runtime->space, object + at[RFT_BYTES_DATA], bytes, count))
        return false;
    rft_strbuf_add(to, "b'");
    for (size_t i = 0; i < count; i++) {
        unsigned char c = bytes[i];
        if (c == '\n' || c == '\r' || c == '\t')
            rft_strbuf_add(to, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (c < 0x20 || c >= 0x7f)
            rft_strbuf_format(to, "\\x%02x", c);
        else
            add_quoted(to, c);
    }
    rft_strbuf_add_char(to, '\'');
    if (length > count)
        rft_strbuf_format(to, "… len %llu", (unsigned long long)length);
    return true;
}

/* --- int and float -------------------------------------------------------------- */

/* `digits` of 30 bits, lowest first, in decimal. They are used up. */
static void add_decimal(struct rft_strbuf *to, uint32_t *digits, size_t count)
{
    /* Nine decimal digits at a time; 270 bits have 82. */
    uint32_t parts[10];
    size_t used = 0;
    do {
        uint64_t rest = 0;
        for (size_t i = count; i; i--) {
            rest = rest << RFT_DIGIT_BITS | digits[i - 1];
            digits[i - 1] = (uint32_t)(rest / 1000000000);
            rest %= 1000000000;
        }
        parts[used++] = (uint32_t)rest;
        while (count && !digits[count - 1])
            count--;
    } while (count && used < sizeof parts / sizeof *parts);
    rft_strbuf_format(to, "%u", parts[used - 1]);
    while (--used)
        rft_strbuf_format(to, "%09u", parts[used - 1]);
}

static bool add_int(struct rft_runtime *runtime, rft_address object, struct rft_strbuf *to)
{
    rft_address data = object + runtime->layout.at[RFT_LONG_DIGIT];
    uint32_t digits[EXACT_DIGITS_MAX];
    bool negative;
    uint64_t count;
    if (!rft_int_head(runtime, object, &negative, &count))
        return false;
    /* The highest ones: all, or those that tell the size. */
    size_t have = count < EXACT_DIGITS_MAX ? (size_t)count : EXACT_DIGITS_MAX;
    if (!rft_space_try(runtime->space, data + 4 * (count - have), digits, have * sizeof *digits))
        return false;
    for (size_t i = 0; i < have; i++) {
        if (digits[i] >> RFT_DIGIT_BITS)
            return false;
    }
    if (have && !digits[have - 1])
        return false; /* the highest digit of an int is never 0 */
    if (negative)
        rft_strbuf_add_char(to, '-');
    if (count <= EXACT_DIGITS_MAX) {
        add_decimal(to, digits, have);
        return true;
    }
    uint64_t bits = (count - 1) * RFT_DIGIT_BITS + 32u - (unsigned)__builtin_clz(digits[have - 1]);
    /* Its first 16 hexadecimal digits: 60 bits of the highest three digits, aligned. */
    unsigned top = (unsigned)((bits - 1) % 4) + 1; /* bits of the first hexadecimal digit */
    uint64_t first = 0;
    unsigned taken = 0, wanted = top + 60;
    for (uint64_t bit = bits; taken < wanted; taken++) {
        bit--;
        uint64_t from_top = count - 1 - bit / RFT_DIGIT_BITS;
        first = first << 1 | (digits[have - 1 - from_top] >> bit % RFT_DIGIT_BITS & 1);
    }
    rft_strbuf_format(to, "0x%016llx… %llu bits", (unsigned long long)first,
                      (unsigned long long)bits);
    return true;
}

/* The shortest decimal number that is this float, written as repr() does (float_repr_style
 * "short": Python/pystrtod.c, format code 'r'). */
static void add_float(struct rft_strbuf *to, double value)
{
    if (isnan(value) || isinf(value)) {
        rft_strbuf_add(to, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    /* [-]d.ddde[+-]xx, where the point is the locale's: only digits are taken. */
    char text[64], digits[20];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    const char *exponent_at = strchr(text, 'e');
    size_t count = 0;
    for (const char *c = text; c < exponent_at && count < sizeof digits - 1; c++) {
        if (*c >= '0' && *c <= '9')
            digits[count++] = *c;
    }
    digits[count] = 0;
    int exponent = exponent_at ? atoi(exponent_at + 1) : 0;
    if (signbit(value))
        rft_strbuf_add_char(to, '-');
    if (exponent < -4 || exponent >= 16) {
        rft_strbuf_add_char(to, digits[0]);
        if (count > 1)
            rft_strbuf_format(to, ".%s", digits + 1);
        rft_strbuf_format(to, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        rft_strbuf_format(to, "0.%.*s%s", -exponent - 1, "000", digits);
    } else {
        int whole = exponent + 1, have = (int)count;
        rft_strbuf_format(to, "%.*s", whole, digits);
        for (int i = have; i < whole; i++)
            rft_strbuf_add_char(to, '0');
        rft_strbuf_format(to, ".%s", have > whole ? digits + whole : "0");
    }
}

/* --- any ------------------------------------------------------------------------ */

static bool add_length(struct rft_runtime *runtime, rft_address at, struct rft_strbuf *to)
{
    uint64_t length;
    if (!rft_read_word(runtime, at, &length) || length >> 44)
        return false;
    rft_strbuf_format(to, "len %llu", (unsigned long long)length);
    return true;
}

bool rft_object_value(struct rft_runtime *runtime, rft_address object, const struct rft_type *type,
                      struct rft_strbuf *to)
{
    const uint32_t *at = runtime->layout.at;
    uint64_t bits;
    switch (type->kind) {
    case RFT_OBJECT_NONE:
        rft_strbuf_add(to, "None");
        return true;
    case RFT_OBJECT_BOOL:
        if (!rft_int_value(runtime, object, &bits) || bits > 1)
            return false;
        rft_strbuf_add(to, bits ? "True" : "False");
        return true;
    case RFT_OBJECT_INT:
        return add_int(runtime, object, to);
    case RFT_OBJECT_FLOAT: {
        double value;
        if (!rft_space_try(runtime->space, object + at[RFT_FLOAT_VALUE], &value, sizeof value))
            return false;
        add_float(to, value);
        return true;
    }
    case RFT_OBJECT_STR:
        return add_str(runtime, object, to);
    case RFT_OBJECT_BYTES:
        return add_bytes(runtime, object, to);
    case RFT_OBJECT_LIST:
        return add_length(runtime, object + at[RFT_LIST_COUNT], to);
    case RFT_OBJECT_TUPLE:
        return add_length(runtime, object + at[RFT_TUPLE_COUNT], to);
    case RFT_OBJECT_DICT: /* ma_used stands behind the object's head */
        return add_length(runtime, object + at[RFT_OBJECT_SIZE], to);
    case RFT_OBJECT_SET: /* fill, used */
        return add_length(runtime, object + at[RFT_OBJECT_SIZE] + 8, to);
    case RFT_OBJECT_CELL:
    case RFT_OBJECT_OTHER:
        return true;
    }
    return true;
}

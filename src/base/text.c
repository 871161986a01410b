#include "base/text.h"

#include <string.h>

#include <stdint.h>

/* Decodes one character that may be a surrogate (surrogatepass); 0 if the bytes
 * are no UTF-8. */
static size_t decode(const unsigned char *at, size_t size, uint32_t *ret)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80   ? 1
                    : at[0] < 0xc2 ? 0
                    : at[0] < 0xe0 ? 2
                    : at[0] < 0xf0 ? 3
                    : at[0] < 0xf5 ? 4
                                   : 0;
    if (!length || length > size)
        return 0;
    uint32_t c = length == 1 ? at[0] : at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (at[i] & 0x3f);
    }
    if (c < smallest[length] || c > 0x10ffff)
        return 0;
    *ret = c;
    return length;
}

static int is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0x200e ||
           c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void rft_text_clean(struct rft_strbuf *to, const char *bytes, size_t size)
{
    const unsigned char *at = (const unsigned char *)bytes;
    while (size) {
        uint32_t c;
        size_t length = decode(at, size, &c);
        if (!length) {
            rft_strbuf_format(to, "\\x%02x", *at);
            length = 1;
        } else if (c == '\n' || c == '\r' || c == '\t') {
            rft_strbuf_add(to, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        } else if (is_control(c) || (c >= 0xd800 && c < 0xe000)) {
            rft_strbuf_format(to, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
        } else {
            rft_strbuf_add_bytes(to, (const char *)at, length);
        }
        at += length;
        size -= length;
    }
}

/* Whether the bytes are printable UTF-8. */
static int is_clean(const unsigned char *at, size_t size)
{
    uint32_t c;
    for (size_t length; size; at += length, size -= length) {
        length = decode(at, size, &c);
        if (!length || is_control(c) || (c >= 0xd800 && c < 0xe000))
            return 0;
    }
    return 1;
}

void rft_text_shell(struct rft_strbuf *to, const char *bytes, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789-_=./,:@%+";
    size_t at = 0;
    while (at < size && bytes[at] && strchr(plain, bytes[at]))
        at++;
    if (size && at == size) {
        rft_strbuf_add_bytes(to, bytes, size);
        return;
    }
    int clean = is_clean((const unsigned char *)bytes, size);
    rft_strbuf_add(to, clean ? "'" : "$'");
    for (at = 0; at < size; at++) {
        unsigned char byte = (unsigned char)bytes[at];
        if (clean && byte == '\'')
            rft_strbuf_add(to, "'\\''");
        else if (!clean && (byte < 0x20 || byte >= 0x7f))
            rft_strbuf_format(to, "\\x%02x", byte);
        else if (!clean && (byte == '\'' || byte == '\\'))
            rft_strbuf_format(to, "\\%c", byte);
        else
            rft_strbuf_add_bytes(to, bytes + at, 1);
    }
    rft_strbuf_add_char(to, '\'');
}

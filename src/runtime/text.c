/* Text of the target: str objects and C strings, as printable UTF-8. */
#include <stdlib.h>

#include "base/text.h"
#include "runtime/runtime.h"

/* Characters that are ever taken of one str. */
enum { STR_MOST = 65536 };

rft_address rft_type_of(struct rft_runtime *runtime, rft_address object)
{
    uint64_t type;
    return rft_read_field(runtime, object, RFT_OBJECT_TYPE, &type) ? type : 0;
}

uint64_t rft_type_flags(struct rft_runtime *runtime, rft_address type)
{
    uint64_t flags;
    return rft_read_field(runtime, type, RFT_TYPE_FLAGS, &flags) ? flags : 0;
}

/* Appends one character as UTF-8; surrogates too, which rft_text_clean() escapes. */
static void add_character(struct rft_strbuf *to, uint32_t c)
{
    if (c < 0x80) {
        rft_strbuf_add_char(to, (char)c);
    } else if (c < 0x800) {
        rft_strbuf_add_char(to, (char)(0xc0 | c >> 6));
        rft_strbuf_add_char(to, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        rft_strbuf_add_char(to, (char)(0xe0 | c >> 12));
        rft_strbuf_add_char(to, (char)(0x80 | (c >> 6 & 0x3f)));
        rft_strbuf_add_char(to, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x110000) {
        rft_strbuf_add_char(to, (char)(0xf0 | c >> 18));
        rft_strbuf_add_char(to, (char)(0x80 | (c >> 12 & 0x3f)));
        rft_strbuf_add_char(to, (char)(0x80 | (c >> 6 & 0x3f)));
        rft_strbuf_add_char(to, (char)(0x80 | (c & 0x3f)));
    } else {
        rft_strbuf_add(to, "\xef\xbf\xbd");
    }
}

bool rft_append_str(struct rft_runtime *runtime, rft_address object, size_t most,
                    struct rft_strbuf *to)
{
    const struct rft_layout *layout = &runtime->layout;
    unsigned char head[160];
    uint32_t head_size = layout->str_data_any + 8;
    if (most > STR_MOST) {
        most = STR_MOST;
    }
    if (head_size > sizeof head || !object ||
        !(rft_type_flags(runtime, rft_type_of(runtime, object)) & RFT_TPFLAGS_STR)) {
        return false;
    }
    /* The shortest form ends before the pointer to the data of the longest. */
    memset(head, 0, sizeof head);
    if (!rft_space_try(runtime->space, object, head, head_size) &&
        !rft_space_try(runtime->space, object, head, layout->str_ascii_size)) {
        return false;
    }
    uint32_t state = (uint32_t)rft_int(head, layout->at[RFT_STR_STATE]);
    uint64_t length = rft_word(head, layout->at[RFT_STR_LENGTH]);
    state >>= layout->str_kind_shift;
    unsigned kind = state & 7;
    bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (kind != 1 && kind != 2 && kind != 4) {
        return false; /* 0: the wchar_t form of 3.11 and older, not made any more by Python */
    }
    rft_address data = object + (ascii ? layout->str_ascii_size : layout->str_compact_size);
    if (!compact) {
        data = rft_word(head, layout->str_data_any);
    }
    size_t count = length < most ? (size_t)length : most;
    unsigned char few[512];
    unsigned char *characters = count * kind <= sizeof few ? few : malloc(count * kind);
    if (!characters) {
        return false;
    }
    bool readable = rft_space_try(runtime->space, data, characters, count * kind);
    if (readable) {
        /* Plain text is its own UTF-8; everything else is written out first. */
        bool plain = kind == 1;
        for (size_t i = 0; plain && i < count; i++) {
            plain = characters[i] < 0x80;
        }
        if (plain) {
            rft_text_clean(to, (const char *)characters, count);
        } else {
            struct rft_strbuf utf8 = {0};
            for (size_t i = 0; i < count; i++) {
                uint32_t c = characters[i];
                if (kind != 1) {
                    c = 0;
                    memcpy(&c, characters + i * kind, kind);
                }
                add_character(&utf8, c);
            }
            rft_text_clean(to, rft_strbuf_text(&utf8), utf8.length);
            to->failed |= utf8.failed;
            rft_strbuf_deinit(&utf8);
        }
        if (count < length) {
            rft_strbuf_add(to, "…");
        }
    }
    if (characters != few) {
        free(characters);
    }
    return readable;
}

const char *rft_read_str(struct rft_runtime *runtime, rft_address object, size_t most,
                         struct rft_arena *arena)
{
    struct rft_strbuf *text = &runtime->scratch;
    rft_strbuf_clear(text);
    text->failed = false;
    if (!rft_append_str(runtime, object, most, text) || text->failed) {
        return NULL;
    }
    return rft_arena_copy(arena, rft_strbuf_text(text), text->length);
}

const char *rft_read_cstr(struct rft_runtime *runtime, rft_address address, size_t most,
                          struct rft_arena *arena)
{
    char bytes[4096];
    size_t got = 0;
    if (most > sizeof bytes - 1) {
        most = sizeof bytes - 1;
    }
    /* In pieces that end where a page ends: what lies behind need not be mapped. */
    while (got < most && address) {
        size_t part = 64 - ((address + got) & 63);
        if (part > most - got) {
            part = most - got;
        }
        if (!rft_space_try(runtime->space, address + got, bytes + got, part)) {
            return NULL;
        }
        const char *end = memchr(bytes + got, 0, part);
        if (end) {
            got = (size_t)(end - bytes);
            break;
        }
        got += part;
    }
    if (!address) {
        return NULL;
    }
    struct rft_strbuf *text = &runtime->scratch;
    rft_strbuf_clear(text);
    text->failed = false;
    rft_text_clean(text, bytes, got);
    return text->failed ? NULL : rft_arena_copy(arena, rft_strbuf_text(text), text->length);
}

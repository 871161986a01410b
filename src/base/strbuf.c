#include "base/strbuf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and the NUL. */
static bool reserve(struct rft_strbuf *buffer, size_t more)
{
    if (buffer->failed || more > SIZE_MAX / 4 - buffer->length) {
        buffer->failed = true;
        return false;
    }
    size_t needed = buffer->length + more + 1;
    if (needed <= buffer->capacity)
        return true;
    size_t capacity = buffer->capacity * 2 > needed ? buffer->capacity * 2 : needed;
    if (capacity < 64)
        capacity = 64;
    char *text = realloc(buffer->text, capacity);
    if (!text) {
        buffer->failed = true;
        return false;
    }
    buffer->text = text;
    buffer->capacity = capacity;
    return true;
}

void rft_strbuf_add_bytes(struct rft_strbuf *buffer, const char *bytes, size_t size)
{
    if (!reserve(buffer, size))
        return;
    if (size)
        memcpy(buffer->text + buffer->length, bytes, size);
    buffer->length += size;
    buffer->text[buffer->length] = 0;
}

void rft_strbuf_add(struct rft_strbuf *buffer, const char *text)
{
    rft_strbuf_add_bytes(buffer, text, strlen(text));
}

void rft_strbuf_add_char(struct rft_strbuf *buffer, char c)
{
    rft_strbuf_add_bytes(buffer, &c, 1);
}

void rft_strbuf_format(struct rft_strbuf *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        buffer->failed = true;
        return;
    }
    if (!reserve(buffer, (size_t)length))
        return;
    va_start(arguments, format);
    vsnprintf(buffer->text + buffer->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)length;
}

const char *rft_strbuf_text(const struct rft_strbuf *buffer)
{
    return buffer->text ? buffer->text : "";
}

void rft_strbuf_clear(struct rft_strbuf *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
    if (buffer->text)
        buffer->text[0] = 0;
}

void rft_strbuf_deinit(struct rft_strbuf *buffer)
{
    free(buffer->text);
    *buffer = (struct rft_strbuf){0};
}

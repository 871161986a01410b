/* A text that grows. */
#ifndef RFT_BASE_STRBUF_H
#define RFT_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is an empty text. Running out of memory is remembered: callers may
 * append many pieces and look at `failed` once. */
struct rft_strbuf {
    char *text; /* NUL-terminated, or NULL while nothing was appended */
    size_t length, capacity;
    bool failed;
};

void rft_strbuf_add(struct rft_strbuf *buffer, const char *text);
void rft_strbuf_add_bytes(struct rft_strbuf *buffer, const char *bytes, size_t size);
void rft_strbuf_add_char(struct rft_strbuf *buffer, char c);
void rft_strbuf_format(struct rft_strbuf *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The text, never NULL. Valid until the buffer changes. */
const char *rft_strbuf_text(const struct rft_strbuf *buffer);

void rft_strbuf_clear(struct rft_strbuf *buffer);
void rft_strbuf_deinit(struct rft_strbuf *buffer);

#endif

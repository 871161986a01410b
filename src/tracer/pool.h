/* Memory of the tracer: straight from the kernel, never from malloc, so that
 * the traced program's heap looks as it does untraced. */
#ifndef RFT_POOL_H
#define RFT_POOL_H

#include <stddef.h>

/* size bytes of zeroed memory that is never given back, or NULL when the
 * kernel has none (ulimit -v). Not thread-safe: the caller holds tracer.lock. */
void *rft_pool_alloc(size_t size);

/* Whole pages of zeroed memory; any thread. NULL when there is none. */
void *rft_pages_alloc(size_t size);
void rft_pages_free(void *pages, size_t size);

/* A byte string that grows; for chunks on their way to the trace. */
struct rft_buffer {
    unsigned char *bytes;
    size_t length, capacity;
    int failed; /* an append found no memory: the content is incomplete */
};
unsigned char *rft_buffer_reserve(struct rft_buffer *buffer, size_t more);
void rft_buffer_append(struct rft_buffer *buffer, const void *bytes, size_t length);
void rft_buffer_byte(struct rft_buffer *buffer, unsigned char byte);
void rft_buffer_varint(struct rft_buffer *buffer, unsigned long long value);
void rft_buffer_text(struct rft_buffer *buffer, const char *text, size_t length);
void rft_buffer_clear(struct rft_buffer *buffer);

#endif

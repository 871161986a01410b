#include "tracer/pool.h"

#include <string.h>
#include <sys/mman.h>

enum { POOL_BLOCK = 256 * 1024, PAGE = 4096 };

void *rft_pages_alloc(size_t size)
{
    size = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void rft_pages_free(void *pages, size_t size)
{
    if (pages != NULL) {
        munmap(pages, (size + PAGE - 1) & ~(size_t)(PAGE - 1));
    }
}

static struct {
    unsigned char *next, *end;
} pool; /* guarded by tracer.lock */

void *rft_pool_alloc(size_t size)
{
    size = (size + 63) & ~(size_t)63;
    if (size >= POOL_BLOCK / 4) {
        return rft_pages_alloc(size);
    }
    if ((size_t)(pool.end - pool.next) < size) {
        unsigned char *block = rft_pages_alloc(POOL_BLOCK);
        if (block == NULL) {
            return NULL;
        }
        pool.next = block;
        pool.end = block + POOL_BLOCK;
    }
    void *result = pool.next;
    pool.next += size;
    return result;
}

unsigned char *rft_buffer_reserve(struct rft_buffer *buffer, size_t more)
{
    if (buffer->capacity - buffer->length < more) {
        size_t capacity = buffer->capacity ? buffer->capacity * 2 : 2 * PAGE;
        while (capacity - buffer->length < more) {
            capacity *= 2;
        }
        unsigned char *bytes =
            buffer->capacity ? mremap(buffer->bytes, buffer->capacity, capacity, MREMAP_MAYMOVE)
                             : rft_pages_alloc(capacity);
        if (bytes == NULL || bytes == MAP_FAILED) {
            buffer->failed = 1;
            return NULL;
        }
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->length;
}

void rft_buffer_append(struct rft_buffer *buffer, const void *bytes, size_t length)
{
    unsigned char *to = rft_buffer_reserve(buffer, length);
    if (to != NULL && length > 0) {
        memcpy(to, bytes, length);
        buffer->length += length;
    }
}

void rft_buffer_byte(struct rft_buffer *buffer, unsigned char byte)
{
    rft_buffer_append(buffer, &byte, 1);
}

void rft_buffer_varint(struct rft_buffer *buffer, unsigned long long value)
{
    unsigned char *to = rft_buffer_reserve(buffer, 10);
    if (to == NULL) {
        return;
    }
    size_t n = 0;
    while (value >= 0x80) {
        to[n++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    to[n++] = (unsigned char)value;
    buffer->length += n;
}

void rft_buffer_text(struct rft_buffer *buffer, const char *text, size_t length)
{
    rft_buffer_varint(buffer, length);
    rft_buffer_append(buffer, text, length);
}

void rft_buffer_clear(struct rft_buffer *buffer)
{
    /* A burst of names at start-up must not stay in memory for the whole run. */
    if (buffer->capacity > 1 << 20) {
        rft_pages_free(buffer->bytes, buffer->capacity);
        *buffer = (struct rft_buffer){0};
    }
    buffer->length = 0;
    buffer->failed = 0;
}

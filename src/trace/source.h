/* Where a trace's bytes come from: a file, read piece by piece, or memory.
 *
 * A file is read rather than mapped: a mapped file that somebody cuts short
 * kills its reader with SIGBUS. */
#ifndef RFT_TRACE_SOURCE_H
#define RFT_TRACE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include <reftracer/error.h>

struct rft_source {
    const char *name;
    int fd;                     /* -1: memory */
    int failed_errno;           /* of a read that failed; the file then counts as ended there */
    uint64_t total;             /* bytes of the file when it was opened; 0 for a pipe */
    const unsigned char *bytes; /* the window's first byte */
    uint64_t offset;            /* of that byte in the file */
    size_t filled;              /* bytes in the window */
    unsigned char *buffer;      /* owned, NULL for memory */
    size_t capacity;
};

/* Open a file for rft_source_view(). */
struct rft_error *rft_source_open(const char *path, struct rft_source *ret);
void rft_source_memory(const char *name, const void *bytes, size_t size, struct rft_source *ret);
void rft_source_close(struct rft_source *source);

/* The bytes from `offset` on: `wanted` of them, or fewer at the end of the file.
 * They stay valid until the next call. `offset` may not lie before the offset of
 * an earlier call.
 *
 * @param ret_bytes Not NULL even for zero bytes.
 * @param ret_size How many there are, at most `wanted`. */
struct rft_error *rft_source_view(struct rft_source *source, uint64_t offset, size_t wanted,
                                  const unsigned char **ret_bytes, size_t *ret_size);

#endif

/* Columns as an Arrow C stream in a capsule: what python/reftracer/_arrow.py calls, through
 * ctypes.PyDLL, so with the GIL. */
#ifndef RFT_ARROW_STREAM_H
#define RFT_ARROW_STREAM_H

#include <stddef.h>
#include <stdint.h>

enum { RFT_ARROW_BUFFERS_MAX = 3 };

/* A column as the caller has it. Buffers: validity, then those of its format; NULL: none. */
struct rft_arrow_column {
    const char *name, *format;
    int64_t nulls, buffer_count;
    const void *buffers[RFT_ARROW_BUFFERS_MAX];
    uint64_t sizes[RFT_ARROW_BUFFERS_MAX]; /* in bytes */
};

/* A PyCapsule with a stream of a copy of the columns, one batch; NULL with MemoryError set. */
void *reftracer_arrow_capsule(const struct rft_arrow_column *columns, size_t count, int64_t rows);

#endif

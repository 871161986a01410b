#include "trace/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_AHEAD = 1 << 20 };

struct rft_error *rft_source_open(const char *path, struct rft_source *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return rft_error_os(errno, "cannot open the trace '%s'", path);
    struct stat status;
    if (fstat(fd, &status) < 0) {
        int saved = errno;
        close(fd);
        return rft_error_os(saved, "cannot look at the trace '%s'", path);
    }
    if (S_ISDIR(status.st_mode)) {
        close(fd);
        return rft_error_format(RFT_ERROR_NOT_TRACE,
                                "'%s' is a directory, not a trace: name the .rft files in it",
                                path);
    }
    *ret = (struct rft_source){
        .name = path,
        .fd = fd,
        .total = S_ISREG(status.st_mode) && status.st_size > 0 ? (uint64_t)status.st_size : 0,
        .bytes = (const unsigned char *)"",
    };
    return NULL;
}

void rft_source_memory(const char *name, const void *bytes, size_t size, struct rft_source *ret)
{
    *ret = (struct rft_source){
        .name = name,
        .fd = -1,
        .total = size,
        .bytes = size ? bytes : (const void *)"",
        .filled = size,
    };
}

void rft_source_close(struct rft_source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    free(source->buffer);
    *source = (struct rft_source){.fd = -1};
}

/* Drop what lies before `offset` and read until `wanted` bytes follow it. */
static struct rft_error *slide(struct rft_source *source, uint64_t offset, size_t wanted)
{
    size_t passed = (size_t)(offset - source->offset);
    if (passed > source->filled)
        passed = source->filled;
    size_t room = wanted + READ_AHEAD;
    if (room > source->capacity) {
        unsigned char *larger = malloc(room);
        if (!larger)
            return rft_error_no_memory();
        if (source->filled > passed)
            memcpy(larger, source->bytes + passed, source->filled - passed);
        free(source->buffer);
        source->buffer = larger;
        source->capacity = room;
    } else if (source->filled > passed) {
        memmove(source->buffer, source->buffer + passed, source->filled - passed);
    }
    source->bytes = source->buffer;
    source->filled -= passed;
    source->offset += passed;
    while (source->filled < source->capacity && !source->failed_errno) {
        ssize_t n =
            read(source->fd, source->buffer + source->filled, source->capacity - source->filled);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            source->failed_errno = errno;
        if (n <= 0)
            break;
        source->filled += (size_t)n;
    }
    return NULL;
}

struct rft_error *rft_source_view(struct rft_source *source, uint64_t offset, size_t wanted,
                                  const unsigned char **ret_bytes, size_t *ret_size)
{
    uint64_t end = source->offset + source->filled;
    if (source->fd >= 0 && (offset > end || end - offset < wanted)) {
        struct rft_error *error = slide(source, offset, wanted);
        if (error)
            return error;
        end = source->offset + source->filled;
    }
    size_t there = offset < end ? (size_t)(end - offset) : 0;
    *ret_bytes = there ? source->bytes + (offset - source->offset) : source->bytes;
    *ret_size = there < wanted ? there : wanted;
    return NULL;
}

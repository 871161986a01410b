#include "trace/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "trace/format.h"

/* Out of the way of programs that count on small numbers. */
enum { DESCRIPTOR_MIN = 500 };

static void put16(unsigned char *to, uint16_t value)
{
    to[0] = (unsigned char)value;
    to[1] = (unsigned char)(value >> 8);
}

static void put32(unsigned char *to, uint32_t value)
{
    put16(to, (uint16_t)value);
    put16(to + 2, (uint16_t)(value >> 16));
}

static int write_all(int fd, struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t done = writev(fd, parts, count);
        if (done < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno;
        }
        while (count > 0 && (size_t)done >= parts->iov_len) {
            done -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + done;
            parts->iov_len -= (size_t)done;
        }
    }
    return 0;
}

int rft_write_quietly(int fd, struct iovec *parts, int count)
{
    sigset_t quiet, before, pending;
    sigemptyset(&quiet);
    sigaddset(&quiet, SIGXFSZ);
    sigaddset(&quiet, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &quiet, &before);
    sigpending(&pending);
    int error = write_all(fd, parts, count);
    int signal = error == EFBIG ? SIGXFSZ : error == EPIPE ? SIGPIPE : 0;
    if (signal != 0 && !sigismember(&pending, signal)) {
        /* Ours: take it away, so that it does not come when the mask goes. */
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, signal);
        sigtimedwait(&one, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* Programs that become daemons close every descriptor, ours too, and its
 * number may be another file's by now: look before each write. */
static bool is_ours(const struct rft_writer *writer, int fd)
{
    struct stat status;
    return fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == writer->device &&
           status.st_ino == writer->inode;
}

static int keep_descriptor(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);
    if (high >= 0) {
        close(fd);
        return high;
    }
    return fd;
}

static int ensure_open(struct rft_writer *writer)
{
    if (is_ours(writer, writer->fd)) {
        return 0;
    }
    writer->fd = -1;
    int fd = open(writer->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno;
    }
    if (!is_ours(writer, fd)) {
        close(fd);
        return ESTALE;
    }
    writer->fd = keep_descriptor(fd);
    return 0;
}

int rft_writer_create(struct rft_writer *writer, const char *path, uint32_t pid)
{
    size_t length = strlen(path);
    if (length >= sizeof writer->path) {
        return ENAMETOOLONG;
    }
    memcpy(writer->path, path, length + 1); /* also for the message when it fails */
    writer->size = 0;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    struct stat status;
    fstat(fd, &status);
    writer->device = status.st_dev;
    writer->inode = status.st_ino;
    writer->fd = keep_descriptor(fd);
    writer->sequence = 0;

    unsigned char header[RFT_FILE_HEADER_SIZE] = RFT_MAGIC;
    put16(header + 8, RFT_FORMAT_VERSION);
    put16(header + 10, RFT_FORMAT_MIN_READER);
    put32(header + 12, RFT_FILE_HEADER_SIZE);
    memset(header + 16, 0, 8); /* feature bits */
    put32(header + 24, pid);
    put32(header + 28, rft_crc32c(0, header, 28));
    int error = rft_write_quietly(writer->fd, &(struct iovec){header, sizeof header}, 1);
    writer->size = sizeof header;
    if (error != 0) {
        rft_writer_close(writer);
        unlink(path);
    }
    return error;
}

int rft_writer_chunk(struct rft_writer *writer, uint8_t type, const void *payload, size_t length)
{
    if (length > RFT_CHUNK_MAX) {
        return EFBIG;
    }
    int error = ensure_open(writer);
    if (error != 0) {
        return error;
    }
    unsigned char header[RFT_CHUNK_HEADER_SIZE] = {0};
    put32(header, RFT_CHUNK_MARK);
    header[4] = type;
    put32(header + 8, (uint32_t)length);
    put32(header + 12, writer->sequence);
    put32(header + 16, rft_crc32c(rft_crc32c(0, header, 16), payload, length));
    struct iovec parts[2] = {{header, sizeof header}, {(void *)(uintptr_t)payload, length}};
    error = rft_write_quietly(writer->fd, parts, length > 0 ? 2 : 1);
    if (error != 0) {
        /* Half a chunk is no use to anyone; a reader would only have to skip it. */
        if (ftruncate(writer->fd, (off_t)writer->size) != 0) {
            return error;
        }
        return error;
    }
    writer->starts[writer->sequence % RFT_WRITER_STARTS] = writer->size;
    writer->sequence++;
    writer->size += sizeof header + length;
    return 0;
}

static bool is_full(int error)
{
    return error == ENOSPC || error == EFBIG || error == EDQUOT;
}

int rft_writer_last_chunk(struct rft_writer *writer, uint8_t type, const void *payload,
                          size_t length)
{
    int error = rft_writer_chunk(writer, type, payload, length);
    for (int i = 0; is_full(error) && i < RFT_WRITER_STARTS && writer->sequence > 1; i++) {
        writer->sequence--;
        writer->size = writer->starts[writer->sequence % RFT_WRITER_STARTS];
        if (ftruncate(writer->fd, (off_t)writer->size) != 0) {
            break;
        }
        error = rft_writer_chunk(writer, type, payload, length);
    }
    return error;
}

void rft_writer_close(struct rft_writer *writer)
{
    if (is_ours(writer, writer->fd)) {
        close(writer->fd);
    }
    writer->fd = -1;
}

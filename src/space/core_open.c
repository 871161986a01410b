/* The bytes of a core: as they are, or decompressed into a nameless file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "late/late.h"
#if RFT_HAVE_ZLIB
#include "late/zlib.h"
#endif
#if RFT_HAVE_LIBZSTD
#include "late/libzstd.h"
#endif
#include "space/core.h"

enum { STEP = 1 << 18, PAGE = 4096 };
/* A compressed core of a few bytes may unpack to anything. What lies behind this much is cut
 * off; a terabyte of zeros takes some minutes and no space. */
#define UNPACKED_MAX ((uint64_t)1 << 40)

static int nameless_file(void)
{
    const char *folder = getenv("TMPDIR");
    int fd = open(folder && *folder ? folder : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : memfd_create("reftracer-core", MFD_CLOEXEC);
}

static struct rft_error *write_failed(const char *path)
{
    return rft_error_os(
        errno, "unpacking core %s into a temporary file (TMPDIR chooses its folder)", path);
}

#if RFT_HAVE_ZLIB || RFT_HAVE_LIBZSTD
/* Appends, leaving holes for pages of zeros: most of a core is. */
static bool append(int fd, uint64_t *size, const unsigned char *bytes, size_t count)
{
    static const unsigned char zeros[PAGE];
    while (count) {
        size_t part = count < PAGE ? count : PAGE;
        if (memcmp(bytes, zeros, part) != 0) {
            ssize_t written = pwrite(fd, bytes, part, (off_t)*size);
            if (written <= 0) {
                if (written == 0)
                    errno = ENOSPC;
                return false;
            }
            part = (size_t)written;
        }
        *size += part;
        bytes += part;
        count -= part;
    }
    return true;
}
#endif

static struct rft_error *cannot_unpack(const char *path, const char *why, const char *command)
{
    return rft_error_format(RFT_ERROR_UNSUPPORTED,
                            "unpacking core %s: %s; or unpack the core first, with %s", path, why,
                            command);
}

#if RFT_HAVE_ZLIB
/* What could be unpacked of a damaged or cut file stays: it is a cut core. */
static struct rft_error *unpack_gzip(const char *path, int from, int to, uint64_t *size)
{
    const char *missing = rft_late_missing(RFT_LATE_ELF);
    if (missing)
        return cannot_unpack(path, missing, "gzip -d");
    int own = dup(from);
    gzFile file = own < 0 ? NULL : gzdopen(own, "rb");
    unsigned char *buffer = malloc(STEP);
    struct rft_error *error = NULL;
    int got = 0;
    if (!file || !buffer)
        error = rft_error_no_memory();
    while (!error && *size < UNPACKED_MAX && (got = gzread(file, buffer, STEP)) > 0) {
        if (!append(to, size, buffer, (size_t)got))
            error = write_failed(path);
    }
    if (!error && got < 0 && *size == 0)
        error = rft_error_format(RFT_ERROR_DAMAGED, "unpacking core %s: its gzip data are damaged",
                                 path);
    free(buffer);
    if (file)
        gzclose(file);
    else if (own >= 0)
        close(own);
    return error;
}

#else
static struct rft_error *unpack_gzip(const char *path, int from, int to, uint64_t *size)
{
    (void)from, (void)to, (void)size;
    return cannot_unpack(path, "this reftracer was built without zlib", "gzip -d");
}
#endif

#if RFT_HAVE_LIBZSTD
static struct rft_error *unpack_zstd(const char *path, int from, int to, uint64_t *size)
{
    const char *missing = rft_late_missing(RFT_LATE_ELF);
    if (missing)
        return cannot_unpack(path, missing, "zstd -d");
    ZSTD_DStream *stream = ZSTD_createDStream();
    unsigned char *packed = malloc(STEP), *unpacked = malloc(STEP);
    struct rft_error *error = NULL;
    bool damaged = false;
    if (!stream || !packed || !unpacked)
        error = rft_error_no_memory();
    ssize_t got;
    while (!error && !damaged && *size < UNPACKED_MAX && (got = read(from, packed, STEP)) > 0) {
        ZSTD_inBuffer in = {packed, (size_t)got, 0};
        while (!error && !damaged && in.pos < in.size && *size < UNPACKED_MAX) {
            ZSTD_outBuffer out = {unpacked, STEP, 0};
            size_t result = ZSTD_decompressStream(stream, &out, &in);
            damaged = ZSTD_isError(result);
            if (!append(to, size, unpacked, out.pos))
                error = write_failed(path);
        }
    }
    if (!error && *size == 0)
        error = rft_error_format(RFT_ERROR_DAMAGED, "unpacking core %s: its zstd data are damaged",
                                 path);
    ZSTD_freeDStream(stream);
    free(packed);
    free(unpacked);
    return error;
}

#else
static struct rft_error *unpack_zstd(const char *path, int from, int to, uint64_t *size)
{
    (void)from, (void)to, (void)size;
    return cannot_unpack(path, "this reftracer was built without libzstd", "zstd -d");
}
#endif

struct rft_error *rft_core_open(const char *path, int *fd, uint64_t *size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return rft_error_os(errno, "opening core %s", path);
    struct stat about;
    unsigned char magic[4] = {0};
    struct rft_error *error = NULL;
    if (fstat(file, &about) != 0)
        error = rft_error_os(errno, "opening core %s", path);
    else if (!S_ISREG(about.st_mode))
        error = rft_error_format(RFT_ERROR_NOT_CORE, "%s is a %s, no core file", path,
                                 S_ISDIR(about.st_mode) ? "directory" : "special file");
    else if (about.st_size == 0)
        error = rft_error_format(RFT_ERROR_NOT_CORE,
                                 "%s is empty, no core file; was the limit of the core's size "
                                 "(ulimit -c) or the disk's too small?",
                                 path);
    else if (pread(file, magic, sizeof magic, 0) < 0)
        error = rft_error_os(errno, "reading core %s", path);
    bool gzip = magic[0] == 0x1f && magic[1] == 0x8b;
    bool zstd = magic[0] == 0x28 && magic[1] == 0xb5 && magic[2] == 0x2f && magic[3] == 0xfd;
    if (!error && (gzip || zstd)) {
        int plain = nameless_file();
        *size = 0;
        error = plain < 0 ? write_failed(path)
                : gzip    ? unpack_gzip(path, file, plain, size)
                          : unpack_zstd(path, file, plain, size);
        /* Zeros at the end are a hole that was never written. */
        if (!error && ftruncate(plain, (off_t)*size) != 0)
            error = write_failed(path);
        close(file);
        file = plain;
    } else if (!error) {
        *size = (uint64_t)about.st_size;
    }
    if (error) {
        if (file >= 0)
            close(file);
        return error;
    }
    *fd = file;
    return NULL;
}

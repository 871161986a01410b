/* Everything from the bytes of a trace to the verdict. The inputs' checksums are
 * set right first; without that the fuzzer would hardly ever get past them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "analyze/churn.h"
#include "analyze/diff.h"
#include "base/crc32c.h"
#include "trace/format.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

static void put32(unsigned char *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

/* The input is a row of chunks: type, two bytes of length, payload. */
static size_t make_trace(const unsigned char *bytes, size_t size, unsigned char *to)
{
    size_t used = RFT_FILE_HEADER_SIZE;
    uint32_t sequence = 0;
    memset(to, 0, used);
    memcpy(to, RFT_MAGIC, RFT_MAGIC_SIZE);
    to[8] = to[10] = 1;
    put32(to + 12, RFT_FILE_HEADER_SIZE);
    put32(to + 28, rft_crc32c(0, to, 28));
    while (size >= 3) {
        size_t length = bytes[1] | (size_t)bytes[2] << 8;
        if (length > size - 3)
            length = size - 3;
        unsigned char *chunk = to + used;
        memset(chunk, 0, RFT_CHUNK_HEADER_SIZE);
        put32(chunk, RFT_CHUNK_MARK);
        chunk[4] = bytes[0] & 31;
        sequence += bytes[0] >> 7; /* sometimes a chunk is missing */
        put32(chunk + 8, (uint32_t)length);
        put32(chunk + 12, sequence++);
        memcpy(chunk + RFT_CHUNK_HEADER_SIZE, bytes + 3, length);
        uint32_t crc = rft_crc32c(0, chunk, 16);
        put32(chunk + 16, rft_crc32c(crc, bytes + 3, length));
        used += RFT_CHUNK_HEADER_SIZE + length;
        bytes += 3 + length;
        size -= 3 + length;
    }
    return used;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size)
{
    unsigned char *trace = malloc(RFT_FILE_HEADER_SIZE + size * 8 + 64);
    int fd = memfd_create("trace", 0);
    if (!trace || fd < 0)
        abort();
    size_t used = make_trace(bytes, size, trace);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, trace, used) != (ssize_t)used)
        abort();
    const char *const paths[2] = {path, path};
    struct rft_model *model;
    struct rft_error *error = rft_model_read(paths, 2, NULL, NULL, &model);
    if (error) {
        rft_error_destroy(error);
    } else {
        struct rft_churn_row *rows;
        struct rft_diff diff;
        size_t count;
        if (!rft_churn(model, RFT_CHURN_BY_BYTES, &rows, &count))
            free(rows);
        if (!rft_diff_init(model, model, &diff))
            rft_diff_deinit(&diff);
        for (uint32_t i = 0; i < model->site_count; i++) {
            struct rft_curve_cursor cursor;
            struct rft_curve_step step;
            if (rft_curve_begin(model, i, &cursor))
                continue;
            while (rft_curve_next(&cursor, &step)) {
            }
            rft_curve_end(&cursor);
        }
        rft_model_destroy(model);
    }
    close(fd);
    free(trace);
    return 0;
}

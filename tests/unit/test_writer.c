/* The file that the agent writes, where there is little room for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "trace/format.h"
#include "trace/writer.h"

static char path[64]; /* another test may run beside this one */

static uint32_t get32(const unsigned char *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

/* Counts the chunks, which must be whole and in order, and tells the last one's payload. */
static unsigned read_chunks(char *last, size_t size)
{
    static unsigned char bytes[1 << 16];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    unsigned count = 0;
    for (size_t at = RFT_FILE_HEADER_SIZE; at < length; count++) {
        assert_true(length - at >= RFT_CHUNK_HEADER_SIZE);
        uint32_t payload = get32(bytes + at + 8);
        assert_int_equal(get32(bytes + at), RFT_CHUNK_MARK);
        assert_int_equal(get32(bytes + at + 12), count);
        assert_true(length - at - RFT_CHUNK_HEADER_SIZE >= payload && payload < size);
        uint32_t crc = rft_crc32c(0, bytes + at, 16);
        at += RFT_CHUNK_HEADER_SIZE;
        assert_int_equal(get32(bytes + at - 4), rft_crc32c(crc, bytes + at, payload));
        memcpy(last, bytes + at, payload);
        last[payload] = 0;
        at += payload;
    }
    return count;
}

static void test_what_was_the_end_is_written_however_little_room_there_is(void **state)
{
    (void)state;
    static const char first[80] = "first", more[60] = "more", end[] = "no room for what comes now";
    char last[100];
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    for (rlim_t room = 1000; room < 1200; room++) {
        static struct rft_writer writer;
        unsigned chunks = 1;
        unlink(path);
        limit.rlim_cur = room;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(rft_writer_create(&writer, path, 1), 0);
        assert_int_equal(rft_writer_chunk(&writer, RFT_CHUNK_PROGRAM, first, sizeof first), 0);
        while (rft_writer_chunk(&writer, RFT_CHUNK_TICK, more, sizeof more - chunks % 5) == 0) {
            chunks++;
        }
        assert_int_equal(rft_writer_last_chunk(&writer, RFT_CHUNK_LOSS, end, sizeof end), 0);
        rft_writer_close(&writer);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        unsigned left = read_chunks(last, sizeof last);
        assert_true(left == chunks || left == chunks + 1); /* in the room of one, or behind all */
        assert_string_equal(last, end);
    }
    unlink(path);
}

static void test_the_first_chunk_is_not_given_up(void **state)
{
    (void)state;
    static const char first[80] = "first", end[80] = "end";
    char last[100];
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = RFT_FILE_HEADER_SIZE + RFT_CHUNK_HEADER_SIZE + sizeof first + 50;
    static struct rft_writer writer;
    unlink(path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(rft_writer_create(&writer, path, 1), 0);
    assert_int_equal(rft_writer_chunk(&writer, RFT_CHUNK_PROGRAM, first, sizeof first), 0);
    assert_int_not_equal(rft_writer_last_chunk(&writer, RFT_CHUNK_LOSS, end, sizeof end), 0);
    rft_writer_close(&writer);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(read_chunks(last, sizeof last), 1);
    assert_string_equal(last, "first");
    unlink(path);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/test_writer.%d.rft", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_the_end_is_written_however_little_room_there_is),
        cmocka_unit_test(test_the_first_chunk_is_not_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <reftracer/trace.h>

#include "analyze/model.h"
#include "trace_builder.h"

static void build_small(struct builder *builder)
{
    begin_trace(builder, 0x030e0af0);
    for (uint64_t t = 1; t <= 12; t++)
        add_tick(builder, t * 100, (uint64_t[]){20, 40, 3, 0}, (uint64_t[]){10, 40, 0, 0}, 4);
    struct bytes p = {0};
    put_le(&p, RFT_CENSUS_EXIT, 1);
    put(&p, 1200);
    put(&p, 0);
    put(&p, 2);
    put(&p, 1);
    put(&p, 2);
    for (int i = 0; i < 2; i++) {
        put(&p, i ? 600 : 0);
        put(&p, 600);
        put(&p, 60);
        put(&p, 60 * 48);
    }
    put(&p, 2);
    put(&p, 1);
    put(&p, 0);
    put(&p, 1200);
    put(&p, 36);
    put(&p, 36 * 28);
    add_chunk(builder, RFT_CHUNK_CENSUS, &p);
    put(&p, 600);
    put_text(&p, "half\x1b[31m");
    add_chunk(builder, RFT_CHUNK_MARK_LABEL, &p);
    add_end(builder, 1200);
}

struct seen {
    uint64_t births, deaths, survivors;
    unsigned ticks;
};

static struct rft_error *see_tick(void *data, const struct rft_trace *trace,
                                  const struct rft_tick *tick)
{
    struct seen *seen = data;
    seen->ticks++;
    for (size_t i = 0; i < tick->site_count; i++) {
        assert_true(tick->sites[i].site <= rft_trace_site_count(trace));
        seen->births += tick->sites[i].births;
        seen->deaths += tick->sites[i].deaths;
    }
    return NULL;
}

static struct rft_error *see_census(void *data, const struct rft_trace *trace,
                                    const struct rft_census *census)
{
    struct seen *seen = data;
    (void)trace;
    for (size_t i = 0; i < census->site_count; i++) {
        for (uint32_t k = 0; k < census->sites[i].cohort_count; k++)
            seen->survivors += census->sites[i].cohorts[k].survivors;
    }
    return NULL;
}

static enum rft_error_code read_code(const void *bytes, size_t size, struct seen *seen)
{
    struct rft_trace_visitor visitor = {.tick = see_tick, .census = see_census, .data = seen};
    struct rft_trace *trace;
    *seen = (struct seen){0};
    struct rft_error *error = rft_trace_read_bytes("t.rft", bytes, size, &visitor, &trace);
    if (!error) {
        rft_trace_destroy(trace);
        return 0;
    }
    enum rft_error_code code = error->code;
    assert_true(strlen(error->message) > 20);
    rft_error_destroy(error);
    return code;
}

static void a_whole_trace_is_read_whole(void **state)
{
    (void)state;
    struct builder b;
    struct seen seen = {0};
    struct rft_trace_visitor visitor = {.tick = see_tick, .census = see_census, .data = &seen};
    struct rft_trace *trace;
    build_small(&b);
    assert_null(rft_trace_read_bytes("t.rft", b.file.at, b.file.size, &visitor, &trace));
    assert_int_equal(seen.ticks, 12);
    assert_int_equal(seen.births, 12 * 63);
    assert_int_equal(seen.deaths, 12 * 50);
    assert_int_equal(seen.survivors, 156);
    const struct rft_trace_damage none = {0};
    assert_memory_equal(rft_trace_damage(trace), &none, sizeof none);
    assert_true(rft_trace_end(trace)->present);
    assert_int_equal(rft_trace_end(trace)->births, 12 * 63);
    assert_int_equal(rft_trace_program(trace)->argument_count, 2);
    assert_int_equal(rft_trace_site_count(trace), 4);
    assert_int_equal(rft_trace_stack(trace, 2)->parent, 1);
    assert_int_equal(rft_trace_stack(trace, 999)->parent, 0);
    assert_int_equal(rft_trace_string(trace, 5).length, strlen("shop.Order"));
    size_t marks;
    assert_non_null(rft_trace_marks(trace, &marks));
    assert_int_equal(marks, 1);
    rft_trace_destroy(trace);
    free(b.file.at);
}

static void looks_at_names_are_read_and_bad_ones_dropped(void **state)
{
    (void)state;
    struct builder b;
    struct bytes p = {0};
    struct rft_trace *trace;
    begin_trace(&b, 0x030e0af0);
    const uint64_t good[] = {500, 2, 1, 7, 2, 4096};
    for (unsigned i = 0; i < 6; i++)
        put(&p, good[i]);
    add_chunk(&b, RFT_CHUNK_NAMES, &p);
    put(&p, 600); /* nobody any more */
    put(&p, 0);
    add_chunk(&b, RFT_CHUNK_NAMES, &p);
    const uint64_t bad[][6] = {
        {700, 2, 1, 7, 0, 1},        /* a site twice */
        {700, 2, 1, 7, 1, 4097},     /* more than the table has entries */
        {700, 1, 1, 7, 1, 1},        /* more bytes than records */
        {700, 3, 1, 7, 1, 1},        /* fewer */
        {700, 2, 1, 7, 1u << 30, 1}, /* a site that the file is too short for */
        {700, 4097, 1, 7, 1, 1},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (unsigned k = 0; k < 6; k++)
            put(&p, bad[i][k]);
        add_chunk(&b, RFT_CHUNK_NAMES, &p);
    }
    assert_null(rft_trace_read_bytes("t.rft", b.file.at, b.file.size, NULL, &trace));
    size_t count;
    const struct rft_trace_names_look *looks = rft_trace_names_looks(trace, &count);
    assert_int_equal(count, 2);
    assert_int_equal(looks[0].time_ms, 500);
    assert_int_equal(looks[0].count, 2);
    assert_int_equal(looks[0].names[0].site, 1);
    assert_int_equal(looks[0].names[0].objects, 7);
    assert_int_equal(looks[0].names[1].site, 3);
    assert_int_equal(looks[0].names[1].objects, 4096);
    assert_int_equal(looks[1].count, 0);
    assert_int_equal(rft_trace_damage(trace)->bad_chunks, sizeof bad / sizeof *bad);
    rft_trace_destroy(trace);
    free(b.file.at);
}

static void a_trace_cut_at_any_byte_is_read_up_to_there(void **state)
{
    (void)state;
    struct builder b;
    struct seen seen;
    unsigned before = 0;
    build_small(&b);
    for (size_t size = 0; size < b.file.size; size++) {
        /* A copy of its own: reading beyond it is seen by the sanitizers. */
        unsigned char *cut = malloc(size ? size : 1);
        memcpy(cut, b.file.at, size);
        enum rft_error_code code = read_code(cut, size, &seen);
        if (size == 0)
            assert_int_equal(code, RFT_ERROR_EMPTY);
        else if (size < RFT_FILE_HEADER_SIZE)
            assert_int_equal(code, RFT_ERROR_DAMAGED);
        else
            assert_true(code == 0 || code == RFT_ERROR_EMPTY);
        assert_true(seen.ticks >= before && seen.ticks <= before + 1);
        before = seen.ticks;
        try_model(cut, size);
        free(cut);
    }
    assert_int_equal(before, 12);
    free(b.file.at);
}

static void a_trace_with_any_byte_changed_loses_one_chunk_at_most(void **state)
{
    (void)state;
    struct builder b;
    struct seen seen;
    build_small(&b);
    for (size_t i = 0; i < b.file.size; i++) {
        for (unsigned mask = 1; mask < 256; mask = mask * 5 + 1) {
            b.file.at[i] ^= (unsigned char)mask;
            enum rft_error_code code = read_code(b.file.at, b.file.size, &seen);
            if (i >= RFT_FILE_HEADER_SIZE) {
                assert_int_equal(code, 0);
                assert_true(seen.ticks >= 11);
            } else {
                assert_int_not_equal(code, 0);
            }
            if (mask == 1)
                try_model(b.file.at, b.file.size);
            b.file.at[i] ^= (unsigned char)mask;
        }
    }
    free(b.file.at);
}

static void a_lost_chunk_of_definitions_shifts_no_ids(void **state)
{
    (void)state;
    struct builder b = {0};
    struct seen seen = {0};
    begin_trace(&b, 0x030e0af0);
    b.sequence++; /* sites 5 and 6 were in it */
    struct bytes p = {0};
    put(&p, 7);
    put(&p, 1);
    for (int i = 0; i < 4; i++)
        put(&p, 1);
    add_chunk(&b, RFT_CHUNK_SITES, &p);
    uint64_t births[7] = {1, 0, 0, 0, 5, 0, 7}, deaths[7] = {0};
    add_tick(&b, 100, births, deaths, 7);
    struct rft_trace_visitor visitor = {.tick = see_tick, .data = &seen};
    struct rft_trace *trace;
    assert_null(rft_trace_read_bytes("t.rft", b.file.at, b.file.size, &visitor, &trace));
    assert_int_equal(seen.births, 13);
    assert_int_equal(rft_trace_damage(trace)->lost_chunks, 1);
    assert_int_equal(rft_trace_site(trace, 5)->stack, 0);
    assert_int_equal(rft_trace_site(trace, 7)->stack, 1);
    rft_trace_destroy(trace);
    free(b.file.at);
}

static void ids_and_counts_that_cannot_be_are_damage(void **state)
{
    (void)state;
    static const struct {
        unsigned type;
        uint64_t numbers[8];
        unsigned count;
    } bad[] = {
        {RFT_CHUNK_STRINGS, {9, UINT32_MAX}, 2},
        {RFT_CHUNK_STRINGS, {UINT32_MAX, 1, 0}, 3},
        {RFT_CHUNK_SITES, {5, 1, 99, 1, 1, 1}, 6},
        {RFT_CHUNK_STACKS, {4, 1, 4, 1, 0}, 5},
        {RFT_CHUNK_THREADS, {1, UINT32_MAX, 1, 1, 0, 0}, 6},
        {RFT_CHUNK_TICK, {100, 0, 0, 0, 1, 99, 1, 1}, 8},
        {RFT_CHUNK_TICK, {100, 0, 0, 0, UINT32_MAX}, 5},
        {RFT_CHUNK_TICK, {100, 0, 0, 0, 1, 1, 128}, 7},
        {RFT_CHUNK_CENSUS, {1, 100, 0, 1, 1, UINT32_MAX}, 6},
        {RFT_CHUNK_LOSS, {1, UINT64_MAX, 1, 1, 0}, 5},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct builder b;
        struct bytes p = {0};
        struct rft_trace *trace;
        begin_trace(&b, 0x030e0af0);
        for (unsigned k = 0; k < bad[i].count; k++)
            put(&p, bad[i].numbers[k]);
        add_chunk(&b, bad[i].type, &p);
        add_end(&b, 100);
        assert_null(rft_trace_read_bytes("t.rft", b.file.at, b.file.size, NULL, &trace));
        assert_int_equal(rft_trace_damage(trace)->bad_chunks, 1);
        assert_true(rft_trace_end(trace)->present);
        assert_int_equal(rft_trace_string_count(trace), 8);
        rft_trace_destroy(trace);
        free(b.file.at);
    }
}

static void unknown_chunks_are_skipped(void **state)
{
    (void)state;
    struct builder b;
    struct bytes p = {0};
    struct rft_trace *trace;
    begin_trace(&b, 0x030e0af0);
    put(&p, 1);
    add_chunk(&b, 77, &p);
    add_end(&b, 1);
    assert_null(rft_trace_read_bytes("t.rft", b.file.at, b.file.size, NULL, &trace));
    assert_int_equal(rft_trace_damage(trace)->unknown_chunks, 1);
    assert_int_equal(rft_trace_damage(trace)->bad_chunks, 0);
    assert_true(rft_trace_end(trace)->present);
    rft_trace_destroy(trace);
    free(b.file.at);
}

static void what_is_no_trace_is_refused(void **state)
{
    (void)state;
    struct seen seen;
    struct rft_trace *trace;
    assert_int_equal(read_code("", 0, &seen), RFT_ERROR_EMPTY);
    assert_int_equal(read_code("#!/bin/sh\n", 10, &seen), RFT_ERROR_NOT_TRACE);
    assert_int_equal(read_code("\x1f\x8b\x08", 3, &seen), RFT_ERROR_NOT_TRACE);
    struct rft_error *error = rft_trace_read("/", NULL, &trace);
    assert_int_equal(error->code, RFT_ERROR_NOT_TRACE);
    rft_error_destroy(error);
    error = rft_trace_read("/no/such/file.rft", NULL, &trace);
    assert_int_equal(error->code, RFT_ERROR_OS);
    rft_error_destroy(error);
    const unsigned numbers[][3] = {{9, 9, 0}, {1, 1, 4}};
    for (int i = 0; i < 2; i++) {
        struct builder b = {0};
        add_file_header(&b, numbers[i][0], numbers[i][1], numbers[i][2]);
        add_program(&b, 0x030e0af0);
        assert_int_equal(read_code(b.file.at, b.file.size, &seen), RFT_ERROR_NEWER);
        free(b.file.at);
    }
}

static void a_file_of_chunk_markers_takes_no_quadratic_time(void **state)
{
    (void)state;
    struct builder b;
    struct seen seen;
    begin_trace(&b, 0x030e0af0);
    for (int i = 0; i < 100000; i++) {
        put_le(&b.file, RFT_CHUNK_MARK, 4);
        put_le(&b.file, RFT_CHUNK_TICK, 4);
        put_le(&b.file, 500000, 4);
        put_le(&b.file, 9, 4);
        put_le(&b.file, 0, 4);
    }
    assert_int_equal(read_code(b.file.at, b.file.size, &seen), 0);
    free(b.file.at);
}

static void locations_follow_the_table(void **state)
{
    (void)state;
    /* Units 0-1: line +0, short form, column 4; 2: one line on, column 9; 3: no columns,
     * 2 lines back; 4: long form, 70 lines on, column 12; 5: no location. */
    const unsigned char table[] = {0x81, 0x43,           0x80 | 11 << 3, 8,    8, 0x80 | 13 << 3,
                                   5,    0x80 | 14 << 3, 0x4c,           0x02, 0, 12,
                                   13,   0x80 | 15 << 3};
    struct rft_position at = rft_location_lookup(table, sizeof table, 10, 1);
    assert_int_equal(at.line, 10);
    assert_int_equal(at.column, 5);
    at = rft_location_lookup(table, sizeof table, 10, 3);
    assert_int_equal(at.line, 11);
    assert_int_equal(at.column, 9);
    assert_int_equal(rft_location_lookup(table, sizeof table, 10, 4).line, 9);
    at = rft_location_lookup(table, sizeof table, 10, 5);
    assert_int_equal(at.line, 79);
    assert_int_equal(at.column, 12);
    assert_int_equal(rft_location_lookup(table, sizeof table, 10, 6).line, 10);
    assert_int_equal(rft_location_lookup(table, sizeof table, 10, 0).line, 10);
    assert_int_equal(rft_location_lookup("", 0, 7, 3).line, 7);
}

static void checksums_are_crc32c(void **state)
{
    (void)state;
    assert_int_equal(rft_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(rft_crc32c(rft_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_trace_is_read_whole),
        cmocka_unit_test(looks_at_names_are_read_and_bad_ones_dropped),
        cmocka_unit_test(a_trace_cut_at_any_byte_is_read_up_to_there),
        cmocka_unit_test(a_trace_with_any_byte_changed_loses_one_chunk_at_most),
        cmocka_unit_test(a_lost_chunk_of_definitions_shifts_no_ids),
        cmocka_unit_test(ids_and_counts_that_cannot_be_are_damage),
        cmocka_unit_test(unknown_chunks_are_skipped),
        cmocka_unit_test(what_is_no_trace_is_refused),
        cmocka_unit_test(a_file_of_chunk_markers_takes_no_quadratic_time),
        cmocka_unit_test(locations_follow_the_table),
        cmocka_unit_test(checksums_are_crc32c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

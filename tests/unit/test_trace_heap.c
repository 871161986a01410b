/* What was found in the heap, read from traces that are whole, damaged or made to mislead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <reftracer/trace.h>

#include "analyze/model.h"
#include "trace_builder.h"

static struct rft_trace *read_builder(struct builder *builder)
{
    struct rft_trace *trace;
    assert_null(rft_trace_read_bytes("t.rft", builder->file.at, builder->file.size, NULL, &trace));
    return trace;
}

static void build(struct builder *builder)
{
    begin_trace(builder, 0x030e0af0);
    add_tick(builder, 100, (uint64_t[]){100, 40, 5, 0}, (uint64_t[]){0, 0, 0, 0}, 4);
    add_heap(builder, 150);
    add_end(builder, 200);
}

static void a_look_through_the_heap_is_read_whole(void **state)
{
    (void)state;
    struct builder b;
    size_t count;
    build(&b);
    struct rft_trace *trace = read_builder(&b);
    const struct rft_trace_damage none = {0};
    assert_memory_equal(rft_trace_damage(trace), &none, sizeof none);

    const struct rft_trace_heap *heap = rft_trace_heaps(trace, &count);
    assert_int_equal(count, 1);
    assert_int_equal(heap->time_ms, 150);
    assert_int_equal(heap->kind, RFT_HEAP_REQUEST);
    assert_int_equal(heap->objects, 1000);
    assert_int_equal(heap->pause_ms, 5);
    assert_int_equal(heap->flags, RFT_HEAP_CUT_TIME);
    assert_int_equal(heap->garbage_bytes, 336);
    assert_int_equal(heap->collector_ms, 12);
    assert_int_equal(heap->collector_time, RFT_COLLECTOR_OWN);
    assert_memory_equal(heap->label.bytes, "half", 4);

    const struct rft_trace_holders *holders = rft_trace_heap_holders(trace, 0, &count);
    assert_int_equal(count, 1);
    assert_int_equal(holders->site, 1);
    assert_int_equal(holders->retained_bytes, 2400);
    assert_int_equal(holders->sampled, 50);
    assert_int_equal(holders->unreachable, 3);
    assert_int_equal(holders->pattern_count, 2);
    const struct rft_trace_path *path = &holders->patterns[0].path;
    assert_int_equal(holders->patterns[0].objects, 40);
    assert_int_equal(path->count, 3);
    assert_int_equal(path->steps[0].kind, RFT_ROOT_MODULE);
    assert_int_equal(path->steps[1].label, 3);
    assert_true(path->steps[1].index == RFT_TRACE_NO_INDEX);
    assert_int_equal(path->steps[2].type, 2);
    assert_int_equal(path->steps[2].index, 17);
    assert_int_equal(holders->patterns[1].path.steps[0].kind, RFT_ROOT_C);

    const struct rft_trace_refcounts *refcounts = rft_trace_heap_refcounts(trace, 0, &count);
    assert_int_equal(count, 2);
    assert_int_equal(refcounts[0].pair_count, 3);
    assert_int_equal(refcounts[0].pairs[0].surplus, -1);
    assert_int_equal(refcounts[0].pairs[0].objects, 2);
    assert_int_equal(refcounts[0].pairs[2].surplus, 1);
    assert_int_equal(refcounts[1].site, 3);
    const struct rft_trace_garbage *garbage = rft_trace_heap_garbage(trace, 0, &count);
    assert_int_equal(count, 1);
    assert_int_equal(garbage->objects, 7);
    const struct rft_trace_cycle *cycle = rft_trace_heap_cycles(trace, 0, &count);
    assert_int_equal(count, 1);
    assert_int_equal(cycle->cycles, 3);
    assert_int_equal(cycle->path.count, 2);
    const struct rft_trace_retainer *retainer = rft_trace_heap_retainers(trace, 0, &count);
    assert_int_equal(count, 1);
    assert_int_equal(retainer->retained_objects, 101);
    assert_int_equal(retainer->path.count, 3);

    rft_trace_heap_holders(trace, 1, &count);
    assert_int_equal(count, 0);
    rft_trace_destroy(trace);
    free(b.file.at);
}

static void pieces_belong_to_the_look_of_their_time(void **state)
{
    (void)state;
    struct builder b;
    size_t count;
    begin_trace(&b, 0x030e0af0);
    add_heap(&b, 100);
    add_heap(&b, 200);
    struct bytes p = {0};
    const uint64_t garbage[] = {100, 1, 1, 2, 5, 50, 0};
    for (unsigned i = 0; i < sizeof garbage / sizeof *garbage; i++)
        put(&p, garbage[i]);
    add_chunk(&b, RFT_CHUNK_GARBAGE, &p);
    struct rft_trace *trace = read_builder(&b);
    rft_trace_heaps(trace, &count);
    assert_int_equal(count, 2);
    assert_int_equal(rft_trace_heap_garbage(trace, 0, &count)[1].bytes, 50);
    assert_int_equal(count, 2);
    rft_trace_heap_garbage(trace, 1, &count);
    assert_int_equal(count, 1);
    rft_trace_destroy(trace);
    free(b.file.at);
}

/* The results of a look, the chunk of which was lost, are those of a look without numbers. */
static void a_lost_heap_chunk_loses_only_its_numbers(void **state)
{
    (void)state;
    struct builder whole, b;
    size_t count;
    begin_trace(&whole, 0x030e0af0);
    begin_trace(&b, 0x030e0af0);
    size_t start = b.file.size;
    add_heap(&whole, 100);
    size_t length = RFT_CHUNK_HEADER_SIZE + whole.file.at[start + 8];
    put_raw(&b.file, whole.file.at + start + length, whole.file.size - start - length);
    struct rft_trace *trace = read_builder(&b);
    assert_int_equal(rft_trace_damage(trace)->lost_chunks, 1);
    const struct rft_trace_heap *heap = rft_trace_heaps(trace, &count);
    assert_int_equal(count, 1);
    assert_int_equal(heap->kind, 0);
    assert_int_equal(heap->time_ms, 100);
    assert_int_equal(rft_trace_heap_holders(trace, 0, &count)->objects, 100);
    rft_trace_destroy(trace);
    free(whole.file.at);
    free(b.file.at);
}

/* One number of a chunk is changed so that it can't be; the chunk is then dropped whole. */
static void what_cannot_be_is_damage_and_has_no_effect(void **state)
{
    (void)state;
    static const struct {
        unsigned type;
        uint64_t numbers[20];
        unsigned count;
    } bad[] = {
        /* No interpreter; a byte behind the end; a label that is cut. */
        {RFT_CHUNK_HEAP, {100, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}, 13},
        {RFT_CHUNK_HEAP, {100, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 9}, 14},
        {RFT_CHUNK_HEAP, {100, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 99}, 13},
        /* Of a look that there was not. */
        {RFT_CHUNK_GARBAGE, {151, 1, 0, 0}, 4},
        {RFT_CHUNK_GARBAGE, {150, 2, 0, 0}, 4},
        /* Sites that are not there, or twice; more cycles than there may be. */
        {RFT_CHUNK_GARBAGE, {150, 1, 1, 99, 1, 1, 0}, 7},
        {RFT_CHUNK_GARBAGE, {150, 1, 2, 2, 1, 1, 0, 1, 1, 0}, 10},
        {RFT_CHUNK_GARBAGE, {150, 1, 0, RFT_CYCLES_MAX + 1}, 4},
        {RFT_CHUNK_GARBAGE, {150, 1, 1, 2, UINT64_MAX, 1, 0}, 7},
        /* A cycle with a root, without steps, of an unknown type. */
        {RFT_CHUNK_GARBAGE, {150, 1, 0, 1, 1, 1, 1, 1, RFT_ROOT_C, 0, 0, 0, 0}, 13},
        {RFT_CHUNK_GARBAGE, {150, 1, 0, 1, 1, 1, 1, 0}, 8},
        {RFT_CHUNK_GARBAGE, {150, 1, 0, 1, 1, 1, 1, 1, 1, 99, 0, 0}, 12},
        /* A path without a root, with two, of an unknown string, longer than it may be. */
        {RFT_CHUNK_HOLDERS, {150, 1, 1, 2, 1, 1, 1, 0, 1, 1, 1, 1, 1, 3, 0, 0}, 16},
        {RFT_CHUNK_HOLDERS, {150, 1, 1, 2, 1, 1, 1, 0, 1, 1, 2, 64, 0, 2, 0, 0, 64, 0, 2, 0}, 20},
        {RFT_CHUNK_HOLDERS, {150, 1, 1, 2, 1, 1, 1, 0, 1, 1, 1, 64, 0, 99, 0, 0}, 16},
        {RFT_CHUNK_HOLDERS, {150, 1, 1, 2, 1, 1, 1, 0, 1, 1, RFT_PATH_STEPS_MAX + 1}, 11},
        {RFT_CHUNK_HOLDERS, {150, 1, 1, 2, 1, 1, 1, 0, UINT32_MAX, 1, 1, 64, 0, 2, 0, 0}, 16},
        {RFT_CHUNK_HOLDERS, {150, 1, UINT32_MAX}, 3},
        /* Pairs that do not ascend; more of them than bytes. */
        {RFT_CHUNK_REFCOUNTS, {150, 1, 1, 2, 9, 2, 2, 5, 2, 4}, 10},
        {RFT_CHUNK_REFCOUNTS, {150, 1, 1, 2, 9, UINT32_MAX, 2, 5}, 8},
        {RFT_CHUNK_RETAINERS, {150, 1, RFT_RETAINERS_MAX + 1}, 3},
        {RFT_CHUNK_RETAINERS, {150, 1, 1, 99, 1, 1, 1, 1, 1, 64, 0, 2, 0, 0}, 14},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct builder b;
        struct bytes p = {0};
        size_t count;
        begin_trace(&b, 0x030e0af0);
        add_heap(&b, 150);
        for (unsigned k = 0; k < bad[i].count; k++)
            put(&p, bad[i].numbers[k]);
        add_chunk(&b, bad[i].type, &p);
        add_end(&b, 200);
        struct rft_trace *trace = read_builder(&b);
        if (rft_trace_damage(trace)->bad_chunks != 1)
            fail_msg("row %zu was taken", i);
        assert_true(rft_trace_end(trace)->present);
        rft_trace_heaps(trace, &count);
        assert_int_equal(count, 1);
        rft_trace_heap_holders(trace, 0, &count);
        assert_int_equal(count, 1);
        rft_trace_heap_refcounts(trace, 0, &count);
        assert_int_equal(count, 2);
        rft_trace_heap_garbage(trace, 0, &count);
        assert_int_equal(count, 1);
        rft_trace_heap_cycles(trace, 0, &count);
        assert_int_equal(count, 1);
        rft_trace_heap_retainers(trace, 0, &count);
        assert_int_equal(count, 1);
        rft_trace_destroy(trace);
        free(b.file.at);
    }
}

/* Kinds of references that a later version has are read as nameless ones. */
static void kinds_of_later_versions_are_taken(void **state)
{
    (void)state;
    struct builder b;
    struct bytes p = {0};
    size_t count;
    const uint64_t numbers[] = {150, 1, 1, 2, 1, 1, 1, 0, 1, 1, 2, 100, 0, 2, 0, 0, 60, 1, 0, 0};
    begin_trace(&b, 0x030e0af0);
    add_heap(&b, 150);
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put(&p, numbers[i]);
    add_chunk(&b, RFT_CHUNK_HOLDERS, &p);
    struct rft_trace *trace = read_builder(&b);
    assert_int_equal(rft_trace_damage(trace)->bad_chunks, 0);
    const struct rft_trace_holders *holders = rft_trace_heap_holders(trace, 0, &count);
    assert_int_equal(count, 2);
    assert_int_equal(holders[1].patterns[0].path.steps[1].kind, 60);
    rft_trace_destroy(trace);
    free(b.file.at);
}

/* Signed anew after each change, so that the checks behind the checksum are what is tested. */
static void any_byte_of_a_payload_may_be_anything(void **state)
{
    (void)state;
    struct builder whole;
    build(&whole);
    size_t at = RFT_FILE_HEADER_SIZE;
    while (at < whole.file.size) {
        unsigned char *chunk = whole.file.at + at;
        size_t length = chunk[8] | (size_t)chunk[9] << 8;
        for (size_t i = 0; chunk[4] >= RFT_CHUNK_HEAP && i < length; i++) {
            unsigned char *byte = chunk + RFT_CHUNK_HEADER_SIZE + i;
            static const unsigned char values[] = {0, 1, 2, 63, 64, 127, 128, 255};
            unsigned char before = *byte;
            for (size_t k = 0; k < sizeof values; k++) {
                *byte = values[k];
                uint32_t crc = rft_crc32c(0, chunk, 16);
                crc = rft_crc32c(crc, chunk + RFT_CHUNK_HEADER_SIZE, length);
                for (unsigned n = 0; n < 4; n++)
                    chunk[16 + n] = (unsigned char)(crc >> 8 * n);
                try_model(whole.file.at, whole.file.size);
            }
            *byte = before;
        }
        uint32_t crc = rft_crc32c(0, chunk, 16);
        crc = rft_crc32c(crc, chunk + RFT_CHUNK_HEADER_SIZE, length);
        for (unsigned n = 0; n < 4; n++)
            chunk[16 + n] = (unsigned char)(crc >> 8 * n);
        at += RFT_CHUNK_HEADER_SIZE + length;
    }
    struct rft_trace *trace = read_builder(&whole);
    assert_int_equal(rft_trace_damage(trace)->bad_chunks, 0);
    rft_trace_destroy(trace);
    free(whole.file.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_through_the_heap_is_read_whole),
        cmocka_unit_test(pieces_belong_to_the_look_of_their_time),
        cmocka_unit_test(a_lost_heap_chunk_loses_only_its_numbers),
        cmocka_unit_test(what_cannot_be_is_damage_and_has_no_effect),
        cmocka_unit_test(kinds_of_later_versions_are_taken),
        cmocka_unit_test(any_byte_of_a_payload_may_be_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The walkers over a CPython that is made of bytes: whole, and spoiled in known ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_cpython.h"
#include "space/ops.h"

static struct fake fake;

/* The answers of one snapshot of `fake`; NULL if it was refused. */
static struct rft_runtime *runtime;
static struct rft_space *space;

static const struct rft_snapshot *look(void)
{
    struct rft_segment segment = {FAKE_BASE, fake.bytes, sizeof fake.bytes};
    const struct rft_snapshot *snapshot = NULL;
    assert_null(rft_space_create_fake(&segment, 1, FAKE_RUNTIME, &space));
    struct rft_error *error = rft_runtime_create(space, &runtime);
    if (!error)
        error = rft_snapshot_take(runtime, RFT_SNAPSHOT_NO_OS, &snapshot);
    if (error && error->code != RFT_ERROR_UNSUPPORTED && error->code != RFT_ERROR_NOT_PYTHON)
        fail_msg("%s", error->message);
    rft_error_destroy(error);
    return snapshot;
}

static void close_all(void)
{
    rft_runtime_destroy(runtime);
    rft_space_destroy(space);
    runtime = NULL;
    space = NULL;
}

static void whole(unsigned minor)
{
    fake_cpython(&fake, minor);
    const struct rft_snapshot *snapshot = look();
    assert_non_null(snapshot);
    assert_true(snapshot->consistent);
    assert_int_equal(rft_runtime_facts(runtime)->version, 3u << 24 | minor << 16 | 0x2f0);
    assert_int_equal(snapshot->interpreter_count, 1);
    const struct rft_interpreter *interpreter = &snapshot->interpreters[0];
    assert_true(interpreter->main && !interpreter->idle && interpreter->gil_locked);
    assert_int_equal(interpreter->gil_holder, FAKE_THREAD_1);
    assert_int_equal(interpreter->thread_count, 2);
    assert_int_equal(interpreter->threads[1].gil, RFT_GIL_HOLDS);
    const struct rft_thread *thread = &interpreter->threads[0];
    assert_int_equal(thread->address, FAKE_THREAD_2);
    assert_string_equal(thread->problem, "");
    assert_int_equal(thread->frame_count, 2);
    assert_string_equal(thread->frames[0].function, "inner");
    assert_string_equal(thread->frames[0].file, "fake.py");
    assert_int_equal(thread->frames[0].line, 21);
    assert_int_equal(thread->frames[0].column, 4);
    assert_int_equal(thread->frames[0].end_column, 9);
    assert_string_equal(thread->frames[1].function, "outer");
    close_all();
}

static void test_tables_of_ours_find_interpreters_threads_and_frames(void **state)
{
    (void)state;
    whole(12);
}

static void test_the_targets_own_table_finds_them_too(void **state)
{
    (void)state;
    whole(15);
}

static void test_an_unknown_version_is_refused_by_name(void **state)
{
    (void)state;
    fake_cpython(&fake, 15);
    fake_put(&fake, FAKE_RUNTIME + 8, 0x031000f0, 8);
    struct rft_segment segment = {FAKE_BASE, fake.bytes, sizeof fake.bytes};
    assert_null(rft_space_create_fake(&segment, 1, FAKE_RUNTIME, &space));
    struct rft_error *error = rft_runtime_create(space, &runtime);
    assert_non_null(error);
    assert_int_equal(error->code, RFT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error->message, "3.16.0"));
    rft_error_destroy(error);
    close_all();
}

/* What is said of a process that has no more of a CPython than these bytes in its memory, and whose
 * address is not given. */
static struct rft_error *found_in_memory(const void *bytes, size_t size)
{
    memset(&fake, 0, sizeof fake);
    memcpy(fake.bytes + 0x200, bytes, size);
    struct rft_segment segment = {FAKE_BASE, fake.bytes, sizeof fake.bytes};
    assert_null(rft_space_create_fake(&segment, 1, 0, &space));
    struct rft_error *error = rft_runtime_create(space, &runtime);
    assert_non_null(error);
    close_all();
    return error;
}

static void test_what_a_program_that_looks_for_CPython_has_in_memory_is_none(void **state)
{
    (void)state;
    /* The cookie with the addresses, counts and flags of a stack behind it: each but one thing that
     * a table's first words must be. */
    static const uint64_t behind[][5] = {
        {0x00007fff030733c0, 1, 0x1000, 8, 16},
        {0x030733f0, 0, 0x1000, 8, 16},
        {0x030c33f0, 0, 0x1000, 8, 16},
        {0x040d00f0, 0, 0x1000, 8, 16},
        {0x03100000, 0, 0x1000, 8, 16},
        {0x031000f0, 2, 0x1000, 8, 16},
        {0x031000f0, 0, 0x1000000, 8, 16},
        {0x031000f0, 0, 0x1000, 0x1000, 16},
        {0x031000f0, 0, 0x1000, 8, 0x1000},
        {0x031000f0, 0, 0, 0, 0},
        {0x030e0af0, 0, 0, 0, 0},
    };
    uint64_t words[6];
    memcpy(words, "xdebugpy", 8);
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
        memcpy(words + 1, behind[i], sizeof behind[i]);
        struct rft_error *error = found_in_memory(words, sizeof words);
        assert_int_equal(error->code, RFT_ERROR_NOT_PYTHON);
        rft_error_destroy(error);
    }
    /* A table that it has read from a CPython. */
    static struct fake copied;
    fake_cpython(&copied, 15);
    struct rft_error *error = found_in_memory(copied.bytes, 1024);
    assert_int_equal(error->code, RFT_ERROR_NOT_PYTHON);
    rft_error_destroy(error);
}

static void test_an_unknown_version_is_refused_by_name_wherever_it_lies(void **state)
{
    (void)state;
    uint64_t words[6] = {0, 0x031000f0, 1, 0x1000, 8, 16};
    memcpy(words, "xdebugpy", 8);
    struct rft_error *error = found_in_memory(words, sizeof words);
    assert_int_equal(error->code, RFT_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error->message, "3.16.0"));
    rft_error_destroy(error);
}

static void test_DB12_a_table_with_offsets_out_of_bounds_is_refused(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < 8; slot++) {
        fake_cpython(&fake, 15);
        fake_put(&fake, FAKE_RUNTIME + 24 + 8 * slot, UINT64_C(1) << 60, 8);
        look();
        close_all();
    }
    fake_cpython(&fake, 15);
    fake_put(&fake, FAKE_RUNTIME + 24 + 8 * 2, UINT64_C(1) << 60, 8); /* interpreters_head */
    assert_null(look());
    close_all();
}

/* Between the two looks of a snapshot inner() goes, and the memory of its code object is given to
 * another one's. */
static const struct rft_space_ops *fake_ops;
static unsigned batches;

static void read_and_replace_inner(struct rft_space *of, struct rft_read *reads, size_t count)
{
    bool batch = false;
    for (size_t i = 0; i < count; i++)
        batch |= count > 4 && reads[i].address == FAKE_THREAD_2;
    if (batch && ++batches == 2) {
        fake_code(&fake, 1, "another", 70);
        fake_put(&fake, FAKE_CODES + 0x100 + fake.layout.at[RFT_CODE_VERSION], 7, 4);
        fake_field(&fake, FAKE_INTERP, RFT_INTERP_CODE_GENERATION, 1);
    }
    fake_ops->read_many(of, reads, count);
}

static void replaced(unsigned minor)
{
    fake_cpython(&fake, minor);
    struct rft_segment segment = {FAKE_BASE, fake.bytes, sizeof fake.bytes};
    const struct rft_snapshot *snapshot = NULL;
    assert_null(rft_space_create_fake(&segment, 1, FAKE_RUNTIME, &space));
    fake_ops = space->ops;
    struct rft_space_ops ops = *fake_ops;
    ops.read_many = read_and_replace_inner;
    space->ops = &ops;
    batches = 0;
    assert_null(rft_runtime_create(space, &runtime));
    assert_null(rft_snapshot_take(runtime, RFT_SNAPSHOT_NO_OS, &snapshot));
    assert_true(snapshot->consistent && batches >= 2);
    const struct rft_thread *thread = &snapshot->interpreters[0].threads[0];
    assert_int_equal(thread->frame_count, 2);
    assert_string_equal(thread->frames[0].function, "another");
    assert_int_equal(thread->frames[0].line, 71);
    assert_string_equal(thread->frames[1].function, "outer");
    /* An interpreter in the place of this one has destroyed as many code objects. */
    fake_field(&fake, FAKE_INTERP, RFT_INTERP_ID, 5);
    fake_code(&fake, 1, "third", 80);
    fake_put(&fake, FAKE_CODES + 0x100 + fake.layout.at[RFT_CODE_VERSION], 8, 4);
    assert_null(rft_snapshot_take(runtime, RFT_SNAPSHOT_NO_OS, &snapshot));
    assert_true(snapshot->consistent);
    assert_int_equal(snapshot->interpreters[0].id, 5);
    assert_string_equal(snapshot->interpreters[0].threads[0].frames[0].function, "third");
    close_all();
}

static void test_DB10_a_code_object_that_goes_during_a_snapshot_has_not_its_name(void **state)
{
    (void)state;
    replaced(12);
    replaced(15);
}

static void test_DB12_a_ring_of_threads_ends_and_is_named(void **state)
{
    (void)state;
    fake_cpython(&fake, 15);
    fake_field(&fake, FAKE_THREAD_1, RFT_THREAD_NEXT, FAKE_THREAD_2);
    const struct rft_snapshot *snapshot = look();
    assert_non_null(snapshot);
    assert_int_equal(snapshot->interpreters[0].thread_count, 2);
    assert_non_null(strstr(snapshot->interpreters[0].problem, "damaged"));
    close_all();
}

static void test_a_ring_of_interpreters_ends_and_is_named(void **state)
{
    (void)state;
    fake_cpython(&fake, 15);
    fake_field(&fake, FAKE_INTERP, RFT_INTERP_NEXT, FAKE_INTERP);
    const struct rft_snapshot *snapshot = look();
    assert_non_null(snapshot);
    assert_int_equal(snapshot->interpreter_count, 1);
    assert_non_null(strstr(snapshot->problem, "back"));
    close_all();
}

static void test_DB10_DB12_a_ring_of_frames_ends_and_costs_one_thread(void **state)
{
    (void)state;
    fake_cpython(&fake, 12);
    fake_field(&fake, FAKE_OUTER, RFT_FRAME_PREVIOUS, FAKE_INNER);
    const struct rft_snapshot *snapshot = look();
    assert_non_null(snapshot);
    assert_true(snapshot->interpreters[0].threads[0].frame_count < 16);
    assert_non_null(strstr(snapshot->interpreters[0].threads[0].problem, "back"));
    assert_string_equal(snapshot->interpreters[0].threads[1].problem, "");
    close_all();
}

static void test_DB10_a_frame_that_points_nowhere_leaves_the_inner_ones(void **state)
{
    (void)state;
    fake_cpython(&fake, 12);
    fake_field(&fake, FAKE_INNER, RFT_FRAME_PREVIOUS, UINT64_C(0x7fffdeadbee8));
    const struct rft_snapshot *snapshot = look();
    assert_non_null(snapshot);
    assert_int_equal(snapshot->interpreters[0].threads[0].frame_count, 1);
    assert_string_equal(snapshot->interpreters[0].threads[0].frames[0].function, "inner");
    assert_true(*snapshot->interpreters[0].threads[0].problem);
    close_all();
}

static void test_DB12_lengths_of_2_to_the_60_are_bounded(void **state)
{
    (void)state;
    fake_cpython(&fake, 12);
    fake_field(&fake, FAKE_TEXTS, RFT_STR_LENGTH, UINT64_C(1) << 60);
    fake_field(&fake, FAKE_TEXTS + 0x60 * 9, RFT_BYTES_COUNT, UINT64_C(1) << 60);
    fake_put(&fake, FAKE_CHUNK + 8, UINT64_C(1) << 60, 8);
    fake_field(&fake, FAKE_THREAD_2, RFT_THREAD_DATASTACK_TOP, UINT64_C(1) << 60);
    const struct rft_snapshot *snapshot = look();
    assert_non_null(snapshot);
    assert_int_equal(snapshot->interpreters[0].threads[0].frame_count, 2);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_of_ours_find_interpreters_threads_and_frames),
        cmocka_unit_test(test_the_targets_own_table_finds_them_too),
        cmocka_unit_test(test_an_unknown_version_is_refused_by_name),
        cmocka_unit_test(test_what_a_program_that_looks_for_CPython_has_in_memory_is_none),
        cmocka_unit_test(test_an_unknown_version_is_refused_by_name_wherever_it_lies),
        cmocka_unit_test(test_DB12_a_table_with_offsets_out_of_bounds_is_refused),
        cmocka_unit_test(test_DB10_a_code_object_that_goes_during_a_snapshot_has_not_its_name),
        cmocka_unit_test(test_DB12_a_ring_of_threads_ends_and_is_named),
        cmocka_unit_test(test_a_ring_of_interpreters_ends_and_is_named),
        cmocka_unit_test(test_DB10_DB12_a_ring_of_frames_ends_and_costs_one_thread),
        cmocka_unit_test(test_DB10_a_frame_that_points_nowhere_leaves_the_inner_ones),
        cmocka_unit_test(test_DB12_lengths_of_2_to_the_60_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

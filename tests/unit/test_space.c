/* Spaces: reading, what is mapped, where symbols are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "space/space.h"

int rft_test_marker = 4711; /* in this executable's symbol table */

static void a_fake_space_reads_across_neighbours_and_not_beyond(void **state)
{
    (void)state;
    struct rft_segment segments[] = {{0x2004, "efgh", 4}, {0x2000, "abcd", 4}, {0x3000, "z", 1}};
    struct rft_space *space;
    assert_null(rft_space_create_fake(segments, 3, 0, &space));
    char text[9] = "";
    assert_true(rft_space_try(space, 0x2000, text, 8));
    assert_string_equal(text, "abcdefgh");
    assert_false(rft_space_try(space, 0x2001, text, 8));
    assert_false(rft_space_try(space, 0x1fff, text, 1));
    assert_false(rft_space_try(space, UINT64_MAX, text, 8));
    struct rft_error *error = rft_space_read(space, 0x4000, text, 1);
    assert_int_equal(error->code, RFT_ERROR_UNMAPPED);
    rft_error_destroy(error);
    rft_space_destroy(space);
}

static void a_fake_space_refuses_segments_that_overlap_or_wrap(void **state)
{
    (void)state;
    struct rft_segment overlap[] = {{0x2000, "abcd", 4}, {0x2003, "e", 1}};
    struct rft_segment wrap[] = {{UINT64_MAX, "abcd", 4}};
    struct rft_space *space;
    struct rft_error *error = rft_space_create_fake(overlap, 2, 0, &space);
    assert_int_equal(error->code, RFT_ERROR_ARGUMENT);
    rft_error_destroy(error);
    error = rft_space_create_fake(wrap, 1, 0, &space);
    assert_int_equal(error->code, RFT_ERROR_ARGUMENT);
    rft_error_destroy(error);
}

/* More than one call takes, with a hole at each third place. */
static void a_read_that_fails_does_not_fail_its_neighbours(void **state)
{
    (void)state;
    enum { COUNT = 2500 };
    static uint64_t from[COUNT], to[COUNT];
    static struct rft_read reads[COUNT];
    long page = sysconf(_SC_PAGESIZE);
    char *hole = mmap(NULL, (size_t)page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(hole, MAP_FAILED);
    for (size_t i = 0; i < COUNT; i++) {
        from[i] = i + 1;
        reads[i] = (struct rft_read){
            .address = i % 3 ? (uintptr_t)&from[i] : (uintptr_t)hole, .buffer = &to[i], .size = 8};
    }
    struct rft_space *space;
    assert_null(rft_space_create_self(&space));
    assert_int_equal(rft_space_kind(space), RFT_SPACE_SELF);
    assert_int_equal(rft_space_read_many(space, reads, COUNT), COUNT - (COUNT + 2) / 3);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(reads[i].done, i % 3 != 0);
        assert_int_equal(to[i], i % 3 ? i + 1 : 0);
    }
    rft_space_destroy(space);
    munmap(hole, (size_t)page);
}

static void a_read_that_reaches_into_a_hole_is_not_done(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(two, MAP_FAILED);
    assert_int_equal(munmap(two + page, page), 0);
    struct rft_space *space;
    assert_null(rft_space_create_self(&space));
    char buffer[16], after = 0;
    two[0] = 'x';
    struct rft_read reads[] = {{(uintptr_t)(two + page - 8), buffer, 16, false},
                               {(uintptr_t)two, &after, 1, false}};
    assert_int_equal(rft_space_read_many(space, reads, 2), 1);
    assert_false(reads[0].done);
    assert_true(reads[1].done);
    assert_int_equal(after, 'x');
    rft_space_destroy(space);
    munmap(two, page);
}

static void a_child_is_read_until_it_ends(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        rft_test_marker = 815;
        prctl(PR_SET_NAME, "a)b (c");
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
    struct rft_space *space;
    assert_null(rft_space_create_process(child, &space));
    int value;
    assert_null(rft_space_read(space, (uintptr_t)&rft_test_marker, &value, sizeof value));
    assert_int_equal(value, 815);

    const struct rft_process_facts *facts = rft_space_facts(space);
    assert_int_equal(facts->pid, child);
    assert_non_null(strstr(facts->executable, "test_space"));
    const struct rft_os_thread *threads;
    size_t count;
    assert_null(rft_space_os_threads(space, &threads, &count));
    assert_int_equal(count, 1);
    assert_int_equal(threads->id, child);
    assert_int_equal(threads->state, RFT_THREAD_STOPPED);
    assert_string_equal(threads->name, "a)b (c");

    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_false(rft_space_alive(space));
    struct rft_error *error =
        rft_space_read(space, (uintptr_t)&rft_test_marker, &value, sizeof value);
    assert_int_equal(error->code, RFT_ERROR_OS);
    assert_int_equal(error->os_errno, ESRCH);
    rft_error_destroy(error);
    rft_space_destroy(space);

    error = rft_space_create_process(child, &space);
    assert_int_equal(error->os_errno, ESRCH);
    rft_error_destroy(error);
}

static void symbols_and_sections_are_where_the_linker_put_them(void **state)
{
    (void)state;
    struct rft_space *space;
    assert_null(rft_space_create_self(&space));
    /* Dynamic, in a library. */
    assert_int_equal(rft_space_symbol(space, "libc.so", "environ"),
                     (uintptr_t)dlsym(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), "environ"));
    /* Only in the file's own table. */
    assert_int_equal(rft_space_symbol(space, NULL, "rft_test_marker"), (uintptr_t)&rft_test_marker);
    assert_int_equal(rft_space_symbol(space, NULL, "rft_no_such_symbol"), 0);
    size_t size;
    rft_address data = rft_space_section(space, ".data", &size);
    assert_true((uintptr_t)&rft_test_marker - data < size);
    assert_int_equal(rft_space_section(space, ".no_such_section", &size), 0);
    assert_int_equal(size, 0);
    rft_space_destroy(space);
}

static bool note_cookie(void *context, const struct rft_candidate *candidate)
{
    *(rft_address *)context = candidate->address;
    return !strcmp(candidate->how, "cookie in memory");
}

static void the_cookie_is_found_in_memory_without_a_name(void **state)
{
    (void)state;
    static uint64_t memory[64];
    memcpy(&memory[40], "xdebugpy", 8);
    struct rft_segment segment = {0x10000, memory, sizeof memory};
    struct rft_space *space;
    assert_null(rft_space_create_fake(&segment, 1, 0, &space));
    rft_address found = 0;
    assert_true(rft_space_find_runtime(space, note_cookie, &found));
    assert_int_equal(found, 0x10000 + 40 * 8);
    rft_space_destroy(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fake_space_reads_across_neighbours_and_not_beyond),
        cmocka_unit_test(a_fake_space_refuses_segments_that_overlap_or_wrap),
        cmocka_unit_test(a_read_that_fails_does_not_fail_its_neighbours),
        cmocka_unit_test(a_read_that_reaches_into_a_hole_is_not_done),
        cmocka_unit_test(a_child_is_read_until_it_ends),
        cmocka_unit_test(symbols_and_sections_are_where_the_linker_put_them),
        cmocka_unit_test(the_cookie_is_found_in_memory_without_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Live processes that are out of the ordinary: whose first thread has ended, that may not be read,
 * that live in another PID namespace, whose files were replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "space/space.h"

int rft_process_marker = 4711;

static _Noreturn void *wait_for_ever(void *context)
{
    (void)context;
    for (;;)
        pause();
}

static char state_of(pid_t pid)
{
    char name[64], text[512] = "";
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    FILE *file = fopen(name, "re");
    if (file) {
        (void)!fgets(text, sizeof text, file);
        fclose(file);
    }
    const char *end = strrchr(text, ')');
    return end ? end[2] : 'X';
}

static void await_state(pid_t pid, char state)
{
    for (int i = 0; i < 200000 && state_of(pid) != state; i++) /* 100 s */
        usleep(500);
    assert_int_equal(state_of(pid), state);
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void a_process_outlives_its_first_thread(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        rft_process_marker = 1;
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        pthread_exit(NULL);
    }
    await_state(child, 'Z');
    struct rft_space *space;
    assert_null(rft_space_create_process(child, &space));
    int value = 0;
    assert_null(rft_space_read(space, (uintptr_t)&rft_process_marker, &value, sizeof value));
    assert_int_equal(value, 1);
    const struct rft_os_thread *threads;
    size_t count;
    assert_null(rft_space_os_threads(space, &threads, &count));
    assert_int_equal(count, 2);
    assert_int_equal(threads[0].id, child);
    assert_int_equal(threads[0].state, RFT_THREAD_GONE);
    assert_int_not_equal(threads[1].state, RFT_THREAD_GONE);
    assert_int_equal(rft_space_symbol(space, NULL, "rft_process_marker"),
                     (uintptr_t)&rft_process_marker);
    assert_non_null(strstr(rft_space_facts(space)->executable, "test_space_process"));
    end(child);
    assert_false(rft_space_alive(space));
    rft_space_destroy(space);
}

/* The thread that memory is read through may end as well. */
static void a_process_whose_first_thread_ends_while_it_is_read(void **state)
{
    (void)state;
    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        pthread_t thread;
        rft_process_marker = 2;
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        (void)!read(go[0], &byte, 1);
        pthread_exit(NULL);
    }
    struct rft_space *space;
    assert_null(rft_space_create_process(child, &space));
    assert_int_equal(write(go[1], "x", 1), 1);
    await_state(child, 'Z');
    int value = 0;
    assert_true(rft_space_try(space, (uintptr_t)&rft_process_marker, &value, sizeof value));
    assert_int_equal(value, 2);
    rft_space_destroy(space);
    end(child);
    close(go[0]);
    close(go[1]);
}

static void a_zombie_has_ended(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    await_state(child, 'Z');
    struct rft_space *space;
    struct rft_error *error = rft_space_create_process(child, &space);
    assert_int_equal(error->code, RFT_ERROR_OS);
    assert_int_equal(error->os_errno, ESRCH);
    assert_non_null(strstr(error->message, "zombie"));
    rft_error_destroy(error);
    waitpid(child, NULL, 0);
    error = rft_space_create_process(child, &space);
    assert_int_equal(error->os_errno, ESRCH);
    assert_null(strstr(error->message, "zombie"));
    rft_error_destroy(error);
}

static void a_thread_of_the_kernel_is_no_python(void **state)
{
    (void)state;
    /* kthreadd is process 2, outside of containers. */
    char name[32] = "";
    FILE *file = fopen("/proc/2/comm", "re");
    bool there = file && fgets(name, sizeof name, file) && !strcmp(name, "kthreadd\n");
    if (file)
        fclose(file);
    if (!there || geteuid() != 0)
        skip(); /* in a PID namespace, or as a user whom the kernel tells nothing */
    struct rft_space *space;
    struct rft_error *error = rft_space_create_process(2, &space);
    assert_int_equal(error->code, RFT_ERROR_NOT_PYTHON);
    assert_non_null(strstr(error->message, "kernel"));
    rft_error_destroy(error);
}

/* Asks, as user 65534, to read `pid`, and writes the error's text to `to`. */
static void refusal_as_nobody(pid_t pid, int to)
{
    pid_t child = fork();
    if (child == 0) {
        struct rft_space *space;
        struct rft_error *error;
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(1);
        error = rft_space_create_process(pid, &space);
        if (!error || error->code != RFT_ERROR_OS || error->os_errno != EPERM)
            _exit(2);
        ssize_t length = (ssize_t)strlen(error->message);
        _exit(write(to, error->message, (size_t)length) == length ? 0 : 3);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

static void a_refusal_names_its_cause(void **state)
{
    (void)state;
    struct rft_space *space;
    char text[1024] = "";
    if (geteuid() != 0) { /* somebody else's process is process 1 */
        struct rft_error *error = rft_space_create_process(1, &space);
        assert_non_null(error);
        assert_int_equal(error->os_errno, EPERM);
        rft_error_destroy(error);
        return;
    }
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    refusal_as_nobody(getpid(), pipes[1]);
    assert_true(read(pipes[0], text, sizeof text - 1) > 0);
    bool yama = strstr(text, "ptrace_scope is 3") != NULL;
    assert_true(yama || strstr(text, "another user (uid 0)"));

    /* The same user's, but made unreadable: the folder in /proc belongs to root then. */
    pid_t child = fork();
    if (child == 0) {
        if (setgid(65534) == 0 && setuid(65534) == 0 && prctl(PR_SET_DUMPABLE, 0) == 0)
            wait_for_ever(NULL);
        _exit(1);
    }
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/status", child);
    for (int i = 0, ready = 0; i < 200000 && !ready; i++) {
        FILE *file = fopen(name, "re");
        for (char line[256]; file && fgets(line, sizeof line, file);)
            ready |= !strncmp(line, "Uid:\t65534", 10);
        if (file)
            fclose(file);
        usleep(500);
    }
    await_state(child, 'S');
    memset(text, 0, sizeof text);
    refusal_as_nobody(child, pipes[1]);
    assert_true(read(pipes[0], text, sizeof text - 1) > 0);
    assert_null(strstr(text, "another user"));
    assert_true(strstr(text, "PR_SET_DUMPABLE") || strstr(text, "ptrace_scope"));
    end(child);
    close(pipes[0]);
    close(pipes[1]);
}

static void ids_of_another_pid_namespace_are_translated(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t outer = fork();
    if (outer == 0) {
        if (unshare(geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWPID | CLONE_NEWUSER) != 0)
            _exit(77);
        pid_t inner = fork();
        if (inner == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            wait_for_ever(NULL);
        }
        (void)!write(pipes[1], &inner, sizeof inner); /* as this namespace knows it */
        waitpid(inner, NULL, 0);
        _exit(0);
    }
    close(pipes[1]);
    pid_t inner = 0;
    ssize_t got = read(pipes[0], &inner, sizeof inner);
    close(pipes[0]);
    if (got != sizeof inner) {
        int status;
        waitpid(outer, &status, 0);
        assert_int_equal(WEXITSTATUS(status), 77);
        skip(); /* the system lets us make no namespace */
    }
    await_state(inner, 'S');
    struct rft_space *space;
    assert_null(rft_space_create_process(inner, &space));
    const struct rft_process_facts *facts = rft_space_facts(space);
    assert_int_equal(facts->pid, inner);
    assert_int_equal(facts->namespace_pid, 1);
    const struct rft_os_thread *threads;
    size_t count;
    assert_null(rft_space_os_threads(space, &threads, &count));
    assert_int_equal(count, 1);
    assert_int_equal(threads[0].id, inner);
    assert_int_equal(threads[0].namespace_id, 1);
    assert_int_equal(threads[0].state, RFT_THREAD_BLOCKED);
    rft_space_destroy(space);
    kill(inner, SIGKILL);
    waitpid(outer, NULL, 0);
}

/* What ends gives its memory back first, and only then becomes a zombie. The first process of a PID
 * namespace waits in between until all others of it are gone, and one of these stays: a zombie
 * whose parent, outside, takes no note. */
static void a_process_that_is_just_ending_is_no_thread_of_the_kernel(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t parent = fork();
    if (parent == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(geteuid() == 0 ? CLONE_NEWPID : CLONE_NEWPID | CLONE_NEWUSER) != 0)
            _exit(77);
        pid_t first = fork();
        if (first == 0)
            wait_for_ever(NULL);
        if (fork() == 0)
            wait_for_ever(NULL);
        kill(first, SIGKILL);
        (void)!write(pipes[1], &first, sizeof first);
        wait_for_ever(NULL);
    }
    close(pipes[1]);
    pid_t ending = 0;
    ssize_t got = read(pipes[0], &ending, sizeof ending);
    close(pipes[0]);
    if (got != sizeof ending) {
        int status;
        waitpid(parent, &status, 0);
        assert_int_equal(WEXITSTATUS(status), 77);
        skip(); /* the system lets us make no namespace */
    }
    char name[64], byte;
    snprintf(name, sizeof name, "/proc/%d/maps", ending);
    ssize_t bytes = 1;
    for (int i = 0; i < 200000 && bytes > 0; i++) { /* 100 s */
        int maps = open(name, O_RDONLY | O_CLOEXEC);
        bytes = read(maps, &byte, 1);
        close(maps);
        usleep(500);
    }
    assert_true(state_of(ending) != 'Z');
    struct rft_space *space;
    struct rft_error *error = rft_space_create_process(ending, &space);
    assert_int_equal(error->code, RFT_ERROR_OS);
    assert_int_equal(error->os_errno, ESRCH);
    assert_non_null(strstr(error->message, "just ending"));
    rft_error_destroy(error);
    end(parent);
}

/* Executes itself so often, one time after the other. */
static _Noreturn void execute_again(long times)
{
    char number[24];
    snprintf(number, sizeof number, "%ld", times - 1);
    if (times > 0)
        execl("/proc/self/exe", "again", number, (char *)NULL);
    wait_for_ever(NULL);
}

static void a_process_that_executes_a_program_is_not_refused(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execute_again(100000);
    }
    for (int i = 0; i < 1000; i++) {
        struct rft_space *space;
        struct rft_error *error = rft_space_create_process(child, &space);
        if (error)
            print_message("%s\n", error->message);
        assert_null(error);
        rft_space_destroy(space);
    }
    end(child);
}

static void pages_that_are_remembered_are_read_once(void **state)
{
    (void)state;
    static volatile char words[3 * 4096] __attribute__((aligned(4096)));
    struct rft_space *space;
    assert_null(rft_space_create_self(&space));
    char byte, across[2];
    rft_address address = (rft_address)(uintptr_t)words;
    words[4095] = 'a';
    rft_space_remember_pages(space, true);
    assert_true(rft_space_try(space, address + 4095, &byte, 1));
    assert_int_equal(byte, 'a');
    words[4095] = 'b';
    assert_true(rft_space_try(space, address + 4095, &byte, 1));
    assert_int_equal(byte, 'a');
    /* What lies in two pages is read by itself, and what is not there is not there. */
    assert_true(rft_space_try(space, address + 4095, across, 2));
    assert_int_equal(across[0], 'b');
    assert_false(rft_space_try(space, 16, &byte, 1));
    assert_false(rft_space_try(space, 8192, &byte, 1));
    rft_space_remember_pages(space, false);
    assert_true(rft_space_try(space, address + 4095, &byte, 1));
    assert_int_equal(byte, 'b');
    rft_space_remember_pages(space, true);
    assert_true(rft_space_try(space, address + 4095, &byte, 1));
    assert_int_equal(byte, 'b');
    rft_space_destroy(space);
}

static void a_length_that_the_kernel_refuses_costs_no_neighbour(void **state)
{
    (void)state;
    struct rft_space *space;
    assert_null(rft_space_create_self(&space));
    int before = 0, after = 0;
    char byte;
    struct rft_read reads[] = {
        {(uintptr_t)&rft_process_marker, &before, sizeof before, false},
        {(uintptr_t)&rft_process_marker, &byte, SIZE_MAX, false},
        {UINT64_MAX - 3, &byte, 1, false},
        {(uintptr_t)&rft_process_marker, &byte, 0, false},
        {(uintptr_t)&rft_process_marker, &after, sizeof after, false},
    };
    assert_int_equal(rft_space_read_many(space, reads, 5), 3);
    assert_true(reads[0].done && reads[3].done && reads[4].done);
    assert_int_equal(before, rft_process_marker);
    assert_int_equal(after, rft_process_marker);
    rft_space_destroy(space);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        execute_again(strtol(argv[1], NULL, 10));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_outlives_its_first_thread),
        cmocka_unit_test(a_process_whose_first_thread_ends_while_it_is_read),
        cmocka_unit_test(a_zombie_has_ended),
        cmocka_unit_test(a_thread_of_the_kernel_is_no_python),
        cmocka_unit_test(a_refusal_names_its_cause),
        cmocka_unit_test(ids_of_another_pid_namespace_are_translated),
        cmocka_unit_test(a_process_that_is_just_ending_is_no_thread_of_the_kernel),
        cmocka_unit_test(a_process_that_executes_a_program_is_not_refused),
        cmocka_unit_test(pages_that_are_remembered_are_read_once),
        cmocka_unit_test(a_length_that_the_kernel_refuses_costs_no_neighbour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

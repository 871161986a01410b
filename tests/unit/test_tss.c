/* Thread-specific storage. The same scenarios run against CPython's own functions in
 * tests/test_tss.py; here is what goes beyond them, and what needs fork. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reftracer/tss.h>

static struct rft_tss key = RFT_TSS_NEEDS_INIT;
static _Atomic int destroyed;

static void run(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, function, argument), 0);
    pthread_join(thread, NULL);
}

static void TS1_a_static_key_is_not_created(void **state)
{
    (void)state;
    static struct rft_tss fresh = RFT_TSS_NEEDS_INIT;
    static struct rft_tss zeroed;
    assert_false(rft_tss_is_created(&fresh));
    assert_false(rft_tss_is_created(&zeroed));
}

static void TS2_alloc_and_free(void **state)
{
    (void)state;
    rft_tss_free(NULL);
    struct rft_tss *made = rft_tss_alloc();
    assert_non_null(made);
    assert_false(rft_tss_is_created(made));
    rft_tss_free(made);
    made = rft_tss_alloc();
    assert_int_equal(rft_tss_create(made), 0);
    assert_int_equal(rft_tss_set(made, made), 0);
    rft_tss_free(made); /* deletes first: else the system runs out of keys */
    for (int i = 0; i < 5000; i++) {
        made = rft_tss_alloc();
        assert_int_equal(rft_tss_create(made), 0);
        rft_tss_free(made);
    }
}

static void TS3_created_between_create_and_delete(void **state)
{
    (void)state;
    assert_false(rft_tss_is_created(&key));
    assert_int_equal(rft_tss_create(&key), 0);
    assert_true(rft_tss_is_created(&key));
    rft_tss_delete(&key);
    assert_false(rft_tss_is_created(&key));
    assert_false(rft_tss_is_created(NULL));
}

static void TS4_create_again_does_nothing(void **state)
{
    (void)state;
    int value;
    assert_int_equal(rft_tss_create(&key), 0);
    assert_int_equal(rft_tss_set(&key, &value), 0);
    assert_int_equal(rft_tss_create(&key), 0);
    assert_ptr_equal(rft_tss_get(&key), &value);
    rft_tss_delete(&key);
    assert_int_equal(rft_tss_create(NULL), -1);
    assert_int_equal(errno, EINVAL);
}

static void TS4_without_keys_left_create_fails(void **state)
{
    (void)state;
    enum { MORE_THAN_THERE_ARE = 2000 };
    static struct rft_tss many[MORE_THAN_THERE_ARE];
    int made = 0;
    while (made < MORE_THAN_THERE_ARE && rft_tss_create(&many[made]) == 0)
        made++;
    assert_in_range(made, 100, MORE_THAN_THERE_ARE - 1);
    assert_int_equal(errno, EAGAIN);
    assert_false(rft_tss_is_created(&many[made]));
    for (int i = 0; i < made; i++)
        rft_tss_delete(&many[i]);
    assert_int_equal(rft_tss_create(&many[made]), 0);
    rft_tss_delete(&many[made]);
}

static void *wait_and_get(void *arg)
{
    pthread_barrier_t *step = arg;
    int value;
    bool right = rft_tss_set(&key, &value) == 0 && rft_tss_get(&key) == &value;
    pthread_barrier_wait(step);
    pthread_barrier_wait(step); /* deleted */
    right = right && rft_tss_get(&key) == NULL;
    pthread_barrier_wait(step);
    pthread_barrier_wait(step); /* created again */
    right = right && rft_tss_get(&key) == NULL;
    return right ? arg : NULL;
}

static void count_destroyed(void *value)
{
    (void)value;
    atomic_fetch_add(&destroyed, 1);
}

static void TS5_delete_forgets_in_all_threads_and_frees_nothing(void **state)
{
    (void)state;
    pthread_barrier_t step;
    pthread_t thread;
    void *right;
    int value;
    pthread_barrier_init(&step, NULL, 2);
    atomic_store(&destroyed, 0);
    rft_tss_delete(&key); /* of what is not created: nothing */
    assert_int_equal(rft_tss_create_with_destructor(&key, count_destroyed), 0);
    assert_int_equal(rft_tss_set(&key, &value), 0);
    pthread_create(&thread, NULL, wait_and_get, &step);
    pthread_barrier_wait(&step);
    rft_tss_delete(&key);
    rft_tss_delete(&key);
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    assert_int_equal(rft_tss_create_with_destructor(&key, count_destroyed), 0);
    assert_null(rft_tss_get(&key));
    pthread_barrier_wait(&step);
    pthread_join(thread, &right);
    assert_non_null(right);
    assert_int_equal(atomic_load(&destroyed), 0);
    rft_tss_delete(&key);
    pthread_barrier_destroy(&step);
}

static void TS6_a_key_that_is_not_created_is_an_error(void **state)
{
    (void)state;
    int value;
    assert_null(rft_tss_get(&key));
    errno = 0;
    assert_int_equal(rft_tss_set(&key, &value), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(rft_tss_set(&key, NULL), -1);
    assert_int_equal(rft_tss_visit(&key, NULL, NULL), -1);
    assert_null(rft_tss_get(NULL));
    assert_int_equal(rft_tss_set(NULL, &value), -1);
}

static void *own_value(void *arg)
{
    int value;
    bool right = rft_tss_get(&key) == NULL && rft_tss_set(&key, &value) == 0 &&
                 rft_tss_get(&key) == &value && rft_tss_set(&key, NULL) == 0 &&
                 rft_tss_get(&key) == NULL;
    *(bool *)arg = right;
    return NULL;
}

static void TS6_each_thread_has_its_value(void **state)
{
    (void)state;
    int value;
    bool right = false;
    assert_int_equal(rft_tss_create(&key), 0);
    assert_null(rft_tss_get(&key));
    assert_int_equal(rft_tss_set(&key, &value), 0);
    run(own_value, &right);
    assert_true(right);
    assert_ptr_equal(rft_tss_get(&key), &value);
    rft_tss_delete(&key);
}

static void TS7_values_are_never_touched(void **state)
{
    (void)state;
    /* No address at all: whoever looked at it would crash. */
    void *nowhere = (void *)(uintptr_t)0xDEADBEEFDEADBEE1u;
    assert_int_equal(rft_tss_create(&key), 0);
    assert_int_equal(rft_tss_set(&key, nowhere), 0);
    assert_ptr_equal(rft_tss_get(&key), nowhere);
    assert_int_equal(rft_tss_visit(&key, NULL, NULL), 1);
    rft_tss_delete(&key);
}

static void *set_and_end(void *arg)
{
    rft_tss_set(&key, arg);
    return NULL;
}

static void *set_null_and_end(void *arg)
{
    rft_tss_set(&key, arg);
    rft_tss_set(&key, NULL);
    return NULL;
}

static void *seen_in_destructor;
static long seen_count;

static void look_around(void *value)
{
    (void)value;
    seen_in_destructor = rft_tss_get(&key);
    seen_count = rft_tss_visit(&key, NULL, NULL);
    atomic_fetch_add(&destroyed, 1);
}

static void TS8_destructor_runs_once_for_a_thread_with_a_value(void **state)
{
    (void)state;
    int value;
    atomic_store(&destroyed, 0);
    seen_in_destructor = &value;
    assert_int_equal(rft_tss_create_with_destructor(&key, look_around), 0);
    run(set_and_end, &value);
    assert_int_equal(atomic_load(&destroyed), 1);
    assert_null(seen_in_destructor);
    assert_int_equal(seen_count, 0);
    run(set_and_end, NULL);
    run(set_null_and_end, &value);
    assert_int_equal(atomic_load(&destroyed), 1);
    rft_tss_delete(&key);
}

static _Atomic int refused;

static void set_again(void *value)
{
    atomic_fetch_add(&destroyed, 1);
    if (rft_tss_set(&key, value) != 0) {
        assert_int_equal(errno, EAGAIN);
        atomic_fetch_add(&refused, 1);
    }
}

static pthread_key_t foreign;

static void set_ours(void *value)
{
    pthread_setspecific(foreign, value); /* in each round there is */
    if (rft_tss_set(&key, value) != 0)
        atomic_fetch_add(&refused, 1);
}

static void *set_foreign(void *arg)
{
    pthread_setspecific(foreign, arg);
    return NULL;
}

static void TS8_what_a_destructor_sets_is_destroyed_or_refused(void **state)
{
    (void)state;
    int value;
    atomic_store(&destroyed, 0);
    atomic_store(&refused, 0);
    assert_int_equal(rft_tss_create_with_destructor(&key, set_again), 0);
    run(set_and_end, &value);
    assert_int_equal(atomic_load(&refused), 1);
    assert_true(atomic_load(&destroyed) > 1);
    assert_int_equal(rft_tss_visit(&key, NULL, NULL), 0);
    rft_tss_delete(&key);

    atomic_store(&refused, 0);
    assert_int_equal(pthread_key_create(&foreign, set_ours), 0);
    assert_int_equal(rft_tss_create(&key), 0);
    run(set_foreign, &value);
    assert_true(atomic_load(&refused) > 0);
    assert_int_equal(rft_tss_visit(&key, NULL, NULL), 0);
    rft_tss_delete(&key);
    pthread_key_delete(foreign);
}

struct seen {
    long sum, thread;
    int stop_after;
    int again, delete_left, get;
};

static int look(void *value, long thread, void *argument)
{
    struct seen *seen = argument;
    seen->sum += *(int *)value;
    seen->thread = thread;
    seen->again = (int)rft_tss_visit(&key, NULL, NULL);
    rft_tss_delete(&key);
    seen->delete_left = rft_tss_is_created(&key);
    seen->get = rft_tss_get(&key) != NULL;
    return --seen->stop_after == 0;
}

static void *visited_thread(void *arg)
{
    int value = 2;
    rft_tss_set(&key, &value);
    pthread_barrier_wait(arg);
    pthread_barrier_wait(arg);
    return NULL;
}

static void TS9_visit_sees_every_threads_value(void **state)
{
    (void)state;
    enum { THREADS = 20 };
    pthread_t threads[THREADS];
    pthread_barrier_t step;
    int own = 1;
    pthread_barrier_init(&step, NULL, THREADS + 1);
    assert_int_equal(rft_tss_create(&key), 0);
    assert_int_equal(rft_tss_set(&key, &own), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, visited_thread, &step);
    pthread_barrier_wait(&step);
    struct seen seen = {0}, one = {.stop_after = 1};
    assert_int_equal(rft_tss_visit(&key, look, &seen), THREADS + 1);
    assert_int_equal(seen.sum, 2 * THREADS + 1);
    assert_int_equal(seen.thread, syscall(SYS_gettid)); /* the oldest value comes last */
    assert_int_equal(seen.again, -1);
    assert_true(seen.delete_left);
    assert_true(seen.get);
    assert_int_equal(rft_tss_visit(&key, look, &one), 1);
    pthread_barrier_wait(&step);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(rft_tss_visit(&key, NULL, NULL), 1);
    rft_tss_delete(&key);
    pthread_barrier_destroy(&step);
}

static void *fork_here(void *arg)
{
    int mine = 7;
    rft_tss_set(&key, &mine);
    pid_t child = fork();
    if (child == 0) {
        bool right = rft_tss_get(&key) == &mine && rft_tss_visit(&key, NULL, NULL) == 1;
        /* and all goes on: values of new threads, visits, destructors */
        atomic_store(&destroyed, 0);
        pthread_t thread;
        pthread_create(&thread, NULL, set_and_end, &mine);
        pthread_join(thread, NULL);
        right = right && atomic_load(&destroyed) == 1 && rft_tss_visit(&key, NULL, NULL) == 1;
        _exit(right ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    *(int *)arg = status;
    return NULL;
}

static int thread_of(void *value, long thread, void *argument)
{
    (void)value;
    *(long *)argument = thread;
    return 0;
}

static void TS10_a_forked_child_has_the_forking_threads_value_only(void **state)
{
    (void)state;
    int own = 1, status = -1;
    assert_int_equal(rft_tss_create_with_destructor(&key, count_destroyed), 0);
    assert_int_equal(rft_tss_set(&key, &own), 0);
    run(fork_here, &status);
    assert_int_equal(status, 0);
    assert_int_equal(rft_tss_visit(&key, NULL, NULL), 1);

    pid_t child = fork(); /* the thread's id is the child's */
    if (child == 0) {
        long thread = 0;
        rft_tss_visit(&key, thread_of, &thread);
        _exit(thread == (long)getpid() ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rft_tss_delete(&key);
}

static void TS8_ten_thousand_threads_leave_nothing(void **state)
{
    (void)state;
    enum { THREADS = 10000 };
    int value;
    atomic_store(&destroyed, 0);
    assert_int_equal(rft_tss_create_with_destructor(&key, count_destroyed), 0);
    for (int i = 0; i < THREADS; i++)
        run(set_and_end, &value);
    assert_int_equal(atomic_load(&destroyed), THREADS);
    assert_int_equal(rft_tss_visit(&key, NULL, NULL), 0);
    rft_tss_delete(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(TS1_a_static_key_is_not_created),
        cmocka_unit_test(TS2_alloc_and_free),
        cmocka_unit_test(TS3_created_between_create_and_delete),
        cmocka_unit_test(TS4_create_again_does_nothing),
        cmocka_unit_test(TS4_without_keys_left_create_fails),
        cmocka_unit_test(TS5_delete_forgets_in_all_threads_and_frees_nothing),
        cmocka_unit_test(TS6_a_key_that_is_not_created_is_an_error),
        cmocka_unit_test(TS6_each_thread_has_its_value),
        cmocka_unit_test(TS7_values_are_never_touched),
        cmocka_unit_test(TS8_destructor_runs_once_for_a_thread_with_a_value),
        cmocka_unit_test(TS8_what_a_destructor_sets_is_destroyed_or_refused),
        cmocka_unit_test(TS8_ten_thousand_threads_leave_nothing),
        cmocka_unit_test(TS9_visit_sees_every_threads_value),
        cmocka_unit_test(TS10_a_forked_child_has_the_forking_threads_value_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

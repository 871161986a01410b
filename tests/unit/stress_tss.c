/* Threads that come and go, create and delete keys, and visit each other's values. With
 * TSan this also shows what is published in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <reftracer/tss.h>

enum { THREADS = 6, ROUNDS = 300 };

static _Atomic long wrong, destroyed, given;
static _Atomic bool stop;

/* What values point to: a mark that the destructor wipes. */
struct mark {
    _Atomic uint32_t alive;
};
enum { ALIVE = 0x51DE };

static void wipe(void *value)
{
    struct mark *mark = value;
    if (atomic_exchange(&mark->alive, 0) != ALIVE)
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&destroyed, 1);
}

static int look(void *value, long thread, void *argument)
{
    (void)thread;
    (void)argument;
    if (atomic_load(&((struct mark *)value)->alive) != ALIVE)
        atomic_fetch_add(&wrong, 1);
    return 0;
}

static struct rft_tss steady = RFT_TSS_NEEDS_INIT;

static void *live_shortly(void *arg)
{
    struct mark *mark = arg;
    atomic_store(&mark->alive, ALIVE);
    if (rft_tss_set(&steady, mark) != 0 || rft_tss_get(&steady) != mark)
        atomic_fetch_add(&wrong, 1);
    return NULL;
}

static void *make_threads(void *unused)
{
    (void)unused;
    struct mark marks[4];
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, live_shortly, &marks[i]);
        atomic_fetch_add(&given, 4);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
    return NULL;
}

static void *visit_until_told(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop))
        if (rft_tss_visit(&steady, look, NULL) < 0)
            atomic_fetch_add(&wrong, 1);
    return NULL;
}

static void TS9_visits_are_safe_against_threads_that_come_and_go(void **state)
{
    (void)state;
    pthread_t makers[THREADS], visitor;
    assert_int_equal(rft_tss_create_with_destructor(&steady, wipe), 0);
    pthread_create(&visitor, NULL, visit_until_told, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&makers[i], NULL, make_threads, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(makers[i], NULL);
    atomic_store(&stop, true);
    pthread_join(visitor, NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(atomic_load(&destroyed), atomic_load(&given));
    assert_int_equal(rft_tss_visit(&steady, NULL, NULL), 0);
    rft_tss_delete(&steady);
}

/* --- a race of first calls ------------------------------------------------------------ */

static struct rft_tss raced = RFT_TSS_NEEDS_INIT;
static pthread_barrier_t start;

static void *create_and_use(void *arg)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&start);
        if (rft_tss_create(&raced) != 0 || rft_tss_set(&raced, arg) != 0)
            atomic_fetch_add(&wrong, 1);
        pthread_barrier_wait(&start);
        /* Had there been a second key, somebody's value would be under the first. */
        if (rft_tss_get(&raced) != arg)
            atomic_fetch_add(&wrong, 1);
        if (rft_tss_visit(&raced, NULL, NULL) != THREADS)
            atomic_fetch_add(&wrong, 1);
        pthread_barrier_wait(&start);
        rft_tss_delete(&raced); /* also a race */
        pthread_barrier_wait(&start);
        if (rft_tss_get(&raced) != NULL || rft_tss_set(&raced, arg) != -1)
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

static void TS4_racing_first_creates_make_one_key(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    static int values[THREADS];
    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, create_and_use, &values[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    /* A leaked key each round would have used up the system's 1024. */
    static struct rft_tss many[900];
    for (int i = 0; i < 900; i++)
        assert_int_equal(rft_tss_create(&many[i]), 0);
    for (int i = 0; i < 900; i++)
        rft_tss_delete(&many[i]);
    pthread_barrier_destroy(&start);
}

/* --- deletion while threads with values end -------------------------------------------- */

static struct rft_tss deleted = RFT_TSS_NEEDS_INIT;

static void *set_and_end(void *arg)
{
    rft_tss_set(&deleted, arg); /* may come too late: then it fails */
    rft_tss_get(&deleted);
    return NULL;
}

static void *end_threads(void *unused)
{
    (void)unused;
    static int value;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t thread;
        pthread_create(&thread, NULL, set_and_end, &value);
        pthread_join(thread, NULL);
    }
    return NULL;
}

static void ignore(void *value)
{
    (void)value;
}

static void TS5_delete_is_safe_against_threads_that_end(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, end_threads, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(rft_tss_create_with_destructor(&deleted, ignore), 0);
        rft_tss_visit(&deleted, NULL, NULL);
        rft_tss_delete(&deleted);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_false(rft_tss_is_created(&deleted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(TS9_visits_are_safe_against_threads_that_come_and_go),
        cmocka_unit_test(TS4_racing_first_creates_make_one_key),
        cmocka_unit_test(TS5_delete_is_safe_against_threads_that_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

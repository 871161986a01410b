/* Threads that ask the live map for the same leaves at the same time get the same leaf, and
 * none is lost. Built with TSan this also shows that the tables are published in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tracer/live_map.h"

enum { THREADS = 4, REGIONS = 64, ROUNDS = 20 };

static pthread_barrier_t start;
static rft_leaf found[THREADS][REGIONS];

/* Addresses that differ in each of the three levels. */
static uintptr_t address_of(int round, int region)
{
    return ((uintptr_t)(round % 4 + 1) << 32) + ((uintptr_t)(round * REGIONS + region) << 20);
}

static void *claim(void *arg)
{
    int self = (int)(intptr_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&start);
        for (int region = 0; region < REGIONS; region++) {
            rft_leaf leaf = rft_live_map_leaf(address_of(round, region), true);
            found[self][region] = leaf;
            /* Each thread has slots of its own, as each object has one address. */
            if (leaf != NULL)
                atomic_fetch_add_explicit(&leaf[self], 1, memory_order_relaxed);
        }
        pthread_barrier_wait(&start);
        if (self == 0)
            for (int region = 0; region < REGIONS; region++)
                for (int other = 0; other < THREADS; other++) {
                    assert_non_null(found[other][region]);
                    assert_ptr_equal(found[other][region], found[0][region]);
                    assert_int_equal(
                        atomic_load_explicit(&found[0][region][other], memory_order_relaxed), 1);
                }
        pthread_barrier_wait(&start);
    }
    return NULL;
}

static void threads_that_claim_a_region_at_once_get_one_leaf(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (int i = 1; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, claim, (void *)(intptr_t)i), 0);
    claim(NULL); /* here, because a failed assertion must be on cmocka's thread */
    for (int i = 1; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(rft_live_map_leaves(), ROUNDS * REGIONS);
    pthread_barrier_destroy(&start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_claim_a_region_at_once_get_one_leaf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

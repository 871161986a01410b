/* A thread's tree of nodes: whatever was added is found, wherever it had to go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tracer/nodes.h"

static struct rft_thread *thread_new(void)
{
    struct rft_thread *t = rft_pages_alloc(sizeof *t);
    assert_non_null(t);
    rft_nodes_reset(t);
    return t;
}

static void thread_free(struct rft_thread *t)
{
    rft_nodes_free(t);
    rft_pages_free(t, sizeof *t);
}

static void *fake(uintptr_t value)
{
    return (void *)value;
}

static void test_an_empty_node_leads_nowhere(void **unused)
{
    (void)unused;
    struct rft_thread *t = thread_new();
    assert_null(rft_way_find(t->root, 0x1000, NULL));
    assert_null(rft_way_find(t->root, 0, fake(0x500)));
    thread_free(t);
}

static void test_ten_thousand_ways_are_all_found(void **unused)
{
    (void)unused;
    struct rft_thread *t = thread_new();
    enum { WAYS = 10000 };
    for (uintptr_t i = 1; i <= WAYS; i++) {
        rft_way_add(t, t->root, 0x1000 + 2 * i, fake(i % 7 * 416), fake(i));
    }
    for (uintptr_t i = 1; i <= WAYS; i++) {
        assert_ptr_equal(rft_way_find(t->root, 0x1000 + 2 * i, fake(i % 7 * 416)), fake(i));
        assert_null(rft_way_find(t->root, 0x1000 + 2 * i, fake(i % 7 * 416 + 16)));
    }
    /* What the hot path reads of the node is what the node has. */
    assert_ptr_equal(t->ways, t->root->ways);
    assert_int_equal(t->mask, t->root->mask);
    thread_free(t);
}

static void test_ways_of_one_hash_are_all_found(void **unused)
{
    (void)unused;
    struct rft_thread *t = thread_new();
    enum { WAYS = 300 };
    /* Instruction and type differ by what the hash takes out again. */
    for (uintptr_t i = 1; i <= WAYS; i++) {
        rft_way_add(t, t->root, i << 1, fake(i << 5), fake(i));
    }
    for (uintptr_t i = 1; i <= WAYS; i++) {
        assert_ptr_equal(rft_way_find(t->root, i << 1, fake(i << 5)), fake(i));
    }
    assert_true(t->root->mask < 8 * WAYS); /* no table helps against that: it stays bounded */
    thread_free(t);
}

static void test_a_way_that_is_added_again_is_replaced(void **unused)
{
    (void)unused;
    struct rft_thread *t = thread_new();
    rft_way_add(t, t->root, 0x10, fake(0x20), fake(1));
    rft_way_add(t, t->root, 0x10, fake(0x20), fake(2));
    assert_ptr_equal(rft_way_find(t->root, 0x10, fake(0x20)), fake(2));
    assert_int_equal(t->root->count, 1);
    thread_free(t);
}

static void test_a_reset_forgets_all_and_uses_the_memory_again(void **unused)
{
    (void)unused;
    struct rft_thread *t = thread_new();
    for (int round = 0; round < 50; round++) {
        for (uintptr_t i = 1; i <= 20000; i++) {
            rft_way_add(t, t->root, 2 * i, NULL, fake(i));
        }
        rft_nodes_reset(t);
        assert_null(rft_way_find(t->root, 2, NULL));
        assert_int_equal(t->root->count, 0);
    }
    struct rft_node_block *block = t->node_blocks;
    size_t mapped = 0;
    for (; block != NULL; block = *(struct rft_node_block **)block) {
        mapped += 1;
    }
    assert_true(mapped < 20); /* a round takes some 2 MiB */
    thread_free(t);
}

static void test_a_tree_that_grows_too_large_is_begun_anew_at_the_next_birth(void **unused)
{
    (void)unused;
    struct rft_thread *t = thread_new();
    uint32_t epoch = t->epoch = atomic_load(&tracer.epoch);
    for (uintptr_t i = 1; i <= 100000; i++) {
        rft_way_add(t, t->root, 2 * i, NULL, fake(i));
    }
    assert_int_equal(t->epoch, epoch);
    for (uintptr_t i = 100000; i <= 2000000; i++) {
        rft_way_add(t, t->root, 2 * i, NULL, fake(i));
    }
    assert_int_not_equal(t->epoch, epoch);
    thread_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_node_leads_nowhere),
        cmocka_unit_test(test_ten_thousand_ways_are_all_found),
        cmocka_unit_test(test_ways_of_one_hash_are_all_found),
        cmocka_unit_test(test_a_way_that_is_added_again_is_replaced),
        cmocka_unit_test(test_a_reset_forgets_all_and_uses_the_memory_again),
        cmocka_unit_test(test_a_tree_that_grows_too_large_is_begun_anew_at_the_next_birth),
    };
    return cmocka_run_group_tests_name("a thread's nodes", tests, NULL, NULL);
}

/* The walk of a stack: how deep it goes, and that it tells when it stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tracer/nodes.h"

enum { PREVIOUS = 8, INSTR = 56, OWNER = 74, FRAME = 80, FRAMES = 300 };

static char frames[FRAMES][FRAME]; /* [0] is the outermost */

static uintptr_t address(size_t index)
{
    return (uintptr_t)frames[index];
}

static struct rft_thread *thread_below(bool tags)
{
    for (int i = 0; i < RFT_FIELD_COUNT; i++) {
        tracer.layout.at[i] = RFT_NO_FIELD;
    }
    tracer.layout.at[RFT_FRAME_EXECUTABLE] = 0;
    tracer.layout.at[RFT_FRAME_PREVIOUS] = PREVIOUS;
    tracer.layout.at[RFT_FRAME_INSTR] = INSTR;
    tracer.layout.at[RFT_FRAME_OWNER] = OWNER;
    tracer.frame_tags = tags;
    memset(frames, 0, sizeof frames);
    for (uintptr_t i = 0; i < FRAMES; i++) {
        uintptr_t previous = i > 0 ? address(i - 1) : 0, instr = 0x1000 + 2 * i;
        memcpy(frames[i] + PREVIOUS, &previous, sizeof previous);
        memcpy(frames[i] + INSTR, &instr, sizeof instr);
    }
    rft_buffer_clear(&tracer.losses);
    struct rft_thread *t = rft_pages_alloc(sizeof *t);
    assert_non_null(t);
    rft_nodes_reset(t);
    return t;
}

static void thread_free(struct rft_thread *t)
{
    rft_nodes_free(t);
    rft_pages_free(t->chain, t->capacity * sizeof *t->chain);
    rft_pages_free(t, sizeof *t);
}

static void test_a_stack_as_deep_as_the_bound_is_whole(void **tags)
{
    tracer.depth_max = 100;
    struct rft_thread *t = thread_below(*tags != NULL);
    rft_chain_resolve(t, address(99));
    assert_int_equal(t->depth, 100);
    assert_int_equal(t->chain[0].frame, address(0));
    assert_int_equal(t->top, address(99));
    assert_int_equal(tracer.losses.length, 0);
    thread_free(t);
}

static void test_a_deeper_stack_is_cut_and_that_is_a_loss(void **tags)
{
    tracer.depth_max = 100;
    struct rft_thread *t = thread_below(*tags != NULL);
    rft_chain_resolve(t, address(FRAMES - 1));
    assert_int_equal(t->depth, 100);
    assert_int_equal(t->top, address(FRAMES - 1));
    assert_int_equal(t->chain[0].frame, address(FRAMES - 100));
    assert_true(tracer.losses.length > 2);
    assert_int_equal(tracer.losses.bytes[1], RFT_LOSS_TRUNCATED_STACK); /* behind its length */
    thread_free(t);
}

static void test_a_chain_that_goes_round_in_a_circle_ends(void **tags)
{
    tracer.depth_max = 100;
    struct rft_thread *t = thread_below(*tags != NULL);
    uintptr_t inner = address(1);
    memcpy(frames[0] + PREVIOUS, &inner, sizeof inner);
    rft_chain_resolve(t, address(1));
    assert_int_equal(t->depth, 100);
    assert_true(tracer.losses.length > 2);
    thread_free(t);
}

int main(void)
{
    static bool tags = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stack_as_deep_as_the_bound_is_whole),
        cmocka_unit_test(test_a_deeper_stack_is_cut_and_that_is_a_loss),
        cmocka_unit_test(test_a_chain_that_goes_round_in_a_circle_ends),
        cmocka_unit_test_prestate(test_a_stack_as_deep_as_the_bound_is_whole, &tags),
        cmocka_unit_test_prestate(test_a_deeper_stack_is_cut_and_that_is_a_loss, &tags),
        cmocka_unit_test_prestate(test_a_chain_that_goes_round_in_a_circle_ends, &tags),
    };
    return cmocka_run_group_tests_name("a thread's stack", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/index.h"

enum { ITEMS = 10000 };

static uint32_t find(const struct rft_index *index, uint64_t hash, uint32_t wanted)
{
    uint32_t at = 0, item;
    while ((item = rft_index_probe(index, hash, &at)) != RFT_INDEX_END)
        if (item == wanted)
            return item;
    return RFT_INDEX_END;
}

static void each_item_is_found_under_its_hash(void **state)
{
    (void)state;
    struct rft_index index = {0};
    assert_int_equal(find(&index, 1, 0), RFT_INDEX_END);
    for (uint32_t i = 0; i < ITEMS; i++)
        assert_true(rft_index_add(&index, rft_hash_mix(1, i), i));
    for (uint32_t i = 0; i < ITEMS; i++)
        assert_int_equal(find(&index, rft_hash_mix(1, i), i), i);
    assert_int_equal(find(&index, rft_hash_mix(1, ITEMS), ITEMS), RFT_INDEX_END);
    rft_index_deinit(&index);
}

static void items_with_one_hash_are_all_found(void **state)
{
    (void)state;
    struct rft_index index = {0};
    for (uint32_t i = 0; i < 100; i++)
        assert_true(rft_index_add(&index, 42, i));
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(find(&index, 42, i), i);
    rft_index_deinit(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_item_is_found_under_its_hash),
        cmocka_unit_test(items_with_one_hash_are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

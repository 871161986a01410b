#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/varint.h"

static void every_number_comes_back(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++)
        for (int nearby = -1; nearby <= 1; nearby++) {
            uint64_t value = (UINT64_C(1) << shift) + (uint64_t)(int64_t)nearby, back = 0;
            unsigned char bytes[RFT_VARINT_MAX];
            size_t size = rft_varint_put(bytes, value);
            const unsigned char *at = bytes;
            assert_true(rft_varint_get(&at, bytes + size, &back));
            assert_true(back == value);
            assert_ptr_equal(at, bytes + size);
            assert_true(rft_unzigzag(rft_zigzag((int64_t)value)) == (int64_t)value);
        }
}

static void a_number_that_is_cut_off_is_refused_and_not_stepped_over(void **state)
{
    (void)state;
    unsigned char bytes[RFT_VARINT_MAX];
    size_t size = rft_varint_put(bytes, UINT64_MAX);
    assert_int_equal(size, RFT_VARINT_MAX);
    for (size_t cut = 0; cut < size; cut++) {
        const unsigned char *at = bytes;
        uint64_t value;
        assert_false(rft_varint_get(&at, bytes + cut, &value));
        assert_ptr_equal(at, bytes);
    }
}

static void a_number_of_more_than_64_bits_is_refused(void **state)
{
    (void)state;
    const unsigned char bits65[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    const unsigned char eleven[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                    0x80, 0x80, 0x80, 0x80, 0x00};
    const unsigned char *at = bits65;
    uint64_t value;
    assert_false(rft_varint_get(&at, bits65 + sizeof bits65, &value));
    at = eleven;
    assert_false(rft_varint_get(&at, eleven + sizeof eleven, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_comes_back),
        cmocka_unit_test(a_number_that_is_cut_off_is_refused_and_not_stepped_over),
        cmocka_unit_test(a_number_of_more_than_64_bits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

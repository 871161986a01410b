/* Objects of the target in made-up memory: what is right is read, what is not is refused, in
 * bounded time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/dict.h"
#include "runtime/exception.h"
#include "runtime/kept.h"
#include "runtime/local.h"
#include "runtime/object.h"

enum { WORDS = 1 << 14 };
#define BASE UINT64_C(0x100000)

/* Memory of a target and a runtime that looks at it. */
struct image {
    uint64_t words[WORDS];
    struct rft_runtime runtime;
    size_t used; /* bytes given out */
};

static struct image *make(unsigned minor)
{
    struct image *image = calloc(1, sizeof *image);
    assert_non_null(image);
    struct rft_segment segment = {BASE, image->words, sizeof image->words};
    assert_null(rft_space_create_fake(&segment, 1, BASE, &image->runtime.space));
    assert_true(rft_layout_table(minor, false, &image->runtime.layout));
    image->runtime.minor = minor;
    image->used = 64;
    return image;
}

static void destroy(struct image *image)
{
    if (image->runtime.objects_destroy)
        image->runtime.objects_destroy(image->runtime.objects);
    rft_arena_deinit(&image->runtime.arena);
    rft_strbuf_deinit(&image->runtime.scratch);
    rft_space_destroy(image->runtime.space);
    free(image);
}

static char *bytes_at(struct image *image, rft_address address)
{
    return (char *)image->words + (address - BASE);
}

static rft_address take(struct image *image, size_t size)
{
    rft_address address = BASE + image->used;
    image->used += (size + 31) / 16 * 16;
    assert_true(image->used < sizeof image->words);
    return address;
}

static void put(struct image *image, rft_address address, uint64_t word)
{
    memcpy(bytes_at(image, address), &word, sizeof word);
}

static rft_address make_type(struct image *image, const char *name, uint64_t flags,
                             rft_address base)
{
    const struct rft_layout *layout = &image->runtime.layout;
    rft_address type = take(image, 1024), text = take(image, strlen(name) + 1);
    strcpy(bytes_at(image, text), name);
    put(image, type + layout->at[RFT_TYPE_NAME], text);
    put(image, type + layout->at[RFT_TYPE_FLAGS], flags | RFT_TPFLAGS_READY);
    put(image, type + layout->tp_basicsize, 32);
    put(image, type + layout->tp_base, base);
    return type;
}

static rft_address make_object(struct image *image, rft_address type, size_t size)
{
    rft_address object = take(image, size);
    put(image, object + image->runtime.layout.at[RFT_OBJECT_TYPE], type);
    return object;
}

static rft_address make_str(struct image *image, rft_address type, const char *text)
{
    const struct rft_layout *layout = &image->runtime.layout;
    rft_address object = make_object(image, type, layout->str_ascii_size + strlen(text) + 1);
    put(image, object + layout->at[RFT_STR_LENGTH], strlen(text));
    uint32_t state = (1u | 8u | 16u) << layout->str_kind_shift;
    memcpy(bytes_at(image, object + layout->at[RFT_STR_STATE]), &state, sizeof state);
    strcpy(bytes_at(image, object + layout->str_ascii_size), text);
    return object;
}

static char shown[512];

/* The text for a value, or "no" if there is none. */
static const char *value_of(struct image *image, rft_address object)
{
    struct rft_type type;
    struct rft_strbuf text = {0};
    snprintf(shown, sizeof shown, "no");
    if (rft_object_type(&image->runtime, object, &type) &&
        rft_object_value(&image->runtime, object, &type, &text))
        snprintf(shown, sizeof shown, "%s", rft_strbuf_text(&text));
    rft_strbuf_deinit(&text);
    return shown;
}

/* --- numbers ------------------------------------------------------------------------ */

static rft_address make_int(struct image *image, rft_address type, bool negative,
                            const uint32_t *digits, size_t count)
{
    const struct rft_layout *layout = &image->runtime.layout;
    rft_address object = make_object(image, type, 64 + 4 * count);
    uint64_t tag = image->runtime.minor >= 12 ? count << 3 | (count ? negative ? 2 : 0 : 1)
                   : negative                 ? 0 - (uint64_t)count
                                              : count;
    put(image, object + layout->at[RFT_LONG_TAG], tag);
    memcpy(bytes_at(image, object + layout->at[RFT_LONG_DIGIT]), digits, 4 * count);
    return object;
}

static void ints_of_both_layouts_are_read(void **state)
{
    (void)state;
    for (unsigned minor = 8; minor <= 12; minor++) {
        struct image *image = make(minor);
        rft_address type = make_type(image, "int", RFT_TPFLAGS_LONG, 0);
        uint64_t value;
        const uint32_t digits[] = {0x3fffffff, 0x3fffffff, 15, 1};
        rft_address zero = make_int(image, type, false, digits, 0);
        rft_address word = make_int(image, type, true, digits, 3);
        rft_address more = make_int(image, type, false, digits, 4);
        assert_true(rft_int_value(&image->runtime, zero, &value) && value == 0);
        assert_true(rft_int_value(&image->runtime, word, &value) && value == 1);
        assert_false(rft_int_value(&image->runtime, more, &value));
        assert_string_equal(value_of(image, word), "-18446744073709551615");
        destroy(image);
    }
}

static void digits_that_no_int_has_are_refused(void **state)
{
    (void)state;
    struct image *image = make(12);
    rft_address type = make_type(image, "int", RFT_TPFLAGS_LONG, 0);
    const uint32_t too_large[] = {0x40000000}, no_top[] = {5, 0};
    assert_string_equal(value_of(image, make_int(image, type, false, too_large, 1)), "no");
    assert_string_equal(value_of(image, make_int(image, type, false, no_top, 2)), "no");
    /* As many digits as an address space has room for. */
    rft_address huge = make_object(image, type, 64);
    put(image, huge + image->runtime.layout.at[RFT_LONG_TAG], UINT64_MAX << 3);
    assert_string_equal(value_of(image, huge), "no");
    destroy(image);
}

/* --- str and bytes -------------------------------------------------------------------- */

static void lengths_are_not_believed(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {UINT64_C(1) << 60, UINT64_MAX, UINT64_C(1) << 44};
    for (unsigned minor = 8; minor <= 12; minor++) {
        struct image *image = make(minor);
        const uint32_t *at = image->runtime.layout.at;
        rft_address str_type = make_type(image, "str", RFT_TPFLAGS_STR, 0);
        rft_address bytes_type = make_type(image, "bytes", RFT_TPFLAGS_BYTES, 0);
        rft_address list_type = make_type(image, "list", RFT_TPFLAGS_LIST, 0);
        rft_address str = make_str(image, str_type, "text");
        rft_address bytes = make_object(image, bytes_type, 64);
        rft_address list = make_object(image, list_type, 64);
        assert_string_equal(value_of(image, str), "'text'");
        assert_true(rft_str_equals(&image->runtime, str, "text"));
        assert_false(rft_str_equals(&image->runtime, str, "tex"));
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            rft_address items[4];
            size_t count;
            uint64_t length;
            put(image, str + at[RFT_STR_LENGTH], lengths[i] + 1);
            put(image, bytes + at[RFT_BYTES_COUNT], lengths[i]);
            put(image, list + at[RFT_LIST_COUNT], lengths[i]);
            assert_string_equal(value_of(image, str), lengths[i] == UINT64_MAX ? "''" : "no");
            assert_string_equal(value_of(image, bytes), "no");
            assert_string_equal(value_of(image, list), "no");
            if (lengths[i] > UINT64_C(1) << 44)
                assert_false(
                    rft_sequence_items(&image->runtime, list, true, 0, items, 4, &count, &length));
        }
        destroy(image);
    }
}

/* --- types ---------------------------------------------------------------------------- */

static void a_type_that_is_its_own_base_ends(void **state)
{
    (void)state;
    struct image *image = make(11);
    rft_address type = make_type(image, "Loop", RFT_TPFLAGS_HEAP_TYPE, 0);
    put(image, type + image->runtime.layout.tp_base, type);
    struct rft_type read;
    assert_true(rft_type_read(&image->runtime, type, &read));
    assert_int_equal(read.kind, RFT_OBJECT_OTHER);
    assert_string_equal(read.name, "Loop");
    destroy(image);
}

static void a_subclass_has_the_kind_of_its_base(void **state)
{
    (void)state;
    struct image *image = make(10);
    rft_address base = make_type(image, "float", 0, 0);
    rft_address type = make_type(image, "module.Ratio", RFT_TPFLAGS_HEAP_TYPE, base);
    rft_address fake = make_type(image, "float", RFT_TPFLAGS_HEAP_TYPE, 0);
    rft_address object = make_object(image, type, 64);
    double half = 0.5;
    memcpy(bytes_at(image, object + image->runtime.layout.at[RFT_FLOAT_VALUE]), &half, sizeof half);
    assert_string_equal(value_of(image, object), "0.5");
    struct rft_type read;
    assert_true(rft_object_type(&image->runtime, object, &read));
    assert_string_equal(read.name, "Ratio");
    /* A class of the program that is called float is none. */
    assert_true(rft_type_read(&image->runtime, fake, &read));
    assert_int_equal(read.kind, RFT_OBJECT_OTHER);
    destroy(image);
}

/* --- dicts ------------------------------------------------------------------------------ */

/* A dict with the given keys, its values 1, 2, ...; the kinds of pycore_dict.h. */
static rft_address make_dict(struct image *image, rft_address str_type, const char *const *names,
                             size_t count, bool split, bool hashes)
{
    const struct rft_layout *layout = &image->runtime.layout;
    bool old = image->runtime.minor <= 10;
    rft_address dict = take(image, 64), keys = take(image, 512),
                values = split ? take(image, 128) : 0;
    size_t entry_size = old || hashes ? 24 : 16, index = 16;
    put(image, dict + layout->at[RFT_DICT_KEYS], keys);
    put(image, dict + layout->at[RFT_DICT_VALUES], values);
    if (old) {
        put(image, keys + 8, 16);
        put(image, keys + 24, 10 - count);
        put(image, keys + 32, count);
    } else {
        const unsigned char head[4] = {4, 4, hashes ? 0 : 1, 0};
        memcpy(bytes_at(image, keys + 8), head, sizeof head);
        put(image, keys + 16, 10 - count);
        put(image, keys + 24, count);
    }
    rft_address entries = keys + (old ? 40 : 32) + index;
    for (size_t i = 0; i < count; i++) {
        rft_address entry = entries + i * entry_size + (entry_size == 24 ? 8 : 0);
        put(image, entry, names[i] ? make_str(image, str_type, names[i]) : 0);
        put(image, split ? values + 8 * i : entry + 8, i + 1);
    }
    return dict;
}

static void all_kinds_of_dicts_are_searched(void **state)
{
    (void)state;
    static const char *const names[] = {"alpha", NULL, "_name", "omega"};
    for (unsigned minor = 8; minor <= 12; minor++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            struct image *image = make(minor);
            rft_address type = make_type(image, "str", RFT_TPFLAGS_STR, 0);
            rft_address address = make_dict(image, type, names, 4, kind & 1, kind & 2);
            struct rft_dict dict;
            rft_address value;
            assert_true(rft_dict_open(&image->runtime, address, &dict));
            assert_true(rft_dict_find(&image->runtime, &dict, "_name", &value) && value == 3);
            assert_true(rft_dict_find(&image->runtime, &dict, "alpha", &value) && value == 1);
            assert_false(rft_dict_find(&image->runtime, &dict, "_nam", &value));
            assert_false(rft_dict_find(&image->runtime, &dict, "", &value));
            size_t hint = 0;
            assert_true(rft_dict_find_again(&image->runtime, &dict, "omega", &hint, &value));
            assert_int_equal(hint, 3);
            assert_true(rft_dict_find_again(&image->runtime, &dict, "omega", &hint, &value));
            assert_int_equal(value, 4);
            destroy(image);
        }
    }
}

static void sizes_of_dicts_are_not_believed(void **state)
{
    (void)state;
    static const char *const names[] = {"a"};
    for (unsigned minor = 8; minor <= 12; minor++) {
        struct image *image = make(minor);
        rft_address type = make_type(image, "str", RFT_TPFLAGS_STR, 0);
        rft_address address = make_dict(image, type, names, 1, false, false);
        rft_address keys = rft_word((unsigned char *)bytes_at(image, address),
                                    image->runtime.layout.at[RFT_DICT_KEYS]);
        struct rft_dict dict;
        rft_address value;
        /* More entries than its table has room for. */
        put(image, keys + (minor <= 10 ? 32 : 24), UINT64_C(1) << 60);
        assert_false(rft_dict_open(&image->runtime, address, &dict));
        put(image, keys + (minor <= 10 ? 32 : 24), 11);
        assert_false(rft_dict_open(&image->runtime, address, &dict));
        /* A table that is no power of two, or of 2^255 slots. */
        put(image, keys + (minor <= 10 ? 32 : 24), 1);
        put(image, keys + 8, minor <= 10 ? 17 : 255);
        assert_false(rft_dict_open(&image->runtime, address, &dict));
        /* A table that lies nowhere. */
        put(image, address + image->runtime.layout.at[RFT_DICT_KEYS], UINT64_MAX - 7);
        assert_false(rft_dict_open(&image->runtime, address, &dict));
        assert_false(rft_instance_attribute(&image->runtime, address, "a", &value));
        destroy(image);
    }
}

/* --- exceptions --------------------------------------------------------------------------- */

static void exceptions_are_found_and_loops_of_contexts_end(void **state)
{
    (void)state;
    for (unsigned minor = 8; minor <= 12; minor++) {
        struct image *image = make(minor);
        const uint32_t *at = image->runtime.layout.at;
        rft_address type = make_type(image, "ValueError", RFT_TPFLAGS_EXCEPTION, 0);
        rft_address error = make_object(image, type, 64);
        rft_address thread = take(image, 512), item = take(image, 64);
        unsigned char *bytes = (unsigned char *)bytes_at(image, thread);
        size_t previous = minor <= 10 ? 24 : 8;
        put(image, thread + at[RFT_THREAD_EXC_INFO], item);
        put(image, item + previous, item);
        assert_string_equal(rft_thread_exception(&image->runtime, thread, bytes, 400), "");
        put(image, item, minor <= 10 ? type : error);
        assert_string_equal(rft_thread_exception(&image->runtime, thread, bytes, 400),
                            "ValueError");
        assert_string_equal(rft_thread_exception(&image->runtime, thread, bytes, 0), "ValueError");
        put(image, item, 0);
        put(image, thread + (minor <= 11 ? at[RFT_THREAD_EXC_TYPE] : at[RFT_THREAD_EXCEPTION]),
            minor <= 11 ? type : error);
        assert_string_equal(rft_thread_exception(&image->runtime, thread, bytes, 400),
                            "ValueError");
        destroy(image);
    }
}

/* --- anything at all ------------------------------------------------------------------------ */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Memory of words that point into it, or are small, or huge: everything that is asked of it
 * ends, and nothing is read beyond a buffer (under ASan). */
static void memory_of_nonsense_is_survived(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u;
    size_t types = 0;
    for (unsigned round = 0; round < 400; round++) {
        struct image *image = make(8 + round % 5);
        for (size_t i = 0; i < WORDS; i++) {
            uint64_t random = next_random(&seed);
            switch (random % 8) {
            case 0:
                image->words[i] = random;
                break;
            case 1:
                image->words[i] = random >> 50;
                break;
            case 2:
                image->words[i] = RFT_TPFLAGS_READY | random >> 16;
                break;
            default:
                image->words[i] = BASE + (random >> 8) % (sizeof image->words / 8) * 8;
            }
        }
        struct rft_locals *locals = rft_locals_begin(&image->runtime);
        assert_non_null(locals);
        for (size_t i = 0; i < 300; i++) {
            rft_address address = BASE + next_random(&seed) % WORDS * 8, value;
            struct rft_type type;
            struct rft_dict dict;
            rft_types_forget(&image->runtime);
            types += rft_object_type(&image->runtime, address, &type);
            value_of(image, address);
            if (rft_dict_open(&image->runtime, address, &dict))
                rft_dict_find(&image->runtime, &dict, "_name", &value);
            rft_instance_attribute(&image->runtime, address, "_name", &value);
            rft_thread_exception(&image->runtime, address, NULL, 0);
            struct rft_frame frame = {.frame = address, .code = address + 64};
            put(image, address < BASE + sizeof image->words - 128 ? address : BASE, address + 64);
            rft_locals_of_frame(locals, &frame, NULL, 0);
        }
        rft_locals_end(locals);
        destroy(image);
    }
    assert_true(types > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ints_of_both_layouts_are_read),
        cmocka_unit_test(digits_that_no_int_has_are_refused),
        cmocka_unit_test(lengths_are_not_believed),
        cmocka_unit_test(a_type_that_is_its_own_base_ends),
        cmocka_unit_test(a_subclass_has_the_kind_of_its_base),
        cmocka_unit_test(all_kinds_of_dicts_are_searched),
        cmocka_unit_test(sizes_of_dicts_are_not_believed),
        cmocka_unit_test(exceptions_are_found_and_loops_of_contexts_end),
        cmocka_unit_test(memory_of_nonsense_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

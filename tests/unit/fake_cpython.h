/* A CPython made of bytes: 3.12, whose layout is in our tables, or 3.15, which tells it. One
 * interpreter, two threads; the second has two calls, inner() from outer(). For tests and for
 * the fuzzer, which spoils it. */
#ifndef RFT_TESTS_FAKE_CPYTHON_H
#define RFT_TESTS_FAKE_CPYTHON_H

#include <reftracer/runtime.h>
#include <string.h>

#include "layout/layout.h"

enum {
    FAKE_BASE = 0x100000,
    FAKE_SIZE = 0x3000,
    FAKE_RUNTIME = FAKE_BASE,
    FAKE_INTERP = FAKE_BASE + 0x600,
    FAKE_THREAD_1 = FAKE_BASE + 0xc00,
    FAKE_THREAD_2 = FAKE_BASE + 0xe00,
    FAKE_CFRAME_1 = FAKE_BASE + 0x1000,
    FAKE_CFRAME_2 = FAKE_BASE + 0x1020,
    FAKE_TYPES = FAKE_BASE + 0x1040, /* code, str, each of 0xc0 bytes */
    FAKE_CODES = FAKE_BASE + 0x1200, /* of 0x100 bytes: outer, inner */
    FAKE_TEXTS = FAKE_BASE + 0x1400, /* of 0x60 bytes */
    FAKE_SYSDICT = FAKE_BASE + 0x1800,
    FAKE_KEYS = FAKE_BASE + 0x1840,
    FAKE_CHUNK = FAKE_BASE + 0x2000,
    FAKE_GIL = FAKE_BASE + 0x1a00,
    FAKE_OUTER = FAKE_CHUNK + 0x20, /* frames */
    FAKE_INNER = FAKE_CHUNK + 0xa0,
};

struct fake {
    unsigned char bytes[FAKE_SIZE];
    struct rft_layout layout;
};

static inline void fake_put(struct fake *fake, uint64_t address, uint64_t value, size_t size)
{
    memcpy(fake->bytes + (address - FAKE_BASE), &value, size);
}

static inline void fake_field(struct fake *fake, uint64_t base, enum rft_field field,
                              uint64_t value)
{
    if (fake->layout.at[field] != RFT_NO_FIELD)
        fake_put(fake, base + fake->layout.at[field], value, 8);
}

/* A table of 3.15 in which the fields of 3.12 lie where they lie in 3.12. */
static inline void fake_table(struct fake *fake, const struct rft_layout *like)
{
    enum { SLOTS = 108 };
    unsigned char *table = fake->bytes;
    memcpy(table, "xdebugpy", 8);
    fake_put(fake, FAKE_BASE + 8, 0x030f02f0, 8);
    /* Which field is in which slot: fill the table with slot numbers and have it parsed. */
    struct rft_layout order;
    for (unsigned i = 0; i < SLOTS; i++)
        fake_put(fake, FAKE_BASE + 24 + 8 * i, i, 8);
    rft_layout_parse(table, 1024, &order);
    static const struct {
        uint8_t field;
        uint16_t at;
    } more[] = {
        {RFT_RUNTIME_SIZE, 0x600},
        {RFT_INTERP_SIZE, 0x600},
        {RFT_THREAD_SIZE, 288},
        {RFT_RUNTIME_FINALIZING, 0x480},
        {RFT_RUNTIME_INTERPRETERS, 0x490},
        {RFT_THREAD_FRAME, 56},
        {RFT_INTERP_GIL, 384},
        {RFT_INTERP_GIL_STATE, 400},
        {RFT_INTERP_GIL_LOCKED, 416},
        {RFT_INTERP_GIL_HOLDER, 408},
        {RFT_INTERP_CODE_GENERATION, 1000},
        {RFT_THREAD_BASE_FRAME, 80},
        {RFT_THREAD_HOLDS_GIL, 28},
        {RFT_THREAD_GIL_REQUESTED, 32},
        {RFT_THREAD_STATUS, 24},
        {RFT_STR_ASCII_SIZE, 40},
        {RFT_FRAME_SIZE, 88},
    };
    for (unsigned field = 0; field < RFT_FIELD_COUNT; field++) {
        uint32_t slot = order.at[field];
        if (slot >= SLOTS)
            continue;
        uint64_t value = like->at[field] == RFT_NO_FIELD ? 8 : like->at[field];
        for (size_t k = 0; k < sizeof more / sizeof *more; k++) {
            if (more[k].field == field)
                value = more[k].at;
        }
        fake_put(fake, FAKE_BASE + 24 + 8 * slot, value, 8);
    }
}

/* A compact ASCII str; returns its address. */
static inline uint64_t fake_text(struct fake *fake, unsigned number, const char *text)
{
    uint64_t address = FAKE_TEXTS + 0x60 * number;
    fake_field(fake, address, RFT_OBJECT_TYPE, FAKE_TYPES + 0xc0);
    fake_field(fake, address, RFT_STR_LENGTH, strlen(text));
    fake_put(fake, address + fake->layout.at[RFT_STR_STATE], 1 << 2 | 1 << 5 | 1 << 6, 4);
    memcpy(fake->bytes + (address - FAKE_BASE) + 40, text, strlen(text) + 1);
    return address;
}

static inline void fake_code(struct fake *fake, unsigned number, const char *name, int line)
{
    uint64_t address = FAKE_CODES + 0x100 * number, table = FAKE_TEXTS + 0x60 * (8 + number);
    uint64_t text = fake_text(fake, number, name);
    fake_field(fake, address, RFT_OBJECT_TYPE, FAKE_TYPES);
    fake_field(fake, address, RFT_CODE_NAME, text);
    fake_field(fake, address, RFT_CODE_QUALNAME, text);
    fake_field(fake, address, RFT_CODE_FILENAME, FAKE_TEXTS + 0x60 * 2);
    fake_field(fake, address, RFT_CODE_LINETABLE, table);
    fake_put(fake, address + fake->layout.at[RFT_CODE_FIRSTLINE], (uint64_t)line, 4);
    /* Eight code units on the next line, columns 4 to 9. */
    static const unsigned char entries[] = {0x80 | 11 << 3 | 7, 4, 9};
    fake_field(fake, table, RFT_BYTES_COUNT, sizeof entries);
    memcpy(fake->bytes + (table - FAKE_BASE) + fake->layout.at[RFT_BYTES_DATA], entries,
           sizeof entries);
}

static inline void fake_frame(struct fake *fake, uint64_t address, uint64_t previous, unsigned code)
{
    uint64_t object = FAKE_CODES + 0x100 * code;
    fake_field(fake, address, RFT_FRAME_PREVIOUS, previous);
    fake_field(fake, address, RFT_FRAME_EXECUTABLE, object);
    fake_field(fake, address, RFT_FRAME_INSTR, object + fake->layout.at[RFT_CODE_ADAPTIVE] + 4);
    fake_put(fake, address + fake->layout.at[RFT_FRAME_OWNER], 0, 1);
}

/* minor: 12 or 15. */
static inline void fake_cpython(struct fake *fake, unsigned minor)
{
    memset(fake, 0, sizeof *fake);
    struct rft_layout like;
    rft_layout_table(12, false, &like);
    fake->layout = like;
    if (minor == 15) {
        fake_table(fake, &like);
        rft_layout_parse(fake->bytes, 1024, &fake->layout);
    }
    fake_field(fake, FAKE_RUNTIME, RFT_RUNTIME_INTERPRETERS, FAKE_INTERP);
    fake_field(fake, FAKE_RUNTIME, RFT_RUNTIME_MAIN, FAKE_INTERP);
    fake_field(fake, FAKE_INTERP, RFT_INTERP_THREADS, FAKE_THREAD_2);
    fake_field(fake, FAKE_INTERP, RFT_INTERP_GIL, FAKE_GIL);
    fake_field(fake, FAKE_INTERP, RFT_INTERP_SYSDICT, FAKE_SYSDICT);
    fake_put(fake, FAKE_GIL + 8, FAKE_THREAD_1, 8);
    fake_put(fake, FAKE_GIL + 16, 1, 4);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t thread = i ? FAKE_THREAD_2 : FAKE_THREAD_1;
        uint64_t cframe = i ? FAKE_CFRAME_2 : FAKE_CFRAME_1;
        uint64_t top = i ? FAKE_INNER : 0;
        fake_field(fake, thread, RFT_THREAD_INTERP, FAKE_INTERP);
        fake_field(fake, thread, RFT_THREAD_ID, 1000 + i);
        fake_field(fake, thread, RFT_THREAD_UNIQUE_ID, i + 1);
        fake_field(fake, thread, RFT_THREAD_NATIVE_ID, 100 + i);
        if (minor == 12) {
            fake_field(fake, thread, RFT_THREAD_CFRAME, cframe);
            fake_put(fake, cframe, top, 8);
        } else {
            fake_field(fake, thread, RFT_THREAD_FRAME, top);
            fake_field(fake, thread, RFT_THREAD_BASE_FRAME, i ? FAKE_OUTER : 0);
        }
    }
    fake_field(fake, FAKE_THREAD_2, RFT_THREAD_NEXT, FAKE_THREAD_1);
    fake_field(fake, FAKE_THREAD_1, RFT_THREAD_PREV, FAKE_THREAD_2);
    fake_field(fake, FAKE_THREAD_2, RFT_THREAD_DATASTACK, FAKE_CHUNK);
    fake_field(fake, FAKE_THREAD_2, RFT_THREAD_DATASTACK_TOP, FAKE_CHUNK + 0x140);
    fake_put(fake, FAKE_CHUNK + 8, 0x400, 8);

    fake_field(fake, FAKE_TYPES, RFT_TYPE_NAME, FAKE_TEXTS + 0x60 * 6);
    memcpy(fake->bytes + (FAKE_TEXTS + 0x60 * 6 - FAKE_BASE), "code", 5);
    fake_field(fake, FAKE_TYPES + 0xc0, RFT_TYPE_FLAGS, 1u << 28);
    fake_text(fake, 2, "fake.py");
    fake_code(fake, 0, "outer", 10);
    fake_code(fake, 1, "inner", 20);
    fake_frame(fake, FAKE_OUTER, 0, 0);
    fake_frame(fake, FAKE_INNER, FAKE_OUTER, 1);

    /* sys.hexversion: a dict of one entry with str keys. */
    uint64_t number = FAKE_TEXTS + 0x60 * 5;
    fake_field(fake, number, RFT_LONG_TAG, 1u << 3);
    fake_put(fake, number + fake->layout.at[RFT_LONG_DIGIT], 3u << 24 | minor << 16 | 0x2f0, 4);
    fake_field(fake, FAKE_SYSDICT, RFT_DICT_KEYS, FAKE_KEYS);
    fake_put(fake, FAKE_KEYS + 8, 3 | 3 << 8 | 1 << 16, 4); /* sizes, kind: str keys */
    fake_put(fake, FAKE_KEYS + 24, 1, 8);
    fake_put(fake, FAKE_KEYS + 40, fake_text(fake, 4, "hexversion"), 8);
    fake_put(fake, FAKE_KEYS + 48, number, 8);
}

#endif

/* Where fields lie in CPythons that do not tell: 3.8 to 3.12.
 *
 * Made by a program of offsetof()s, compiled against each version's internal headers
 * (Py_BUILD_CORE); docs/HACKING.md has the steps. Release, Py_DEBUG and Py_REF_DEBUG builds
 * give the same numbers for everything here, x86-64 and aarch64 too (both LP64 with the same
 * alignments). --with-trace-refs builds have objects that are 16 bytes larger at their
 * front, and otherwise the same. Within a minor version these structures do not change after
 * its first release; each target is checked before its table is believed (discover.c). */
#include "layout/derive.h"

#include <string.h>

#define NONE RFT_NO_FIELD

enum { FIRST_MINOR = 8, LAST_MINOR = 12, MINORS = LAST_MINOR - FIRST_MINOR + 1 };

/* clang-format off */
static const struct {
    uint8_t field;
    uint32_t at[MINORS];
} rows[] = {
    /*                     3.8  3.9  3.10 3.11 3.12 */
    {RFT_RUNTIME_FINALIZING, {16, 16, 16, 24, 24}},
    {RFT_RUNTIME_INTERPRETERS, {32, 32, 32, 40, 40}},
    {RFT_RUNTIME_MAIN, {40, 40, 40, 48, 48}},
    {RFT_RUNTIME_GIL, {1152, 352, 352, 360, NONE}},
    {RFT_RUNTIME_GIL_REQUEST, {596, NONE, NONE, NONE, NONE}},
    {RFT_RUNTIME_GC, {344, NONE, NONE, NONE, NONE}},
    {RFT_INTERP_ID, {16, 24, 24, 48, 8}},
    {RFT_INTERP_NEXT, {0, 0, 0, 0, 0}},
    {RFT_INTERP_THREADS, {8, 8, 8, 16, 72}},
    {RFT_INTERP_MODULES, {56, 856, 856, 888, 944}},
    {RFT_INTERP_SYSDICT, {72, 872, 872, 904, 352}},
    {RFT_INTERP_BUILTINS, {80, 880, 880, 912, 360}},
    {RFT_INTERP_FINALIZING_FLAG, {48, 56, 56, 84, 44}},
    {RFT_INTERP_GC, {NONE, 616, 616, 648, 112}},
    {RFT_INTERP_GIL_REQUEST, {NONE, 76, 72, 104, 372}},
    {RFT_INTERP_GIL, {NONE, NONE, NONE, NONE, 384}},
    {RFT_INTERP_FINALIZING, {NONE, NONE, NONE, NONE, 104}},
    {RFT_GC_COLLECTING, {200, 200, 200, 200, 200}},
    {RFT_GC_GENERATIONS, {24, 24, 24, 24, 24}},
    {RFT_GIL_HOLDER, {8, 8, 8, 8, 8}},
    {RFT_GIL_LOCKED, {16, 16, 16, 16, 16}},
    {RFT_GIL_SWITCHES, {24, 24, 24, 24, 24}},
    {RFT_THREAD_SIZE, {264, 264, 280, 360, 288}},
    {RFT_THREAD_PREV, {0, 0, 0, 0, 0}},
    {RFT_THREAD_NEXT, {8, 8, 8, 8, 8}},
    {RFT_THREAD_INTERP, {16, 16, 16, 16, 16}},
    {RFT_THREAD_FRAME, {24, 24, 24, NONE, NONE}},
    {RFT_THREAD_ID, {176, 176, 176, 152, 136}},
    {RFT_THREAD_EXCEPTION, {96, 96, 96, 104, 96}},
    {RFT_THREAD_EXC_TYPE, {88, 88, 88, 96, NONE}},
    {RFT_THREAD_EXC_INFO, {144, 144, 144, 120, 104}},
    {RFT_THREAD_EXC_STATE, {112, 112, 112, 320, 256}},
    {RFT_THREAD_DICT, {152, 152, 152, 128, 112}},
    {RFT_THREAD_UNIQUE_ID, {256, 256, 256, 240, 224}},
    {RFT_THREAD_CFRAME, {NONE, NONE, NONE, 56, 56}},
    {RFT_THREAD_NATIVE_ID, {NONE, NONE, NONE, 160, 144}},
    {RFT_THREAD_DATASTACK, {NONE, NONE, NONE, 296, 232}},
    {RFT_THREAD_DATASTACK_TOP, {NONE, NONE, NONE, 304, 240}},
    {RFT_THREAD_STATUS, {NONE, NONE, NONE, NONE, 24}},
    {RFT_CFRAME_FRAME, {NONE, NONE, NONE, 8, 0}},
    {RFT_ERR_EXC_VALUE, {8, 8, 8, 0, 0}},
    {RFT_FRAME_SIZE, {360, 360, 352, 72, 72}},
    {RFT_FRAME_PREVIOUS, {24, 24, 24, 48, 8}},
    {RFT_FRAME_EXECUTABLE, {32, 32, 32, 32, 0}},
    {RFT_FRAME_LOCALS, {360, 360, 352, 72, 72}},
    {RFT_FRAME_LASTI, {104, 104, 96, NONE, NONE}},
    {RFT_FRAME_TRACE, {80, 80, 72, NONE, NONE}},
    {RFT_FRAME_STACKPOINTER, {72, 72, 80, 64, 64}},
    {RFT_FRAME_INSTR, {NONE, NONE, NONE, 56, 56}},
    {RFT_FRAME_OWNER, {NONE, NONE, NONE, 69, 70}},
    {RFT_FRAME_FUNCTION, {NONE, NONE, NONE, 0, 16}},
    {RFT_CODE_SIZE, {176, 176, 176, 192, 200}},
    {RFT_CODE_FILENAME, {104, 104, 104, 112, 112}},
    {RFT_CODE_NAME, {112, 112, 112, 120, 120}},
    {RFT_CODE_FIRSTLINE, {40, 40, 40, 72, 68}},
    {RFT_CODE_ARGCOUNT, {16, 16, 16, 56, 52}},
    {RFT_CODE_KWONLY, {24, 24, 24, 64, 60}},
    {RFT_CODE_FLAGS, {36, 36, 36, 48, 48}},
    {RFT_CODE_LINETABLE, {120, 120, 120, 136, 136}},
    {RFT_CODE_BYTECODE, {48, 48, 48, NONE, NONE}},
    {RFT_CODE_VARNAMES, {72, 72, 72, NONE, NONE}},
    {RFT_CODE_CELLVARS, {88, 88, 88, NONE, NONE}},
    {RFT_CODE_FREEVARS, {80, 80, 80, NONE, NONE}},
    {RFT_CODE_NLOCALS, {28, 28, 28, NONE, NONE}},
    {RFT_CODE_STACKSIZE, {32, 32, 32, 68, 64}},
    {RFT_CODE_QUALNAME, {NONE, NONE, NONE, 128, 128}},
    {RFT_CODE_LOCALNAMES, {NONE, NONE, NONE, 96, 96}},
    {RFT_CODE_LOCALKINDS, {NONE, NONE, NONE, 104, 104}},
    {RFT_CODE_ADAPTIVE, {NONE, NONE, NONE, 184, 192}},
    {RFT_CODE_NLOCALSPLUS, {NONE, NONE, NONE, 76, 72}},
    {RFT_CODE_FIRSTTRACEABLE, {NONE, NONE, NONE, 168, 176}},
    {RFT_CODE_VERSION, {NONE, NONE, NONE, NONE, 92}},
    {RFT_OBJECT_SIZE, {16, 16, 16, 16, 16}},
    {RFT_OBJECT_TYPE, {8, 8, 8, 8, 8}},
    {RFT_TYPE_SIZE, {416, 408, 408, 408, 416}},
    {RFT_TYPE_NAME, {24, 24, 24, 24, 24}},
    {RFT_TYPE_REPR, {88, 88, 88, 88, 88}},
    {RFT_TYPE_FLAGS, {168, 168, 168, 168, 168}},
    {RFT_TYPE_BASICSIZE, {32, 32, 32, 32, 32}},
    {RFT_TYPE_DICTOFFSET, {288, 288, 288, 288, 288}},
    {RFT_HEAPTYPE_SIZE, {880, 880, 888, 904, 920}},
    {RFT_HEAPTYPE_CACHED_KEYS, {872, 864, 872, 872, 880}},
    {RFT_TUPLE_SIZE, {32, 32, 32, 32, 32}},
    {RFT_TUPLE_ITEM, {24, 24, 24, 24, 24}},
    {RFT_TUPLE_COUNT, {16, 16, 16, 16, 16}},
    {RFT_LIST_SIZE, {40, 40, 40, 40, 40}},
    {RFT_LIST_ITEM, {24, 24, 24, 24, 24}},
    {RFT_LIST_COUNT, {16, 16, 16, 16, 16}},
    {RFT_SET_SIZE, {200, 200, 200, 200, 200}},
    {RFT_SET_USED, {24, 24, 24, 24, 24}},
    {RFT_SET_TABLE, {40, 40, 40, 40, 40}},
    {RFT_SET_MASK, {32, 32, 32, 32, 32}},
    {RFT_DICT_SIZE, {48, 48, 48, 48, 48}},
    {RFT_DICT_KEYS, {32, 32, 32, 32, 32}},
    {RFT_DICT_VALUES, {40, 40, 40, 40, 40}},
    {RFT_FLOAT_SIZE, {24, 24, 24, 24, 24}},
    {RFT_FLOAT_VALUE, {16, 16, 16, 16, 16}},
    {RFT_LONG_SIZE, {32, 32, 32, 32, 32}},
    {RFT_LONG_TAG, {16, 16, 16, 16, 16}},
    {RFT_LONG_DIGIT, {24, 24, 24, 24, 24}},
    {RFT_BYTES_SIZE, {40, 40, 40, 40, 40}},
    {RFT_BYTES_COUNT, {16, 16, 16, 16, 16}},
    {RFT_BYTES_DATA, {32, 32, 32, 32, 32}},
    {RFT_STR_SIZE, {80, 80, 80, 80, 64}},
    {RFT_STR_STATE, {32, 32, 32, 32, 32}},
    {RFT_STR_LENGTH, {16, 16, 16, 16, 16}},
    {RFT_STR_ASCII_SIZE, {48, 48, 48, 48, 40}},
    {RFT_STR_COMPACT_SIZE, {72, 72, 72, 72, 56}},
};
/* clang-format on */

/* Fields of objects: they move with the size of the object header. */
static bool is_of_object(unsigned field)
{
    static const struct {
        uint8_t first, last;
    } ranges[] = {
        {RFT_CODE_SIZE, RFT_STR_COMPACT_SIZE},
        {RFT_CODE_FLAGS, RFT_CODE_NLOCALS},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (field >= ranges[i].first && field <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* Fields of PyFrameObject, which is an object up to 3.10 only. */
static bool is_of_frame(unsigned field)
{
    return (field >= RFT_FRAME_SIZE && field <= RFT_FRAME_TLBC) || field == RFT_FRAME_LASTI ||
           field == RFT_FRAME_TRACE;
}

bool rft_layout_table(unsigned minor, bool trace_refs, struct rft_layout *out)
{
    if (minor < FIRST_MINOR || minor > LAST_MINOR) {
        return false;
    }
    memset(out, 0, sizeof *out);
    out->version = 3u << 24 | minor << 16;
    for (size_t i = 0; i < RFT_FIELD_COUNT; i++) {
        out->at[i] = RFT_NO_FIELD;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t value = rows[i].at[minor - FIRST_MINOR];
        if (value != RFT_NO_FIELD && trace_refs &&
            (is_of_object(rows[i].field) || (minor <= 10 && is_of_frame(rows[i].field)))) {
            value += 16;
        }
        out->at[rows[i].field] = value;
    }
    rft_layout_derive(out);
    /* Strings had a wchar_t form until 3.11: `wstr` and `wstr_length`. */
    out->str_ascii_size = out->at[RFT_STR_ASCII_SIZE];
    out->str_compact_size = out->at[RFT_STR_COMPACT_SIZE];
    out->str_utf8 = out->str_ascii_size + 8;
    out->str_data_any = out->str_compact_size;
    out->ht_cached_keys = out->at[RFT_HEAPTYPE_CACHED_KEYS];
    out->ht_qualname = out->ht_cached_keys - 8;
    out->code_stacksize = out->at[RFT_CODE_STACKSIZE];
    out->code_nlocalsplus = out->at[RFT_CODE_NLOCALSPLUS];
    return true;
}

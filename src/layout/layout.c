#include "layout/layout.h"

#include "layout/derive.h"

#include <string.h>

/* One row per field group, in the order of the headers:
 * 3.13 Include/internal/pycore_runtime.h, 3.14 and 3.15
 * Include/internal/pycore_debug_offsets.h. */
#define INTERP_HEAD RFT_INTERP_SIZE, RFT_INTERP_ID, RFT_INTERP_NEXT, RFT_INTERP_THREADS
#define INTERP_TAIL                                                                                \
    RFT_INTERP_GC, RFT_INTERP_MODULES, RFT_INTERP_SYSDICT, RFT_INTERP_BUILTINS, RFT_INTERP_GIL,    \
        RFT_INTERP_GIL_STATE, RFT_INTERP_GIL_ENABLED, RFT_INTERP_GIL_LOCKED, RFT_INTERP_GIL_HOLDER
#define RUNTIME RFT_RUNTIME_SIZE, RFT_RUNTIME_FINALIZING, RFT_RUNTIME_INTERPRETERS
#define THREAD_HEAD                                                                                \
    RFT_THREAD_SIZE, RFT_THREAD_PREV, RFT_THREAD_NEXT, RFT_THREAD_INTERP, RFT_THREAD_FRAME
#define THREAD_TAIL RFT_THREAD_ID, RFT_THREAD_NATIVE_ID, RFT_THREAD_DATASTACK, RFT_THREAD_STATUS
#define FRAME                                                                                      \
    RFT_FRAME_SIZE, RFT_FRAME_PREVIOUS, RFT_FRAME_EXECUTABLE, RFT_FRAME_INSTR, RFT_FRAME_LOCALS,   \
        RFT_FRAME_OWNER
#define CODE                                                                                       \
    RFT_CODE_SIZE, RFT_CODE_FILENAME, RFT_CODE_NAME, RFT_CODE_QUALNAME, RFT_CODE_LINETABLE,        \
        RFT_CODE_FIRSTLINE, RFT_CODE_ARGCOUNT, RFT_CODE_LOCALNAMES, RFT_CODE_LOCALKINDS,           \
        RFT_CODE_ADAPTIVE
#define OBJECT_TYPE                                                                                \
    RFT_OBJECT_SIZE, RFT_OBJECT_TYPE, RFT_TYPE_SIZE, RFT_TYPE_NAME, RFT_TYPE_REPR, RFT_TYPE_FLAGS
#define TUPLE_LIST                                                                                 \
    RFT_TUPLE_SIZE, RFT_TUPLE_ITEM, RFT_TUPLE_COUNT, RFT_LIST_SIZE, RFT_LIST_ITEM, RFT_LIST_COUNT
#define SET RFT_SET_SIZE, RFT_SET_USED, RFT_SET_TABLE, RFT_SET_MASK
#define DICT_TO_STR                                                                                \
    RFT_DICT_SIZE, RFT_DICT_KEYS, RFT_DICT_VALUES, RFT_FLOAT_SIZE, RFT_FLOAT_VALUE, RFT_LONG_SIZE, \
        RFT_LONG_TAG, RFT_LONG_DIGIT, RFT_BYTES_SIZE, RFT_BYTES_COUNT, RFT_BYTES_DATA,             \
        RFT_STR_SIZE, RFT_STR_STATE, RFT_STR_LENGTH, RFT_STR_ASCII_SIZE
#define GC RFT_GC_SIZE, RFT_GC_COLLECTING
#define GEN_TO_DEBUG                                                                               \
    RFT_GEN_SIZE, RFT_GEN_NAME, RFT_GEN_IFRAME, RFT_GEN_STATE, RFT_LLIST_NEXT, RFT_LLIST_PREV,     \
        RFT_DEBUG_EVAL_BREAKER, RFT_DEBUG_SUPPORT, RFT_DEBUG_ENABLED, RFT_DEBUG_PENDING,           \
        RFT_DEBUG_PATH, RFT_DEBUG_PATH_SIZE

static const uint8_t fields_3_13[] = {
    RUNTIME, INTERP_HEAD, INTERP_TAIL, THREAD_HEAD, THREAD_TAIL, FRAME,
    CODE,    OBJECT_TYPE, TUPLE_LIST,  DICT_TO_STR, GC,
};
static const uint8_t fields_3_14[] = {
    RUNTIME,
    INTERP_HEAD,
    RFT_INTERP_THREADS_MAIN,
    INTERP_TAIL,
    RFT_INTERP_CODE_GENERATION,
    RFT_INTERP_TLBC_GENERATION,
    THREAD_HEAD,
    THREAD_TAIL,
    FRAME,
    RFT_FRAME_STACKPOINTER,
    RFT_FRAME_TLBC,
    CODE,
    RFT_CODE_TLBC,
    OBJECT_TYPE,
    TUPLE_LIST,
    SET,
    DICT_TO_STR,
    GC,
    GEN_TO_DEBUG,
};
static const uint8_t fields_3_15[] = {
    RUNTIME,
    INTERP_HEAD,
    RFT_INTERP_THREADS_MAIN,
    INTERP_TAIL,
    RFT_INTERP_CODE_GENERATION,
    RFT_INTERP_TLBC_GENERATION,
    THREAD_HEAD,
    RFT_THREAD_BASE_FRAME,
    RFT_THREAD_LAST_PROFILED,
    RFT_THREAD_LAST_PROFILED_SEQ,
    THREAD_TAIL,
    RFT_THREAD_HOLDS_GIL,
    RFT_THREAD_GIL_REQUESTED,
    RFT_THREAD_EXCEPTION,
    RFT_THREAD_EXC_STATE,
    RFT_ERR_EXC_VALUE,
    FRAME,
    RFT_FRAME_STACKPOINTER,
    RFT_FRAME_TLBC,
    CODE,
    RFT_CODE_TLBC,
    OBJECT_TYPE,
    RFT_TYPE_BASICSIZE,
    RFT_TYPE_DICTOFFSET,
    RFT_HEAPTYPE_SIZE,
    RFT_HEAPTYPE_CACHED_KEYS,
    TUPLE_LIST,
    SET,
    DICT_TO_STR,
    RFT_STR_COMPACT_SIZE,
    GC,
    RFT_GC_FRAME,
    RFT_GC_STATS_SIZE,
    RFT_GC_STATS,
    GEN_TO_DEBUG,
};
_Static_assert(RFT_FIELD_COUNT <= UINT8_MAX, "field numbers must fit the tables' bytes");

static const struct {
    uint32_t minor;
    const uint8_t *fields;
    size_t count;
} versions[] = {
    {13, fields_3_13, sizeof fields_3_13},
    {14, fields_3_14, sizeof fields_3_14},
    {15, fields_3_15, sizeof fields_3_15},
};
/* Sizes of the tables in bytes: cookie, version and free_threaded come first. */
_Static_assert(24 + 8 * sizeof fields_3_13 == 584, "3.13's table is 584 bytes");
_Static_assert(24 + 8 * sizeof fields_3_14 == 760, "3.14's table is 760 bytes");
_Static_assert(24 + 8 * sizeof fields_3_15 == 888, "3.15's table is 888 bytes");

static uint64_t word_at(const unsigned char *bytes, size_t offset)
{
    uint64_t value;
    memcpy(&value, bytes + offset, sizeof value);
    return value;
}

/* Fields that are used, with the structure that they must lie in. */
static const struct {
    uint8_t field, within, align, bytes;
} checks[] = {
    {RFT_RUNTIME_FINALIZING, RFT_RUNTIME_SIZE, 8, 8},
    {RFT_RUNTIME_INTERPRETERS, RFT_RUNTIME_SIZE, 8, 8},
    {RFT_INTERP_ID, RFT_INTERP_SIZE, 8, 8},
    {RFT_INTERP_NEXT, RFT_INTERP_SIZE, 8, 8},
    {RFT_INTERP_THREADS, RFT_INTERP_SIZE, 8, 8},
    {RFT_THREAD_INTERP, RFT_THREAD_SIZE, 8, 8},
    {RFT_THREAD_FRAME, RFT_THREAD_SIZE, 8, 8},
    {RFT_THREAD_NATIVE_ID, RFT_THREAD_SIZE, 8, 8},
    {RFT_FRAME_PREVIOUS, RFT_FRAME_SIZE, 8, 8},
    {RFT_FRAME_EXECUTABLE, RFT_FRAME_SIZE, 8, 8},
    {RFT_FRAME_INSTR, RFT_FRAME_SIZE, 8, 8},
    {RFT_FRAME_OWNER, RFT_FRAME_SIZE, 1, 1},
    {RFT_FRAME_LOCALS, RFT_FRAME_SIZE, 8, 8},
    {RFT_CODE_FILENAME, RFT_CODE_SIZE, 8, 8},
    {RFT_CODE_QUALNAME, RFT_CODE_SIZE, 8, 8},
    {RFT_CODE_LINETABLE, RFT_CODE_SIZE, 8, 8},
    {RFT_CODE_FIRSTLINE, RFT_CODE_SIZE, 4, 4},
    {RFT_CODE_ADAPTIVE, RFT_CODE_SIZE, 2, 2},
    {RFT_OBJECT_TYPE, RFT_OBJECT_SIZE, 8, 8},
    {RFT_TYPE_NAME, RFT_TYPE_SIZE, 8, 8},
    {RFT_TYPE_FLAGS, RFT_TYPE_SIZE, 8, 8},
    {RFT_DICT_KEYS, RFT_DICT_SIZE, 8, 8},
    {RFT_DICT_VALUES, RFT_DICT_SIZE, 8, 8},
    {RFT_LONG_TAG, RFT_LONG_SIZE, 8, 8},
    {RFT_LIST_COUNT, RFT_LIST_SIZE, 8, 8},
    {RFT_STR_STATE, RFT_STR_SIZE, 4, 4},
    {RFT_STR_LENGTH, RFT_STR_SIZE, 8, 8},
    {RFT_BYTES_DATA, RFT_BYTES_SIZE, 1, 1},
};

static const char *check_fields(const struct rft_layout *layout)
{
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        uint32_t at = layout->at[checks[i].field];
        uint32_t size = layout->at[checks[i].within];
        if (at == RFT_NO_FIELD || size == RFT_NO_FIELD || size > (1u << 24) || at > size ||
            size - at < checks[i].bytes || at % checks[i].align != 0) {
            return "its table of offsets makes no sense";
        }
    }
    return NULL;
}

bool rft_layout_is_table(const void *memory, size_t size)
{
    const unsigned char *bytes = memory;
    if (size < 48 || memcmp(bytes, "xdebugpy", 8) != 0) {
        return false;
    }
    uint64_t version = word_at(bytes, 8), free_threaded = word_at(bytes, 16);
    uint64_t level = version >> 4 & 15; /* alpha, beta, candidate, final */
    bool released = level == 10 || level == 11 || level == 12 || level == 15;
    /* _runtime_state comes first: its size, and where two of its fields lie. */
    uint64_t runtime = word_at(bytes, 24);
    return version >> 24 == 3 && (version >> 16 & 255) >= versions[0].minor && released &&
           free_threaded <= 1 && runtime < (1u << 24) && word_at(bytes, 32) < runtime &&
           word_at(bytes, 40) < runtime;
}

bool rft_layout_knows(uint32_t version)
{
    for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
        if (version >> 16 == (3u << 8 | versions[v].minor)) {
            return true;
        }
    }
    return false;
}

const char *rft_layout_parse(const void *memory, size_t size, struct rft_layout *out)
{
    const unsigned char *bytes = memory;
    memset(out, 0, sizeof *out);
    if (size < 24 || memcmp(bytes, "xdebugpy", 8) != 0) {
        return "its runtime does not begin with CPython's table of offsets";
    }
    uint64_t version = word_at(bytes, 8);
    out->version = (uint32_t)version;
    out->free_threaded = word_at(bytes, 16) != 0;
    for (size_t i = 0; i < RFT_FIELD_COUNT; i++) {
        out->at[i] = RFT_NO_FIELD;
    }
    for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
        if (version >> 16 != (3u << 8 | versions[v].minor)) {
            continue;
        }
        if (size < 24 + 8 * versions[v].count) {
            return "its table of offsets is cut short";
        }
        for (size_t i = 0; i < versions[v].count; i++) {
            uint64_t value = word_at(bytes, 24 + 8 * i);
            if (value >= RFT_NO_FIELD) {
                return "its table of offsets makes no sense";
            }
            out->at[versions[v].fields[i]] = (uint32_t)value;
        }
        const char *error = check_fields(out);
        if (error == NULL) {
            rft_layout_derive(out);
            rft_layout_derive_walk(out, versions[v].minor);
            if (out->at[RFT_TYPE_FLAGS] != out->at[RFT_TYPE_NAME] + 144) {
                error = "its type objects have an unknown shape";
            }
        }
        return error;
    }
    return "this CPython version is not known to this reftracer";
}

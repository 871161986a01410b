/* Where CPython's fields are.
 *
 * Up to 3.12 they stand in a table of ours (tables.c): rft_layout_table().
 * From 3.13 on every CPython carries a table of its own offsets at the start
 * of _PyRuntime (_Py_DebugOffsets, Include/internal/pycore_debug_offsets.h).
 * rft_layout_parse() reads that table, checks every entry that we use once,
 * and from then on the rest of the code uses rft_layout.at[] freely.
 *
 * To add a CPython version: add its table of fields to layout.c (the order in
 * which its header declares them), one row to versions[], and where the fields lie
 * that it does not tell to derive_walk() (derive.c). A field that no
 * older version has gets a new name in RFT_FIELDS below. An unknown version is
 * refused by name: offsets are never guessed. */
#ifndef RFT_LAYOUT_H
#define RFT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME): fields that the tables may give. */
/* clang-format off */
#define RFT_FIELDS(X) \
    X(RUNTIME_SIZE) X(RUNTIME_FINALIZING) X(RUNTIME_INTERPRETERS) \
    X(INTERP_SIZE) X(INTERP_ID) X(INTERP_NEXT) X(INTERP_THREADS) X(INTERP_THREADS_MAIN) \
    X(INTERP_GC) X(INTERP_MODULES) X(INTERP_SYSDICT) X(INTERP_BUILTINS) X(INTERP_GIL) \
    X(INTERP_GIL_STATE) X(INTERP_GIL_ENABLED) X(INTERP_GIL_LOCKED) X(INTERP_GIL_HOLDER) \
    X(INTERP_CODE_GENERATION) X(INTERP_TLBC_GENERATION) \
    X(THREAD_SIZE) X(THREAD_PREV) X(THREAD_NEXT) X(THREAD_INTERP) X(THREAD_FRAME) \
    X(THREAD_BASE_FRAME) X(THREAD_LAST_PROFILED) X(THREAD_LAST_PROFILED_SEQ) \
    X(THREAD_ID) X(THREAD_NATIVE_ID) X(THREAD_DATASTACK) X(THREAD_STATUS) \
    X(THREAD_HOLDS_GIL) X(THREAD_GIL_REQUESTED) X(THREAD_EXCEPTION) X(THREAD_EXC_STATE) \
    X(ERR_EXC_VALUE) \
    X(FRAME_SIZE) X(FRAME_PREVIOUS) X(FRAME_EXECUTABLE) X(FRAME_INSTR) \
    X(FRAME_LOCALS) X(FRAME_OWNER) X(FRAME_STACKPOINTER) X(FRAME_TLBC) \
    X(CODE_SIZE) X(CODE_FILENAME) X(CODE_NAME) X(CODE_QUALNAME) X(CODE_LINETABLE) \
    X(CODE_FIRSTLINE) X(CODE_ARGCOUNT) X(CODE_LOCALNAMES) X(CODE_LOCALKINDS) \
    X(CODE_ADAPTIVE) X(CODE_TLBC) \
    X(OBJECT_SIZE) X(OBJECT_TYPE) \
    X(TYPE_SIZE) X(TYPE_NAME) X(TYPE_REPR) X(TYPE_FLAGS) X(TYPE_BASICSIZE) X(TYPE_DICTOFFSET) \
    X(HEAPTYPE_SIZE) X(HEAPTYPE_CACHED_KEYS) \
    X(TUPLE_SIZE) X(TUPLE_ITEM) X(TUPLE_COUNT) \
    X(LIST_SIZE) X(LIST_ITEM) X(LIST_COUNT) \
    X(SET_SIZE) X(SET_USED) X(SET_TABLE) X(SET_MASK) \
    X(DICT_SIZE) X(DICT_KEYS) X(DICT_VALUES) \
    X(FLOAT_SIZE) X(FLOAT_VALUE) \
    X(LONG_SIZE) X(LONG_TAG) X(LONG_DIGIT) \
    X(BYTES_SIZE) X(BYTES_COUNT) X(BYTES_DATA) \
    X(STR_SIZE) X(STR_STATE) X(STR_LENGTH) X(STR_ASCII_SIZE) X(STR_COMPACT_SIZE) \
    X(GC_SIZE) X(GC_COLLECTING) X(GC_FRAME) X(GC_STATS_SIZE) X(GC_STATS) \
    X(GEN_SIZE) X(GEN_NAME) X(GEN_IFRAME) X(GEN_STATE) \
    X(LLIST_NEXT) X(LLIST_PREV) \
    X(DEBUG_EVAL_BREAKER) X(DEBUG_SUPPORT) X(DEBUG_ENABLED) X(DEBUG_PENDING) \
    X(DEBUG_PATH) X(DEBUG_PATH_SIZE) \
    /* What no target's own table has: from tables.c up to 3.12, derived from its neighbours \
     * since. GIL_ fields are relative to struct _gil_runtime_state, CFRAME_ to _PyCFrame. */ \
    X(RUNTIME_MAIN) X(RUNTIME_GIL) X(RUNTIME_GIL_REQUEST) X(RUNTIME_GC) \
    X(INTERP_GIL_REQUEST) X(INTERP_FINALIZING) X(INTERP_FINALIZING_FLAG) X(GC_GENERATIONS) \
    X(GIL_ENABLED) X(GIL_HOLDER) X(GIL_LOCKED) X(GIL_SWITCHES) \
    X(THREAD_CFRAME) X(CFRAME_FRAME) X(THREAD_DATASTACK_TOP) X(THREAD_STATE) \
    X(THREAD_EVAL_BREAKER) X(THREAD_EXC_TYPE) X(THREAD_EXC_INFO) X(THREAD_DICT) \
    X(THREAD_UNIQUE_ID) X(FRAME_FUNCTION) X(FRAME_LASTI) X(FRAME_TRACE) \
    X(CODE_FLAGS) X(CODE_KWONLY) X(CODE_STACKSIZE) X(CODE_NLOCALSPLUS) X(CODE_FIRSTTRACEABLE) \
    X(CODE_VERSION) X(CODE_BYTECODE) X(CODE_VARNAMES) X(CODE_CELLVARS) X(CODE_FREEVARS) \
    X(CODE_NLOCALS)
/* clang-format on */

#define RFT_FIELD_ENUM(name) RFT_##name,
enum rft_field { RFT_FIELDS(RFT_FIELD_ENUM) RFT_FIELD_COUNT };

/* The value of a field that this version's table lacks. */
#define RFT_NO_FIELD UINT32_MAX

struct rft_layout {
    uint32_t version; /* PY_VERSION_HEX */
    bool free_threaded;
    uint32_t at[RFT_FIELD_COUNT];

    /* Not in CPython's table; derived, and the same since 3.8 relative to
     * tp_name (Include/cpython/object.h, struct _typeobject). */
    uint32_t tp_basicsize, tp_itemsize, tp_base, tp_dict, tp_finalize;
    uint32_t ht_qualname, ht_cached_keys, ht_tpname;
    uint32_t list_allocated;
    uint32_t set_mask, set_table, set_small;
    uint32_t str_utf8, str_data_any; /* PyCompactUnicodeObject.utf8, PyUnicodeObject.data */
    uint32_t str_ascii_size, str_compact_size;
    uint32_t str_kind_shift; /* of the 3-bit kind in the state word */
    uint32_t bytearray_alloc;
    uint32_t gen_state;                        /* _PyGenObject.gi_frame_state */
    int gen_cleared;                           /* its value from which on nothing is left to run */
    uint32_t code_stacksize, code_nlocalsplus; /* int fields around co_firstlineno */
};

/* Reads the table of offsets at the start of a _PyRuntime.
 * bytes, size: memory at _PyRuntime; 1 KiB is enough for every known version.
 * Returns NULL on success, else a static text that says what is wrong; *out is
 * then undefined. Nothing in the table is trusted: each field that is used
 * must lie inside of its structure and be aligned. */
const char *rft_layout_parse(const void *bytes, size_t size, struct rft_layout *out);

/* Whether these bytes are a table of offsets by its first words, of a known version or of one that
 * is to come: the cookie alone stands wherever a program looks for it. */
bool rft_layout_is_table(const void *bytes, size_t size);

/* Whether rft_layout_parse() knows the tables of this version (PY_VERSION_HEX). */
bool rft_layout_knows(uint32_t version);

/* The layout of a version whose runtime has no table, 3.8 to 3.12.
 * minor: 8 to 12.
 * trace_refs: built --with-trace-refs, where each object begins with two more
 * pointers. Debug builds differ in nothing else that is used here.
 * False: another version; *out is then undefined. */
bool rft_layout_table(unsigned minor, bool trace_refs, struct rft_layout *out);

#endif

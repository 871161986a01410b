#include "layout/derive.h"

void rft_layout_derive(struct rft_layout *layout)
{
    const uint32_t *at = layout->at;
    uint32_t name = at[RFT_TYPE_NAME], object = at[RFT_OBJECT_SIZE];

    layout->tp_basicsize = name + 8;
    layout->tp_itemsize = name + 16;
    layout->tp_base = name + 232;
    layout->tp_dict = name + 240;
    layout->tp_finalize = name + 368;
    /* PyHeapTypeObject: the type, then the tables of async (4), number (36),
     * mapping (3), sequence (10) and buffer (2) slots, then ht_name,
     * ht_slots, ht_qualname, ht_cached_keys, ht_module, _ht_tpname. (3.8 and 3.9
     * have three async slots and no _ht_tpname: not asked for there.) */
    uint32_t ht_name = at[RFT_TYPE_SIZE] + (4 + 36 + 3 + 10 + 2) * 8;
    layout->ht_qualname = ht_name + 16;
    layout->ht_cached_keys = ht_name + 24;
    layout->ht_tpname = ht_name + 40;

    layout->list_allocated = object + 8 + 8; /* ob_size, ob_item, allocated */
    layout->set_mask = object + 16;          /* fill, used, mask, table, hash, finger, smalltable */
    layout->set_table = object + 24;
    layout->set_small = object + 48;
    layout->bytearray_alloc = object + 8;
    layout->str_ascii_size = object + 24; /* length, hash, state and padding */
    layout->str_compact_size = layout->str_ascii_size + 16;
    layout->str_utf8 = layout->str_ascii_size + 8;
    layout->str_data_any = layout->str_compact_size;
    /* Free-threaded builds give "interned" a byte of its own since 3.14. */
    layout->str_kind_shift = layout->free_threaded && layout->version >= 0x030e0000 ? 8 : 2;
    /* weakrefs, name, qualname, exception state (2), origin or finalizer, three flags. */
    layout->gen_state = at[RFT_GEN_STATE] != RFT_NO_FIELD ? at[RFT_GEN_STATE] : object + 51;
    /* FRAME_COMPLETED; since 3.15 there is but FRAME_CLEARED. */
    layout->gen_cleared = layout->version >= 0x030F0000 ? 5 : 1;
    layout->code_stacksize = at[RFT_CODE_FIRSTLINE] - 4;
    layout->code_nlocalsplus = at[RFT_CODE_FIRSTLINE] + 4;
}

/* `field` + `distance`, if the field is there. */
static uint32_t beside(uint32_t field, int distance)
{
    return field == RFT_NO_FIELD ? RFT_NO_FIELD : (uint32_t)((int64_t)field + distance);
}

void rft_layout_derive_walk(struct rft_layout *layout, uint32_t minor)
{
    uint32_t *at = layout->at;

    /* Told as 0 by builds that have none. */
    if (!layout->free_threaded) {
        at[RFT_INTERP_TLBC_GENERATION] = at[RFT_FRAME_TLBC] = at[RFT_CODE_TLBC] = RFT_NO_FIELD;
    }
    /* struct pyinterpreters: head, main, next_id. */
    at[RFT_RUNTIME_MAIN] = beside(at[RFT_RUNTIME_INTERPRETERS], 8);
    /* struct _is: threads {next_unique_id, head, [preallocated,] main, count, stacksize},
     * runtime, _finalizing. That `runtime` is there is checked in each target. */
    at[RFT_INTERP_FINALIZING] = beside(at[RFT_INTERP_THREADS], minor == 13 ? 40 : 48);
    /* struct _gil_runtime_state: [enabled,] interval, last_holder, locked, switch_number. */
    uint32_t gil = at[RFT_INTERP_GIL_STATE];
    if (gil != RFT_NO_FIELD && at[RFT_INTERP_GIL_HOLDER] != RFT_NO_FIELD &&
        at[RFT_INTERP_GIL_LOCKED] != RFT_NO_FIELD) {
        at[RFT_GIL_HOLDER] = at[RFT_INTERP_GIL_HOLDER] - gil;
        at[RFT_GIL_LOCKED] = at[RFT_INTERP_GIL_LOCKED] - gil;
        at[RFT_GIL_SWITCHES] = at[RFT_GIL_LOCKED] + 8;
    }
    at[RFT_GIL_ENABLED] = layout->free_threaded ? at[RFT_INTERP_GIL_ENABLED] : RFT_NO_FIELD;

    /* struct _ts (Include/cpython/pystate.h). */
    at[RFT_THREAD_EVAL_BREAKER] = beside(at[RFT_THREAD_INTERP], 8);
    /* _status, [holds_gil 3.14+, gil_requested 3.15+,] _whence, state. */
    at[RFT_THREAD_STATE] = beside(at[RFT_THREAD_STATUS], minor == 13 ? 8 : minor == 14 ? 12 : 16);
    if (minor == 14) {
        at[RFT_THREAD_HOLDS_GIL] = beside(at[RFT_THREAD_STATUS], 4);
    }
    if (at[RFT_THREAD_EXCEPTION] == RFT_NO_FIELD) {
        /* current_frame, two functions and two objects of tracing, current_exception. */
        at[RFT_THREAD_EXCEPTION] = beside(at[RFT_THREAD_FRAME], 40);
    }
    at[RFT_THREAD_EXC_INFO] = beside(at[RFT_THREAD_EXCEPTION], 8);
    at[RFT_THREAD_DICT] = beside(at[RFT_THREAD_EXC_INFO], 8);
    at[RFT_THREAD_DATASTACK_TOP] = beside(at[RFT_THREAD_DATASTACK], 8);
    at[RFT_THREAD_UNIQUE_ID] = beside(at[RFT_THREAD_DATASTACK], -8);
    if (at[RFT_THREAD_EXC_STATE] == RFT_NO_FIELD) {
        /* datastack_chunk, _top, _limit, exc_state. */
        at[RFT_THREAD_EXC_STATE] = beside(at[RFT_THREAD_DATASTACK], 24);
    }
    at[RFT_ERR_EXC_VALUE] = 0;

    /* _PyInterpreterFrame: f_executable, previous, f_funcobj. */
    at[RFT_FRAME_FUNCTION] = beside(at[RFT_FRAME_PREVIOUS], 8);
    if (at[RFT_FRAME_STACKPOINTER] == RFT_NO_FIELD) {
        at[RFT_FRAME_STACKPOINTER] = beside(at[RFT_FRAME_INSTR], 8); /* 3.13: int stacktop */
    }
    /* PyCodeObject: co_consts, co_names, co_exceptiontable, co_flags, co_argcount,
     * co_posonlyargcount, co_kwonlyargcount, co_stacksize, co_firstlineno, co_nlocalsplus,
     * co_framesize, co_nlocals, co_ncellvars, co_nfreevars, co_version. */
    at[RFT_CODE_FLAGS] = beside(at[RFT_CODE_ARGCOUNT], -4);
    at[RFT_CODE_KWONLY] = beside(at[RFT_CODE_ARGCOUNT], 8);
    at[RFT_CODE_STACKSIZE] = beside(at[RFT_CODE_FIRSTLINE], -4);
    at[RFT_CODE_NLOCALSPLUS] = beside(at[RFT_CODE_FIRSTLINE], 4);
    at[RFT_CODE_VERSION] = beside(at[RFT_CODE_FIRSTLINE], 24);
    /* _co_firsttraceable, padding, co_extra, [co_tlbc,] co_code_adaptive. */
    at[RFT_CODE_FIRSTTRACEABLE] =
        beside(at[RFT_CODE_ADAPTIVE], layout->free_threaded && minor >= 14 ? -24 : -16);
}

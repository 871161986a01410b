/* Numbers that stand in traces, for readers of reftracer/trace.h: kinds of types, censuses,
 * losses and ends, and of what the look through the heap has found. docs/TRACE-FORMAT.md says
 * more of each. Numbers never change; expect ones that are not here. */
#ifndef REFTRACER_TRACE_VALUES_H
#define REFTRACER_TRACE_VALUES_H

/* Age buckets: 0 is "at once" (under 1 ms), k is [2^(k-1), 2^k) ms; the last
 * one is open. */
enum { RFT_AGE_BUCKETS = 32 };

/* How an object's bytes are computed; also tells a reader what a type is. */
enum rft_type_kind {
    RFT_KIND_FIXED = 0,   /* every instance has the same size */
    RFT_KIND_VARSIZE = 1, /* tp_itemsize * ob_size */
    RFT_KIND_LIST = 2,
    RFT_KIND_DICT = 3,
    RFT_KIND_SET = 4,
    RFT_KIND_STR = 5,
    RFT_KIND_BYTES = 6,
    RFT_KIND_BYTEARRAY = 7,
    RFT_KIND_INT = 8,
    RFT_KIND_TUPLE = 9,
    RFT_KIND_TYPE = 10,
    RFT_KIND_CODE = 11,
    RFT_KIND_INSTANCE = 12, /* of a class, with its attributes' values behind it */
};

enum rft_census_kind {
    RFT_CENSUS_EXIT = 1,            /* before the main interpreter's modules are torn down */
    RFT_CENSUS_INTERPRETER_END = 2, /* the same, for one sub-interpreter */
    RFT_CENSUS_OS_EXIT = 3,         /* in _exit() or exec, no finalizers run */
    RFT_CENSUS_REQUEST = 4,         /* asked for while the program runs */
};

/* Label of the mark before the collection that precedes the last census: what dies
 * after it is garbage that nobody had collected yet. */
#define RFT_MARK_COLLECTION "final gc.collect()"

enum rft_loss_kind {
    RFT_LOSS_SLOT_GAP = 1,        /* another tool held the tracer slot */
    RFT_LOSS_DROPPED = 2,         /* births that found no memory, or an address out of range */
    RFT_LOSS_STALE = 3,           /* objects that the census found gone without a death */
    RFT_LOSS_STOPPED = 4,         /* tracing stopped before the program ended */
    RFT_LOSS_TRUNCATED_STACK = 5, /* stacks deeper than the tracer follows */
    RFT_LOSS_LATE_CENSUS = 6,     /* the census could not be taken before module teardown */
};

enum rft_end_reason {
    RFT_END_EXIT = 1,    /* interpreter finalized normally */
    RFT_END_OS_EXIT = 2, /* os._exit / _exit */
    RFT_END_EXEC = 3,    /* the process image was replaced */
    RFT_END_STOPPED = 4, /* tracing was stopped; see the last LOSS chunk */
    RFT_END_ASKED = 5,   /* the program ended its trace itself, and went on */
};

enum rft_heap_kind {
    RFT_HEAP_EXIT = 1,    /* at the census before the modules are torn down */
    RFT_HEAP_REQUEST = 2, /* asked for while the program runs; the label says what for */
};

enum rft_heap_flags {
    RFT_HEAP_CUT_MEMORY = 1,   /* stopped for want of memory: what there is, is part of it */
    RFT_HEAP_CUT_TIME = 2,     /* the same, when its time was over */
    RFT_HEAP_NO_RETAINED = 4,  /* retained bytes were not computed: they are 0 */
    RFT_HEAP_NO_REFCOUNTS = 8, /* no refcount was audited */
    RFT_HEAP_NO_GARBAGE = 16,  /* cyclic garbage was not looked for */
    RFT_HEAP_REFUSED = 32,     /* nothing was looked through: the label says why */
    RFT_HEAP_FLAGS = 63,
};

/* How the time that CPython's cycle collector took is known. */
enum rft_collector_time {
    RFT_COLLECTOR_NOT_KNOWN = 0,
    RFT_COLLECTOR_SAMPLED = 1, /* looked each millisecond whether it runs */
    RFT_COLLECTOR_OWN = 2,     /* CPython's own figure */
};

/* How an object refers to the next one of a path. What each label is, stands in
 * docs/TRACE-FORMAT.md. */
enum {
    RFT_EDGE_REFERENCE = 0, /* tp_traverse tells of it, nothing names it */
    RFT_EDGE_ATTRIBUTE = 1,
    RFT_EDGE_DICT_KEY = 2,
    RFT_EDGE_DICT_VALUE = 3,
    RFT_EDGE_ITEM = 4,   /* of a list, tuple, deque */
    RFT_EDGE_MEMBER = 5, /* of a set */
    RFT_EDGE_CELL = 6,   /* closure's or class' variable */
    RFT_EDGE_LOCAL = 7,
    RFT_EDGE_STACK = 8, /* value stack of a frame */
    RFT_EDGE_CLOSURE = 9,
    RFT_EDGE_GLOBALS = 10,
    RFT_EDGE_FUNCTION = 11, /* of a bound method */
    RFT_EDGE_SELF = 12,     /* of a bound method, of a builtin function */
    RFT_EDGE_CALLBACK = 13, /* of a weakref */
    RFT_EDGE_TYPE = 14,
    RFT_EDGE_TYPE_SLOT = 15,
    RFT_EDGE_MODULE_STATE = 16,
    RFT_EDGE_FRAME = 17, /* local of the frame of a generator, coroutine */
    RFT_EDGE_EXCEPTION = 18,
    RFT_EDGE_DEFAULT = 19,
    RFT_EDGE_CODE = 20,
    RFT_EDGE_DESCRIPTOR = 21,
    RFT_EDGE_LEFT_OUT = 22, /* no reference: steps that were left out, the index says how many */
    RFT_EDGE_COUNT,         /* of those that this header knows */
};

/* Where a path begins. */
enum {
    RFT_ROOT_MODULE = 64,
    RFT_ROOT_LOCAL = 65,
    RFT_ROOT_STACK = 66,
    RFT_ROOT_BUILTINS = 67,
    RFT_ROOT_SYS = 68,
    RFT_ROOT_INTERPRETER = 69,
    RFT_ROOT_THREAD = 70,
    RFT_ROOT_STATIC_TYPE = 71,
    RFT_ROOT_ATEXIT = 72,
    RFT_ROOT_C = 73, /* no object and no known root accounts for it */
    RFT_ROOT_INTERNED = 74,
    RFT_ROOT_GARBAGE = 75, /* nothing: only a cycle keeps it */
    RFT_ROOT_END,          /* behind the last one that this header knows */
};

#endif

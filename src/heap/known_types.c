/* What is known about types implemented in C: their fields, by the name of the type. */
#include "heap/shape.h"
#include "trace/format.h"

#define TOLD(at, kind, label)                                                                      \
    {                                                                                              \
        at, RFT_EDGE_##kind, 0, label                                                              \
    }
#define UNTOLD(at, kind, label)                                                                    \
    {                                                                                              \
        at, RFT_EDGE_##kind, 1, label                                                              \
    }
#define FIELDS(array) array, sizeof(array) / sizeof *(array)

/* Include/cpython/funcobject.h; func_weakreflist at 96. */
#define FUNCTION_FIELDS                                                                            \
    TOLD(16, GLOBALS, "__globals__"), TOLD(24, ATTRIBUTE, "__builtins__"),                         \
        TOLD(32, ATTRIBUTE, "__name__"), TOLD(40, ATTRIBUTE, "__qualname__"),                      \
        TOLD(48, ATTRIBUTE, "__code__"), TOLD(56, DEFAULT, "__defaults__"),                        \
        TOLD(64, DEFAULT, "__kwdefaults__"), TOLD(72, CLOSURE, NULL),                              \
        TOLD(80, ATTRIBUTE, "__doc__"), TOLD(88, ATTRIBUTE, "__dict__"),                           \
        TOLD(104, ATTRIBUTE, "__module__"), TOLD(112, ATTRIBUTE, "__annotations__")
static const struct rft_place function_fields_3_13[] = {
    FUNCTION_FIELDS,
    TOLD(120, ATTRIBUTE, "__type_params__"),
};
static const struct rft_place function_fields[] = {
    FUNCTION_FIELDS,
    TOLD(120, ATTRIBUTE, "__annotate__"),
    TOLD(128, ATTRIBUTE, "__type_params__"),
};
/* Objects/classobject.c */
static const struct rft_place method_fields[] = {
    TOLD(16, FUNCTION, NULL),
    TOLD(24, SELF, NULL),
};
/* Include/cpython/methodobject.h; mm_class is there in a builtin_method only. */
static const struct rft_place builtin_fields[] = {
    TOLD(24, SELF, NULL),
    TOLD(32, ATTRIBUTE, "__module__"),
};
static const struct rft_place builtin_method_fields[] = {
    TOLD(24, SELF, NULL),
    TOLD(32, ATTRIBUTE, "__module__"),
    TOLD(56, DESCRIPTOR, "defining class"),
};
static const struct rft_place cell_fields[] = {TOLD(16, CELL, NULL)};
/* Objects/descrobject.c: propertyobject, PyDescrObject, wrapperobject, mappingproxyobject */
static const struct rft_place property_fields[] = {
    TOLD(16, DESCRIPTOR, "fget"),    TOLD(24, DESCRIPTOR, "fset"),     TOLD(32, DESCRIPTOR, "fdel"),
    TOLD(40, DESCRIPTOR, "__doc__"), TOLD(48, DESCRIPTOR, "__name__"),
};
static const struct rft_place descriptor_fields[] = {
    TOLD(16, DESCRIPTOR, "__objclass__"),
    UNTOLD(24, DESCRIPTOR, "__name__"),
    UNTOLD(32, DESCRIPTOR, "__qualname__"),
};
static const struct rft_place wrapper_fields[] = {
    TOLD(16, DESCRIPTOR, "descriptor"),
    TOLD(24, SELF, NULL),
};
static const struct rft_place proxy_fields[] = {TOLD(16, ATTRIBUTE, "mapping")};
/* Objects/funcobject.c: classmethod, staticmethod */
static const struct rft_place wrapped_fields[] = {
    TOLD(16, DESCRIPTOR, "__func__"),
    TOLD(24, ATTRIBUTE, "__dict__"),
};
static const struct rft_place super_fields[] = {
    TOLD(16, ATTRIBUTE, "__thisclass__"),
    TOLD(24, SELF, NULL),
    TOLD(32, ATTRIBUTE, "__self_class__"),
};
static const struct rft_place slice_fields[] = {
    TOLD(16, ATTRIBUTE, "start"),
    TOLD(24, ATTRIBUTE, "stop"),
    TOLD(32, ATTRIBUTE, "step"),
};
static const struct rft_place range_fields[] = {
    UNTOLD(16, ATTRIBUTE, "start"),
    UNTOLD(24, ATTRIBUTE, "stop"),
    UNTOLD(32, ATTRIBUTE, "step"),
    UNTOLD(40, ATTRIBUTE, "length"),
};
static const struct rft_place traceback_fields[] = {
    TOLD(16, ATTRIBUTE, "tb_next"),
    TOLD(24, ATTRIBUTE, "tb_frame"),
};
/* Include/internal/pycore_weakref.h: wr_object at 16 is not owned. */
static const struct rft_place weakref_fields[] = {TOLD(24, CALLBACK, NULL)};
/* Include/internal/pycore_moduleobject.h: 3.15 has no md_def. */
static const struct rft_place module_fields_3_13[] = {
    TOLD(16, ATTRIBUTE, "__dict__"),
    UNTOLD(48, ATTRIBUTE, "name"),
};
static const struct rft_place module_fields[] = {
    TOLD(16, ATTRIBUTE, "__dict__"),
    UNTOLD(40, ATTRIBUTE, "name"),
};
/* Modules/_collectionsmodule.c: behind the dict. */
static const struct rft_place defaultdict_fields[] = {TOLD(48, ATTRIBUTE, "default_factory")};
/* Include/datetime.h: these have no tp_traverse. tzinfo is there if the byte before the data
 * says so; timezone is {offset, name}. */
static const struct rft_place timezone_fields[] = {
    UNTOLD(16, ATTRIBUTE, "offset"),
    UNTOLD(24, ATTRIBUTE, "name"),
};

/* gi_origin_or_finalizer, which plain generators leave as it was. */
static const struct rft_place coroutine_fields[] = {UNTOLD(56, ATTRIBUTE, "origin or finalizer")};

/* Objects/bytearrayobject.c, 3.15: the buffer is a bytes object, ob_bytes_object. */
static const struct rft_place bytearray_fields[] = {UNTOLD(56, ATTRIBUTE, "buffer")};

/* Modules/_sre/sre.h: ScannerObject {pattern, SRE_STATE {four pointers, string, Py_buffer}}. */
static const struct rft_place scanner_fields[] = {
    UNTOLD(56, ATTRIBUTE, "string"),
    UNTOLD(72, ATTRIBUTE, "buffer"),
};
/* Modules/pyexpat.c: xmlparseobject; a dict of strings. */
static const struct rft_place expat_fields[] = {UNTOLD(72, ATTRIBUTE, "intern")};

/* numpy/core/include/numpy/ndarraytypes.h, PyArrayObject_fields, the same since 1.22; its objects
 * have no tp_traverse. mem_handler is a capsule, where the array owns its data. */
static const struct rft_place ndarray_fields[] = {
    UNTOLD(48, ATTRIBUTE, "base"),
    UNTOLD(56, ATTRIBUTE, "dtype"),
    UNTOLD(88, ATTRIBUTE, "memory handler"),
};

/* Modules/_asynciomodule.c: names for what tp_traverse visits. awaited_by is there since 3.14. */
#define FUTURE_FIELDS                                                                              \
    TOLD(16, ATTRIBUTE, "_loop"), TOLD(24, CALLBACK, NULL), TOLD(32, ATTRIBUTE, "context"),        \
        TOLD(40, ATTRIBUTE, "_callbacks"), TOLD(48, ATTRIBUTE, "_exception"),                      \
        TOLD(64, ATTRIBUTE, "_result"), TOLD(72, ATTRIBUTE, "_source_traceback"),                  \
        TOLD(80, ATTRIBUTE, "_cancel_message"), TOLD(88, ATTRIBUTE, "_cancelled_exc"),             \
        TOLD(56, DESCRIPTOR, "traceback of its exception")
static const struct rft_place future_fields[] = {FUTURE_FIELDS};
static const struct rft_place task_fields_3_13[] = {
    FUTURE_FIELDS,
    TOLD(112, ATTRIBUTE, "_fut_waiter"),
    TOLD(120, ATTRIBUTE, "_coro"),
    TOLD(136, ATTRIBUTE, "_context"),
};
static const struct rft_place task_fields[] = {
    FUTURE_FIELDS,
    TOLD(96, ATTRIBUTE, "_asyncio_awaited_by"),
    TOLD(120, ATTRIBUTE, "_fut_waiter"),
    TOLD(128, ATTRIBUTE, "_coro"),
    TOLD(144, ATTRIBUTE, "_context"),
};

/* Iterators: names for what tp_traverse visits. Labels with a space are words of ours, which
 * Python has no attribute for. What a field that is named "its ..." refers to is used up there. */
#define ITERATED "what is iterated"
#define ITERATOR "its iterator"
/* Objects/iterobject.c, listobject.c, tupleobject.c, bytesobject.c, unicodeobject.c,
 * enumobject.c (reversed): {index, sequence} */
static const struct rft_place sequence_iterator_fields[] = {TOLD(24, DESCRIPTOR, ITERATED)};
/* Objects/dictobject.c (views too), setobject.c */
static const struct rft_place table_iterator_fields[] = {TOLD(16, DESCRIPTOR, ITERATED)};
static const struct rft_place view_fields[] = {TOLD(16, ATTRIBUTE, "mapping")};
static const struct rft_place call_iterator_fields[] = {
    TOLD(16, DESCRIPTOR, "its function"),
    TOLD(24, DESCRIPTOR, "its sentinel"),
};
static const struct rft_place enumerate_fields[] = {
    TOLD(24, DESCRIPTOR, ITERATOR),
    TOLD(32, DESCRIPTOR, "its last result"),
};
/* Python/bltinmodule.c */
static const struct rft_place map_fields[] = {
    TOLD(16, DESCRIPTOR, "its iterators"),
    TOLD(24, DESCRIPTOR, "its function"),
};
static const struct rft_place zip_fields[] = {
    TOLD(24, DESCRIPTOR, "its iterators"),
    TOLD(32, DESCRIPTOR, "its last result"),
};
/* filter; of itertools: starmap, takewhile, dropwhile, filterfalse */
static const struct rft_place filter_fields[] = {
    TOLD(16, DESCRIPTOR, "its function"),
    TOLD(24, DESCRIPTOR, ITERATOR),
};
/* Modules/itertoolsmodule.c */
static const struct rft_place iterator_fields[] = {TOLD(16, DESCRIPTOR, ITERATOR)};
static const struct rft_place chain_fields[] = {
    TOLD(16, DESCRIPTOR, "what is chained"),
    TOLD(24, DESCRIPTOR, ITERATOR),
};
static const struct rft_place cycle_fields[] = {
    TOLD(16, DESCRIPTOR, ITERATOR),
    TOLD(24, DESCRIPTOR, "its saved items"),
};
static const struct rft_place tee_fields[] = {TOLD(16, DESCRIPTOR, "its saved items")};
static const struct rft_place tee_items_fields[] = {
    TOLD(16, DESCRIPTOR, ITERATOR),
    TOLD(32, DESCRIPTOR, "further saved items"),
};
static const struct rft_place accumulate_fields[] = {
    TOLD(16, DESCRIPTOR, "its total"),
    TOLD(24, DESCRIPTOR, ITERATOR),
    TOLD(32, DESCRIPTOR, "its function"),
    TOLD(40, DESCRIPTOR, "its initial value"),
};
static const struct rft_place groupby_fields[] = {
    TOLD(16, DESCRIPTOR, ITERATOR),           TOLD(24, DESCRIPTOR, "its function"),
    TOLD(32, DESCRIPTOR, "its wanted key"),   TOLD(40, DESCRIPTOR, "its current key"),
    TOLD(48, DESCRIPTOR, "its current item"),
};
static const struct rft_place group_fields[] = {
    TOLD(16, DESCRIPTOR, "its groupby"),
    TOLD(24, DESCRIPTOR, "its key"),
};
static const struct rft_place product_fields[] = {
    TOLD(16, DESCRIPTOR, "its pools"),
    TOLD(32, DESCRIPTOR, "its last result"),
};
static const struct rft_place combinations_fields[] = {
    TOLD(16, DESCRIPTOR, "its pool"),
    TOLD(32, DESCRIPTOR, "its last result"),
};
static const struct rft_place permutations_fields[] = {
    TOLD(16, DESCRIPTOR, "its pool"),
    TOLD(40, DESCRIPTOR, "its last result"),
};
static const struct rft_place compress_fields[] = {
    TOLD(16, DESCRIPTOR, ITERATOR),
    TOLD(24, DESCRIPTOR, "its selectors"),
};
static const struct rft_place repeat_fields[] = {TOLD(16, DESCRIPTOR, "the repeated object")};
static const struct rft_place pairwise_fields[] = {
    TOLD(16, DESCRIPTOR, ITERATOR),
    TOLD(24, DESCRIPTOR, "its last item"),
    TOLD(32, DESCRIPTOR, "its last result"),
};
static const struct rft_place zip_longest_fields[] = {
    TOLD(32, DESCRIPTOR, "its iterators"),
    TOLD(40, DESCRIPTOR, "its last result"),
    TOLD(48, DESCRIPTOR, "its fill value"),
};
/* Objects/memoryobject.c: the master is {buf, obj, ...}. */
static const struct rft_place memoryview_fields[] = {TOLD(24, DESCRIPTOR, "its buffer")};
static const struct rft_place managed_buffer_fields[] = {TOLD(40, ATTRIBUTE, "obj")};

/* Include/internal/pycore_context.h; the variables are in a tree, pycore_hamt.h. What leads
 * through that is left out of a path (analyze/path.c). */
static const struct rft_place context_fields[] = {
    TOLD(16, DESCRIPTOR, "the context that was left for it"),
    TOLD(24, DESCRIPTOR, RFT_LABEL_CONTEXT_TREE),
};
static const struct rft_place context_tree_fields[] = {
    TOLD(16, DESCRIPTOR, RFT_LABEL_CONTEXT_TREE)};
static const struct rft_place context_variable_fields[] = {
    TOLD(16, ATTRIBUTE, "name"),
    TOLD(24, DESCRIPTOR, "its default"),
};
static const struct rft_place token_fields[] = {
    TOLD(16, DESCRIPTOR, "its context"),
    TOLD(24, ATTRIBUTE, "var"),
    TOLD(32, ATTRIBUTE, "old_value"),
};
/* Modules/_threadmodule.c: localobject {args, kw, weakrefs, {dummy: dict of a thread}, watchdogs}
 */
static const struct rft_place thread_local_fields[] = {
    TOLD(16, DESCRIPTOR, "its arguments"),
    TOLD(24, DESCRIPTOR, "its arguments"),
    TOLD(40, DESCRIPTOR, "values of each thread"),
    TOLD(48, DESCRIPTOR, "its threads"),
};
/* Modules/_functoolsmodule.c: lru_cache_object, behind the root of the ring. */
static const struct rft_place lru_fields[] = {
    TOLD(72, DESCRIPTOR, "cached results"),
    TOLD(88, ATTRIBUTE, "__wrapped__"),
};

static const struct rft_known_type known_types[] = {
    {"list", BODY_LIST, true, 0, 0, NULL, 0},
    {"tuple", BODY_TUPLE, true, 0, 0, NULL, 0},
    {"dict", BODY_DICT, true, 0, 0, NULL, 0},
    {"frozendict", BODY_DICT, true, 0, 0, NULL, 0}, /* 3.15 */
    {"set", BODY_SET, true, 0, 0, NULL, 0},
    {"frozenset", BODY_SET, true, 0, 0, NULL, 0},
    {"code", BODY_CODE, true, 0, 0, NULL, 0},
    {"type", BODY_TYPE, true, 0, 0, NULL, 0},
    {"frame", BODY_FRAME, true, 0, 0, NULL, 0},
    {"generator", BODY_GENERATOR, true, 0, 0, NULL, 0},
    {"coroutine", BODY_GENERATOR, true, 0, 0, FIELDS(coroutine_fields)},
    {"async_generator", BODY_GENERATOR, true, 0, 0, FIELDS(coroutine_fields)},
    {"method", BODY_NONE, true, 0, 0, FIELDS(method_fields)},
    {"builtin_function_or_method", BODY_NONE, true, 0, 0, FIELDS(builtin_fields)},
    {"builtin_method", BODY_NONE, true, 0, 0, FIELDS(builtin_method_fields)},
    {"cell", BODY_NONE, true, 0, 0, FIELDS(cell_fields)},
    {"property", BODY_NONE, true, 0, 0, FIELDS(property_fields)},
    {"method_descriptor", BODY_NONE, true, 0, 0, FIELDS(descriptor_fields)},
    {"classmethod_descriptor", BODY_NONE, true, 0, 0, FIELDS(descriptor_fields)},
    {"member_descriptor", BODY_NONE, true, 0, 0, FIELDS(descriptor_fields)},
    {"getset_descriptor", BODY_NONE, true, 0, 0, FIELDS(descriptor_fields)},
    {"wrapper_descriptor", BODY_NONE, true, 0, 0, FIELDS(descriptor_fields)},
    {"method-wrapper", BODY_NONE, true, 0, 0, FIELDS(wrapper_fields)},
    {"mappingproxy", BODY_NONE, true, 0, 0, FIELDS(proxy_fields)},
    {"classmethod", BODY_NONE, true, 0, 0, FIELDS(wrapped_fields)},
    {"staticmethod", BODY_NONE, true, 0, 0, FIELDS(wrapped_fields)},
    {"super", BODY_NONE, true, 0, 0, FIELDS(super_fields)},
    {"slice", BODY_NONE, true, 0, 0, FIELDS(slice_fields)},
    {"range", BODY_NONE, true, 0, 0, FIELDS(range_fields)},
    {"traceback", BODY_NONE, true, 0, 0, FIELDS(traceback_fields)},
    {"weakref.ReferenceType", BODY_NONE, true, 0, 0, FIELDS(weakref_fields)},
    {"weakref.ProxyType", BODY_NONE, true, 0, 0, FIELDS(weakref_fields)},
    {"weakref.CallableProxyType", BODY_NONE, true, 0, 0, FIELDS(weakref_fields)},
    {"collections.defaultdict", BODY_DICT, true, 0, 0, FIELDS(defaultdict_fields)},
    {"functools._lru_cache_wrapper", BODY_LRU, false, 0, 0, FIELDS(lru_fields)},
    {"numpy.ndarray", BODY_NDARRAY, true, 0, 0, FIELDS(ndarray_fields)},
    {"collections.deque", BODY_NONE, false, RFT_EDGE_ITEM, 1, NULL, 0},
    {"_asyncio.Future", BODY_NONE, false, 0, 0, FIELDS(future_fields)},
    /* Greenlets, and what gevent derives from them in C with a tp_traverse of its own. */
    {"greenlet.greenlet", BODY_GREENLET, false, 0, 0, NULL, 0},
    {"gevent._gevent_cgreenlet.Greenlet", BODY_GREENLET, false, 0, 0, NULL, 0},
    {"gevent._gevent_c_greenlet_primitives.TrackedRawGreenlet", BODY_GREENLET, false, 0, 0, NULL,
     0},
    {"gevent._gevent_c_greenlet_primitives.SwitchOutGreenletWithLoop", BODY_GREENLET, false, 0, 0,
     NULL, 0},
    {"gevent._gevent_c_hub_primitives.WaitOperationsGreenlet", BODY_GREENLET, false, 0, 0, NULL, 0},
    {"_sre.SRE_Scanner", BODY_NONE, false, 0, 0, FIELDS(scanner_fields)},
    {"pyexpat.xmlparser", BODY_NONE, false, 0, 0, FIELDS(expat_fields)},
    {"datetime.timezone", BODY_NONE, true, 0, 0, FIELDS(timezone_fields)},
    {"iterator", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"list_iterator", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"list_reverseiterator", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"tuple_iterator", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"reversed", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"str_iterator", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"str_ascii_iterator", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"bytes_iterator", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"bytearray_iterator", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"memory_iterator", BODY_NONE, false, 0, 0, FIELDS(sequence_iterator_fields)},
    {"dict_keyiterator", BODY_NONE, false, 0, 0, FIELDS(table_iterator_fields)},
    {"dict_valueiterator", BODY_NONE, false, 0, 0, FIELDS(table_iterator_fields)},
    {"dict_itemiterator", BODY_NONE, false, 0, 0, FIELDS(table_iterator_fields)},
    {"dict_reversekeyiterator", BODY_NONE, false, 0, 0, FIELDS(table_iterator_fields)},
    {"dict_reversevalueiterator", BODY_NONE, false, 0, 0, FIELDS(table_iterator_fields)},
    {"dict_reverseitemiterator", BODY_NONE, false, 0, 0, FIELDS(table_iterator_fields)},
    {"set_iterator", BODY_NONE, false, 0, 0, FIELDS(table_iterator_fields)},
    {"dict_keys", BODY_NONE, false, 0, 0, FIELDS(view_fields)},
    {"dict_values", BODY_NONE, false, 0, 0, FIELDS(view_fields)},
    {"dict_items", BODY_NONE, false, 0, 0, FIELDS(view_fields)},
    {"callable_iterator", BODY_NONE, false, 0, 0, FIELDS(call_iterator_fields)},
    {"enumerate", BODY_NONE, false, 0, 0, FIELDS(enumerate_fields)},
    {"map", BODY_NONE, false, 0, 0, FIELDS(map_fields)},
    {"zip", BODY_NONE, false, 0, 0, FIELDS(zip_fields)},
    {"filter", BODY_NONE, false, 0, 0, FIELDS(filter_fields)},
    {"itertools.starmap", BODY_NONE, false, 0, 0, FIELDS(filter_fields)},
    {"itertools.takewhile", BODY_NONE, false, 0, 0, FIELDS(filter_fields)},
    {"itertools.dropwhile", BODY_NONE, false, 0, 0, FIELDS(filter_fields)},
    {"itertools.filterfalse", BODY_NONE, false, 0, 0, FIELDS(filter_fields)},
    {"itertools.islice", BODY_NONE, false, 0, 0, FIELDS(iterator_fields)},
    {"itertools.batched", BODY_NONE, false, 0, 0, FIELDS(iterator_fields)},
    {"itertools.chain", BODY_NONE, false, 0, 0, FIELDS(chain_fields)},
    {"itertools.cycle", BODY_NONE, false, 0, 0, FIELDS(cycle_fields)},
    {"itertools._tee", BODY_NONE, false, 0, 0, FIELDS(tee_fields)},
    {"itertools.accumulate", BODY_NONE, false, 0, 0, FIELDS(accumulate_fields)},
    {"itertools.groupby", BODY_NONE, false, 0, 0, FIELDS(groupby_fields)},
    {"itertools._grouper", BODY_NONE, false, 0, 0, FIELDS(group_fields)},
    {"itertools.product", BODY_NONE, false, 0, 0, FIELDS(product_fields)},
    {"itertools.combinations", BODY_NONE, false, 0, 0, FIELDS(combinations_fields)},
    {"itertools.combinations_with_replacement", BODY_NONE, false, 0, 0,
     FIELDS(combinations_fields)},
    {"itertools.permutations", BODY_NONE, false, 0, 0, FIELDS(permutations_fields)},
    {"itertools.compress", BODY_NONE, false, 0, 0, FIELDS(compress_fields)},
    {"itertools.repeat", BODY_NONE, false, 0, 0, FIELDS(repeat_fields)},
    {"itertools.pairwise", BODY_NONE, false, 0, 0, FIELDS(pairwise_fields)},
    {"itertools.zip_longest", BODY_NONE, false, 0, 0, FIELDS(zip_longest_fields)},
    {"itertools._tee_dataobject", BODY_NONE, false, RFT_EDGE_MEMBER, 0, FIELDS(tee_items_fields)},
    {"memoryview", BODY_NONE, false, 0, 0, FIELDS(memoryview_fields)},
    {"managedbuffer", BODY_NONE, false, 0, 0, FIELDS(managed_buffer_fields)},
    {"_contextvars.Context", BODY_NONE, false, 0, 0, FIELDS(context_fields)},
    {"hamt", BODY_NONE, false, 0, 0, FIELDS(context_tree_fields)},
    {"hamt_bitmap_node", BODY_CONTEXT_PAIRS, false, 0, 0, NULL, 0},
    {"hamt_collision_node", BODY_CONTEXT_PAIRS, false, 0, 0, NULL, 0},
    {"hamt_array_node", BODY_CONTEXT_NODES, false, 0, 0, NULL, 0},
    {"_contextvars.ContextVar", BODY_NONE, false, 0, 0, FIELDS(context_variable_fields)},
    {"_contextvars.Token", BODY_NONE, false, 0, 0, FIELDS(token_fields)},
    {"_thread._local", BODY_NONE, false, 0, 0, FIELDS(thread_local_fields)},
    {"_queue.SimpleQueue", BODY_NONE, false, RFT_EDGE_MEMBER, 0, NULL, 0},
};
static const struct rft_known_type function_3_13 = {
    "function", BODY_NONE, true, 0, 0, FIELDS(function_fields_3_13)};
static const struct rft_known_type function_3_14 = {"function", BODY_NONE, true,
                                                    0,          0,         FIELDS(function_fields)};
static const struct rft_known_type task_3_13 = {"_asyncio.Task",         BODY_NONE, false, 0, 0,
                                                FIELDS(task_fields_3_13)};
static const struct rft_known_type task_3_14 = {"_asyncio.Task",    BODY_NONE, false, 0, 0,
                                                FIELDS(task_fields)};
static const struct rft_known_type bytearray_3_15 = {
    "bytearray", BODY_NONE, true, 0, 0, FIELDS(bytearray_fields)};
static const struct rft_known_type module_3_13 = {
    "module", BODY_NONE, false, RFT_EDGE_MODULE_STATE, 0, FIELDS(module_fields_3_13)};
static const struct rft_known_type module_3_15 = {
    "module", BODY_NONE, false, RFT_EDGE_MODULE_STATE, 0, FIELDS(module_fields)};

const struct rft_known_type *rft_known_type(const char *name)
{
    uint32_t minor = rft_heap.layout.version >> 16 & 0xFF;
    if (strcmp(name, "function") == 0) {
        return minor == 13 ? &function_3_13 : &function_3_14;
    }
    if (strcmp(name, "module") == 0) {
        return minor < 15 ? &module_3_13 : &module_3_15;
    }
    if (strcmp(name, "_asyncio.Task") == 0) {
        return minor == 13 ? &task_3_13 : &task_3_14;
    }
    if (strcmp(name, "bytearray") == 0) {
        return minor < 15 ? NULL : &bytearray_3_15;
    }
    for (size_t i = 0; i < sizeof known_types / sizeof *known_types; i++) {
        if (strcmp(name, known_types[i].name) == 0) {
            return &known_types[i];
        }
    }
    return NULL;
}

/* What looking through the heap needs to know of CPython. */
#include "heap/edges.h"

#include "heap/dict_entries.h"
#include "heap/roots.h"
#include "heap/shape.h"

static bool text_is(const char *op, const char *text)
{
    char bytes[64];
    return op != NULL && rft_text(op, bytes, sizeof bytes) == strlen(text) &&
           memcmp(bytes, text, strlen(text)) == 0;
}

/* The value of a dict with a str key, or NULL. */
const char *rft_dict_find(const char *dict, const char *key)
{
    struct rft_dict_entries d;
    if (dict == NULL || !(type_flags(type_of(dict)) & TYPE_DICT)) {
        return NULL;
    }
    rft_dict_open(dict, &d);
    for (size_t i = 0; i < d.count; i++) {
        const char *value = rft_dict_value(&d, i);
        if (value != NULL && text_is(rft_dict_key(&d, i), key)) {
            return value;
        }
    }
    return NULL;
}

/* The dict of a module in sys.modules, or NULL. */
const char *rft_module_dict(const char *interpreter, const char *name)
{
    const char *modules = pointer_at(interpreter, rft_heap.layout.at[RFT_INTERP_MODULES]);
    const char *module = rft_dict_find(modules, name);
    return module != NULL && type_of(module) == rft_heap.module_type ? pointer_at(module, 16)
                                                                     : NULL;
}

/* tp_traverse of all classes that Python code makes; the import system's are always there. */
static rft_traverse find_subtype_traverse(void)
{
    const uint32_t *at = rft_heap.layout.at;
    const char *interpreter = pointer_at(rft_heap.runtime, at[RFT_RUNTIME_INTERPRETERS]);
    rft_traverse traverse = NULL;
    for (int i = 0; interpreter != NULL && i < 1 << 16; i++) {
        const char *spec =
            rft_dict_find(rft_module_dict(interpreter, "_frozen_importlib"), "ModuleSpec");
        if (spec != NULL && type_flags(type_of(spec)) & TYPE_TYPE) {
            memcpy(&traverse, spec + tp(TP_TRAVERSE), sizeof traverse);
            return traverse;
        }
        interpreter = pointer_at(interpreter, at[RFT_INTERP_NEXT]);
    }
    return NULL;
}

/* Is this the dict of interned strings? Each of its strings is key and value. */
static bool holds_interned(const char *op)
{
    struct rft_dict_entries d;
    if (!rft_is_object(op) || type_of(op) != rft_heap.dict_type) {
        return false;
    }
    rft_dict_open(op, &d);
    size_t same = 0, i = 0;
    for (; i < d.count && i < 64; i++) {
        const char *value = d.values == NULL ? rft_dict_value(&d, i) : NULL;
        if (value != NULL &&
            (value != rft_dict_key(&d, i) || !(type_flags(type_of(value)) & TYPE_STR))) {
            return false;
        }
        same += value != NULL;
    }
    return same >= 16;
}

static void find_interned(void)
{
    const uint32_t *at = rft_heap.layout.at;
    const char *interpreter = pointer_at(rft_heap.runtime, at[RFT_RUNTIME_INTERPRETERS]);
    int count = 0;
    memset(rft_heap.interned, 0, sizeof rft_heap.interned);
    while (interpreter != NULL && count < RFT_INTERNED_MAX) {
        const char *end = interpreter + at[RFT_INTERP_SIZE];
        for (const char *word = end - 8; word >= interpreter; word -= 8) {
            const char *op = pointer_at(word, 0);
            if ((uintptr_t)op > 4096 && (uintptr_t)op % 8 == 0 && holds_interned(op)) {
                if (!is_interned_dict(op)) {
                    rft_heap.interned[count++] = op;
                }
                break;
            }
        }
        interpreter = pointer_at(interpreter, at[RFT_INTERP_NEXT]);
    }
}

bool rft_edges_prepare(const struct rft_layout *layout, char *runtime,
                       void *(*symbol)(const char *))
{
    static const struct {
        void *place;
        const char *name;
    } symbols[] = {
        {&rft_heap.type_type, "PyType_Type"},
        {&rft_heap.object_type, "PyBaseObject_Type"},
        {&rft_heap.code_type, "PyCode_Type"},
        {&rft_heap.module_type, "PyModule_Type"},
        {&rft_heap.builtin_type, "PyCFunction_Type"},
        {&rft_heap.method_type, "PyMethodDescr_Type"},
        {&rft_heap.wrapper_type, "PyWrapperDescr_Type"},
        {&rft_heap.dict_type, "PyDict_Type"},
        {&rft_heap.none, "_Py_NoneStruct"},
        {&rft_heap.function_type, "PyFunction_Type"},
        {&rft_heap.weakref_type, "_PyWeakref_RefType"},
        {&rft_heap.capsule_type, "PyCapsule_Type"},
    };
    rft_shapes_reset();
    rft_heap.layout = *layout;
    rft_heap.runtime = runtime;
    rft_heap.refused = NULL;
    rft_heap.greenlet_frame_at = 0;
    uint32_t iframe = layout->at[RFT_GEN_IFRAME];
    if (layout->free_threaded) {
        rft_heap.refused = "that needs a CPython with a GIL, and this is a free-threaded one";
    } else if (layout->version >> 16 < 0x30D || layout->version >> 16 > 0x30F ||
               layout->at[RFT_OBJECT_SIZE] != 16 || (iframe != RFT_NO_FIELD && iframe != 72)) {
        rft_heap.refused = "the objects of this CPython version are not known to this reftracer";
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *found = symbol(symbols[i].name);
        memcpy(symbols[i].place, &found, sizeof found);
        if (found == NULL && rft_heap.refused == NULL) {
            rft_heap.refused = "it does not export what looking through its heap needs";
        }
    }
    if (rft_heap.refused == NULL) {
        rft_heap.subtype_traverse = find_subtype_traverse();
        if (rft_heap.subtype_traverse == NULL) {
            rft_heap.refused = "its import system is not there (any more)";
        }
        find_interned();
    }
    return rft_heap.refused == NULL;
}

const char *rft_edges_refused(void)
{
    return rft_heap.refused;
}

void rft_edges_end(void)
{
    rft_shapes_reset();
}

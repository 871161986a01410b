/* src/heap as a Python module, for tests that compare it with what CPython says of itself.
 *
 *     edges(object) -> [(target's id, counted)]
 *     label(holder, target) -> (kind, index, label)
 *     labels([object, ...], root label or None) -> [(kind, index, label), ...]
 *     roots() -> [(kind, label, detail, target's id, counted)]
 *     holders([object, ...]) -> [[holder tracked by the collector, ...], ...]
 *     audit() -> (objects, [(object's id, type's name, refcount, references found), ...])
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <dlfcn.h>

#include "heap/edges.h"
#include "layout/layout.h"

static void *symbol(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

static int prepare(void)
{
    struct rft_layout layout;
    char *runtime = symbol("_PyRuntime");
    const char *error = rft_layout_parse(runtime, 1024, &layout);
    if (error == NULL && !rft_edges_prepare(&layout, runtime, symbol)) {
        error = rft_edges_refused();
    }
    if (error != NULL) {
        PyErr_SetString(PyExc_RuntimeError, error);
    }
    return error == NULL;
}

/* Address -> number, open addressing; and a list of the addresses. */
struct object {
    const void *op;
    int64_t found;
};
static struct {
    struct object *objects;
    size_t count, capacity;
    uint32_t *slots;
    size_t mask;
} heap;

static size_t place_of(const void *op)
{
    size_t at = ((uintptr_t)op >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 20 & heap.mask;
    while (heap.slots[at] != 0 && heap.objects[heap.slots[at] - 1].op != op) {
        at = (at + 1) & heap.mask;
    }
    return at;
}

static struct object *add(const void *op)
{
    size_t at = place_of(op);
    if (heap.slots[at] != 0) {
        return &heap.objects[heap.slots[at] - 1];
    }
    if (heap.count == heap.capacity) {
        fprintf(stderr, "probe: the heap is larger than expected\n");
        abort();
    }
    heap.objects[heap.count].op = op;
    heap.objects[heap.count].found = 0;
    heap.slots[at] = (uint32_t)++heap.count;
    return &heap.objects[heap.count - 1];
}

static void heap_begin(void)
{
    heap.capacity = 4u << 20;
    heap.mask = 4 * heap.capacity - 1;
    heap.objects = malloc(heap.capacity * sizeof *heap.objects);
    heap.slots = calloc(heap.mask + 1, sizeof *heap.slots);
    heap.count = 0;
}

static void heap_end(void)
{
    free(heap.objects);
    free(heap.slots);
}

static int on_gc_object(PyObject *op, void *arg)
{
    (void)arg;
    add(op);
    return 1;
}

static int append_edge(const void *target, int counted, void *arg)
{
    PyObject *pair = Py_BuildValue("(Ni)", PyLong_FromVoidPtr((void *)target), counted);
    PyList_Append(arg, pair);
    Py_DECREF(pair);
    return 0;
}

/* The list grows while its own edges are told, so it must not be the object asked for. */
static PyObject *edges(PyObject *self, PyObject *op)
{
    (void)self;
    PyObject *list = PyList_New(0);
    if (!prepare()) {
        Py_DECREF(list);
        return NULL;
    }
    rft_edges_each(op, append_edge, list);
    return list;
}

static PyObject *label_tuple(const struct rft_label *label)
{
    return Py_BuildValue(
        "(iKN)", label->kind, (unsigned long long)label->index,
        PyUnicode_DecodeUTF8(label->text, (Py_ssize_t)label->length, "surrogatepass"));
}

static PyObject *label(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *holder, *target;
    struct rft_label found;
    if (!PyArg_ParseTuple(args, "OO", &holder, &target) || !prepare()) {
        return NULL;
    }
    rft_label_of(holder, target, &found);
    return label_tuple(&found);
}

static PyObject *labels(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *path;
    const char *root_label = NULL;
    const void *objects[64];
    struct rft_label found[64];
    if (!PyArg_ParseTuple(args, "O!|z", &PyList_Type, &path, &root_label) || !prepare()) {
        return NULL;
    }
    size_t count = (size_t)PyList_GET_SIZE(path);
    struct rft_root root = {.kind = RFT_ROOT_LOCAL,
                            .label = root_label,
                            .label_length = root_label != NULL ? strlen(root_label) : 0};
    for (size_t i = 0; i < count && i < 64; i++) {
        objects[i] = PyList_GET_ITEM(path, (Py_ssize_t)i);
    }
    rft_labels_of(objects, count, root_label != NULL ? &root : NULL, found);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; i + 1 < count; i++) {
        PyObject *one = label_tuple(&found[i]);
        PyList_Append(list, one);
        Py_DECREF(one);
    }
    return list;
}

struct copied_root {
    struct rft_root root;
    char label[256], detail[256];
};
static struct copied_root *copies;
static size_t copy_count;
enum { COPIES = 65536 };

static int copy_root(const struct rft_root *root, void *arg)
{
    (void)arg;
    if (copy_count < COPIES) {
        struct copied_root *copy = &copies[copy_count++];
        copy->root = *root;
        copy->root.label_length = root->label_length < 256 ? root->label_length : 256;
        copy->root.detail_length = root->detail_length < 256 ? root->detail_length : 256;
        memcpy(copy->label, root->label != NULL ? root->label : "", copy->root.label_length);
        memcpy(copy->detail, root->detail != NULL ? root->detail : "", copy->root.detail_length);
    }
    return 0;
}

static PyObject *roots(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    if (!prepare()) {
        return NULL;
    }
    copies = malloc(COPIES * sizeof *copies);
    copy_count = 0;
    rft_roots_each(PyThreadState_Get(), copy_root, NULL);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; i < copy_count; i++) {
        const struct rft_root *root = &copies[i].root;
        PyObject *one =
            Py_BuildValue("(is#s#Ni)", root->kind, copies[i].label, (Py_ssize_t)root->label_length,
                          copies[i].detail, (Py_ssize_t)root->detail_length,
                          PyLong_FromVoidPtr((void *)root->target), root->counted);
        if (one == NULL) {
            Py_DECREF(list);
            free(copies);
            return NULL;
        }
        PyList_Append(list, one);
        Py_DECREF(one);
    }
    free(copies);
    return list;
}

static struct {
    const void *holder;
    size_t target;
} * pairs;
static size_t pair_count;
enum { PAIRS = 1 << 22 };
static const void *current_holder;

static int note_pair(const void *target, int counted, void *arg)
{
    (void)arg;
    (void)counted;
    size_t at = place_of(target);
    if (heap.slots[at] != 0 && pair_count < PAIRS) {
        pairs[pair_count].holder = current_holder;
        pairs[pair_count++].target = heap.slots[at] - 1;
    }
    return 0;
}

static int look_at_holder(PyObject *op, void *arg)
{
    current_holder = op;
    rft_edges_each(op, note_pair, arg);
    return 1;
}

static PyObject *holders(PyObject *self, PyObject *asked)
{
    (void)self;
    if (!PyList_Check(asked) || !prepare()) {
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(asked);
    heap_begin();
    pairs = malloc(PAIRS * sizeof *pairs);
    pair_count = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        add(PyList_GET_ITEM(asked, i));
    }
    PyUnstable_GC_VisitObjects(look_at_holder, NULL);
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyList_SET_ITEM(list, i, PyList_New(0));
    }
    for (size_t i = 0; i < pair_count; i++) {
        PyList_Append(PyList_GET_ITEM(list, (Py_ssize_t)pairs[i].target),
                      (PyObject *)pairs[i].holder);
    }
    free(pairs);
    heap_end();
    return list;
}

static int count_edge(const void *target, int counted, void *arg)
{
    (void)arg;
    struct object *object = add(target);
    object->found += counted != 0;
    return 0;
}

static int count_root(const struct rft_root *root, void *arg)
{
    return count_edge(root->target, root->counted, arg);
}

/* _Py_IsImmortal (Include/refcount.h; 3.13: object.h): the lower half's sign. */
static int is_immortal(PyObject *op)
{
    int32_t low;
    memcpy(&low, op, sizeof low);
    return low < 0;
}

static PyObject *audit(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    if (!prepare()) {
        return NULL;
    }
    heap_begin();
    PyUnstable_GC_VisitObjects(on_gc_object, NULL);
    rft_roots_each(PyThreadState_Get(), count_root, NULL);
    for (size_t i = 0; i < heap.count; i++) {
        rft_edges_each(heap.objects[i].op, count_edge, NULL);
    }
    size_t mortal = 0;
    PyObject *list = NULL;
    struct {
        const void *op;
        const char *type;
        int64_t refcount, found;
    } *wrong = malloc((heap.count + 1) * sizeof *wrong);
    size_t wrong_count = 0;
    for (size_t i = 0; i < heap.count; i++) {
        PyObject *op = (PyObject *)heap.objects[i].op;
        if (is_immortal(op)) {
            continue;
        }
        mortal++;
        if (Py_REFCNT(op) != heap.objects[i].found) {
            wrong[wrong_count].op = op;
            wrong[wrong_count].type = Py_TYPE(op)->tp_name;
            wrong[wrong_count].refcount = Py_REFCNT(op);
            wrong[wrong_count++].found = heap.objects[i].found;
        }
    }
    list = PyList_New(0);
    for (size_t i = 0; i < wrong_count; i++) {
        PyObject *one = Py_BuildValue("(OsLL)", wrong[i].op, wrong[i].type,
                                      (long long)wrong[i].refcount, (long long)wrong[i].found);
        PyList_Append(list, one);
        Py_DECREF(one);
    }
    free(wrong);
    heap_end();
    return Py_BuildValue("(nN)", (Py_ssize_t)mortal, list);
}

static PyMethodDef methods[] = {
    {"edges", edges, METH_O, NULL},
    {"label", label, METH_VARARGS, NULL},
    {"labels", labels, METH_VARARGS, NULL},
    {"roots", roots, METH_NOARGS, NULL},
    {"holders", holders, METH_O, NULL},
    {"audit", audit, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "probe", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_probe(void)
{
    return PyModule_Create(&definition);
}

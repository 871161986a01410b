/* An extension with known faults in its reference counts, for tests of the refcount audit.
 * Each function says what is wrong with it; `correct` does the same things rightly. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* A reference to the argument is taken and never given back. */
static PyObject *leak_argument(PyObject *self, PyObject *argument)
{
    (void)self;
    Py_INCREF(argument);
    Py_RETURN_NONE;
}

/* The result has one reference more than the caller gets. */
static PyObject *leak_result(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    PyObject *list = PyList_New(3);
    for (Py_ssize_t i = 0; i < 3; i++) {
        PyList_SET_ITEM(list, i, Py_NewRef(Py_None));
    }
    Py_XINCREF(list);
    return list;
}

/* The list is forgotten if the argument is no int; otherwise all is well. */
static PyObject *leak_on_error(PyObject *self, PyObject *argument)
{
    (void)self;
    PyObject *list = Py_BuildValue("[i]", 1);
    if (list == NULL) {
        return NULL;
    }
    if (!PyLong_Check(argument)) {
        PyErr_SetString(PyExc_TypeError, "an int is needed");
        return NULL; /* fault: without Py_DECREF(list) */
    }
    if (PyList_Append(list, argument) < 0) {
        Py_DECREF(list);
        return NULL;
    }
    return list;
}

/* PyList_Append takes a reference of its own; ours is never given back. */
static PyObject *leak_into_container(PyObject *self, PyObject *container)
{
    (void)self;
    PyObject *item = PyByteArray_FromStringAndSize("item", 4);
    if (item == NULL || PyList_Append(container, item) < 0) {
        Py_XDECREF(item);
        return NULL;
    }
    Py_RETURN_NONE; /* fault: without Py_DECREF(item) */
}

static PyType_Slot no_slots[] = {{0, NULL}};
static PyType_Spec spec = {"faults.Made", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT, no_slots};

/* A type is made at each call and forgotten. */
static PyObject *leak_type(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    PyObject *type = PyType_FromSpec(&spec);
    return type != NULL ? Py_NewRef(Py_None) : NULL; /* fault: without Py_DECREF(type) */
}

/* The exception that a call raised is taken from the thread and forgotten. */
static PyObject *leak_exception(PyObject *self, PyObject *function)
{
    (void)self;
    PyObject *result = PyObject_CallNoArgs(function);
    if (result == NULL) {
        PyErr_GetRaisedException(); /* fault: the reference is ours */
        Py_RETURN_NONE;
    }
    return result;
}

/* Gives back a reference that was only borrowed: whoever holds the object has one that does not
 * count any more. */
static PyObject *release_too_often(PyObject *self, PyObject *container)
{
    (void)self;
    PyObject *borrowed = PyList_GetItem(container, 0);
    if (borrowed == NULL) {
        return NULL;
    }
    Py_DECREF(borrowed); /* fault */
    Py_RETURN_NONE;
}

/* Undoes release_too_often, so that the program can end. */
static PyObject *take_again(PyObject *self, PyObject *container)
{
    (void)self;
    PyObject *borrowed = PyList_GetItem(container, 0);
    if (borrowed == NULL) {
        return NULL;
    }
    Py_INCREF(borrowed);
    Py_RETURN_NONE;
}

/* Holds an object, and a borrowed one, and has no tp_traverse: nobody can be told. */
typedef struct {
    PyObject base;
    PyObject *owned, *borrowed;
} Opaque;

static void opaque_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Opaque *)self)->owned);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot opaque_slots[] = {{Py_tp_dealloc, opaque_dealloc}, {0, NULL}};
static PyType_Spec opaque_spec = {"faults.Opaque", sizeof(Opaque), 0, Py_TPFLAGS_DEFAULT,
                                  opaque_slots};
static PyObject *opaque_type;

static PyObject *hide(PyObject *self, PyObject *argument)
{
    (void)self;
    if (opaque_type == NULL && (opaque_type = PyType_FromSpec(&opaque_spec)) == NULL) {
        return NULL;
    }
    Opaque *opaque = PyObject_New(Opaque, (PyTypeObject *)opaque_type);
    if (opaque == NULL) {
        return NULL;
    }
    opaque->owned = Py_NewRef(argument);
    opaque->borrowed = (PyObject *)Py_TYPE(argument);
    return (PyObject *)opaque;
}

/* The same, with one reference too many. */
static PyObject *hide_and_leak(PyObject *self, PyObject *argument)
{
    Py_INCREF(argument); /* fault */
    return hide(self, argument);
}

static void release_content(PyObject *capsule)
{
    Py_DECREF(PyCapsule_GetPointer(capsule, NULL));
}

/* A capsule that owns the argument. */
static PyObject *enclose(PyObject *self, PyObject *argument)
{
    (void)self;
    PyObject *capsule = PyCapsule_New(argument, NULL, release_content);
    if (capsule != NULL) {
        Py_INCREF(argument);
    }
    return capsule;
}

/* One that only points to it, though a reference was taken for it. */
static PyObject *enclose_and_leak(PyObject *self, PyObject *argument)
{
    (void)self;
    return PyCapsule_New(Py_NewRef(argument), NULL, NULL); /* fault: without a destructor */
}

/* Takes and gives back references to its argument, makes a list, a type, an exception, and leaves
 * one new list in the container. */
static PyObject *correct(PyObject *self, PyObject *container)
{
    (void)self;
    Py_INCREF(container);
    PyObject *list = Py_BuildValue("[i]", 1);
    PyObject *type = PyType_FromSpec(&spec);
    int failed = list == NULL || type == NULL || PyList_Append(container, list) < 0;
    Py_XDECREF(list);
    Py_XDECREF(type);
    Py_DECREF(container);
    if (failed) {
        return NULL;
    }
    PyErr_SetString(PyExc_ValueError, "to be dropped");
    PyErr_Clear();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"leak_argument", leak_argument, METH_O, NULL},
    {"leak_result", leak_result, METH_NOARGS, NULL},
    {"leak_on_error", leak_on_error, METH_O, NULL},
    {"leak_into_container", leak_into_container, METH_O, NULL},
    {"leak_type", leak_type, METH_NOARGS, NULL},
    {"leak_exception", leak_exception, METH_O, NULL},
    {"release_too_often", release_too_often, METH_O, NULL},
    {"take_again", take_again, METH_O, NULL},
    {"hide", hide, METH_O, NULL},
    {"hide_and_leak", hide_and_leak, METH_O, NULL},
    {"enclose", enclose, METH_O, NULL},
    {"enclose_and_leak", enclose_and_leak, METH_O, NULL},
    {"correct", correct, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "faults", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_faults(void)
{
    return PyModule_Create(&definition);
}

/* An extension module with two tracers at once: births by type's name, and how many more
 * objects there are than at the start.
 *
 *   cc -shared -fPIC births_by_type.c -o births_by_type.so \
 *       $(python3-config --includes) $(pkg-config --cflags --libs reftracer)
 *   python3 -c 'import births_by_type as b; b.start(); x = [[] for i in range(9)]; print(b.stop())' */
#include <Python.h>
#include <reftracer/tracer.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { TYPES = 512, NAME = 64 };

/* A tracer must not make objects, so it counts in memory of its own. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* there may be several GILs, or none */
static struct { char name[NAME]; long births; } types[TYPES];
static atomic_long more;
static rft_tracer_id ids[2]; /* 0: not added, which rft_tracer_remove() refuses */

static int count_births(PyObject *op, int event, void *Py_UNUSED(data))
{
    if (event != RFT_TRACER_CREATE)
        return 0;
    const char *name = Py_TYPE(op)->tp_name; /* copied: the type may go */
    int i = 0;
    pthread_mutex_lock(&lock);
    while (i < TYPES - 1 && types[i].name[0] != 0 && strncmp(types[i].name, name, NAME - 1) != 0)
        i++;
    strncpy(types[i].name, i < TYPES - 1 ? name : "(others)", NAME - 1);
    types[i].births++;
    pthread_mutex_unlock(&lock);
    return 0;
}
static int balance(PyObject *Py_UNUSED(op), int event, void *data)
{
    static const int change[] = {1, -1, 0}; /* created, destroyed, tracer removed */
    atomic_fetch_add((atomic_long *)data, change[event]);
    return 0;
}

static PyObject *stop(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    for (int i = 0; i < 2; ids[i++] = 0)
        rft_tracer_remove(ids[i], NULL); /* no call of it comes after this */
    PyObject *result = PyDict_New();
    for (int i = 0; result != NULL && i < TYPES && types[i].name[0] != 0; i++) {
        PyObject *count = PyLong_FromLong(types[i].births);
        if (count == NULL || PyDict_SetItemString(result, types[i].name, count) != 0)
            Py_CLEAR(result);
        Py_XDECREF(count);
    }
    return result == NULL ? NULL : Py_BuildValue("(Nl)", result, atomic_load(&more));
}

static PyObject *start(PyObject *self, PyObject *none)
{
    struct rft_error *error = NULL;
    PyObject *former = stop(self, none); /* a second start begins anew */
    if (former == NULL)
        return NULL;
    Py_DECREF(former);
    memset(types, 0, sizeof types);
    atomic_store(&more, 0);
    if (rft_tracer_add(count_births, NULL, &ids[0], &error) == 0 &&
        rft_tracer_add(balance, &more, &ids[1], &error) == 0)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_RuntimeError, error->message);
    rft_error_destroy(error);
    return NULL;
}

static PyMethodDef methods[] = {{"start", start, METH_NOARGS, "Begin to count."},
                                {"stop", stop, METH_NOARGS, "({type: births}, more)"}, {0}};
static PyModuleDef_Slot slots[] = {{Py_mod_gil, Py_MOD_GIL_NOT_USED}, {0}};
static struct PyModuleDef module = {.m_base = PyModuleDef_HEAD_INIT, .m_name = "births_by_type",
                                    .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit_births_by_type(void) { return PyModuleDef_Init(&module); }

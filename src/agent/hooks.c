/* Beginning and end, by way of CPython's audit events (PEP 578).
 *
 * An audit hook can be added before Python starts. At the first event after
 * Py_IsInitialized() the tracer goes in. In each interpreter, as soon as it can
 * import atexit, a callback of ours is registered there: atexit runs last what
 * was registered first, so ours sees the program's objects still alive, with
 * everything else of atexit done. Later moments (the event
 * cpython.PyInterpreterState_Clear, PyUnstable_AtExit) find them gone. */
#include "agent/agent.h"

#include <string.h>
#include <unistd.h>

/* Objects are opaque here: this file is built without Python.h. */
struct method {
    const char *name;
    void *(*function)(void *self, void *arguments);
    int flags;
    const char *doc;
};
enum { METH_NOARGS = 4 };

static struct {
    int (*add_audit_hook)(int (*)(const char *, void *, void *), void *);
    void *(*import_module)(const char *);
    void *(*new_function)(struct method *, void *, void *);
    void *(*call_method)(void *, const char *, const char *, ...);
    void *(*get_exception)(void);
    void (*set_exception)(void *);
    void (*clear_error)(void);
    void (*decref)(void *);
    void (*incref)(void *);
    long (*collect)(void);
    unsigned (*clear_type_cache)(void);
    void *none;
} py;

/* Interpreters whose atexit has our callback. Behind their own GILs: each
 * entry is written once, by its interpreter's thread. */
enum { INTERPRETERS = 4096 };
static void *_Atomic registered[INTERPRETERS];

static _Atomic bool starting;

/* The list of audit hooks: _PyRuntime.audit_hooks.head -> {next, function, data}.
 * An entry made before Python starts comes from the plain allocator; with
 * -X dev or PYTHONMALLOC=debug Python later frees it with the debugging one,
 * and aborts. So ours is taken out and made anew once Python is up. */
struct hook_entry {
    struct hook_entry *next;
    int (*function)(const char *, void *, void *);
    void *data;
};
static struct hook_entry **early_hook; /* where the runtime points to our early entry */

/* The end of the main interpreter: everything is still there. */
void rft_finish(enum rft_census_kind kind, enum rft_end_reason reason)
{
    struct rft_thread *t = rft_thread_record();
    if (t == NULL) {
        return;
    }
    rft_slot_check(true); /* a gap that began after the ticker's last look */
    if (kind == RFT_CENSUS_OS_EXIT && rft_config.holders > 0) {
        rft_survey(RFT_HEAP_EXIT, "", rft_config.holders);
    }
    if (tracer.py.thread_state() != NULL) {
        rft_record_census(t, kind, 0);
    } else {
        rft_loss(RFT_LOSS_LATE_CENSUS, rft_now_ms(), 0, 0,
                 "the process ended in a thread that Python did not know");
        rft_record_tick(rft_now_ms(), false);
    }
    rft_record_end(reason);
    if (reason != RFT_END_EXEC) {
        int tracing = RFT_TRACING;
        atomic_compare_exchange_strong(&tracer.state, &tracing, RFT_STOPPED);
        rft_slot_end();
    }
}

static bool has_other_threads(const char *tstate)
{
    const char *next, *previous;
    memcpy(&next, tstate + tracer.layout.at[RFT_THREAD_NEXT], sizeof next);
    memcpy(&previous, tstate + tracer.layout.at[RFT_THREAD_PREV], sizeof previous);
    return next != NULL || previous != NULL;
}

/* Collects cyclic garbage, so that the census shows what is held, not what
 * waits, and empties the interpreter's cache of attribute look-ups, which holds up
 * to 4,096 strings that the program has let go of (Objects/typeobject.c). Finalizers run, as they
 * would a moment later in the interpreter's own end, with one difference: there, a __del__ that
 * waits for a daemon thread gets an exception (3.13+), here it would wait for ever. So not when
 * such threads and objects with a __del__ are both there. */
static void collect(const char *tstate)
{
    if (has_other_threads(tstate) && rft_sites_any_finalizer()) {
        rft_record_mark("no final gc.collect(): daemon threads run, and objects have __del__");
        return;
    }
    rft_record_mark(RFT_MARK_COLLECTION); /* the analysis tells what only it freed */
    py.collect();
    py.clear_type_cache();
}

static void *on_exit_of_interpreter(void *self, void *arguments)
{
    (void)self;
    (void)arguments;
    void *tstate = tracer.py.thread_state();
    if (atomic_load(&tracer.state) == RFT_FORKED) {
        rft_fork_in_child();
    }
    struct rft_thread *t = atomic_load(&tracer.state) == RFT_TRACING ? rft_thread_record() : NULL;
    if (t != NULL && tstate != NULL) {
        /* Before the collection, which would take away the garbage. */
        if (rft_config.holders > 0) {
            rft_survey(RFT_HEAP_EXIT, "", rft_config.holders);
        }
        if (rft_config.collect) {
            collect(tstate);
        }
        if (rft_is_main_interpreter(tstate)) {
            rft_ticker_stop();
            rft_finish(RFT_CENSUS_EXIT, RFT_END_EXIT);
        } else {
            bool ended;
            uint32_t index = rft_interp_index(t, tstate, &ended);
            rft_record_census(t, RFT_CENSUS_INTERPRETER_END, index);
            rft_interp_ended(index, rft_now_ms());
        }
    }
    py.incref(py.none);
    return py.none;
}

static struct method exit_method = {"_reftracer_census", on_exit_of_interpreter, METH_NOARGS, NULL};

/* Registers the callback with this interpreter's atexit; false: too early. */
static bool register_exit(void)
{
    void *atexit_module = py.import_module("atexit");
    void *function = atexit_module != NULL ? py.new_function(&exit_method, NULL, NULL) : NULL;
    void *result =
        function != NULL ? py.call_method(atexit_module, "register", "O", function) : NULL;
    bool done = result != NULL;
    if (!done) {
        py.clear_error();
    }
    if (result != NULL)
        py.decref(result);
    if (function != NULL)
        py.decref(function);
    if (atexit_module != NULL)
        py.decref(atexit_module);
    return done;
}

static void *interpreter_of(void *tstate)
{
    return *(void **)((char *)tstate + tracer.layout.at[RFT_THREAD_INTERP]);
}

bool rft_is_main_interpreter(void *tstate)
{
    int64_t id;
    memcpy(&id, (char *)interpreter_of(tstate) + tracer.layout.at[RFT_INTERP_ID], sizeof id);
    return id == 0;
}

static int find(void *interpreter)
{
    for (int i = 0; i < INTERPRETERS; i++) {
        void *known = atomic_load_explicit(&registered[i], memory_order_relaxed);
        if (known == interpreter) {
            return i;
        }
    }
    return -1;
}

static void forget(void *interpreter)
{
    int i = find(interpreter);
    if (i >= 0) {
        atomic_store_explicit(&registered[i], NULL, memory_order_relaxed);
    }
}

static void remember(void *interpreter)
{
    for (int i = 0; i < INTERPRETERS; i++) {
        void *expected = NULL;
        if (atomic_compare_exchange_strong(&registered[i], &expected, interpreter)) {
            return;
        }
    }
}

static _Thread_local void *last_registered; /* interpreter; saves the search */

static int on_audit(const char *event, void *arguments, void *data);

/* Adds the hook, and finds out where the runtime keeps it: the one word of
 * _PyRuntime that was NULL before and points to our entry after. */
static bool add_early_hook(void)
{
    size_t size = tracer.layout.at[RFT_RUNTIME_SIZE];
    char *runtime = tracer.py.runtime, *before = rft_pages_alloc(size);
    if (before != NULL) {
        memcpy(before, runtime, size);
    }
    bool added = py.add_audit_hook(on_audit, NULL) == 0;
    for (size_t at = 0; added && before != NULL && at + 8 <= size; at += 8) {
        void *now, *was;
        memcpy(&now, runtime + at, sizeof now);
        memcpy(&was, before + at, sizeof was);
        if (was == NULL && now != NULL && (uintptr_t)now > 4096 && (uintptr_t)now % 16 == 0 &&
            ((struct hook_entry *)now)->function == on_audit) {
            early_hook = (struct hook_entry **)(void *)(runtime + at);
            break;
        }
    }
    rft_pages_free(before, size);
    return added;
}

static void renew_hook(void)
{
    struct hook_entry *entry = early_hook != NULL ? *early_hook : NULL;
    if (entry == NULL || entry->function != on_audit) {
        return;
    }
    /* The entry itself stays: CPython is walking the list, and is at it. */
    *early_hook = entry->next;
    early_hook = NULL;
    if (py.add_audit_hook(on_audit, NULL) != 0) {
        py.clear_error(); /* another tool's hook refused ours: interpreters end unnoticed */
    }
}

/* NULL, or why not. */
static const char *start(void)
{
    struct rft_thread *t;
    rft_tracer_set_clock();
    if (!rft_record_begin(false) || (t = rft_thread_record()) == NULL) {
        atomic_store(&tracer.state, RFT_STOPPED);
        return "its file can't be created, or there is no memory";
    }
    tracer.on_clock = rft_ticker_on_clock;
    tracer.on_fork = rft_fork_in_child;
    tracer.on_thread = rft_watch_thread_end;
    atomic_store(&tracer.state, RFT_TRACING);
    rft_collector_begin(tracer.py.thread_state());
    rft_names_held_begin(tracer.py.thread_state());
    if (!rft_slot_begin()) {
        py.clear_error();
        atomic_store(&tracer.state, RFT_STOPPED);
        return "CPython refused the tracer";
    }
    static bool prepared_fork;
    if (!prepared_fork) {
        prepared_fork = true;
        rft_fork_prepare_handlers();
    }
    rft_ticker_start();
    return NULL;
}

static void start_or_register(const char *event, void *tstate)
{
    /* Ours, not the program's: its births must not be counted. */
    void *exception = py.get_exception();
    if (!atomic_exchange(&starting, true)) {
        renew_hook();
        const char *error = start();
        if (error != NULL) {
            rft_say("not traced: %s", error);
        }
    }
    struct rft_thread *t = atomic_load(&tracer.state) == RFT_TRACING ? rft_thread_record() : NULL;
    void *interpreter = interpreter_of(tstate);
    if (t != NULL && find(interpreter) < 0 &&
        (rft_is_main_interpreter(tstate) || strcmp(event, "import") == 0)) {
        t->muted |= RFT_MUTED_OURS;
        if (register_exit()) {
            remember(interpreter);
            last_registered = interpreter;
        }
        t->muted &= (uint8_t)~RFT_MUTED_OURS;
    } else if (find(interpreter) >= 0) {
        last_registered = interpreter;
    }
    if (exception != NULL) {
        py.set_exception(exception);
    }
}

const char *rft_start_now(bool add_hook)
{
    if (add_hook && py.add_audit_hook(on_audit, NULL) != 0) {
        py.clear_error(); /* another tool's hook refused ours: interpreters end unnoticed */
    }
    atomic_store(&starting, true);
    const char *error = start();
    char *tstate = tracer.py.thread_state();
    if (error == NULL && tstate != NULL) {
        start_or_register("import", tstate);
    }
    return error;
}

void rft_collect_before_census(void)
{
    char *tstate = tracer.py.thread_state();
    if (tstate != NULL) {
        collect(tstate);
    }
}

static int on_audit(const char *event, void *arguments, void *data)
{
    (void)arguments;
    (void)data;
    if (!tracer.py.is_initialized()) {
        return 0;
    }
    void *tstate = tracer.py.thread_state();
    if (tstate == NULL ||
        atomic_load_explicit(&tracer.state, memory_order_relaxed) == RFT_STOPPED) {
        return 0;
    }
    if (event[0] == 'c' && strcmp(event, "cpython.PyInterpreterState_Clear") == 0) {
        /* Its address may be another interpreter's soon. */
        forget(interpreter_of(tstate));
        last_registered = NULL;
        rft_addresses_void();
        return 0;
    }
    if (last_registered == interpreter_of(tstate)) {
        return 0;
    }
    static _Thread_local bool inside; /* importing atexit raises events of its own */
    if (!inside) {
        inside = true;
        start_or_register(event, tstate);
        inside = false;
    }
    return 0;
}

bool rft_hooks_find(void)
{
    static const struct {
        void *place;
        const char *name;
    } functions[] = {
        {&py.add_audit_hook, "PySys_AddAuditHook"},
        {&py.import_module, "PyImport_ImportModule"},
        {&py.new_function, "PyCFunction_NewEx"},
        {&py.call_method, "PyObject_CallMethod"},
        {&py.get_exception, "PyErr_GetRaisedException"},
        {&py.set_exception, "PyErr_SetRaisedException"},
        {&py.clear_error, "PyErr_Clear"},
        {&py.decref, "Py_DecRef"},
        {&py.incref, "Py_IncRef"},
        {&py.collect, "PyGC_Collect"},
        {&py.clear_type_cache, "PyType_ClearCache"},
        {&py.none, "_Py_NoneStruct"},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *symbol = rft_symbol(functions[i].name);
        if (symbol == NULL) {
            return false;
        }
        memcpy(functions[i].place, &symbol, sizeof symbol);
    }
    return true;
}

bool rft_hooks_install(void)
{
    return add_early_hook();
}

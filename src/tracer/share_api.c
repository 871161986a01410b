/* include/reftracer/tracer.h: the library's subscribers. */
#include <reftracer/tracer.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "layout/layout.h"
#include "tracer/share.h"

static struct {
    pthread_mutex_t lock; /* guards what follows; threads in callbacks pause before it */
    bool found;           /* CPython, and how to use it */
    uint32_t version;
    size_t runtime_size;
    char *runtime;
    void *(*thread_state)(void);
    int (*set_tracer)(rft_callback, void *);
    rft_callback (*get_tracer)(void **);
    void *(*error_occurred)(void);
    int (*is_initialized)(void);
    bool fork_handlers;
    struct rft_slot *slot;     /* in _PyRuntime, once it is found */
    struct rft_subscriber set; /* by rft_tracer_set(); id 0: none */
} api = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int fail(struct rft_error **to, struct rft_error *error)
{
    if (to != NULL) {
        *to = error;
    } else {
        rft_error_destroy(error);
    }
    return -1;
}

static void lock(void)
{
    rft_share_pause();
    pthread_mutex_lock(&api.lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&api.lock);
    rft_share_resume();
}

static void *symbol(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

/* PY_VERSION_HEX and its text, of a CPython that may be too old for all else. */
static struct rft_error *find_version(char *text, size_t size)
{
    const char *(*get_version)(void);
    void *address = symbol("Py_GetVersion");
    if (address == NULL) {
        return rft_error_format(RFT_ERROR_NOT_PYTHON,
                                "cannot trace references: this process has no CPython whose "
                                "symbols are global");
    }
    memcpy(&get_version, &address, sizeof get_version);
    snprintf(text, size, "%.40s", get_version());
    text[strcspn(text, " ")] = 0;
    return NULL;
}

/* Holds api.lock. */
static struct rft_error *find_cpython(void)
{
    char version[48];
    struct rft_error *error = api.found ? NULL : find_version(version, sizeof version);
    if (api.found || error != NULL) {
        return error;
    }
    const struct {
        void *place;
        const char *name;
    } symbols[] = {
        {&api.set_tracer, "PyRefTracer_SetTracer"},
        {&api.get_tracer, "PyRefTracer_GetTracer"},
        {&api.thread_state, "PyThreadState_GetUnchecked"},
        {&api.error_occurred, "PyErr_Occurred"},
        {&api.is_initialized, "Py_IsInitialized"},
        {&api.runtime, "_PyRuntime"},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *address = symbol(symbols[i].name);
        if (address == NULL) {
            return rft_error_format(RFT_ERROR_UNSUPPORTED,
                                    "cannot trace references in CPython %s: it has no %s; "
                                    "CPython 3.13 or newer is needed",
                                    version, symbols[i].name);
        }
        memcpy(symbols[i].place, &address, sizeof address);
    }
    struct rft_layout layout;
    const char *why = rft_layout_parse(api.runtime, 1024, &layout);
    if (why != NULL) {
        return rft_error_format(RFT_ERROR_UNSUPPORTED, "cannot trace references in CPython %s: %s",
                                version, why);
    }
    api.version = layout.version;
    api.runtime_size = layout.at[RFT_RUNTIME_SIZE];
    rft_share_hooks.is_initialized = api.is_initialized;
    if (!rft_share_init()) {
        return rft_error_no_memory();
    }
    api.found = true;
    return NULL;
}

static struct rft_error *need_thread_state(void)
{
    return api.thread_state() != NULL
               ? NULL
               : rft_error_format(RFT_ERROR_NO_THREAD_STATE,
                                  "this thread has no attached thread state (it does not hold "
                                  "the GIL): call from Python, or after PyGILState_Ensure()");
}

static bool slot_is_known(void)
{
    lock();
    bool known = api.slot != NULL;
    unlock();
    return known;
}

/* Where CPython keeps the slot: by looking for the pair that is in it, or that we put there
 * if it is empty. A tool that is in it must not be set anew: CPython 3.15 would tell it that
 * it was removed. Not under api.lock: to set it, free-threaded 3.15 stops all threads that
 * have a thread state, and one that waited for the lock would not stop. Several threads may
 * be here; they find the same. */
static struct rft_error *find_slot(void)
{
    void *data = NULL;
    bool known = slot_is_known();
    struct rft_error *error = known ? NULL : need_thread_state();
    if (known || error != NULL) {
        return error;
    }
    rft_callback function = api.get_tracer(&data);
    bool empty = function == NULL;
    if (empty) {
        function = rft_share_dispatch;
        data = &api;
        if (api.set_tracer(function, data) != 0) {
            return rft_error_format(RFT_ERROR_INTERRUPTED,
                                    "CPython has refused the tracer: an exception is set");
        }
    }
    struct rft_slot *slot = rft_slot_find(api.runtime, api.runtime_size, function, data);
    if (slot == NULL && !slot_is_known()) {
        if (empty) {
            api.set_tracer(NULL, NULL);
        }
        return rft_error_format(RFT_ERROR_UNSUPPORTED,
                                "cannot share the tracer's slot of CPython %x: it is not where "
                                "it is known to be",
                                (unsigned)api.version);
    }
    lock();
    if (api.slot == NULL) {
        api.slot = slot;
        if (empty) {
            atomic_store(&slot->data, NULL); /* as it was; nobody reads it */
        }
    }
    unlock();
    return NULL;
}

static void before_fork(void)
{
    pthread_mutex_lock(&api.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&api.lock);
}

static void after_fork_in_child(void)
{
    pthread_mutex_unlock(&api.lock);
}

/* Takes the slot for the first subscriber. Holds api.lock. */
static void take_slot(void)
{
    if (!rft_slot_is_taken()) {
        rft_slot_take(api.slot, NULL);
        rft_watch_start();
        /* After those of the locks that are taken under this one: handlers before a fork
         * run in reverse order. */
        if (!api.fork_handlers) {
            api.fork_handlers =
                pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0;
        }
    }
}

/* Holds api.lock. */
static struct rft_error *subscribe(rft_tracer_function function, void *data, uint64_t *id)
{
    *id = rft_share_add((rft_callback)(void (*)(void))function, data);
    if (*id == 0) {
        return rft_error_no_memory();
    }
    take_slot();
    return NULL;
}

/* The last one gives the slot back. Holds api.lock. */
static void leave_if_last(void)
{
    if (rft_share_count() == 0 && rft_slot_is_taken()) {
        rft_watch_stop();
        rft_slot_leave();
    }
}

static struct rft_error *unsubscribe(uint64_t id, struct rft_subscriber *was)
{
    lock();
    enum rft_removal removal = rft_share_remove(id, was);
    if (removal == RFT_REMOVED) {
        leave_if_last();
    }
    unlock();
    return removal == RFT_REMOVED ? NULL
           : removal == RFT_REMOVAL_NO_MEMORY
               ? rft_error_no_memory()
               : rft_error_format(RFT_ERROR_ARGUMENT,
                                  "there is no subscriber %llu, or it has been removed",
                                  (unsigned long long)id);
}

static struct rft_error *ready(void)
{
    lock();
    struct rft_error *error = find_cpython();
    unlock();
    return error;
}

int rft_tracer_add(rft_tracer_function function, void *data, rft_tracer_id *id,
                   struct rft_error **error)
{
    uint64_t new = 0;
    if (function == NULL || id == NULL) {
        return fail(error,
                    rft_error_format(RFT_ERROR_ARGUMENT,
                                     "a subscriber needs a function and a place for its id"));
    }
    struct rft_error *failure = ready();
    if (failure == NULL) {
        failure = find_slot();
    }
    if (failure == NULL) {
        lock();
        failure = subscribe(function, data, &new);
        unlock();
    }
    if (failure != NULL) {
        return fail(error, failure);
    }
    *id = new;
    return 0;
}

int rft_tracer_remove(rft_tracer_id id, struct rft_error **error)
{
    struct rft_subscriber was;
    struct rft_error *failure = ready();
    if (failure == NULL) {
        lock();
        if (id != 0 && api.set.id == id) { /* nobody has been given that one */
            id = 0;
        }
        unlock();
        failure = unsubscribe(id, &was);
    }
    if (failure != NULL) {
        return fail(error, failure);
    }
    was.function(NULL, RFT_TRACER_REMOVED, was.data);
    return 0;
}

/* Takes out what rft_tracer_set() has registered, and tells it. */
static struct rft_error *unset(void)
{
    lock();
    struct rft_subscriber before = api.set;
    api.set = (struct rft_subscriber){0};
    unlock();
    if (before.id == 0) {
        return NULL;
    }
    struct rft_error *error = unsubscribe(before.id, &before);
    bool raised = false;
    if (error == NULL) {
        bool pending = api.error_occurred() != NULL;
        before.function(NULL, RFT_TRACER_REMOVED, before.data);
        raised = !pending && api.error_occurred() != NULL;
    }
    if (error != NULL || raised) {
        lock();
        if (api.set.id == 0) {
            if (raised) {
                error = rft_error_format(RFT_ERROR_INTERRUPTED,
                                         "the tracer that was to be removed has raised an "
                                         "exception; it stays registered");
                before.id = rft_share_add(before.function, before.data);
                take_slot();
            }
            api.set = before;
        }
        unlock();
    }
    return error;
}

int rft_tracer_set(rft_tracer_function function, void *data, struct rft_error **error)
{
    struct rft_error *failure = ready();
    if (failure == NULL) {
        failure = need_thread_state();
    }
    if (failure == NULL && function != NULL) {
        failure = find_slot();
    }
    /* Several threads may be at it; the one before is told outside of the lock. */
    for (bool done = false; failure == NULL && !done;) {
        failure = unset();
        if (failure != NULL || function == NULL) {
            break;
        }
        lock();
        if (api.set.id == 0) {
            uint64_t id = 0;
            failure = subscribe(function, data, &id);
            if (failure == NULL) {
                api.set = (struct rft_subscriber){id, (rft_callback)(void (*)(void))function, data};
            }
            done = true;
        }
        unlock();
    }
    return failure == NULL ? 0 : fail(error, failure);
}

rft_tracer_function rft_tracer_get(void **data, struct rft_error **error)
{
    struct rft_subscriber set = {0};
    struct rft_error *failure = ready();
    if (failure == NULL) {
        failure = need_thread_state();
    }
    if (failure == NULL) {
        lock();
        set = api.set;
        unlock();
    } else {
        fail(error, failure);
    }
    if (data != NULL) {
        *data = set.data;
    }
    return (rft_tracer_function)(void (*)(void))set.function;
}

int rft_tracer_state(struct rft_tracer_state *state, struct rft_error **error)
{
    struct rft_gap gap;
    struct rft_error *failure =
        state != NULL ? ready()
                      : rft_error_format(RFT_ERROR_ARGUMENT, "there is no place for the state");
    if (failure != NULL) {
        return fail(error, failure);
    }
    rft_slot_look_and_wait(&gap);
    struct rft_gaps gaps = rft_slot_gaps();
    *state = (struct rft_tracer_state){
        .version = api.version,
        .subscribers = rft_share_count(),
        .in_slot = rft_slot_is_taken() && !gaps.open,
        .foreign = rft_slot_is_taken() && rft_slot_foreign() != NULL,
        .gaps = gaps.count,
        .gap_nanoseconds = gaps.nanoseconds,
        .lost_deaths = rft_slot_lost_deaths(api.version),
    };
    return 0;
}

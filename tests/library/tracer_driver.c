/* Tracers in C for tests/test_tracer.py, which loads this into a CPython with ctypes. A
 * tracer in Python would make objects while it traces. Compiled without Python.h. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <reftracer/tracer.h>

/* What a tracer has seen. One for each subscriber, its data. */
struct seen {
    _Atomic long births, deaths, removals, wrong;
    struct _object *watched; /* its birth and death are counted apart */
    _Atomic long watched_deaths;
    rft_tracer_id id;
};

static void *python(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

/* Does a build without the GIL run here? _Py_DebugOffsets says so, after cookie and version. */
static bool free_threaded(void)
{
    static int known = -1;
    if (known < 0) {
        unsigned long flag = 0;
        const char *runtime = python("_PyRuntime");
        memcpy(&flag, runtime + 16, sizeof flag);
        known = flag != 0;
    }
    return known;
}

/* An object's references, 1 when it has just been born. */
static long reference_count(struct _object *op)
{
    unsigned int local;
    long shared = 0;
    bool split = free_threaded(); /* into ob_ref_local and ob_ref_shared */
    memcpy(&local, (char *)op + (split ? 12 : 0), sizeof local); /* else half of ob_refcnt */
    if (split) {
        memcpy(&shared, (char *)op + 16, sizeof shared);
    }
    return (long)local + (shared >> 2);
}

static void *type_of(struct _object *op)
{
    void *type;
    memcpy(&type, (char *)op + (free_threaded() ? 24 : 8), sizeof type);
    return type;
}

int count_events(struct _object *op, int event, void *data)
{
    struct seen *seen = data;
    if (event == RFT_TRACER_REMOVED) {
        atomic_fetch_add(op == NULL ? &seen->removals : &seen->wrong, 1);
        return 0;
    }
    if (atomic_load(&seen->removals) != 0) {
        atomic_fetch_add(&seen->wrong, 1);
    }
    if (event == RFT_TRACER_CREATE) {
        if (type_of(op) == NULL || reference_count(op) != 1) {
            atomic_fetch_add(&seen->wrong, 1);
        }
        atomic_fetch_add(&seen->births, 1);
    } else {
        atomic_fetch_add(&seen->deaths, 1);
        if (op == seen->watched) {
            atomic_fetch_add(&seen->watched_deaths, 1);
        }
    }
    return -1; /* not looked at */
}

struct seen *seen_new(void)
{
    return calloc(1, sizeof(struct seen));
}
long seen_births(struct seen *seen)
{
    return atomic_load(&seen->births);
}
long seen_deaths(struct seen *seen)
{
    return atomic_load(&seen->deaths);
}
long seen_removals(struct seen *seen)
{
    return atomic_load(&seen->removals);
}
long seen_wrong(struct seen *seen)
{
    return atomic_load(&seen->wrong);
}
long seen_watched_deaths(struct seen *seen)
{
    return atomic_load(&seen->watched_deaths);
}
void seen_watch(struct seen *seen, void *object)
{
    seen->watched = object;
}

/* Each answer is 0, or minus the error's code; the message is kept. */
static char message[512];

const char *last_message(void)
{
    return message;
}

static int answer(int result, struct rft_error **place)
{
    struct rft_error *error = *place;
    message[0] = 0;
    if (result == 0) {
        return 0;
    }
    snprintf(message, sizeof message, "%s", error->message);
    int code = (int)error->code;
    rft_error_destroy(error);
    return -code;
}

int driver_set(struct seen *seen)
{
    struct rft_error *error = NULL;
    return answer(rft_tracer_set(seen != NULL ? count_events : NULL, seen, &error), &error);
}

/* 1: this one is registered; 0: none; -2: something else; else minus the error's code. */
int driver_get(struct seen *expected, int with_data)
{
    struct rft_error *error = NULL;
    void *data = &error;
    rft_tracer_function function = rft_tracer_get(with_data ? &data : NULL, &error);
    if (error != NULL) {
        return data == NULL || !with_data ? answer(-1, &error) : -2;
    }
    if (function == NULL) {
        return !with_data || data == NULL ? 0 : -2;
    }
    return function == count_events && (!with_data || data == expected) ? 1 : -2;
}

/* The same with CPython's own functions. */
int cpython_set(struct seen *seen)
{
    int (*set)(rft_tracer_function, void *);
    void *address = python("PyRefTracer_SetTracer");
    memcpy(&set, &address, sizeof set);
    return set(seen != NULL ? count_events : NULL, seen);
}

int cpython_get(struct seen *expected, int with_data)
{
    rft_tracer_function (*get)(void **);
    void *address = python("PyRefTracer_GetTracer");
    memcpy(&get, &address, sizeof get);
    void *data = &address;
    rft_tracer_function function = get(with_data ? &data : NULL);
    if (function == NULL) {
        return !with_data || data == NULL ? 0 : -2;
    }
    return function == count_events && (!with_data || data == expected) ? 1 : -2;
}

int driver_add(struct seen *seen)
{
    struct rft_error *error = NULL;
    return answer(rft_tracer_add(count_events, seen, &seen->id, &error), &error);
}

int driver_remove(struct seen *seen)
{
    struct rft_error *error = NULL;
    return answer(rft_tracer_remove(seen->id, &error), &error);
}

long driver_state(const char *what)
{
    struct rft_error *error = NULL;
    struct rft_tracer_state state;
    if (rft_tracer_state(&state, &error) != 0) {
        return answer(-1, &error);
    }
    snprintf(message, sizeof message, "%s", state.lost_deaths != NULL ? state.lost_deaths : "");
    return strcmp(what, "gaps") == 0          ? (long)state.gaps
           : strcmp(what, "gap_ns") == 0      ? (long)state.gap_nanoseconds
           : strcmp(what, "in_slot") == 0     ? state.in_slot
           : strcmp(what, "foreign") == 0     ? state.foreign
           : strcmp(what, "subscribers") == 0 ? (long)state.subscribers
           : strcmp(what, "version") == 0     ? (long)state.version
                                              : -1;
}

/* --- without a thread state ----------------------------------------------------------------- */

struct outside {
    struct seen *seen;
    int set, get, add, remove, state;
};

static void *call_outside(void *arg)
{
    struct outside *outside = arg;
    outside->set = driver_set(outside->seen);
    outside->get = driver_get(outside->seen, 1);
    outside->add = driver_add(outside->seen);
    outside->remove = outside->add == 0 ? driver_remove(outside->seen) : 0;
    outside->state = driver_state("version") > 0;
    return NULL;
}

/* In a thread that Python does not know: "set get add remove state". */
const char *driver_outside(struct seen *seen)
{
    static char text[64];
    struct outside outside = {.seen = seen};
    pthread_t thread;
    pthread_create(&thread, NULL, call_outside, &outside);
    pthread_join(thread, NULL);
    snprintf(text, sizeof text, "%d %d %d %d %d", outside.set, outside.get, outside.add,
             outside.remove, outside.state);
    return text;
}

/* --- subscribers that come and go in threads of their own ------------------------------------- */

enum { CHANGERS = 8 };
static pthread_t changers[CHANGERS];
static _Atomic bool stop;
static _Atomic long changes, failures;

static void *change(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) {
        struct seen *seen = seen_new();
        if (driver_add(seen) != 0 || driver_remove(seen) != 0 || atomic_load(&seen->wrong) != 0 ||
            atomic_load(&seen->removals) != 1) {
            atomic_fetch_add(&failures, 1);
        }
        memset(seen, 0xEE, sizeof *seen);
        free(seen);
        atomic_fetch_add(&changes, 1);
        nanosleep(&(struct timespec){0, 500000}, NULL);
    }
    return NULL;
}

void changers_start(void)
{
    atomic_store(&stop, false);
    for (int i = 0; i < CHANGERS; i++) {
        pthread_create(&changers[i], NULL, change, NULL);
    }
}

/* How many changes there were until now. */
long changers_changes(void)
{
    return atomic_load(&changes);
}

/* How many changes there were, negative if one has failed. */
long changers_stop(void)
{
    atomic_store(&stop, true);
    for (int i = 0; i < CHANGERS; i++) {
        pthread_join(changers[i], NULL);
    }
    return atomic_load(&failures) == 0 ? atomic_load(&changes) : -atomic_load(&failures);
}

/* --- a tool that knows nothing of us -----------------------------------------------------------
 */

static int foreign_tracer(struct _object *op, int event, void *data)
{
    struct seen *seen = data;
    atomic_fetch_add(event == 0 ? &seen->births : event == 1 ? &seen->deaths : &seen->removals, 1);
    (void)op;
    return 0;
}

int foreign_set(struct seen *seen)
{
    int (*set)(rft_tracer_function, void *);
    void *address = python("PyRefTracer_SetTracer");
    memcpy(&set, &address, sizeof set);
    return set(seen != NULL ? foreign_tracer : NULL, seen);
}

/* Is that tool, with its data, what CPython has in the slot? 2: the slot is empty. */
int foreign_is_in_slot(struct seen *seen)
{
    rft_tracer_function (*get)(void **);
    void *data, *address = python("PyRefTracer_GetTracer");
    memcpy(&get, &address, sizeof get);
    rft_tracer_function function = get(&data);
    return function == NULL ? 2 : function == foreign_tracer && data == seen;
}

/* A tool whose tracer raises when it is removed (CPython 3.15 keeps it then). */
static int stubborn_tracer(struct _object *op, int event, void *data)
{
    (void)op;
    if (event == RFT_TRACER_REMOVED) {
        void (*raise)(void *, const char *);
        void *address = python("PyErr_SetString"), **type = python("PyExc_ValueError");
        memcpy(&raise, &address, sizeof raise);
        raise(*type, "not now");
        return -1;
    }
    atomic_fetch_add(&((struct seen *)data)->births, event == 0);
    return 0;
}

/* 0 if all was as it must be, else the line. Clears the exception. */
int driver_stubborn(struct seen *seen)
{
    struct rft_error *error = NULL;
    void (*clear)(void);
    void *data = NULL, *address = python("PyErr_Clear");
    memcpy(&clear, &address, sizeof clear);
    if (rft_tracer_set(stubborn_tracer, seen, &error) != 0) {
        return __LINE__;
    }
    int result = rft_tracer_set(NULL, NULL, &error);
    clear();
    if (result != -1 || error == NULL || error->code != RFT_ERROR_INTERRUPTED) {
        return __LINE__;
    }
    rft_error_destroy(error);
    if (rft_tracer_get(&data, &error) != stubborn_tracer || data != seen) {
        return __LINE__;
    }
    return 0;
}

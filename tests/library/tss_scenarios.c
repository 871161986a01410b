/* The same scenarios for rft_tss_* and for CPython's PyThread_tss_*: what each step answers
 * is written to a string, one letter a step, and the two strings are compared. Loaded into a
 * CPython with ctypes (tests/test_tss.py), and compiled without Python.h. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <reftracer/tss.h>

struct functions {
    void *(*alloc)(void);
    void (*free)(void *key);
    int (*is_created)(void *key);
    int (*create)(void *key);
    void (*delete)(void *key);
    int (*set)(void *key, void *value);
    void *(*get)(void *key);
};

struct answers {
    char *at;
    const struct functions *f;
    void *key;
};

static void say(struct answers *a, bool yes)
{
    *a->at++ = yes ? 'y' : 'n';
    *a->at = 0;
}

static void say_number(struct answers *a, int number)
{
    *a->at++ = number == 0 ? '0' : number == -1 ? '-' : '+';
    *a->at = 0;
}

static int one, two;

static void *another_thread(void *arg)
{
    struct answers *a = arg;
    say(a, a->f->get(a->key) == NULL);
    say_number(a, a->f->set(a->key, &two));
    say(a, a->f->get(a->key) == &two);
    return NULL;
}

/* Once more in a thread: `another_thread` or what is given. */
static void in_thread(struct answers *a, void *(*function)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, a) != 0) {
        *a->at++ = 'x';
        return;
    }
    pthread_join(thread, NULL);
}

/* A static key of either kind: zeros, as both initialisers are. */
static void TS1(struct answers *a)
{
    static union {
        struct rft_tss ours;
        uint64_t room[8];
    } zero, initialised = {.ours = RFT_TSS_NEEDS_INIT};
    say(a, a->f->is_created(&zero));
    say(a, a->f->is_created(&initialised));
    say_number(a, a->f->create(&zero));
    say(a, a->f->is_created(&zero));
    a->f->delete (&zero);
    say(a, a->f->is_created(&zero));
}

static void TS2(struct answers *a)
{
    a->f->free(NULL);
    void *key = a->f->alloc();
    say(a, key != NULL);
    say(a, a->f->is_created(key));
    a->f->free(key);
    int made = 0;
    for (; made < 3000; made++) { /* free deletes: else the keys of the system run out */
        key = a->f->alloc();
        if (key == NULL || a->f->create(key) != 0) {
            break;
        }
        a->f->free(key);
    }
    say(a, made == 3000);
}

static void TS3(struct answers *a)
{
    say(a, a->f->is_created(a->key));
    a->f->create(a->key);
    say(a, a->f->is_created(a->key));
    a->f->delete (a->key);
    say(a, a->f->is_created(a->key));
}

static void TS4(struct answers *a)
{
    say_number(a, a->f->create(a->key));
    say_number(a, a->f->set(a->key, &one));
    say_number(a, a->f->create(a->key));
    say(a, a->f->get(a->key) == &one);
    a->f->delete (a->key);
}

struct held {
    struct answers *a;
    pthread_barrier_t step;
};

static void *hold_a_value(void *arg)
{
    struct held *held = arg;
    struct answers *a = held->a;
    say_number(a, a->f->set(a->key, &two));
    pthread_barrier_wait(&held->step);
    pthread_barrier_wait(&held->step); /* deleted and created anew meanwhile */
    say(a, a->f->get(a->key) == NULL);
    return NULL;
}

static void TS5(struct answers *a)
{
    struct held held = {.a = a};
    pthread_t thread;
    pthread_barrier_init(&held.step, NULL, 2);
    a->f->delete (a->key);
    say_number(a, a->f->create(a->key));
    a->f->set(a->key, &one);
    pthread_create(&thread, NULL, hold_a_value, &held);
    pthread_barrier_wait(&held.step);
    a->f->delete (a->key);
    a->f->delete (a->key);
    say(a, a->f->is_created(a->key));
    say_number(a, a->f->create(a->key));
    say(a, a->f->get(a->key) == NULL);
    pthread_barrier_wait(&held.step);
    pthread_join(thread, NULL);
    a->f->delete (a->key);
    say(a, one == 0 && two == 0);
    pthread_barrier_destroy(&held.step);
}

static void TS6(struct answers *a)
{
    a->f->create(a->key);
    say(a, a->f->get(a->key) == NULL);
    say_number(a, a->f->set(a->key, &one));
    in_thread(a, another_thread);
    say(a, a->f->get(a->key) == &one);
    say_number(a, a->f->set(a->key, NULL));
    say(a, a->f->get(a->key) == NULL);
    a->f->delete (a->key);
}

static void *without_thread_state(void *arg)
{
    struct answers *a = arg;
    void *(*unchecked)(void);
    void *symbol = dlsym(RTLD_DEFAULT, "PyThreadState_GetUnchecked");
    memcpy(&unchecked, &symbol, sizeof unchecked);
    say(a, unchecked() == NULL);
    TS6(a);
    return NULL;
}

/* In a thread that Python does not know; the value is no address. */
static void TS7(struct answers *a)
{
    in_thread(a, without_thread_state);
    void *nowhere = (void *)(uintptr_t)0xDEADBEEFDEADBEE1u;
    a->f->create(a->key);
    say_number(a, a->f->set(a->key, nowhere));
    say(a, a->f->get(a->key) == nowhere);
    a->f->delete (a->key);
}

static const char *run(const struct functions *f, const char *row)
{
    static const struct {
        const char *name;
        void (*scenario)(struct answers *a);
    } rows[] = {{"TS1", TS1}, {"TS2", TS2}, {"TS3", TS3}, {"TS4", TS4},
                {"TS5", TS5}, {"TS6", TS6}, {"TS7", TS7}};
    static char answers[256];
    struct answers a = {.at = answers, .f = f, .key = f->alloc()};
    answers[0] = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, row) == 0) {
            rows[i].scenario(&a);
        }
    }
    f->free(a.key);
    return answers;
}

static void *our_alloc(void)
{
    return rft_tss_alloc();
}
static void our_free(void *key)
{
    rft_tss_free(key);
}
static int our_is_created(void *key)
{
    return rft_tss_is_created(key);
}
static int our_create(void *key)
{
    return rft_tss_create(key);
}
static void our_delete(void *key)
{
    rft_tss_delete(key);
}
static int our_set(void *key, void *value)
{
    return rft_tss_set(key, value);
}
static void *our_get(void *key)
{
    return rft_tss_get(key);
}

const char *answers_of_reftracer(const char *row)
{
    static const struct functions ours = {our_alloc,  our_free, our_is_created, our_create,
                                          our_delete, our_set,  our_get};
    return run(&ours, row);
}

const char *answers_of_cpython(const char *row)
{
    struct functions theirs;
    const struct {
        void *place;
        const char *name;
    } symbols[] = {
        {&theirs.alloc, "PyThread_tss_alloc"},
        {&theirs.free, "PyThread_tss_free"},
        {&theirs.create, "PyThread_tss_create"},
        {&theirs.delete, "PyThread_tss_delete"},
        {&theirs.set, "PyThread_tss_set"},
        {&theirs.get, "PyThread_tss_get"},
        {&theirs.is_created, "PyThread_tss_is_created"},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(RTLD_DEFAULT, symbols[i].name);
        if (symbol == NULL) {
            return "this process has no CPython";
        }
        memcpy(symbols[i].place, &symbol, sizeof symbol);
    }
    return run(&theirs, row);
}

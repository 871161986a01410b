/* Thread-specific storage over POSIX keys.
 *
 * Each key has a POSIX key; what that holds in a thread is the address of the
 * thread's `struct value`. All values of a key form a list, for visits; all
 * values of a thread another one, for its end. One POSIX key more, `ending`,
 * has a destructor and so tells of the end of threads: it alone, because the
 * destructor of a key may still be on its way when the key has been deleted.
 *
 * Values lie in pages that are never given back: whoever looks at a value that
 * was deleted at that moment sees memory of a value, and by its `key` that it is
 * not its own any more. Their number is that of the busiest moment. The pages
 * come from mmap, since the heap of a traced program must look as it does untraced.
 *
 * The one global exists because threads, their ends and forks belong to the process. */
#include <reftracer/tss.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct value {
    void *_Atomic value;
    const struct rft_tss *_Atomic key; /* NULL: free */
    struct thread *thread;
    struct value *of_key, **of_key_place; /* the next one; who points to this one */
    struct value *of_thread, **of_thread_place;
};

struct thread {
    struct value *values;
    long id;
    struct thread *next_free;
};

static struct {
    pthread_mutex_t lock; /* guards all but value.value and rft_tss.created */
    struct rft_tss *keys; /* all created ones */
    struct value *free_values;
    struct thread *free_threads;
    pthread_key_t ending; /* struct thread of each thread that has a value */
    bool ready;
    _Atomic long visitor; /* id of the thread that is visiting, or 0 */
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* How often at_thread_end() has run in the calling thread. */
static _Thread_local unsigned rounds;

static long thread_id(void)
{
    return syscall(SYS_gettid);
}

/* For a key that may be created or deleted meanwhile: acquire pairs with the release
 * in create(). Builtins, because the public structure has no _Atomic, for C++. */
static bool is_created(const struct rft_tss *key)
{
    return key != NULL && __atomic_load_n(&key->created, __ATOMIC_ACQUIRE) != 0;
}

/* --- memory ------------------------------------------------------------------ */

enum { PAGE_BYTES = 4096 };

static void *page(void)
{
    void *new = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return new == MAP_FAILED ? NULL : new;
}

static struct value *value_alloc(void)
{
    if (registry.free_values == NULL) {
        struct value *values = page();
        for (size_t i = 0; values != NULL && i < PAGE_BYTES / sizeof *values; i++) {
            values[i].of_key = registry.free_values;
            registry.free_values = &values[i];
        }
    }
    struct value *value = registry.free_values;
    if (value != NULL) {
        registry.free_values = value->of_key;
    }
    return value;
}

static struct thread *thread_alloc(void)
{
    if (registry.free_threads == NULL) {
        struct thread *threads = page();
        for (size_t i = 0; threads != NULL && i < PAGE_BYTES / sizeof *threads; i++) {
            threads[i].next_free = registry.free_threads;
            registry.free_threads = &threads[i];
        }
    }
    struct thread *thread = registry.free_threads;
    if (thread != NULL) {
        registry.free_threads = thread->next_free;
        *thread = (struct thread){.id = thread_id()};
    }
    return thread;
}

static void thread_free(struct thread *thread)
{
    thread->next_free = registry.free_threads;
    registry.free_threads = thread;
}

/* --- lists: all hold registry.lock -------------------------------------------- */

static void link_value(struct value *value, struct rft_tss *key, struct thread *thread)
{
    value->thread = thread;
    value->of_key = key->values;
    value->of_key_place = (struct value **)&key->values;
    if (value->of_key != NULL) {
        value->of_key->of_key_place = &value->of_key;
    }
    key->values = value;
    value->of_thread = thread->values;
    value->of_thread_place = &thread->values;
    if (value->of_thread != NULL) {
        value->of_thread->of_thread_place = &value->of_thread;
    }
    thread->values = value;
    atomic_store_explicit(&value->key, key, memory_order_release);
}

static void forget(struct value *value)
{
    atomic_store_explicit(&value->key, NULL, memory_order_release);
    atomic_store_explicit(&value->value, NULL, memory_order_relaxed);
    *value->of_key_place = value->of_key;
    if (value->of_key != NULL) {
        value->of_key->of_key_place = value->of_key_place;
    }
    *value->of_thread_place = value->of_thread;
    if (value->of_thread != NULL) {
        value->of_thread->of_thread_place = value->of_thread_place;
    }
    value->of_key = registry.free_values;
    registry.free_values = value;
}

/* --- threads ------------------------------------------------------------------- */

/* Runs at the end of each thread that has values. A destructor, ours or another
 * library's, may set one again: then there is another round, of at most
 * PTHREAD_DESTRUCTOR_ITERATIONS. */
static void at_thread_end(void *record)
{
    struct thread *thread = record;
    rounds++;
    pthread_mutex_lock(&registry.lock);
    while (thread->values != NULL) {
        struct value *value = thread->values;
        const struct rft_tss *key = atomic_load_explicit(&value->key, memory_order_relaxed);
        void (*destructor)(void *) = key->destructor;
        void *given = atomic_load_explicit(&value->value, memory_order_relaxed);
        pthread_setspecific(key->key, NULL);
        forget(value);
        if (destructor != NULL && given != NULL) {
            pthread_mutex_unlock(&registry.lock);
            destructor(given);
            pthread_mutex_lock(&registry.lock);
        }
    }
    thread_free(thread);
    pthread_mutex_unlock(&registry.lock);
}

/* In the last round nobody would come to take a first value away. A thread's first value
 * may itself be set by a destructor, and keys with a lower number than `ending` have
 * their turn before it: so two rounds are left unused. */
static bool too_late(void)
{
    return rounds >= PTHREAD_DESTRUCTOR_ITERATIONS - 2;
}

/* --- fork ------------------------------------------------------------------------ */

static void before_fork(void)
{
    pthread_mutex_lock(&registry.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&registry.lock);
}

/* The child has one thread. Who else had values is gone, without destructors: they
 * belong to threads that go on in the parent. */
static void after_fork_in_child(void)
{
    pthread_mutex_unlock(&registry.lock);
    atomic_store_explicit(&registry.visitor, 0, memory_order_relaxed);
    struct thread *self = pthread_getspecific(registry.ending);
    for (struct rft_tss *key = registry.keys; key != NULL; key = key->next) {
        for (struct value *value = key->values, *next; value != NULL; value = next) {
            next = value->of_key;
            struct thread *thread = value->thread;
            if (thread != self) {
                forget(value);
                if (thread->values == NULL) {
                    thread_free(thread);
                }
            }
        }
    }
    if (self != NULL) {
        self->id = thread_id();
    }
}

/* Holds registry.lock. */
static bool get_ready(void)
{
    if (!registry.ready && pthread_key_create(&registry.ending, at_thread_end) == 0) {
        if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0) {
            registry.ready = true;
        } else {
            pthread_key_delete(registry.ending); /* another time, perhaps */
        }
    }
    return registry.ready;
}

/* --- public ------------------------------------------------------------------------ */

static int fail(int error)
{
    errno = error;
    return -1;
}

static bool is_visiting(void)
{
    long visitor = atomic_load_explicit(&registry.visitor, memory_order_relaxed);
    return visitor != 0 && visitor == thread_id();
}

struct rft_tss *rft_tss_alloc(void)
{
    return calloc(1, sizeof(struct rft_tss));
}

void rft_tss_free(struct rft_tss *key)
{
    rft_tss_delete(key);
    free(key);
}

int rft_tss_is_created(const struct rft_tss *key)
{
    return is_created(key);
}

int rft_tss_create_with_destructor(struct rft_tss *key, void (*destructor)(void *value))
{
    if (key == NULL) {
        return fail(EINVAL);
    }
    if (is_created(key)) {
        return 0;
    }
    if (is_visiting()) {
        return fail(EDEADLK);
    }
    int error = 0;
    pthread_mutex_lock(&registry.lock);
    pthread_key_t posix;
    if (!is_created(key)) {
        error = get_ready() ? pthread_key_create(&posix, NULL) : EAGAIN;
        if (error == 0) {
            /* Atomic: who saw the key created before a delete may be reading it in own_value(). */
            __atomic_store_n(&key->key, posix, __ATOMIC_RELAXED);
            key->destructor = destructor;
            key->values = NULL;
            key->next = registry.keys;
            registry.keys = key;
            __atomic_store_n(&key->created, 1, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&registry.lock);
    return error == 0 ? 0 : fail(error);
}

int rft_tss_create(struct rft_tss *key)
{
    return rft_tss_create_with_destructor(key, NULL);
}

void rft_tss_delete(struct rft_tss *key)
{
    if (!is_created(key) || is_visiting()) {
        return;
    }
    pthread_mutex_lock(&registry.lock);
    if (is_created(key)) {
        __atomic_store_n(&key->created, 0, __ATOMIC_RELEASE);
        while (key->values != NULL) {
            forget(key->values);
        }
        pthread_key_delete(key->key);
        for (struct rft_tss **place = &registry.keys; *place != NULL; place = &(*place)->next) {
            if (*place == key) {
                *place = key->next;
                break;
            }
        }
    }
    pthread_mutex_unlock(&registry.lock);
}

/* The calling thread's value under the key, or NULL. */
static struct value *own_value(const struct rft_tss *key)
{
    struct value *value = pthread_getspecific(__atomic_load_n(&key->key, __ATOMIC_RELAXED));
    return value != NULL && atomic_load_explicit(&value->key, memory_order_acquire) == key ? value
                                                                                           : NULL;
}

/* The calling thread's first value. Holds registry.lock. */
static int set_first(struct rft_tss *key, void *given)
{
    if (!is_created(key)) {
        return EINVAL;
    }
    struct thread *thread = pthread_getspecific(registry.ending);
    if (too_late()) {
        return EAGAIN;
    }
    struct value *value = value_alloc();
    struct thread *new = value != NULL &&thread == NULL ? thread_alloc() : thread;
    int error = value == NULL || new == NULL ? ENOMEM : 0;
    if (error == 0 && thread == NULL) {
        error = pthread_setspecific(registry.ending, new);
    }
    if (error == 0) {
        error = pthread_setspecific(key->key, value);
    }
    if (error == 0) {
        atomic_store_explicit(&value->value, given, memory_order_release);
        link_value(value, key, new);
        return 0;
    }
    if (value != NULL) {
        value->of_key = registry.free_values;
        registry.free_values = value;
    }
    if (new != NULL && thread == NULL) {
        pthread_setspecific(registry.ending, NULL);
        thread_free(new);
    }
    return error;
}

int rft_tss_set(struct rft_tss *key, void *given)
{
    if (!is_created(key)) {
        return fail(EINVAL);
    }
    struct value *value = own_value(key);
    if (value != NULL) {
        /* Release: a visitor that sees the value sees what it points to. */
        atomic_store_explicit(&value->value, given, memory_order_release);
        return 0;
    }
    if (given == NULL) {
        return 0; /* what a thread begins with */
    }
    if (is_visiting()) {
        return fail(EDEADLK);
    }
    pthread_mutex_lock(&registry.lock);
    int error = set_first(key, given);
    pthread_mutex_unlock(&registry.lock);
    return error == 0 ? 0 : fail(error);
}

void *rft_tss_get(const struct rft_tss *key)
{
    struct value *value = is_created(key) ? own_value(key) : NULL;
    return value == NULL ? NULL : atomic_load_explicit(&value->value, memory_order_relaxed);
}

long rft_tss_visit(struct rft_tss *key, rft_tss_visit_function visit, void *argument)
{
    if (!is_created(key)) {
        return fail(EINVAL);
    }
    if (is_visiting()) {
        return fail(EDEADLK);
    }
    long count = 0;
    pthread_mutex_lock(&registry.lock);
    atomic_store_explicit(&registry.visitor, thread_id(), memory_order_relaxed);
    /* It may have been deleted while we waited: then there are no values. */
    struct value *value = is_created(key) ? key->values : NULL;
    for (; value != NULL; value = value->of_key) {
        void *given = atomic_load_explicit(&value->value, memory_order_acquire);
        if (given == NULL) {
            continue;
        }
        count++;
        if (visit != NULL && visit(given, value->thread->id, argument) != 0) {
            break;
        }
    }
    atomic_store_explicit(&registry.visitor, 0, memory_order_relaxed);
    pthread_mutex_unlock(&registry.lock);
    return count;
}

/* Thread-specific storage: one `void *` for each thread under a key, with the
 * semantics of CPython's PyThread_tss_* functions (PEP 539), for any C program.
 *
 *   static struct rft_tss counter = RFT_TSS_NEEDS_INIT;
 *   if (rft_tss_create(&counter) != 0) ...;        each user may call it: the first one counts
 *   rft_tss_set(&counter, mine);
 *   mine = rft_tss_get(&counter);
 *
 * What CPython does not have: a race of first calls makes exactly one key, using
 * a key that is not created is an error and no accident, values can have a
 * destructor, all threads' values can be visited, and the child of a fork has the
 * value of the thread that forked and no other.
 *
 * No function needs Python, a thread state or the GIL, and none touches what a
 * value points to. Failures are -1 and errno, as CPython's are -1: these functions
 * may be called where nothing may be allocated, so they make no struct rft_error.
 * They are no functions for signal handlers.
 *
 * rft_tss_get, and rft_tss_set in a thread that has a value, take no lock. */
#ifndef REFTRACER_TSS_H
#define REFTRACER_TSS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A key. Its fields are the library's; what is public is its size, so that it
 * can be static. It must stay where it is while it is created. */
struct rft_tss {
    uint32_t created;
    uint32_t key;
    void (*destructor)(void *value);
    void *values;
    struct rft_tss *next;
};

/* A key that is not created yet: static struct rft_tss key = RFT_TSS_NEEDS_INIT; */
#define RFT_TSS_NEEDS_INIT                                                                         \
    {                                                                                              \
        0, 0, NULL, NULL, NULL                                                                     \
    }

/* A key on the heap, not created yet. NULL: no memory (errno ENOMEM). To be given
 * to rft_tss_free(). */
struct rft_tss *rft_tss_alloc(void);

/* Deletes the key if it is created, and frees it. NULL is allowed. */
void rft_tss_free(struct rft_tss *key);

/* 1 between create and delete, else 0. */
int rft_tss_is_created(const struct rft_tss *key);

/* Creates the key. On one that is created: nothing happens, 0. Of several threads
 * that call this at once one creates it, and all return 0 when it is.
 * -1: EAGAIN (the system has no more keys), ENOMEM, EINVAL (key is NULL). */
int rft_tss_create(struct rft_tss *key);

/* The same, and destructor(value) will be called when a thread ends whose value is
 * not NULL: in that thread, once, with the thread's value already forgotten. What a
 * destructor sets anew is destroyed in its turn; after two such rounds rft_tss_set()
 * fails, because the system will run no more than four and would leave it behind.
 * As with POSIX keys, there is no call at the end of the process. On a key that is
 * created the destructor stays what it was. */
int rft_tss_create_with_destructor(struct rft_tss *key, void (*destructor)(void *value));

/* Forgets the key and its values in all threads. No destructor is called, nothing
 * that a value points to is freed. On a key that is not created: nothing. The key
 * can be created again, then all threads' values are NULL. */
void rft_tss_delete(struct rft_tss *key);

/* Sets the calling thread's value. NULL is a value like any other, and what a
 * thread begins with.
 * -1: EINVAL (the key is not created), ENOMEM, EAGAIN (the thread is at the end of
 * its end, see above), EDEADLK (first value of a thread from inside of a visit). */
int rft_tss_set(struct rft_tss *key, void *value);

/* The calling thread's value; NULL if it has set none, or the key is not created. */
void *rft_tss_get(const struct rft_tss *key);

/* Called for each value that is not NULL. thread: the id that the system gives the
 * thread (gettid). A return other than 0 ends the visit. */
typedef int (*rft_tss_visit_function)(void *value, long thread, void *argument);

/* Visits the values of all threads, newest first. While it lasts no thread can
 * begin to have a value or end with one: a value that is visited has not been given
 * to its destructor. Threads may change their values meanwhile. The visitor may
 * read and change its own thread's value, and must not create, delete or visit keys
 * (create and visit return -1 with EDEADLK, delete does nothing).
 * visit: NULL counts only.
 * Returns how many values were visited, or -1: EINVAL (the key is not created),
 * EDEADLK. */
long rft_tss_visit(struct rft_tss *key, rft_tss_visit_function visit, void *argument);

#ifdef __cplusplus
}
#endif
#endif

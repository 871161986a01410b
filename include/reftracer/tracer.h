/* Reference tracing, shared: any number of tracers of one CPython.
 *
 * CPython (3.13 and newer) has one slot for a reference tracer in the whole process,
 * PyRefTracer_SetTracer(). Who sets it puts out whoever was there. This library takes the
 * slot once, for all of its subscribers, and keeps tools that know nothing of it: one that
 * was in the slot before goes on getting its events through us and is put back when the
 * last subscriber leaves; one that overwrites or empties the slot later finds us in front
 * of it again within some 10 ms, and what was not seen meanwhile is counted
 * (rft_tracer_state). Of several other tools the newest is kept: whom it has overwritten
 * it has overwritten, as without us.
 *
 * The library finds CPython in the running process, by dlsym. It is built without Python.h,
 * and one build of it serves every CPython. Programs may include Python.h or not, before
 * this header or after: `struct _object` is PyObject.
 *
 * What a subscriber may do is what CPython allows a reference tracer: it runs in any thread
 * that has a thread state, perhaps in several at once (sub-interpreters with their own GIL,
 * free-threaded builds), with an exception pending, in the middle of an allocation. It must
 * not make Python objects, change reference counts or the exception, or wait for anything
 * that waits for a GIL. It should not call into Python at all. It may call every function
 * of this header and of tss.h.
 *
 * At RFT_TRACER_CREATE the type is set, the reference count is 1 and the size is not set yet.
 * At RFT_TRACER_DESTROY the contents are intact, and the object is freed after. The return
 * value of a tracer is not looked at.
 *
 * Functions return 0, or -1 with an error: in *error, if that is not NULL, to be given to
 * rft_error_destroy(). Common errors: RFT_ERROR_NOT_PYTHON, RFT_ERROR_UNSUPPORTED (a CPython
 * before 3.13, named, or one that this library does not know), RFT_ERROR_NO_THREAD_STATE,
 * RFT_ERROR_NO_MEMORY. */
#ifndef REFTRACER_TRACER_H
#define REFTRACER_TRACER_H

#include <stddef.h>
#include <stdint.h>

#include <reftracer/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct _object;

/* The numbers are CPython's. RFT_TRACER_REMOVED comes with op NULL, on 3.13 and 3.14 too. */
#define RFT_TRACER_CREATE 0
#define RFT_TRACER_DESTROY 1
#define RFT_TRACER_REMOVED 2

typedef int (*rft_tracer_function)(struct _object *op, int event, void *data);

/* --- one tracer, as CPython has it ------------------------------------------------- */

/* Registers `function` in place of what was registered here before, which is first told so:
 * (NULL, RFT_TRACER_REMOVED, its data), its last call. NULL registers nothing. Subscribers
 * of rft_tracer_add() and other tools stay.
 * Needs an attached thread state (the GIL).
 * RFT_ERROR_INTERRUPTED: the tracer that was told has raised an exception; it stays
 * registered, the exception stays set (as in CPython 3.15). */
int rft_tracer_set(rft_tracer_function function, void *data, struct rft_error **error);

/* The function that rft_tracer_set() has registered, and in *data its data; NULL and NULL
 * without one. data may be NULL. Needs an attached thread state: without one it returns NULL,
 * stores NULL and makes an error. */
rft_tracer_function rft_tracer_get(void **data, struct rft_error **error);

/* --- any number of subscribers -------------------------------------------------------- */

/* Names a subscription. Never 0, never used again. */
typedef uint64_t rft_tracer_id;

/* Adds a subscriber; each event that begins after the return is given to it. The same
 * function may be added several times. Subscribers are called in the order in which they
 * were added, those of rft_tracer_set() among them.
 * From any thread, while events flow, also from inside of a callback. The first call in a
 * process needs an attached thread state, further ones do not. */
int rft_tracer_add(rft_tracer_function function, void *data, rft_tracer_id *id,
                   struct rft_error **error);

/* Removes a subscriber. When it returns no thread is in the subscriber's function, and none
 * will be: its code and data may be freed. Its last call, by the calling thread, has been
 * (NULL, RFT_TRACER_REMOVED, data).
 * From any thread, with or without a thread state, while events flow: no thread is stopped,
 * calls that have begun are waited for. A subscriber must therefore not wait for anything
 * that a thread holds while it removes one.
 * From inside of a callback: the calling thread's own calls that are under way are not
 * waited for, all other promises hold. Two callbacks may remove each other.
 * RFT_ERROR_ARGUMENT: there is no such subscriber (any more). RFT_ERROR_NO_MEMORY: it is
 * still subscribed. */
int rft_tracer_remove(rft_tracer_id id, struct rft_error **error);

/* --- what is known -------------------------------------------------------------------- */

struct rft_tracer_state {
    uint32_t version;     /* PY_VERSION_HEX of the CPython */
    uint32_t subscribers; /* with that of rft_tracer_set() */
    int in_slot;          /* 1: events come; 0: no subscriber, or a gap is open */
    int foreign;          /* 1: another tool gets its events through us */
    /* The slot was somebody else's or empty: how often and how long since the library has
     * been loaded, a gap that is open included. On 3.15 a gap begins when CPython says so;
     * before, when the slot was last seen to be ours, at most 10 ms earlier, or 60 ms
     * after a fork. */
    uint64_t gaps, gap_nanoseconds;
    /* What is known of this release, "does not report every death ...", or NULL: each death
     * is reported. Deaths that were not reported can be inferred when the address is born
     * again; that needs a map of the living, which `reftracer run` has and this header has
     * not. */
    const char *lost_deaths;
};

/* Tells what is known, after a look at the slot. From any thread. */
int rft_tracer_state(struct rft_tracer_state *state, struct rft_error **error);

#ifdef __cplusplus
}
#endif
#endif

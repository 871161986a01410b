/* CPython's one slot for a reference tracer, shared by any number of subscribers.
 *
 * share.c        the subscribers, and the function in the slot that calls them
 * share_slot.c   taking the slot, keeping it, giving it back; other tools in it
 * share_watch.c  a thread that looks at the slot (libreftracer; the agent has its ticker)
 * share_api.c    include/reftracer/tracer.h
 *
 * Nothing here needs the GIL. CPython's slot is a function and its data, two words.
 * Whoever comes in front of another tool changes the function alone, by compare-and-swap:
 * the data word stays the other tool's, ours is not used. So no event ever sees half a
 * pair, and the other tool gets its own data for as long as it stands behind us. */
#ifndef RFT_SHARE_H
#define RFT_SHARE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int (*rft_callback)(void *op, int event, void *data);

/* _PyRuntime.ref_tracer (Include/internal/pycore_object_state.h, 3.13 to 3.15). */
struct rft_slot {
    _Atomic(rft_callback) function;
    void *_Atomic data;
};

struct rft_subscriber {
    uint64_t id;
    rft_callback function;
    void *data;
};

/* What the files here have in common; one in a process, as the slot is. */
struct rft_share {
    pthread_mutex_t lock;          /* changes: of the subscribers, of who is in the slot */
    _Atomic(rft_callback) foreign; /* the tool behind us, or NULL; written under the lock */
    bool no_membarrier;            /* for tests, before rft_share_init(): do without it */
};
extern struct rft_share rft_share;

/* --- share.c -------------------------------------------------------------------- */

/* Must have returned true before anything else here. */
bool rft_share_init(void);

/* Adds a subscriber, last in the order of calls. 0: no memory.
 * Each event that begins after the return is given to it. */
uint64_t rft_share_add(rft_callback function, void *data);

/* Removes one, and waits until no other thread is in a call of it: no event comes after
 * the return. From inside of a callback the own thread is not waited for, and not other
 * threads either that are in here. */
enum rft_removal { RFT_REMOVED, RFT_REMOVAL_UNKNOWN, RFT_REMOVAL_NO_MEMORY };
enum rft_removal rft_share_remove(uint64_t id, struct rft_subscriber *was);

uint32_t rft_share_count(void);

/* Around anything that takes a lock which somebody may hold who waits for callbacks to
 * end: between the two, nobody waits for the calling thread. */
void rft_share_pause(void);
void rft_share_resume(void);

/* The function for the slot; and the same once more, which tells that nobody has been there since
 * it was put there (rft_slot_removed). */
int rft_share_dispatch(void *op, int event, void *data);
int rft_share_dispatch_too(void *op, int event, void *data);

/* --- share_slot.c ----------------------------------------------------------------- */

/* What was lost: nanoseconds of CLOCK_MONOTONIC. */
struct rft_gap {
    uint64_t begin, end;
    bool emptied; /* the slot was empty; else another tool was in it */
};

enum rft_slot_state {
    RFT_SLOT_OURS,
    RFT_SLOT_RETAKEN, /* it was lost, *gap says for how long, and is ours again */
    RFT_SLOT_LOST,    /* and left so for the moment: *gap is open */
};

/* Where in the `size` bytes at `runtime` is this pair? NULL: nowhere. */
struct rft_slot *rft_slot_find(void *runtime, size_t size, rft_callback function, void *data);

/* Takes the slot, in front of the tool that is in it.
 * direct: what stands in the slot instead of rft_share_dispatch while there is no other
 * tool, or NULL. It must be the only subscriber's own function, ignore its data, and not
 * mind a late call. */
void rft_slot_take(struct rft_slot *slot, rft_callback direct);

/* Gives it back to the tool behind us, or empties it. */
void rft_slot_leave(void);

/* Is the slot ours? If it was lost it is taken again, in front of whoever is there; not
 * more often than 20 times in a second. Any thread; if another one is at it, this one does
 * nothing and says RFT_SLOT_OURS. */
enum rft_slot_state rft_slot_look(struct rft_gap *gap);

/* The same, but waits for a thread that is at it: what it says is so. */
enum rft_slot_state rft_slot_look_and_wait(struct rft_gap *gap);

/* Before the end: waits too, and takes the slot however often it was taken, so that no gap
 * stays open. */
enum rft_slot_state rft_slot_look_last(struct rft_gap *gap);

/* The tool behind us or in front of us, or NULL. */
rft_callback rft_slot_foreign(void);

/* Gaps so far and how long they were together, with one that is open now. */
struct rft_gaps {
    uint64_t count, nanoseconds;
    bool open;
};
struct rft_gaps rft_slot_gaps(void);

/* The slot has been taken, and is looked after. */
bool rft_slot_is_taken(void);

/* CPython 3.15 has said that somebody takes the slot. */
void rft_slot_removed(void);

/* Whether this release does not report every death, in words; NULL: it does. */
const char *rft_slot_lost_deaths(uint32_t version);

uint64_t rft_share_now(void);

/* Whether the calling thread, one of ours, is the last one: a process ends with its last thread,
 * if none calls exit(), and so does a child that was forked in a thread, when that thread's
 * function returns there. Ours must not keep it alive: it returns, and libc calls exit(0). The
 * first thread stays as a zombie, which has no executable any more. Needs no descriptor, whose
 * number the program may count on. */
bool rft_share_left_alone(void);

/* Waits until the kernel no longer counts a thread of ours that has been joined. CPython counts
 * threads after a fork, to warn of those that the fork leaves behind. */
void rft_share_wait_until_gone(pid_t tid);

/* Several copies of this file may live in one process: the agent, libreftracer, another
 * release of either. Each exports this one symbol, so that they know each other's
 * functions in the slot. Returns -1 if `function` is none of this copy's, else how many
 * subscribers the copy has, and in *behind whom it passes events to, or NULL. */
int reftracer_sharing(rft_callback function, rft_callback *behind);

/* --- share_watch.c ------------------------------------------------------------------ */

/* What others add; they may be NULL. `attention` is called by a thread at an event, after
 * rft_share_ask_attention(true); `removed` by one that takes the slot (3.15);
 * `is_initialized` says whether there is a Python to put a tracer into. */
struct rft_share_hooks {
    void (*attention)(void);
    void (*removed)(void);
    int (*is_initialized)(void);
};
extern struct rft_share_hooks rft_share_hooks;
void rft_share_ask_attention(bool ask);

void rft_watch_start(void);
void rft_watch_stop(void);

#endif

/* CPython's slot: taking it, keeping it, giving it back.
 *
 * tracemalloc.start() and other tools overwrite the slot, tracemalloc.stop() empties it,
 * and up to 3.14 nobody is told. So somebody looks at it at a bounded interval
 * (rft_slot_look). Only the newest other tool is kept behind us: whom it has overwritten,
 * it has overwritten, as without us; and when the slot is emptied, the tool behind us is
 * taken to have left, for it may be gone from memory a moment later. */
#include "tracer/share.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
    struct rft_slot *_Atomic slot; /* NULL: not taken */
    _Atomic(rft_callback) direct;  /* see rft_slot_take() */
    _Atomic uint64_t last_good;    /* when the slot was last seen to be ours */
    _Atomic uint64_t removed;      /* when CPython 3.15 said that it is not; 0: it did not */
    void *_Atomic mark;            /* in the slot from then until it is stored, or NULL */
    _Atomic(rft_callback) marked;  /* the same */
    _Atomic uint64_t removals;     /* so that each has a mark of its own */
    _Atomic uint64_t gaps, gap_ns; /* that are over */
    _Atomic bool open;             /* the slot was not ours at the last look */
    uint64_t window;               /* begin of the second that `retaken` counts; rft_share.lock */
    uint32_t retaken;              /* rft_share.lock */
} at;

uint64_t rft_share_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool rft_share_left_alone(void)
{
    enum { LINKS = 2, ZOMBIE_AND_THIS = 2 };
    struct stat tasks;
    char exe[1];
    return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == LINKS + ZOMBIE_AND_THIS &&
           readlink("/proc/self/exe", exe, sizeof exe) < 0 && errno == ENOENT;
}

void rft_share_wait_until_gone(pid_t tid)
{
    /* pthread_join() returns some steps before that, and the thread may lose its processor in
     * between. A debugger may keep it for as long as it likes: so not for ever. */
    enum { ATTEMPTS = 20000, PAUSE_NS = 500000 };
    pid_t pid = getpid();
    for (int i = 0; i < ATTEMPTS && syscall(SYS_tgkill, pid, tid, 0) == 0; i++) {
        nanosleep(&(struct timespec){0, i > 0 ? PAUSE_NS : PAUSE_NS / 50}, NULL);
    }
}

const char *rft_slot_lost_deaths(uint32_t version)
{
    if (version < 0x030D03F0) {
        return "does not report every death (gh-130382, fixed in 3.13.3)";
    }
    if (version >= 0x030E0000 && version < 0x030E08F0) {
        return "does not report every death of nested objects (gh-156371, fixed in 3.14.8)";
    }
    if (version >= 0x030F0000 && version < 0x030F01F0) {
        return "does not report every death of nested objects (gh-156371, fixed in 3.15.1)";
    }
    return NULL;
}

struct rft_slot *rft_slot_find(void *runtime, size_t size, rft_callback function, void *data)
{
    char *bytes = runtime;
    for (size_t offset = 0; offset + sizeof(struct rft_slot) <= size; offset += sizeof(void *)) {
        struct {
            rft_callback function;
            void *data;
        } words;
        memcpy(&words, bytes + offset, sizeof words);
        if (words.function == function && words.data == data) {
            return (struct rft_slot *)(void *)(bytes + offset);
        }
    }
    return NULL;
}

/* --- whose function is it? -------------------------------------------------------- */

static bool is_dispatch(rft_callback function)
{
    return function == rft_share_dispatch || function == rft_share_dispatch_too;
}

static bool is_ours(rft_callback function)
{
    return function != NULL && (is_dispatch(function) ||
                                function == atomic_load_explicit(&at.direct, memory_order_relaxed));
}

static int answer(rft_callback function, rft_callback *behind)
{
    if (!is_ours(function)) {
        return -1;
    }
    /* A direct function passes nothing on. */
    *behind = is_dispatch(function) ? atomic_load(&rft_share.foreign) : NULL;
    return atomic_load(&at.slot) != NULL ? (int)rft_share_count() : 0;
}

/* Not called in here: a copy that was loaded before may stand in front of this name. */
__attribute__((visibility("default"))) int reftracer_sharing(rft_callback function,
                                                             rft_callback *behind)
{
    return answer(function, behind);
}

/* Asks the copy of ours that the function belongs to. -1: it is another tool's. */
static int ask_copy(rft_callback function, rft_callback *behind)
{
    int (*sharing)(rft_callback, rft_callback *);
    void *address, *symbol = NULL;
    Dl_info info;
    memcpy(&address, &function, sizeof address);
    if (is_ours(function)) {
        return answer(function, behind);
    }
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL) {
        return -1;
    }
    void *module = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (module != NULL) {
        symbol = dlsym(module, "reftracer_sharing");
        dlclose(module); /* only what dlopen() has counted */
    }
    memcpy(&sharing, &symbol, sizeof sharing);
    return sharing != NULL ? sharing(function, behind) : -1;
}

enum { COPIES = 8 }; /* more in one process are not followed */

/* Whether a function in the slot is a copy of ours that passes events on to us. */
static bool passes_to_us(rft_callback function)
{
    for (int i = 0; i < COPIES; i++) {
        rft_callback behind = NULL;
        if (ask_copy(function, &behind) < 0 || behind == NULL) {
            return false;
        }
        if (is_ours(behind)) {
            return true;
        }
        function = behind;
    }
    return false;
}

/* Who is to stand in the slot when we leave: copies that have no subscribers any more are
 * passed over. */
static rft_callback heir(void)
{
    rft_callback function = atomic_load(&rft_share.foreign);
    for (int i = 0; i < COPIES && function != NULL; i++) {
        rft_callback behind = NULL;
        if (ask_copy(function, &behind) != 0) {
            break;
        }
        function = behind;
    }
    return function;
}

/* --- taking, looking, leaving: all hold rft_share.lock -------------------------------- */

static rft_callback wanted(rft_callback foreign)
{
    rft_callback direct = atomic_load_explicit(&at.direct, memory_order_relaxed);
    return foreign == NULL && direct != NULL ? direct : rft_share_dispatch;
}

/* In front of `found`, or into the empty slot. */
static bool take(struct rft_slot *slot, rft_callback found)
{
    atomic_store_explicit(&rft_share.foreign, found, memory_order_release);
    return atomic_compare_exchange_strong(&slot->function, &found, wanted(found));
}

void rft_slot_take(struct rft_slot *slot, rft_callback direct)
{
    rft_share_pause();
    pthread_mutex_lock(&rft_share.lock);
    atomic_store_explicit(&at.direct, direct, memory_order_relaxed);
    rft_callback found = atomic_load_explicit(&slot->function, memory_order_acquire);
    while (!is_ours(found) && !passes_to_us(found) && !take(slot, found)) {
        found = atomic_load_explicit(&slot->function, memory_order_acquire);
    }
    atomic_store(&at.last_good, rft_share_now());
    atomic_store(&at.removed, 0);
    atomic_store(&at.open, false);
    atomic_store(&at.slot, slot);
    pthread_mutex_unlock(&rft_share.lock);
    rft_share_resume();
}

/* The direct function never stands in front of another tool, unless somebody had kept it from
 * before that tool came and has put it back: then the tool has gone, and maybe its memory. */
static void put_back(rft_callback found)
{
    if (found != NULL && found == atomic_load_explicit(&at.direct, memory_order_relaxed)) {
        atomic_store_explicit(&rft_share.foreign, NULL, memory_order_release);
    }
}

void rft_slot_leave(void)
{
    rft_share_pause();
    pthread_mutex_lock(&rft_share.lock);
    struct rft_slot *slot = atomic_exchange(&at.slot, NULL);
    if (slot != NULL) {
        rft_callback found = atomic_load(&slot->function);
        put_back(found);
        if (is_ours(found)) {
            atomic_compare_exchange_strong(&slot->function, &found, heir());
        }
    }
    pthread_mutex_unlock(&rft_share.lock);
    rft_share_resume();
}

/* No endless fight with a tool that does the same. */
static bool too_often(uint64_t now)
{
    enum { PER_SECOND = 20, SECOND = 1000000000 };
    if (now - at.window >= SECOND) {
        at.window = now;
        at.retaken = 0;
    }
    return ++at.retaken > PER_SECOND;
}

/* removed: what at.removed was; a newcomer of this very moment is for the next look. */
static void end_gap(const struct rft_gap *gap, uint64_t removed)
{
    atomic_fetch_add(&at.gaps, 1);
    atomic_fetch_add(&at.gap_ns, gap->end - gap->begin);
    atomic_store(&at.open, false);
    atomic_store(&at.last_good, gap->end);
    atomic_compare_exchange_strong(&at.removed, &removed, 0);
}

enum { SETTLED_NS = 1000000 };

static enum rft_slot_state look(struct rft_slot *slot, bool last, struct rft_gap *gap)
{
    /* In this order: what comes meanwhile is later than `now`, and the slot is that of after
     * `removed`. */
    uint64_t removed = atomic_load(&at.removed), now = rft_share_now();
    const void *mark = atomic_load(&at.mark);
    rft_callback marked = atomic_load(&at.marked);
    bool coming = mark != NULL && atomic_load(&slot->data) == mark;
    rft_callback found = atomic_load_explicit(&slot->function, memory_order_acquire);
    coming = coming || (marked != NULL && found == marked);
    put_back(found);
    if (is_ours(found) || (found != NULL && passes_to_us(found))) {
        bool was_open = atomic_load(&at.open);
        *gap = (struct rft_gap){atomic_load(&at.last_good), now, false};
        if (was_open) {
            end_gap(gap, removed); /* the other tool has put our function back itself */
            return RFT_SLOT_RETAKEN;
        }
        if (removed != 0 && !coming) {
            /* CPython calls us before it stores the newcomer, who may be about to come. */
            if (now - removed < SETTLED_NS && !last) {
                return RFT_SLOT_OURS;
            }
            gap->begin = removed; /* somebody came, and has put us back since */
            end_gap(gap, removed);
            return RFT_SLOT_RETAKEN;
        }
        atomic_store(&at.last_good, now);
        return RFT_SLOT_OURS;
    }
    *gap = (struct rft_gap){atomic_load(&at.last_good), now, found == NULL};
    if (removed > gap->begin) {
        gap->begin = removed; /* known to the moment */
        atomic_store(&at.last_good, removed);
    }
    atomic_store(&at.open, true);
    bool possible = rft_share_hooks.is_initialized == NULL || rft_share_hooks.is_initialized();
    if (!possible || (too_often(now) && !last) || !take(slot, found)) {
        return RFT_SLOT_LOST;
    }
    end_gap(gap, removed);
    return RFT_SLOT_RETAKEN;
}

static enum rft_slot_state look_if_taken(bool last, struct rft_gap *gap)
{
    struct rft_slot *slot = atomic_load(&at.slot);
    return slot != NULL ? look(slot, last, gap) : RFT_SLOT_OURS;
}

enum rft_slot_state rft_slot_look(struct rft_gap *gap)
{
    enum rft_slot_state state = RFT_SLOT_OURS;
    /* Not waited for: the caller may be in a callback, and who holds the lock may wait
     * for that to end. */
    if (pthread_mutex_trylock(&rft_share.lock) == 0) {
        state = look_if_taken(false, gap);
        pthread_mutex_unlock(&rft_share.lock);
    }
    return state;
}

/* Whoever holds the lock is at it for microseconds. Unless the caller is a signal's handler
 * that has interrupted that very thread and now ends the process: so not for ever. */
static bool lock_for_last_look(void)
{
    enum { SECONDS = 2 };
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SECONDS;
    return pthread_mutex_timedlock(&rft_share.lock, &until) == 0;
}

enum rft_slot_state rft_slot_look_last(struct rft_gap *gap)
{
    enum rft_slot_state state = RFT_SLOT_OURS;
    rft_share_pause();
    if (lock_for_last_look()) {
        state = look_if_taken(true, gap);
        pthread_mutex_unlock(&rft_share.lock);
    }
    rft_share_resume();
    return state;
}

enum rft_slot_state rft_slot_look_and_wait(struct rft_gap *gap)
{
    rft_share_pause();
    pthread_mutex_lock(&rft_share.lock);
    enum rft_slot_state state = look_if_taken(false, gap);
    pthread_mutex_unlock(&rft_share.lock);
    rft_share_resume();
    return state;
}

rft_callback rft_slot_foreign(void)
{
    return atomic_load(&rft_share.foreign);
}

bool rft_slot_is_taken(void)
{
    return atomic_load(&at.slot) != NULL;
}

struct rft_gaps rft_slot_gaps(void)
{
    rft_share_pause();
    pthread_mutex_lock(&rft_share.lock); /* a gap that just ends is counted once */
    struct rft_gaps gaps = {atomic_load(&at.gaps), atomic_load(&at.gap_ns), atomic_load(&at.open)};
    if (gaps.open) {
        gaps.count++;
        gaps.nanoseconds += rft_share_now() - atomic_load(&at.last_good);
    }
    pthread_mutex_unlock(&rft_share.lock);
    rft_share_resume();
    return gaps;
}

/* The newcomer is stored when we return, and the thread may be stopped before that for any
 * time. Our data is not used, and whoever puts our function back puts the data back that he
 * found: so as long as the slot has a new mark for data, nobody has been there. The data of a tool
 * behind us is its own; then the mark is a function that does the same as the one that was found.
 */
void rft_slot_removed(void)
{
    struct rft_slot *slot = atomic_load(&at.slot);
    rft_callback function = slot != NULL ? atomic_load(&slot->function) : NULL, marked = NULL;
    void *mark = NULL;
    if (is_ours(function) && atomic_load(&rft_share.foreign) == NULL) {
        mark = (void *)(uintptr_t)(2 * atomic_fetch_add(&at.removals, 1) + 1);
        atomic_store(&slot->data, mark);
    } else if (is_dispatch(function)) {
        marked = function == rft_share_dispatch ? rft_share_dispatch_too : rft_share_dispatch;
        if (!atomic_compare_exchange_strong(&slot->function, &function, marked)) {
            marked = NULL;
        }
    }
    atomic_store(&at.mark, mark);
    atomic_store(&at.marked, marked);
    atomic_store(&at.removed, rft_share_now());
    if (rft_share_hooks.removed != NULL) {
        rft_share_hooks.removed();
    }
}

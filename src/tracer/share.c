/* The subscribers, and the function in CPython's slot that calls them.
 *
 * The list of subscribers is never changed but replaced. A callback says in its thread's
 * `struct reader` that it is in here, and then reads the list; who removes a subscriber
 * replaces the list, and then waits until each thread that was in here then has left. The
 * order of a reader's store and load is kept by membarrier(2) on the side of the waiting
 * (Linux 4.14; where it is missing, the reader's store is a locked instruction): an event
 * costs the calls, two plain stores and three loads.
 *
 * A callback may itself add and remove. While it does, it counts as not in here ("paused"),
 * so that nobody waits for it; afterwards the loop that called it looks the remaining
 * subscribers up in the list of the day. Ids only grow, and lists are in their order, so
 * "remaining" is "greater than the id called last, and in the list when the event came". */
#include "tracer/share.h"

#include <reftracer/tss.h>

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tracer/pool.h"

struct list {
    struct list *retired; /* next one to be freed when all readers have left */
    size_t bytes;
    uint32_t count;
    struct rft_subscriber subscribers[];
};

/* Of one thread. Written by it alone, but for `awaited`. */
struct reader {
    alignas(64) _Atomic uint32_t turn; /* odd: in a callback, or between callbacks */
    uint32_t depth;                    /* of events inside of events */
    uint32_t pauses;                   /* how often it has paused */
    uint32_t paused;                   /* depth of pauses now */
    void *passed;                      /* object whose event is with the tool behind us */
    int passed_event;
    uint32_t awaited; /* by who holds share.lock: the odd turn that has to end, or 0 */
    struct reader *next_free;
};
_Static_assert(sizeof(struct reader) == 64, "threads must not share a cache line");

enum { READERS_PER_PAGE = 4096 / sizeof(struct reader) - 1 };
struct reader_page {
    alignas(64) struct reader_page *next;
    struct reader readers[READERS_PER_PAGE];
};

struct rft_share rft_share = {.lock = PTHREAD_MUTEX_INITIALIZER};
struct rft_share_hooks rft_share_hooks;

static struct {
    struct list *_Atomic list;  /* replaced by who holds rft_share.lock */
    _Atomic bool attention;     /* see rft_share_ask_attention() */
    bool locked_stores;         /* there is no membarrier; set once */
    bool ready;                 /* set once */
    struct list *retired;       /* rft_share.lock */
    uint64_t last_id;           /* rft_share.lock */
    _Atomic uint32_t count;     /* of the list; which may be freed while it is looked at */
    _Atomic uint32_t nameless;  /* threads in a callback that have no reader */
    pthread_mutex_t pages_lock; /* guards what follows; taken alone or after rft_share.lock */
    struct reader_page *pages;
    struct reader *free;
} core = {.pages_lock = PTHREAD_MUTEX_INITIALIZER};

/* Each thread's reader is a value here: the destructor takes it back, visits find those
 * that have to be waited for. */
static struct rft_tss readers = RFT_TSS_NEEDS_INIT;
static _Thread_local struct reader *self __attribute__((tls_model("initial-exec")));
static _Thread_local uint32_t nameless_depth __attribute__((tls_model("initial-exec")));

/* --- readers -------------------------------------------------------------------- */

static void reader_free(void *value)
{
    struct reader *reader = value;
    self = NULL;
    pthread_mutex_lock(&core.pages_lock);
    reader->next_free = core.free;
    core.free = reader;
    pthread_mutex_unlock(&core.pages_lock);
}

static struct reader *reader_alloc(void)
{
    pthread_mutex_lock(&core.pages_lock);
    struct reader_page *page = core.free == NULL ? rft_pages_alloc(sizeof *page) : NULL;
    if (page != NULL) {
        page->next = core.pages;
        core.pages = page;
        for (int i = 0; i < READERS_PER_PAGE; i++) {
            page->readers[i].next_free = core.free;
            core.free = &page->readers[i];
        }
    }
    struct reader *reader = core.free;
    if (reader != NULL) {
        core.free = reader->next_free;
        reader->depth = reader->paused = 0;
        reader->passed = NULL;
    }
    pthread_mutex_unlock(&core.pages_lock);
    return reader;
}

/* This thread's, made at its first event; NULL: no memory, or the thread is at its end. */
static struct reader *reader_of_thread(void)
{
    if (self == NULL) {
        struct reader *reader = reader_alloc();
        if (reader != NULL && rft_tss_set(&readers, reader) != 0) {
            reader_free(reader);
            reader = NULL;
        }
        self = reader;
    }
    return self;
}

/* Says that the thread is in here, before it reads the list. Pairs with wait_for_readers(). */
static inline void enter(struct reader *reader)
{
    uint32_t turn = atomic_load_explicit(&reader->turn, memory_order_relaxed) + 1;
    if (__builtin_expect(core.locked_stores, 0)) {
        atomic_exchange(&reader->turn, turn);
    } else {
        atomic_store_explicit(&reader->turn, turn, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst); /* the compiler's part of the barrier */
    }
}

/* Release: what was read of the list was read before. Pairs with the acquire in is_awaited(). */
static inline void leave(struct reader *reader)
{
    uint32_t turn = atomic_load_explicit(&reader->turn, memory_order_relaxed) + 1;
    atomic_store_explicit(&reader->turn, turn, memory_order_release);
}

static int await(void *value, long thread, void *unused)
{
    (void)thread;
    (void)unused;
    struct reader *reader = value;
    uint32_t turn = atomic_load(&reader->turn);
    reader->awaited = turn % 2 != 0 ? turn : 0;
    return 0;
}

static int is_awaited(void *value, long thread, void *found)
{
    (void)thread;
    struct reader *reader = value;
    if (reader->awaited != 0) {
        if (atomic_load_explicit(&reader->turn, memory_order_acquire) == reader->awaited) {
            *(bool *)found = true;
            return 1;
        }
        reader->awaited = 0;
    }
    return 0;
}

/* Returns when every thread that was in here has left, or has paused. Holds rft_share.lock;
 * the calling thread is paused. A callback is short, and waits for nobody. */
static void wait_for_readers(void)
{
    if (!core.locked_stores) {
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    }
    rft_tss_visit(&readers, await, NULL);
    for (int round = 0;; round++) {
        bool found = false;
        rft_tss_visit(&readers, is_awaited, &found);
        if (!found && atomic_load(&core.nameless) <= (nameless_depth > 0)) {
            return;
        }
        if (round < 100) {
            sched_yield();
        } else {
            nanosleep(&(struct timespec){0, 50000}, NULL);
        }
    }
}

/* --- events ------------------------------------------------------------------------ */

static uint32_t first_after(const struct list *list, uint64_t id)
{
    uint32_t i = 0;
    while (i < list->count && list->subscribers[i].id <= id) {
        i++;
    }
    return i;
}

/* To all subscribers, and to the tool behind us. */
static inline void call_all(struct reader *reader, void *op, int event, void *data)
{
    /* Acquire: pairs with publish(). */
    const struct list *list = atomic_load_explicit(&core.list, memory_order_acquire);
    uint32_t pauses = reader->pauses, end = list->count;
    uint64_t newest = end > 0 ? list->subscribers[end - 1].id : 0;
    for (uint32_t i = 0; i < end; i++) {
        const struct rft_subscriber subscriber = list->subscribers[i];
        subscriber.function(op, event, subscriber.data);
        if (__builtin_expect(pauses != reader->pauses, 0)) {
            pauses = reader->pauses;
            list = atomic_load_explicit(&core.list, memory_order_acquire);
            i = first_after(list, subscriber.id) - 1;
            end = first_after(list, newest);
        }
    }
    rft_callback foreign = atomic_load_explicit(&rft_share.foreign, memory_order_acquire);
    if (__builtin_expect(foreign != NULL, 0)) {
        void *passed = reader->passed;
        int passed_event = reader->passed_event;
        reader->passed = op;
        reader->passed_event = event;
        foreign(op, event, data);
        reader->passed = passed;
        reader->passed_event = passed_event;
    }
}

/* In a thread that can have no reader. Who waits, waits for all such threads. */
static void call_all_nameless(void *op, int event, void *data)
{
    struct reader reader = {0};
    nameless_depth++;
    if (nameless_depth == 1) {
        atomic_fetch_add(&core.nameless, 1);
        self = &reader;
        reader.depth = 1;
        call_all(&reader, op, event, data);
        self = NULL;
        atomic_fetch_sub(&core.nameless, 1);
    }
    nameless_depth--;
}

static __attribute__((noinline)) int dispatch_unusual(void *op, int event, void *data)
{
    if (event != 0 && event != 1) {
        /* 3.15: somebody takes the slot. Our subscribers stay; the tool behind us would
         * have been told. Other events are not known to any CPython. */
        rft_callback foreign = atomic_load_explicit(&rft_share.foreign, memory_order_acquire);
        rft_slot_removed();
        return foreign != NULL ? foreign(op, event, data) : 0;
    }
    struct reader *reader = reader_of_thread();
    if (reader == NULL) {
        call_all_nameless(op, event, data);
        return 0;
    }
    if (reader->depth == 0 && atomic_load_explicit(&core.attention, memory_order_relaxed) &&
        rft_share_hooks.attention != NULL) {
        rft_share_hooks.attention();
    }
    if (reader->depth > 0 && reader->passed == op && reader->passed_event == event) {
        return 0; /* the tool behind us stands in front of us, too */
    }
    if (reader->depth++ == 0) {
        enter(reader);
    }
    call_all(reader, op, event, data);
    if (--reader->depth == 0) {
        leave(reader);
    }
    return 0;
}

int rft_share_dispatch(void *op, int event, void *data)
{
    struct reader *reader = self;
    if (__builtin_expect((unsigned)event > 1, 0) || __builtin_expect(reader == NULL, 0) ||
        __builtin_expect(reader->depth != 0, 0) ||
        __builtin_expect(atomic_load_explicit(&core.attention, memory_order_relaxed), 0)) {
        return dispatch_unusual(op, event, data);
    }
    reader->depth = 1;
    enter(reader);
    call_all(reader, op, event, data);
    leave(reader);
    reader->depth = 0;
    return 0;
}

int rft_share_dispatch_too(void *op, int event, void *data)
{
    return rft_share_dispatch(op, event, data);
}

/* --- changes ------------------------------------------------------------------------- */

void rft_share_pause(void)
{
    struct reader *reader = self;
    if (reader != NULL && reader->depth > 0 && reader->paused++ == 0 && nameless_depth == 0) {
        leave(reader);
    }
}

void rft_share_resume(void)
{
    struct reader *reader = self;
    if (reader != NULL && reader->depth > 0 && --reader->paused == 0) {
        reader->pauses++;
        if (nameless_depth == 0) {
            enter(reader);
        }
    }
}

/* Makes a copy of the list with room for `more` subscribers. Holds rft_share.lock. */
static struct list *list_copy(uint32_t more)
{
    const struct list *now = atomic_load_explicit(&core.list, memory_order_relaxed);
    uint32_t count = now != NULL ? now->count : 0;
    size_t bytes = sizeof *now + (count + more) * sizeof now->subscribers[0];
    struct list *new = rft_pages_alloc(bytes);
    if (new != NULL) {
        new->bytes = bytes;
        new->count = count;
        for (uint32_t i = 0; i < count; i++) {
            new->subscribers[i] = now->subscribers[i];
        }
    }
    return new;
}

/* Holds rft_share.lock. Sequentially consistent for readers without membarrier. */
static void publish(struct list *list)
{
    struct list *before = atomic_exchange(&core.list, list);
    atomic_store(&core.count, list->count);
    if (before != NULL) {
        before->retired = core.retired;
        core.retired = before;
    }
}

/* Nobody reads them any more. Holds rft_share.lock. */
static void free_retired(void)
{
    while (core.retired != NULL) {
        struct list *list = core.retired;
        core.retired = list->retired;
        rft_pages_free(list, list->bytes);
    }
}

uint64_t rft_share_add(rft_callback function, void *data)
{
    uint64_t id = 0;
    rft_share_pause();
    pthread_mutex_lock(&rft_share.lock);
    struct list *list = list_copy(1);
    if (list != NULL) {
        id = ++core.last_id;
        list->subscribers[list->count++] = (struct rft_subscriber){id, function, data};
        publish(list);
    }
    pthread_mutex_unlock(&rft_share.lock);
    rft_share_resume();
    return id;
}

enum rft_removal rft_share_remove(uint64_t id, struct rft_subscriber *was)
{
    enum rft_removal removal = RFT_REMOVAL_UNKNOWN;
    rft_share_pause();
    pthread_mutex_lock(&rft_share.lock);
    struct list *list = atomic_load_explicit(&core.list, memory_order_relaxed);
    uint32_t at = first_after(list, id - 1);
    if (id != 0 && at < list->count && list->subscribers[at].id == id) {
        *was = list->subscribers[at];
        struct list *new = list_copy(0);
        removal = new != NULL ? RFT_REMOVED : RFT_REMOVAL_NO_MEMORY;
        if (new != NULL) {
            new->count--;
            for (uint32_t i = at; i < new->count; i++) {
                new->subscribers[i] = new->subscribers[i + 1];
            }
            publish(new);
            wait_for_readers();
            free_retired();
        }
    }
    pthread_mutex_unlock(&rft_share.lock);
    rft_share_resume();
    return removal;
}

uint32_t rft_share_count(void)
{
    return atomic_load(&core.count);
}

void rft_share_ask_attention(bool ask)
{
    atomic_store_explicit(&core.attention, ask, memory_order_relaxed);
}

/* --- fork ------------------------------------------------------------------------------ */

static void before_fork(void)
{
    pthread_mutex_lock(&rft_share.lock);
    pthread_mutex_lock(&core.pages_lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&core.pages_lock);
    pthread_mutex_unlock(&rft_share.lock);
}

/* The other threads' readers are free: what they were in the middle of was the parent's. */
static void after_fork_in_child(void)
{
    atomic_store(&core.nameless, 0);
    core.free = NULL;
    for (struct reader_page *page = core.pages; page != NULL; page = page->next) {
        for (int i = 0; i < READERS_PER_PAGE; i++) {
            struct reader *reader = &page->readers[i];
            if (reader != self) {
                atomic_store_explicit(&reader->turn, 0, memory_order_relaxed);
                reader->next_free = core.free;
                core.free = reader;
            }
        }
    }
    after_fork_in_parent();
}

bool rft_share_init(void)
{
    pthread_mutex_lock(&rft_share.lock);
    if (!core.ready && rft_tss_create_with_destructor(&readers, reader_free) == 0) {
        /* The first list: readers need not ask whether there is one. */
        struct list *list = list_copy(0);
        if (list != NULL) {
            core.locked_stores =
                syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0 ||
                rft_share.no_membarrier;
            /* After the keys' own handlers, so that these hold their lock for shorter. */
            if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0) {
                publish(list);
                core.ready = true;
            } else {
                rft_pages_free(list, list->bytes);
            }
        }
    }
    bool ready = core.ready;
    pthread_mutex_unlock(&rft_share.lock);
    return ready;
}

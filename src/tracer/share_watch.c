/* A thread that looks at the slot each 10 ms; CPython 3.15 wakes it when the slot is taken.
 *
 * Python 3.12+ warns when a process with several threads forks, and counts those that the
 * system knows: so this one ends before a fork, and an event at least 50 ms after it starts
 * it again. Without events nothing can be lost meanwhile but the slot itself. */
#include "tracer/share.h"

#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_NS = 10000000, RETRY_NS = 1000000, STACK_BYTES = 64 * 1024 };
static const uint64_t RESTART_NS = 50000000;

static struct {
    pthread_mutex_t lock; /* start and stop; tried, not waited for, at events */
    bool running;
    bool wanted;
    pthread_t thread;
    _Atomic pid_t tid;
    _Atomic uint32_t bell; /* a futex: rung to wake, see below */
    _Atomic bool stop;
    _Atomic uint64_t restart_at;
    bool handlers;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void ring(void)
{
    atomic_fetch_add(&watch.bell, 1);
    syscall(SYS_futex, &watch.bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *run(void *unused)
{
    (void)unused;
    atomic_store(&watch.tid, (pid_t)syscall(SYS_gettid));
    prctl(PR_SET_NAME, "reftracer-slot");
    while (!atomic_load(&watch.stop)) {
        struct rft_gap gap;
        uint32_t bell = atomic_load(&watch.bell);
        /* After the bell: CPython stores the newcomer a moment later. */
        bool lost = rft_slot_look(&gap) == RFT_SLOT_LOST;
        if (rft_share_left_alone()) {
            watch.running = false; /* nobody is there who would join */
            break;
        }
        struct timespec pause = {0, lost ? RETRY_NS : LOOK_NS};
        syscall(SYS_futex, &watch.bell, FUTEX_WAIT_PRIVATE, bell, &pause, NULL, 0);
        if (atomic_load(&watch.bell) != bell && !atomic_load(&watch.stop)) {
            nanosleep(&(struct timespec){0, RETRY_NS / 10}, NULL);
        }
    }
    return NULL;
}

/* Holds watch.lock. */
static void start(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (watch.running) {
        return;
    }
    atomic_store(&watch.stop, false);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes,
                              STACK_BYTES > PTHREAD_STACK_MIN ? STACK_BYTES : PTHREAD_STACK_MIN);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    watch.running = pthread_create(&watch.thread, &attributes, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* Holds watch.lock. */
static void stop(void)
{
    if (watch.running) {
        atomic_store(&watch.stop, true);
        ring();
        pthread_join(watch.thread, NULL);
        rft_share_wait_until_gone(atomic_load(&watch.tid));
        watch.running = false;
    }
}

static void start_again(void)
{
    uint64_t at = atomic_load(&watch.restart_at);
    if (at == 0 || rft_share_now() < at || pthread_mutex_trylock(&watch.lock) != 0) {
        return;
    }
    rft_share_ask_attention(false);
    atomic_store(&watch.restart_at, 0);
    if (watch.wanted) {
        start();
    }
    pthread_mutex_unlock(&watch.lock);
}

static void before_fork(void)
{
    pthread_mutex_lock(&watch.lock);
    stop();
}

static void ask_to_start_again(void)
{
    if (watch.wanted) {
        atomic_store(&watch.restart_at, rft_share_now() + RESTART_NS);
        rft_share_ask_attention(true);
    }
}

static void after_fork_in_parent(void)
{
    ask_to_start_again();
    pthread_mutex_unlock(&watch.lock);
}

static void after_fork_in_child(void)
{
    pthread_mutex_unlock(&watch.lock);
    ask_to_start_again();
}

void rft_watch_start(void)
{
    rft_share_pause();
    pthread_mutex_lock(&watch.lock);
    if (!watch.handlers) {
        watch.handlers =
            pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0;
        rft_share_hooks.attention = start_again;
        rft_share_hooks.removed = ring;
    }
    watch.wanted = true;
    start();
    pthread_mutex_unlock(&watch.lock);
    rft_share_resume();
}

void rft_watch_stop(void)
{
    rft_share_pause();
    pthread_mutex_lock(&watch.lock);
    watch.wanted = false;
    stop();
    pthread_mutex_unlock(&watch.lock);
    rft_share_resume();
}

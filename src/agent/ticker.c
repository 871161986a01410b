/* A thread of our own that looks at the clock for everyone: it writes the
 * ticks, makes traced threads read the clock again, and looks after the slot.
 *
 * Python 3.12+ warns when a process with several threads forks, and counts
 * them in /proc/self/stat (Modules/posixmodule.c, get_number_of_os_threads):
 * so the ticker ends before a fork, and starts again a little after it. It
 * blocks all signals, never takes a GIL, and the program goes on without it
 * where no thread can be made: then ticks are written by the traced threads. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "tracer/share.h"

/* Bytes of new names, stacks and sites that are not left to wait for the tick. */
enum { DEFINITIONS_BULK = 8 << 20 };
enum { LOOK_MS = 10, LOOK_IDLE_MS = 100, RESTART_MS = 50, STACK = 128 * 1024 };

static struct {
    pthread_mutex_t lock; /* of a start or stop; nothing else is waited for under it */
    _Atomic bool running;
    _Atomic uint32_t stop;       /* a futex */
    _Atomic uint32_t restart_at; /* ms; 0: not to be restarted */
    pthread_t thread;
    _Atomic pid_t tid;
    _Atomic bool failed; /* no thread could be made */
} ticker = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Makes each thread read the clock at its next event. Returns whether anything
 * has happened since the last look. */
static bool look_at_threads(uint32_t *last_events, bool *bulk)
{
    uint32_t events = 0;
    pthread_mutex_lock(&tracer.lock);
    *bulk = tracer.stacks.length + tracer.sites.length + tracer.codes.length > DEFINITIONS_BULK;
    for (struct rft_thread *t = tracer.threads; t != NULL; t = t->next) {
        events += atomic_load_explicit(&t->events, memory_order_relaxed);
        /* Races with the thread's own countdown; if this store is lost the
         * thread is busy and will come to the end of its count by itself. */
        atomic_store_explicit(&t->countdown, 0, memory_order_relaxed);
    }
    pthread_mutex_unlock(&tracer.lock);
    bool active = events != *last_events;
    *last_events = events;
    return active;
}

static void sleep_ms(uint32_t ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    syscall(SYS_futex, &ticker.stop, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0);
}

/* With --holders, the time that the collector takes may have to be sampled meanwhile. */
static void wait_ms(uint32_t ms)
{
    if (!rft_collector_is_sampled()) {
        sleep_ms(ms);
        return;
    }
    for (uint32_t i = 0; i < ms && atomic_load(&ticker.stop) == 0; i++) {
        sleep_ms(1);
        rft_collector_sample();
    }
}

static void *run(void *unused)
{
    (void)unused;
    atomic_store(&ticker.tid, (pid_t)syscall(SYS_gettid));
    prctl(PR_SET_NAME, "reftracer");
    uint32_t events = 0, pause = LOOK_MS;
    while (atomic_load(&ticker.stop) == 0) {
        wait_ms(pause);
        if (atomic_load(&ticker.stop) != 0 || atomic_load(&tracer.state) != RFT_TRACING) {
            break;
        }
        uint32_t now = rft_now_ms();
        bool bulk, active = look_at_threads(&events, &bulk);
        /* An idle program is looked at less often, down to the tick. */
        pause = active ? LOOK_MS : pause * 2 < LOOK_IDLE_MS ? pause * 2 : LOOK_IDLE_MS;
        rft_slot_check(false);
        if (bulk || rft_record_due(now)) {
            rft_record_tick(now, !bulk);
        }
        if (!active && rft_share_left_alone()) {
            atomic_store(&ticker.running, false); /* nobody is there who would join */
            break;                                /* libc calls exit(0) */
        }
    }
    return NULL;
}

void rft_ticker_start(void)
{
    pthread_mutex_lock(&ticker.lock);
    if (atomic_exchange(&ticker.running, true)) {
        pthread_mutex_unlock(&ticker.lock);
        return;
    }
    atomic_store(&ticker.stop, 0);
    atomic_store(&ticker.restart_at, 0);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK > PTHREAD_STACK_MIN ? STACK : PTHREAD_STACK_MIN);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&ticker.thread, &attributes, run, NULL) != 0) {
        atomic_store(&ticker.failed, true);
        atomic_store(&ticker.running, false);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    pthread_mutex_unlock(&ticker.lock);
}

/* Holds ticker.lock. */
static void stop(void)
{
    if (atomic_load(&ticker.running)) {
        atomic_store(&ticker.stop, 1);
        syscall(SYS_futex, &ticker.stop, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        pthread_join(ticker.thread, NULL);
        rft_share_wait_until_gone(atomic_load(&ticker.tid));
        atomic_store(&ticker.running, false);
    }
}

void rft_ticker_stop(void)
{
    pthread_mutex_lock(&ticker.lock);
    stop();
    pthread_mutex_unlock(&ticker.lock);
}

/* Until the fork is over, no thread of an interpreter with a GIL of its own starts it again. */
void rft_ticker_before_fork(void)
{
    pthread_mutex_lock(&ticker.lock);
    stop();
}

void rft_ticker_after_fork(bool child)
{
    atomic_store(&ticker.failed, false);
    uint32_t now = child ? 0 : rft_now_ms();
    atomic_store(&ticker.restart_at, now + RESTART_MS);
    if (child) {
        pthread_mutex_init(&ticker.lock, NULL);
    } else {
        pthread_mutex_unlock(&ticker.lock);
    }
}

/* Called by traced threads when they have read the clock. */
void rft_ticker_on_clock(uint32_t now)
{
    uint32_t restart_at = atomic_load_explicit(&ticker.restart_at, memory_order_relaxed);
    if (__builtin_expect(restart_at != 0 && (int32_t)(now - restart_at) >= 0, 0)) {
        rft_ticker_start();
    }
    if (__builtin_expect(!atomic_load_explicit(&ticker.running, memory_order_relaxed), 0)) {
        rft_slot_check(false);
        rft_record_tick(now, true);
    }
}

/* fork: the child has one thread and its parent's memory. Its trace begins
 * anew at its first event; what it inherited is older than that. */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"

static void before_fork(void)
{
    rft_ticker_before_fork();
    /* Nobody may be in the middle of our tables when they are copied. */
    rft_record_lock();
    pthread_mutex_lock(&tracer.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&tracer.lock);
    rft_record_unlock();
    rft_ticker_after_fork(false);
}

static void after_fork_in_child(void)
{
    pthread_mutex_init(&tracer.lock, NULL);
    rft_record_after_fork();
    rft_survey_after_fork();
    rft_leave_set_pid();
    int tracing = RFT_TRACING;
    atomic_compare_exchange_strong(&tracer.state, &tracing,
                                   rft_config.children ? RFT_FORKED : RFT_STOPPED);
    rft_ticker_after_fork(true);
    if (!rft_config.children) {
        rft_slot_end();
    }
}

void rft_fork_prepare_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* The first event in a forked child. Not done in the handler above: many
 * children only exec. */
void rft_fork_in_child(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    rft_tracer_reset_after_fork();
    rft_windows_reset();
    tracer.start_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    rft_config.main_process = false;
    rft_addresses_void();
    rft_collector_begin(tracer.py.thread_state());
    if (rft_record_begin(true)) {
        atomic_store(&tracer.state, RFT_TRACING);
    } else {
        atomic_store(&tracer.state, RFT_STOPPED);
    }
}

/* Notices the end of traced threads: a value in thread-specific storage whose
 * destructor runs when the thread ends. */
#include <pthread.h>

#include "agent/agent.h"

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool usable;

static void at_thread_end(void *unused)
{
    (void)unused;
    /* Not the value: a fork may have replaced the record since. */
    if (rft_self != NULL) {
        rft_thread_ended(rft_self);
    }
}

static void make_key(void)
{
    usable = pthread_key_create(&key, at_thread_end) == 0;
}

void rft_watch_thread_end(struct rft_thread *t)
{
    pthread_once(&once, make_key);
    if (usable) {
        pthread_setspecific(key, t);
    }
}

/* Notices the end of traced threads: each has a value in thread-specific storage whose
 * destructor runs when the thread ends. The hot path reads rft_self instead, an
 * initial-exec variable: one instruction, where a value costs a call and two checks. */
#include <reftracer/tss.h>

#include "agent/agent.h"

static struct rft_tss records = RFT_TSS_NEEDS_INIT;

static void at_thread_end(void *unused)
{
    (void)unused;
    /* Not the value: a fork may have replaced the record since. */
    if (rft_self != NULL) {
        rft_thread_ended(rft_self);
    }
}

void rft_watch_thread_end(struct rft_thread *t)
{
    /* Without a key or memory for the value, an ended thread's record is not used again. */
    if (rft_tss_create_with_destructor(&records, at_thread_end) == 0) {
        rft_tss_set(&records, t);
    }
}

/* Which lock a thread waits for, and who has it. */
#ifndef RFT_RUNTIME_WAIT_H
#define RFT_RUNTIME_WAIT_H

#include "runtime/runtime.h"

/* Sets `waits_for` of each thread of the snapshot that sleeps in a lock. `waits_on` must be set,
 * and the frames must be those that are shown. */
void rft_waits_fill(struct rft_runtime *runtime);

#endif

/* Threads' names: those that the threading module knows. */
#ifndef RFT_RUNTIME_NAMES_H
#define RFT_RUNTIME_NAMES_H

#include "runtime/runtime.h"

/* Sets the name of each thread of the snapshot that threading has in `_active`; the others
 * keep theirs. Names are remembered: they are read again for a thread that was not there
 * before, for all after a second (a program may rename a thread), and for those without a
 * name after a tenth of one (a thread registers itself after it has begun to run). The names
 * live until the next call. */
void rft_names_fill(struct rft_runtime *runtime);

#endif

/* asyncio tasks, 3.14 and newer. */
#ifndef RFT_RUNTIME_TASK_H
#define RFT_RUNTIME_TASK_H

#include "runtime/local.h"

/* Sets the tasks of each interpreter of the snapshot. locals: NULL, or to show the variables
 * of their frames. Where there is no asyncio there are no tasks; what can't be read is said
 * in the interpreter's `problem`. */
void rft_tasks_fill(struct rft_runtime *runtime, struct rft_locals *locals);

#endif

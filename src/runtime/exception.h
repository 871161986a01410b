/* The exception that a thread is raising or handling. */
#ifndef RFT_RUNTIME_EXCEPTION_H
#define RFT_RUNTIME_EXCEPTION_H

#include "runtime/object.h"

/* Name of its type ("ValueError"), in the snapshot's memory; "" if there is none or it can't
 * be read; NULL without memory.
 * state, size: bytes of the PyThreadState as far as they were read, so that a thread without
 * an exception, the usual case, costs no further read. */
const char *rft_thread_exception(struct rft_runtime *runtime, rft_address thread,
                                 const unsigned char *state, size_t size);

#endif

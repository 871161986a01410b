/* C frames of threads, merged with their Python frames.
 *
 *     native.c          all threads of a snapshot, one after the other
 *     native_stop.c     ptrace: stops one thread of a live process, and lets it go
 *     native_capture.c  what is copied of a thread: registers, stack, Python frames
 *     native_unwind.c   C frames out of that copy, with elfutils' libdwfl
 *     native_symbol.c   what function, file and line an instruction is of
 *     native_merge.c    which C frame runs which Python frames
 *
 * A live thread is stopped while its registers, its stack and the heads of its Python frames
 * are copied, and goes on before anything is made of the copy. */
#ifndef RFT_RUNTIME_NATIVE_H
#define RFT_RUNTIME_NATIVE_H

#include "runtime/runtime.h"

/* Replaces the frames of each thread of the snapshot by the merged ones, and sets stopped_ns.
 * What could not be done for a thread is said in its `problem`; it then has the frames that it
 * had. The threads' native ids must be set. */
void rft_native_fill(struct rft_runtime *runtime);

#endif

/* Stopping one thread of a live process. */
#ifndef RFT_RUNTIME_NATIVE_STOP_H
#define RFT_RUNTIME_NATIVE_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A thread that is stopped. */
struct rft_stopped {
    int thread;
    int signal;     /* one that came in between: it is delivered when the thread goes on */
    uint64_t since; /* CLOCK_MONOTONIC, in nanoseconds */
};

/* Stops a thread. On success the caller must call rft_stop_end(), in the same thread.
 * why, size: on failure a text that says why not.
 * A thread that sleeps in the kernel where nothing may interrupt it does not stop: it is given
 * up after a while. It is let go of at the latest when the calling thread ends; so does the
 * kernel with all of them if the calling process is killed. */
bool rft_stop_begin(int thread, struct rft_stopped *stopped, char *why, size_t size);

/* Lets it go on. Returns for how many nanoseconds it was stopped. */
uint64_t rft_stop_end(struct rft_stopped *stopped);

/* The general registers of a stopped thread (elf_gregset_t): bytes, 0 on failure. */
size_t rft_stop_registers(const struct rft_stopped *stopped, void *registers, size_t room);

#endif

/* What the files of the callback share: tracer.c has the usual births and deaths, deaths.c
 * the others. */
#pragma once

#include "tracer/tracer.h"

/* Births between two readings of the clock, which costs about as much as two
 * births. As long as it shows the same millisecond each time, it is asked less
 * often. See also ticker.c, which cuts the wait short. */
enum { RFT_CLOCK_INTERVAL_MIN = 32, RFT_CLOCK_INTERVAL_MAX = 256 };

/* Single writer: a load and a store, no locked instruction. No compiler makes one
 * instruction of the two, which on this path is worth a line of assembly. */
static inline void rft_bump(_Atomic uint32_t *counter)
{
#if defined(__x86_64__) && !RFT_TSAN
    __asm__("addl $1, %0" : "+m"(*counter) : : "cc");
#else
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
#endif
}

/* deaths.c. None of these is inlined: the usual birth and death need no stack frame. */

/* An address is born that we hold alive, by `slot` of the live map. */
void rft_death_inferred(struct rft_thread *t, void *op, uint32_t slot);
/* An object dies whose birth was not seen. */
void rft_death_unseen(struct rft_thread *t, void *op);
/* An object dies that was not made in this millisecond by this thread; its slot is empty
 * already. Returns 0, for the callback. */
int rft_death_later(struct rft_thread *t, void *op, uint32_t slot, struct rft_cohort *cohort);

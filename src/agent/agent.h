/* The agent: life of the tracer inside of a process.
 *
 * preload.c   the library's constructor: is this a CPython that can be traced?
 * hooks.c     the audit hook: start as early as possible, and each interpreter's end
 * slot.c      CPython's one slot for a tracer: taking it, keeping it, giving it back
 * record.c    the trace file: ticks, census, end
 * thread_end.c when a traced thread ends
 * ticker.c    a thread that writes a tick every 100 ms and looks after the slot
 * fork.c      fork, and what the child does with its parent's state
 * leave.c     os._exit and exec, where no finalizer runs
 * status.c    what is said to `reftracer run` and to people */
#ifndef RFT_AGENT_H
#define RFT_AGENT_H

#include "tracer/tracer.h"

/* What `reftracer run` asked for, from the environment. Set once. */
struct rft_config {
    char output[4096]; /* absolute path of the first process's trace */
    char status[4096]; /* file for notes to `reftracer run`; empty: none */
    bool children;     /* trace forked children and exec'd Pythons */
    bool collect;      /* run the cycle collector before the last census */
    bool main_process; /* this is the command that `reftracer run` started */
};
extern struct rft_config rft_config;

/* slot.c */
bool rft_slot_take(void);                     /* needs the GIL; false: refused, exception cleared */
void rft_slot_check(uint32_t now, bool last); /* any thread; last: before the census */
void rft_slot_release(void);

/* record.c: all but rft_record_begin take the record's own lock. */
bool rft_record_begin(bool forked); /* prepares; claims the file at once unless forked */
void rft_record_tick(uint32_t now, bool at_most_if_due);
void rft_record_census(struct rft_thread *t, enum rft_census_kind kind, uint32_t interp);
void rft_record_mark(const char *label);
void rft_record_end(enum rft_end_reason reason);
bool rft_record_due(uint32_t now);
void rft_record_lock(void);
void rft_record_unlock(void);
void rft_record_after_fork(void);

/* ticker.c */
void rft_ticker_start(void);
void rft_ticker_stop(void);
void rft_ticker_wake(void);
void rft_ticker_after_fork(bool child);
void rft_ticker_on_clock(uint32_t now);

/* fork.c */
void rft_fork_prepare_handlers(void);
void rft_fork_in_child(void); /* the child's first event */

/* hooks.c */
bool rft_hooks_install(void);
bool rft_is_main_interpreter(void *tstate);
void rft_finish(enum rft_census_kind kind, enum rft_end_reason reason);

/* status.c */
void rft_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
void rft_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* thread_end.c */
void rft_watch_thread_end(struct rft_thread *t);

/* leave.c */
void rft_leave_set_pid(void); /* this process is the one to look after */

/* preload.c */
void rft_tracer_set_clock(void); /* the trace's time begins now */
void *rft_symbol(const char *name);

#endif

/* The agent: life of the tracer inside of a process.
 *
 * preload.c   the library's constructor: is this a CPython that can be traced?
 * control.c   beginning and ending a trace from inside the program
 * hooks.c     the audit hook: start as early as possible, and each interpreter's end
 * slot.c      CPython's one slot for a tracer: taking it, keeping it, giving it back
 * record.c    the trace file: ticks, census, end
 * survey*.c   the heap is looked through: who holds what (survey.h)
 * spare.c     how much memory may be taken for that
 * collector.c how long CPython's cycle collector ran
 * names_held.c strings that only the interpreter's memory of look-ups keeps alive
 * thread_end.c when a traced thread ends
 * ticker.c    a thread that writes a tick every 100 ms and looks after the slot
 * window.c    questions about a trace that runs
 * why.c       what holds one object, asked by the program itself
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
    uint32_t holders;  /* ms that a look through the heap may take before a census; 0: none */
    bool main_process; /* this is the command that `reftracer run` started */
};
extern struct rft_config rft_config;

/* slot.c */
bool rft_slot_begin(void);      /* needs the GIL; false: refused, or no memory */
void rft_slot_check(bool last); /* any thread; last: before the census */
void rft_slot_end(void);

/* record.c: all but rft_record_begin take the record's own lock. */
bool rft_record_begin(bool forked); /* prepares; claims the file at once unless forked */
void rft_record_tick(uint32_t now, bool at_most_if_due);
void rft_record_census(struct rft_thread *t, enum rft_census_kind kind, uint32_t interp);
void rft_record_mark(const char *label);
void rft_record_chunks(uint8_t first, const struct rft_buffer *payloads, unsigned count);
void rft_record_end(enum rft_end_reason reason);
const char *rft_record_path(void); /* of the trace that runs; NULL: there is no file yet */
bool rft_record_due(uint32_t now);
void rft_record_lock(void);
void rft_record_unlock(void);
void rft_record_after_fork(void);

/* survey.c: needs the GIL. label: what for; ms: how long it may take. What it found goes
 * into the trace. NULL, or why nothing was looked through: a static text. */
const char *rft_survey(enum rft_heap_kind kind, const char *label, uint32_t ms);
void rft_survey_lock(void); /* one look through a heap at a time */
void rft_survey_unlock(void);
void rft_survey_after_fork(void);
const char *reftracer_holders(const char *label, unsigned ms);

/* spare.c: bytes that may be taken for a while; not less than `least` */
size_t rft_memory_to_spare(size_t least);

/* collector.c */
void rft_collector_begin(const char *tstate); /* counts from now on */
bool rft_collector_is_sampled(void);
void rft_collector_sample(void); /* each millisecond, by one thread */
/* Of the interpreter of tstate. */
uint64_t rft_collector_ms(const char *tstate, enum rft_collector_time *known);
bool rft_collector_runs(const char *tstate);

/* names_held.c */
void rft_names_held_begin(const char *tstate); /* finds the table; needs the GIL */
/* Fills the payload of a chunk, if it is time (`soon`: or nearly). Holds record.lock. */
bool rft_names_held_look(uint32_t now, bool soon, struct rft_buffer *to);

/* ticker.c */
void rft_ticker_start(void);
void rft_ticker_stop(void);
void rft_ticker_wake(void);
void rft_ticker_before_fork(void);
void rft_ticker_after_fork(bool child);
void rft_ticker_on_clock(uint32_t now);

/* fork.c */
void rft_fork_prepare_handlers(void);
void rft_fork_in_child(void); /* the child's first event */

/* control.c: what python/reftracer/_trace.py calls */
const char *reftracer_start(const char *path, int collect);
const char *reftracer_mark(const char *label);
const char *reftracer_stop(void);
int reftracer_is_tracing(void);
const char *reftracer_flush(void);
const char *reftracer_path(void);

/* window.c: likewise, about a trace that runs */
long long reftracer_window_begin(int counts);
void reftracer_window_end(long long id);
const char *reftracer_window_survivors(long long id, long long until, unsigned least,
                                       unsigned depth);
long long reftracer_window_objects(long long id, long long until, unsigned site,
                                   uint64_t *addresses, size_t capacity);
void *reftracer_window_list(long long id, long long until, unsigned site, unsigned limit);
const char *reftracer_site(unsigned site, unsigned depth);
int reftracer_loses_deaths(void);
int reftracer_mute(int on);
void rft_windows_reset(void); /* another trace begins */

/* hooks.c */
bool rft_hooks_find(void); /* the functions that it needs */
bool rft_hooks_install(void);
const char *rft_start_now(bool add_hook); /* in mid-life; NULL or why not */
void rft_collect_before_census(void);
bool rft_is_main_interpreter(void *tstate);
void rft_finish(enum rft_census_kind kind, enum rft_end_reason reason);

/* why.c */
const char *reftracer_why(void *object, unsigned own_frames, unsigned ms, unsigned paths);
/* names_held.c: how many references to this string the cache of attribute look-ups has. */
unsigned reftracer_name_lookups(const void *string);

/* status.c */
void rft_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
void rft_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* thread_end.c */
void rft_watch_thread_end(struct rft_thread *t);

/* leave.c */
void rft_leave_set_pid(void); /* this process is the one to look after */

/* preload.c */
const char *rft_prepare(void);   /* finds CPython's functions and fields; NULL or why not */
void rft_tracer_set_clock(void); /* the trace's time begins now */
void *rft_symbol(const char *name);

/* spare.c: the decimal number that a text begins with, blanks before it or not; 0: none.
 * glibc 2.38 and newer turn strtoul() into a function that older ones lack, and with it
 * the agent would not load there. */
size_t rft_decimal(const char *text);

#endif

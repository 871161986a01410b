/* What `reftracer inspect` shows: a snapshot of a process or core (reftracer/runtime.h),
 * as text or JSON. These files know that header and nothing of how it is made.
 *
 * To show a further fact: inspect_page.c, inspect_json.c and docs/INSPECT-JSON.md. To add
 * a hint: a function in inspect_hints.c and its line in docs/INSPECT.md. */
#ifndef RFT_REPORT_INSPECT_H
#define RFT_REPORT_INSPECT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <reftracer/runtime.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "base/vec.h"
#include "report/page.h"

#define INSPECT_SCHEMA "reftracer-inspect/1"
#define INSPECT_ALL_SCHEMA "reftracer-inspect-all/1"

/* --- what was seen in earlier looks (inspect_past.c) ------------------------- */

/* A thread as of the newest look. Numbers of looks count this one, without a gap. */
struct past_thread {
    rft_address address;
    uint64_t id;
    int64_t native_id;
    const struct rft_thread *now;
    const struct rft_interpreter *interpreter;
    unsigned looks;                            /* in which it was there */
    unsigned unmoved;                          /* in which its stack was as it is now */
    unsigned waits;                            /* in which it waited for the GIL */
    unsigned holds;                            /* in which it held the GIL */
    uint64_t unmoved_since_ns, waits_since_ns; /* the time of the first of them */
    uint64_t ran;    /* how much, as of when it was last known to sleep in a lock; 0: not known */
    uint64_t *marks; /* one for each Python frame, innermost first */
    size_t mark_count;
    size_t kept; /* frames at the outer end that are as they were in the look before */
    char *name;
};

struct inspect_past {
    unsigned looks;
    uint64_t first_ns, now_ns;
    struct past_thread *threads; /* by address */
    size_t thread_count;
    struct past_thread *gone; /* those that the newest look has not found any more */
    size_t gone_count;
};

/* Takes in one more look; the snapshot must stay until the next one, or until nothing is
 * shown any more. A past that is all zero has no look yet. */
struct rft_error *inspect_past_add(struct inspect_past *past, const struct rft_snapshot *snapshot);
/* Takes in one more look, at `now_ns`, that has found everything as in the newest. */
void inspect_past_add_same(struct inspect_past *past, uint64_t now_ns);
/* The thread is where it was in the look before, but has run in between. */
void inspect_past_moved(const struct inspect_past *past, struct past_thread *thread);
/* The thread with this address; NULL for one that is not in the snapshot. */
const struct past_thread *inspect_past_thread(const struct inspect_past *past, rft_address address);
void inspect_past_deinit(struct inspect_past *past);

/* --- one look, with all that is said about it ---------------------------------- */

struct inspect_look {
    enum rft_space_kind kind;
    const char *core; /* path, printable; NULL for a live process */
    const struct rft_process_facts *process;
    const struct rft_runtime_facts *runtime;
    const struct rft_snapshot *snapshot;
    const struct inspect_past *past;
    unsigned flags;       /* RFT_SNAPSHOT_... that it was taken with */
    bool changes;         /* say what has changed since the look before */
    bool one_interpreter; /* show this one only */
    bool one_thread;
    int64_t interpreter;
    uint64_t thread; /* native id, id in its namespace, or threading's id */
};

/* Whether the options let it be shown. */
bool inspect_shows_interpreter(const struct inspect_look *look,
                               const struct rft_interpreter *interpreter);
bool inspect_shows_thread(const struct inspect_look *look, const struct rft_thread *thread);
/* Whether they let anything be shown at all. */
bool inspect_shows_something(const struct inspect_look *look);

/* --- hints (inspect_hints.c) ----------------------------------------------------- */

/* What follows from a look, and from those before it. */
struct inspect_hint {
    const char *kind; /* for programs: "deadlock", "gil", ... (docs/INSPECT-JSON.md) */
    enum page_ink ink;
    const struct rft_interpreter *interpreter; /* that it is about; NULL: the process */
    char *text;
};

struct inspect_hints {
    RFT_VEC(struct inspect_hint) list;
    size_t circles; /* of threads that wait for each other */
};

/* Takes the text over. False without memory. */
bool inspect_hints_add(struct inspect_hints *hints, const char *kind, enum page_ink ink,
                       const struct rft_interpreter *interpreter, struct rft_strbuf *text);
/* Threads that wait for each other (inspect_waits.c): circles, and who has what others want. */
bool inspect_hint_waits(struct inspect_hints *hints, const struct inspect_look *look);

/* The gravest first. */
struct rft_error *inspect_hints_find(struct inspect_hints *hints, const struct inspect_look *look);
void inspect_hints_deinit(struct inspect_hints *hints);

/* Whether there is such a circle. */
bool inspect_has_circle(const struct inspect_look *look);

/* How many more looks would tell more, and how far apart: threads wait for a GIL, for each other,
 * or all for locks. Of the latter it is enough to know that nothing has moved
 * (rft_snapshot_unmoved). */
struct inspect_more {
    unsigned looks, apart_ms;
    bool unmoved_is_enough;
};
struct inspect_more inspect_more_looks(const struct inspect_look *look);

/* Whether it shows what would be a deadlock if it lasts: such a circle, or all wait for locks. */
bool inspect_may_hang(const struct inspect_look *look);

/* Whether the thread seems to wait for a lock of Python's. */
bool inspect_waits_for_lock(const struct rft_thread *thread);

/* --- words (inspect_words.c) ------------------------------------------------------- */

/* For JSON. */
const char *inspect_state_name(enum rft_thread_state state);
const char *inspect_gil_name(enum rft_gil_relation gil);
/* "SIGSEGV"; "signal 64" for those without a name, in `text`. */
const char *inspect_signal_name(int number, char *text, size_t size);
/* What si_code says: "address not mapped", or "". */
const char *inspect_signal_cause(int number, int code);
/* Whether si_addr means something. */
bool inspect_signal_has_address(int number, int code);
/* A thread's name; of a long one the beginning and "...". */
void inspect_add_name(struct rft_strbuf *to, const char *name);
/* "'worker' (4713)" */
void inspect_add_thread(struct rft_strbuf *to, const struct rft_thread *thread);
/* "app.py:12 crunch", the innermost Python frame; nothing if there is none. */
void inspect_add_place(struct rft_strbuf *to, const struct rft_thread *thread);
/* The same of one that waits in the standard library's own Python code: "app.py:9 run (Queue.get)".
 */
void inspect_add_waiting_place(struct rft_strbuf *to, const struct rft_thread *thread);
/* The thread that has the lock that this one waits for, or that it joins; NULL: not known. */
const struct rft_thread *inspect_waits_for(const struct inspect_look *look,
                                           const struct rft_thread *thread);
/* "waits for a Lock that 'worker' (4713) has"; nothing if that is not known. */
void inspect_add_wait(struct rft_strbuf *to, const struct inspect_look *look,
                      const struct rft_thread *thread);
/* "1.2 s", "0.05 ms" */
void inspect_add_duration(struct rft_strbuf *to, uint64_t nanoseconds);
/* The innermost Python frame, or NULL. */
const struct rft_frame *inspect_innermost(const struct rft_thread *thread);

/* --- text ---------------------------------------------------------------------------- */

/* The whole tree: process, hints, interpreters, threads, frames. */
struct rft_error *inspect_page(const struct page *page, const struct inspect_look *look);
/* A few lines: process, hints, each thread with its innermost frame. */
struct rft_error *inspect_page_short(const struct page *page, const struct inspect_look *look);

/* A path in at most `room` columns: it keeps whole folders at its end. */
void inspect_add_path(struct rft_strbuf *to, const struct page *page, const char *path,
                      size_t room);
/* Frames of a thread or task (inspect_stack.c). moved: so many innermost Python frames are
 * new since the look before. */
struct rft_error *inspect_stack(const struct page *page, unsigned indent,
                                const struct rft_frame *frames, size_t count, size_t moved);
/* Tasks of an interpreter, as a tree of who waits for whom (inspect_tasks.c). */
struct rft_error *inspect_tasks(const struct page *page, unsigned indent,
                                const struct rft_interpreter *interpreter);
/* Puts each task that is part of a circle of waiting into `found`, at most `room`; returns
 * how many. UINT32_MAX without memory. */
uint32_t inspect_task_circle(const struct rft_interpreter *interpreter,
                             const struct rft_task **found, uint32_t room);

/* --- JSON ------------------------------------------------------------------------------ */

/* The object of one process. */
struct rft_error *inspect_json(struct rft_json *json, const struct inspect_look *look);

#endif

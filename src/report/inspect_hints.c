/* What follows from a look: who keeps whom from running. A hint says what was seen, and
 * "likely" where it concludes more than that. */
#include "report/inspect.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAMED = 4,   /* threads that a hint names, at most */
    LISTED = 12, /* interpreters that a hint lists, at most */
};

void inspect_hints_deinit(struct inspect_hints *hints)
{
    for (size_t i = 0; i < hints->list.count; i++)
        free(hints->list.items[i].text);
    rft_vec_free(&hints->list);
}

bool inspect_hints_add(struct inspect_hints *hints, const char *kind, enum page_ink ink,
                       const struct rft_interpreter *interpreter, struct rft_strbuf *text)
{
    char *copy = text->failed ? NULL : strdup(rft_strbuf_text(text));
    rft_strbuf_deinit(text);
    struct inspect_hint hint = {kind, ink, interpreter, copy};
    if (copy == NULL)
        return false;
    if (rft_vec_push(&hints->list, hint))
        return true;
    free(copy);
    return false;
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* "for 5 looks (210 ms)" */
static void add_looks(struct rft_strbuf *text, unsigned looks, uint64_t since_ns, uint64_t now_ns)
{
    rft_strbuf_format(text, "for %u looks (", looks);
    inspect_add_duration(text, now_ns > since_ns ? now_ns - since_ns : 0);
    rft_strbuf_add_char(text, ')');
}

static bool is_asleep(const struct rft_thread *thread)
{
    return thread->state == RFT_THREAD_BLOCKED || thread->state == RFT_THREAD_DISK;
}

/* --- locks --------------------------------------------------------------------- */

/* Functions of Lib/threading.py and Lib/queue.py that do nothing but wait for a lock
 * (_wait_for_tstate_lock: up to 3.12). */
static bool is_waiting_function(const struct rft_frame *frame)
{
    static const char *const names[] = {"wait",      "wait_for", "acquire", "__enter__",
                                        "join",      "get",      "put",     "_wait_for_tstate_lock",
                                        "_shutdown", "result"};
    const char *slash = strrchr(frame->file, '/');
    const char *file = slash != NULL ? slash + 1 : frame->file;
    if (strcmp(file, "threading.py") != 0 && strcmp(file, "queue.py") != 0 &&
        strcmp(file, "<frozen threading>") != 0)
        return false;
    const char *dot = strrchr(frame->function, '.');
    const char *function = dot != NULL ? dot + 1 : frame->function;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(function, names[i]) == 0)
            return true;
    return false;
}

bool inspect_waits_for_lock(const struct rft_thread *thread)
{
    if (thread->gil != RFT_GIL_NOT_NEEDED && thread->gil != RFT_GIL_UNKNOWN)
        return false;
    const struct rft_frame *frame = inspect_innermost(thread);
    if (frame == NULL)
        return false;
    /* All locks of CPython on Linux end in futex(2). */
    bool futex = strstr(thread->waits_in, "futex") != NULL;
    if (thread->state == RFT_THREAD_UNKNOWN) /* a core does not always tell */
        return futex || (thread->waits_in[0] == '\0' && is_waiting_function(frame));
    return thread->state == RFT_THREAD_BLOCKED &&
           (futex || (thread->waits_in[0] == '\0' && is_waiting_function(frame)));
}

struct lock_count {
    size_t waiting, others, timed, unknown; /* unknown: whether with a time limit */
    size_t shared;                          /* for what another process may have */
    uint64_t since_ns;                      /* all have been where they are since then */
    unsigned looks;
};

static struct lock_count count_locks(const struct rft_snapshot *snapshot,
                                     const struct inspect_past *past)
{
    struct lock_count count = {.looks = UINT32_MAX};
    for (size_t i = 0; i < snapshot->interpreter_count; i++) {
        const struct rft_interpreter *interpreter = &snapshot->interpreters[i];
        for (size_t j = 0; j < interpreter->thread_count; j++) {
            const struct rft_thread *thread = &interpreter->threads[j];
            if (thread->state == RFT_THREAD_GONE)
                continue;
            if (!inspect_waits_for_lock(thread)) {
                count.others++;
                continue;
            }
            count.waiting++;
            count.timed += thread->waits_timed;
            count.shared += thread->waits_for != NULL && thread->waits_for->kind == RFT_WAIT_SHARED;
            count.unknown += strcmp(thread->waits_in, "futex") != 0;
            const struct past_thread *seen =
                past != NULL ? inspect_past_thread(past, thread->address) : NULL;
            if (seen != NULL && seen->unmoved < count.looks) {
                count.looks = seen->unmoved;
                count.since_ns = seen->unmoved_since_ns;
            }
        }
    }
    return count;
}

static bool all_wait(const struct rft_snapshot *snapshot)
{
    /* To look at a thousand threads once more takes long, and they hang or are idle. */
    enum { MOST = 256 };
    struct lock_count count = count_locks(snapshot, NULL);
    return count.waiting > 1 && count.waiting <= MOST && count.others == 0;
}

struct inspect_more inspect_more_looks(const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    /* How long somebody waits for a GIL takes a while to see; that nothing moves in a lock is
     * seen at once, and a program in which all threads wait is often just idle. */
    static const struct inspect_more none = {0, 0, false}, gil = {4, 10, false},
                                     circle = {2, 1, false}, locks = {1, 1, true};
    for (size_t i = 0; i < snapshot->interpreter_count; i++) {
        if (snapshot->interpreters[i].gil_requested)
            return gil;
        for (size_t j = 0; j < snapshot->interpreters[i].thread_count; j++)
            if (snapshot->interpreters[i].threads[j].gil == RFT_GIL_WAITS)
                return gil;
    }
    if (inspect_has_circle(look))
        return circle;
    return all_wait(snapshot) ? locks : none;
}

bool inspect_may_hang(const struct inspect_look *look)
{
    return inspect_has_circle(look) || all_wait(look->snapshot);
}

/* Those that wait without a time limit, as far as that is known. */
static void name_waiting(struct rft_strbuf *text, const struct rft_snapshot *snapshot)
{
    size_t named = 0, more = 0;
    /* The oldest first: usually the main thread. */
    for (size_t i = snapshot->interpreter_count; i-- > 0;) {
        const struct rft_interpreter *interpreter = &snapshot->interpreters[i];
        for (size_t j = interpreter->thread_count; j-- > 0;) {
            const struct rft_thread *thread = &interpreter->threads[j];
            if (!inspect_waits_for_lock(thread) || thread->waits_timed)
                continue;
            if (named == NAMED) {
                more++;
                continue;
            }
            rft_strbuf_add(text, named++ > 0 ? ", " : " ");
            inspect_add_thread(text, thread);
            rft_strbuf_add(text, " at ");
            inspect_add_waiting_place(text, thread);
        }
    }
    if (more > 0)
        rft_strbuf_format(text, ", and %zu more", more);
}

static bool hint_deadlock(struct inspect_hints *hints, const struct inspect_look *look)
{
    struct lock_count count = count_locks(look->snapshot, look->past);
    /* A circle is told already: this would say less. */
    if (count.waiting == 0 || count.others > 0 || hints->circles > 0)
        return true;
    struct rft_strbuf text = {0};
    if (count.waiting > 1 && count.looks == 1 && look->past->looks > 1 && count.timed == 0) {
        rft_strbuf_format(
            &text,
            "All %zu threads wait for locks in this look, but not all have been there "
            "since the look before: they seem to wake each other.",
            count.waiting);
        return inspect_hints_add(hints, "lock", INK_PLAIN, NULL, &text);
    }
    if (count.waiting == 1)
        rft_strbuf_format(&text, "The only thread waits for a %s",
                          count.shared > 0 ? "semaphore that processes share" : "lock");
    else
        rft_strbuf_format(&text, "All %zu threads wait for locks", count.waiting);
    if (count.looks > 1 && count.looks != UINT32_MAX) {
        rft_strbuf_add(&text, ", unmoved ");
        add_looks(&text, count.looks, count.since_ns, look->past->now_ns);
    }
    if (count.timed > 0) { /* a program that has nothing to do looks like this too */
        if (count.waiting == 1)
            rft_strbuf_add(&text, ", with a time limit.");
        else if (count.timed == count.waiting)
            rft_strbuf_add(&text, ", each with a time limit: nothing runs until one is over.");
        else
            rft_strbuf_format(&text, ", %zu of them with a time limit: nothing runs until %s over.",
                              count.timed, count.timed == 1 ? "it is" : "one is");
        bool more = count.waiting - count.timed > 1;
        if (more) {
            rft_strbuf_add(&text, " The others may wait for each other:");
            name_waiting(&text, look->snapshot);
        }
        return inspect_hints_add(hints, "lock", more ? INK_CAUTION : INK_PLAIN, NULL, &text);
    }
    bool unlimited = count.unknown == 0;
    if (unlimited)
        rft_strbuf_add(&text, ", without a time limit");
    if (count.shared > 0) {
        if (count.waiting > 1)
            rft_strbuf_format(&text, ", %zu of them for a semaphore that processes share",
                              count.shared);
        rft_strbuf_add(&text, ": another process may have it (multiprocessing); `reftracer inspect "
                              "--all` shows them.");
        if (count.waiting > 1)
            name_waiting(&text, look->snapshot);
        return inspect_hints_add(hints, "lock", INK_CAUTION, NULL, &text);
    }
    if (count.waiting > 1)
        rft_strbuf_add(&text, ": no thread can run, likely a deadlock. Only");
    else
        rft_strbuf_add(&text, ": only");
    rft_strbuf_format(&text, " a signal%s or C code %s wake %s.", unlimited ? "" : ", a time limit",
                      count.waiting > 1 ? "could" : "can", count.waiting > 1 ? "one" : "it");
    if (count.waiting > 1)
        name_waiting(&text, look->snapshot);
    return inspect_hints_add(hints, count.waiting == 1 ? "lock" : "deadlock",
                             count.waiting == 1 ? INK_CAUTION : INK_BAD, NULL, &text);
}

/* --- the GIL ------------------------------------------------------------------------ */

static int by_gil(const void *left, const void *right)
{
    const struct rft_interpreter *a = *(const struct rft_interpreter *const *)left;
    const struct rft_interpreter *b = *(const struct rft_interpreter *const *)right;
    if (a->gil != b->gil)
        return a->gil < b->gil ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* A loop is often at the same place in two looks, and a busy machine lets nobody move: a call that
 * keeps the GIL is there in more of them. */
enum { STUCK_LOOKS = 4 };

static bool is_stuck(const struct past_thread *holder)
{
    return holder->unmoved >= STUCK_LOOKS && holder->holds >= STUCK_LOOKS;
}

/* What the thread that has the GIL does with it. */
static void describe_holder(struct rft_strbuf *text, const struct inspect_look *look,
                            const struct past_thread *holder, size_t waiters)
{
    const struct rft_thread *thread = holder->now;
    bool unmoved = holder->unmoved > 1 && holder->holds > 1;
    if (inspect_innermost(thread) != NULL) {
        rft_strbuf_add(text, " It is at ");
        inspect_add_place(text, thread);
        if (unmoved) {
            unsigned looks = holder->unmoved < holder->holds ? holder->unmoved : holder->holds;
            rft_strbuf_add(text, ", unmoved ");
            add_looks(text, looks, holder->unmoved_since_ns, look->past->now_ns);
        }
    }
    switch (thread->state) {
    case RFT_THREAD_RUNNING:
        rft_strbuf_add(text, is_stuck(holder)
                                 ? ", on a CPU: a long C call that does not release the GIL, "
                                   "or a loop in one line."
                                 : ", on a CPU.");
        break;
    case RFT_THREAD_BLOCKED:
    case RFT_THREAD_DISK:
        rft_strbuf_add(text, ", and sleeps in the kernel");
        if (thread->waits_in[0] != '\0')
            rft_strbuf_format(text, " (%s)", thread->waits_in);
        rft_strbuf_add(text, ": a C call that waits without releasing the GIL");
        if (strstr(thread->waits_in, "futex") != NULL && waiters > 0)
            rft_strbuf_add(text, "; if it waits for what one of the others has, this is a "
                                 "deadlock");
        rft_strbuf_add_char(text, '.');
        break;
    case RFT_THREAD_STOPPED:
        rft_strbuf_add(text, ", and is stopped, by a signal or a debugger.");
        break;
    case RFT_THREAD_GONE:
        rft_strbuf_add(text, " The system knows it no more: nobody will release the GIL. Was "
                             "this process forked while another thread ran?");
        break;
    case RFT_THREAD_CRASHED:
        rft_strbuf_add(text, ", where it crashed.");
        break;
    case RFT_THREAD_UNKNOWN:
        rft_strbuf_add_char(text, '.');
        break;
    }
}

/* One GIL, shared by `count` interpreters. */
static bool hint_one_gil(struct inspect_hints *hints, const struct inspect_look *look,
                         const struct rft_interpreter *const *sharing, size_t count)
{
    const struct rft_thread *longest = NULL;
    unsigned looks = 0;
    uint64_t since_ns = 0;
    size_t waiters = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < sharing[i]->thread_count; j++) {
            const struct rft_thread *thread = &sharing[i]->threads[j];
            if (thread->gil != RFT_GIL_WAITS)
                continue;
            waiters++;
            const struct past_thread *seen = inspect_past_thread(look->past, thread->address);
            if (seen != NULL && (longest == NULL || seen->waits > looks)) {
                longest = thread;
                looks = seen->waits;
                since_ns = seen->waits_since_ns;
            }
        }
    }
    rft_address holder_address = 0;
    bool locked = false, requested = false;
    for (size_t i = 0; i < count; i++) {
        if (holder_address == 0)
            holder_address = sharing[i]->gil_holder;
        locked = locked || sharing[i]->gil_locked;
        requested = requested || sharing[i]->gil_requested;
    }
    const struct past_thread *holder =
        holder_address != 0 ? inspect_past_thread(look->past, holder_address) : NULL;
    bool stuck = holder != NULL && is_stuck(holder);
    bool dead = holder != NULL && holder->now->state == RFT_THREAD_GONE;
    if (waiters == 0 && !stuck && !dead)
        return true;

    struct rft_strbuf text = {0};
    if (holder != NULL) {
        inspect_add_thread(&text, holder->now);
        rft_strbuf_add(&text, " holds the GIL");
    } else if (locked || holder_address != 0) {
        rft_strbuf_add(&text, "A thread that is not in the list holds the GIL");
    } else {
        rft_strbuf_add(&text, "Nobody holds the GIL at this moment");
    }
    if (!sharing[0]->main || count > 1) {
        rft_strbuf_format(&text, " of interpreter%s", plural(count));
        for (size_t i = 0; i < count && i < LISTED; i++)
            rft_strbuf_format(&text, "%s%" PRId64, i > 0 ? ", " : " ", sharing[i]->id);
        if (count > LISTED)
            rft_strbuf_add(&text, ", ...");
    }
    if (waiters > 0) {
        rft_strbuf_format(&text, "; %zu thread%s wait%s for it", waiters, plural(waiters),
                          waiters == 1 ? "s" : "");
        if (longest != NULL && looks > 1) {
            rft_strbuf_add(&text, waiters == 1 ? ": " : ", longest ");
            inspect_add_thread(&text, longest);
            rft_strbuf_add_char(&text, ' ');
            add_looks(&text, looks, since_ns, look->past->now_ns);
        } else if (waiters == 1 && longest != NULL) {
            rft_strbuf_add(&text, ": ");
            inspect_add_thread(&text, longest);
        }
    }
    if (waiters == 0 && requested) /* which threads those are, not every release tells */
        rft_strbuf_add(&text, "; others have asked for it");
    rft_strbuf_add_char(&text, '.');
    if (holder != NULL)
        describe_holder(&text, look, holder, waiters);
    bool grave = dead || (stuck && (waiters > 0 || requested)) ||
                 (holder != NULL && is_asleep(holder->now) && waiters > 0);
    return inspect_hints_add(hints, "gil", grave ? INK_BAD : INK_CAUTION, sharing[0], &text);
}

static bool hint_gils(struct inspect_hints *hints, const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    size_t count = 0;
    const struct rft_interpreter **all = malloc(sizeof *all * (snapshot->interpreter_count + 1));
    if (all == NULL)
        return false;
    for (size_t i = 0; i < snapshot->interpreter_count; i++)
        if (snapshot->interpreters[i].gil != 0 && snapshot->interpreters[i].gil_enabled)
            all[count++] = &snapshot->interpreters[i];
    qsort(all, count, sizeof *all, by_gil);
    bool fine = true;
    for (size_t first = 0, next; fine && first < count; first = next) {
        next = first + 1;
        while (next < count && all[next]->gil == all[first]->gil)
            next++;
        fine = hint_one_gil(hints, look, all + first, next - first);
    }
    free(all);
    return fine;
}

/* --- the rest -------------------------------------------------------------------------- */

static bool hint_stopped(struct inspect_hints *hints, const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    size_t stopped = 0, all = 0;
    const struct rft_thread *one = NULL;
    for (size_t i = 0; i < snapshot->interpreter_count; i++) {
        for (size_t j = 0; j < snapshot->interpreters[i].thread_count; j++) {
            const struct rft_thread *thread = &snapshot->interpreters[i].threads[j];
            all++;
            if (thread->state == RFT_THREAD_STOPPED) {
                stopped++;
                one = thread;
            }
        }
    }
    if (stopped == 0)
        return true;
    struct rft_strbuf text = {0};
    if (stopped == all) {
        rft_strbuf_format(&text,
                          "The process is stopped, by a signal or a debugger: nothing runs. If "
                          "no debugger has it, kill -CONT %d lets it go on.",
                          look->process->pid);
    } else if (stopped == 1) {
        inspect_add_thread(&text, one);
        rft_strbuf_add(&text, " is stopped, by a debugger.");
    } else {
        rft_strbuf_format(&text, "%zu of %zu threads are stopped, by a debugger.", stopped, all);
    }
    return inspect_hints_add(hints, "stopped", INK_BAD, NULL, &text);
}

static bool hint_gone(struct inspect_hints *hints, const struct inspect_look *look)
{
    size_t gone = 0;
    for (size_t i = 0; i < look->snapshot->interpreter_count; i++)
        for (size_t j = 0; j < look->snapshot->interpreters[i].thread_count; j++)
            gone += look->snapshot->interpreters[i].threads[j].state == RFT_THREAD_GONE;
    if (gone == 0)
        return true;
    struct rft_strbuf text = {0};
    rft_strbuf_format(&text,
                      "%zu thread%s ended in the system, but Python still has %s state: a lock "
                      "that %s held stays locked.",
                      gone, gone == 1 ? " has" : "s have", gone == 1 ? "its" : "their",
                      gone == 1 ? "it" : "they");
    return inspect_hints_add(hints, "gone", INK_CAUTION, NULL, &text);
}

static bool hint_circles(struct inspect_hints *hints, const struct inspect_look *look)
{
    bool fine = true;
    for (size_t i = 0; fine && i < look->snapshot->interpreter_count; i++) {
        const struct rft_interpreter *interpreter = &look->snapshot->interpreters[i];
        const struct rft_task *circle[NAMED] = {NULL};
        uint32_t count = inspect_task_circle(interpreter, circle, NAMED);
        if (count == UINT32_MAX)
            return false;
        if (count == 0)
            continue;
        struct rft_strbuf text = {0};
        rft_strbuf_add(&text, "Tasks wait for each other in a circle, none can ever go on:");
        for (uint32_t j = 0; j < count && j < NAMED; j++)
            rft_strbuf_format(&text, "%s%s", j > 0 ? ", " : " ", circle[j]->name);
        if (count > NAMED)
            rft_strbuf_format(&text, ", and %" PRIu32 " more", count - NAMED);
        rft_strbuf_add_char(&text, '.');
        fine = inspect_hints_add(hints, "tasks", INK_BAD, interpreter, &text);
    }
    return fine;
}

/* A thread that sleeps in an event loop says nothing of what the program waits for. */
static bool hint_loops(struct inspect_hints *hints, const struct inspect_look *look)
{
    enum { TASKS_SINCE = 0x030e0000 };
    const struct rft_thread *one = NULL;
    size_t count = 0;
    if ((look->flags & RFT_SNAPSHOT_TASKS) != 0 || look->runtime->version < TASKS_SINCE)
        return true;
    for (size_t i = 0; i < look->snapshot->interpreter_count; i++) {
        for (size_t j = 0; j < look->snapshot->interpreters[i].thread_count; j++) {
            const struct rft_thread *thread = &look->snapshot->interpreters[i].threads[j];
            bool runs = false;
            for (size_t k = 0; k < thread->frame_count && !runs; k++)
                runs = strcmp(thread->frames[k].function, "BaseEventLoop._run_once") == 0;
            count += runs;
            one = runs ? thread : one;
        }
    }
    if (count == 0)
        return true;
    struct rft_strbuf text = {0};
    if (count == 1) {
        inspect_add_thread(&text, one);
        rft_strbuf_add(&text, " runs an asyncio loop: --tasks shows what its tasks wait for.");
    } else {
        rft_strbuf_format(&text,
                          "%zu threads run asyncio loops: --tasks shows what their tasks wait for.",
                          count);
    }
    return inspect_hints_add(hints, "asyncio", INK_PLAIN, NULL, &text);
}

static bool hint_interpreters(struct inspect_hints *hints, const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    struct rft_strbuf idle = {0};
    size_t idle_count = 0;
    bool fine = true;
    for (size_t i = snapshot->interpreter_count; fine && i-- > 0;) {
        const struct rft_interpreter *interpreter = &snapshot->interpreters[i];
        if (interpreter->idle) {
            if (idle_count++ < LISTED)
                rft_strbuf_format(&idle, "%s%" PRId64, idle_count > 1 ? ", " : "", interpreter->id);
        }
        if (interpreter->finalizing && !snapshot->finalizing) {
            struct rft_strbuf text = {0};
            rft_strbuf_format(&text, "Interpreter %" PRId64 " is being shut down.",
                              interpreter->id);
            fine = inspect_hints_add(hints, "finalizing", INK_CAUTION, interpreter, &text);
        }
        if (fine && interpreter->gc_running) {
            struct rft_strbuf text = {0};
            rft_strbuf_format(&text, "Interpreter %" PRId64 " is collecting garbage.",
                              interpreter->id);
            fine = inspect_hints_add(hints, "gc", INK_PLAIN, interpreter, &text);
        }
    }
    if (fine && snapshot->finalizing) {
        struct rft_strbuf text = {0};
        rft_strbuf_add(&text, "Python is shutting down (Py_Finalize): daemon threads do not "
                              "run any more.");
        fine = inspect_hints_add(hints, "finalizing", INK_CAUTION, NULL, &text);
    }
    if (!fine || idle_count == 0) {
        rft_strbuf_deinit(&idle);
        return fine;
    }
    struct rft_strbuf text = {0};
    rft_strbuf_format(&text, "Interpreter%s %s%s %s idle: no thread is in %s.", plural(idle_count),
                      rft_strbuf_text(&idle), idle_count > LISTED ? ", ..." : "",
                      idle_count == 1 ? "is" : "are", idle_count == 1 ? "it" : "them");
    text.failed = text.failed || idle.failed;
    rft_strbuf_deinit(&idle);
    return inspect_hints_add(hints, "idle", INK_PLAIN, NULL, &text);
}

struct rft_error *inspect_hints_find(struct inspect_hints *hints, const struct inspect_look *look)
{
    static bool (*const finders[])(struct inspect_hints *, const struct inspect_look *) = {
        hint_stopped, inspect_hint_waits, hint_deadlock, hint_gils,
        hint_circles, hint_gone,          hint_loops,    hint_interpreters,
    };
    for (size_t i = 0; i < sizeof finders / sizeof finders[0]; i++)
        if (!finders[i](hints, look))
            return rft_error_no_memory();
    return NULL;
}

/* Names and phrases of what a look has found. */
#include "report/inspect.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

const char *inspect_state_name(enum rft_thread_state state)
{
    switch (state) {
    case RFT_THREAD_RUNNING:
        return "running";
    case RFT_THREAD_BLOCKED:
        return "blocked";
    case RFT_THREAD_DISK:
        return "disk";
    case RFT_THREAD_STOPPED:
        return "stopped";
    case RFT_THREAD_GONE:
        return "gone";
    case RFT_THREAD_CRASHED:
        return "crashed";
    case RFT_THREAD_UNKNOWN:
        break;
    }
    return "unknown";
}

const char *inspect_gil_name(enum rft_gil_relation gil)
{
    switch (gil) {
    case RFT_GIL_HOLDS:
        return "holds";
    case RFT_GIL_WAITS:
        return "waits";
    case RFT_GIL_NOT_NEEDED:
        return "not_needed";
    case RFT_GIL_NONE:
        return "none";
    case RFT_GIL_UNKNOWN:
        break;
    }
    return "unknown";
}

/* --- signals ------------------------------------------------------------------- */

const char *inspect_signal_name(int number, char *text, size_t size)
{
    const char *name = sigabbrev_np(number);
    if (name != NULL)
        snprintf(text, size, "SIG%s", name);
    else
        snprintf(text, size, "signal %d", number);
    return text;
}

const char *inspect_signal_cause(int number, int code)
{
    static const struct {
        int number, code;
        const char *cause;
    } causes[] = {
        {SIGSEGV, SEGV_MAPERR, "address not mapped"},
        {SIGSEGV, SEGV_ACCERR, "access not allowed"},
        {SIGBUS, BUS_ADRALN, "address not aligned"},
        {SIGBUS, BUS_ADRERR, "no memory behind the address: is a mapped file too short?"},
        {SIGBUS, BUS_OBJERR, "hardware error"},
        {SIGFPE, FPE_INTDIV, "integer division by zero"},
        {SIGFPE, FPE_INTOVF, "integer overflow"},
        {SIGILL, ILL_ILLOPC, "illegal instruction"},
        {SIGILL, ILL_ILLOPN, "illegal operand"},
    };
    /* Whatever the signal: sent, not caused by what the thread did. */
    if (code == SI_USER)
        return "sent with kill";
    if (code == SI_TKILL)
        return number == SIGABRT ? "abort" : "raised by the process itself";
    if (code == SI_QUEUE)
        return "sent with sigqueue";
    if (code == SI_KERNEL && number == SIGSEGV)
        return "an address that no process can have";
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i].number == number && causes[i].code == code)
            return causes[i].cause;
    return "";
}

bool inspect_signal_has_address(int number, int code)
{
    return code > 0 && code < SI_KERNEL &&
           (number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE);
}

/* --- phrases ----------------------------------------------------------------------- */

void inspect_add_name(struct rft_strbuf *to, const char *name)
{
    enum { NAME_MOST = 48 };
    size_t size = strlen(name), kept = 0;
    if (size <= NAME_MOST || page_text_width(name, size) <= NAME_MOST) {
        rft_strbuf_add(to, name);
        return;
    }
    for (size_t next = 0; next < size; kept = next) {
        do
            next++;
        while (((unsigned char)name[next] & 0xc0) == 0x80);
        if (page_text_width(name, next) > NAME_MOST - 3)
            break;
    }
    rft_strbuf_add_bytes(to, name, kept);
    rft_strbuf_add(to, "...");
}

void inspect_add_thread(struct rft_strbuf *to, const struct rft_thread *thread)
{
    int64_t id = thread->native_id != 0 ? thread->native_id : thread->namespace_native_id;
    if (thread->name[0] != '\0') {
        rft_strbuf_add_char(to, '\'');
        inspect_add_name(to, thread->name);
        rft_strbuf_add_char(to, '\'');
    } else {
        rft_strbuf_add(to, "a thread without a name");
    }
    if (id != 0)
        rft_strbuf_format(to, " (%" PRId64 ")", id);
}

const struct rft_frame *inspect_innermost(const struct rft_thread *thread)
{
    for (size_t i = 0; i < thread->frame_count; i++)
        if (thread->frames[i].kind == RFT_FRAME_PYTHON)
            return &thread->frames[i];
    return NULL;
}

static void add_frame(struct rft_strbuf *to, const struct rft_frame *frame)
{
    const char *slash = strrchr(frame->file, '/');
    rft_strbuf_add(to, slash != NULL && slash[1] != '\0' ? slash + 1 : frame->file);
    if (frame->line > 0)
        rft_strbuf_format(to, ":%d", frame->line);
    rft_strbuf_format(to, " %s", frame->function);
}

void inspect_add_place(struct rft_strbuf *to, const struct rft_thread *thread)
{
    const struct rft_frame *frame = inspect_innermost(thread);
    if (frame != NULL)
        add_frame(to, frame);
}

/* Files of the standard library in which threads wait on behalf of their callers. */
static bool is_waiting_library(const char *file)
{
    static const char *const files[] = {
        "threading.py",
        "queue.py",
        "<frozen threading>",
        "<frozen importlib._bootstrap>",
        "futures/_base.py",
        "multiprocessing/synchronize.py",
        "multiprocessing/queues.py",
    };
    size_t length = strlen(file);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t tail = strlen(files[i]);
        if (length >= tail && strcmp(file + length - tail, files[i]) == 0 &&
            (length == tail || file[length - tail - 1] == '/'))
            return true;
    }
    return false;
}

void inspect_add_waiting_place(struct rft_strbuf *to, const struct rft_thread *thread)
{
    const struct rft_frame *called = NULL;
    for (size_t i = 0; i < thread->frame_count; i++) {
        const struct rft_frame *frame = &thread->frames[i];
        if (frame->kind != RFT_FRAME_PYTHON)
            continue;
        if (is_waiting_library(frame->file)) {
            called = frame;
            continue;
        }
        add_frame(to, frame);
        if (called != NULL)
            rft_strbuf_format(to, " (%s)", called->function);
        return;
    }
    inspect_add_place(to, thread); /* the library's own thread */
}

void inspect_add_duration(struct rft_strbuf *to, uint64_t nanoseconds)
{
    double seconds = (double)nanoseconds / 1e9;
    if (seconds < 0.0009995)
        rft_strbuf_format(to, "%.2f ms", seconds * 1e3);
    else if (seconds < 0.9995)
        rft_strbuf_format(to, "%.*f ms", seconds < 0.00995 ? 1 : 0, seconds * 1e3);
    else if (seconds < 119.5)
        rft_strbuf_format(to, "%.*f s", seconds < 9.95 ? 1 : 0, seconds);
    else
        rft_strbuf_format(to, "%.0f min", seconds / 60);
}

/* --- what the options let be shown ---------------------------------------------------- */

bool inspect_shows_thread(const struct inspect_look *look, const struct rft_thread *thread)
{
    return !look->one_thread || look->thread == thread->id ||
           look->thread == (uint64_t)thread->native_id ||
           look->thread == (uint64_t)thread->namespace_native_id;
}

bool inspect_shows_interpreter(const struct inspect_look *look,
                               const struct rft_interpreter *interpreter)
{
    if (look->one_interpreter && look->interpreter != interpreter->id)
        return false;
    if (!look->one_thread)
        return true;
    for (size_t i = 0; i < interpreter->thread_count; i++)
        if (inspect_shows_thread(look, &interpreter->threads[i]))
            return true;
    return false;
}

bool inspect_shows_something(const struct inspect_look *look)
{
    if (!look->one_interpreter && !look->one_thread)
        return true;
    for (size_t i = 0; i < look->snapshot->interpreter_count; i++)
        if (inspect_shows_interpreter(look, &look->snapshot->interpreters[i]))
            return true;
    return false;
}

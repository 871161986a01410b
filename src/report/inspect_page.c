/* A look as a tree of text: process, hints, interpreters, threads, frames. */
#include "report/inspect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    THREAD_INDENT = 2,
    FRAME_INDENT = 6,
    SHORT_THREADS = 20, /* of one interpreter in a short look */
    ALIKE_LEAST = 3,    /* threads that do the same as the one before them */
    ALIKE_NAMED = 6,    /* of which so many are named */
};

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* A head in its ink and what is said about it, broken at blanks; further lines stand two
 * columns to the right of the head. A mark of one character takes one blank, else two
 * stand behind the head. Takes the text over. */
static void write_item(const struct page *page, unsigned indent, enum page_ink ink,
                       const char *head, struct rft_strbuf *about)
{
    size_t column = indent + page_text_width(head, strlen(head));
    page_format(page, INK_PLAIN, "%*s", (int)indent, "");
    page_put(page, ink, head);
    const char *text = rft_strbuf_text(about);
    bool begun = strlen(head) == 1;
    while (*text != '\0') {
        size_t size = strcspn(text, " ");
        size_t width = page_text_width(text, size);
        size_t gap = begun ? 1 : 2;
        if (column + gap + width > page->width && column > indent + 2) {
            page_format(page, INK_PLAIN, "\n%*s", (int)indent + 2, "");
            column = indent + 2;
        } else {
            page_put(page, INK_PLAIN, begun ? " " : "  ");
            column += gap;
        }
        page_format(page, INK_PLAIN, "%.*s", (int)size, text);
        column += width;
        text += size;
        text += strspn(text, " ");
        begun = true;
    }
    page_line(page);
    rft_strbuf_deinit(about);
}

static void add_fact(struct rft_strbuf *to, const char *text)
{
    rft_strbuf_format(to, "%s%s", to->length > 0 ? ", " : "", text);
}

/* --- the process ----------------------------------------------------------------- */

static void write_process(const struct page *page, const struct inspect_look *look)
{
    const struct rft_process_facts *process = look->process;
    struct rft_strbuf text = {0};
    const char *title = process->command[0] != '\0'      ? process->command
                        : process->executable[0] != '\0' ? process->executable
                                                         : "A CPython";
    enum { TITLE_MOST = 2000 };
    rft_strbuf_add_bytes(&text, title, strnlen(title, TITLE_MOST));
    page_paragraph(page, INK_BOLD, 0, rft_strbuf_text(&text));
    rft_strbuf_clear(&text);

    rft_strbuf_format(&text, "Python %s", look->runtime->version_text);
    if (look->runtime->free_threaded)
        rft_strbuf_add(&text, " free-threaded");
    if (look->runtime->debug_build)
        rft_strbuf_add(&text, " debug build");
    if (process->pid != 0)
        rft_strbuf_format(&text, ", pid %d", process->pid);
    if (process->namespace_pid != 0 && process->namespace_pid != process->pid)
        rft_strbuf_format(&text, " (%d in its namespace)", process->namespace_pid);
    if (process->executable[0] != '\0' && process->command[0] != '\0') {
        rft_strbuf_add(&text, ", ");
        inspect_add_path(&text, page, process->executable, page->width);
    }
    if (look->core != NULL) {
        rft_strbuf_add(&text, ", core ");
        inspect_add_path(&text, page, look->core, page->width);
    }
    page_paragraph(page, INK_PLAIN, 0, rft_strbuf_text(&text));
    rft_strbuf_deinit(&text);
}

static const struct rft_thread *crashed_thread(const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    for (size_t i = 0; i < snapshot->interpreter_count; i++) {
        for (size_t j = 0; j < snapshot->interpreters[i].thread_count; j++) {
            const struct rft_thread *thread = &snapshot->interpreters[i].threads[j];
            if (thread->state == RFT_THREAD_CRASHED)
                return thread;
        }
    }
    return NULL;
}

static void write_crash(const struct page *page, const struct inspect_look *look)
{
    const struct rft_process_facts *process = look->process;
    if (process->signal == 0)
        return;
    char name[32];
    struct rft_strbuf text = {0};
    rft_strbuf_add(&text, inspect_signal_name(process->signal, name, sizeof name));
    if (inspect_signal_has_address(process->signal, process->signal_code))
        rft_strbuf_format(&text, " at address 0x%" PRIx64, process->fault);
    const char *cause = inspect_signal_cause(process->signal, process->signal_code);
    if (cause[0] != '\0')
        rft_strbuf_format(&text, " (%s)", cause);
    const struct rft_thread *thread = crashed_thread(look);
    if (thread != NULL) {
        rft_strbuf_add(&text, thread->name[0] != '\0' ? " in thread " : " in ");
        inspect_add_thread(&text, thread);
        if (inspect_innermost(thread) != NULL) {
            rft_strbuf_add(&text, ", called from ");
            inspect_add_place(&text, thread);
        }
    } else if (process->signal_thread != 0) {
        rft_strbuf_format(&text, " in thread %d, which is not one of Python's",
                          process->signal_thread);
    }
    page_paragraph(page, INK_BAD, 0, rft_strbuf_text(&text));
    rft_strbuf_deinit(&text);
}

static size_t thread_total(const struct rft_snapshot *snapshot)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->interpreter_count; i++)
        count += snapshot->interpreters[i].thread_count;
    return count;
}

static void write_quality(const struct page *page, const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    size_t threads = thread_total(snapshot);
    struct rft_strbuf text = {0};
    rft_strbuf_format(&text, "%zu interpreter%s, %zu thread%s. ", snapshot->interpreter_count,
                      plural(snapshot->interpreter_count), threads, plural(threads));
    if (snapshot->consistent) {
        rft_strbuf_add(&text, "Consistent");
    } else {
        rft_strbuf_add(&text, "Not consistent: the process went on while it was read, so stacks "
                              "and lists may not belong to one moment");
    }
    if (look->core == NULL && snapshot->duration_ns > 0) {
        rft_strbuf_add(&text, ", read in ");
        inspect_add_duration(&text, snapshot->duration_ns);
        if (snapshot->attempts > 1)
            rft_strbuf_format(&text, " at attempt %u", snapshot->attempts);
        if (look->past->looks > 1) {
            rft_strbuf_format(&text, ", look %u after ", look->past->looks);
            inspect_add_duration(&text, look->past->now_ns - look->past->first_ns);
        }
    }
    if (snapshot->stopped_ns > 0) {
        rft_strbuf_add(&text, "; stopped for ");
        inspect_add_duration(&text, snapshot->stopped_ns);
        rft_strbuf_add(&text, " to read C frames");
    }
    page_paragraph(page, snapshot->consistent ? INK_DIM : INK_CAUTION, 0, rft_strbuf_text(&text));
    if (look->process->missing[0] != '\0') {
        rft_strbuf_clear(&text);
        rft_strbuf_format(&text, "Missing: %s", look->process->missing);
        page_paragraph(page, INK_CAUTION, 0, rft_strbuf_text(&text));
    }
    if (snapshot->problem[0] != '\0') {
        rft_strbuf_clear(&text);
        rft_strbuf_format(&text, "Not read: %s", snapshot->problem);
        page_paragraph(page, INK_CAUTION, 0, rft_strbuf_text(&text));
    }
    rft_strbuf_deinit(&text);
}

static struct rft_error *write_hints(const struct page *page, unsigned indent,
                                     const struct inspect_look *look)
{
    struct inspect_hints hints = {0};
    struct rft_error *error = inspect_hints_find(&hints, look);
    for (size_t i = 0; error == NULL && i < hints.list.count; i++) {
        const struct inspect_hint *hint = &hints.list.items[i];
        struct rft_strbuf text = {0};
        rft_strbuf_add(&text, hint->text);
        write_item(page, indent, hint->ink, hint->ink == INK_PLAIN ? "-" : "!", &text);
    }
    inspect_hints_deinit(&hints);
    return error;
}

/* --- threads ------------------------------------------------------------------------ */

static void add_state(struct rft_strbuf *to, const struct rft_thread *thread)
{
    switch (thread->state) {
    case RFT_THREAD_RUNNING:
        add_fact(to, "running");
        break;
    case RFT_THREAD_BLOCKED:
        add_fact(to, "blocked");
        break;
    case RFT_THREAD_DISK:
        add_fact(to, "blocked, not interruptible");
        break;
    case RFT_THREAD_STOPPED:
        add_fact(to, "stopped");
        break;
    case RFT_THREAD_GONE:
        add_fact(to, "ended in the system");
        break;
    case RFT_THREAD_CRASHED:
        add_fact(to, "crashed");
        break;
    case RFT_THREAD_UNKNOWN:
        break;
    }
    if (thread->waits_in[0] != '\0')
        rft_strbuf_format(to, "%sin %s", to->length > 0 ? " " : "", thread->waits_in);
    /* Of a sleep that goes without saying. */
    if (thread->waits_timed && strstr(thread->waits_in, "futex") != NULL)
        rft_strbuf_add(to, " with a time limit");
}

static void add_gil(struct rft_strbuf *to, const struct inspect_look *look,
                    const struct rft_thread *thread)
{
    const struct past_thread *seen = inspect_past_thread(look->past, thread->address);
    switch (thread->gil) {
    case RFT_GIL_HOLDS:
        add_fact(to, "holds the GIL");
        if (seen != NULL && seen->holds > 1)
            rft_strbuf_format(to, " for %u looks", seen->holds);
        break;
    case RFT_GIL_WAITS:
        add_fact(to, "waits for the GIL");
        if (seen != NULL && seen->waits > 1)
            rft_strbuf_format(to, " for %u looks", seen->waits);
        break;
    case RFT_GIL_NOT_NEEDED:
        add_fact(to, look->runtime->free_threaded ? "detached" : "needs no GIL");
        break;
    case RFT_GIL_NONE:
        add_fact(to, "attached");
        break;
    case RFT_GIL_UNKNOWN:
        break;
    }
    if (thread->gil_requested)
        add_fact(to, "asked to release it");
}

/* Python frames that are new since the look before. */
static size_t moved_frames(const struct inspect_look *look, const struct rft_thread *thread)
{
    const struct past_thread *seen = inspect_past_thread(look->past, thread->address);
    if (!look->changes || seen == NULL || seen->looks < 2)
        return 0;
    return seen->mark_count - seen->kept;
}

static void write_thread_item(const struct page *page, unsigned indent, enum page_ink ink,
                              const struct rft_thread *thread, struct rft_strbuf *about)
{
    struct rft_strbuf name = {0};
    inspect_add_name(&name, thread->name[0] != '\0' ? thread->name : "(no name)");
    write_item(page, indent, ink, rft_strbuf_text(&name), about);
    rft_strbuf_deinit(&name);
}

static struct rft_error *write_thread(const struct page *page, const struct inspect_look *look,
                                      const struct rft_thread *thread)
{
    struct rft_strbuf about = {0};
    if (thread->native_id != 0)
        rft_strbuf_format(&about, "thread %" PRId64, thread->native_id);
    if (thread->namespace_native_id != 0 && thread->namespace_native_id != thread->native_id)
        rft_strbuf_format(&about, "%s%" PRId64 " in its namespace", about.length > 0 ? ", " : "",
                          thread->namespace_native_id);
    add_gil(&about, look, thread);
    add_state(&about, thread);
    if (inspect_waits_for(look, thread) != NULL ||
        (thread->waits_for != NULL && thread->waits_for->kind == RFT_WAIT_SHARED)) {
        add_fact(&about, "");
        inspect_add_wait(&about, look, thread);
    }
    if (thread->exception[0] != '\0') {
        add_fact(&about, "in exception ");
        rft_strbuf_add(&about, thread->exception);
    }
    const struct past_thread *seen = inspect_past_thread(look->past, thread->address);
    enum page_ink ink = thread->state == RFT_THREAD_CRASHED || thread->state == RFT_THREAD_GONE
                            ? INK_BAD
                        : thread->gil == RFT_GIL_HOLDS ? INK_GOOD
                        : thread->gil == RFT_GIL_WAITS ? INK_CAUTION
                                                       : INK_BOLD;
    if (look->changes && look->past->looks > 1 && seen != NULL && seen->looks == 1) {
        add_fact(&about, "NEW");
        ink = INK_CAUTION;
    } else if (look->changes && seen != NULL && seen->unmoved > 1 && thread->frame_count > 0) {
        rft_strbuf_format(&about, ", unmoved for %u looks", seen->unmoved);
    }
    bool failed = about.failed;
    write_thread_item(page, THREAD_INDENT, ink, thread, &about);
    if (failed)
        return rft_error_no_memory();

    struct rft_error *error = inspect_stack(page, FRAME_INDENT, thread->frames, thread->frame_count,
                                            moved_frames(look, thread));
    if (thread->frame_count == 0 && thread->problem[0] == '\0')
        page_format(page, INK_DIM, "%*s(no Python frame)\n", FRAME_INDENT, "");
    if (thread->truncated)
        page_format(page, INK_CAUTION, "%*s(and more: only the innermost %zu were read)\n",
                    FRAME_INDENT, "", thread->frame_count);
    if (thread->problem[0] != '\0') {
        struct rft_strbuf problem = {0};
        rft_strbuf_format(&problem, "not read: %s", thread->problem);
        page_paragraph(page, INK_CAUTION, FRAME_INDENT, rft_strbuf_text(&problem));
        rft_strbuf_deinit(&problem);
    }
    return error;
}

static int rank(const struct rft_thread *thread)
{
    return thread->state == RFT_THREAD_CRASHED ? 0 : thread->main ? 1 : 2;
}

/* The threads to be shown: the one that crashed first, then the main thread, then the oldest:
 * CPython has the newest first. NULL without memory; the caller frees it. */
static const struct rft_thread **in_order(const struct inspect_look *look,
                                          const struct rft_interpreter *interpreter, size_t *count)
{
    const struct rft_thread **order = malloc(sizeof *order * (interpreter->thread_count + 1));
    *count = 0;
    for (int now = 0; order != NULL && now <= 2; now++)
        for (size_t i = interpreter->thread_count; i-- > 0;)
            if (rank(&interpreter->threads[i]) == now &&
                inspect_shows_thread(look, &interpreter->threads[i]))
                order[(*count)++] = &interpreter->threads[i];
    return order;
}

/* --- interpreters ----------------------------------------------------------------------- */

static void add_holder(struct rft_strbuf *to, const struct inspect_look *look,
                       const struct rft_interpreter *interpreter)
{
    const struct past_thread *holder =
        interpreter->gil_holder != 0 ? inspect_past_thread(look->past, interpreter->gil_holder)
                                     : NULL;
    if (holder != NULL) {
        rft_strbuf_add(to, " held by ");
        inspect_add_thread(to, holder->now);
        if (holder->interpreter != interpreter)
            rft_strbuf_format(to, " of interpreter %" PRId64, holder->interpreter->id);
    } else if (interpreter->gil_locked) {
        rft_strbuf_add(to, " held, by an unknown thread");
    } else {
        rft_strbuf_add(to, " free");
    }
}

static void write_interpreter_line(const struct page *page, const struct inspect_look *look,
                                   const struct rft_interpreter *interpreter)
{
    char head[64];
    snprintf(head, sizeof head, "Interpreter %" PRId64, interpreter->id);
    struct rft_strbuf about = {0};
    if (interpreter->main)
        add_fact(&about, "main");
    if (interpreter->idle)
        add_fact(&about, "idle");
    if (interpreter->finalizing)
        add_fact(&about, "shutting down");
    if (!interpreter->gil_enabled) {
        add_fact(&about, "no GIL");
    } else {
        add_fact(&about, interpreter->gil_own ? "own GIL" : "shares the main GIL");
        add_holder(&about, look, interpreter);
        if (interpreter->gil_requested)
            add_fact(&about, "requested");
    }
    add_fact(&about, interpreter->gc_running ? "GC running" : "GC not running");
    rft_strbuf_format(&about, ", %zu thread%s", interpreter->thread_count,
                      plural(interpreter->thread_count));
    if (interpreter->task_count > 0)
        rft_strbuf_format(&about, ", %zu asyncio task%s", interpreter->task_count,
                          plural(interpreter->task_count));
    page_line(page);
    write_item(page, 0, INK_BOLD, head, &about);
    if (interpreter->problem[0] != '\0') {
        struct rft_strbuf problem = {0};
        rft_strbuf_format(&problem, "not read: %s", interpreter->problem);
        page_paragraph(page, INK_CAUTION, THREAD_INDENT, rft_strbuf_text(&problem));
        rft_strbuf_deinit(&problem);
    }
}

/* Whom it waits for; 0: not known. */
static rft_address wanted_of(const struct rft_thread *thread)
{
    return thread->waits_for != NULL ? thread->waits_for->holder : 0;
}

/* Whether nothing that a page shows of two threads differs but their names and ids. */
static bool alike(const struct rft_thread *one, const struct rft_thread *other)
{
    if (one->frame_count != other->frame_count || one->state != other->state ||
        one->gil != other->gil || one->gil_requested != other->gil_requested ||
        one->waits_timed != other->waits_timed || one->problem[0] != '\0' ||
        other->problem[0] != '\0' || one->truncated || other->truncated ||
        strcmp(one->waits_in, other->waits_in) != 0 ||
        strcmp(one->exception, other->exception) != 0 || wanted_of(one) != wanted_of(other))
        return false;
    for (size_t i = 0; i < one->frame_count; i++) {
        const struct rft_frame *a = &one->frames[i], *b = &other->frames[i];
        if (a->kind != b->kind || a->code != b->code || a->line != b->line ||
            a->column != b->column)
            return false;
    }
    return true;
}

static void write_more_alike(const struct page *page, const struct rft_thread *const *threads,
                             size_t count)
{
    char head[80];
    struct rft_strbuf about = {0};
    snprintf(head, sizeof head, "and %zu more threads at the same place:", count);
    for (size_t i = 0; i < count && i < ALIKE_NAMED; i++) {
        rft_strbuf_add(&about, i > 0 ? ", " : "");
        inspect_add_thread(&about, threads[i]);
    }
    if (count > ALIKE_NAMED)
        rft_strbuf_add(&about, ", ...");
    write_item(page, THREAD_INDENT, INK_DIM, head, &about);
}

/* All threads; of many that do the same, such as the idle ones of a pool, one stack. Not while
 * watching, which is about how each one moves, nor where variables differ. */
static struct rft_error *write_threads(const struct page *page, const struct inspect_look *look,
                                       const struct rft_interpreter *interpreter)
{
    size_t count;
    const struct rft_thread **order = in_order(look, interpreter, &count);
    if (order == NULL)
        return rft_error_no_memory();
    bool grouped = !look->changes && (look->flags & RFT_SNAPSHOT_LOCALS) == 0;
    struct rft_error *error = NULL;
    for (size_t i = 0, next; error == NULL && i < count; i = next) {
        error = write_thread(page, look, order[i]);
        next = i + 1;
        while (grouped && next < count && alike(order[i], order[next]))
            next++;
        if (next - i - 1 >= ALIKE_LEAST)
            write_more_alike(page, order + i + 1, next - i - 1);
        else
            next = i + 1;
    }
    free(order);
    return error;
}

static struct rft_error *write_interpreter(const struct page *page, const struct inspect_look *look,
                                           const struct rft_interpreter *interpreter)
{
    write_interpreter_line(page, look, interpreter);
    struct rft_error *error = write_threads(page, look, interpreter);
    if (error == NULL && interpreter->task_count > 0 && !look->one_thread)
        error = inspect_tasks(page, THREAD_INDENT, interpreter);
    return error;
}

static void write_gone(const struct page *page, const struct inspect_look *look)
{
    if (!look->changes)
        return;
    for (size_t i = 0; i < look->past->gone_count; i++) {
        const struct past_thread *gone = &look->past->gone[i];
        struct rft_strbuf name = {0};
        inspect_add_name(&name, gone->name[0] != '\0' ? gone->name : "(no name)");
        page_format(page, INK_CAUTION, "%s  thread %" PRId64 ": ENDED since the last look\n",
                    rft_strbuf_text(&name), gone->native_id);
        rft_strbuf_deinit(&name);
    }
}

static bool has_crashed_thread(const struct rft_interpreter *interpreter)
{
    for (size_t i = 0; i < interpreter->thread_count; i++)
        if (interpreter->threads[i].state == RFT_THREAD_CRASHED)
            return true;
    return false;
}

struct rft_error *inspect_page(const struct page *page, const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    write_process(page, look);
    write_crash(page, look);
    write_quality(page, look);
    struct rft_error *error = write_hints(page, 0, look);
    write_gone(page, look);
    /* That of the crash first, then the oldest: the main one. */
    for (int crashed = 1; crashed >= 0; crashed--) {
        for (size_t i = snapshot->interpreter_count; error == NULL && i-- > 0;) {
            const struct rft_interpreter *interpreter = &snapshot->interpreters[i];
            if (has_crashed_thread(interpreter) == (crashed == 1) &&
                inspect_shows_interpreter(look, interpreter))
                error = write_interpreter(page, look, interpreter);
        }
    }
    return error;
}

/* --- short ---------------------------------------------------------------------------------- */

static struct rft_error *write_short_thread(const struct page *page,
                                            const struct inspect_look *look,
                                            const struct rft_thread *thread)
{
    struct rft_strbuf about = {0};
    add_gil(&about, look, thread);
    add_state(&about, thread);
    if (inspect_innermost(thread) != NULL) {
        rft_strbuf_add(&about, ", at ");
        inspect_add_place(&about, thread);
    }
    bool failed = about.failed;
    write_thread_item(page, 4, INK_PLAIN, thread, &about);
    return failed ? rft_error_no_memory() : NULL;
}

struct rft_error *inspect_page_short(const struct page *page, const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    size_t threads = thread_total(snapshot);
    char head[32];
    snprintf(head, sizeof head, "%d", look->process->pid);
    struct rft_strbuf about = {0};
    const char *title =
        look->process->command[0] != '\0' ? look->process->command : look->process->executable;
    enum { TITLE_MOST = 300 };
    rft_strbuf_format(&about, "Python %s%s", look->runtime->version_text,
                      look->runtime->free_threaded ? " free-threaded" : "");
    if (snapshot->interpreter_count != 1)
        rft_strbuf_format(&about, ", %zu interpreters", snapshot->interpreter_count);
    rft_strbuf_format(&about, ", %zu thread%s%s: ", threads, plural(threads),
                      snapshot->consistent ? "" : " (not consistent)");
    rft_strbuf_add_bytes(&about, title, strnlen(title, TITLE_MOST));
    bool failed = about.failed;
    write_item(page, 0, INK_BOLD, head, &about);
    if (failed)
        return rft_error_no_memory();
    struct rft_error *error = write_hints(page, 2, look);
    for (size_t i = snapshot->interpreter_count; error == NULL && i-- > 0;) {
        const struct rft_interpreter *interpreter = &snapshot->interpreters[i];
        if (!inspect_shows_interpreter(look, interpreter))
            continue;
        if (!interpreter->main && !interpreter->idle)
            page_format(page, INK_PLAIN, "  Interpreter %" PRId64 "\n", interpreter->id);
        size_t count;
        const struct rft_thread **order = in_order(look, interpreter, &count);
        if (order == NULL)
            error = rft_error_no_memory();
        for (size_t k = 0; error == NULL && k < count && k < SHORT_THREADS; k++)
            error = write_short_thread(page, look, order[k]);
        free(order);
        if (interpreter->thread_count > SHORT_THREADS)
            page_format(page, INK_DIM, "    and %zu more threads (--stacks shows all)\n",
                        interpreter->thread_count - SHORT_THREADS);
    }
    return error;
}

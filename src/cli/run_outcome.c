/* What came of `run`: reads what the agents reported, tells it in a line or
 * two, and chooses the exit code. */
#include "base/text.h"
#include "cli/commands.h"
#include "cli/run.h"
#include "report/units.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reftracer/trace.h>

enum {
    /* Bytes of a trace that is read again only to tell its totals: a tenth of a
     * second's work. */
    READ_AGAIN_LIMIT = 16 << 20,
    COMPLAINTS_LIMIT = 3, /* a thousand workers can all fail in the same way */
};

char *outcome_open(const struct output *output)
{
    const char *temporary = getenv("TMPDIR");
    if (temporary == NULL || temporary[0] != '/')
        temporary = "/tmp";
    const char *const folders[] = {temporary, output->folder};
    for (int i = 0; i < 2; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/.reftracer-status.XXXXXX", folders[i]) < 0)
            return NULL;
        int file = mkostemp(path, O_CLOEXEC); /* mode 0600 */
        if (file >= 0) {
            close(file);
            return path;
        }
        free(path);
    }
    return NULL;
}

/* What the agents' lines add up to. */
struct report {
    unsigned long traced;   /* processes */
    unsigned long children; /* of these, not writing the main trace */
    unsigned long refused, stopped;
    uint64_t main_bytes, child_bytes;
    bool main_traced;
    char *refusal;         /* why the first refused process was; owned */
    char *lasting_refusal; /* that of the command itself; owned */
    char *stop;            /* why the first process stopped that could not go on; owned */
};

static uint64_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

static const char *sized(uint64_t bytes, char *text, size_t size)
{
    if (bytes < 1000)
        snprintf(text, size, "%" PRIu64 " bytes", bytes);
    else if (bytes < 1000 * 1000)
        snprintf(text, size, "%.0f kB", (double)bytes / 1e3);
    else
        snprintf(text, size, "%.1f MB", (double)bytes / 1e6);
    return text;
}

/* Agents write newlines and backslashes as \n and \\, so that a line stays a line. */
static void unescape(char *text)
{
    char *to = text;
    for (; *text; text++) {
        if (text[0] == '\\' && (text[1] == 'n' || text[1] == '\\'))
            *to++ = *++text == 'n' ? '\n' : '\\';
        else
            *to++ = *text;
    }
    *to = '\0';
}

/* "traced PID HEXVERSION PATH", "refused PID WHY" or "stopped PID WHY". Lines
 * that are none of these come from a newer agent, and are skipped. */
static void take_line(char *line, const struct child_end *end, struct report *report)
{
    char word[16];
    long pid = 0;
    int at = 0;
    line[strcspn(line, "\n")] = '\0';
    unescape(line);
    if (sscanf(line, "%15s %ld %n", word, &pid, &at) < 2 || at == 0)
        return;
    char *rest = line + at;
    if (strcmp(word, "traced") == 0) {
        rest += strcspn(rest, " ");
        rest += strspn(rest, " ");
        report->traced++;
        if (strcmp(rest, end->trace) == 0) {
            report->main_traced = true;
            report->main_bytes = file_size(rest);
        } else {
            report->children++;
            report->child_bytes += file_size(rest);
        }
    } else if (strcmp(word, "refused") == 0) {
        report->refused++;
        if (report->refusal == NULL)
            report->refusal = strdup(rest);
        if (pid == (long)end->pid) {
            free(report->lasting_refusal);
            report->lasting_refusal = strdup(rest);
        }
    } else if (strcmp(word, "stopped") == 0) {
        report->stopped++;
        if (report->stop == NULL)
            report->stop = strdup(rest);
        if (report->stopped <= COMPLAINTS_LIMIT)
            say("tracing of process %ld stopped before its end: %s", pid, rest);
    }
}

static void read_status(const char *status_path, const struct child_end *end, struct report *report)
{
    FILE *status = fopen(status_path, "re");
    if (status == NULL)
        return;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, status) > 0)
        take_line(line, end, report);
    free(line);
    fclose(status);
    if (report->stopped > COMPLAINTS_LIMIT)
        say("tracing of %lu more processes stopped before their end",
            report->stopped - COMPLAINTS_LIMIT);
}

static int exit_code_of(int wait_status)
{
    if (WIFSIGNALED(wait_status))
        return EXIT_SIGNAL_BASE + WTERMSIG(wait_status);
    return WEXITSTATUS(wait_status);
}

/* ", 12,345 births, 1,204 alive at the end" if the trace says so quickly; or that
 * it has no end, because the program was killed. */
static void totals_text(const char *trace_path, uint64_t bytes, char *text, size_t size)
{
    text[0] = '\0';
    if (bytes == 0 || bytes > READ_AGAIN_LIMIT)
        return;
    struct rft_trace *trace = NULL;
    struct rft_error *error = rft_trace_read(trace_path, NULL, &trace);
    if (error != NULL) {
        rft_error_destroy(error);
        return;
    }
    const struct rft_trace_end *end = rft_trace_end(trace);
    char births[32];
    char live[32];
    if (end->present)
        snprintf(text, size, ", %s births, %s alive at the end",
                 units_exact(end->births, births, sizeof births),
                 units_exact(end->live, live, sizeof live));
    else
        snprintf(text, size, ", complete up to its last tick");
    rft_trace_destroy(trace);
}

static void tell_written(const struct output *output, const struct child_end *end,
                         const struct report *report)
{
    const char *slash = strrchr(end->trace, '/');
    const char *file = slash != NULL ? slash + 1 : end->trace;
    size_t stem = strlen(file);
    if (stem > 4 && strcmp(file + stem - 4, ".rft") == 0)
        stem -= 4;
    char totals[128];
    char main_size[32];
    char child_size[32];
    if (report->main_bytes == 0) {
        say("the trace %s%s is gone: the program, or somebody else, removed it", output->shown,
            file);
        return;
    }
    totals_text(end->trace, report->main_bytes, totals, sizeof totals);
    sized(report->main_bytes, main_size, sizeof main_size);
    sized(report->child_bytes, child_size, sizeof child_size);
    if (WIFSIGNALED(end->wait_status))
        say("the program was ended by signal %d (%s)", WTERMSIG(end->wait_status),
            strsignal(WTERMSIG(end->wait_status)));
    /* As words for a shell: the second line is there to be copied. */
    struct rft_strbuf name = {0}, word = {0}, children = {0};
    rft_strbuf_format(&name, "%s%s", output->shown, file);
    rft_text_shell(&word, rft_strbuf_text(&name), name.length);
    rft_text_shell(&children, rft_strbuf_text(&name), strlen(output->shown) + stem);
    const char *shown = rft_strbuf_text(&word);
    if (report->children == 0) {
        say("wrote %s (%s%s)", shown, main_size, totals);
        say("now see what grows: reftracer report %s", shown);
    } else {
        say("wrote %s (%s%s) and %lu more of child processes (%s)", shown, main_size, totals,
            report->children, child_size);
        say("now see what grows: reftracer report %s %s.*.rft", shown, rft_strbuf_text(&children));
    }
    rft_strbuf_deinit(&name);
    rft_strbuf_deinit(&word);
    rft_strbuf_deinit(&children);
}

static void tell_nothing(const struct program *program, const struct report *report)
{
    /* The command itself is such a CPython: its agent has said so at once. */
    if (report->lasting_refusal != NULL)
        return;
    const char *why = report->refusal != NULL ? report->refusal : report->stop;
    if (why != NULL)
        say("nothing was traced: %s", why);
    else if (program->obstacle != PRELOAD_WORKS)
        say("nothing was traced: %s %s, and it started no CPython 3.13 or newer", program->path,
            obstacle_text(program->obstacle));
    else
        say("nothing was traced: %s was no CPython 3.13 or newer, and it started none. To run a "
            "script: reftracer run --python python3.14 script.py",
            program->path);
}

int outcome_tell(const struct run_options *options, const struct program *program,
                 const struct output *output, const struct child_end *end, char *status_path)
{
    struct report report = {0};
    if (status_path != NULL) {
        read_status(status_path, end, &report);
        unlink(status_path);
    }
    if (report.traced == 0) {
        /* No message from an agent: there was no place for it, or the program left no descriptor
         * to write it with. Then the trace itself must do. */
        report.main_bytes = file_size(end->trace);
        report.main_traced = report.main_bytes > 0;
        report.traced = report.main_traced;
    }

    int code;
    if (end->exec_error != 0) {
        if (end->exec_error == ENAMETOOLONG)
            say("cannot start %s: the trace's path, or an argument, is too long", program->path);
        else
            say("cannot execute %s: %s", program->path, strerror(end->exec_error));
        code = end->exec_error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
    } else {
        code = exit_code_of(end->wait_status);
        if (report.traced == 0) {
            tell_nothing(program, &report);
            if (code == 0)
                code = EXIT_RUN_FAILED;
        } else if (!options->quiet) {
            tell_written(output, end, &report);
        }
    }
    free(report.refusal);
    free(report.lasting_refusal);
    free(report.stop);
    return code;
}

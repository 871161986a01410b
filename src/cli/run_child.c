/* The program's life under `run`: environment, exec, signals, wait. */
#include "cli/commands.h"
#include "cli/run.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signals that someone may send to `reftracer run` and means for the program. */
static const int forwarded[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
enum { FORWARDED = sizeof forwarded / sizeof forwarded[0] };

/* The child, while it can be signalled; 0 before and after. Written only while
 * the forwarded signals are blocked, read by the handler. */
static volatile sig_atomic_t signalled_child;

/* What the terminal sends (^C, ^\, hang-up) it sends to the program too: passing
 * it on would deliver it twice. What a process sends to us alone is passed on. */
static void forward(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    if (info->si_code <= 0 && signalled_child > 0)
        kill((pid_t)signalled_child, signal_number);
    errno = saved;
}

/* What the child tells before it becomes the program. Shared memory needs no
 * descriptor, so none can leak into the program. */
struct child_note {
    char trace[PATH_MAX];
    int error;
};

static void set_number(const char *variable, bool is_set, long value)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", value);
    if (is_set)
        setenv(variable, text, 1);
    else
        unsetenv(variable); /* one that an outer `run` has set is not ours */
}

/* In the child: becomes the program, or notes why not. */
static void become_program(const struct run_options *options, const struct program *program,
                           const struct output *output, const char *preload,
                           const char *status_path, struct child_note *note)
{
    pid_t pid = getpid();
    if (!output_path(output, program->name, pid, note->trace, sizeof note->trace)) {
        note->error = ENAMETOOLONG;
        return;
    }
    setenv("LD_PRELOAD", preload, 1);
    setenv("REFTRACER_OUTPUT", note->trace, 1);
    set_number("REFTRACER_MAIN_PID", true, (long)pid);
    set_number("REFTRACER_CHILDREN", options->no_children, 0);
    set_number("REFTRACER_GC", options->no_gc, 0);
    set_number("REFTRACER_HOLDERS", options->holders > 0, (long)options->holders);
    if (status_path != NULL)
        setenv("REFTRACER_STATUS", status_path, 1);
    else
        unsetenv("REFTRACER_STATUS");
    /* With the path that was looked at, so that nothing else is executed than
     * what was checked. execvp() also runs scripts without a #! line, in the
     * shell; it would give a binary of another machine to the shell as well. */
    if (program->obstacle == PRELOAD_WORKS)
        execvp(program->path, program->argv);
    else
        execv(program->path, program->argv);
    note->error = errno;
}

static int wait_for(pid_t pid, const sigset_t *signals, int *wait_status)
{
    siginfo_t info;
    /* Leaves it a zombie until its signals are blocked: its pid must not be
     * somebody else's when the handler runs. */
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0)
        if (errno != EINTR)
            return -1;
    sigprocmask(SIG_BLOCK, signals, NULL);
    signalled_child = 0;
    while (waitpid(pid, wait_status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return 0;
}

int child_run(const struct run_options *options, const struct program *program,
              const struct output *output, const char *preload, const char *status_path,
              struct child_end *end)
{
    struct child_note *note =
        mmap(NULL, sizeof *note, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (note == MAP_FAILED) {
        say("cannot start %s: %s", program->path, strerror(errno));
        return EXIT_RUN_FAILED;
    }
    sigset_t signals;
    sigset_t before;
    sigemptyset(&signals);
    for (int i = 0; i < FORWARDED; i++)
        sigaddset(&signals, forwarded[i]);
    sigprocmask(SIG_BLOCK, &signals, &before);

    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        become_program(options, program, output, preload, status_path, note);
        _exit(EXIT_NOT_EXECUTABLE);
    }
    int code = 0;
    if (pid < 0) {
        say("cannot start %s: %s", program->path, strerror(errno));
        code = EXIT_RUN_FAILED;
    } else {
        signalled_child = pid;
        for (int i = 0; i < FORWARDED; i++) {
            struct sigaction action;
            /* What we were told to ignore (nohup, a background job) the program
             * ignores too: it inherited that. */
            if (sigaction(forwarded[i], NULL, &action) == 0 && action.sa_handler == SIG_IGN)
                continue;
            memset(&action, 0, sizeof action);
            action.sa_sigaction = forward;
            action.sa_flags = SA_SIGINFO | SA_RESTART;
            sigemptyset(&action.sa_mask);
            sigaction(forwarded[i], &action, NULL);
        }
        /* Nobody may be reading our summary: the program's status still counts. */
        signal(SIGPIPE, SIG_IGN);
        sigprocmask(SIG_SETMASK, &before, NULL);
        end->pid = pid;
        if (wait_for(pid, &signals, &end->wait_status) != 0) {
            say("cannot wait for the program: %s", strerror(errno));
            code = EXIT_RUN_FAILED;
        }
        end->exec_error = note->error;
        end->trace = strdup(note->trace);
        if (end->trace == NULL && code == 0) {
            say("out of memory");
            code = EXIT_RUN_FAILED;
        }
    }
    munmap(note, sizeof *note);
    return code;
}

void child_end_deinit(struct child_end *end)
{
    free(end->trace);
}

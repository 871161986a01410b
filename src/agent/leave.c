/* Ways out of a process that run no finalizers. CPython calls these functions
 * through the dynamic linker, so ours come first:
 * os._exit() → _exit, os.exec*() → execv, execve, fexecve.
 * A child of vfork runs in its parent's memory: it has another pid than the
 * one that was traced, and goes straight through. */
#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"

#define EXPORT __attribute__((visibility("default")))

static pid_t traced_pid;

void rft_leave_set_pid(void)
{
    traced_pid = (pid_t)syscall(SYS_getpid);
}

static bool is_traced_process(void)
{
    return atomic_load_explicit(&tracer.state, memory_order_relaxed) == RFT_TRACING &&
           (pid_t)syscall(SYS_getpid) == traced_pid;
}

static _Thread_local bool leaving; /* nothing in here may come back here */

static void leave(enum rft_end_reason reason)
{
    if (!leaving && is_traced_process()) {
        leaving = true;
        int error = errno;
        if (reason == RFT_END_OS_EXIT) {
            rft_ticker_stop();
        }
        rft_finish(RFT_CENSUS_OS_EXIT, reason);
        errno = error;
        leaving = false;
    }
}

EXPORT _Noreturn void _exit(int status)
{
    leave(RFT_END_OS_EXIT);
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

EXPORT _Noreturn void _Exit(int status)
{
    _exit(status);
}

EXPORT int execve(const char *path, char *const arguments[], char *const environment[])
{
    leave(RFT_END_EXEC);
    return (int)syscall(SYS_execve, path, arguments, environment);
}

EXPORT int execv(const char *path, char *const arguments[])
{
    return execve(path, arguments, environ);
}

EXPORT int fexecve(int fd, char *const arguments[], char *const environment[])
{
    leave(RFT_END_EXEC);
    int (*next)(int, char *const[], char *const[]) =
        (int (*)(int, char *const[], char *const[]))(uintptr_t)dlsym(RTLD_NEXT, "fexecve");
    if (next == NULL) {
        errno = ENOSYS;
        return -1;
    }
    return next(fd, arguments, environment);
}

/* exit() without Py_Finalize (embedding), or a finalization in which our
 * atexit callback did not run. */
static __attribute__((destructor)) void at_library_end(void)
{
    if (is_traced_process()) {
        rft_ticker_stop();
        rft_finish(RFT_CENSUS_OS_EXIT, RFT_END_EXIT);
    }
}

#include "runtime/native_stop.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

/* How long a thread may take to stop. One that runs or sleeps does within microseconds, one that
 * waits for a CPU as soon as it has got one; only one that sleeps uninterruptibly can't. */
#define PATIENCE_NS UINT64_C(20000000000)
#define PATIENCE_ASLEEP_NS UINT64_C(200000000)
/* Until when asking again and again is better than sleeping, and sleeping for a moment only. */
#define EAGER_NS UINT64_C(300000)
#define SOON_NS UINT64_C(5000000)

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Who traces a thread already; 0: nobody. */
static int tracer_of(int thread)
{
    char path[64], line[256];
    int tracer = 0;
    snprintf(path, sizeof path, "/proc/%d/status", thread);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (!strncmp(line, "TracerPid:", 10))
            tracer = atoi(line + 10);
    }
    if (file)
        fclose(file);
    return tracer;
}

/* Whether it sleeps in the kernel and can't be woken: no signal and no tracer can stop it. */
static bool sleeps_uninterruptibly(int thread)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", thread);
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = '\0';
    const char *name_end = strrchr(text, ')'); /* the name may hold anything */
    return name_end && !strncmp(name_end, ") D", 3);
}

bool rft_stop_begin(int thread, struct rft_stopped *stopped, char *why, size_t size)
{
    *stopped = (struct rft_stopped){.thread = thread};
    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) != 0) {
        int error = errno, tracer = error == EPERM ? tracer_of(thread) : 0;
        if (tracer)
            snprintf(why, size, "process %d, a debugger or tracer, has it; end that first", tracer);
        else if (error == ESRCH)
            snprintf(why, size, "it has ended");
        else
            snprintf(why, size, "ptrace: %s", strerror(error));
        return false;
    }
    stopped->since = now();
    uint64_t asleep = 0; /* since when it has been seen to sleep so; 0: it does not */
    ptrace(PTRACE_INTERRUPT, thread, NULL, NULL);
    for (;;) {
        int status;
        pid_t got = waitpid(thread, &status, __WALL | WNOHANG);
        if (got == thread && WIFSTOPPED(status)) {
            /* A stop of ours, or of a whole process that was stopped before, has an event in
             * the higher bits; without one it is a signal on its way. */
            if (status >> 16 == 0)
                stopped->signal = WSTOPSIG(status);
            return true;
        }
        if (got == thread || (got < 0 && errno != EINTR)) {
            snprintf(why, size, "it has ended");
            return false;
        }
        uint64_t time = now(), waited = time - stopped->since;
        if (waited > EAGER_NS)
            asleep = !sleeps_uninterruptibly(thread) ? 0 : asleep ? asleep : time;
        if (asleep && time - asleep > PATIENCE_ASLEEP_NS) {
            snprintf(why, size, "it does not stop: it sleeps in the kernel, uninterruptibly");
            return false;
        }
        if (waited > PATIENCE_NS) {
            snprintf(why, size, "it does not stop: it has had no CPU for %u s",
                     (unsigned)(PATIENCE_NS / 1000000000));
            return false;
        }
        if (waited > EAGER_NS)
            nanosleep(&(struct timespec){.tv_nsec = waited > SOON_NS ? 1000000 : 50000}, NULL);
    }
}

uint64_t rft_stop_end(struct rft_stopped *stopped)
{
    ptrace(PTRACE_DETACH, stopped->thread, NULL, (void *)(intptr_t)stopped->signal);
    return now() - stopped->since;
}

size_t rft_stop_registers(const struct rft_stopped *stopped, void *registers, size_t room)
{
    struct iovec place = {.iov_base = registers, .iov_len = room};
    return ptrace(PTRACE_GETREGSET, stopped->thread, (void *)(uintptr_t)NT_PRSTATUS, &place) == 0
               ? place.iov_len
               : 0;
}

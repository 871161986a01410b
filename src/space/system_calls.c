/* Names of the system calls that threads are found in. */
#include <stdio.h>
#include <sys/syscall.h>

#include "space/ops.h"

/* What the arguments say about a time limit. */
enum limit {
    NO_LIMIT,
    ALWAYS,
    POINTER_2, /* argument 2 points to one, or is NULL */
    POINTER_3,
    POINTER_4,
    MILLISECONDS_2, /* argument 2 is one, or negative */
    MILLISECONDS_3,
};

/* Calls in which threads of a Python wait. What is not here is shown by its number. */
static const struct {
    long number;
    const char *name;
    enum limit limit;
} waiting_calls[] = {
    {SYS_read, "read", NO_LIMIT},
    {SYS_write, "write", NO_LIMIT},
    {SYS_readv, "readv", NO_LIMIT},
    {SYS_writev, "writev", NO_LIMIT},
    {SYS_pread64, "pread64", NO_LIMIT},
    {SYS_pwrite64, "pwrite64", NO_LIMIT},
    {SYS_futex, "futex", POINTER_3},
    {SYS_nanosleep, "nanosleep", ALWAYS},
    {SYS_clock_nanosleep, "clock_nanosleep", ALWAYS},
    {SYS_ppoll, "ppoll", POINTER_2},
    {SYS_pselect6, "pselect6", POINTER_4},
    {SYS_epoll_pwait, "epoll_pwait", MILLISECONDS_3},
    {SYS_accept, "accept", NO_LIMIT},
    {SYS_accept4, "accept4", NO_LIMIT},
    {SYS_connect, "connect", NO_LIMIT},
    {SYS_recvfrom, "recvfrom", NO_LIMIT},
    {SYS_recvmsg, "recvmsg", NO_LIMIT},
    {SYS_sendto, "sendto", NO_LIMIT},
    {SYS_sendmsg, "sendmsg", NO_LIMIT},
    {SYS_wait4, "wait4", NO_LIMIT},
    {SYS_waitid, "waitid", NO_LIMIT},
    {SYS_flock, "flock", NO_LIMIT},
    {SYS_fcntl, "fcntl", NO_LIMIT},
    {SYS_fsync, "fsync", NO_LIMIT},
    {SYS_openat, "openat", NO_LIMIT},
    {SYS_rt_sigsuspend, "rt_sigsuspend", NO_LIMIT},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", POINTER_2},
    {SYS_restart_syscall, "restart_syscall", NO_LIMIT},
    {SYS_sendfile, "sendfile", NO_LIMIT},
    {SYS_splice, "splice", NO_LIMIT},
    {SYS_recvmmsg, "recvmmsg", POINTER_4},
    {SYS_sendmmsg, "sendmmsg", NO_LIMIT},
    {SYS_msgrcv, "msgrcv", NO_LIMIT},
    {SYS_semtimedop, "semtimedop", POINTER_3},
    {SYS_mq_timedreceive, "mq_timedreceive", POINTER_4},
    {SYS_io_getevents, "io_getevents", POINTER_4},
    {SYS_ioctl, "ioctl", NO_LIMIT},
    {SYS_fdatasync, "fdatasync", NO_LIMIT},
    {SYS_execve, "execve", NO_LIMIT},
    {SYS_exit, "exit", NO_LIMIT},
#ifdef SYS_futex_waitv /* newer than the kernel headers may be */
    {SYS_futex_waitv, "futex_waitv", NO_LIMIT},
#endif
#ifdef SYS_epoll_pwait2
    {SYS_epoll_pwait2, "epoll_pwait2", POINTER_3},
#endif
#ifdef SYS_io_uring_enter
    {SYS_io_uring_enter, "io_uring_enter", NO_LIMIT},
#endif
#ifdef SYS_poll /* not on aarch64 */
    {SYS_poll, "poll", MILLISECONDS_2},
    {SYS_select, "select", POINTER_4},
    {SYS_epoll_wait, "epoll_wait", MILLISECONDS_3},
    {SYS_pause, "pause", NO_LIMIT},
    {SYS_open, "open", NO_LIMIT},
#endif
};

static bool has_limit(enum limit limit, const uint64_t arguments[RFT_CALL_ARGUMENTS])
{
    switch (limit) {
    case NO_LIMIT:
        return false;
    case ALWAYS:
        return true;
    case POINTER_2:
        return arguments[2] != 0;
    case POINTER_3:
        return arguments[3] != 0;
    case POINTER_4:
        return arguments[4] != 0;
    case MILLISECONDS_2:
        return (int32_t)(uint32_t)arguments[2] >= 0;
    case MILLISECONDS_3:
        return (int32_t)(uint32_t)arguments[3] >= 0;
    }
    return false;
}

void rft_os_thread_in_call(struct rft_os_thread *thread, long number,
                           const uint64_t arguments[RFT_CALL_ARGUMENTS])
{
    if (number == SYS_futex)
        thread->waits_on = arguments[0];
    for (size_t i = 0; i < sizeof waiting_calls / sizeof *waiting_calls; i++) {
        if (waiting_calls[i].number == number) {
            snprintf(thread->waits_in, sizeof thread->waits_in, "%s", waiting_calls[i].name);
            thread->waits_timed = has_limit(waiting_calls[i].limit, arguments);
            return;
        }
    }
    snprintf(thread->waits_in, sizeof thread->waits_in, "system call %ld", number);
}

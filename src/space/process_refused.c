/* Why a process may not be read: the kernel only says EPERM. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "space/process.h"

/* The real user of a process, from its status file, which everybody may read; -1: unknown. (The
 * owner of /proc/PID is root for a process that made itself unreadable.) */
static long user_of(int pid)
{
    char name[64], text[4096];
    snprintf(name, sizeof name, "/proc/%d/status", pid);
    const char *line = rft_process_read_file(AT_FDCWD, name, text, sizeof text) > 0
                           ? strstr(text, "\nUid:")
                           : NULL;
    return line ? strtol(line + strlen("\nUid:"), NULL, 10) : -1;
}

/* kernel.yama.ptrace_scope; 0 where Yama is not built in. */
static int ptrace_scope(void)
{
    char text[16];
    ssize_t size =
        rft_process_read_file(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", text, sizeof text);
    return size > 0 ? atoi(text) : 0;
}

/* Whether we have CAP_SYS_PTRACE (capability 19 of linux/capability.h). */
static bool may_trace(void)
{
    char text[4096];
    const char *line = rft_process_read_file(AT_FDCWD, "/proc/self/status", text, sizeof text) > 0
                           ? strstr(text, "\nCapEff:")
                           : NULL;
    return line && strtoull(line + strlen("\nCapEff:"), NULL, 16) >> 19 & 1;
}

struct rft_error *rft_process_refused(int pid)
{
    long user = user_of(pid);
    int scope = ptrace_scope();
    if (scope >= 3)
        return rft_error_os(EPERM,
                            "reading process %d: kernel.yama.ptrace_scope is %d, which forbids it "
                            "to everybody until the next boot; have the program dump core (kill "
                            "-ABRT %d ends it) and inspect that",
                            pid, scope, pid);
    if (may_trace())
        return rft_error_os(EPERM,
                            "reading process %d: it is out of reach even with CAP_SYS_PTRACE; it "
                            "belongs to another user namespace, or a security module (SELinux, "
                            "AppArmor, a sandbox) forbids it: run this outside of the container",
                            pid);
    if (geteuid() == 0)
        return rft_error_os(EPERM,
                            "reading process %d: this container or sandbox withholds "
                            "CAP_SYS_PTRACE from root; run this outside, or start the container "
                            "with --cap-add=SYS_PTRACE",
                            pid);
    if (user < 0)
        return rft_error_os(EPERM,
                            "reading process %d: it belongs to another user, and /proc hides it "
                            "(hidepid); run this as root",
                            pid);
    if (user != (long)getuid())
        return rft_error_os(EPERM,
                            "reading process %d: it belongs to another user (uid %ld); run this "
                            "as that user or as root",
                            pid, user);
    if (scope >= 1)
        return rft_error_os(EPERM,
                            "reading process %d: kernel.yama.ptrace_scope is %d, which lets "
                            "only %s do that; run this as root, or allow it with sysctl "
                            "kernel.yama.ptrace_scope=0",
                            pid, scope, scope == 1 ? "an ancestor of the process" : "root");
    return rft_error_os(EPERM,
                        "reading process %d: it has more rights than you (set-uid, file "
                        "capabilities) or made itself unreadable (prctl PR_SET_DUMPABLE); run "
                        "this as root",
                        pid);
}

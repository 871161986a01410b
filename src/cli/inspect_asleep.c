/* Whether threads that sleep in a lock have done so since the look before.
 *
 * Two threads that wake each other are at the same places in look after look, and as they are asked
 * one after the other, both may seem to sleep. But then they have run: the system counts how often
 * and how long. Who slept in a lock after one look and after the next, and has not run in between,
 * was there all the time, and of several the same time. */
#include "cli/inspect.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* The beginning of a file of a thread. tasks: /proc/PID/task. */
static bool read_file(int tasks, const struct rft_thread *thread, const char *file, char *text,
                      size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "%" PRId64 "/%s", thread->native_id, file);
    int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, size - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* False if it is awake, or sleeps elsewhere. Where the system does not tell, it may be there. */
static bool still_sleeps(int tasks, const struct rft_thread *thread)
{
    char text[256];
    if (!read_file(tasks, thread, "syscall", text, sizeof text))
        return true;
    char *rest = text;
    strtol(text, &rest, 10);
    if (rest == text) /* "running" */
        return false;
    return thread->waits_on == 0 || strtoull(rest, NULL, 16) == thread->waits_on;
}

/* Grows whenever the thread is given a CPU; 0: the system does not tell. */
static uint64_t how_much_it_ran(int tasks, const struct rft_thread *thread)
{
    char text[128];
    uint64_t nanoseconds, waited, times;
    if (!read_file(tasks, thread, "schedstat", text, sizeof text) ||
        sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &nanoseconds, &waited, &times) != 3)
        return 0;
    return nanoseconds + times + 1;
}

void inspect_find_moved(struct inspect_target *target)
{
    enum { MOST = 1024 };
    struct inspect_past *past = &target->past;
    /* With C frames it is us who let them run. */
    if (target->pid == 0 || (target->look.flags & RFT_SNAPSHOT_NATIVE) != 0 ||
        !inspect_may_hang(&target->look))
        return;
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/task", target->pid);
    int tasks = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0, asked = 0; i < past->thread_count && asked < MOST; i++) {
        struct past_thread *thread = &past->threads[i];
        if (thread->now->native_id == 0 || thread->now->waits_timed ||
            !inspect_waits_for_lock(thread->now))
            continue;
        asked++;
        /* In this order: between two answers to the second question, it slept. */
        bool sleeps = thread->ran == 0 || still_sleeps(tasks, thread->now);
        uint64_t ran = sleeps ? how_much_it_ran(tasks, thread->now) : 0;
        if (!sleeps || ran != thread->ran)
            inspect_past_moved(past, thread);
        thread->ran = ran;
    }
    if (tasks >= 0)
        close(tasks);
}

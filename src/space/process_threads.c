/* The system's threads of a live process, from /proc/PID/task. */
#include "space/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

static enum rft_thread_state state_of(char letter)
{
    switch (letter) {
    case 'R':
        return RFT_THREAD_RUNNING;
    case 'S':
    case 'I':
        return RFT_THREAD_BLOCKED;
    case 'D':
        return RFT_THREAD_DISK;
    case 'T':
    case 't':
        return RFT_THREAD_STOPPED;
    case 'Z':
    case 'X':
        return RFT_THREAD_GONE;
    default:
        return RFT_THREAD_UNKNOWN;
    }
}

/* Reads a file of thread `id` below `tasks`, /proc/PID/task. */
static ssize_t read_file(int tasks, int id, const char *file, char *bytes, size_t size)
{
    char name[32];
    snprintf(name, sizeof name, "%d/%s", id, file);
    return rft_process_read_file(tasks, name, bytes, size);
}

/* What a sleeping thread waits in: the system call, which needs the right to read the
 * process, else the kernel's function. */
static void find_wait(int tasks, struct rft_os_thread *thread)
{
    char text[256];
    ssize_t size = read_file(tasks, thread->id, "syscall", text, sizeof text);
    if (size > 0 && text[0] == 'r') { /* "running": it has been woken since */
        thread->state = RFT_THREAD_RUNNING;
        return;
    }
    if (size > 0 && text[0] >= '0' && text[0] <= '9') {
        char *rest;
        long number = strtol(text, &rest, 10);
        uint64_t arguments[RFT_CALL_ARGUMENTS];
        for (unsigned i = 0; i < RFT_CALL_ARGUMENTS; i++)
            arguments[i] = strtoull(rest, &rest, 16);
        rft_os_thread_in_call(thread, number, arguments);
        return;
    }
    if (read_file(tasks, thread->id, "wchan", text, sizeof thread->waits_in) > 0 &&
        strcmp(text, "0") != 0)
        snprintf(thread->waits_in, sizeof thread->waits_in, "%.*s",
                 (int)sizeof thread->waits_in - 1, text);
}

/* False if the thread has ended meanwhile. */
static bool read_thread(int tasks, int id, struct rft_os_thread *thread)
{
    char text[1024];
    *thread = (struct rft_os_thread){.id = id, .namespace_id = id};
    if (read_file(tasks, id, "stat", text, sizeof text) <= 0)
        return false;
    /* "TID (name) S ...": the name may have any byte in it, brackets too. */
    char *begin = strchr(text, '('), *end = strrchr(text, ')');
    if (!begin || !end || end < begin || end[1] != ' ')
        return false;
    struct rft_strbuf name = {0};
    rft_text_clean(&name, begin + 1, (size_t)(end - begin - 1));
    snprintf(thread->name, sizeof thread->name, "%s", rft_strbuf_text(&name));
    rft_strbuf_deinit(&name);
    thread->state = state_of(end[2]);
    if (thread->state == RFT_THREAD_BLOCKED || thread->state == RFT_THREAD_DISK)
        find_wait(tasks, thread);
    return true;
}

static int by_namespace_id(const void *left, const void *right)
{
    const struct rft_os_thread *a = left, *b = right;
    return (a->namespace_id > b->namespace_id) - (a->namespace_id < b->namespace_id);
}

struct rft_error *rft_process_list_threads(struct rft_space *space)
{
    struct rft_process_space *process = (struct rft_process_space *)space;
    int fd = openat(process->folder_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
    if (!tasks) {
        int cause = errno;
        if (fd >= 0)
            close(fd);
        return rft_error_os(cause == ENOENT ? ESRCH : cause, "listing the threads of process %d",
                            process->pid);
    }
    space->os_threads.count = 0;
    struct rft_error *error = NULL;
    /* Only a process in another PID namespace has a second set of ids. */
    int innermost;
    bool translate = rft_process_namespace_ids(process->folder_fd, "status", &innermost) > 1;
    for (struct dirent *entry; !error && (entry = readdir(tasks));) {
        int id = atoi(entry->d_name);
        struct rft_os_thread thread;
        if (id <= 0 || !read_thread(fd, id, &thread))
            continue;
        if (translate) {
            char status[32];
            snprintf(status, sizeof status, "%d/status", id);
            rft_process_namespace_ids(fd, status, &thread.namespace_id);
        }
        if (!rft_vec_push(&space->os_threads, thread))
            error = rft_error_no_memory();
    }
    closedir(tasks);
    if (!error && space->os_threads.count)
        qsort(space->os_threads.items, space->os_threads.count, sizeof *space->os_threads.items,
              by_namespace_id);
    return error;
}

/* The thread as we see it; its number in the process' own namespace is known. */
static int translated(struct rft_space *space, int namespace_id)
{
    const struct rft_os_thread *threads;
    size_t count;
    int id = 0;
    struct rft_error *error = rft_space_os_threads(space, &threads, &count);
    for (size_t i = 0; !error && i < count && !id; i++) {
        if (threads[i].namespace_id == namespace_id)
            id = threads[i].id;
    }
    rft_error_destroy(error);
    return id;
}

bool rft_space_asleep(struct rft_space *space, int namespace_id, uint64_t *switches)
{
    struct rft_process_space *process = (struct rft_process_space *)space;
    if (space->kind != RFT_SPACE_PROCESS && space->kind != RFT_SPACE_SELF)
        return false;
    const struct rft_process_facts *facts = rft_space_facts(space);
    int id = facts->namespace_pid == facts->pid ? namespace_id : translated(space, namespace_id);
    char name[48], text[8192];
    snprintf(name, sizeof name, "task/%d/status", id);
    if (id <= 0 || rft_process_read_file(process->folder_fd, name, text, sizeof text) <= 0)
        return false;
    const char *state = strstr(text, "\nState:\t");
    const char *given = strstr(text, "\nvoluntary_ctxt_switches:\t");
    const char *taken = strstr(text, "\nnonvoluntary_ctxt_switches:\t");
    if (!state || !given || !taken || (state[8] != 'S' && state[8] != 'D' && state[8] != 'T'))
        return false;
    *switches = strtoull(strchr(given, '\t'), NULL, 10) + strtoull(strchr(taken, '\t'), NULL, 10);
    return true;
}

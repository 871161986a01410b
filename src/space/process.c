/* A live process, this one included: process_vm_readv(2), and where that is not allowed
 * or not built into the kernel, /proc/PID/mem. Neither stops the process nor writes to it. */
#include "space/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/index.h"
#include "base/text.h"

void rft_process_name(const struct rft_process_space *process, const char *file, char *name,
                      size_t size)
{
    if (process->reader == process->pid)
        snprintf(name, size, "%s", file);
    else
        snprintf(name, size, "task/%d/%s", process->reader, file);
}

int rft_process_open(const struct rft_process_space *process, const char *file)
{
    char name[64];
    rft_process_name(process, file, name, sizeof name);
    return openat(process->folder_fd, name, O_RDONLY | O_CLOEXEC);
}

ssize_t rft_process_read_file(int folder, const char *name, char *bytes, size_t size)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, bytes, size - 1);
    close(fd);
    if (got >= 0)
        bytes[got] = 0;
    return got;
}

/* --- the process as such --------------------------------------------------------- */

/* The letter of a stat file: 'X' for what is no more, or a zombie, which has no memory. */
static char state_in(int folder, const char *stat)
{
    char text[512];
    if (rft_process_read_file(folder, stat, text, sizeof text) <= 0)
        return 'X';
    const char *behind_name = strrchr(text, ')');
    char state = behind_name && behind_name[1] == ' ' ? behind_name[2] : 'X';
    return state == 'Z' || state == 'x' ? 'X' : state;
}

/* A thread that has not ended; 0: there is none. */
static int living_thread(const struct rft_process_space *process)
{
    int fd = openat(process->folder_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = 0;
    DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
    if (!tasks) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    for (struct dirent *entry; !found && (entry = readdir(tasks));) {
        char name[sizeof entry->d_name + 8];
        snprintf(name, sizeof name, "%s/stat", entry->d_name);
        if (atoi(entry->d_name) > 0 && state_in(fd, name) != 'X')
            found = atoi(entry->d_name);
    }
    closedir(tasks);
    return found;
}

static bool process_alive(struct rft_space *space)
{
    struct rft_process_space *process = (struct rft_process_space *)space;
    char name[64];
    rft_process_name(process, "stat", name, sizeof name);
    if (process->ended || state_in(process->folder_fd, name) != 'X')
        return !process->ended;
    /* The first thread may end before the others (pthread_exit in main()). */
    int thread = living_thread(process);
    if (thread == 0)
        process->ended = true;
    else
        process->reader = thread;
    return !process->ended;
}

bool rft_process_is_kernel_thread(const struct rft_process_space *process)
{
    enum { FLAGS_FIELD = 7, KERNEL_THREAD = 0x00200000 }; /* behind the name; PF_KTHREAD */
    char text[512];
    if (rft_process_read_file(process->folder_fd, "stat", text, sizeof text) <= 0)
        return false;
    const char *at = strrchr(text, ')');
    for (int i = 0; at && i < FLAGS_FIELD; i++)
        at = strchr(at + 1, ' ');
    return at && (strtoul(at, NULL, 10) & KERNEL_THREAD) != 0;
}

/* --- reading ------------------------------------------------------------------- */

/* Reads `reads` one by one through /proc/PID/mem. */
static void read_mem_file(struct rft_process_space *process, struct rft_read *reads, size_t count)
{
    if (process->mem_fd < 0)
        process->mem_fd = rft_process_open(process, "mem");
    for (size_t i = 0; i < count; i++) {
        size_t got = 0;
        while (process->mem_fd >= 0 && got < reads[i].size) {
            ssize_t part = pread(process->mem_fd, (char *)reads[i].buffer + got,
                                 reads[i].size - got, (off_t)(reads[i].address + got));
            if (part <= 0)
                break;
            got += (size_t)part;
        }
        reads[i].done = got == reads[i].size;
    }
}

static void process_read_many(struct rft_space *space, struct rft_read *reads, size_t count)
{
    struct rft_process_space *process = (struct rft_process_space *)space;
    struct iovec here[RFT_READS_MAX], there[RFT_READS_MAX];
    for (size_t i = 0; i < count; i++) {
        here[i] = (struct iovec){reads[i].buffer, reads[i].size};
        there[i] = (struct iovec){(void *)(uintptr_t)reads[i].address, reads[i].size};
        reads[i].done = false;
    }
    for (size_t first = 0; first < count;) {
        if (process->use_mem_file) {
            read_mem_file(process, reads + first, count - first);
            return;
        }
        ssize_t got = process_vm_readv(process->reader, here + first, count - first, there + first,
                                       count - first, 0);
        if (got < 0 && (errno == EPERM || errno == ENOSYS)) {
            /* A seccomp filter of a container may forbid the call but not the file. */
            process->use_mem_file = true;
            continue;
        }
        if (got < 0 && errno == ESRCH) {
            int reader = process->reader;
            if (process_alive(space) && process->reader != reader)
                continue;
            process->ended = true;
            return;
        }
        /* The kernel stops at the first range that it can't read: what lies before is
         * whole, that one failed, those behind it are tried anew. */
        size_t left = got < 0 ? 0 : (size_t)got;
        while (first < count && reads[first].size <= left) {
            left -= reads[first].size;
            reads[first++].done = true;
        }
        first++;
    }
}

/* --- facts ------------------------------------------------------------------- */

static const char *read_command(struct rft_process_space *process)
{
    char name[64], bytes[4096];
    rft_process_name(process, "cmdline", name, sizeof name);
    ssize_t size = rft_process_read_file(process->folder_fd, name, bytes, sizeof bytes);
    while (size > 0 && !bytes[size - 1])
        size--;
    for (ssize_t i = 0; i < size; i++) {
        if (!bytes[i])
            bytes[i] = ' ';
    }
    struct rft_strbuf text = {0};
    if (size > 0)
        rft_text_clean(&text, bytes, (size_t)size);
    const char *copy =
        text.failed ? NULL
                    : rft_arena_copy(&process->space.texts, rft_strbuf_text(&text), text.length);
    rft_strbuf_deinit(&text);
    return copy ? copy : "";
}

int rft_process_namespace_ids(int folder, const char *status, int *innermost)
{
    char text[8192];
    int count = 0;
    if (rft_process_read_file(folder, status, text, sizeof text) <= 0)
        return 0;
    /* "\nNSpid:" and one id for each namespace; the name in an earlier line has no newlines. */
    char *at = strstr(text, "\nNSpid:");
    for (char *end; at; at = end) {
        if (count == 0)
            at += strlen("\nNSpid:");
        while (*at == '\t' || *at == ' ')
            at++;
        long id = strtol(at, &end, 10);
        if (end == at || *at == '\n')
            break;
        *innermost = (int)id;
        count++;
    }
    return count;
}

static void process_find_facts(struct rft_space *space)
{
    struct rft_process_space *process = (struct rft_process_space *)space;
    struct rft_process_facts *facts = &space->facts;
    char name[64], link[4096];
    facts->pid = process->pid;
    if (rft_process_namespace_ids(process->folder_fd, "status", &facts->namespace_pid) == 0)
        facts->namespace_pid = process->pid;
    rft_process_name(process, "exe", name, sizeof name);
    ssize_t length = readlinkat(process->folder_fd, name, link, sizeof link);
    if (length > 0) {
        struct rft_strbuf text = {0};
        rft_text_clean(&text, link, (size_t)length);
        const char *copy = rft_arena_copy(&space->texts, rft_strbuf_text(&text), text.length);
        facts->executable = copy ? copy : "";
        rft_strbuf_deinit(&text);
    }
    facts->command = read_command(process);
}

static void process_destroy(struct rft_space *space)
{
    struct rft_process_space *process = (struct rft_process_space *)space;
    if (process->mem_fd >= 0)
        close(process->mem_fd);
    if (process->folder_fd >= 0)
        close(process->folder_fd);
}

const struct rft_space_ops rft_process_ops = {
    .read_many = process_read_many,
    .alive = process_alive,
    .list_maps = rft_process_list_maps,
    .list_threads = rft_process_list_threads,
    .find_facts = process_find_facts,
    .open_mapped = rft_process_open_mapped,
    .destroy = process_destroy,
};

/* --- opening ------------------------------------------------------------------- */

static struct rft_error *make(int pid, enum rft_space_kind kind, struct rft_process_space **made)
{
    struct rft_process_space *process = calloc(1, sizeof *process);
    if (!process)
        return rft_error_no_memory();
    rft_space_init(&process->space, &rft_process_ops, kind);
    process->pid = process->reader = pid;
    process->mem_fd = -1;
    char name[64];
    snprintf(name, sizeof name, "/proc/%d", pid);
    process->folder_fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (process->folder_fd >= 0) {
        *made = process;
        return NULL;
    }
    int cause = errno;
    rft_space_destroy(&process->space);
    if (cause != ENOENT)
        return rft_error_os(cause, "opening %s", name);
    if (access("/proc/self", F_OK) != 0)
        return rft_error_os(ENOENT,
                            "reading process %d: /proc, which tells about processes, is "
                            "not mounted",
                            pid);
    /* With hidepid, /proc does not show the processes of others; signal 0 is never sent. */
    if (kill(pid, 0) != 0 && errno == EPERM)
        return rft_process_refused(pid);
    return rft_error_os(ESRCH, "reading process %d", pid);
}

struct rft_error *rft_space_create_self(struct rft_space **space)
{
    if (!space)
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "rft_space_create_self() needs a place for the space");
    struct rft_process_space *process;
    struct rft_error *error = make((int)getpid(), RFT_SPACE_SELF, &process);
    if (!error)
        *space = &process->space;
    return error;
}

/* Lists the maps and tries to read: whether that is allowed is told by doing it. The first maps
 * have bytes, unless the process executes a program just then, and has other ones by now. */
static struct rft_error *try_to_read(struct rft_process_space *process, bool *readable)
{
    enum { ATTEMPTS = 10, MAPS = 16 };
    struct rft_space *space = &process->space;
    struct rft_error *error = NULL;
    uint64_t before = 0;
    *readable = false;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        rft_error_destroy(error);
        error = rft_space_list_maps(space);
        char byte;
        uint64_t maps = 0;
        for (size_t i = 0; !error && i < space->maps.count; i++) {
            const struct rft_map *map = &space->maps.items[i];
            *readable = *readable ||
                        (i < MAPS && map->readable && rft_space_try(space, map->start, &byte, 1));
            maps = rft_hash_mix(maps ^ map->start, map->end);
        }
        bool may_change = error ? error->os_errno == ESRCH : maps != before;
        if (*readable || process->ended || !may_change)
            break;
        before = maps;
    }
    return error;
}

struct rft_error *rft_space_create_process(int pid, struct rft_space **space)
{
    if (!space)
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "rft_space_create_process() needs a place for the space");
    if (pid <= 0)
        return rft_error_format(RFT_ERROR_ARGUMENT, "%d is no process id", pid);
    struct rft_process_space *process;
    struct rft_error *error = make(pid, RFT_SPACE_PROCESS, &process);
    if (error)
        return error;
    if (!process_alive(&process->space)) {
        rft_space_destroy(&process->space);
        return rft_error_os(ESRCH,
                            "reading process %d: it has ended and only waits for its parent to "
                            "take note (a zombie)",
                            pid);
    }
    bool readable;
    error = try_to_read(process, &readable);
    bool refused = error ? error->os_errno == EACCES || error->os_errno == EPERM : !readable;
    if (refused || (error && error->os_errno == ESRCH)) {
        bool alive = process_alive(&process->space);
        if (refused || !alive) {
            rft_error_destroy(error);
            error = alive ? rft_process_refused(pid)
                          : rft_error_os(ESRCH, "reading process %d: it has just ended", pid);
        }
    }
    if (error) {
        rft_space_destroy(&process->space);
        return error;
    }
    *space = &process->space;
    return NULL;
}

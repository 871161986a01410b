/* What is mapped into a live process, from /proc/PID/maps, and the files behind it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "space/build_id.h"
#include "space/process.h"

/* More maps than a process has (vm.max_map_count is 65,530 by default), with their paths. */
enum { MAPS_MAX = 1 << 20, TEXT_STEP = 1 << 16 };
#define TEXT_MAX ((size_t)1 << 30)

/* --- the list ------------------------------------------------------------------ */

/* A number at *at, which is moved behind it and behind one separator. */
static uint64_t number(const char **at, const char *end, unsigned base)
{
    uint64_t value = 0;
    for (; *at < end; ++*at) {
        char c = **at;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    if (*at < end)
        ++*at;
    return value;
}

/* "START-END rwxp OFFSET MAJOR:MINOR INODE      PATH", all but the inode in hexadecimal. False
 * if it is something else. */
static bool parse_line(const char *line, const char *end, struct rft_map *map, const char **path,
                       size_t *path_length)
{
    static const char gone[] = " (deleted)";
    size_t tail = sizeof gone - 1;
    *map = (struct rft_map){.path = ""};
    map->start = number(&line, end, 16);
    map->end = number(&line, end, 16);
    if (end - line < 5 || map->start >= map->end)
        return false;
    map->readable = line[0] == 'r';
    map->writable = line[1] == 'w';
    map->executable = line[2] == 'x';
    map->shared = line[3] == 's';
    line += 5;
    map->offset = number(&line, end, 16);
    number(&line, end, 16);
    number(&line, end, 16);
    map->inode = number(&line, end, 10);
    while (line < end && *line == ' ')
        line++;
    *path = line;
    *path_length = (size_t)(end - line);
    map->deleted = *path_length > tail && !memcmp(end - tail, gone, tail);
    if (map->deleted)
        *path_length -= tail;
    return true;
}

static struct rft_error *parse(struct rft_space *space, const char *text, size_t size)
{
    const char *end = text + size, *next;
    for (const char *line = text; line < end && space->maps.count < MAPS_MAX; line = next + 1) {
        next = memchr(line, '\n', (size_t)(end - line));
        if (!next)
            break;
        struct rft_map map;
        const char *path;
        size_t length;
        if (!parse_line(line, next, &map, &path, &length))
            continue;
        /* Neighbours usually lie in the same file. */
        size_t count = space->maps.count;
        const char *last = count ? space->maps.items[count - 1].path : "";
        if (length && !strncmp(last, path, length) && !last[length])
            map.path = last;
        else if (length)
            map.path = rft_arena_copy(&space->map_paths, path, length);
        if (!map.path || !rft_vec_push(&space->maps, map))
            return rft_error_no_memory();
    }
    return NULL;
}

struct rft_error *rft_process_list_maps(struct rft_space *space)
{
    struct rft_process_space *process = (struct rft_process_space *)space;
    int fd = rft_process_open(process, "maps");
    if (fd < 0)
        return rft_error_os(errno == ENOENT ? ESRCH : errno, "reading the memory map of process %d",
                            process->pid);
    space->maps.count = 0;
    rft_arena_reset(&space->map_paths);
    struct rft_error *error = NULL;
    RFT_VEC(char) text = {0};
    for (;;) {
        if (text.count > TEXT_MAX)
            break;
        if (!rft_vec_reserve(&text, TEXT_STEP)) {
            error = rft_error_no_memory();
            break;
        }
        ssize_t got = read(fd, text.items + text.count, TEXT_STEP);
        if (got < 0 && errno != ESRCH)
            error = rft_error_os(errno, "reading the memory map of process %d", process->pid);
        if (got <= 0)
            break;
        text.count += (size_t)got;
    }
    close(fd);
    if (!error)
        error = parse(space, text.items, text.count);
    rft_vec_free(&text);
    if (!error && space->maps.count == 0)
        error = rft_process_is_kernel_thread(process)
                    ? rft_error_format(RFT_ERROR_NOT_PYTHON,
                                       "process %d is a thread of the kernel: it has no memory "
                                       "of its own, and no Python",
                                       process->pid)
                    : rft_error_os(ESRCH,
                                   "reading process %d: it is just ending, and has no "
                                   "memory any more",
                                   process->pid);
    return error;
}

/* --- the files ------------------------------------------------------------------- */

struct memory {
    struct rft_space *space;
    rft_address at;
};

static bool read_memory(void *from, uint64_t offset, void *buffer, size_t size)
{
    struct memory *memory = from;
    return rft_space_try(memory->space, memory->at + offset, buffer, size);
}

/* Whether `fd` is what is mapped at `map`: the same build id, or, where there is none, the same
 * inode. (The device says nothing: btrfs and overlayfs show another one to stat() than in
 * maps.) */
static bool is_the_same(struct rft_space *space, const struct rft_map *map, int fd)
{
    struct rft_build_id mapped, file;
    struct memory memory = {space, map->start};
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        return false;
    if (map->offset == 0 && rft_build_id_find(read_memory, &memory, &mapped) && mapped.size)
        return rft_build_id_find(rft_object_read_file, &fd, &file) &&
               rft_build_id_equal(&mapped, &file);
    return about.st_ino == map->inode;
}

/* Opens a file, given relative to the process' folder in /proc, if it is a plain one: a device
 * is not even opened. -1 if not. */
static int open_plain_file(const struct rft_process_space *process, const char *path)
{
    struct stat about;
    if (fstatat(process->folder_fd, path, &about, 0) != 0 || !S_ISREG(about.st_mode))
        return -1;
    return openat(process->folder_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* The same if it is what is mapped. */
static int open_same(struct rft_space *space, const struct rft_map *map, const char *path)
{
    int fd = open_plain_file((const struct rft_process_space *)space, path);
    if (fd >= 0 && !is_the_same(space, map, fd)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int rft_process_open_mapped(struct rft_space *space, const struct rft_map *map)
{
    struct rft_process_space *process = (struct rft_process_space *)space;
    char name[4096 + 64];
    /* map_files leads to the very file, be it deleted, replaced, or in another mount
     * namespace. It needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. */
    snprintf(name, sizeof name, "map_files/%llx-%llx", (unsigned long long)map->start,
             (unsigned long long)map->end);
    int fd = open_plain_file(process, name);
    /* The executable is open to whoever may read the process. */
    if (fd < 0) {
        rft_process_name(process, "exe", name, sizeof name);
        fd = open_same(space, map, name);
    }
    /* As the process sees it, in another mount namespace; and as we see it, which is how maps
     * shows the path to those outside of a chroot. */
    for (int as_we_see_it = 0; fd < 0 && !map->deleted && as_we_see_it < 2; as_we_see_it++) {
        int length = snprintf(name, sizeof name, "%s%s", as_we_see_it ? "" : "root", map->path);
        if (length > 0 && (size_t)length < sizeof name)
            fd = open_same(space, map, name);
    }
    return fd;
}

/* The files that were mapped into a process that dumped core: what was only read from them
 * is often not in the core. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "space/build_id.h"
#include "space/core.h"

enum { NAMED_MAX = 8 }; /* files in facts.missing */

struct memory {
    struct rft_core_space *core;
    rft_address at;
};

static bool read_memory(void *from, uint64_t offset, void *buffer, size_t size)
{
    struct memory *memory = from;
    return rft_core_read_own(memory->core, memory->at + offset, buffer, size);
}

/* A core may name any path: what is no plain file is not even opened. */
static int open_plain_file(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static int open_file(const struct rft_core_space *core, uint32_t file)
{
    const char *path = core->files.items[file].path;
    char name[8192];
    if (file == core->executable && core->executable_option)
        return open_plain_file(core->executable_option);
    if (path[0] != '/' || (size_t)snprintf(name, sizeof name, "%s%s",
                                           core->sysroot ? core->sysroot : "", path) >= sizeof name)
        return -1;
    return open_plain_file(name);
}

/* Whether `fd` is the file that was mapped. */
static bool is_the_same(struct rft_core_space *core, const struct rft_core_file *file, int fd)
{
    struct rft_build_id then, now;
    struct memory memory = {core, file->header};
    /* Without the first page in the core (a bit of coredump_filter), or without a build id,
     * the name has to do; not so if the file had been deleted: then another one has its name. */
    if (!file->header || !rft_build_id_find(read_memory, &memory, &then) || !then.size)
        return !file->deleted;
    return rft_build_id_find(rft_object_read_file, &fd, &now) && rft_build_id_equal(&then, &now);
}

int rft_core_mapped_file(struct rft_core_space *core, uint32_t number)
{
    struct rft_core_file *file = &core->files.items[number];
    if (file->state != RFT_CORE_FILE_UNKNOWN)
        return file->fd;
    file->fd = open_file(core, number);
    file->state = file->fd < 0 ? RFT_CORE_FILE_ABSENT : RFT_CORE_FILE_GOOD;
    if (file->fd >= 0 && !is_the_same(core, file, file->fd)) {
        close(file->fd);
        file->fd = -1;
        file->state = RFT_CORE_FILE_OTHER;
    }
    return file->fd;
}

/* Is CPython itself in that file? */
static bool is_python(const struct rft_core_space *core, uint32_t file)
{
    const char *path = core->files.items[file].path, *base = strrchr(path, '/');
    return file == core->executable || !strncmp(base ? base + 1 : path, "libpython", 9);
}

void rft_core_say_what_is_missing(struct rft_core_space *core)
{
    struct rft_strbuf text = {0};
    const char *named[NAMED_MAX];
    size_t named_count = 0;
    if (core->size < core->wanted_size)
        rft_strbuf_format(&text,
                          "the core is cut: %llu of its %llu bytes are there, and threads whose "
                          "memory lay behind are shown as far as they can be",
                          (unsigned long long)core->size, (unsigned long long)core->wanted_size);
    for (uint32_t i = 0; i < core->files.count && named_count < NAMED_MAX; i++) {
        const struct rft_core_file *file = &core->files.items[i];
        if (!is_python(core, i) || rft_core_mapped_file(core, i) >= 0)
            continue;
        /* The same file may be mapped in several places. */
        bool again = false;
        for (size_t j = 0; j < named_count && !again; j++)
            again = !strcmp(named[j], file->path);
        if (again)
            continue;
        named[named_count++] = file->path;
        if (text.length)
            rft_strbuf_add(&text, "; ");
        const char *path =
            i == core->executable && core->executable_option ? core->executable_option : file->path;
        rft_text_clean(&text, path, strlen(path));
        rft_strbuf_format(&text,
                          " is %s: stacks come from the core alone, but names of built-in types "
                          "and C functions may be missing (%s says where the file is now)",
                          file->state == RFT_CORE_FILE_OTHER ? "another build than the one that ran"
                                                             : "not there",
                          i == core->executable ? "--exe" : "--sysroot");
    }
    const char *copy =
        text.failed ? NULL
                    : rft_arena_copy(&core->space.texts, rft_strbuf_text(&text), text.length);
    core->space.facts.missing = copy ? copy : "";
    rft_strbuf_deinit(&text);
}

/* A core file: memory of its segments, and of the files that were mapped. */
#include "space/core.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The last segment that begins at or before `address`, or NULL. */
static const struct rft_core_segment *segment_at(const struct rft_core_space *core,
                                                 rft_address address)
{
    size_t low = 0, high = core->segments.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (core->segments.items[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &core->segments.items[low - 1] : NULL;
}

static const struct rft_core_range *range_at(const struct rft_core_space *core, rft_address address)
{
    size_t low = 0, high = core->ranges.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (core->ranges.items[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct rft_core_range *range = low ? &core->ranges.items[low - 1] : NULL;
    return range && address < range->end ? range : NULL;
}

/* The first range that can have bytes at or behind `address`. */
static size_t first_range_behind(const struct rft_core_space *core, rft_address address)
{
    const struct rft_core_range *range = range_at(core, address);
    if (range)
        return (size_t)(range - core->ranges.items);
    size_t low = 0, high = core->ranges.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (core->ranges.items[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t least(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* Bytes at `address` from one segment, at most `size`; how many, 0: none. */
static size_t read_segment(struct rft_core_space *core, rft_address address, char *to, size_t size)
{
    const struct rft_core_segment *segment = segment_at(core, address);
    uint64_t into = segment ? address - segment->start : 0;
    if (!segment || into >= segment->size)
        return 0;
    ssize_t got =
        pread(core->fd, to, least(segment->size - into, size), (off_t)(segment->offset + into));
    return got > 0 ? (size_t)got : 0;
}

/* The same from the file that was mapped there. */
static size_t read_mapped(struct rft_core_space *core, rft_address address, char *to, size_t size)
{
    const struct rft_core_range *range = range_at(core, address);
    if (!range)
        return 0;
    /* What the process may have changed is in the core or nowhere: a file's bytes would be
     * those from before. */
    const struct rft_core_segment *segment = segment_at(core, address);
    if (segment && address < segment->end && (segment->flags & PF_W))
        return 0;
    int fd = rft_core_mapped_file(core, range->file);
    if (fd < 0)
        return 0;
    ssize_t got = pread(fd, to, least(range->end - address, size),
                        (off_t)(range->offset + (address - range->start)));
    return got > 0 ? (size_t)got : 0;
}

static bool read_bytes(struct rft_core_space *core, rft_address address, char *to, size_t size,
                       bool mapped)
{
    while (size) {
        size_t got = read_segment(core, address, to, size);
        if (!got && mapped)
            got = read_mapped(core, address, to, size);
        if (!got)
            return false;
        address += got;
        to += got;
        size -= got;
    }
    return true;
}

bool rft_core_read_own(struct rft_core_space *core, rft_address address, void *buffer, size_t size)
{
    return read_bytes(core, address, buffer, size, false);
}

static void core_read_many(struct rft_space *space, struct rft_read *reads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        reads[i].done = read_bytes((struct rft_core_space *)space, reads[i].address,
                                   reads[i].buffer, reads[i].size, true);
}

static bool core_alive(struct rft_space *space)
{
    (void)space;
    return true;
}

static bool core_find_present(struct rft_space *space, rft_address *at, rft_address *end)
{
    struct rft_core_space *core = (struct rft_core_space *)space;
    const struct rft_core_segment *segment = segment_at(core, *at);
    size_t i = segment ? (size_t)(segment - core->segments.items) : 0;
    for (; i < core->segments.count && core->segments.items[i].start < *end; i++) {
        segment = &core->segments.items[i];
        rft_address stop = segment->start + segment->size;
        if (*at < stop) {
            *at = *at < segment->start ? segment->start : *at;
            *end = stop < *end ? stop : *end;
            return *at < *end;
        }
    }
    return false;
}

/* --- maps --------------------------------------------------------------------- */

/* A core does not tell which segments were shared. glibc has its named semaphores there. */
static bool is_shared_memory(const char *path)
{
    static const char folder[] = "/dev/shm/";
    return !strncmp(path, folder, sizeof folder - 1);
}

static bool add_map(struct rft_core_space *core, rft_address start, rft_address end,
                    const struct rft_core_range *range, uint32_t flags)
{
    struct rft_map map = {
        .start = start,
        .end = end,
        .offset = range ? range->offset + (start - range->start) : 0,
        .readable = flags & PF_R,
        .writable = flags & PF_W,
        .executable = flags & PF_X,
        .shared = range && is_shared_memory(core->files.items[range->file].path),
        .path = range ? core->files.items[range->file].path : "",
        .deleted = range && core->files.items[range->file].deleted,
    };
    return rft_vec_push(&core->space.maps, map);
}

static int by_start(const void *left, const void *right)
{
    const struct rft_map *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static struct rft_error *core_list_maps(struct rft_space *space)
{
    struct rft_core_space *core = (struct rft_core_space *)space;
    if (space->maps.count) /* a core does not change */
        return NULL;
    bool enough = true;
    /* Ranges of files, with the rights of their segment, if they have one. */
    for (size_t i = 0; enough && i < core->ranges.count; i++) {
        const struct rft_core_range *range = &core->ranges.items[i];
        const struct rft_core_segment *segment = segment_at(core, range->start);
        enough = add_map(core, range->start, range->end, range,
                         segment && range->start < segment->end ? segment->flags : PF_R);
    }
    /* And what of the segments is no file's. */
    for (size_t i = 0; enough && i < core->segments.count; i++) {
        const struct rft_core_segment *segment = &core->segments.items[i];
        rft_address at = segment->start;
        size_t low = first_range_behind(core, at);
        for (; enough && low < core->ranges.count && at < segment->end; low++) {
            const struct rft_core_range *range = &core->ranges.items[low];
            if (range->end <= at)
                continue;
            if (range->start >= segment->end)
                break;
            if (range->start > at)
                enough = add_map(core, at, range->start, NULL, segment->flags);
            at = range->end;
        }
        if (enough && at < segment->end)
            enough = add_map(core, at, segment->end, NULL, segment->flags);
    }
    if (!enough) {
        space->maps.count = 0;
        return rft_error_no_memory();
    }
    if (space->maps.count)
        qsort(space->maps.items, space->maps.count, sizeof *space->maps.items, by_start);
    return NULL;
}

static int core_open_mapped(struct rft_space *space, const struct rft_map *map)
{
    struct rft_core_space *core = (struct rft_core_space *)space;
    const struct rft_core_range *range = range_at(core, map->start);
    int fd = range ? rft_core_mapped_file(core, range->file) : -1;
    return fd < 0 ? -1 : dup(fd);
}

/* --- threads ---------------------------------------------------------------------- */

static int by_namespace_id(const void *left, const void *right)
{
    const struct rft_os_thread *a = left, *b = right;
    return (a->namespace_id > b->namespace_id) - (a->namespace_id < b->namespace_id);
}

static struct rft_error *core_list_threads(struct rft_space *space)
{
    struct rft_core_space *core = (struct rft_core_space *)space;
    space->os_threads.count = 0;
    for (size_t i = 0; i < core->threads.count; i++) {
        if (!rft_vec_push(&space->os_threads, core->threads.items[i]))
            return rft_error_no_memory();
    }
    if (space->os_threads.count)
        qsort(space->os_threads.items, space->os_threads.count, sizeof *space->os_threads.items,
              by_namespace_id);
    return NULL;
}

/* --- opening ------------------------------------------------------------------------ */

static void core_destroy(struct rft_space *space)
{
    struct rft_core_space *core = (struct rft_core_space *)space;
    for (size_t i = 0; i < core->files.count; i++) {
        if (core->files.items[i].fd >= 0)
            close(core->files.items[i].fd);
    }
    if (core->fd >= 0)
        close(core->fd);
    rft_vec_free(&core->segments);
    rft_vec_free(&core->ranges);
    rft_vec_free(&core->files);
    rft_vec_free(&core->threads);
    rft_arena_deinit(&core->names);
}

static const struct rft_space_ops core_ops = {
    .read_many = core_read_many,
    .alive = core_alive,
    .list_maps = core_list_maps,
    .list_threads = core_list_threads,
    .open_mapped = core_open_mapped,
    .find_present = core_find_present,
    .destroy = core_destroy,
};

int rft_space_core_file(struct rft_space *space)
{
    return space->kind == RFT_SPACE_CORE ? ((struct rft_core_space *)space)->fd : -1;
}

struct rft_error *rft_space_create_core(const char *path, const struct rft_core_options *options,
                                        struct rft_space **space)
{
    if (!path || !space)
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "rft_space_create_core() needs a path and a place for the space");
    struct rft_core_space *core = calloc(1, sizeof *core);
    if (!core)
        return rft_error_no_memory();
    rft_space_init(&core->space, &core_ops, RFT_SPACE_CORE);
    core->fd = -1;
    if (options) {
        bool copied = true;
        if (options->executable)
            copied = (core->executable_option = rft_arena_copy(&core->names, options->executable,
                                                               strlen(options->executable)));
        if (copied && options->sysroot)
            copied = (core->sysroot =
                          rft_arena_copy(&core->names, options->sysroot, strlen(options->sysroot)));
        if (!copied) {
            rft_space_destroy(&core->space);
            return rft_error_no_memory();
        }
    }
    struct rft_error *error = rft_core_open(path, &core->fd, &core->size);
    if (!error)
        error = rft_core_parse(core, path);
    if (error) {
        rft_space_destroy(&core->space);
        return error;
    }
    core->space.size = core->size;
    rft_core_say_what_is_missing(core);
    *space = &core->space;
    return NULL;
}

#include "space/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

void rft_space_init(struct rft_space *space, const struct rft_space_ops *ops,
                    enum rft_space_kind kind)
{
    space->ops = ops;
    space->kind = kind;
    space->facts = (struct rft_process_facts){.executable = "", .command = "", .missing = ""};
}

void rft_space_destroy(struct rft_space *space)
{
    if (!space)
        return;
    space->ops->destroy(space);
    rft_vec_free(&space->maps);
    rft_vec_free(&space->os_threads);
    rft_arena_deinit(&space->map_paths);
    rft_arena_deinit(&space->texts);
    free(space->pages);
    free(space);
}

enum rft_space_kind rft_space_kind(const struct rft_space *space)
{
    return space->kind;
}

/* The kernel cuts what one call may read at 2 GiB, and refuses a call as a whole if one of its
 * lengths is negative. Nothing that is read at once is that long. */
enum { READ_SIZE_MAX = 1 << 30 };

size_t rft_space_read_many(struct rft_space *space, struct rft_read *reads, size_t count)
{
    size_t done = 0;
    enum { FEW = 4 };
    if (space->remembering && count <= FEW) {
        for (size_t i = 0; i < count; i++)
            done += reads[i].done =
                rft_space_try(space, reads[i].address, reads[i].buffer, reads[i].size);
        return done;
    }
    for (size_t first = 0; first < count;) {
        size_t part = 0, sum = 0;
        while (first + part < count && part < RFT_READS_MAX &&
               reads[first + part].size <= READ_SIZE_MAX - sum)
            sum += reads[first + part++].size;
        if (part == 0) {
            reads[first++].done = false;
            continue;
        }
        space->ops->read_many(space, reads + first, part);
        for (size_t i = first; i < first + part; i++)
            done += reads[i].done;
        first += part;
    }
    return done;
}

bool rft_space_try(struct rft_space *space, rft_address address, void *buffer, size_t size)
{
    if (size == 0)
        return true;
    if (size > READ_SIZE_MAX)
        return false;
    if (space->remembering && rft_pages_read(space, address, buffer, size))
        return true;
    struct rft_read read = {.address = address, .buffer = buffer, .size = size};
    space->ops->read_many(space, &read, 1);
    return read.done;
}

struct rft_error *rft_space_read(struct rft_space *space, rft_address address, void *buffer,
                                 size_t size)
{
    if (!space || (!buffer && size))
        return rft_error_format(RFT_ERROR_ARGUMENT, "rft_space_read() needs a space and a buffer");
    if (rft_space_try(space, address, buffer, size))
        return NULL;
    if (!rft_space_alive(space))
        return rft_error_os(ESRCH, "reading memory of process %d", rft_space_facts(space)->pid);
    return rft_error_format(RFT_ERROR_UNMAPPED, "no %zu readable bytes at 0x%llx", size,
                            (unsigned long long)address);
}

bool rft_space_alive(struct rft_space *space)
{
    return space->ops->alive(space);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct rft_error *rft_space_list_maps(struct rft_space *space)
{
    uint64_t now = now_ns();
    space->maps_at = 0;
    struct rft_error *error = space->ops->list_maps(space);
    if (!error)
        space->maps_at = now;
    return error;
}

struct rft_error *rft_space_maps(struct rft_space *space, const struct rft_map **maps,
                                 size_t *count)
{
    struct rft_error *error = rft_space_list_maps(space);
    if (error)
        return error;
    *maps = space->maps.items;
    *count = space->maps.count;
    return NULL;
}

struct rft_error *rft_space_recent_maps(struct rft_space *space, const struct rft_map **maps,
                                        size_t *count)
{
    static const uint64_t recent = 10000000;
    if (!space->maps_at || now_ns() - space->maps_at > recent)
        return rft_space_maps(space, maps, count);
    *maps = space->maps.items;
    *count = space->maps.count;
    return NULL;
}

struct rft_error *rft_space_os_threads(struct rft_space *space,
                                       const struct rft_os_thread **threads, size_t *count)
{
    struct rft_error *error = space->ops->list_threads(space);
    if (error)
        return error;
    *threads = space->os_threads.items;
    *count = space->os_threads.count;
    return NULL;
}

const struct rft_process_facts *rft_space_facts(struct rft_space *space)
{
    if (!space->facts_known && space->ops->find_facts) {
        space->facts_known = true;
        space->ops->find_facts(space);
    }
    return &space->facts;
}

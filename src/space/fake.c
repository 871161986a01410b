/* Bytes of a test: segments of the caller's memory. */
#include <stdlib.h>
#include <string.h>

#include "space/ops.h"

struct fake_space {
    struct rft_space space;
    size_t count;
    struct rft_segment segments[]; /* sorted by address, not overlapping */
};

/* The segment that has `address`, or NULL. */
static const struct rft_segment *segment_at(const struct fake_space *fake, rft_address address)
{
    size_t low = 0, high = fake->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fake->segments[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    const struct rft_segment *segment = &fake->segments[low - 1];
    return address - segment->address < segment->size ? segment : NULL;
}

static bool copy(const struct fake_space *fake, rft_address address, char *to, size_t size)
{
    while (size) {
        const struct rft_segment *segment = segment_at(fake, address);
        if (!segment)
            return false;
        size_t offset = (size_t)(address - segment->address);
        size_t part = segment->size - offset < size ? segment->size - offset : size;
        memcpy(to, (const char *)segment->bytes + offset, part);
        to += part;
        address += part;
        size -= part;
    }
    return true;
}

static void fake_read_many(struct rft_space *space, struct rft_read *reads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        reads[i].done = copy((const struct fake_space *)space, reads[i].address, reads[i].buffer,
                             reads[i].size);
}

static bool fake_alive(struct rft_space *space)
{
    (void)space;
    return true;
}

static struct rft_error *fake_list_maps(struct rft_space *space)
{
    struct fake_space *fake = (struct fake_space *)space;
    space->maps.count = 0;
    for (size_t i = 0; i < fake->count; i++) {
        struct rft_map map = {.start = fake->segments[i].address,
                              .end = fake->segments[i].address + fake->segments[i].size,
                              .readable = true,
                              .writable = true,
                              .path = ""};
        if (!rft_vec_push(&space->maps, map))
            return rft_error_no_memory();
    }
    return NULL;
}

static struct rft_error *fake_list_threads(struct rft_space *space)
{
    space->os_threads.count = 0;
    return NULL;
}

static void fake_destroy(struct rft_space *space)
{
    (void)space;
}

static const struct rft_space_ops fake_ops = {
    .read_many = fake_read_many,
    .alive = fake_alive,
    .list_maps = fake_list_maps,
    .list_threads = fake_list_threads,
    .destroy = fake_destroy,
};

static int by_address(const void *left, const void *right)
{
    const struct rft_segment *a = left, *b = right;
    return (a->address > b->address) - (a->address < b->address);
}

struct rft_error *rft_space_create_fake(const struct rft_segment *segments, size_t count,
                                        rft_address runtime, struct rft_space **space)
{
    if ((!segments && count) || !space)
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "rft_space_create_fake() needs segments and a place for the space");
    if (count > SIZE_MAX / sizeof *segments / 2)
        return rft_error_no_memory();
    struct fake_space *fake = calloc(1, sizeof *fake + count * sizeof *segments);
    if (!fake)
        return rft_error_no_memory();
    rft_space_init(&fake->space, &fake_ops, RFT_SPACE_FAKE);
    fake->space.runtime = runtime;
    fake->count = count;
    if (count) {
        memcpy(fake->segments, segments, count * sizeof *segments);
        qsort(fake->segments, count, sizeof *fake->segments, by_address);
    }
    for (size_t i = 0; i < count; i++) {
        const struct rft_segment *segment = &fake->segments[i];
        bool wraps = segment->size > UINT64_MAX - segment->address;
        bool overlaps = i + 1 < count && segment[1].address - segment->address < segment->size;
        if (wraps || overlaps) {
            unsigned long long address = segment->address;
            rft_space_destroy(&fake->space);
            return rft_error_format(RFT_ERROR_ARGUMENT,
                                    "making a space of segments: the one at 0x%llx %s", address,
                                    wraps ? "ends beyond the last address" : "overlaps the next");
        }
    }
    *space = &fake->space;
    return NULL;
}

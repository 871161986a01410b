/* Pages of a live process that are remembered for a while: many small objects that lie near to
 * each other are read with few system calls. */
#include "space/ops.h"

#include <stdlib.h>
#include <string.h>

enum {
    PAGE_BYTES = 4096,
    PAGE_COUNT = 256, /* memory that is never touched costs nothing */
    AHEAD_MOST = 15,
    FETCH_STEP = 64,
};

struct rft_pages {
    rft_address starts[PAGE_COUNT]; /* 0: free; nothing is mapped there */
    unsigned char bytes[PAGE_COUNT][PAGE_BYTES];
};

void rft_space_remember_pages(struct rft_space *space, bool on)
{
    space->remembering = false;
    space->ahead = 0;
    if (!on || (space->kind != RFT_SPACE_PROCESS && space->kind != RFT_SPACE_SELF))
        return;
    if (!space->pages)
        space->pages = malloc(sizeof *space->pages);
    if (!space->pages)
        return; /* then everything is read by itself */
    memset(space->pages->starts, 0, sizeof space->pages->starts);
    space->remembering = true;
}

void rft_space_read_ahead(struct rft_space *space, unsigned pages)
{
    space->ahead = pages < AHEAD_MOST ? pages : AHEAD_MOST;
}

static size_t index_of(rft_address start)
{
    return (size_t)(start / PAGE_BYTES % PAGE_COUNT);
}

/* Adds a page to what is read, if it is not there. */
static size_t add(struct rft_pages *pages, struct rft_read *reads, size_t count, rft_address start)
{
    size_t index = index_of(start);
    if (start == 0 || pages->starts[index] == start)
        return count;
    pages->starts[index] = start;
    reads[count] =
        (struct rft_read){.address = start, .buffer = pages->bytes[index], .size = PAGE_BYTES};
    return count + 1;
}

static void read_pages(struct rft_space *space, struct rft_read *reads, size_t count)
{
    struct rft_pages *pages = space->pages;
    if (count)
        space->ops->read_many(space, reads, count);
    for (size_t i = 0; i < count; i++) {
        if (!reads[i].done && pages->starts[index_of(reads[i].address)] == reads[i].address)
            pages->starts[index_of(reads[i].address)] = 0;
    }
}

void rft_space_fetch(struct rft_space *space, const rft_address *addresses, size_t count)
{
    struct rft_read reads[FETCH_STEP];
    size_t used = 0;
    if (!space->remembering)
        return;
    for (size_t i = 0; i < count; i++) {
        used = add(space->pages, reads, used, addresses[i] & ~(rft_address)(PAGE_BYTES - 1));
        if (used == FETCH_STEP || i + 1 == count) {
            read_pages(space, reads, used);
            used = 0;
        }
    }
}

bool rft_pages_read(struct rft_space *space, rft_address address, void *buffer, size_t size)
{
    struct rft_pages *pages = space->pages;
    rft_address start = address & ~(rft_address)(PAGE_BYTES - 1);
    size_t at = (size_t)(address - start), index = index_of(start);
    if (start == 0 || size > PAGE_BYTES - at)
        return false;
    if (pages->starts[index] != start) {
        struct rft_read reads[AHEAD_MOST + 1];
        size_t count = add(pages, reads, 0, start);
        for (unsigned i = 1; i <= space->ahead && start > (rft_address)i * PAGE_BYTES; i++)
            count = add(pages, reads, count, start - (rft_address)i * PAGE_BYTES);
        read_pages(space, reads, count);
        if (pages->starts[index] != start)
            return false;
    }
    memcpy(buffer, pages->bytes[index] + at, size);
    return true;
}

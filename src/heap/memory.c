#include "heap/memory.h"

#include <sys/mman.h>

enum { PAGE = 4096 };

static size_t whole_pages(size_t size)
{
    return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

void *rft_heap_alloc(struct rft_heap_memory *memory, size_t size)
{
    size = whole_pages(size > 0 ? size : 1);
    if (size > memory->limit - memory->used) {
        return NULL;
    }
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    memory->used += size;
    memory->peak = memory->used > memory->peak ? memory->used : memory->peak;
    return pages;
}

void rft_heap_free(struct rft_heap_memory *memory, void *pages, size_t size)
{
    if (pages != NULL) {
        size = whole_pages(size > 0 ? size : 1);
        munmap(pages, size);
        memory->used -= size;
    }
}

void *rft_heap_grow(struct rft_heap_memory *memory, void *pages, size_t size, size_t new_size)
{
    if (pages == NULL) {
        return rft_heap_alloc(memory, new_size);
    }
    size = whole_pages(size > 0 ? size : 1);
    new_size = whole_pages(new_size);
    if (new_size <= size) {
        return pages;
    }
    if (new_size - size > memory->limit - memory->used) {
        return NULL;
    }
    void *grown = mremap(pages, size, new_size, MREMAP_MAYMOVE);
    if (grown == MAP_FAILED) {
        return NULL;
    }
    memory->used += new_size - size;
    memory->peak = memory->used > memory->peak ? memory->used : memory->peak;
    return grown;
}

void *rft_heap_shrink(struct rft_heap_memory *memory, void *pages, size_t size, size_t new_size)
{
    size = whole_pages(size > 0 ? size : 1);
    size_t keep = whole_pages(new_size);
    if (pages == NULL || keep >= size) {
        return pages;
    }
    munmap((char *)pages + keep, size - keep);
    memory->used -= size - keep;
    return keep > 0 ? pages : NULL;
}

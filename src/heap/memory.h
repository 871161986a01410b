/* Memory for a look through the heap: pages of the kernel's, counted and bounded, and given
 * back afterwards. Never malloc: the traced program's heap must not change while it is
 * being looked at. */
#ifndef RFT_HEAP_MEMORY_H
#define RFT_HEAP_MEMORY_H

#include <stddef.h>

struct rft_heap_memory {
    size_t used, peak, limit; /* bytes */
};

/* Zeroed; NULL if the kernel has none or the limit is reached. */
void *rft_heap_alloc(struct rft_heap_memory *memory, size_t size);
void rft_heap_free(struct rft_heap_memory *memory, void *pages, size_t size);
/* Makes an array larger, zeroed at its end; NULL: it stays as it was. */
void *rft_heap_grow(struct rft_heap_memory *memory, void *pages, size_t size, size_t new_size);
/* Gives the end of an array back; NULL if nothing is left. */
void *rft_heap_shrink(struct rft_heap_memory *memory, void *pages, size_t size, size_t new_size);

#endif

/* Memory that is given out in small pieces and freed all at once. */
#ifndef RFT_BASE_ARENA_H
#define RFT_BASE_ARENA_H

#include <stddef.h>

struct rft_arena_block;

/* All zero is an empty arena. */
struct rft_arena {
    struct rft_arena_block *blocks;
    char *at;
    size_t left;
    size_t total; /* bytes of all blocks */
};

/* `size` bytes aligned for any type, not zeroed; NULL without memory. */
void *rft_arena_alloc(struct rft_arena *arena, size_t size);

/* A copy with a NUL behind it; NULL without memory. */
char *rft_arena_copy(struct rft_arena *arena, const char *bytes, size_t size);

/* Take everything back and keep the memory, in one block from the second time on: what is
 * filled again and again asks malloc() for nothing. */
void rft_arena_reset(struct rft_arena *arena);

void rft_arena_deinit(struct rft_arena *arena);

#endif

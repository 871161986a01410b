#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_SIZE = 1 << 16,
    ALIGNMENT = _Alignof(max_align_t),
    /* Larger pieces get a block of their own, so that little of a block is lost. */
    LARGE = BLOCK_SIZE / 8,
};

struct rft_arena_block {
    struct rft_arena_block *next;
    size_t size;
    _Alignas(max_align_t) char bytes[];
};

static struct rft_arena_block *add_block(struct rft_arena *arena, size_t size)
{
    struct rft_arena_block *block = malloc(sizeof(*block) + size);
    if (!block)
        return NULL;
    block->next = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->total += size;
    return block;
}

void *rft_arena_alloc(struct rft_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (size > arena->left) {
        struct rft_arena_block *block = add_block(arena, size > LARGE ? size : BLOCK_SIZE);
        if (!block)
            return NULL;
        if (size > LARGE)
            return block->bytes;
        arena->at = block->bytes;
        arena->left = BLOCK_SIZE;
    }
    void *piece = arena->at;
    arena->at += size;
    arena->left -= size;
    return piece;
}

char *rft_arena_copy(struct rft_arena *arena, const char *bytes, size_t size)
{
    char *copy = size < SIZE_MAX ? rft_arena_alloc(arena, size + 1) : NULL;
    if (!copy)
        return NULL;
    if (size)
        memcpy(copy, bytes, size);
    copy[size] = 0;
    return copy;
}

void rft_arena_reset(struct rft_arena *arena)
{
    if (arena->blocks && arena->blocks->next) {
        size_t total = arena->total;
        rft_arena_deinit(arena);
        add_block(arena, total);
    }
    if (arena->blocks) {
        arena->at = arena->blocks->bytes;
        arena->left = arena->blocks->size;
    }
}

void rft_arena_deinit(struct rft_arena *arena)
{
    for (struct rft_arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    *arena = (struct rft_arena){0};
}

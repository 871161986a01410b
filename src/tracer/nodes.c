#include "tracer/nodes.h"

#include <string.h>

enum { BLOCK = 256 * 1024, LINE = 64, FIRST_BUCKETS = 2 };

/* A tree this large is dropped and begun anew, unless the stack needs it. */
enum { TREE_MAX = 64 << 20, TREE_PER_FRAME = 1024 };

struct rft_node_block {
    struct rft_node_block *next;
    size_t size, used;
};

/* Where births go when there is no memory for a node: nothing is found here. */
static struct rft_way no_ways[RFT_WAYS_IN_BUCKET];
static struct rft_node nowhere = {.ways = no_ways};

static void *take(struct rft_thread *t, size_t size)
{
    size = (size + LINE - 1) & ~(size_t)(LINE - 1);
    struct rft_node_block *block = t->node_block;
    while (block == NULL || block->size - block->used < size) {
        struct rft_node_block *next = block != NULL ? block->next : t->node_blocks;
        if (next == NULL) {
            size_t pages = size + LINE > BLOCK ? size + LINE : BLOCK;
            next = rft_pages_alloc(pages);
            if (next == NULL) {
                rft_stop_for_memory("a thread's stacks");
                return NULL;
            }
            next->size = pages;
            *(block != NULL ? &block->next : &t->node_blocks) = next;
        }
        next->used = LINE;
        t->node_block = block = next;
    }
    void *taken = (char *)block + block->used;
    block->used += size;
    t->node_bytes += size;
    if (t->node_bytes > TREE_MAX && t->node_bytes / TREE_PER_FRAME > t->depth) {
        rft_thread_void(t);
    }
    return taken;
}

static struct rft_node *node_new(struct rft_thread *t, uint32_t id)
{
    enum { WAYS = FIRST_BUCKETS * RFT_WAYS_IN_BUCKET };
    struct rft_node *node = take(t, sizeof *node + WAYS * sizeof(struct rft_way));
    if (node == NULL) {
        return &nowhere;
    }
    *node = (struct rft_node){
        .ways = (struct rft_way *)(node + 1), .mask = FIRST_BUCKETS - 1, .id = id};
    memset(node->ways, 0, WAYS * sizeof(struct rft_way));
    return node;
}

/* The way's place, or the empty one where it belongs. */
static struct rft_way *probe(const struct rft_node *node, uintptr_t instr, const void *type)
{
    struct rft_way *way = rft_bucket(node->ways, node->mask, instr, type);
    struct rft_way *end = node->ways + ((size_t)node->mask + 1) * RFT_WAYS_IN_BUCKET;
    while (way->to != NULL && !rft_way_is(way, instr, type)) {
        way = way + 1 < end ? way + 1 : node->ways;
    }
    return way;
}

void *rft_way_find(const struct rft_node *node, uintptr_t instr, const void *type)
{
    return probe(node, instr, type)->to;
}

static bool grow(struct rft_thread *t, struct rft_node *node)
{
    uint32_t capacity = (node->mask + 1) * RFT_WAYS_IN_BUCKET;
    struct rft_way *ways = take(t, 2 * capacity * sizeof *ways);
    if (ways == NULL) {
        return false;
    }
    memset(ways, 0, 2 * capacity * sizeof *ways);
    struct rft_node bigger = {.ways = ways, .mask = node->mask * 2 + 1};
    for (uint32_t i = 0; i < capacity; i++) {
        const struct rft_way *way = &node->ways[i];
        if (way->to != NULL) {
            *probe(&bigger, way->instr, way->type) = *way;
        }
    }
    node->ways = ways;
    node->mask = bigger.mask;
    if (t->parent == node) {
        t->ways = node->ways;
        t->mask = node->mask;
    }
    return true;
}

void rft_way_add(struct rft_thread *t, struct rft_node *node, uintptr_t instr, void *type, void *to)
{
    if (node == &nowhere) {
        return;
    }
    /* Half empty at least; and while it is small, everything in its own bucket. */
    uint32_t capacity = (node->mask + 1) * RFT_WAYS_IN_BUCKET;
    const struct rft_way *home = rft_bucket(node->ways, node->mask, instr, type);
    bool crowded = home[0].to != NULL && home[1].to != NULL && capacity < 4 * node->count;
    if ((crowded || node->count * 2 > capacity) && !grow(t, node)) {
        return;
    }
    struct rft_way *way = probe(node, instr, type);
    node->count += way->to == NULL;
    *way = (struct rft_way){instr, type, to};
}

struct rft_node *rft_node_child(struct rft_thread *t, struct rft_node *parent, uintptr_t frame,
                                uintptr_t instr)
{
    struct rft_node *child = rft_way_find(parent, instr, NULL);
    if (child == NULL) {
        child = node_new(t, rft_node_id(parent->id, frame, instr));
        if (child != &nowhere) {
            rft_way_add(t, parent, instr, NULL, child);
        }
    }
    return child;
}

void rft_nodes_reset(struct rft_thread *t)
{
    for (uint32_t i = 0; i < t->depth; i++) {
        t->chain[i].node = NULL;
    }
    t->node_block = NULL;
    t->node_bytes = 0;
    t->root = node_new(t, 0);
    t->parent = t->root;
    t->ways = t->root->ways;
    t->mask = t->root->mask;
}

void rft_nodes_free(struct rft_thread *t)
{
    for (struct rft_node_block *block = t->node_blocks, *next; block != NULL; block = next) {
        next = block->next;
        rft_pages_free(block, block->size);
    }
    t->node_blocks = t->node_block = NULL;
}

/* A thread's own tree of the stacks that it has allocated in.
 *
 * A birth needs its site from where it happens: the node of the calling frames,
 * the instruction in the innermost one, the object's type. So each node has a
 * small hash table of *ways* on from it: (instruction, type) leads to a site,
 * (instruction, NULL) to the node of what was called there.
 *
 * It is a cache of tables that all threads share (codes.c, sites.c), by address
 * of code and types: when an address may have been used again, all of it is
 * dropped. Memory is handed out in the order of first use, so that a program
 * that comes the same way again reads it in order; tables hashed over all stacks
 * would miss the processor's caches at each step of a recursion. */
#ifndef RFT_NODES_H
#define RFT_NODES_H

#include "tracer/tracer.h"

/* Two ways to a bucket, the usual case of a look-up without a loop; what found its
 * bucket full is in one of the next ones. */
enum { RFT_WAYS_IN_BUCKET = 2 };

/* Instructions of a function are a few code units of 2 bytes apart; static types
 * are 13 * 32 bytes long. */
static inline struct rft_way *rft_bucket(struct rft_way *ways, uint32_t mask, uintptr_t instr,
                                         const void *type)
{
    uint32_t hash = (uint32_t)(instr >> 1) ^ (uint32_t)((uintptr_t)type >> 5);
    return &ways[(size_t)(hash & mask) * RFT_WAYS_IN_BUCKET];
}

static inline bool rft_way_is(const struct rft_way *way, uintptr_t instr, const void *type)
{
    return (((uintptr_t)way->type ^ (uintptr_t)type) | (way->instr ^ instr)) == 0;
}

/* Where the way leads, or NULL. Looks everywhere. */
void *rft_way_find(const struct rft_node *node, uintptr_t instr, const void *type);
/* Without memory the way is not kept: it is found by the slow look-up again. */
void rft_way_add(struct rft_thread *t, struct rft_node *node, uintptr_t instr, void *type,
                 void *to);

/* The node of the frame that was called at an instruction. Never NULL. */
struct rft_node *rft_node_child(struct rft_thread *t, struct rft_node *parent, uintptr_t frame,
                                uintptr_t instr);

/* Forgets all nodes. The thread's chain is then without nodes. */
void rft_nodes_reset(struct rft_thread *t);
void rft_nodes_free(struct rft_thread *t);

#endif

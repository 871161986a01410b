/* The live map: for each address that holds an object, its cohort and stamp.
 *
 * One 4-byte slot for every 16 bytes of heap: objects are at least 16 bytes
 * long, so two never share a slot, whatever their alignment. Three levels by
 * address bits: 47..32, 31..20, 19..4. Nothing is locked: tables are put in
 * place with a compare-and-swap, a slot is one word, and a birth and the death
 * of the same object are ordered by CPython itself. */
#ifndef RFT_LIVE_MAP_H
#define RFT_LIVE_MAP_H

#include "tracer/tracer.h"

enum { RFT_LEAF_SLOTS = 1 << 16, RFT_MID_TABLES = 1 << 12, RFT_ROOT_TABLES = 1 << 15 };
typedef _Atomic uint32_t *rft_leaf;

/* The leaf for an address, or NULL when there is none (make: when there is no
 * memory, or the address has more than 47 bits). */
rft_leaf rft_live_map_leaf(uintptr_t address, bool make);

/* Visits every leaf: its first address and its slots. */
void rft_live_map_each(void (*visit)(uintptr_t base, rft_leaf leaf, void *arg), void *arg);
void rft_live_map_clear(void);
size_t rft_live_map_leaves(void);

static inline _Atomic uint32_t *rft_live_map_slot(struct rft_thread *t, uintptr_t address,
                                                  bool make)
{
    uintptr_t region = (address >> 20) + 1;
    struct rft_leaf_entry *entry = &t->leaves[region % RFT_LEAF_CACHE];
    if (__builtin_expect(entry->region != region, 0)) {
        rft_leaf leaf = rft_live_map_leaf(address, make);
        if (leaf == NULL) {
            return NULL;
        }
        entry->region = region;
        entry->leaf = leaf;
    }
    return &entry->leaf[(address >> 4) % RFT_LEAF_SLOTS];
}

#endif

/* A hash index: finds the numbers of items that live in an array elsewhere.
 *
 *     uint32_t at = 0, item;
 *     while ((item = rft_index_probe(&index, hash, &at)) != RFT_INDEX_END)
 *         if (items[item] is the wanted one)
 *             return item;
 *     rft_index_add(&index, hash, new_item);
 */
#ifndef RFT_BASE_INDEX_H
#define RFT_BASE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RFT_INDEX_END UINT32_MAX

struct rft_index_slot {
    uint32_t item; /* RFT_INDEX_END: free */
    uint32_t hash; /* low half: places the item, and tells items apart without a look at them */
};

/* All zero is an empty index. */
struct rft_index {
    struct rft_index_slot *slots;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t count;
};

/* The next item whose hash is `hash`, or RFT_INDEX_END. *at must be 0 at the
 * first call and is the state of the search. */
uint32_t rft_index_probe(const struct rft_index *index, uint64_t hash, uint32_t *at);

/* Add an item (below RFT_INDEX_END); false without memory. */
bool rft_index_add(struct rft_index *index, uint64_t hash, uint32_t item);

void rft_index_deinit(struct rft_index *index);

uint64_t rft_hash_bytes(const void *bytes, size_t size);

/* Mix one more number into a hash. */
static inline uint64_t rft_hash_mix(uint64_t hash, uint64_t value)
{
    /* Two rounds of the multiply-and-fold of a 128-bit product: every bit of
     * `value` reaches every bit of the result. */
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)(hash ^ 0x9e3779b97f4a7c15u) * (value ^ 0xd1b54a32d192ed03u);
    hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    product = (u128)(hash ^ value) * 0xa0761d6478bd642fu;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif

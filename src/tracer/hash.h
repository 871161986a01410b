/* An open-addressing hash table from nonzero 64-bit keys to 64-bit values, in
 * pages of its own. Behind tracer.lock. */
#ifndef RFT_HASH_H
#define RFT_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "tracer/pool.h"

struct rft_hash {
    uint64_t (*slots)[2];
    size_t capacity, count;
};

static inline uint64_t rft_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xD6E8FEB86659FD93);
    x ^= x >> 32;
    x *= UINT64_C(0xD6E8FEB86659FD93);
    return x ^ x >> 32;
}

/* The value's place, or NULL. */
uint64_t *rft_hash_get(struct rft_hash *hash, uint64_t key);
/* The value's place, 0 if it is new; NULL without memory. */
uint64_t *rft_hash_put(struct rft_hash *hash, uint64_t key);
void rft_hash_clear(struct rft_hash *hash);

#endif

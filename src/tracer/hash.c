#include "tracer/hash.h"

static uint64_t *probe(const struct rft_hash *hash, uint64_t key)
{
    size_t mask = hash->capacity - 1;
    for (size_t i = rft_mix(key) & mask;; i = (i + 1) & mask) {
        if (hash->slots[i][0] == key || hash->slots[i][0] == 0) {
            return hash->slots[i];
        }
    }
}

uint64_t *rft_hash_get(struct rft_hash *hash, uint64_t key)
{
    if (hash->capacity == 0) {
        return NULL;
    }
    uint64_t *slot = probe(hash, key);
    return slot[0] == key ? &slot[1] : NULL;
}

static int grow(struct rft_hash *hash)
{
    struct rft_hash bigger = {.capacity = hash->capacity ? hash->capacity * 2 : 1024};
    bigger.slots = rft_pages_alloc(bigger.capacity * sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return 0;
    }
    for (size_t i = 0; i < hash->capacity; i++) {
        /* Keys whose value went back to 0 were forgotten: leave them behind. */
        if (hash->slots[i][0] != 0 && hash->slots[i][1] != 0) {
            uint64_t *slot = probe(&bigger, hash->slots[i][0]);
            slot[0] = hash->slots[i][0];
            slot[1] = hash->slots[i][1];
            bigger.count++;
        }
    }
    rft_hash_clear(hash);
    *hash = bigger;
    return 1;
}

uint64_t *rft_hash_put(struct rft_hash *hash, uint64_t key)
{
    if (hash->count * 4 >= hash->capacity * 3 && !grow(hash)) {
        return NULL;
    }
    uint64_t *slot = probe(hash, key);
    if (slot[0] == 0) {
        slot[0] = key;
        hash->count++;
    }
    return &slot[1];
}

void rft_hash_clear(struct rft_hash *hash)
{
    rft_pages_free(hash->slots, hash->capacity * sizeof *hash->slots);
    *hash = (struct rft_hash){0};
}

#include "base/index.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

uint32_t rft_index_probe(const struct rft_index *index, uint64_t hash, uint32_t *at)
{
    if (!index->capacity)
        return RFT_INDEX_END;
    uint32_t mask = index->capacity - 1;
    for (;;) {
        const struct rft_index_slot *slot = &index->slots[((uint32_t)hash + *at) & mask];
        if (slot->item == RFT_INDEX_END)
            return RFT_INDEX_END;
        (*at)++;
        if (slot->hash == (uint32_t)hash)
            return slot->item;
    }
}

static void place(const struct rft_index *index, struct rft_index_slot slot)
{
    uint32_t mask = index->capacity - 1;
    uint32_t at = slot.hash & mask;
    while (index->slots[at].item != RFT_INDEX_END)
        at = (at + 1) & mask;
    index->slots[at] = slot;
}

static bool grow(struct rft_index *index)
{
    struct rft_index grown = {.count = index->count};
    grown.capacity = index->capacity ? index->capacity * 2 : FIRST_CAPACITY;
    if (!grown.capacity)
        return false;
    grown.slots = malloc((size_t)grown.capacity * sizeof(*grown.slots));
    if (!grown.slots)
        return false;
    memset(grown.slots, 0xff, (size_t)grown.capacity * sizeof(*grown.slots));
    for (uint32_t i = 0; i < index->capacity; i++) {
        if (index->slots[i].item != RFT_INDEX_END)
            place(&grown, index->slots[i]);
    }
    free(index->slots);
    *index = grown;
    return true;
}

bool rft_index_add(struct rft_index *index, uint64_t hash, uint32_t item)
{
    /* A quarter of the slots stays free: a search ends at a free one. */
    if (index->count >= index->capacity - index->capacity / 4 && !grow(index))
        return false;
    place(index, (struct rft_index_slot){item, (uint32_t)hash});
    index->count++;
    return true;
}

void rft_index_deinit(struct rft_index *index)
{
    free(index->slots);
    *index = (struct rft_index){0};
}

uint64_t rft_hash_bytes(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t hash = size;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = rft_hash_mix(hash, word);
    }
    uint64_t rest = 0;
    if (size)
        memcpy(&rest, at, size);
    return rft_hash_mix(hash, rest);
}

#include "tracer/live_map.h"

#include <sys/mman.h>

typedef rft_leaf _Atomic *mid_table;
static mid_table _Atomic root[RFT_ROOT_TABLES];
static _Atomic size_t leaf_count;

enum { POPULATE_FROM = 32 }; /* leaves, of 1 MiB of heap each */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Leaves lie side by side, far from the heap: between its arenas they would make the
 * heap lie scattered, and a part of each leaf useless. The address is a wish; where
 * the kernel cannot grant it, it takes any other. */
static void *leaf_alloc(size_t size)
{
    static _Atomic uintptr_t wish = UINT64_C(1) << 45;
    void *at = (void *)atomic_fetch_add_explicit(&wish, size, memory_order_relaxed);
    void *leaf =
        mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return leaf == MAP_FAILED ? NULL : leaf;
}

/* Puts a table into its place unless another thread was faster. */
static void *install(void *_Atomic *place, size_t size, _Atomic size_t *count)
{
    void *fresh = count != NULL ? leaf_alloc(size) : rft_pages_alloc(size);
    /* A heap that has grown this large uses the whole of each further piece, and
     * the kernel makes 64 pages at once faster than one by one. */
    if (fresh != NULL && count != NULL &&
        atomic_load_explicit(count, memory_order_relaxed) >= POPULATE_FROM) {
        madvise(fresh, size, MADV_POPULATE_WRITE); /* where the kernel knows it (5.14+) */
    }
    if (fresh == NULL) {
        return NULL;
    }
    void *expected = NULL;
    /* release: pairs with the acquire loads below, so that a table's zeros are
     * seen before its address. */
    if (!atomic_compare_exchange_strong_explicit(place, &expected, fresh, memory_order_release,
                                                 memory_order_acquire)) {
        rft_pages_free(fresh, size);
        return expected;
    }
    if (count != NULL) {
        atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    }
    return fresh;
}

rft_leaf rft_live_map_leaf(uintptr_t address, bool make)
{
    if (address >> 47 != 0) {
        return NULL;
    }
    mid_table _Atomic *root_place = &root[address >> 32];
    mid_table mid = atomic_load_explicit(root_place, memory_order_acquire);
    if (mid == NULL) {
        if (!make || (mid = install((void *_Atomic *)root_place, RFT_MID_TABLES * sizeof(rft_leaf),
                                    NULL)) == NULL) {
            return NULL;
        }
    }
    rft_leaf _Atomic *mid_place = &mid[(address >> 20) % RFT_MID_TABLES];
    rft_leaf leaf = atomic_load_explicit(mid_place, memory_order_acquire);
    if (leaf == NULL && make) {
        leaf = install((void *_Atomic *)mid_place, RFT_LEAF_SLOTS * sizeof(uint32_t), &leaf_count);
    }
    return leaf;
}

void rft_live_map_each(void (*visit)(uintptr_t base, rft_leaf leaf, void *arg), void *arg)
{
    for (uintptr_t r = 0; r < RFT_ROOT_TABLES; r++) {
        mid_table mid = atomic_load_explicit(&root[r], memory_order_acquire);
        for (uintptr_t m = 0; mid != NULL && m < RFT_MID_TABLES; m++) {
            rft_leaf leaf = atomic_load_explicit(&mid[m], memory_order_acquire);
            if (leaf != NULL) {
                visit(r << 32 | m << 20, leaf, arg);
            }
        }
    }
}

/* Only while no other thread can see events: in a forked child. */
void rft_live_map_clear(void)
{
    for (uintptr_t r = 0; r < RFT_ROOT_TABLES; r++) {
        mid_table mid = atomic_load_explicit(&root[r], memory_order_relaxed);
        if (mid == NULL) {
            continue;
        }
        for (uintptr_t m = 0; m < RFT_MID_TABLES; m++) {
            rft_leaf leaf = atomic_load_explicit(&mid[m], memory_order_relaxed);
            if (leaf != NULL) {
                rft_pages_free((void *)leaf, RFT_LEAF_SLOTS * sizeof(uint32_t));
            }
        }
        rft_pages_free((void *)mid, RFT_MID_TABLES * sizeof(rft_leaf));
        atomic_store_explicit(&root[r], NULL, memory_order_relaxed);
    }
    atomic_store_explicit(&leaf_count, 0, memory_order_relaxed);
}

size_t rft_live_map_leaves(void)
{
    return atomic_load_explicit(&leaf_count, memory_order_relaxed);
}

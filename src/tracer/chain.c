/* The current thread's stack, kept from one birth to the next.
 *
 * chain[0..depth-1] are the frames of the last birth, outermost first, without
 * shim frames. Most births happen in the frame of the last one, or a few calls
 * away from it; the rest of the stack need not be looked at again, if it is
 * certain that it has not changed. Two ways to be certain:
 *
 * Frame tags (GIL release builds of 3.14.5+ and 3.15). _PyInterpreterFrame has
 * a byte `visited` behind `owner`, set to 0 whenever a frame is made
 * (_PyFrame_Initialize, _PyFrame_PushTrampolineUnchecked, _PyFrame_Copy) and
 * otherwise used by the collector of free-threaded builds only. A frame in
 * which we find our mark is the one that we marked; since it has not been left,
 * none of its callers has moved. A birth costs the frames entered since the
 * last one, whatever the depth. Generators' frames wander from caller to caller
 * and are never marked.
 *
 * Elsewhere (3.13, debug and free-threaded builds) the cached callers are
 * compared with the real ones, frame and instruction, down to CHECK_DEPTH
 * callers; every CHECK_ALL births all of them. Only a change deeper than
 * CHECK_DEPTH calls, with the same frames, functions and instructions above it
 * and no birth in between, can go unseen, and for fewer than CHECK_ALL births. */
#include "tracer/chain.h"
#include "tracer/nodes.h"

#include <string.h>

enum { CHECK_DEPTH = 64, CHECK_ALL = 64 };

static void *frame_at(uintptr_t frame, uint32_t offset)
{
    return (void *)(frame + offset);
}

static uintptr_t word_of(uintptr_t frame, enum rft_field field)
{
    return *(uintptr_t *)frame_at(frame, tracer.layout.at[field]);
}

static unsigned owner_of(uintptr_t frame)
{
    return *(unsigned char *)frame_at(frame, tracer.layout.at[RFT_FRAME_OWNER]);
}

static uintptr_t previous_of(uintptr_t frame)
{
    return word_of(frame, RFT_FRAME_PREVIOUS);
}

/* Shim frames (owner 3 and 4) stand for a call from C and have no code. */
static uintptr_t skip_shims(uintptr_t frame)
{
    while (frame != 0 && owner_of(frame) >= RFT_OWNER_SHIM) {
        frame = previous_of(frame);
    }
    return frame;
}

static bool grow(struct rft_thread *t)
{
    uint32_t capacity = t->capacity ? t->capacity * 2 : 256;
    struct rft_chain_entry *chain = rft_pages_alloc(capacity * sizeof *chain);
    if (chain == NULL) {
        return false;
    }
    if (t->chain != NULL) {
        memcpy(chain, t->chain, t->depth * sizeof *chain);
        rft_pages_free(t->chain, t->capacity * sizeof *chain);
    }
    t->chain = chain;
    t->capacity = capacity;
    return true;
}

static uint32_t *position_of(struct rft_thread *t, uintptr_t frame)
{
    return &t->positions[((frame >> 3) * UINT64_C(0x9E3779B97F4A7C15)) >> 54];
}

/* Index of a frame in the chain, or -1. */
static int64_t find(struct rft_thread *t, uintptr_t frame)
{
    if (tracer.frame_tags) {
        /* What lies above it in the chain has been left since: each entry is
         * passed over once. */
        for (uint32_t i = t->depth; i-- > 0;) {
            if (t->chain[i].frame == frame) {
                return i;
            }
        }
        return -1;
    }
    uint32_t i = *position_of(t, frame);
    return i < t->depth && t->chain[i].frame == frame ? (int64_t)i : -1;
}

/* Without frame tags: are the callers of chain[index] what the cache says? */
static bool callers_unchanged(struct rft_thread *t, int64_t index)
{
    int64_t stop = index - CHECK_DEPTH;
    if (++t->unchecked >= CHECK_ALL || stop < 0) {
        t->unchecked = 0;
        stop = 0;
    }
    for (int64_t i = index; i > stop; i--) {
        uintptr_t caller = previous_of(t->chain[i].frame);
        if (caller != t->chain[i - 1].frame) {
            caller = skip_shims(caller);
            if (caller != t->chain[i - 1].frame) {
                return false;
            }
        }
        if (word_of(caller, RFT_FRAME_INSTR) != t->chain[i - 1].instr) {
            return false;
        }
    }
    return stop > 0 || skip_shims(previous_of(t->chain[0].frame)) == 0;
}

static bool is_anchor(struct rft_thread *t, uintptr_t frame, int64_t *index)
{
    if (tracer.frame_tags && !rft_frame_is_tagged(frame)) {
        return false;
    }
    *index = find(t, frame);
    return *index >= 0 && (tracer.frame_tags || callers_unchanged(t, *index));
}

static __attribute__((noinline)) struct rft_node *node_at(struct rft_thread *t, uint32_t index)
{
    /* Entries without a node form a run at the top: fill it from below. */
    uint32_t first = index;
    while (first > 0 && t->chain[first - 1].node == NULL) {
        first--;
    }
    struct rft_node *node = first > 0 ? t->chain[first - 1].node : t->root;
    for (uint32_t i = first; i <= index; i++) {
        struct rft_chain_entry *entry = &t->chain[i];
        if (entry->node == NULL) {
            entry->node = rft_node_child(t, node, entry->frame, entry->instr);
        }
        node = entry->node;
    }
    return node;
}

static inline void point_at(struct rft_thread *t, struct rft_node *parent, uintptr_t top)
{
    t->top = top;
    t->parent = parent;
    t->ways = parent->ways;
    t->mask = parent->mask;
}

void rft_chain_set_parent(struct rft_thread *t)
{
    struct rft_node *parent = t->root;
    if (t->depth > 1) {
        parent = t->chain[t->depth - 2].node;
        if (parent == NULL) {
            parent = node_at(t, t->depth - 2);
        }
    }
    point_at(t, parent, t->depth > 0 ? t->chain[t->depth - 1].frame : 0);
}

/* The usual cases, with frame tags: the caller of the last birth's frame has
 * called another function (or resumed a generator again), that frame has called
 * one, or has returned. */
static bool resolve_near(struct rft_thread *t, uintptr_t frame)
{
    uint32_t depth = t->depth;
    if (frame == 0 || depth < 2 || owner_of(frame) > RFT_OWNER_GENERATOR) {
        return false;
    }
    struct rft_chain_entry *chain = t->chain;
    if (rft_frame_is_tagged(frame)) {
        if (chain[depth - 2].frame != frame) {
            return false;
        }
        t->depth = depth - 1;
        rft_chain_set_parent(t);
        return true;
    }
    uintptr_t caller = previous_of(frame);
    if (caller == 0 || !rft_frame_is_tagged(caller)) {
        return false;
    }
    uint32_t at = depth - 1;
    if (caller == chain[depth - 1].frame && depth < t->capacity) {
        at = depth;
    } else if (caller != chain[depth - 2].frame) {
        return false;
    }
    uintptr_t instr = word_of(caller, RFT_FRAME_INSTR);
    if (chain[at - 1].instr != instr) {
        chain[at - 1].instr = instr;
        chain[at - 1].node = NULL;
    }
    chain[at] = (struct rft_chain_entry){.frame = frame};
    t->depth = at + 1;
    rft_frame_tag(frame);
    struct rft_node *parent = chain[at - 1].node;
    if (parent == NULL && at > 1 && chain[at - 2].node != NULL) {
        const struct rft_node *grand = chain[at - 2].node;
        const struct rft_way *way = rft_bucket(grand->ways, grand->mask, instr, NULL);
        way += !rft_way_is(way, instr, NULL);
        if (rft_way_is(way, instr, NULL)) {
            chain[at - 1].node = parent = way->to;
        }
    }
    if (parent == NULL) {
        parent = node_at(t, at - 1);
    }
    point_at(t, parent, frame);
    return true;
}

void rft_chain_resolve(struct rft_thread *t, uintptr_t frame)
{
    if (tracer.frame_tags && resolve_near(t, frame)) {
        return;
    }
    /* 1. How many frames are new, down to one that is certain? */
    uint32_t fresh = 0;
    int64_t anchor = -1;
    for (uintptr_t f = skip_shims(frame); f != 0; f = skip_shims(previous_of(f))) {
        if (is_anchor(t, f, &anchor)) {
            break;
        }
        anchor = -1;
        if (fresh == tracer.depth_max) {
            rft_loss(
                RFT_LOSS_TRUNCATED_STACK, t->now, 0, 1,
                "a stack was deeper than the tracer follows; its outermost frames are missing");
            break;
        }
        fresh++;
    }
    uint32_t depth = (uint32_t)(anchor + 1) + fresh;
    while (t->capacity < depth) {
        if (!grow(t)) {
            rft_stop_for_memory("a thread's stack");
            t->depth = 0;
            rft_chain_set_parent(t);
            return;
        }
    }
    /* 2. The certain one may have gone on to another call since. */
    if (anchor >= 0) {
        struct rft_chain_entry *entry = &t->chain[anchor];
        uintptr_t instr = word_of(entry->frame, RFT_FRAME_INSTR);
        if (entry->instr != instr) {
            entry->instr = instr;
            entry->node = NULL;
        }
    }
    /* 3. The new ones, from the innermost down. */
    t->depth = depth;
    uint32_t index = depth;
    for (uintptr_t f = skip_shims(frame); index-- > (uint32_t)(anchor + 1);
         f = skip_shims(previous_of(f))) {
        struct rft_chain_entry *entry = &t->chain[index];
        entry->frame = f;
        entry->instr = word_of(f, RFT_FRAME_INSTR);
        entry->node = NULL;
        if (tracer.frame_tags) {
            rft_frame_tag(f);
        } else {
            *position_of(t, f) = index;
        }
    }
    rft_chain_set_parent(t);
}

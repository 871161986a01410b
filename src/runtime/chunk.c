/* A thread's data stack: the chunks that its frames lie in (_PyStackChunk, 3.11+). */
#include <stdlib.h>

#include "runtime/look.h"

static bool plan_chunk(struct rft_look *look, struct rft_look_thread *thread, size_t k,
                       rft_address address, size_t size)
{
    while (thread->chunks.count <= k) {
        struct rft_look_chunk none = {0};
        if (!rft_vec_push_one(&thread->chunks, none)) {
            return false;
        }
    }
    struct rft_look_chunk *chunk = &thread->chunks.items[k];
    if (size > chunk->room) {
        size_t room = (size + 1023) & ~(size_t)1023;
        if (look->bytes + 2 * (room - chunk->room) > RFT_LOOK_BYTES_MAX) {
            return false;
        }
        unsigned char *bytes = malloc(2 * room);
        if (!bytes) {
            return false;
        }
        free(chunk->bytes[0]);
        look->bytes += 2 * (room - chunk->room);
        chunk->bytes[0] = bytes;
        chunk->bytes[1] = bytes + room;
        chunk->room = room;
        chunk->read = false;
        chunk->other = 0;
    }
    if (chunk->address != address) {
        chunk->read = false;
        chunk->other = 0;
    } else if (chunk->read && chunk->size < size) {
        /* The bytes behind were not read; `other` is told of it by the next turn_over(). */
        chunk->read = false;
    }
    chunk->address = address;
    chunk->size = size;
    return true;
}

/* A thread whose chunks are followed. */
struct cursor {
    struct rft_look_thread *thread;
    rft_address address;               /* of the next chunk; 0: there is none */
    uint64_t head[RFT_CHUNK_HEAD / 8]; /* previous, size, top */
    size_t chunks;
};

static bool take_chunk(struct rft_runtime *runtime, struct cursor *cursor)
{
    const unsigned char *state = rft_state_of(cursor->thread);
    rft_address top = rft_word(state, rft_at(runtime, RFT_THREAD_DATASTACK_TOP));
    /* Of the innermost chunk what is in use and a little more, for the next look; of the
     * others what was in use when the next was begun. */
    uint64_t used =
        cursor->chunks == 0 ? top - cursor->address + 512 : RFT_CHUNK_HEAD + cursor->head[2] * 8;
    used = (used + 511) & ~(uint64_t)511;
    if (cursor->head[1] < used) {
        used = cursor->head[1];
    }
    return used >= RFT_CHUNK_HEAD && used <= RFT_CHUNK_BYTES_MAX &&
           plan_chunk(runtime->look, cursor->thread, cursor->chunks, cursor->address, (size_t)used);
}

/* Goes one chunk further in all stacks; how many there are that go on. */
static bool step(struct rft_runtime *runtime, struct cursor *cursors, size_t count, size_t *on)
{
    struct rft_look *look = runtime->look;
    *on = 0;
    look->reads.count = 0;
    for (size_t i = 0; i < count; i++) {
        struct rft_read read = {.address = cursors[i].address,
                                .buffer = cursors[i].head,
                                .size = sizeof cursors[i].head};
        if (cursors[i].address && !rft_vec_push(&look->reads, read)) {
            return false;
        }
    }
    rft_space_read_many(runtime->space, look->reads.items, look->reads.count);
    const struct rft_read *read = look->reads.items;
    for (size_t i = 0; i < count; i++) {
        if (!cursors[i].address) {
            continue;
        }
        bool taken = (read++)->done && take_chunk(runtime, &cursors[i]);
        cursors[i].chunks += taken;
        cursors[i].address = taken && cursors[i].chunks < RFT_CHUNKS_MAX ? cursors[i].head[0] : 0;
        *on += cursors[i].address != 0;
    }
    return true;
}

bool rft_look_plan_stacks(struct rft_runtime *runtime, struct rft_look_thread *const *threads,
                          size_t count)
{
    struct rft_look *look = runtime->look;
    bool datastack =
        rft_has(runtime, RFT_THREAD_DATASTACK) && rft_has(runtime, RFT_THREAD_DATASTACK_TOP);
    for (size_t i = 0; i < count; i++) {
        threads[i]->cframe =
            rft_has(runtime, RFT_THREAD_CFRAME)
                ? rft_word(rft_state_of(threads[i]), rft_at(runtime, RFT_THREAD_CFRAME))
                : 0;
    }
    if (!datastack || count == 0) {
        return true;
    }
    struct cursor *cursors = calloc(count, sizeof *cursors);
    bool ok = cursors != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        cursors[i].thread = threads[i];
        cursors[i].address =
            rft_word(rft_state_of(threads[i]), rft_at(runtime, RFT_THREAD_DATASTACK));
    }
    for (size_t on = count; ok && on;) {
        ok = step(runtime, cursors, count, &on);
    }
    for (size_t i = 0; ok && i < count; i++) {
        /* What is left over from a deeper stack. */
        struct rft_look_thread *thread = threads[i];
        while (thread->chunks.count > cursors[i].chunks) {
            struct rft_look_chunk *chunk = &thread->chunks.items[--thread->chunks.count];
            look->bytes -= 2 * chunk->room;
            free(chunk->bytes[0]);
        }
    }
    free(cursors);
    return ok;
}

/* Everything that can be equal is kept once, and found again by its content. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "analyze/store.h"
#include "base/text.h"

/* --- text --------------------------------------------------------------------------- */

/* Equal texts have equal addresses: the indexes below compare addresses only. */
static const char *once(struct rft_model_store *store, const char *text, size_t length)
{
    uint64_t hash = rft_hash_bytes(text, length);
    uint32_t at = 0, item;
    while ((item = rft_index_probe(&store->text_index, hash, &at)) != RFT_INDEX_END) {
        const struct rft_text *known = &store->texts.items[item];
        if (known->hash == hash && known->length == length && !memcmp(known->text, text, length))
            return known->text;
    }
    const char *copy = rft_arena_copy(&store->arena, text, length);
    if (!copy || store->texts.count >= RFT_NONE ||
        !rft_vec_push(&store->texts, ((struct rft_text){copy, length, hash})) ||
        !rft_index_add(&store->text_index, hash, (uint32_t)store->texts.count - 1))
        return NULL;
    return copy;
}

const char *rft_store_text(struct rft_model_store *store, struct rft_string string)
{
    rft_strbuf_clear(&store->scratch);
    rft_text_clean(&store->scratch, string.bytes, string.length);
    if (store->scratch.failed)
        return NULL;
    return once(store, rft_strbuf_text(&store->scratch), store->scratch.length);
}

const char *rft_store_format(struct rft_model_store *store, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = length < 0 ? NULL : rft_arena_alloc(&store->arena, (size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

/* --- the rest ------------------------------------------------------------------------ */

static uint64_t hash_address(uint64_t hash, const void *address)
{
    return rft_hash_mix(hash, (uint64_t)(uintptr_t)address);
}

/* Looks in `table` for an item for which `equal` (an expression in `known`) holds,
 * and adds `added` if there is none; the item's number goes to `number`. */
#define FIND_OR_ADD(table, index, hash, known_type, equal, added, number)                          \
    do {                                                                                           \
        uint32_t at = 0;                                                                           \
        while (((number) = rft_index_probe(index, hash, &at)) != RFT_INDEX_END) {                  \
            const known_type *known = &(table)->items[number];                                     \
            if (equal)                                                                             \
                break;                                                                             \
        }                                                                                          \
        if ((number) == RFT_INDEX_END && (table)->count < RFT_NONE &&                              \
            rft_vec_push(table, added)) {                                                          \
            if (rft_index_add(index, hash, (uint32_t)(table)->count - 1))                          \
                (number) = (uint32_t)(table)->count - 1;                                           \
            else                                                                                   \
                (table)->count--;                                                                  \
        }                                                                                          \
    } while (0)

uint32_t rft_store_frame(struct rft_model_store *store, struct rft_frame frame)
{
    uint64_t hash = hash_address(hash_address(frame.line, frame.file), frame.function);
    uint32_t number;
    frame.origin = rft_origin_of(frame.file);
    FIND_OR_ADD(&store->frames, &store->frame_index, hash, struct rft_frame,
                known->line == frame.line && known->file == frame.file &&
                    known->function == frame.function,
                frame, number);
    return number;
}

uint32_t rft_store_stack(struct rft_model_store *store, uint32_t parent, uint32_t frame)
{
    uint64_t hash = rft_hash_mix(parent, frame);
    struct rft_stack_node node = {parent, frame, store->stacks.items[parent].depth + 1};
    uint32_t number;
    FIND_OR_ADD(&store->stacks, &store->stack_index, hash, struct rft_stack_node,
                known->parent == parent && known->frame == frame, node, number);
    return number;
}

uint32_t rft_store_type(struct rft_model_store *store, struct rft_type type)
{
    uint64_t hash = hash_address(0, type.name);
    uint32_t number;
    FIND_OR_ADD(&store->types, &store->type_index, hash, struct rft_type, known->name == type.name,
                type, number);
    return number;
}

uint32_t rft_store_thread(struct rft_model_store *store, struct rft_thread thread)
{
    uint64_t hash = hash_address(0, thread.name);
    uint32_t number;
    FIND_OR_ADD(&store->threads, &store->thread_index, hash, struct rft_thread,
                known->name == thread.name, thread, number);
    return number;
}

uint32_t rft_store_interpreter(struct rft_model_store *store, struct rft_interpreter interpreter)
{
    uint64_t hash = rft_hash_mix(0, interpreter.number);
    uint32_t number;
    FIND_OR_ADD(&store->interpreters, &store->interpreter_index, hash, struct rft_interpreter,
                known->number == interpreter.number, interpreter, number);
    return number;
}

uint32_t rft_store_site(struct rft_model_store *store, uint32_t stack, uint32_t type,
                        uint32_t thread, uint32_t interpreter)
{
    uint64_t hash =
        rft_hash_mix((uint64_t)stack << 32 | type, (uint64_t)thread << 32 | interpreter);
    struct rft_site site = {
        .stack = stack,
        .type = type,
        .thread = thread,
        .interpreter = interpreter,
        .growing = RFT_NONE,
        .held = RFT_NONE,
    };
    uint32_t number;
    FIND_OR_ADD(&store->sites, &store->site_index, hash, struct rft_site,
                known->stack == stack && known->type == type && known->thread == thread &&
                    known->interpreter == interpreter,
                site, number);
    if (number != RFT_NONE && number == store->last_parts.count &&
        !rft_vec_push(&store->last_parts, RFT_NONE))
        return RFT_NONE;
    return number;
}

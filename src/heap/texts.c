#include "heap/heap.h"

#include <string.h>

static uint32_t hash_of(const char *text, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u ^ length; /* FNV-1a */
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

const char *rft_text_of(const struct rft_graph *graph, uint32_t id, size_t *length)
{
    const struct rft_texts *texts = &graph->texts;
    if (id == 0 || id > texts->count) {
        *length = 0;
        return "";
    }
    *length = texts->starts[id] - texts->starts[id - 1];
    return texts->bytes + texts->starts[id - 1];
}

static void insert(struct rft_texts *texts, uint32_t hash, uint32_t id)
{
    uint32_t at = hash & texts->mask;
    while (texts->table[at] != 0) {
        at = (at + 1) & texts->mask;
    }
    texts->table[at] = id;
}

/* Starts, table and bytes for one more. */
static bool make_room(struct rft_graph *graph, size_t length)
{
    struct rft_texts *texts = &graph->texts;
    struct rft_heap_memory *memory = &graph->memory;
    if (texts->count + 2 > texts->capacity) {
        uint32_t capacity = texts->capacity != 0 ? texts->capacity * 2 : 1024;
        uint32_t *table = rft_heap_alloc(memory, (size_t)capacity * 2 * sizeof *table);
        if (table == NULL) {
            return false;
        }
        uint32_t *starts = rft_heap_grow(memory, texts->starts, texts->capacity * sizeof *starts,
                                         capacity * sizeof *starts);
        if (starts == NULL) {
            rft_heap_free(memory, table, (size_t)capacity * 2 * sizeof *table);
            return false;
        }
        texts->starts = starts;
        rft_heap_free(memory, texts->table, (size_t)texts->capacity * 2 * sizeof *table);
        texts->table = table;
        texts->capacity = capacity;
        texts->mask = capacity * 2 - 1;
        for (uint32_t id = 1; id <= texts->count; id++) {
            size_t size;
            const char *text = rft_text_of(graph, id, &size);
            insert(texts, hash_of(text, size), id);
        }
    }
    if (texts->bytes_used + length > texts->bytes_capacity) {
        size_t capacity = texts->bytes_capacity != 0 ? texts->bytes_capacity : 32768;
        while (capacity < texts->bytes_used + length) {
            capacity *= 2;
        }
        char *bytes = capacity < UINT32_MAX
                          ? rft_heap_grow(memory, texts->bytes, texts->bytes_capacity, capacity)
                          : NULL;
        if (bytes == NULL) {
            return false;
        }
        texts->bytes = bytes;
        texts->bytes_capacity = capacity;
    }
    return true;
}

uint32_t rft_text_id(struct rft_graph *graph, const char *text, size_t length)
{
    struct rft_texts *texts = &graph->texts;
    if (length == 0) {
        return 0;
    }
    uint32_t hash = hash_of(text, length);
    for (uint32_t at = hash & texts->mask; texts->table != NULL && texts->table[at] != 0;
         at = (at + 1) & texts->mask) {
        size_t size;
        const char *known = rft_text_of(graph, texts->table[at], &size);
        if (size == length && memcmp(known, text, length) == 0) {
            return texts->table[at];
        }
    }
    if (!make_room(graph, length)) {
        return 0;
    }
    memcpy(texts->bytes + texts->bytes_used, text, length);
    texts->bytes_used += length;
    uint32_t id = ++texts->count;
    texts->starts[id] = (uint32_t)texts->bytes_used;
    insert(texts, hash, id);
    return id;
}

void rft_texts_deinit(struct rft_graph *graph)
{
    struct rft_texts *texts = &graph->texts;
    rft_heap_free(&graph->memory, texts->starts, texts->capacity * sizeof *texts->starts);
    rft_heap_free(&graph->memory, texts->table, (size_t)texts->capacity * 2 * sizeof *texts->table);
    rft_heap_free(&graph->memory, texts->bytes, texts->bytes_capacity);
    *texts = (struct rft_texts){0};
}

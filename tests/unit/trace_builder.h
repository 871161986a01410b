/* Builds small traces in memory, for the tests of the reader and the analyses. */
#ifndef TRACE_BUILDER_H
#define TRACE_BUILDER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analyze/model.h"
#include "base/crc32c.h"
#include "base/varint.h"
#include "trace/format.h"

struct bytes {
    unsigned char *at;
    size_t size, capacity;
};

struct builder {
    struct bytes file;
    uint32_t sequence;
    uint64_t births, deaths;
};

static inline void put_raw(struct bytes *to, const void *from, size_t size)
{
    if (to->size + size > to->capacity) {
        to->capacity = (to->size + size) * 2;
        to->at = realloc(to->at, to->capacity);
        if (!to->at)
            abort();
    }
    if (size)
        memcpy(to->at + to->size, from, size);
    to->size += size;
}

static inline void put(struct bytes *to, uint64_t number)
{
    unsigned char encoded[RFT_VARINT_MAX];
    put_raw(to, encoded, rft_varint_put(encoded, number));
}

static inline void put_text(struct bytes *to, const char *text)
{
    put(to, strlen(text));
    put_raw(to, text, strlen(text));
}

static inline void put_le(struct bytes *to, uint64_t number, unsigned width)
{
    for (unsigned i = 0; i < width; i++) {
        unsigned char byte = (unsigned char)(number >> 8 * i);
        put_raw(to, &byte, 1);
    }
}

static inline void add_chunk(struct builder *builder, unsigned type, struct bytes *payload)
{
    struct bytes header = {0};
    put_le(&header, RFT_CHUNK_MARK, 4);
    put_le(&header, type, 4);
    put_le(&header, payload->size, 4);
    put_le(&header, builder->sequence++, 4);
    uint32_t crc = rft_crc32c(0, header.at, 16);
    put_le(&header, rft_crc32c(crc, payload->at, payload->size), 4);
    put_raw(&builder->file, header.at, header.size);
    put_raw(&builder->file, payload->at, payload->size);
    free(header.at);
    free(payload->at);
    *payload = (struct bytes){0};
}

static inline void add_file_header(struct builder *builder, unsigned version, unsigned minimum,
                                   uint64_t features)
{
    put_raw(&builder->file, RFT_MAGIC, RFT_MAGIC_SIZE);
    put_le(&builder->file, version, 2);
    put_le(&builder->file, minimum, 2);
    put_le(&builder->file, RFT_FILE_HEADER_SIZE, 4);
    put_le(&builder->file, features, 8);
    put_le(&builder->file, 4711, 4);
    put_le(&builder->file, rft_crc32c(0, builder->file.at, 28), 4);
}

static inline void add_program(struct builder *builder, uint32_t python_version)
{
    struct bytes p = {0};
    put(&p, python_version);
    put(&p, 0);
    put(&p, 4711);
    put(&p, 1);
    put(&p, UINT64_C(1700000000000000000));
    put(&p, 100);
    put_text(&p, "3.14.10 (main)");
    put_text(&p, "0.1.0");
    put_text(&p, "/usr/bin/python3");
    put_text(&p, "/srv");
    put(&p, 2);
    put_text(&p, "python3");
    put_text(&p, "my app.py");
    add_chunk(builder, RFT_CHUNK_PROGRAM, &p);
}

/* Strings 1 to 8; codes 1 serve (line 10), 2 handle (line 20), 3 other (line 30); types 1
 * shop.Order, 2 dict, 3 int; stacks 1 serve, 2 serve > handle, 3 serve > other; one thread,
 * one interpreter; sites 1 Order in handle, 2 dict in handle, 3 int in serve, 4 Order in other. */
static inline void add_definitions(struct builder *builder)
{
    static const char *const strings[] = {"/srv/shop.py", "serve", "handle", "other",
                                          "shop.Order",   "dict",  "int",    "MainThread"};
    static const unsigned codes[][3] = {{1, 2, 10}, {1, 3, 20}, {1, 4, 30}};
    static const unsigned types[][4] = {{5, 0, 48, 0}, {6, 3, 64, 0}, {7, 8, 24, 4}};
    static const unsigned stacks[][3] = {{0, 1, 0}, {1, 2, 0}, {1, 3, 0}};
    static const unsigned sites[][4] = {{2, 1, 1, 1}, {2, 2, 1, 1}, {1, 3, 1, 1}, {3, 1, 1, 1}};
    struct bytes p = {0};
    put(&p, 1);
    put(&p, 8);
    for (int i = 0; i < 8; i++)
        put_text(&p, strings[i]);
    add_chunk(builder, RFT_CHUNK_STRINGS, &p);
    put(&p, 1);
    put(&p, 3);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            put(&p, codes[i][k]);
        put(&p, 0);
    }
    add_chunk(builder, RFT_CHUNK_CODES, &p);
    put(&p, 1);
    put(&p, 3);
    for (int i = 0; i < 12; i++)
        put(&p, types[i / 4][i % 4]);
    add_chunk(builder, RFT_CHUNK_TYPES, &p);
    put(&p, 1);
    put(&p, 3);
    for (int i = 0; i < 9; i++)
        put(&p, stacks[i / 3][i % 3]);
    add_chunk(builder, RFT_CHUNK_STACKS, &p);
    put(&p, 1);
    put(&p, 1);
    put(&p, 4711);
    put(&p, 8);
    put(&p, 0);
    put(&p, 0);
    add_chunk(builder, RFT_CHUNK_THREADS, &p);
    put(&p, 1);
    put(&p, 1);
    put(&p, 0);
    put(&p, 0);
    put(&p, 0);
    add_chunk(builder, RFT_CHUNK_INTERPRETERS, &p);
    put(&p, 1);
    put(&p, 4);
    for (int i = 0; i < 16; i++)
        put(&p, sites[i / 4][i % 4]);
    add_chunk(builder, RFT_CHUNK_SITES, &p);
}

static inline void begin_trace(struct builder *builder, uint32_t python_version)
{
    *builder = (struct builder){0};
    add_file_header(builder, 1, 1, 0);
    add_program(builder, python_version);
    add_definitions(builder);
}

/* One tick; births[i] and deaths[i] (aged 2 to 4 ms, 50 bytes each) are of site i + 1. */
static inline void add_tick(struct builder *builder, uint64_t ms, const uint64_t *births,
                            const uint64_t *deaths, unsigned sites)
{
    struct bytes p = {0};
    unsigned count = 0, last = 0;
    for (unsigned i = 0; i < sites; i++)
        count += births[i] || deaths[i];
    put(&p, ms);
    put(&p, 0);
    put(&p, 0);
    put(&p, 0);
    put(&p, count);
    for (unsigned i = 0; i < sites; i++) {
        if (!births[i] && !deaths[i])
            continue;
        put(&p, i + 1 - last);
        last = i + 1;
        put(&p, (births[i] ? RFT_TICK_BIRTHS : 0u) |
                    (deaths[i] ? (unsigned)RFT_TICK_AGED | RFT_TICK_BYTES : 0u));
        if (births[i])
            put(&p, births[i]);
        if (deaths[i]) {
            put(&p, 1);
            put(&p, 3);
            put(&p, deaths[i]);
            put(&p, deaths[i] * 50);
        }
        builder->births += births[i];
        builder->deaths += deaths[i];
    }
    add_chunk(builder, RFT_CHUNK_TICK, &p);
}

/* A step of a path: kind, type, label and index + 1; roots have no detail. */
static inline void put_step(struct bytes *to, unsigned kind, unsigned type, unsigned label,
                            unsigned index)
{
    put_le(to, kind, 1);
    put(to, type);
    put(to, label);
    put(to, index);
    if (kind >= RFT_ROOT_MODULE)
        put(to, 0);
}

/* module serve -> attribute 'handle' of an Order -> item 17 of a dict. */
static inline void put_path(struct bytes *to)
{
    put(to, 3);
    put_step(to, RFT_ROOT_MODULE, 0, 2, 0);
    put_step(to, RFT_EDGE_ATTRIBUTE, 1, 3, 0);
    put_step(to, RFT_EDGE_ITEM, 2, 0, 18);
}

/* A look through the heap at `ms`, with all that it can find. */
static inline void add_heap(struct builder *builder, uint64_t ms)
{
    static const uint64_t heap[] = {RFT_HEAP_REQUEST,  1, 1000, 3000, 1 << 20,          5,
                                    RFT_HEAP_CUT_TIME, 7, 336,  12,   RFT_COLLECTOR_OWN};
    struct bytes p = {0};
    put(&p, ms);
    for (unsigned i = 0; i < sizeof heap / sizeof *heap; i++)
        put(&p, heap[i]);
    put_text(&p, "half");
    add_chunk(builder, RFT_CHUNK_HEAP, &p);

    /* Site 1: 100 objects, 2,400 bytes, 50 sampled, 3 garbage; 40 and 7 in two patterns. */
    static const uint64_t holders[] = {1, 1, 1, 100, 2400, 50, 3, 2};
    put(&p, ms);
    for (unsigned i = 0; i < sizeof holders / sizeof *holders; i++)
        put(&p, holders[i]);
    put(&p, 40);
    put_path(&p);
    put(&p, 7);
    put(&p, 1);
    put_step(&p, RFT_ROOT_C, 0, 0, 0);
    add_chunk(builder, RFT_CHUNK_HOLDERS, &p);

    /* Sites 1 and 3. */
    static const uint64_t refcounts[] = {1, 2, 1, 100, 3, 1, 2, 0, 90, 2, 8, 2, 5, 1, 0, 5};
    put(&p, ms);
    for (unsigned i = 0; i < sizeof refcounts / sizeof *refcounts; i++)
        put(&p, refcounts[i]);
    add_chunk(builder, RFT_CHUNK_REFCOUNTS, &p);

    static const uint64_t garbage[] = {1, 1, 1, 7, 336, 1, 1, 3, 7, 2};
    put(&p, ms);
    for (unsigned i = 0; i < sizeof garbage / sizeof *garbage; i++)
        put(&p, garbage[i]);
    put_step(&p, RFT_EDGE_ATTRIBUTE, 1, 3, 0);
    put_step(&p, RFT_EDGE_DICT_VALUE, 2, 4, 0);
    add_chunk(builder, RFT_CHUNK_GARBAGE, &p);

    static const uint64_t retainers[] = {1, 1, 1, 1, 48, 2400, 101};
    put(&p, ms);
    for (unsigned i = 0; i < sizeof retainers / sizeof *retainers; i++)
        put(&p, retainers[i]);
    put_path(&p);
    add_chunk(builder, RFT_CHUNK_RETAINERS, &p);
}

static inline void add_end(struct builder *builder, uint64_t ms)
{
    struct bytes p = {0};
    put(&p, RFT_END_EXIT);
    put(&p, ms);
    put(&p, builder->births);
    put(&p, builder->deaths);
    put(&p, builder->births - builder->deaths);
    add_chunk(builder, RFT_CHUNK_END, &p);
}

/* Writes bytes to a file that is made anew; `path` has room for 64 bytes. */
static inline void write_file(char *path, const void *bytes, size_t size)
{
    strcpy(path, "/tmp/reftracer-test-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        abort();
    close(fd);
}

/* The model of these bytes can be made, or a clear error is given: no crash, no leak. */
static inline void try_model(const void *bytes, size_t size)
{
    char path[64];
    write_file(path, bytes, size);
    struct rft_model *model;
    struct rft_error *error = rft_model_read((const char *[]){path}, 1, NULL, NULL, &model);
    unlink(path);
    if (error)
        rft_error_destroy(error);
    else
        rft_model_destroy(model);
}

#endif

/* The build id of an ELF object: whether a file is the one that is, or was, mapped. */
#ifndef RFT_SPACE_BUILD_ID_H
#define RFT_SPACE_BUILD_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rft_build_id {
    size_t size; /* 0: the object has none */
    unsigned char bytes[64];
};

/* Reads `size` bytes at `offset` of the object, whole or not at all. */
typedef bool rft_object_read(void *from, uint64_t offset, void *buffer, size_t size);

/* Of the object whose first bytes are `read` at offset 0: a file, or its image in memory, of
 * which the first segment, with the notes, is the same. False if its headers can't be read. */
bool rft_build_id_find(rft_object_read *read, void *from, struct rft_build_id *id);

/* An rft_object_read from a file; `from` points to its descriptor. */
bool rft_object_read_file(void *from, uint64_t offset, void *buffer, size_t size);

bool rft_build_id_equal(const struct rft_build_id *a, const struct rft_build_id *b);

#endif

/* The .rft file: constants shared by the writer (in the agent) and the reader.
 * docs/TRACE-FORMAT.md describes the whole format and gives the reasons.
 *
 * To add a chunk type: add it here, to docs/TRACE-FORMAT.md, to
 * src/trace/writer.c and to the table in src/trace/reader.c. A reader skips
 * chunk types that it does not know, so a new type needs no new version. */
#ifndef RFT_TRACE_FORMAT_H
#define RFT_TRACE_FORMAT_H

#include <reftracer/trace_values.h>

#include <stdint.h>

#define RFT_MAGIC "\x89RFT\r\n\x1a\n" /* 8 bytes, without the NUL */
#define RFT_MAGIC_SIZE 8

enum {
    RFT_FORMAT_VERSION = 1,    /* what the writer writes */
    RFT_FORMAT_MIN_READER = 1, /* the oldest reader version that understands it */
    RFT_FILE_HEADER_SIZE = 32,
    RFT_CHUNK_HEADER_SIZE = 20,
    RFT_CHUNK_MAX = 1 << 28, /* payload bytes; larger is damage */
};

/* File header, little endian:
 *   0  magic, 8 bytes
 *   8  u16 format version
 *  10  u16 oldest reader version that understands this file
 *  12  u32 header size (32)
 *  16  u64 feature bits (none defined; a reader refuses bits that it does not know in the low 32)
 *  24  u32 pid of the writer
 *  28  u32 CRC-32C of bytes 0..27
 *
 * Chunk header, little endian:
 *   0  u32 marker RFT_CHUNK_MARK
 *   4  u8  type, u8 0, u16 0
 *   8  u32 payload length
 *  12  u32 sequence number, from 0
 *  16  u32 CRC-32C of header bytes 0..15 and of the payload
 */
#define RFT_CHUNK_MARK 0x74667289u /* bytes 89 72 66 74 */

/* Chunk types. All integers in payloads are unsigned LEB128 varints ("v")
 * unless said otherwise; zigzag marks signed ones ("z"). Ids are given by the
 * order of appearance, from 1; 0 means "none". */
enum rft_chunk_type {
    RFT_CHUNK_PROGRAM = 1,
    RFT_CHUNK_STRINGS = 2,
    RFT_CHUNK_CODES = 3,
    RFT_CHUNK_TYPES = 4,
    RFT_CHUNK_STACKS = 5,
    RFT_CHUNK_THREADS = 6,
    RFT_CHUNK_INTERPRETERS = 7,
    RFT_CHUNK_SITES = 8,
    RFT_CHUNK_TICK = 9,
    RFT_CHUNK_CENSUS = 10,
    RFT_CHUNK_LOSS = 11,
    RFT_CHUNK_MARK_LABEL = 12,
    RFT_CHUNK_END = 13,
    RFT_CHUNK_HEAP = 14,      /* the heap was looked through; 15 to 18 tell what was found */
    RFT_CHUNK_HOLDERS = 15,   /* who keeps the objects of a site alive */
    RFT_CHUNK_REFCOUNTS = 16, /* refcounts against the references that were found */
    RFT_CHUNK_GARBAGE = 17,   /* what only the cycle collector can free */
    RFT_CHUNK_RETAINERS = 18, /* what would be freed with an object */
    RFT_CHUNK_NAMES = 19,     /* strings that only the interpreter's cache of look-ups holds */
};

/* Flags of one site's record in a tick. */
enum {
    RFT_TICK_BIRTHS = 1,
    RFT_TICK_AT_ONCE = 2,  /* deaths with age bucket 0 */
    RFT_TICK_AGED = 4,     /* pairs (bucket, deaths), bucket >= 1 */
    RFT_TICK_BYTES = 8,    /* bytes of the dead */
    RFT_TICK_REVIVED = 16, /* deaths to take back: pairs (bucket, objects), then their bytes */
};

/* The label of steps from a context to the values of its variables, of kind RFT_EDGE_DESCRIPTOR:
 * how contextvars keeps them is nothing that a program knows. */
#define RFT_LABEL_CONTEXT_TREE "its tree of variables"

enum {
    RFT_PATH_STEPS_MAX = 64, /* a longer path has an RFT_EDGE_LEFT_OUT in its middle */
    RFT_CYCLES_MAX = 32,     /* shapes of cycles in one GARBAGE chunk */
    RFT_RETAINERS_MAX = 100, /* objects in one RETAINERS chunk */
};

#endif

/* The .rft file: constants shared by the writer (in the agent) and the reader.
 * docs/TRACE-FORMAT.md describes the whole format and gives the reasons.
 *
 * To add a chunk type: add it here, to docs/TRACE-FORMAT.md, to
 * src/trace/writer.c and to the table in src/trace/reader.c. A reader skips
 * chunk types that it does not know, so a new type needs no new version. */
#ifndef RFT_TRACE_FORMAT_H
#define RFT_TRACE_FORMAT_H

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
};

/* Flags of one site's record in a tick. */
enum {
    RFT_TICK_BIRTHS = 1,
    RFT_TICK_AT_ONCE = 2,  /* deaths with age bucket 0 */
    RFT_TICK_AGED = 4,     /* pairs (bucket, deaths), bucket >= 1 */
    RFT_TICK_BYTES = 8,    /* bytes of the dead */
    RFT_TICK_REVIVED = 16, /* deaths to take back: pairs (bucket, objects), then their bytes */
};

/* Age buckets: 0 is "at once" (under 1 ms), k is [2^(k-1), 2^k) ms; the last
 * one is open. */
enum { RFT_AGE_BUCKETS = 32 };

/* How an object's bytes are computed; also tells a reader what a type is. */
enum rft_type_kind {
    RFT_KIND_FIXED = 0,   /* every instance has the same size */
    RFT_KIND_VARSIZE = 1, /* tp_itemsize * ob_size */
    RFT_KIND_LIST = 2,
    RFT_KIND_DICT = 3,
    RFT_KIND_SET = 4,
    RFT_KIND_STR = 5,
    RFT_KIND_BYTES = 6,
    RFT_KIND_BYTEARRAY = 7,
    RFT_KIND_INT = 8,
    RFT_KIND_TUPLE = 9,
    RFT_KIND_TYPE = 10,
    RFT_KIND_CODE = 11,
    RFT_KIND_INSTANCE = 12, /* of a class, with its attributes' values behind it */
};

enum rft_census_kind {
    RFT_CENSUS_EXIT = 1,            /* before the main interpreter's modules are torn down */
    RFT_CENSUS_INTERPRETER_END = 2, /* the same, for one sub-interpreter */
    RFT_CENSUS_OS_EXIT = 3,         /* in _exit() or exec, no finalizers run */
    RFT_CENSUS_REQUEST = 4,         /* asked for while the program runs */
};

/* Label of the mark before the collection that precedes the last census: what dies
 * after it is garbage that nobody had collected yet. */
#define RFT_MARK_COLLECTION "final gc.collect()"

enum rft_loss_kind {
    RFT_LOSS_SLOT_GAP = 1,        /* another tool held the tracer slot */
    RFT_LOSS_DROPPED = 2,         /* births that found no memory, or an address out of range */
    RFT_LOSS_STALE = 3,           /* objects that the census found gone without a death */
    RFT_LOSS_STOPPED = 4,         /* tracing stopped before the program ended */
    RFT_LOSS_TRUNCATED_STACK = 5, /* stacks cut at --depth */
    RFT_LOSS_LATE_CENSUS = 6,     /* the census could not be taken before module teardown */
};

enum rft_end_reason {
    RFT_END_EXIT = 1,    /* interpreter finalized normally */
    RFT_END_OS_EXIT = 2, /* os._exit / _exit */
    RFT_END_EXEC = 3,    /* the process image was replaced */
    RFT_END_STOPPED = 4, /* tracing was stopped; see the last LOSS chunk */
};

#endif

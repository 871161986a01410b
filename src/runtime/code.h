/* Code objects of the target, remembered by address: names and tables are read once and
 * found again at the next look, if the code object is still the same.
 *
 * Whether it is the same: interpreters of 3.14+ count the code objects that they destroyed;
 * as long as that number stands, no address has got another one. Otherwise the object's
 * head is read again and compared: its type and its version, a number that no two code
 * objects of an interpreter share (3.12+), or all its pointers and counts (before). */
#ifndef RFT_RUNTIME_CODE_H
#define RFT_RUNTIME_CODE_H

#include "base/index.h"
#include "runtime/runtime.h"

/* Bounds of what is kept: entries, and bytes of all their texts and tables. */
enum { RFT_CODES_MAX = 1 << 16, RFT_CODE_TABLE_MAX = 1 << 22, RFT_CODE_HEAD_MAX = 192 };
#define RFT_CODES_BYTES_MAX ((size_t)128 << 20)

struct rft_code {
    rft_address address;
    uint64_t look;       /* the last look in which it was checked */
    uint64_t generation; /* of the interpreter, when it was checked */
    uint64_t keeper;     /* the interpreter whose generation that is: its id + 1 */
    const char *name;    /* qualified, if this version has that */
    const char *file;
    const unsigned char *table; /* co_linetable, co_lnotab */
    uint32_t table_size;
    int32_t first_line;
    uint32_t flags;           /* co_flags */
    uint32_t first_traceable; /* bytes of set-up at the start of the bytecode (3.11+) */
    rft_address bytecode;     /* first instruction (3.11+) */
    void *block;              /* what the texts and the table lie in */
    uint64_t serial;          /* of what was read: another number, another code object */
    /* Free-threaded 3.14+: bytecode of some thread, by its index. */
    uint64_t tlbc_generation;
    rft_address tlbc[4];
    int32_t tlbc_index[4];
    unsigned char head[RFT_CODE_HEAD_MAX];
};

/* Place in the source of one instruction. */
struct rft_place {
    int line, column, end_line, end_column; /* as in struct rft_frame */
};

struct rft_place_slot {
    uint64_t serial; /* of the code object; 0: free */
    int64_t at;
    struct rft_place place;
};

enum { RFT_PLACES = 8192 };

struct rft_codes {
    struct rft_index index;
    RFT_VEC(struct rft_code *) all;
    RFT_VEC(void *) retired; /* blocks that the last snapshot may still point to */
    size_t bytes;
    uint64_t look;           /* number of the look that goes on */
    uint64_t serial;         /* the last that was given */
    uint32_t head, head_end; /* span of a code object that is compared */
    struct rft_place_slot places[RFT_PLACES];
};

struct rft_codes *rft_codes_create(const struct rft_runtime *runtime);
void rft_codes_destroy(struct rft_codes *codes);

/* Reads code objects that are not known yet, all with few system calls; those that can't be read
 * rft_code_get() tries again. */
void rft_codes_fetch(struct rft_runtime *runtime, const rft_address *addresses, size_t count);

/* Begin a snapshot: free what only the last one needed. */
void rft_codes_begin(struct rft_runtime *runtime);

/* Begin one of the looks of a snapshot: what was checked in those before may have gone since. */
void rft_codes_look(struct rft_runtime *runtime);

/* What identifies the interpreter's set of code objects at the moment; generation 0: not
 * counted in this version. */
struct rft_code_epoch {
    uint64_t interpreter; /* its id + 1: its address may be that of one before it */
    uint64_t generation;
    uint64_t tlbc_generation;
};

/* What was read of a code object outside of the batch. */
enum rft_code_read {
    RFT_CODE_KNOWN,   /* nothing */
    RFT_CODE_CHECKED, /* its head, which is still what it was: so it was that in between too */
    RFT_CODE_FRESH,   /* all: what it was when the batch was read is not known */
};

/* The code object at an address; NULL if there is none, or no memory. */
const struct rft_code *rft_code_get(struct rft_runtime *runtime, rft_address address,
                                    const struct rft_code_epoch *epoch, enum rft_code_read *read);

/* A head that was read again in the batch: same as before, or not any more. */
void rft_code_checked(struct rft_runtime *runtime, rft_address address, const unsigned char *head);

/* Start of the bytecode that a frame with this tlbc_index executes; 0: not readable. */
rft_address rft_code_bytecode(struct rft_runtime *runtime, const struct rft_code *code,
                              int32_t tlbc_index, const struct rft_code_epoch *epoch);

/* Line and columns of the instruction at `offset` bytes from the start of the bytecode;
 * below 0: before the first. */
const struct rft_place *rft_code_place(struct rft_runtime *runtime, const struct rft_code *code,
                                       int64_t offset);

/* The decoding itself, without remembering (position.c). */
struct rft_place rft_place_decode(const struct rft_runtime *runtime, const struct rft_code *code,
                                  int64_t offset);

#endif

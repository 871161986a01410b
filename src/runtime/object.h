/* Objects of the target: what type they are of, and what is in the plain ones.
 *
 * Everything here reads memory that may be anything: an address that was freed, a
 * length of 2^60, a type that is none. So each function says whether it could read
 * what it was asked for, takes no length on trust, and follows no chain without a
 * bound. Nothing of the target is executed. */
#ifndef RFT_RUNTIME_OBJECT_H
#define RFT_RUNTIME_OBJECT_H

#include "runtime/runtime.h"

/* More bits of tp_flags (Include/object.h). */
#define RFT_TPFLAGS_INLINE_VALUES (1ull << 2) /* 3.13+ */
#define RFT_TPFLAGS_MANAGED_DICT (1ull << 4)  /* 3.11+ */
#define RFT_TPFLAGS_HEAP_TYPE (1ull << 9)
#define RFT_TPFLAGS_READY (1ull << 12)

/* What an object holds, whatever subclass it is of. */
enum rft_object_kind {
    RFT_OBJECT_OTHER,
    RFT_OBJECT_NONE,
    RFT_OBJECT_BOOL,
    RFT_OBJECT_INT,
    RFT_OBJECT_FLOAT,
    RFT_OBJECT_STR,
    RFT_OBJECT_BYTES,
    RFT_OBJECT_LIST,
    RFT_OBJECT_TUPLE,
    RFT_OBJECT_DICT,
    RFT_OBJECT_SET,  /* set and frozenset */
    RFT_OBJECT_CELL, /* a variable that closures share */
};

/* A type object. */
struct rft_type {
    rft_address address;
    uint64_t flags;
    uint64_t basicsize;
    int64_t dictoffset;
    rft_address base;
    enum rft_object_kind kind;
    char name[128]; /* __name__, printable UTF-8, cut */
};

/* False if that is no type. */
bool rft_type_read(struct rft_runtime *runtime, rft_address address, struct rft_type *type);

/* Types are remembered within one look at the target: this is called at its beginning. */
void rft_types_forget(struct rft_runtime *runtime);

/* The type of an object. */
bool rft_object_type(struct rft_runtime *runtime, rft_address object, struct rft_type *type);

/* Text of a str: at most `max` code points into `points`, *count of them; *length is its real
 * length. Surrogates are given as they are; nothing above 0x10ffff. */
bool rft_str_points(struct rft_runtime *runtime, rft_address object, uint32_t *points, size_t max,
                    size_t *count, uint64_t *length);

/* Whether the object is a str that is equal to an ASCII text of at most 63 characters. */
bool rft_str_equals(struct rft_runtime *runtime, rft_address object, const char *text);

/* CPython's ints are made of digits of 30 bits, the lowest first (in 64-bit builds). */
enum { RFT_DIGIT_BITS = 30 };

/* One character as UTF-8 (surrogates too, for rft_text_clean() to escape): at most 4 bytes.
 * Returns how many. */
size_t rft_utf8_encode(uint32_t c, char *to);

/* Sign and number of digits. */
bool rft_int_head(struct rft_runtime *runtime, rft_address object, bool *negative,
                  uint64_t *digits);

/* An int that fits into 64 bits, as the bits of its two's complement. */
bool rft_int_value(struct rft_runtime *runtime, rft_address object, uint64_t *value);

/* The same for many at once, of at most 60 bits: in as few reads as possible. known[i]: whether
 * objects[i] is such an int. At most 128. */
void rft_int_values(struct rft_runtime *runtime, const rft_address *objects, size_t count,
                    uint64_t *values, bool *known);

/* Addresses of items first .. first + max - 1 of a tuple or list (as far as there are any),
 * *count of them; *length: of the whole. */
bool rft_sequence_items(struct rft_runtime *runtime, rft_address object, bool list, size_t first,
                        rft_address *items, size_t max, size_t *count, uint64_t *length);

/* A short text for a value: str quoted and cut after 60 characters, bytes alike, int (exact
 * up to 256 bits), float as repr, bool, None, "len N" of a container, "" for anything else.
 * `type` is the type of the object. False if the object's contents could not be read or make
 * no sense; `to` is then as it was. */
bool rft_object_value(struct rft_runtime *runtime, rft_address object, const struct rft_type *type,
                      struct rft_strbuf *to);

#endif

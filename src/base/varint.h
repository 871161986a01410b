/* Unsigned LEB128 varints and the zigzag form of signed ones, as traces have
 * them. No dependencies: the agent shares this with the reader. */
#ifndef RFT_BASE_VARINT_H
#define RFT_BASE_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RFT_VARINT_MAX = 10 }; /* bytes of the longest uint64_t */

/* Write `value` at `to`, which has room for RFT_VARINT_MAX bytes; returns how
 * many were used. */
static inline size_t rft_varint_put(unsigned char *to, uint64_t value)
{
    size_t n = 0;
    while (value >= 0x80) {
        to[n++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    to[n++] = (unsigned char)value;
    return n;
}

/* Read a varint at *at, which must end before `end`, and step over it. False if
 * it is cut off or does not fit 64 bits; *at is then not changed. */
static inline bool rft_varint_get(const unsigned char **at, const unsigned char *end, uint64_t *ret)
{
    const unsigned char *p = *at;
    if (p < end && *p < 0x80) {
        *ret = *p;
        *at = p + 1;
        return true;
    }
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
        uint64_t bits = *p & 0x7f;
        if (shift == 63 && bits > 1)
            return false;
        value |= bits << shift;
        if (*p++ < 0x80) {
            *ret = value;
            *at = p;
            return true;
        }
    }
    return false;
}

static inline uint64_t rft_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value < 0 ? -1 : 0);
}

static inline int64_t rft_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif

/* CRC-32C (Castagnoli), the checksum of trace chunks. No dependencies: the
 * agent shares it with the reader. */
#ifndef RFT_BASE_CRC32C_H
#define RFT_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `size` bytes. Start with seed 0; the result of one call is the
 * seed of the next, so that crc(crc(0, a), b) equals crc(0, ab). */
uint32_t rft_crc32c(uint32_t seed, const void *bytes, size_t size);

#endif

#include "base/crc32c.h"

#include <string.h>

/* One nibble at a time: 64 bytes of table instead of 1 KiB or more in every
 * traced process. Only machines without the CPU's instruction get here. */
static const uint32_t nibbles[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t crc_portable(uint32_t crc, const unsigned char *at, size_t size)
{
    for (; size; size--, at++) {
        crc ^= *at;
        crc = (crc >> 4) ^ nibbles[crc & 15];
        crc = (crc >> 4) ^ nibbles[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)

#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_instruction(uint32_t crc,
                                                                  const unsigned char *at,
                                                                  size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size; size--, at++)
        crc = _mm_crc32_u8(crc, *at);
    return crc;
}

static int has_instruction(void)
{
    /* The agent may compute a checksum before constructors have run. */
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2");
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>

static uint32_t crc_instruction(uint32_t crc, const unsigned char *at, size_t size)
{
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = __crc32cd(crc, word);
    }
    for (; size; size--, at++)
        crc = __crc32cb(crc, *at);
    return crc;
}

static int has_instruction(void)
{
    return 1;
}

#else

static uint32_t crc_instruction(uint32_t crc, const unsigned char *at, size_t size)
{
    return crc_portable(crc, at, size);
}

static int has_instruction(void)
{
    return 0;
}

#endif

uint32_t rft_crc32c(uint32_t seed, const void *bytes, size_t size)
{
    uint32_t crc = ~seed;
    if (has_instruction())
        return ~crc_instruction(crc, bytes, size);
    return ~crc_portable(crc, bytes, size);
}

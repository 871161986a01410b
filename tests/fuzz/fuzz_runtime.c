/* The walkers over a CPython made of bytes that the input spoils: first byte the version, then
 * patches of 11 bytes: place, size, value. Small values are taken as places in the image, so
 * that rings and crossed pointers are found soon. */
#include <stdlib.h>

#include "../unit/fake_cpython.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

static struct fake fake;

static void spoil(const unsigned char *bytes, size_t size)
{
    for (; size >= 11; bytes += 11, size -= 11) {
        size_t at = (size_t)(bytes[0] | bytes[1] << 8) % (FAKE_SIZE - 8);
        uint64_t value;
        memcpy(&value, bytes + 3, 8);
        if (bytes[2] & 64)
            value = FAKE_BASE + value % FAKE_SIZE;
        if (bytes[2] & 128)
            at &= ~(size_t)7;
        memcpy(fake.bytes + at, &value, (bytes[2] & 7) + 1u);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size)
{
    if (size < 1)
        return 0;
    fake_cpython(&fake, bytes[0] & 1 ? 15 : 12);
    size_t length =
        bytes[0] & 2 && size > 3 ? (size_t)(bytes[1] | bytes[2] << 8) % FAKE_SIZE : FAKE_SIZE;
    spoil(bytes + 1, size - 1);
    struct rft_segment segment = {FAKE_BASE, fake.bytes, length};
    struct rft_space *space;
    struct rft_runtime *runtime;
    if (rft_space_create_fake(&segment, 1, FAKE_RUNTIME, &space))
        abort();
    struct rft_error *error = rft_runtime_create(space, &runtime);
    if (!error) {
        const struct rft_snapshot *snapshot;
        for (unsigned flags = 0; flags < 2 && !error; flags++)
            error = rft_snapshot_take(
                runtime, flags ? RFT_SNAPSHOT_LOCALS | RFT_SNAPSHOT_TASKS : RFT_SNAPSHOT_NO_OS,
                &snapshot);
        rft_runtime_destroy(runtime);
    }
    rft_error_destroy(error);
    rft_space_destroy(space);
    return 0;
}

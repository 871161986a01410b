/* In the place of native_core.c, native_symbol.c and native_unwind.c, in a build without
 * libdw: there are no C frames. */
#include "runtime/native_core.h"
#include "runtime/native_unwind.h"

struct rft_error *rft_unwinder_create(struct rft_runtime *runtime, struct rft_unwinder **unwinder)
{
    (void)runtime, (void)unwinder;
    return rft_error_format(RFT_ERROR_UNSUPPORTED,
                            "this reftracer was built without libdw; install libelf and libdw "
                            "with their headers (libdw-dev, elfutils-devel) and build it again");
}

/* No unwinder is ever made, so that nothing below is called with one. */
void rft_unwinder_destroy(struct rft_unwinder *unwinder)
{
    (void)unwinder;
}

bool rft_unwinder_is_current(struct rft_unwinder *unwinder)
{
    return unwinder != NULL;
}

const char *rft_unwinder_unwind(struct rft_unwinder *unwinder, const struct rft_capture *capture,
                                const struct rft_native_frame **frames, size_t *count)
{
    (void)unwinder, (void)capture, (void)frames;
    *count = 0;
    return "built without libdw";
}

const struct rft_symbol *rft_unwinder_symbol(struct rft_unwinder *unwinder,
                                             const struct rft_native_frame *frame)
{
    static const struct rft_symbol unknown = {.function = "", .file = "", .column = -1};
    (void)unwinder, (void)frame;
    return &unknown;
}

struct rft_error *rft_core_registers_read(int fd, struct rft_core_registers **registers)
{
    (void)fd;
    *registers = NULL;
    return NULL;
}

void rft_core_registers_destroy(struct rft_core_registers *registers)
{
    (void)registers;
}

size_t rft_core_registers_of(const struct rft_core_registers *registers, int thread,
                             uint64_t words[RFT_GREGS_MAX])
{
    (void)registers, (void)thread, (void)words;
    return 0;
}

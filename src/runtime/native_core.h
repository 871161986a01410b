/* Registers of the threads in a core file. */
#ifndef RFT_RUNTIME_NATIVE_CORE_H
#define RFT_RUNTIME_NATIVE_CORE_H

#include "runtime/native_capture.h"

struct rft_core_registers;

/* fd: of the core, decompressed; borrowed for the call. */
struct rft_error *rft_core_registers_read(int fd, struct rft_core_registers **registers);
void rft_core_registers_destroy(struct rft_core_registers *registers);

/* The general registers of a thread, by its native id as the process saw it: how many words,
 * 0 if the core has none. */
size_t rft_core_registers_of(const struct rft_core_registers *registers, int thread,
                             uint64_t words[RFT_GREGS_MAX]);

#endif

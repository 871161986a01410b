/* Which CPython a runtime without a table of offsets is (3.8 to 3.12), and how it was built. */
#ifndef RFT_RUNTIME_VERSION_H
#define RFT_RUNTIME_VERSION_H

#include "runtime/runtime.h"

/* The value of sys.hexversion of an interpreter, as the layout of `runtime` finds it: 0 if
 * nothing that makes sense is there, which is how a wrong layout shows. */
uint32_t rft_sys_hexversion(struct rft_runtime *runtime, rft_address interpreter);

/* True if sys.abiflags contains `flag`. */
bool rft_sys_abiflag(struct rft_runtime *runtime, rft_address interpreter, char flag);

/* Accepts a _PyRuntime at runtime->address with the layout in `runtime`: its lists are what
 * they must be. *main: the main interpreter, 0 before Py_Initialize. */
bool rft_runtime_plausible(struct rft_runtime *runtime, rft_address *main);

#endif

/* C frames out of a copy of registers and stack. */
#ifndef RFT_RUNTIME_NATIVE_UNWIND_H
#define RFT_RUNTIME_NATIVE_UNWIND_H

#include "runtime/native_capture.h"

enum { RFT_NATIVE_FRAMES_MAX = 32768 };

struct rft_native_frame {
    rft_address instruction;
    rft_address stack_pointer; /* 0: not known */
    bool exact;                /* the instruction is the next one, not one behind a call */
};

struct rft_unwinder;

/* Opens the files of all objects that are mapped now. */
struct rft_error *rft_unwinder_create(struct rft_runtime *runtime, struct rft_unwinder **unwinder);
void rft_unwinder_destroy(struct rft_unwinder *unwinder);

/* Whether the objects that are mapped are still those that were opened. */
bool rft_unwinder_is_current(struct rft_unwinder *unwinder);

/* Frames, innermost first: *frames lives until the next call. Returns a text if the stack goes
 * on where unwinding had to end, NULL if it was unwound to its end. */
const char *rft_unwinder_unwind(struct rft_unwinder *unwinder, const struct rft_capture *capture,
                                const struct rft_native_frame **frames, size_t *count);

/* What an instruction is of. */
struct rft_symbol {
    const char *function; /* "": not known */
    const char *file;     /* source file, or else the object's, or "" */
    int line, column;     /* 0, -1: not known */
    bool in_object;       /* it lies in a file that is mapped, not in generated code */
};

/* Symbols live as long as the unwinder. source: look for file and line as well. */
const struct rft_symbol *rft_unwinder_symbol(struct rft_unwinder *unwinder,
                                             const struct rft_native_frame *frame);

#endif

/* What is copied of a thread while it stands still. */
#ifndef RFT_RUNTIME_NATIVE_CAPTURE_H
#define RFT_RUNTIME_NATIVE_CAPTURE_H

#include "runtime/runtime.h"

/* A Python frame. */
struct rft_captured_frame {
    rft_address address;
    unsigned char bytes[RFT_FRAME_BYTES];
};

/* Python frames that one call of CPython's evaluation function runs. */
struct rft_captured_run {
    size_t first, count; /* of the frames, innermost first */
    /* Something that lies in the C stack frame of that call: its shim frame (3.12+) or its
     * _PyCFrame (3.11). 0: not known. */
    rft_address within;
};

/* x86-64's elf_gregset_t has 27 words, aarch64's 34. */
enum { RFT_GREGS_MAX = 34 };

struct rft_capture {
    uint64_t registers[RFT_GREGS_MAX];
    size_t register_count; /* 0: none */
    rft_address stack;     /* where the copy of the C stack begins: at the stack pointer */
    unsigned char *bytes;
    size_t size, room;
    RFT_VEC(struct rft_captured_frame) frames; /* innermost first, without shims */
    RFT_VEC(struct rft_captured_run) runs;     /* innermost first */
    bool frames_cut;                           /* there are more, or the chain broke */
};

/* Stack pointer and instruction in the registers; false if they are of an unknown machine. */
bool rft_capture_position(const struct rft_capture *capture, rft_address *stack_pointer,
                          rft_address *instruction);

/* Copies the C stack from the stack pointer on, up to `end`. */
void rft_capture_stack(struct rft_runtime *runtime, struct rft_capture *capture, rft_address end);

/* Copies the heads of the thread's Python frames. */
void rft_capture_frames(struct rft_runtime *runtime, struct rft_capture *capture,
                        rft_address thread);

void rft_capture_deinit(struct rft_capture *capture);

#endif

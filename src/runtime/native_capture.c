#include "runtime/native_capture.h"

#include <stdlib.h>

enum {
    X86_64_WORDS = 27,
    X86_64_RIP = 16, /* struct user_regs_struct (sys/user.h) */
    X86_64_RSP = 19,
    AARCH64_WORDS = 34,
    AARCH64_SP = 31,
    AARCH64_PC = 32,
    OWNED_BY_C = 3, /* FRAME_OWNED_BY_CSTACK 3.12, 3.13; _INTERPRETER 3.14+: a shim */
};

/* A default stack is 8 MiB; pieces of this size are copied until one is not there. */
#define STACK_MAX ((size_t)8 << 20)
#define STACK_PIECE ((size_t)256 << 10)

bool rft_capture_position(const struct rft_capture *capture, rft_address *stack_pointer,
                          rft_address *instruction)
{
    switch (capture->register_count) {
    case X86_64_WORDS:
        *stack_pointer = capture->registers[X86_64_RSP];
        *instruction = capture->registers[X86_64_RIP];
        return true;
    case AARCH64_WORDS:
        *stack_pointer = capture->registers[AARCH64_SP];
        *instruction = capture->registers[AARCH64_PC];
        return true;
    default:
        return false;
    }
}

void rft_capture_stack(struct rft_runtime *runtime, struct rft_capture *capture, rft_address end)
{
    rft_address instruction;
    capture->size = 0;
    if (!rft_capture_position(capture, &capture->stack, &instruction) || end <= capture->stack)
        return;
    size_t wanted = end - capture->stack < STACK_MAX ? (size_t)(end - capture->stack) : STACK_MAX;
    if (capture->room < wanted) {
        free(capture->bytes);
        capture->bytes = malloc(wanted);
        capture->room = capture->bytes ? wanted : 0;
    }
    if (!capture->bytes)
        return;
    if (rft_space_try(runtime->space, capture->stack, capture->bytes, wanted)) {
        capture->size = wanted;
        return;
    }
    while (capture->size < wanted) {
        size_t piece = wanted - capture->size < STACK_PIECE ? wanted - capture->size : STACK_PIECE;
        if (!rft_space_try(runtime->space, capture->stack + capture->size,
                           capture->bytes + capture->size, piece))
            return;
        capture->size += piece;
    }
}

/* The frame that runs, and up to 3.12 the chain of _PyCFrame. */
static bool first_frame(struct rft_runtime *runtime, rft_address thread, rft_address *frame,
                        rft_address *cframe)
{
    *cframe = 0;
    if (rft_has(runtime, RFT_THREAD_FRAME))
        return rft_read_field(runtime, thread, RFT_THREAD_FRAME, frame);
    return rft_read_field(runtime, thread, RFT_THREAD_CFRAME, cframe) &&
           rft_read_field(runtime, *cframe, RFT_CFRAME_FRAME, frame);
}

/* Ends a run of frames, if it has any. */
static void end_run(struct rft_capture *capture, size_t first, rft_address within)
{
    if (capture->frames.count == first)
        return;
    struct rft_captured_run run = {
        .first = first, .count = capture->frames.count - first, .within = within};
    if (!rft_vec_push(&capture->runs, run))
        capture->frames_cut = true;
}

void rft_capture_frames(struct rft_runtime *runtime, struct rft_capture *capture,
                        rft_address thread)
{
    rft_address frame = 0, cframe = 0;
    size_t size = rft_frame_bytes(runtime), first = 0;
    uint32_t owner_at = rft_at(runtime, RFT_FRAME_OWNER);
    capture->frames.count = capture->runs.count = 0;
    capture->frames_cut = !first_frame(runtime, thread, &frame, &cframe);
    for (size_t i = 0; frame && !capture->frames_cut; i++) {
        struct rft_captured_frame copy = {.address = frame};
        if (i >= RFT_FRAMES_MAX || size > sizeof copy.bytes || frame % 8 ||
            !rft_space_try(runtime->space, frame, copy.bytes, size)) {
            capture->frames_cut = true;
            break;
        }
        unsigned char owner = runtime->minor >= 12 ? copy.bytes[owner_at] : 0;
        if (owner >= OWNED_BY_C) {
            end_run(capture, first, frame);
            first = capture->frames.count;
        } else if (!rft_vec_push(&capture->frames, copy)) {
            capture->frames_cut = true;
        }
        if (runtime->minor <= 10) {
            end_run(capture, first, 0);
            first = capture->frames.count;
        } else if (runtime->minor == 11 && copy.bytes[owner_at - 1]) { /* is_entry */
            end_run(capture, first, cframe);
            first = capture->frames.count;
            /* _PyCFrame: use_tracing, current_frame, previous. */
            if (!rft_read_word(runtime, cframe + rft_at(runtime, RFT_CFRAME_FRAME) + 8, &cframe))
                cframe = 0;
        }
        frame = rft_word(copy.bytes, rft_at(runtime, RFT_FRAME_PREVIOUS));
    }
    end_run(capture, first, 0);
}

void rft_capture_deinit(struct rft_capture *capture)
{
    free(capture->bytes);
    rft_vec_free(&capture->frames);
    rft_vec_free(&capture->runs);
}

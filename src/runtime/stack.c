/* The frames of a thread, out of the bytes that a look has copied, and whether these
 * belong to one moment.
 *
 * A frame outside of the copy is read by itself, shown, and put into the plan, so that the
 * next look has it in its batch. */
#include <stdlib.h>

#include "runtime/code.h"
#include "runtime/look.h"

/* Owners of a frame (Include/internal/pycore_interpframe_structs.h, pycore_frame.h before):
 * 0 thread, 1 generator, 2 frame object; from 3 on shims between C and Python: 3 C stack in
 * 3.12 and 3.13; in 3.14 3 interpreter and 4 C stack. */
enum { OWNED_BY_GENERATOR = 1, OWNED_BY_INTERPRETER = 3, OWNER_LAST = 4 };

/* Steps from frame to frame, shims and frames that are being set up included. */
enum { STEPS_MAX = 4 * RFT_FRAMES_MAX };

/* --- finding a frame's bytes ---------------------------------------------------- */

struct view {
    const unsigned char *first, *again; /* `again` NULL: was not read twice */
    size_t size;                        /* bytes that both have */
};

struct walk {
    struct rft_runtime *runtime;
    struct rft_look_thread *thread;
    size_t chunk;                       /* where the last frame was */
    size_t cursor;                      /* in the planned frames */
    RFT_VEC(struct rft_look_frame) out; /* frames outside of chunks, met now */
    bool changed;                       /* they are not those of the plan */
    bool no_memory;
};

static bool in_chunks(struct walk *walk, rft_address address, size_t need, struct view *view)
{
    const struct rft_look_thread *thread = walk->thread;
    for (size_t tried = 0; tried < thread->chunks.count; tried++) {
        size_t k = walk->chunk + tried;
        k = k >= thread->chunks.count ? k - thread->chunks.count : k;
        const struct rft_look_chunk *chunk = &thread->chunks.items[k];
        if (chunk->read && address >= chunk->address + RFT_CHUNK_HEAD &&
            address - chunk->address <= chunk->size &&
            chunk->size - (address - chunk->address) >= need) {
            size_t at = (size_t)(address - chunk->address);
            view->first = chunk->bytes[chunk->now] + at;
            view->again = chunk->other >= at + need ? chunk->bytes[!chunk->now] + at : NULL;
            view->size = chunk->size - at;
            walk->chunk = k;
            return true;
        }
    }
    return false;
}

static bool find_frame(struct walk *walk, rft_address address, struct view *view)
{
    struct rft_look *look = walk->runtime->look;
    struct rft_look_thread *thread = walk->thread;
    if (in_chunks(walk, address, look->frame_bytes, view)) {
        return true;
    }
    if (address >= thread->address && address - thread->address <= look->thread_bytes &&
        look->thread_bytes - (address - thread->address) >= look->frame_bytes) {
        size_t at = (size_t)(address - thread->address);
        const unsigned char *again =
            thread->once ? thread->state[!thread->now] : rft_latest_state(thread);
        *view = (struct view){rft_state_of(thread) + at, again + at, look->frame_bytes};
        return true;
    }
    /* In the order of the plan; a few are skipped that have gone since. */
    for (size_t k = walk->cursor; k < thread->frames.count && k < walk->cursor + 16; k++) {
        struct rft_look_frame *frame = &thread->frames.items[k];
        if (frame->address == address && frame->read) {
            walk->changed |= k != walk->cursor;
            walk->cursor = k + 1;
            if (!rft_vec_push_one(&walk->out, *frame)) {
                walk->no_memory = true;
                return false;
            }
            struct rft_look_frame *kept = &walk->out.items[walk->out.count - 1];
            *view = (struct view){kept->bytes[kept->now],
                                  kept->other ? kept->bytes[!kept->now] : NULL, look->frame_bytes};
            return true;
        }
    }
    walk->changed = true;
    struct rft_look_frame fresh = {.address = address};
    fresh.read = rft_space_try(walk->runtime->space, address, fresh.bytes[0], look->frame_bytes);
    if (!fresh.read) {
        return false;
    }
    if (!rft_vec_push_one(&walk->out, fresh)) {
        walk->no_memory = true;
        return false;
    }
    struct rft_look_frame *kept = &walk->out.items[walk->out.count - 1];
    *view = (struct view){kept->bytes[0], NULL, look->frame_bytes};
    return true;
}

/* --- one frame ------------------------------------------------------------------- */

size_t rft_frame_bytes(const struct rft_runtime *runtime)
{
    static const enum rft_field fields[] = {
        RFT_FRAME_PREVIOUS, RFT_FRAME_EXECUTABLE, RFT_FRAME_INSTR,
        RFT_FRAME_OWNER,    RFT_FRAME_FUNCTION,   RFT_FRAME_STACKPOINTER,
        RFT_FRAME_TLBC,     RFT_FRAME_LASTI,      RFT_FRAME_TRACE,
    };
    size_t end = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (rft_has(runtime, fields[i]) && rft_at(runtime, fields[i]) + 8u > end) {
            end = rft_at(runtime, fields[i]) + 8u;
        }
    }
    return end;
}

static unsigned owner_of(const struct rft_runtime *runtime, const unsigned char *bytes)
{
    return rft_has(runtime, RFT_FRAME_OWNER) ? bytes[rft_at(runtime, RFT_FRAME_OWNER)] : 0;
}

/* Objects in a frame are tagged in their two lowest bits since 3.14. */
static rft_address untagged(const struct rft_runtime *runtime, uint64_t word)
{
    return runtime->minor >= 14 ? word & ~(uint64_t)3 : word;
}

rft_address rft_frame_executable(const struct rft_runtime *runtime, const unsigned char *bytes)
{
    return untagged(runtime, rft_word(bytes, rft_at(runtime, RFT_FRAME_EXECUTABLE)));
}

bool rft_frame_is_shim(const struct rft_runtime *runtime, const unsigned char *bytes)
{
    return owner_of(runtime, bytes) >= OWNED_BY_INTERPRETER && runtime->minor >= 12;
}

enum shown { SHOWN, HIDDEN, BROKEN };

/* Fills everything of a frame but its locals. */
static enum shown describe(struct rft_runtime *runtime, rft_address address,
                           const unsigned char *bytes, const struct rft_code_epoch *epoch,
                           struct rft_frame *frame, enum rft_code_read *read)
{
    *read = RFT_CODE_KNOWN;
    unsigned owner = owner_of(runtime, bytes);
    if (rft_frame_is_shim(runtime, bytes)) {
        return owner <= OWNER_LAST ? HIDDEN : BROKEN;
    }
    rft_address executable = rft_frame_executable(runtime, bytes);
    const struct rft_code *code =
        executable ? rft_code_get(runtime, executable, epoch, read) : NULL;
    if (!code) {
        return BROKEN;
    }
    int64_t offset;
    if (runtime->minor <= 10) {
        int32_t lasti = rft_int(bytes, rft_at(runtime, RFT_FRAME_LASTI));
        /* In bytes until 3.9, in instructions of two bytes in 3.10. */
        offset = runtime->minor == 10 && lasti > 0 ? (int64_t)lasti * 2 : lasti;
    } else {
        int32_t tlbc = 0;
        if (runtime->layout.free_threaded && runtime->minor >= 14) {
            tlbc = rft_int(bytes, rft_at(runtime, RFT_FRAME_TLBC));
        }
        rft_address start = rft_code_bytecode(runtime, code, tlbc, epoch);
        rft_address at = rft_word(bytes, rft_at(runtime, RFT_FRAME_INSTR));
        offset = (int64_t)(at - start);
        if (!start || offset < -2 || offset > INT32_MAX) {
            /* The bytecode of another thread (or nonsense): the line of the function. */
            offset = -1;
        } else if (owner != OWNED_BY_GENERATOR && offset < (int64_t)code->first_traceable) {
            return HIDDEN; /* is being set up: _PyFrame_IsIncomplete() */
        }
    }
    const struct rft_place *place = rft_code_place(runtime, code, offset);
    *frame = (struct rft_frame){
        .kind = RFT_FRAME_PYTHON,
        .function = code->name,
        .file = code->file,
        .line = place->line,
        .column = place->column,
        .end_line = place->end_line,
        .end_column = place->end_column,
        .frame = address,
        .code = executable,
    };
    return SHOWN;
}

bool rft_frame_describe(struct rft_runtime *runtime, rft_address address,
                        const unsigned char *bytes, struct rft_frame *frame)
{
    struct rft_code_epoch epoch = {0};
    enum rft_code_read read;
    return describe(runtime, address, bytes, &epoch, frame, &read) == SHOWN;
}

/* --- the two copies ---------------------------------------------------------------- */

/* What of a frame tells which call it is: all that is fixed while it lives, and for a caller
 * also where it stands. */
static bool same_call(const struct rft_runtime *runtime, const unsigned char *one,
                      const unsigned char *other, bool caller)
{
    static const enum rft_field fixed[] = {RFT_FRAME_PREVIOUS, RFT_FRAME_EXECUTABLE,
                                           RFT_FRAME_FUNCTION};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        uint32_t at = rft_at(runtime, fixed[i]);
        if (at != RFT_NO_FIELD && rft_word(one, at) != rft_word(other, at)) {
            return false;
        }
    }
    if (owner_of(runtime, one) != owner_of(runtime, other)) {
        return false;
    }
    if (caller && rft_has(runtime, RFT_FRAME_INSTR)) {
        uint32_t at = rft_at(runtime, RFT_FRAME_INSTR);
        return rft_word(one, at) == rft_word(other, at);
    }
    if (caller && rft_has(runtime, RFT_FRAME_LASTI)) {
        uint32_t at = rft_at(runtime, RFT_FRAME_LASTI);
        return rft_int(one, at) == rft_int(other, at);
    }
    return true;
}

bool rft_same_stack(const struct rft_runtime *runtime, const unsigned char *one,
                    const unsigned char *other)
{
    static const enum rft_field fields[] = {
        RFT_THREAD_FRAME,     RFT_THREAD_CFRAME, RFT_THREAD_DATASTACK,
        RFT_THREAD_UNIQUE_ID, RFT_THREAD_INTERP, RFT_THREAD_BASE_FRAME,
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint32_t at = rft_at(runtime, fields[i]);
        if (at != RFT_NO_FIELD && rft_word(one, at) != rft_word(other, at)) {
            return false;
        }
    }
    return true;
}

/* What the other copy of the stack was begun with is what this one was begun with. */
static bool same_top(const struct rft_runtime *runtime, const struct rft_look_thread *thread)
{
    if (thread->cframe &&
        (!thread->cframe_other ||
         memcmp(thread->cframe_bytes[0], thread->cframe_bytes[1], RFT_CFRAME_BYTES) != 0)) {
        return false;
    }
    return thread->twice ||
           (thread->other && rft_same_stack(runtime, thread->state[0], thread->state[1]));
}

/* --- do two neighbours belong together? ------------------------------------------------
 *
 * Two copies that agree are no proof: in a loop of short calls the same wrong mixture of two
 * moments can be read twice. But a caller's value stack keeps a trace of whom it has called:
 * the function object (or the generator) is where it was pushed, at the stack pointer that was
 * saved for the call, until something else is pushed there. */

struct callee {
    bool known; /* the frame just inside of this one, without a shim in between */
    unsigned owner;
    rft_address frame, code, function;
};

/* Slots around the saved stack pointer that are looked at: callable, self or NULL, and what
 * for-loops and awaits keep below. */
enum { SLOTS_BELOW = 3, SLOTS_ABOVE = 4 };

static bool called(const struct rft_runtime *runtime, rft_address address,
                   const struct view *caller, const struct callee *callee)
{
    uint32_t locals = rft_at(runtime, RFT_FRAME_LOCALS),
             at = rft_at(runtime, RFT_FRAME_STACKPOINTER);
    rft_address wanted = callee->function;
    if (callee->owner == OWNED_BY_GENERATOR) {
        if (!rft_has(runtime, RFT_GEN_IFRAME)) {
            return false;
        }
        wanted = callee->frame - rft_at(runtime, RFT_GEN_IFRAME);
    }
    if (at == RFT_NO_FIELD || locals == RFT_NO_FIELD || !wanted) {
        return false;
    }
    int64_t top; /* bytes from the frame's start */
    if (runtime->minor >= 14) {
        top = (int64_t)(rft_word(caller->first, at) - address);
    } else {
        int32_t slots = rft_int(caller->first, at);
        top = slots < 0 ? -1 : (int64_t)locals + 8 * (int64_t)slots;
    }
    if (top < (int64_t)locals || top > (int64_t)caller->size) {
        return false;
    }
    for (int64_t slot = top - 8 * SLOTS_BELOW; slot < top + 8 * SLOTS_ABOVE; slot += 8) {
        if (slot >= (int64_t)locals && slot + 8 <= (int64_t)caller->size &&
            untagged(runtime, rft_word(caller->first, (size_t)slot)) == wanted) {
            return true;
        }
    }
    return false;
}

/* --- the walk ---------------------------------------------------------------------- */

rft_address rft_look_innermost(const struct rft_runtime *runtime,
                               const struct rft_look_thread *thread, bool *known)
{
    *known = true;
    if (rft_has(runtime, RFT_THREAD_FRAME)) {
        return rft_word(rft_state_of(thread), rft_at(runtime, RFT_THREAD_FRAME));
    }
    rft_address cframe = rft_word(rft_state_of(thread), rft_at(runtime, RFT_THREAD_CFRAME));
    *known = thread->cframe == cframe && thread->cframe_read;
    return *known ? rft_word(thread->cframe_bytes[thread->now], rft_at(runtime, RFT_CFRAME_FRAME))
                  : 0;
}

/* The plan of the thread's stack was not what it has now. */
static bool plan_is_right(const struct rft_runtime *runtime, const struct rft_look_thread *thread)
{
    if (!rft_has(runtime, RFT_THREAD_DATASTACK)) {
        return true;
    }
    rft_address address = rft_word(rft_state_of(thread), rft_at(runtime, RFT_THREAD_DATASTACK));
    for (size_t k = 0; k < thread->chunks.count; k++) {
        const struct rft_look_chunk *chunk = &thread->chunks.items[k];
        if (!chunk->read || chunk->address != address) {
            return false;
        }
        address = rft_word(chunk->bytes[chunk->now], 0);
    }
    return address == 0 || thread->chunks.count >= RFT_CHUNKS_MAX;
}

static struct rft_code_epoch epoch_of(const struct rft_runtime *runtime,
                                      const struct rft_look_thread *thread)
{
    const struct rft_look *look = runtime->look;
    const struct rft_look_interp *interp = look->interps.items[thread->interp];
    /* 0 is a generation too, in which nothing was destroyed yet. */
    bool counted = interp->read && rft_has(runtime, RFT_INTERP_CODE_GENERATION);
    return (struct rft_code_epoch){
        .interpreter = rft_fact(look, interp, RFT_FACT_ID) + 1,
        .generation = counted ? rft_fact(look, interp, RFT_FACT_CODE_GENERATION) + 1 : 0,
        .tlbc_generation = rft_fact(look, interp, RFT_FACT_TLBC_GENERATION),
    };
}

void rft_look_remember_code(struct rft_runtime *runtime, rft_address address)
{
    struct rft_look *look = runtime->look;
    struct rft_look_code code = {.address = address};
    uint32_t at = 0, item;
    uint64_t hash = address * 0x9e3779b97f4a7c15u >> 16;
    if (look->codes.count >= RFT_LOOK_CODES_MAX) {
        look->codes.count = 0;
        rft_index_deinit(&look->code_index);
    }
    while ((item = rft_index_probe(&look->code_index, hash, &at)) != RFT_INDEX_END) {
        if (look->codes.items[item].address == address) {
            return;
        }
    }
    if (rft_vec_reserve(&look->codes, 1) &&
        rft_index_add(&look->code_index, hash, (uint32_t)look->codes.count)) {
        look->codes.items[look->codes.count++] = code;
    }
}

/* A generator that is resumed or left has no caller for some instructions, and the thread may
 * lose its CPU there: the memory itself is of no one moment then. What must be outermost: the
 * frame on the C stack of the first call into the interpreter (3.12 to 3.14); before, a
 * frame that is no generator's. (3.15 has base_frame.) */
static bool ends_early(struct rft_runtime *runtime, const struct rft_frame *outermost,
                       unsigned owner, const struct rft_code_epoch *epoch)
{
    enum { GENERATOR = 0x20, COROUTINE = 0x80, ASYNC_GENERATOR = 0x200 }; /* co_flags */
    if (runtime->minor >= 12) {
        return runtime->minor <= 14 && owner < OWNED_BY_INTERPRETER;
    }
    if (runtime->minor == 11) {
        return owner == OWNED_BY_GENERATOR;
    }
    enum rft_code_read read;
    const struct rft_code *code = rft_code_get(runtime, outermost->code, epoch, &read);
    return code && code->flags & (GENERATOR | COROUTINE | ASYNC_GENERATOR);
}

bool rft_stack_decode(struct rft_runtime *runtime, struct rft_look_thread *thread, bool still)
{
    struct rft_look *look = runtime->look;
    bool moving = rft_space_kind(runtime->space) != RFT_SPACE_CORE;
    struct walk walk = {.runtime = runtime, .thread = thread};
    struct rft_code_epoch epoch = epoch_of(runtime, thread);
    bool codes_in_batch = !rft_has(runtime, RFT_INTERP_CODE_GENERATION);

    thread->first_frame = look->frames.count;
    thread->frame_count = 0;
    thread->truncated = false;
    thread->problem = "";
    bool known;
    rft_address address = rft_look_innermost(runtime, thread, &known), last = 0;
    unsigned last_owner = 0;
    bool right = known && plan_is_right(runtime, thread);
    bool whole = known, settled = right, fresh = false;
    rft_address turtle = 0;
    size_t power = 1;
    struct callee callee = {0};
    bool linked = true; /* each caller shows that it called its callee */
    uint64_t hash = 0;
    for (size_t steps = 0; address; steps++) {
        if (thread->frame_count >= RFT_FRAMES_MAX || steps >= STEPS_MAX ||
            look->frames.count >= RFT_LOOK_FRAMES_MAX) {
            thread->truncated = true;
            break;
        }
        if (address == turtle) {
            thread->problem = "its stack leads back to itself";
            whole = false;
            break;
        }
        if (steps == power) {
            turtle = address;
            power *= 2;
        }
        struct view view;
        if (!find_frame(&walk, address, &view)) {
            thread->problem = walk.no_memory ? "out of memory"
                                             : "a frame of its stack can't be read: the frames "
                                               "further out are missing";
            whole = false;
            break;
        }
        if (!still && moving &&
            (!view.again || !same_call(runtime, view.first, view.again, thread->frame_count > 0))) {
            settled = false;
        }
        struct rft_frame frame;
        enum rft_code_read read;
        enum shown shown = describe(runtime, address, view.first, &epoch, &frame, &read);
        fresh |= read == RFT_CODE_FRESH;
        if (shown == SHOWN) {
            if (!rft_vec_push(&look->frames, frame)) {
                thread->problem = "out of memory";
                whole = false;
                break;
            }
            thread->frame_count++;
            if (thread->runs && moving && runtime->minor >= 11) {
                if (linked && thread->frame_count > 1 &&
                    !(callee.known && called(runtime, address, &view, &callee))) {
                    /* From the callee on outwards more looks must agree. */
                    linked = false;
                    hash = rft_hash_mix(callee.frame, callee.code);
                }
                callee = (struct callee){
                    .known = true,
                    .owner = owner_of(runtime, view.first),
                    .frame = address,
                    .code = frame.code,
                    .function = untagged(runtime,
                                         rft_word(view.first, rft_at(runtime, RFT_FRAME_FUNCTION))),
                };
                if (!linked) {
                    hash = rft_hash_mix(hash ^ frame.code,
                                        rft_word(view.first, rft_at(runtime, RFT_FRAME_INSTR)));
                }
            }
            if (codes_in_batch && read != RFT_CODE_KNOWN) {
                rft_look_remember_code(runtime, frame.code);
            }
        } else {
            callee.known = false;
        }
        if (shown == BROKEN && !*thread->problem) {
            thread->problem = "a frame of its stack has no readable code object";
        }
        /* A process is looked at once more. In a core it stays so, and without it the next frame
         * would seem to have called the one before. (0: gdb writes zeros for what it can't read.)
         */
        rft_address executable = rft_frame_executable(runtime, view.first);
        if (shown == BROKEN && !moving && executable && !rft_frame_is_shim(runtime, view.first)) {
            frame = (struct rft_frame){.kind = RFT_FRAME_PYTHON,
                                       .function = "?",
                                       .file = "?",
                                       .column = -1,
                                       .end_column = -1,
                                       .frame = address,
                                       .code = executable};
            if (!rft_vec_push(&look->frames, frame)) {
                thread->problem = "out of memory";
                whole = false;
                break;
            }
            thread->frame_count++;
        }
        last = address;
        last_owner = owner_of(runtime, view.first);
        address = rft_word(view.first, rft_at(runtime, RFT_FRAME_PREVIOUS));
    }
    /* From 3.15 on the outermost is known: a frame inside of the thread state. */
    if (whole && !thread->truncated && rft_has(runtime, RFT_THREAD_BASE_FRAME)) {
        rft_address base = rft_word(rft_state_of(thread), rft_at(runtime, RFT_THREAD_BASE_FRAME));
        if (base && last && last != base) {
            thread->problem = "its stack does not end where it should: frames may be missing";
        }
    }

    if (!still && moving && whole && !thread->truncated && thread->frame_count &&
        ends_early(runtime, &look->frames.items[look->frames.count - 1], last_owner, &epoch)) {
        settled = false;
    }

    if (walk.changed || walk.out.count != thread->frames.count) {
        rft_vec_free(&thread->frames);
        thread->frames.items = walk.out.items;
        thread->frames.count = walk.out.count;
        thread->frames.capacity = walk.out.capacity;
        settled = false;
    } else {
        rft_vec_free(&walk.out);
    }
    if (!moving) {
        return true;
    }
    if (!right ||
        (thread->read_after && !rft_same_stack(runtime, rft_state_of(thread), thread->after))) {
        memcpy(rft_state(thread), rft_latest_state(thread), look->thread_bytes);
        rft_look_plan_stacks(runtime, &thread, 1);
        return false;
    }
    if (!still) {
        settled =
            settled && same_top(runtime, thread) && (thread->once ? linked : thread->read_after);
        /* A thread that moves may show anything for a moment. */
        settled = settled && !*thread->problem;
    }
    if (settled && !fresh && !linked) {
        bool same = thread->agreed && thread->agreed_on == hash;
        thread->agreed = still ? RFT_AGREE : same ? thread->agreed + 1 : 1;
        thread->agreed_on = hash;
        settled = thread->agreed >= RFT_AGREE;
    }
    thread->proved = settled && !fresh && linked;
    return settled && !fresh;
}

bool rft_thread_was_still(const struct rft_runtime *runtime, const struct rft_look_thread *thread)
{
    const struct rft_look *look = runtime->look;
    uint32_t g = look->interps.items[thread->interp]->gil;
    if (rft_space_kind(runtime->space) == RFT_SPACE_CORE) {
        return true;
    }
    if (!thread->read || g == UINT32_MAX || !rft_has(runtime, RFT_GIL_SWITCHES)) {
        return false;
    }
    const struct rft_look_gil *gil = &look->gils.items[g];
    uint32_t switches = rft_at(runtime, RFT_GIL_SWITCHES), holder = rft_at(runtime, RFT_GIL_HOLDER);
    if (!gil->read || !gil->read_before ||
        rft_word(gil->before, switches) != rft_word(gil->after, switches) ||
        rft_word(gil->before, holder) == thread->address ||
        rft_word(gil->after, holder) == thread->address) {
        return false;
    }
    if (rft_has(runtime, RFT_GIL_ENABLED) &&
        (rft_int(gil->before, rft_at(runtime, RFT_GIL_ENABLED)) <= 0 ||
         rft_int(gil->after, rft_at(runtime, RFT_GIL_ENABLED)) <= 0)) {
        return false; /* free-threaded: no GIL keeps it from running */
    }
    return true;
}

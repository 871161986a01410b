#include "runtime/look.h"

#include <stdlib.h>

#include "runtime/code.h"

/* --- how to read: from the layout ------------------------------------------- */

static const struct {
    enum rft_field field;
    uint32_t size;
} facts[RFT_FACT_COUNT] = {
    [RFT_FACT_ID] = {RFT_INTERP_ID, 8},
    [RFT_FACT_NEXT] = {RFT_INTERP_NEXT, 8},
    [RFT_FACT_THREADS] = {RFT_INTERP_THREADS, 8},
    [RFT_FACT_THREADS_MAIN] = {RFT_INTERP_THREADS_MAIN, 8},
    [RFT_FACT_GIL_REQUEST] = {RFT_INTERP_GIL_REQUEST, 4},
    [RFT_FACT_FINALIZING] = {RFT_INTERP_FINALIZING, 8},
    [RFT_FACT_FINALIZING_FLAG] = {RFT_INTERP_FINALIZING_FLAG, 4},
    [RFT_FACT_COLLECTING] = {RFT_INTERP_GC, 4}, /* + GC_COLLECTING */
    [RFT_FACT_CODE_GENERATION] = {RFT_INTERP_CODE_GENERATION, 8},
    [RFT_FACT_TLBC_GENERATION] = {RFT_INTERP_TLBC_GENERATION, 4},
};

static uint32_t fact_offset(const struct rft_layout *layout, unsigned fact)
{
    uint32_t at = layout->at[facts[fact].field];
    if (fact == RFT_FACT_COLLECTING && at != RFT_NO_FIELD) {
        uint32_t inside = layout->at[RFT_GC_COLLECTING];
        return inside == RFT_NO_FIELD ? RFT_NO_FIELD : at + inside;
    }
    return at;
}

/* Fields that lie near to each other are read as one piece. */
enum { NEAR = 1024 };

static void plan_spans(struct rft_look *look, const struct rft_layout *layout)
{
    unsigned order[RFT_FACT_COUNT], count = 0;
    for (unsigned i = 0; i < RFT_FACT_COUNT; i++) {
        look->fact_at[i] = RFT_NO_FIELD;
        uint32_t offset = fact_offset(layout, i);
        if (offset == RFT_NO_FIELD) {
            continue;
        }
        unsigned k = count++;
        while (k > 0 && fact_offset(layout, order[k - 1]) > offset) {
            order[k] = order[k - 1];
            k--;
        }
        order[k] = i;
    }
    uint32_t used = 0;
    for (unsigned k = 0; k < count; k++) {
        uint32_t offset = fact_offset(layout, order[k]), end = offset + facts[order[k]].size;
        if (look->span_count > 0) {
            uint32_t last = look->span_count - 1;
            uint32_t last_end = look->spans[last].offset + look->spans[last].size;
            uint32_t more = end > last_end ? end - last_end : 0;
            if (offset < last_end + NEAR && used + more <= RFT_INTERP_BYTES) {
                look->spans[last].size += more;
                used += more;
                look->fact_at[order[k]] =
                    look->spans[last].at + (offset - look->spans[last].offset);
                continue;
            }
        }
        if (used + facts[order[k]].size > RFT_INTERP_BYTES) {
            continue;
        }
        look->spans[look->span_count].offset = offset;
        look->spans[look->span_count].size = end - offset;
        look->spans[look->span_count].at = used;
        look->span_count++;
        look->fact_at[order[k]] = used;
        used += end - offset;
    }
}

static void widen(uint32_t *end, const struct rft_layout *layout, enum rft_field field)
{
    uint32_t at = layout->at[field];
    if (at != RFT_NO_FIELD && at + 8 > *end) {
        *end = at + 8;
    }
}

struct rft_look *rft_look_create(struct rft_runtime *runtime)
{
    const struct rft_layout *layout = &runtime->layout;
    struct rft_look *look = calloc(1, sizeof *look);
    if (!look) {
        return NULL;
    }
    plan_spans(look, layout);
    static const enum rft_field of_thread[] = {
        RFT_THREAD_PREV,      RFT_THREAD_NEXT,          RFT_THREAD_INTERP,
        RFT_THREAD_FRAME,     RFT_THREAD_BASE_FRAME,    RFT_THREAD_ID,
        RFT_THREAD_NATIVE_ID, RFT_THREAD_DATASTACK,     RFT_THREAD_STATUS,
        RFT_THREAD_HOLDS_GIL, RFT_THREAD_GIL_REQUESTED, RFT_THREAD_EXCEPTION,
        RFT_THREAD_CFRAME,    RFT_THREAD_DATASTACK_TOP, RFT_THREAD_STATE,
        RFT_THREAD_EXC_TYPE,  RFT_THREAD_EVAL_BREAKER,  RFT_THREAD_EXC_INFO,
        RFT_THREAD_UNIQUE_ID, RFT_THREAD_EXC_STATE,
    };
    for (size_t i = 0; i < sizeof of_thread / sizeof *of_thread; i++) {
        widen(&look->thread_bytes, layout, of_thread[i]);
    }
    look->thread_room =
        layout->at[RFT_THREAD_BASE_FRAME] != RFT_NO_FIELD ? RFT_THREAD_BYTES : look->thread_bytes;
    widen(&look->gil_bytes, layout, RFT_GIL_ENABLED);
    widen(&look->gil_bytes, layout, RFT_GIL_HOLDER);
    widen(&look->gil_bytes, layout, RFT_GIL_LOCKED);
    widen(&look->gil_bytes, layout, RFT_GIL_SWITCHES);
    uint32_t head = layout->at[RFT_RUNTIME_INTERPRETERS],
             finalizing = layout->at[RFT_RUNTIME_FINALIZING], end = head + 8;
    widen(&end, layout, RFT_RUNTIME_MAIN);
    look->runtime_from = head;
    if (finalizing < head && end - finalizing <= sizeof look->runtime) {
        look->runtime_from = finalizing;
    } else if (finalizing >= end && finalizing + 8 - head <= sizeof look->runtime) {
        end = finalizing + 8;
    }
    look->runtime_bytes = end - look->runtime_from;
    look->frame_bytes = (uint32_t)rft_frame_bytes(runtime);
    return look;
}

void rft_look_free_thread(struct rft_look *look, struct rft_look_thread *thread)
{
    for (size_t i = 0; i < thread->chunks.count; i++) {
        look->bytes -= 2 * thread->chunks.items[i].room;
        free(thread->chunks.items[i].bytes[0]);
    }
    rft_vec_free(&thread->chunks);
    rft_vec_free(&thread->frames);
    free(thread);
}

void rft_look_destroy(struct rft_look *look)
{
    if (!look) {
        return;
    }
    for (size_t i = 0; i < look->threads.count; i++) {
        rft_look_free_thread(look, look->threads.items[i]);
    }
    for (size_t i = 0; i < look->interps.count; i++) {
        free(look->interps.items[i]);
    }
    rft_vec_free(&look->interps);
    rft_vec_free(&look->threads);
    rft_vec_free(&look->gils);
    rft_vec_free(&look->codes);
    rft_index_deinit(&look->code_index);
    rft_vec_free(&look->reads);
    rft_vec_free(&look->frames);
    free(look);
}

uint64_t rft_fact(const struct rft_look *look, const struct rft_look_interp *interp,
                  enum rft_interp_fact fact)
{
    uint32_t at = look->fact_at[fact];
    if (at == RFT_NO_FIELD) {
        return 0;
    }
    return facts[fact].size == 8 ? rft_word(interp->copy, at) : (uint32_t)rft_int(interp->copy, at);
}

/* --- the batch ---------------------------------------------------------------- */

static bool add_read(struct rft_look *look, rft_address address, void *buffer, size_t size)
{
    struct rft_read read = {.address = address, .buffer = buffer, .size = size};
    return rft_vec_push(&look->reads, read);
}

/* Frames and chunks, into the buffer of now or the other. */
static bool add_stack(struct rft_look *look, struct rft_look_thread *thread, bool again)
{
    bool ok = true;
    if (thread->cframe) {
        ok = add_read(look, thread->cframe, thread->cframe_bytes[thread->now ^ again],
                      RFT_CFRAME_BYTES);
    }
    for (size_t i = 0; i < thread->frames.count; i++) {
        struct rft_look_frame *frame = &thread->frames.items[i];
        ok = ok &&
             add_read(look, frame->address, frame->bytes[frame->now ^ again], look->frame_bytes);
    }
    for (size_t i = 0; i < thread->chunks.count; i++) {
        struct rft_look_chunk *chunk = &thread->chunks.items[i];
        ok = ok && add_read(look, chunk->address, chunk->bytes[chunk->now ^ again], chunk->size);
    }
    return ok;
}

/* What was read last time goes to the other buffers. */
static void turn_over(struct rft_look_thread *thread)
{
    thread->now = !thread->now;
    thread->other = thread->read;
    thread->cframe_other = thread->cframe_read;
    for (size_t i = 0; i < thread->frames.count; i++) {
        struct rft_look_frame *frame = &thread->frames.items[i];
        frame->now = !frame->now;
        frame->other = frame->read;
    }
    for (size_t i = 0; i < thread->chunks.count; i++) {
        struct rft_look_chunk *chunk = &thread->chunks.items[i];
        chunk->now = !chunk->now;
        chunk->other = chunk->read ? chunk->size : 0;
    }
}

/* Takes the results of add_stack() out of the reads, from `read` on. */
static const struct rft_read *take_stack(struct rft_look_thread *thread,
                                         const struct rft_read *read, bool again)
{
    if (thread->cframe) {
        *(again ? &thread->cframe_other : &thread->cframe_read) = (read++)->done;
    }
    for (size_t i = 0; i < thread->frames.count; i++) {
        struct rft_look_frame *frame = &thread->frames.items[i];
        *(again ? &frame->other : &frame->read) = (read++)->done;
    }
    for (size_t i = 0; i < thread->chunks.count; i++) {
        struct rft_look_chunk *chunk = &thread->chunks.items[i];
        if (again) {
            chunk->other = read->done ? chunk->size : 0;
        } else {
            chunk->read = read->done;
        }
        read++;
    }
    return read;
}

static bool add_thread(struct rft_look *look, struct rft_look_thread *thread, bool only_unsettled)
{
    if (only_unsettled && thread->settled) {
        /* Only whether it is still in the list. */
        return add_read(look, thread->address, thread->after, look->thread_bytes);
    }
    turn_over(thread);
    thread->once = thread->runs && thread->proved && thread->other && !only_unsettled;
    if (thread->once) {
        return add_stack(look, thread, false) &&
               add_read(look, thread->address, rft_state(thread), look->thread_bytes);
    }
    return add_read(look, thread->address, rft_state(thread), look->thread_bytes) &&
           add_stack(look, thread, false) && (!thread->twice || add_stack(look, thread, true)) &&
           (!thread->runs || add_read(look, thread->address, thread->after, look->thread_bytes));
}

static const struct rft_read *take_thread(struct rft_look_thread *thread,
                                          const struct rft_read *read, bool only_unsettled)
{
    thread->read_after = false;
    if (only_unsettled && thread->settled) {
        thread->read = thread->read_after = read->done;
        return read + 1;
    }
    if (thread->once) {
        read = take_stack(thread, read, false);
        thread->read = read->done;
        return read + 1;
    }
    thread->read = (read++)->done;
    read = take_stack(thread, read, false);
    if (thread->twice) {
        read = take_stack(thread, read, true);
    }
    if (thread->runs) {
        thread->read_after = read->done;
        thread->read = thread->read && read->done;
        read++;
    }
    return read;
}

/* A GIL usually lies in its interpreter, near to what is read of that. */
static const unsigned char *gil_in_interp(const struct rft_look *look, uint32_t interp,
                                          rft_address gil)
{
    const struct rft_look_interp *owner = look->interps.items[interp];
    for (unsigned s = 0; s < look->span_count; s++) {
        rft_address start = owner->address + look->spans[s].offset;
        if (gil >= start && gil - start <= look->spans[s].size &&
            look->spans[s].size - (gil - start) >= look->gil_bytes) {
            return owner->copy + look->spans[s].at + (gil - start);
        }
    }
    return NULL;
}

/* True if some thread that does not run has this GIL: see rft_thread_was_still(). */
static bool gil_is_proof(const struct rft_look *look, size_t gil, bool only_unsettled)
{
    for (size_t i = 0; i < look->threads.count; i++) {
        const struct rft_look_thread *thread = look->threads.items[i];
        if (!thread->runs && !(only_unsettled && thread->settled) &&
            look->interps.items[thread->interp]->gil == gil) {
            return true;
        }
    }
    return false;
}

static bool add_lists(struct rft_runtime *runtime)
{
    struct rft_look *look = runtime->look;
    bool ok = true;
    for (size_t g = 0; ok && g < look->gils.count; g++) {
        struct rft_look_gil *gil = &look->gils.items[g];
        if (gil->interp == UINT32_MAX) {
            ok = add_read(look, gil->address, gil->after, look->gil_bytes);
        }
    }
    for (size_t k = 0; k < look->interps.count; k++) {
        struct rft_look_interp *interp = look->interps.items[k];
        for (unsigned s = 0; ok && s < look->span_count; s++) {
            ok = add_read(look, interp->address + look->spans[s].offset,
                          interp->copy + look->spans[s].at, look->spans[s].size);
        }
    }
    return ok && add_read(look, runtime->address + look->runtime_from, look->runtime,
                          look->runtime_bytes);
}

static void take_lists(struct rft_look *look, const struct rft_read *read)
{
    for (size_t g = 0; g < look->gils.count; g++) {
        if (look->gils.items[g].interp == UINT32_MAX) {
            look->gils.items[g].read = (read++)->done;
        }
    }
    for (size_t k = 0; k < look->interps.count; k++) {
        bool done = true;
        for (unsigned s = 0; s < look->span_count; s++) {
            done = (read++)->done && done;
        }
        look->interps.items[k]->read = done;
    }
    look->runtime_read = read->done;
    for (size_t g = 0; g < look->gils.count; g++) {
        struct rft_look_gil *gil = &look->gils.items[g];
        if (gil->interp != UINT32_MAX) {
            const unsigned char *bytes = gil_in_interp(look, gil->interp, gil->address);
            gil->read = bytes && look->interps.items[gil->interp]->read;
            if (gil->read) {
                memcpy(gil->after, bytes, look->gil_bytes);
            }
        }
    }
}

/* Where each GIL is read: the interpreters are known by now. */
static void place_gils(struct rft_look *look)
{
    for (size_t g = 0; g < look->gils.count; g++) {
        look->gils.items[g].interp = UINT32_MAX;
    }
    for (size_t k = 0; k < look->interps.count; k++) {
        uint32_t g = look->interps.items[k]->gil;
        if (g < look->gils.count && gil_in_interp(look, (uint32_t)k, look->gils.items[g].address)) {
            look->gils.items[g].interp = (uint32_t)k;
        }
    }
}

bool rft_look_read(struct rft_runtime *runtime, bool only_unsettled)
{
    struct rft_look *look = runtime->look;
    const struct rft_codes *codes = runtime->codes;
    look->reads.count = 0;
    place_gils(look);
    bool ok = true;
    for (size_t g = 0; ok && g < look->gils.count; g++) {
        struct rft_look_gil *gil = &look->gils.items[g];
        gil->read_before = gil_is_proof(look, g, only_unsettled);
        ok = !gil->read_before || add_read(look, gil->address, gil->before, look->gil_bytes);
    }
    size_t threads_from = look->reads.count;
    for (size_t i = 0; ok && i < look->threads.count; i++) {
        ok = add_thread(look, look->threads.items[i], only_unsettled);
    }
    size_t codes_from = look->reads.count;
    for (size_t i = 0; ok && i < look->codes.count; i++) {
        struct rft_look_code *code = &look->codes.items[i];
        ok = add_read(look, code->address + codes->head, code->head, codes->head_end - codes->head);
    }
    size_t lists_from = look->reads.count;
    if (!ok || !add_lists(runtime)) {
        return false;
    }
    rft_space_read_many(runtime->space, look->reads.items, look->reads.count);

    const struct rft_read *read = look->reads.items;
    for (size_t g = 0; g < look->gils.count; g++) {
        if (look->gils.items[g].read_before) {
            look->gils.items[g].read_before = (read++)->done;
        }
    }
    read = look->reads.items + threads_from;
    for (size_t i = 0; i < look->threads.count; i++) {
        read = take_thread(look->threads.items[i], read, only_unsettled);
    }
    for (size_t i = 0; i < look->codes.count; i++) {
        look->codes.items[i].read = look->reads.items[codes_from + i].done;
    }
    take_lists(look, look->reads.items + lists_from);
    return true;
}

#include "runtime/native_merge.h"

#include <stdlib.h>

/* The name up to what compilers append to parts and copies of a function: .cold, .part.0,
 * .constprop.0, .isra.0, .lto_priv.0, .llvm.123. */
static bool is_named(const char *function, const char *name)
{
    size_t length = strlen(name);
    return !strncmp(function, name, length) && (!function[length] || function[length] == '.');
}

static bool is_evaluation(const struct rft_symbol *symbol)
{
    return is_named(symbol->function, "_PyEval_EvalFrameDefault");
}

/* C frames that _PyEval_EvalFrameDefault has called to do its own work: the tail-calling
 * interpreter has a function for each instruction, the JIT makes code without a name. */
static bool is_part_of_evaluation(const struct rft_symbol *symbol)
{
    return !strncmp(symbol->function, "_TAIL_CALL_", 11) ||
           is_named(symbol->function, "_PyJIT_Entry") ||
           is_named(symbol->function, "_PyJit_TryInitializeTracing") || !symbol->in_object;
}

/* The first C frame from `from` on whose part of the stack has the address; `count`: none. */
static size_t frame_around(const struct rft_native_frame *natives, size_t count, size_t from,
                           rft_address address)
{
    for (size_t i = from; i + 1 < count; i++) {
        rft_address low = natives[i].stack_pointer, high = natives[i + 1].stack_pointer;
        if (low && high && low <= address && address < high)
            return i;
    }
    return count;
}

static size_t next_evaluation(struct rft_unwinder *unwinder, const struct rft_native_frame *natives,
                              size_t count, size_t from)
{
    for (size_t i = from; i < count; i++) {
        if (is_evaluation(rft_unwinder_symbol(unwinder, &natives[i])))
            return i;
    }
    return count;
}

static void add(struct rft_merge *merge, bool python, size_t first, size_t count)
{
    struct rft_merged item = {.python = python, .first = first, .count = count};
    if (!rft_vec_push(&merge->order, item))
        merge->no_memory = true;
}

/* For each C frame the run that it executes (plus 1), 0 for the others. */
static void place_runs(struct rft_unwinder *unwinder, const struct rft_capture *capture,
                       const struct rft_native_frame *natives, size_t count, size_t *run_of,
                       struct rft_merge *merge)
{
    size_t from = 0;
    for (size_t r = 0; r < capture->runs.count; r++) {
        const struct rft_captured_run *run = &capture->runs.items[r];
        size_t at = run->within ? frame_around(natives, count, from, run->within) : count;
        if (at == count)
            at = next_evaluation(unwinder, natives, count, from);
        if (at == count) {
            merge->unplaced += run->count;
            continue;
        }
        run_of[at] = r + 1;
        from = at + 1;
    }
}

void rft_merge_stacks(struct rft_unwinder *unwinder, const struct rft_capture *capture,
                      const struct rft_native_frame *natives, size_t count, struct rft_merge *merge)
{
    merge->order.count = 0;
    merge->no_memory = false;
    merge->unplaced = 0;
    size_t *run_of = calloc(count + 1, sizeof *run_of);
    bool *placed = calloc(capture->runs.count + 1, sizeof *placed);
    if (!run_of || !placed) {
        merge->no_memory = true;
        free(run_of);
        free(placed);
        return;
    }
    place_runs(unwinder, capture, natives, count, run_of, merge);
    for (size_t i = 0; i < count; i++) {
        if (run_of[i]) {
            const struct rft_captured_run *run = &capture->runs.items[run_of[i] - 1];
            placed[run_of[i] - 1] = true;
            add(merge, true, run->first, run->count);
            continue;
        }
        /* Parts of the next evaluation further out. */
        size_t end = i;
        while (end < count && !run_of[end] &&
               is_part_of_evaluation(rft_unwinder_symbol(unwinder, &natives[end])))
            end++;
        if (end > i && end < count && run_of[end]) {
            i = end - 1;
            continue;
        }
        add(merge, false, i, 1);
    }
    for (size_t r = 0; r < capture->runs.count; r++) {
        if (!placed[r])
            add(merge, true, capture->runs.items[r].first, capture->runs.items[r].count);
    }
    free(run_of);
    free(placed);
}

void rft_merge_deinit(struct rft_merge *merge)
{
    rft_vec_free(&merge->order);
}

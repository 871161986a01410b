/* The trace reader on any bytes.
 *
 * Random bytes hardly ever have the right checksum, so most inputs are signed first: the
 * file's header and each chunk that can be walked to gets the mark, length and checksum that
 * it should have, and the fuzzer is free to vary what the chunks say. Inputs whose last byte
 * is odd are read as they are. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <reftracer/trace.h>

#include "base/crc32c.h"
#include "trace/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Sums up what is read, so that no access is optimised away and every byte a record points at
 * is touched: ASan then sees a pointer that leads out of the input. */
static volatile uint64_t seen;

static void touch(struct rft_string text)
{
    for (size_t i = 0; i < text.length; i++)
        seen += (unsigned char)text.bytes[i];
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void sign(uint8_t *bytes, size_t size)
{
    if (size < RFT_FILE_HEADER_SIZE)
        return;
    memcpy(bytes, RFT_MAGIC, RFT_MAGIC_SIZE);
    put32(bytes + 8, RFT_FORMAT_VERSION | RFT_FORMAT_MIN_READER << 16);
    put32(bytes + 12, RFT_FILE_HEADER_SIZE);
    put32(bytes + 16, 0);
    put32(bytes + 28, rft_crc32c(0, bytes, 28));
    size_t at = RFT_FILE_HEADER_SIZE;
    while (size - at >= RFT_CHUNK_HEADER_SIZE) {
        uint8_t *chunk = bytes + at;
        size_t left = size - at - RFT_CHUNK_HEADER_SIZE;
        size_t length = chunk[8] | (size_t)chunk[9] << 8;
        if (length > left)
            length = left;
        put32(chunk, RFT_CHUNK_MARK);
        chunk[5] = chunk[6] = chunk[7] = 0;
        put32(chunk + 8, (uint32_t)length);
        uint32_t crc = rft_crc32c(0, chunk, 16);
        put32(chunk + 16, rft_crc32c(crc, chunk + RFT_CHUNK_HEADER_SIZE, length));
        at += RFT_CHUNK_HEADER_SIZE + length;
    }
}

static struct rft_error *take_tick(void *data, const struct rft_trace *trace,
                                   const struct rft_tick *tick)
{
    (void)data;
    for (size_t i = 0; i < tick->site_count; i++) {
        const struct rft_tick_site *site = &tick->sites[i];
        seen += rft_trace_site(trace, site->site)->stack + site->births;
        for (uint32_t k = 0; k < site->age_count; k++)
            seen += site->ages[k].deaths;
        for (uint32_t k = 0; k < site->revived_age_count; k++)
            seen += site->revived_ages[k].deaths;
    }
    return NULL;
}

static struct rft_error *take_census(void *data, const struct rft_trace *trace,
                                     const struct rft_census *census)
{
    (void)data;
    for (size_t i = 0; i < census->site_count; i++) {
        const struct rft_census_site *site = &census->sites[i];
        seen += rft_trace_site(trace, site->site)->type;
        for (uint32_t k = 0; k < site->cohort_count; k++)
            seen += site->cohorts[k].survivors;
    }
    return NULL;
}

static void touch_path(const struct rft_trace *trace, const struct rft_trace_path *path)
{
    for (uint32_t i = 0; i < path->count; i++) {
        const struct rft_trace_step *step = &path->steps[i];
        seen += step->kind + step->index + rft_trace_type(trace, step->type)->name;
        touch(rft_trace_string(trace, step->label));
        touch(rft_trace_string(trace, step->detail));
    }
}

static void walk_heap(const struct rft_trace *trace, size_t heap)
{
    size_t count;
    const struct rft_trace_holders *holders = rft_trace_heap_holders(trace, heap, &count);
    for (size_t i = 0; i < count; i++) {
        seen += rft_trace_site(trace, holders[i].site)->type;
        for (uint32_t k = 0; k < holders[i].pattern_count; k++)
            touch_path(trace, &holders[i].patterns[k].path);
    }
    const struct rft_trace_refcounts *refcounts = rft_trace_heap_refcounts(trace, heap, &count);
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < refcounts[i].pair_count; k++)
            seen += (uint64_t)refcounts[i].pairs[k].surplus;
    const struct rft_trace_garbage *garbage = rft_trace_heap_garbage(trace, heap, &count);
    for (size_t i = 0; i < count; i++)
        seen += rft_trace_site(trace, garbage[i].site)->type + garbage[i].objects;
    const struct rft_trace_cycle *cycles = rft_trace_heap_cycles(trace, heap, &count);
    for (size_t i = 0; i < count; i++)
        touch_path(trace, &cycles[i].path);
    const struct rft_trace_retainer *retainers = rft_trace_heap_retainers(trace, heap, &count);
    for (size_t i = 0; i < count; i++)
        touch_path(trace, &retainers[i].path);
}

static void walk(const struct rft_trace *trace)
{
    for (uint32_t id = 0; id <= rft_trace_string_count(trace); id++)
        touch(rft_trace_string(trace, id));
    for (uint32_t id = 0; id <= rft_trace_stack_count(trace); id++) {
        const struct rft_trace_stack *stack = rft_trace_stack(trace, id);
        const struct rft_trace_code *code = rft_trace_code(trace, stack->code);
        touch(rft_trace_string(trace, code->file));
        seen += rft_location_lookup(code->location_table.bytes, code->location_table.length,
                                    code->first_line, stack->instruction)
                    .line;
    }
    for (uint32_t id = 0; id <= rft_trace_site_count(trace); id++) {
        const struct rft_trace_site *site = rft_trace_site(trace, id);
        touch(rft_trace_string(trace, rft_trace_type(trace, site->type)->name));
    }
    size_t count;
    const struct rft_trace_loss *losses = rft_trace_losses(trace, &count);
    for (size_t i = 0; i < count; i++)
        touch(losses[i].text);
    const struct rft_trace_mark *marks = rft_trace_marks(trace, &count);
    for (size_t i = 0; i < count; i++)
        touch(marks[i].label);
    const struct rft_trace_names_look *names = rft_trace_names_looks(trace, &count);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < names[i].count; k++)
            rft_trace_site(trace, names[i].names[k].site);
    }
    const struct rft_trace_heap *heaps = rft_trace_heaps(trace, &count);
    for (size_t i = 0, looks = count; i < looks; i++) {
        touch(heaps[i].label);
        walk_heap(trace, i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    /* An allocation of just this size, so that ASan sees a read beyond the end. */
    uint8_t *copy = malloc(size ? size : 1);
    if (copy == NULL)
        return 0;
    memcpy(copy, bytes, size);
    if (size > 0 && bytes[size - 1] % 2 == 0)
        sign(copy, size);

    const struct rft_trace_visitor visitor = {.tick = take_tick, .census = take_census};
    struct rft_trace *trace;
    struct rft_error *error = rft_trace_read_bytes("fuzz", copy, size, &visitor, &trace);
    if (error == NULL) {
        walk(trace);
        rft_trace_destroy(trace);
    }
    rft_error_destroy(error);
    free(copy);
    return 0;
}

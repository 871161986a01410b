/* Code objects, strings and stack nodes: everything a stack is told with.
 * All tables are behind tracer.lock; threads reach them through caches of
 * their own, so this runs once for each new place in the program. */
#include "tracer/hash.h"
#include "tracer/text.h"
#include "tracer/tracer.h"

#include <string.h>

struct code {
    void *object;       /* NULL: it died */
    uintptr_t bytecode; /* first instruction */
    uint32_t id;        /* 0: a trampoline of the interpreter's, not shown */
};

static struct rft_hash strings; /* hash of the bytes -> id */
static struct rft_hash codes;   /* address -> struct code * */
static struct rft_hash nodes;   /* hash of (parent, code, offset) -> id */
static uint32_t string_count, code_count, node_count;

uint64_t rft_string_hash(const char *bytes, size_t length)
{
    /* Two rounds of a 64-bit multiply-xor over words: a collision among a
     * million strings has odds of 1 in 10^7. */
    uint64_t h = UINT64_C(0x9E3779B97F4A7C15) ^ length;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        h = rft_mix(h ^ word);
        bytes += 8;
        length -= 8;
    }
    uint64_t word = 0;
    memcpy(&word, bytes, length);
    h = rft_mix(h ^ word);
    return h ? h : 1;
}

uint32_t rft_string_id(const char *bytes, size_t length)
{
    uint64_t key = rft_string_hash(bytes, length);
    uint64_t *value = rft_hash_put(&strings, key);
    if (value == NULL) {
        rft_stop_for_memory("names");
        return 0;
    }
    if (*value == 0) {
        *value = ++string_count;
        tracer.strings_n++;
        rft_buffer_text(&tracer.strings, bytes, length);
        rft_names_string(bytes, length);
    }
    return (uint32_t)*value;
}

static uint32_t string_of_str(const void *str)
{
    char text[4096];
    size_t length = rft_str_to_utf8(str, text, sizeof text);
    return rft_string_id(text, length);
}

static const void *field(const void *object, enum rft_field name)
{
    return *(void *const *)((const char *)object + tracer.layout.at[name]);
}

/* The frame that runs C-level clean-up after __init__ (Python/specialize.c,
 * _Py_InitCleanup) has a code object of its own, with "__init__" for a file. */
static bool is_trampoline(const char *file, size_t file_length)
{
    return file_length == 8 && memcmp(file, "__init__", 8) == 0;
}

static struct code *code_record(void *object)
{
    uint64_t *value = rft_hash_put(&codes, (uint64_t)(uintptr_t)object);
    if (value == NULL) {
        rft_stop_for_memory("code objects");
        return NULL;
    }
    if (*value != 0) {
        return (struct code *)(uintptr_t)*value;
    }
    struct code *code = rft_pool_alloc(sizeof *code);
    if (code == NULL) {
        rft_stop_for_memory("code objects");
        return NULL;
    }
    *value = (uint64_t)(uintptr_t)code;
    code->object = object;
    code->bytecode = (uintptr_t)object + tracer.layout.at[RFT_CODE_ADAPTIVE];

    char file[4096];
    size_t length = rft_str_to_utf8(field(object, RFT_CODE_FILENAME), file, sizeof file);
    if (is_trampoline(file, length)) {
        return code;
    }
    code->id = ++code_count;
    tracer.codes_n++;
    const char *table = field(object, RFT_CODE_LINETABLE);
    size_t table_length = rft_bytes_length(table);
    int32_t line;
    memcpy(&line, (char *)object + tracer.layout.at[RFT_CODE_FIRSTLINE], sizeof line);
    uint32_t file_id = rft_string_id(file, length);
    uint32_t name_id = string_of_str(field(object, RFT_CODE_QUALNAME));
    uint32_t first_line = line > 0 ? (uint32_t)line : 0;
    rft_buffer_varint(&tracer.codes, file_id);
    rft_buffer_varint(&tracer.codes, name_id);
    rft_buffer_varint(&tracer.codes, first_line);
    rft_names_code(object, file_id, name_id, first_line);
    rft_buffer_text(&tracer.codes, table + tracer.layout.at[RFT_BYTES_DATA], table_length);
    return code;
}

bool rft_code_forget(void *object, bool intact)
{
    uint64_t *value = rft_hash_get(&codes, (uint64_t)(uintptr_t)object);
    if (value == NULL || *value == 0) {
        return false;
    }
    const struct code *code = (const struct code *)(uintptr_t)*value;
    if (code->id != 0 && intact) { /* lines of its objects may be asked for yet */
        const char *table = field(object, RFT_CODE_LINETABLE);
        rft_names_code_dies(code->id, table + tracer.layout.at[RFT_BYTES_DATA],
                            rft_bytes_length(table));
    }
    *value = 0;
    return true;
}

/* Code units from the start of the code to the instruction, + 1; 0: unknown. */
static uint32_t offset_of(const struct code *code, void *object, uintptr_t frame, uintptr_t instr)
{
    uintptr_t start = code->bytecode;
    if (tracer.layout.free_threaded && tracer.layout.at[RFT_CODE_TLBC] != RFT_NO_FIELD &&
        tracer.layout.at[RFT_FRAME_TLBC] != RFT_NO_FIELD) {
        /* Each thread may run a copy of the bytecode of its own:
         * co_tlbc -> {size, entries[]}, indexed by the frame's tlbc_index. */
        const uintptr_t *copies = field(object, RFT_CODE_TLBC);
        int32_t index;
        memcpy(&index, (char *)frame + tracer.layout.at[RFT_FRAME_TLBC], sizeof index);
        if (copies != NULL && index > 0 && (uintptr_t)index < copies[0]) {
            start = copies[1 + index];
        }
    }
    uintptr_t distance = instr - start;
    return distance < (UINT32_C(1) << 30) ? (uint32_t)(distance / 2) + 1 : 0;
}

static uint32_t node_of(uint32_t parent, uintptr_t frame, uintptr_t instr)
{
    /* 3.14+ tag the low bits of stack references (pycore_stackref.h). */
    uintptr_t word = *(uintptr_t *)(frame + tracer.layout.at[RFT_FRAME_EXECUTABLE]);
    void *object = (void *)(word & ~(uintptr_t)3);
    if (object == NULL ||
        *(void **)((char *)object + tracer.layout.at[RFT_OBJECT_TYPE]) != tracer.py.code_type) {
        return parent;
    }
    struct code *code = code_record(object);
    if (code == NULL || code->id == 0) {
        return parent;
    }
    uint32_t offset = offset_of(code, object, frame, instr);
    uint64_t key = rft_mix(rft_mix(((uint64_t)parent << 32 | code->id)) ^ offset);
    uint64_t *value = rft_hash_put(&nodes, key ? key : 1);
    if (value == NULL) {
        rft_stop_for_memory("stacks");
        return parent;
    }
    if (*value == 0) {
        *value = ++node_count;
        tracer.stacks_n++;
        rft_buffer_varint(&tracer.stacks, parent);
        rft_buffer_varint(&tracer.stacks, code->id);
        rft_buffer_varint(&tracer.stacks, offset);
        rft_names_node(parent, code->id, offset);
    }
    return (uint32_t)*value;
}

uint32_t rft_node_id(uint32_t parent, uintptr_t frame, uintptr_t instr)
{
    pthread_mutex_lock(&tracer.lock);
    uint32_t node = node_of(parent, frame, instr);
    pthread_mutex_unlock(&tracer.lock);
    return node;
}

void rft_codes_reset(void)
{
    rft_hash_clear(&strings);
    rft_hash_clear(&codes);
    rft_hash_clear(&nodes);
    string_count = code_count = node_count = 0;
}

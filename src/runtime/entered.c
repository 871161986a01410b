#include "runtime/entered.h"

#include <stdlib.h>

#include "runtime/code.h"
#include "runtime/object.h"

enum {
    CODES = 512,               /* code objects that are remembered */
    DECODED_MAX = 1 << 27,     /* bytes of their tables that are gone through, in all */
    TABLE_MAX = 1 << 16,       /* bytes of an exception table */
    STACK_MAX = 256,           /* words of a frame's stack that are looked at */
    SLOTS_MAX = 4096,          /* variables in front of them */
    OWNED_BY_GENERATOR = 1,    /* FRAME_OWNED_BY_GENERATOR, the same since 3.11 */
    BLOCKS = 20,               /* CO_MAXBLOCKS, up to 3.10 */
    BLOCK_SETUP_FINALLY = 122, /* b_type of try and with, 3.8 to 3.10 */
};

/* Of a code object, 3.11+. */
struct known {
    rft_address code;
    uint32_t slots;      /* variables, in front of the stack */
    uint32_t table_size; /* 0: no exception table, or none that can be read */
    const unsigned char *table;
};

struct rft_entered_codes {
    struct rft_runtime *runtime;
    size_t decoded; /* bytes of exception tables */
    struct known codes[CODES];
};

struct rft_entered_codes *rft_entered_begin(struct rft_runtime *runtime)
{
    struct rft_entered_codes *codes = calloc(1, sizeof *codes);
    if (codes)
        codes->runtime = runtime;
    return codes;
}

void rft_entered_end(struct rft_entered_codes *codes)
{
    free(codes);
}

/* --- words and methods --------------------------------------------------------------- */

rft_address rft_frame_object(const struct rft_runtime *runtime, uint64_t word)
{
    /* Tags of a _PyStackRef, as in local.c. */
    if (runtime->minor >= 14) {
        if ((word & 3) == 3)
            return 0;
        word &= ~UINT64_C(3);
    }
    return word % 8 ? 0 : word;
}

/* The name of a Python function. */
static bool is_function_named(struct rft_runtime *runtime, rft_address function, const char *name)
{
    /* PyFunctionObject: the head, globals, builtins, name; up to 3.9 code, globals, defaults of
     * two kinds, closure, doc, name. */
    uint64_t text;
    return rft_read_word(runtime,
                         function + rft_at(runtime, RFT_OBJECT_SIZE) +
                             (runtime->minor >= 10 ? 16 : 48),
                         &text) &&
           rft_str_equals(runtime, text, name);
}

rft_address rft_bound_to(struct rft_runtime *runtime, rft_address method, const char *name)
{
    /* Both kinds have the function, or its PyMethodDef, behind the head, and then `self`. */
    struct rft_type type;
    uint64_t words[2], text;
    if (!rft_object_type(runtime, method, &type) || (type.flags & RFT_TPFLAGS_HEAP_TYPE) ||
        !rft_space_try(runtime->space, method + rft_at(runtime, RFT_OBJECT_SIZE), words,
                       sizeof words))
        return 0;
    if (!strcmp(type.name, "method"))
        return is_function_named(runtime, words[0], name) ? words[1] : 0;
    if (strcmp(type.name, "builtin_function_or_method") != 0 ||
        !rft_read_word(runtime, words[0], &text))
        return 0;
    char found[16] = "";
    size_t length = strlen(name) + 1;
    return length <= sizeof found && rft_space_try(runtime->space, text, found, length) &&
                   !memcmp(found, name, length)
               ? words[1]
               : 0;
}

/* 3.14+: a method that is not bound, with its `self` in the next word. */
static bool is_unbound(struct rft_runtime *runtime, rft_address method, const char *name)
{
    struct rft_type type;
    uint64_t text;
    if (!rft_object_type(runtime, method, &type) || (type.flags & RFT_TPFLAGS_HEAP_TYPE))
        return false;
    if (!strcmp(type.name, "function"))
        return is_function_named(runtime, method, name);
    /* PyMethodDescrObject: the head, d_type, d_name. */
    return !strcmp(type.name, "method_descriptor") &&
           rft_read_word(runtime, method + rft_at(runtime, RFT_OBJECT_SIZE) + 8, &text) &&
           rft_str_equals(runtime, text, name);
}

static bool is_int(struct rft_runtime *runtime, uint64_t word)
{
    struct rft_type type;
    if (runtime->minor >= 14 && (word & 3) == 3)
        return true;
    return rft_object_type(runtime, rft_frame_object(runtime, word), &type) &&
           type.kind == RFT_OBJECT_INT;
}

/* --- 3.11 and newer: the exception table ------------------------------------------------ */

struct entry {
    uint32_t start, end, target; /* in instructions of two bytes */
    uint32_t depth;              /* words on the stack */
    bool lasti;                  /* with blocks, and the compiler's own clean-up */
};

/* Numbers of six bits a byte, the highest first; 0x40: more follow (Objects/exception_handling
 * notes in InternalDocs). The bit 0x80 marks the first byte of an entry. */
static bool next_number(const unsigned char **at, const unsigned char *end, uint32_t *number)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 6 && *at < end; i++) {
        unsigned char byte = *(*at)++;
        value = value << 6 | (byte & 0x3f);
        if (!(byte & 0x40)) {
            *number = value;
            return true;
        }
    }
    return false;
}

static bool next_entry(const unsigned char **at, const unsigned char *end, struct entry *entry)
{
    uint32_t length, depth;
    if (!next_number(at, end, &entry->start) || !next_number(at, end, &length) ||
        !next_number(at, end, &entry->target) || !next_number(at, end, &depth))
        return false;
    entry->end = entry->start + length;
    entry->depth = depth >> 1;
    entry->lasti = depth & 1;
    return true;
}

/* The innermost block that covers an instruction. */
static bool find_entry(const struct known *known, uint32_t at, struct entry *found)
{
    const unsigned char *next = known->table, *end = next + known->table_size;
    while (next_entry(&next, end, found)) {
        if (at >= found->start && at < found->end)
            return true;
    }
    return false;
}

/* Where the `with` block begins whose exit leaves `depth` words on the stack: its parts have the
 * same handler. */
static bool find_start(const struct known *known, uint32_t at, uint32_t depth, uint32_t *start)
{
    const unsigned char *next = known->table, *end = next + known->table_size;
    struct entry entry, last = {0};
    bool found = false;
    while (next_entry(&next, end, &entry)) {
        if (entry.lasti && entry.depth == depth && entry.start <= at) {
            last = entry;
            found = true;
        }
    }
    *start = last.start;
    next = known->table;
    while (found && next_entry(&next, end, &entry)) {
        if (entry.target == last.target && entry.depth == depth && entry.start < *start)
            *start = entry.start;
    }
    return found && *start > 0;
}

static bool read_known(struct rft_runtime *runtime, rft_address code, struct known *known)
{
    uint64_t table, size;
    int32_t slots;
    *known = (struct known){.code = code};
    /* co_exceptiontable is in front of co_flags. */
    if (!rft_has(runtime, RFT_CODE_FLAGS) || !rft_has(runtime, RFT_CODE_NLOCALSPLUS) ||
        !rft_read_int(runtime, code + rft_at(runtime, RFT_CODE_NLOCALSPLUS), &slots) || slots < 0 ||
        slots > SLOTS_MAX ||
        !rft_read_word(runtime, code + rft_at(runtime, RFT_CODE_FLAGS) - 8, &table) ||
        !rft_read_field(runtime, table, RFT_BYTES_COUNT, &size))
        return false;
    known->slots = (uint32_t)slots;
    if (!size || size > TABLE_MAX)
        return true;
    unsigned char *copy = rft_arena_alloc(&runtime->arena, (size_t)size);
    if (copy && rft_space_try(runtime->space, table + rft_at(runtime, RFT_BYTES_DATA), copy,
                              (size_t)size)) {
        known->table = copy;
        known->table_size = (uint32_t)size;
    }
    return true;
}

static const struct known *known_of(struct rft_entered_codes *codes, rft_address code)
{
    struct known *known = &codes->codes[(code >> 5) % CODES];
    if (known->code != code && !read_known(codes->runtime, code, known)) {
        known->code = 0;
        return NULL;
    }
    return known;
}

/* Where the frame is, in instructions. */
static bool instruction(struct rft_runtime *runtime, rft_address code, const unsigned char *head,
                        uint32_t *at)
{
    rft_address start = code + rft_at(runtime, RFT_CODE_ADAPTIVE),
                now = rft_word(head, rft_at(runtime, RFT_FRAME_INSTR));
    int32_t index = 0;
    if (runtime->layout.free_threaded && runtime->minor >= 14 && rft_has(runtime, RFT_FRAME_TLBC))
        index = rft_int(head, rft_at(runtime, RFT_FRAME_TLBC));
    if (index != 0) { /* struct _PyCodeArray: size, entries[] */
        uint64_t array, size;
        if (!rft_read_field(runtime, code, RFT_CODE_TLBC, &array) ||
            !rft_read_word(runtime, array, &size) || index < 0 || (uint64_t)index >= size ||
            !rft_read_word(runtime, array + 8 + 8 * (uint64_t)index, &start))
            return false;
    }
    if (now < start || now - start > UINT32_MAX)
        return false;
    *at = (uint32_t)(now - start) / 2;
    return true;
}

static int line_of(struct rft_runtime *runtime, rft_address address, uint32_t instruction)
{
    struct rft_code_epoch epoch = {0};
    enum rft_code_read read;
    const struct rft_code *code = rft_code_get(runtime, address, &epoch, &read);
    return code ? rft_code_place(runtime, code, (int64_t)instruction * 2)->line : 0;
}

static size_t entered_by_table(struct rft_entered_codes *codes, rft_address frame,
                               rft_address address, const unsigned char *bytes, size_t size,
                               struct rft_entered entered[RFT_ENTERED_MAX])
{
    struct rft_runtime *runtime = codes->runtime;
    const struct known *known = known_of(codes, address);
    unsigned char head[RFT_FRAME_BYTES];
    uint64_t words[STACK_MAX];
    struct entry block;
    uint32_t at, start;
    size_t head_size = rft_frame_bytes(runtime), count = 0;
    if (!known || !known->table_size || head_size > sizeof head || codes->decoded > DECODED_MAX)
        return 0;
    codes->decoded += known->table_size;
    if (!bytes || size < head_size) {
        if (!rft_space_try(runtime->space, frame, head, head_size))
            return 0;
        bytes = head;
        size = head_size;
    }
    if (!instruction(runtime, address, bytes, &at) || !find_entry(known, at, &block) ||
        !block.depth || block.depth > STACK_MAX)
        return 0;
    size_t first = rft_at(runtime, RFT_FRAME_LOCALS) + 8 * (size_t)known->slots;
    if (first + 8 * (size_t)block.depth <= size)
        memcpy(words, bytes + first, 8 * (size_t)block.depth);
    else if (!rft_space_try(runtime->space, frame + first, words, 8 * (size_t)block.depth))
        return 0;
    for (uint32_t i = 0; i < block.depth && count < RFT_ENTERED_MAX; i++) {
        rft_address method = rft_frame_object(runtime, words[i]),
                    manager = rft_bound_to(runtime, method, "__exit__");
        uint32_t depth = i + 1;
        if (runtime->minor >= 14) { /* the method, and `self` or NULL */
            depth++;
            if (!manager && i + 1 < block.depth && is_unbound(runtime, method, "__exit__"))
                manager = rft_frame_object(runtime, words[i + 1]);
        }
        /* On the way out with an exception the number of the instruction that raised lies on
         * top of it. */
        if (!manager || (depth < block.depth && is_int(runtime, words[depth])))
            continue;
        entered[count].line =
            find_start(known, at, depth, &start) ? line_of(runtime, address, start - 1) : 0;
        entered[count++].manager = manager;
    }
    return count;
}

/* --- up to 3.10: the stack of blocks ------------------------------------------------------ */

struct block {
    int32_t type, handler, level; /* PyTryBlock */
};

/* PyFrameObject: f_code, three namespaces, f_valuestack; f_lasti, f_lineno, f_iblock; the blocks
 * end where the variables begin. */
static size_t entered_by_blocks(struct rft_runtime *runtime, rft_address frame,
                                struct rft_entered entered[RFT_ENTERED_MAX])
{
    unsigned char head[512];
    struct block blocks[BLOCKS];
    size_t size = rft_at(runtime, RFT_FRAME_LOCALS), count = 0;
    uint64_t word;
    if (size > sizeof head || size < sizeof blocks ||
        !rft_space_try(runtime->space, frame, head, size))
        return 0;
    rft_address stack = rft_word(head, rft_at(runtime, RFT_FRAME_EXECUTABLE) + 32);
    int32_t last = 0, block_count = rft_int(head, rft_at(runtime, RFT_FRAME_LASTI) + 8);
    memcpy(blocks, head + size - sizeof blocks, sizeof blocks);
    for (int32_t i = 0; i < block_count && i < BLOCKS; i++) {
        /* A try block inside of it has the same level: the outermost one counts. */
        int32_t level = blocks[i].level;
        if (blocks[i].type != BLOCK_SETUP_FINALLY || level <= last || level > STACK_MAX)
            continue;
        last = level;
        if (!rft_read_word(runtime, stack + 8 * (uint64_t)(level - 1), &word))
            continue;
        rft_address manager = rft_bound_to(runtime, rft_frame_object(runtime, word), "__exit__");
        if (manager)
            entered[count++] = (struct rft_entered){.manager = manager};
    }
    return count;
}

size_t rft_entered_of_frame(struct rft_entered_codes *codes, rft_address frame, rft_address code,
                            const unsigned char *bytes, size_t size,
                            struct rft_entered entered[RFT_ENTERED_MAX])
{
    return codes->runtime->minor >= 11 ? entered_by_table(codes, frame, code, bytes, size, entered)
                                       : entered_by_blocks(codes->runtime, frame, entered);
}

/* --- frames ---------------------------------------------------------------------------- */

bool rft_generator_frame(struct rft_runtime *runtime, rft_address generator, rft_address *frame,
                         rft_address *code)
{
    struct rft_type type;
    rft_address head = rft_at(runtime, RFT_OBJECT_SIZE);
    unsigned char owner = OWNED_BY_GENERATOR;
    if (!rft_object_type(runtime, generator, &type) || (type.flags & RFT_TPFLAGS_HEAP_TYPE) ||
        strcmp(type.name, "generator") != 0)
        return false;
    if (runtime->minor <= 10) { /* gi_frame */
        if (!rft_read_word(runtime, generator + head, frame) || !*frame)
            return false;
    } else if (rft_has(runtime, RFT_GEN_IFRAME)) {
        *frame = generator + rft_at(runtime, RFT_GEN_IFRAME);
    } else { /* 3.12: behind six words and four bytes; 3.11 has one word more */
        *frame = generator + head + (runtime->minor == 11 ? 64 : 56);
    }
    if (runtime->minor >= 11 &&
        !rft_space_try(runtime->space, *frame + rft_at(runtime, RFT_FRAME_OWNER), &owner,
                       sizeof owner))
        return false;
    if (owner != OWNED_BY_GENERATOR ||
        !rft_read_word(runtime, *frame + rft_at(runtime, RFT_FRAME_EXECUTABLE), code))
        return false;
    *code = rft_frame_object(runtime, *code);
    return rft_object_type(runtime, *code, &type) && !strcmp(type.name, "code");
}

size_t rft_frame_words(struct rft_runtime *runtime, rft_address frame, rft_address code,
                       uint64_t *words, size_t most)
{
    rft_address first = frame + rft_at(runtime, RFT_FRAME_LOCALS);
    int32_t slots, stack;
    if (!rft_read_int(runtime, code + runtime->layout.code_stacksize, &stack) || stack < 0 ||
        stack > STACK_MAX)
        return 0;
    if (runtime->minor >= 11) {
        if (!rft_has(runtime, RFT_CODE_NLOCALSPLUS) ||
            !rft_read_int(runtime, code + rft_at(runtime, RFT_CODE_NLOCALSPLUS), &slots))
            return 0;
    } else {
        uint64_t end;
        if (!rft_read_word(runtime, frame + rft_at(runtime, RFT_FRAME_EXECUTABLE) + 32, &end) ||
            end < first || (end - first) / 8 > SLOTS_MAX)
            return 0;
        slots = (int32_t)((end - first) / 8);
    }
    if (slots < 0 || slots > SLOTS_MAX)
        return 0;
    size_t count = (size_t)slots + (size_t)stack;
    if (count > most)
        count = most;
    return rft_space_try(runtime->space, first, words, 8 * count) ? count : 0;
}

#include "runtime/local.h"

#include <stdlib.h>

#include "runtime/dict.h"

enum {
    FRAME_LOCALS_MAX = 1024,       /* variables of one frame that are looked at */
    SNAPSHOT_LOCALS_MAX = 1 << 19, /* of one snapshot that are shown */
    CODES = 512,                   /* code objects whose names are remembered */
    NAME_MAX_CHARS = 200,
    CODE_BYTES = 256,         /* all of PyCodeObject that is used */
    NAMESPACE_MAX = 256,      /* entries of a class body's namespace */
    FLAG_OPTIMIZED = 1,       /* CO_OPTIMIZED: variables have slots (Include/cpython/code.h) */
    FLAG_VARARGS = 4,         /* CO_VARARGS: has *args */
    FLAG_VARKEYWORDS = 8,     /* CO_VARKEYWORDS: has **kwargs */
    KIND_CELL_OR_FREE = 0xc0, /* CO_FAST_CELL, CO_FAST_FREE (pycore_code.h) */
};

/* One slot of a frame. */
struct slot {
    const char *name;
    size_t index; /* of the frame's slots */
    bool cell;    /* the value may lie in a cell */
    bool argument;
};

/* The slots of a code object's frames. */
struct slots {
    rft_address code;
    uint32_t flags;
    size_t count;
    const struct slot *items;
};

struct rft_locals {
    struct rft_runtime *runtime;
    struct rft_strbuf text;
    size_t left;
    bool exhausted;
    struct slots codes[CODES];
};

struct rft_locals *rft_locals_begin(struct rft_runtime *runtime)
{
    struct rft_locals *locals = calloc(1, sizeof *locals);
    if (locals) {
        locals->runtime = runtime;
        locals->left = SNAPSHOT_LOCALS_MAX;
    }
    return locals;
}

void rft_locals_end(struct rft_locals *locals)
{
    if (locals)
        rft_strbuf_deinit(&locals->text);
    free(locals);
}

bool rft_locals_exhausted(const struct rft_locals *locals)
{
    return locals->exhausted;
}

/* --- slots of a code object -------------------------------------------------------- */

static uint32_t code_int(const struct rft_runtime *runtime, const unsigned char *code,
                         enum rft_field field)
{
    return (uint32_t)rft_int(code, rft_at(runtime, field));
}

/* Appends the names in a tuple to slots[*count ...]. */
static void add_names(struct rft_runtime *runtime, rft_address tuple, struct slot *slots,
                      size_t *count, bool cell)
{
    rft_address items[FRAME_LOCALS_MAX];
    uint64_t length;
    size_t got;
    if (!rft_sequence_items(runtime, tuple, false, 0, items, FRAME_LOCALS_MAX - *count, &got,
                            &length))
        return;
    for (size_t i = 0; i < got; i++, ++*count)
        slots[*count] = (struct slot){
            .name = rft_read_str(runtime, items[i], NAME_MAX_CHARS, &runtime->arena),
            .index = *count,
            .cell = cell,
        };
}

/* 3.11 and newer: one tuple of names, one byte of kind for each. */
static void read_localsplus(struct rft_runtime *runtime, const unsigned char *code,
                            struct slot *slots, size_t *count)
{
    unsigned char kinds[FRAME_LOCALS_MAX];
    uint64_t length;
    add_names(runtime, rft_word(code, rft_at(runtime, RFT_CODE_LOCALNAMES)), slots, count, false);
    size_t declared = code_int(runtime, code, RFT_CODE_NLOCALSPLUS);
    if (*count > declared)
        *count = declared;
    rft_address bytes = rft_word(code, rft_at(runtime, RFT_CODE_LOCALKINDS));
    if (!rft_read_field(runtime, bytes, RFT_BYTES_COUNT, &length) || length < *count ||
        !rft_space_try(runtime->space, bytes + rft_at(runtime, RFT_BYTES_DATA), kinds, *count)) {
        *count = 0; /* without its kind a slot means nothing */
        return;
    }
    for (size_t i = 0; i < *count; i++)
        slots[i].cell = kinds[i] & KIND_CELL_OR_FREE;
}

/* Up to 3.10: variables, those that closures of this function use, those of outer functions.
 * An argument that a closure uses moves to a second slot of the same name; its first one is
 * empty (co_cell2arg). */
static void read_three_tuples(struct rft_runtime *runtime, const unsigned char *code,
                              struct slot *slots, size_t *count, uint64_t arguments)
{
    static const enum rft_field fields[] = {RFT_CODE_VARNAMES, RFT_CODE_CELLVARS,
                                            RFT_CODE_FREEVARS};
    for (size_t i = 0; i < 3; i++)
        add_names(runtime, rft_word(code, rft_at(runtime, fields[i])), slots, count, i > 0);
    for (size_t i = 0; i < *count; i++) {
        for (size_t a = 0; slots[i].cell && slots[i].name && a < arguments && a < i; a++) {
            if (slots[a].cell || !slots[a].name || strcmp(slots[a].name, slots[i].name) != 0)
                continue;
            slots[a].index = slots[i].index;
            slots[a].cell = true;
            memmove(&slots[i], &slots[i + 1], (--*count - i) * sizeof *slots);
            i--;
            break;
        }
    }
}

/* Whether the first `size` bytes of a code object have all that is looked at here. A target says
 * itself where its fields are. */
static bool has_fields(const struct rft_runtime *runtime, size_t size)
{
    static const enum rft_field of_all[] = {RFT_CODE_FLAGS, RFT_CODE_ARGCOUNT, RFT_CODE_KWONLY};
    static const enum rft_field newer[] = {RFT_CODE_LOCALNAMES, RFT_CODE_LOCALKINDS,
                                           RFT_CODE_NLOCALSPLUS};
    static const enum rft_field older[] = {RFT_CODE_VARNAMES, RFT_CODE_CELLVARS, RFT_CODE_FREEVARS};
    const enum rft_field *others = runtime->minor >= 11 ? newer : older;
    for (size_t i = 0; i < 3; i++) {
        if (size < 8 || rft_at(runtime, of_all[i]) > size - 8 ||
            rft_at(runtime, others[i]) > size - 8)
            return false;
    }
    return true;
}

static bool read_slots(struct rft_runtime *runtime, rft_address address, struct slots *out)
{
    unsigned char code[CODE_BYTES];
    struct slot slots[FRAME_LOCALS_MAX];
    size_t size = rft_at(runtime, RFT_CODE_SIZE), count = 0;
    if (size > sizeof code)
        size = sizeof code;
    memset(code, 0, sizeof code);
    if (!has_fields(runtime, size) || !rft_space_try(runtime->space, address, code, size))
        return false;
    uint32_t flags = code_int(runtime, code, RFT_CODE_FLAGS);
    uint64_t arguments = (uint64_t)code_int(runtime, code, RFT_CODE_ARGCOUNT) +
                         code_int(runtime, code, RFT_CODE_KWONLY) + !!(flags & FLAG_VARARGS) +
                         !!(flags & FLAG_VARKEYWORDS);
    if (runtime->minor >= 11)
        read_localsplus(runtime, code, slots, &count);
    else
        read_three_tuples(runtime, code, slots, &count, arguments);
    for (size_t i = 0; i < count; i++)
        slots[i].argument = i < arguments;
    struct slot *kept = rft_arena_alloc(&runtime->arena, (count ? count : 1) * sizeof *kept);
    if (!kept)
        return false;
    memcpy(kept, slots, count * sizeof *kept);
    *out = (struct slots){.code = address, .flags = flags, .count = count, .items = kept};
    return true;
}

static const struct slots *slots_of(struct rft_locals *locals, rft_address code)
{
    struct slots *slots = &locals->codes[(code >> 5) % CODES];
    if (slots->code != code && !read_slots(locals->runtime, code, slots)) {
        slots->code = 0;
        return NULL;
    }
    return slots;
}

/* --- values -------------------------------------------------------------------------- */

static const char *kept_text(struct rft_locals *locals)
{
    return locals->text.failed
               ? NULL
               : rft_arena_copy(&locals->runtime->arena, rft_strbuf_text(&locals->text),
                                locals->text.length);
}

/* One variable with its value; false: it has none, or there is no memory. */
static bool describe(struct rft_locals *locals, const struct slot *slot, uint64_t bits,
                     struct rft_local *out)
{
    struct rft_runtime *runtime = locals->runtime;
    struct rft_type type;
    *out = (struct rft_local){
        .name = slot->name ? slot->name : "", .type = "", .value = "", .argument = slot->argument};
    rft_strbuf_clear(&locals->text);
    if (runtime->minor >= 14) {
        /* A _PyStackRef: tag 3 is an int in the word itself, else an object's address under a
         * tag, or with no address NULL (Include/internal/pycore_stackref.h). */
        if ((bits & 3) == 3) {
            rft_strbuf_format(&locals->text, "%lld", (long long)((int64_t)bits >> 2));
            out->type = "int";
            out->value = kept_text(locals);
            return out->value != NULL;
        }
        bits &= ~UINT64_C(3);
    }
    if (!bits)
        return false;
    bool known = rft_object_type(runtime, bits, &type);
    if (slot->cell && known && type.kind == RFT_OBJECT_CELL) {
        /* PyCellObject: the head, ob_ref. */
        if (!rft_read_word(runtime, bits + rft_at(runtime, RFT_OBJECT_SIZE), &bits) || !bits)
            return false;
        known = rft_object_type(runtime, bits, &type);
    }
    out->object = bits;
    if (!known)
        return true;
    out->type = rft_arena_copy(&runtime->arena, type.name, strlen(type.name));
    if (rft_object_value(runtime, bits, &type, &locals->text) && locals->text.length)
        out->value = kept_text(locals);
    locals->text.failed = false;
    return out->type && out->value;
}

static void set_locals(struct rft_locals *locals, struct rft_frame *frame,
                       const struct rft_local *items, size_t count)
{
    struct rft_local *kept = rft_arena_alloc(&locals->runtime->arena, count * sizeof *kept);
    if (!count || !kept)
        return;
    memcpy(kept, items, count * sizeof *kept);
    frame->locals = kept;
    frame->local_count = count;
    locals->left -= count;
}

/* A class body, or exec() with a namespace of its own: its variables are a dict's entries. Of
 * a module they are its globals, which are not shown. */
static void read_namespace(struct rft_locals *locals, struct rft_frame *frame,
                           const unsigned char *head)
{
    struct rft_runtime *runtime = locals->runtime;
    struct rft_local found[NAMESPACE_MAX];
    struct rft_dict_entry entries[NAMESPACE_MAX];
    struct rft_dict dict;
    size_t got, count = 0;
    /* f_globals, f_builtins, f_locals follow f_funcobj, and up to 3.10 f_builtins, f_globals,
     * f_locals follow f_code. */
    uint32_t before =
        rft_at(runtime, runtime->minor >= 11 ? RFT_FRAME_FUNCTION : RFT_FRAME_EXECUTABLE);
    uint64_t globals = rft_word(head, before + (runtime->minor >= 11 ? 8 : 16));
    uint64_t names = rft_word(head, before + 24);
    size_t most = locals->left < NAMESPACE_MAX ? locals->left : NAMESPACE_MAX;
    struct rft_type type;
    if (!names || names == globals || !rft_object_type(runtime, names, &type) ||
        type.kind != RFT_OBJECT_DICT || !rft_dict_open(runtime, names, &dict) ||
        !rft_dict_read(runtime, &dict, 0, entries, most, &got))
        return;
    for (size_t i = 0; i < got; i++) {
        struct slot slot = {0};
        if (entries[i].key)
            slot.name = rft_read_str(runtime, entries[i].key, NAME_MAX_CHARS, &runtime->arena);
        if (slot.name && describe(locals, &slot, entries[i].value, &found[count]))
            count++;
    }
    set_locals(locals, frame, found, count);
}

void rft_locals_of_frame(struct rft_locals *locals, struct rft_frame *frame,
                         const unsigned char *bytes, size_t size)
{
    struct rft_runtime *runtime = locals->runtime;
    /* Of the frame's head, and all slots. */
    unsigned char live[512 + 8 * FRAME_LOCALS_MAX];
    struct rft_local found[FRAME_LOCALS_MAX];
    size_t slots_at = rft_at(runtime, RFT_FRAME_LOCALS), slot_count = 0, count = 0;
    const struct slots *slots = slots_of(locals, frame->code);
    if (!slots || slots_at > 512)
        return;
    for (size_t i = 0; i < slots->count; i++) {
        if (slots->items[i].index >= slot_count)
            slot_count = slots->items[i].index + 1;
    }
    size_t needed = slots_at + 8 * slot_count;
    if (!bytes || size < needed) {
        if (!rft_space_try(runtime->space, frame->frame, live, needed))
            return;
        uint64_t code = rft_word(live, rft_at(runtime, RFT_FRAME_EXECUTABLE));
        if ((runtime->minor >= 14 ? code & ~UINT64_C(3) : code) != frame->code)
            return;
        bytes = live;
    }
    if (!(slots->flags & FLAG_OPTIMIZED)) {
        read_namespace(locals, frame, bytes);
        return;
    }
    for (size_t i = 0; i < slots->count; i++) {
        if (count >= locals->left) {
            locals->exhausted = true;
            break;
        }
        uint64_t bits = rft_word(bytes, slots_at + 8 * slots->items[i].index);
        if (describe(locals, &slots->items[i], bits, &found[count]))
            count++;
    }
    set_locals(locals, frame, found, count);
}

#include "runtime/code.h"

#include <stdlib.h>

/* Characters of a name that are kept. */
enum { NAME_MOST = 1000, FILE_MOST = 4096 };

struct rft_codes *rft_codes_create(const struct rft_runtime *runtime)
{
    struct rft_codes *codes = calloc(1, sizeof *codes);
    if (!codes) {
        return NULL;
    }
    const uint32_t *at = runtime->layout.at;
    codes->head = at[RFT_OBJECT_TYPE];
    codes->head_end = at[RFT_CODE_VERSION] != RFT_NO_FIELD ? at[RFT_CODE_VERSION] + 4
                                                           : at[RFT_CODE_LINETABLE] + 8;
    if (codes->head_end < codes->head || codes->head_end - codes->head > RFT_CODE_HEAD_MAX) {
        /* A table of nonsense: compare the type only. */
        codes->head_end = codes->head + 8;
    }
    return codes;
}

static void free_code(struct rft_code *code)
{
    free(code->block);
    free(code);
}

void rft_codes_destroy(struct rft_codes *codes)
{
    if (!codes) {
        return;
    }
    for (size_t i = 0; i < codes->all.count; i++) {
        free_code(codes->all.items[i]);
    }
    for (size_t i = 0; i < codes->retired.count; i++) {
        free(codes->retired.items[i]);
    }
    rft_vec_free(&codes->all);
    rft_vec_free(&codes->retired);
    rft_index_deinit(&codes->index);
    free(codes);
}

void rft_codes_begin(struct rft_runtime *runtime)
{
    struct rft_codes *codes = runtime->codes;
    for (size_t i = 0; i < codes->retired.count; i++) {
        free(codes->retired.items[i]);
    }
    codes->retired.count = 0;
    if (codes->bytes > RFT_CODES_BYTES_MAX || codes->all.count >= RFT_CODES_MAX) {
        for (size_t i = 0; i < codes->all.count; i++) {
            free_code(codes->all.items[i]);
        }
        codes->all.count = 0;
        codes->bytes = 0;
        rft_index_deinit(&codes->index);
    }
}

void rft_codes_look(struct rft_runtime *runtime)
{
    runtime->codes->look++;
}

static uint64_t hash_of(rft_address address)
{
    return (address >> 4) * 0x9e3779b97f4a7c15u >> 16;
}

static struct rft_code *find(struct rft_codes *codes, rft_address address)
{
    uint32_t at = 0, item;
    uint64_t hash = hash_of(address);
    while ((item = rft_index_probe(&codes->index, hash, &at)) != RFT_INDEX_END) {
        if (codes->all.items[item]->address == address) {
            return codes->all.items[item];
        }
    }
    return NULL;
}

/* A core need not have the text of a type's name: it is read-only data of a file that may be
 * gone since. The sizes of the type tell as much: tp_basicsize and tp_itemsize, behind tp_name,
 * are those of no other (Objects/codeobject.c). */
static bool has_sizes_of_code(struct rft_runtime *runtime, rft_address type)
{
    const uint32_t *at = runtime->layout.at;
    uint64_t basic, item;
    bool variable = runtime->minor >= 11; /* the bytecode is a part of it */
    return rft_read_word(runtime, type + at[RFT_TYPE_NAME] + 8, &basic) &&
           rft_read_word(runtime, type + at[RFT_TYPE_NAME] + 16, &item) &&
           basic == (variable ? at[RFT_CODE_ADAPTIVE] : at[RFT_CODE_SIZE]) &&
           item == (variable ? 2 : 0);
}

static bool is_code_type(struct rft_runtime *runtime, rft_address type)
{
    if (runtime->code_type) {
        return type == runtime->code_type;
    }
    uint64_t name;
    char text[5];
    if (!rft_read_field(runtime, type, RFT_TYPE_NAME, &name)) {
        return false;
    }
    bool found;
    if (rft_space_try(runtime->space, name, text, sizeof text)) {
        found = !memcmp(text, "code", 5);
    } else {
        found =
            rft_space_kind(runtime->space) == RFT_SPACE_CORE && has_sizes_of_code(runtime, type);
    }
    if (found) {
        runtime->code_type = type;
    }
    return found;
}

/* The two heads say the same code object. Between type and version lie fields that may
 * change while it lives (co_consts in free-threaded builds, co_warmup in 3.11). The first line is
 * compared for interpreters that count their versions alike, one after the other in one place. */
static bool same_head(const struct rft_runtime *runtime, const unsigned char *one,
                      const unsigned char *other)
{
    const struct rft_codes *codes = runtime->codes;
    if (rft_has(runtime, RFT_CODE_VERSION) && codes->head_end - codes->head > 8) {
        uint32_t version = rft_at(runtime, RFT_CODE_VERSION) - codes->head;
        uint32_t line = rft_at(runtime, RFT_CODE_FIRSTLINE) - codes->head;
        return !memcmp(one, other, 8) && rft_int(one, version) == rft_int(other, version) &&
               (line > version || rft_int(one, line) == rft_int(other, line));
    }
    return !memcmp(one, other, codes->head_end - codes->head);
}

/* Reads names and table into a block of the entry's own. */
static bool fill(struct rft_runtime *runtime, struct rft_code *code)
{
    struct rft_codes *codes = runtime->codes;
    const uint32_t *at = runtime->layout.at;
    unsigned char bytes[512];
    static const enum rft_field used[] = {
        RFT_OBJECT_TYPE, RFT_CODE_FIRSTLINE, RFT_CODE_FIRSTTRACEABLE, RFT_CODE_QUALNAME,
        RFT_CODE_FLAGS,  RFT_CODE_NAME,      RFT_CODE_FILENAME,       RFT_CODE_LINETABLE,
    };
    uint32_t size = codes->head_end;
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
        if (at[used[i]] != RFT_NO_FIELD && at[used[i]] + 8 > size) {
            size = at[used[i]] + 8;
        }
    }
    if (size > sizeof bytes) {
        return false;
    }
    if (!rft_space_try(runtime->space, code->address, bytes, size) ||
        !is_code_type(runtime, rft_word(bytes, at[RFT_OBJECT_TYPE]))) {
        return false;
    }
    memcpy(code->head, bytes + codes->head, codes->head_end - codes->head);
    code->first_line = rft_int(bytes, at[RFT_CODE_FIRSTLINE]);
    code->flags =
        at[RFT_CODE_FLAGS] != RFT_NO_FIELD ? (uint32_t)rft_int(bytes, at[RFT_CODE_FLAGS]) : 0;
    code->bytecode = 0;
    code->first_traceable = 0;
    code->tlbc_generation = UINT64_MAX;
    if (runtime->minor >= 11) {
        code->bytecode = code->address + at[RFT_CODE_ADAPTIVE];
        uint32_t first = at[RFT_CODE_FIRSTTRACEABLE];
        if (first != RFT_NO_FIELD) {
            code->first_traceable = (uint32_t)rft_int(bytes, first) * 2;
        }
    }

    struct rft_arena texts = {0};
    uint32_t name_at =
        at[RFT_CODE_QUALNAME] != RFT_NO_FIELD ? at[RFT_CODE_QUALNAME] : at[RFT_CODE_NAME];
    const char *name = rft_read_str(runtime, rft_word(bytes, name_at), NAME_MOST, &texts);
    const char *file =
        rft_read_str(runtime, rft_word(bytes, at[RFT_CODE_FILENAME]), FILE_MOST, &texts);
    name = name ? name : "?";
    file = file ? file : "?";
    rft_address table = rft_word(bytes, at[RFT_CODE_LINETABLE]);
    uint64_t table_size = 0;
    if (!rft_read_field(runtime, table, RFT_BYTES_COUNT, &table_size) ||
        table_size > RFT_CODE_TABLE_MAX) {
        table_size = 0;
    }
    size_t name_size = strlen(name) + 1, file_size = strlen(file) + 1;
    char *block = malloc(table_size + name_size + file_size);
    bool done = block != NULL;
    if (done) {
        if (table_size &&
            !rft_space_try(runtime->space, table + at[RFT_BYTES_DATA], block, (size_t)table_size)) {
            table_size = 0;
        }
        code->block = block;
        code->serial = ++codes->serial;
        code->table = (unsigned char *)block;
        code->table_size = (uint32_t)table_size;
        code->name = memcpy(block + table_size, name, name_size);
        code->file = memcpy(block + table_size + name_size, file, file_size);
        codes->bytes += table_size + name_size + file_size + sizeof *code;
    }
    rft_arena_deinit(&texts);
    return done;
}

/* It may have gone while its parts were read, one by one. */
static bool is_still_there(struct rft_runtime *runtime, const struct rft_code *code)
{
    const struct rft_codes *codes = runtime->codes;
    unsigned char again[RFT_CODE_HEAD_MAX];
    return rft_space_try(runtime->space, code->address + codes->head, again,
                         codes->head_end - codes->head) &&
           same_head(runtime, code->head, again);
}

/* What a snapshot may point to is freed when the next one begins. */
static void retire(struct rft_codes *codes, struct rft_code *code)
{
    if (code->block && !rft_vec_push(&codes->retired, code->block)) {
        return; /* without memory: better lost than freed too early */
    }
    code->block = NULL;
}

/* An entry without contents. */
static struct rft_code *add(struct rft_codes *codes, rft_address address)
{
    if (codes->all.count >= RFT_CODES_MAX * 2) {
        return NULL;
    }
    struct rft_code *code = calloc(1, sizeof *code);
    if (!code || !rft_vec_reserve(&codes->all, 1) ||
        !rft_index_add(&codes->index, hash_of(address), (uint32_t)codes->all.count)) {
        free(code);
        return NULL;
    }
    code->address = address;
    return codes->all.items[codes->all.count++] = code;
}

/* That it is what it is holds as long as its interpreter destroys no code object. */
static const struct rft_code *checked(struct rft_codes *codes, struct rft_code *code,
                                      const struct rft_code_epoch *epoch)
{
    code->look = codes->look;
    if (epoch->generation) {
        code->keeper = epoch->interpreter;
        code->generation = epoch->generation;
    }
    return code;
}

const struct rft_code *rft_code_get(struct rft_runtime *runtime, rft_address address,
                                    const struct rft_code_epoch *epoch, enum rft_code_read *read)
{
    struct rft_codes *codes = runtime->codes;
    struct rft_code *code = find(codes, address);
    *read = RFT_CODE_KNOWN;
    if (code && code->block) {
        if (code->look == codes->look) {
            return checked(codes, code, epoch);
        }
        if (epoch->generation && code->keeper == epoch->interpreter &&
            code->generation == epoch->generation) {
            return code;
        }
        unsigned char head[RFT_CODE_HEAD_MAX];
        *read = RFT_CODE_CHECKED;
        if (rft_space_try(runtime->space, address + codes->head, head,
                          codes->head_end - codes->head) &&
            same_head(runtime, code->head, head)) {
            return checked(codes, code, epoch);
        }
        retire(codes, code);
    }
    *read = RFT_CODE_FRESH;
    if (!code && !(code = add(codes, address))) {
        return NULL;
    }
    code->keeper = 0;
    code->generation = 0;
    if (!fill(runtime, code) || !is_still_there(runtime, code)) {
        retire(codes, code);
        return NULL;
    }
    return checked(codes, code, epoch);
}

/* So many at once that all their pages are remembered. */
enum { AT_ONCE = 48 };

/* Heads of code objects, as they are now. */
struct heads {
    struct rft_read reads[AT_ONCE];
    unsigned char bytes[AT_ONCE][RFT_CODE_HEAD_MAX];
};

static void read_heads(struct rft_runtime *runtime, const rft_address *addresses, size_t count,
                       struct heads *heads)
{
    const struct rft_codes *codes = runtime->codes;
    for (size_t i = 0; i < count; i++) {
        heads->reads[i] = (struct rft_read){.address = addresses[i] + codes->head,
                                            .buffer = heads->bytes[i],
                                            .size = codes->head_end - codes->head};
    }
    rft_space_read_many(runtime->space, heads->reads, count);
}

/* Reads the pages of code objects, and of what they point to: names, files, tables. */
static void fetch_pages(struct rft_runtime *runtime, const rft_address *codes, size_t count)
{
    static const enum rft_field parts[] = {RFT_CODE_QUALNAME, RFT_CODE_NAME, RFT_CODE_FILENAME,
                                           RFT_CODE_LINETABLE};
    enum { PARTS = sizeof parts / sizeof *parts };
    rft_address addresses[AT_ONCE * PARTS];
    size_t used = 0;
    rft_space_fetch(runtime->space, codes, count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < PARTS; k++) {
            used += rft_read_field(runtime, codes[i], parts[k], &addresses[used]);
        }
    }
    rft_space_fetch(runtime->space, addresses, used);
}

/* A code object whose head is the same before all its parts were read and after them has not gone
 * meanwhile, and then what its pages had in between is of it. */
static void fetch_some(struct rft_runtime *runtime, const rft_address *addresses, size_t count)
{
    struct rft_codes *codes = runtime->codes;
    struct heads before, after;
    read_heads(runtime, addresses, count, &before);
    rft_space_remember_pages(runtime->space, true);
    fetch_pages(runtime, addresses, count);
    for (size_t i = 0; i < count; i++) {
        struct rft_code *code = find(codes, addresses[i]);
        code = code ? code : add(codes, addresses[i]);
        if (code && !code->block) {
            code->keeper = 0;
            code->generation = 0;
            if (!fill(runtime, code)) {
                retire(codes, code);
            }
        }
    }
    rft_space_remember_pages(runtime->space, false);
    read_heads(runtime, addresses, count, &after);
    for (size_t i = 0; i < count; i++) {
        struct rft_code *code = find(codes, addresses[i]);
        if (!code || !code->block || code->look == codes->look) {
            continue;
        }
        if (before.reads[i].done && after.reads[i].done &&
            same_head(runtime, before.bytes[i], code->head) &&
            same_head(runtime, after.bytes[i], code->head)) {
            code->look = codes->look;
        } else {
            retire(codes, code);
        }
    }
}

void rft_codes_fetch(struct rft_runtime *runtime, const rft_address *addresses, size_t count)
{
    for (size_t first = 0; first < count; first += AT_ONCE) {
        fetch_some(runtime, addresses + first, count - first < AT_ONCE ? count - first : AT_ONCE);
    }
}

void rft_code_checked(struct rft_runtime *runtime, rft_address address, const unsigned char *head)
{
    struct rft_code *code = find(runtime->codes, address);
    if (code && code->block && same_head(runtime, code->head, head)) {
        code->look = runtime->codes->look;
    }
}

rft_address rft_code_bytecode(struct rft_runtime *runtime, const struct rft_code *code,
                              int32_t tlbc_index, const struct rft_code_epoch *epoch)
{
    if (tlbc_index == 0) {
        return code->bytecode;
    }
    struct rft_code *entry = find(runtime->codes, code->address);
    if (!entry || tlbc_index < 0) {
        return 0;
    }
    if (entry->tlbc_generation != epoch->tlbc_generation) {
        entry->tlbc_generation = epoch->tlbc_generation;
        memset(entry->tlbc_index, 0, sizeof entry->tlbc_index);
    }
    unsigned slot = (unsigned)tlbc_index & 3;
    if (entry->tlbc_index[slot] == tlbc_index) {
        return entry->tlbc[slot];
    }
    /* struct _PyCodeArray: size, entries[]. */
    uint64_t array, size, start;
    if (!rft_read_field(runtime, code->address, RFT_CODE_TLBC, &array) ||
        !rft_read_word(runtime, array, &size) || (uint64_t)tlbc_index >= size ||
        !rft_read_word(runtime, array + 8 + 8 * (uint64_t)tlbc_index, &start) || !start) {
        return 0;
    }
    entry->tlbc_index[slot] = tlbc_index;
    entry->tlbc[slot] = start;
    return start;
}

const struct rft_place *rft_code_place(struct rft_runtime *runtime, const struct rft_code *code,
                                       int64_t offset)
{
    uint64_t hash = code->serial * 0x10001 + (uint64_t)(offset >> 1);
    struct rft_place_slot *slot =
        &runtime->codes->places[(hash * 0x9e3779b97f4a7c15u >> 40) % RFT_PLACES];
    if (slot->serial != code->serial || slot->at != offset) {
        *slot = (struct rft_place_slot){
            .serial = code->serial,
            .at = offset,
            .place = rft_place_decode(runtime, code, offset),
        };
    }
    return &slot->place;
}

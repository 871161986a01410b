/* What ids stand for. The trace has all of it, but who asks a running process can't wait
 * for a reader: so the short things are kept. Lines are looked up when asked for, in the
 * code object; when that dies, its table is copied. */
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/location.h"
#include "tracer/text.h"
#include "tracer/tracer.h"

struct named_code {
    const char *object; /* NULL: it died */
    uint64_t table;     /* then: where its location table begins in `tables` */
    uint32_t file, name, line, table_length;
};
struct named_node {
    uint32_t parent, code, offset;
};

/* By id; what found no memory, and all that came after it, has no name. */
static struct rft_buffer strings, string_at, codes, tables, nodes, types;

/* The entry of an id, from 1, in a buffer of entries of one size. */
static void *entry(const struct rft_buffer *entries, uint32_t id, size_t size)
{
    return id > 0 && id <= entries->length / size ? entries->bytes + (id - 1) * size : NULL;
}

static void append(struct rft_buffer *entries, const void *bytes, size_t size)
{
    if (!entries->failed) {
        rft_buffer_append(entries, bytes, size);
    }
}

void rft_names_string(const char *bytes, size_t length)
{
    uint64_t span[2] = {strings.length, length};
    rft_buffer_append(&strings, bytes, length);
    if (strings.failed) {
        strings.failed = 0;
        span[1] = 0;
    }
    append(&string_at, span, sizeof span);
}

void rft_names_code(void *object, uint32_t file, uint32_t name, uint32_t line)
{
    struct named_code code = {.object = object, .file = file, .name = name, .line = line};
    append(&codes, &code, sizeof code);
}

void rft_names_code_dies(uint32_t id, const char *table, size_t length)
{
    struct named_code *code = entry(&codes, id, sizeof *code);
    if (code != NULL) {
        code->object = NULL;
        code->table = tables.length;
        rft_buffer_append(&tables, table, length);
        code->table_length = tables.failed ? 0 : (uint32_t)length;
        tables.failed = 0;
    }
}

void rft_names_node(uint32_t parent, uint32_t code, uint32_t offset)
{
    struct named_node node = {parent, code, offset};
    append(&nodes, &node, sizeof node);
}

void rft_names_type(uint32_t name)
{
    append(&types, &name, sizeof name);
}

/* The kernel checks: an interpreter with its own GIL drops its heap without a word. */
static bool read_checked(const void *from, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* Up to `size` bytes of the location table of a code object that is alive. */
static size_t read_table(const char *object, unsigned char *to, size_t size)
{
    const uint32_t *at = tracer.layout.at;
    const char *type, *bytes;
    int64_t length;
    if (!read_checked(object + at[RFT_OBJECT_TYPE], &type, sizeof type) ||
        type != tracer.py.code_type ||
        !read_checked(object + at[RFT_CODE_LINETABLE], &bytes, sizeof bytes) ||
        !read_checked(bytes + at[RFT_BYTES_COUNT], &length, sizeof length) || length <= 0) {
        return 0;
    }
    size_t take = (uint64_t)length < size ? (size_t)length : size;
    return read_checked(bytes + at[RFT_BYTES_DATA], to, take) ? take : 0;
}

/* offset: of the instruction, in code units, + 1; 0: unknown. */
static uint32_t line_at(const struct named_code *code, uint32_t offset)
{
    static unsigned char copied[1 << 16]; /* behind tracer.lock */
    const unsigned char *table = tables.bytes + code->table;
    size_t length = code->table_length;
    if (code->object != NULL) {
        table = copied;
        length = read_table(code->object, copied, sizeof copied);
    }
    struct rft_location_walk walk;
    struct rft_location_entry place;
    if (length > 0 && offset > 0) {
        rft_location_begin(&walk, table, length, code->line);
        while (rft_location_next(&walk, &place)) {
            if (offset - 1 < place.end_unit) {
                return place.line != 0 ? place.line : code->line;
            }
        }
    }
    return code->line;
}

/* As a field of a line: a tab, a line's end and a backslash are \t, \n, \r and \\. */
static void text(struct rft_buffer *out, uint32_t string)
{
    const uint64_t *span = entry(&string_at, string, 2 * sizeof *span);
    const char *from = span != NULL ? (const char *)strings.bytes + span[0] : "?";
    size_t length = span != NULL ? span[1] : 1;
    static const char special[] = "\t\n\r\\", named[] = "tnr\\";
    for (size_t i = 0; i < length; i++) {
        const char *found = from[i] != 0 ? strchr(special, from[i]) : NULL;
        if (found != NULL) {
            rft_buffer_byte(out, '\\');
        }
        rft_buffer_byte(out, from[i] == 0    ? '?'
                             : found != NULL ? (unsigned char)named[found - special]
                                             : (unsigned char)from[i]);
    }
}

static void number(struct rft_buffer *out, uint32_t value)
{
    unsigned char digits[10];
    size_t n = 0;
    do {
        digits[sizeof digits - ++n] = (unsigned char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    rft_buffer_append(out, digits + sizeof digits - n, n);
}

/* "type TAB thread LF", then up to `depth` frames, innermost first: "file TAB line TAB
 * function LF". */
void rft_names_of_site(uint32_t id, uint32_t depth, struct rft_buffer *out)
{
    const struct rft_site *site = rft_site_by_id(id);
    const uint32_t *type = entry(&types, site->type_id, sizeof *type);
    text(out, type != NULL ? *type : 0);
    rft_buffer_byte(out, '\t');
    text(out, site->owner->name);
    rft_buffer_byte(out, '\n');
    for (uint32_t node = site->node; node != 0 && depth > 0; depth--) {
        const struct named_node *step = entry(&nodes, node, sizeof *step);
        const struct named_code *code =
            step != NULL ? entry(&codes, step->code, sizeof *code) : NULL;
        if (code == NULL) {
            return;
        }
        text(out, code->file);
        rft_buffer_byte(out, '\t');
        number(out, line_at(code, step->offset));
        rft_buffer_byte(out, '\t');
        text(out, code->name);
        rft_buffer_byte(out, '\n');
        node = step->parent;
    }
}

void rft_names_reset(void)
{
    struct rft_buffer *all[] = {&strings, &string_at, &codes, &tables, &nodes, &types};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        rft_pages_free(all[i]->bytes, all[i]->capacity);
        *all[i] = (struct rft_buffer){0};
    }
}

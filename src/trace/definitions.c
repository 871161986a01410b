/* Chunks that define something which ticks refer to, and the tables they fill. */
#include <string.h>

#include "trace/content.h"

static bool reserve(struct rft_content *content, bool there)
{
    if (!there) {
        content->no_memory = true;
        content->bad = true;
    }
    return there;
}

/* --- strings ----------------------------------------------------------------- */

struct rft_string rft_trace_read_string(struct rft_trace *trace, struct rft_content *content)
{
    size_t length = (size_t)rft_content_number(content, rft_content_left(content));
    /* The length itself took a byte of what was left. */
    if (content->bad || length > rft_content_left(content)) {
        content->bad = true;
        return (struct rft_string){"", 0};
    }
    char *copy = rft_arena_copy(&trace->arena, (const char *)content->at, length);
    if (!reserve(content, copy != NULL))
        return (struct rft_string){"", 0};
    content->at += length;
    return (struct rft_string){copy, length};
}

/* A reference to a record of a table with `count` items, 0 included. If chunks
 * were lost, the record may have been in one of them. */
static uint32_t reference(const struct rft_trace *trace, struct rft_content *content, size_t count)
{
    uint64_t id = rft_content_number(content, UINT32_MAX);
    if (id >= count && !trace->damage.lost_chunks)
        content->bad = true;
    return (uint32_t)id;
}

/* --- tables with ids ----------------------------------------------------------- */

#define NOT_KNOWN ((struct rft_string){"", 0})

bool rft_trace_init_tables(struct rft_trace *trace)
{
    return rft_vec_push(&trace->strings, NOT_KNOWN) &&
           rft_vec_push(&trace->codes, (struct rft_trace_code){.location_table = NOT_KNOWN}) &&
           rft_vec_push(&trace->types, (struct rft_trace_type){0}) &&
           rft_vec_push(&trace->stacks, (struct rft_trace_stack){0}) &&
           rft_vec_push(&trace->threads, (struct rft_trace_thread){.end_ms = UINT64_MAX}) &&
           rft_vec_push(&trace->interpreters,
                        (struct rft_trace_interpreter){.end_ms = UINT64_MAX}) &&
           rft_vec_push(&trace->sites, (struct rft_trace_site){0});
}

/* Extend a table to `length` records that are copies of record 0. */
#define EXTEND(table, length, content)                                                             \
    do {                                                                                           \
        if ((table)->count < (length) &&                                                           \
            reserve(content, rft_vec_reserve(table, (length) - (table)->count))) {                 \
            while ((table)->count < (length)) {                                                    \
                (table)->items[(table)->count] = (table)->items[0];                                \
                (table)->count++;                                                                  \
            }                                                                                      \
        }                                                                                          \
    } while (0)

bool rft_trace_admit_site(struct rft_trace *trace, uint64_t id, struct rft_content *content)
{
    if (id < trace->sites.count)
        return true;
    if (!trace->damage.lost_chunks || id > trace->id_limit)
        return false;
    EXTEND(&trace->sites, (size_t)id + 1, content);
    return !content->no_memory;
}

/* How many records a chunk defines and which is the first; those before it that
 * were in lost chunks are undefined. */
static uint64_t read_range(const struct rft_trace *trace, struct rft_content *content,
                           size_t table_count, uint64_t *ret_first)
{
    uint64_t first = rft_content_number(content, UINT32_MAX);
    /* Each record takes at least one byte. */
    uint64_t count = rft_content_number(content, rft_content_left(content));
    if (first < table_count || (first > table_count && !trace->damage.lost_chunks) ||
        first + count > trace->id_limit)
        content->bad = true;
    *ret_first = first;
    return content->bad ? 0 : count;
}

/* Reads a chunk of records into a table; `read` is an expression that reads one
 * record, with its id in `id`. */
#define DEFINE(table, read)                                                                        \
    do {                                                                                           \
        size_t before = (table)->count;                                                            \
        uint64_t id, n = read_range(trace, content, before, &id);                                  \
        EXTEND(table, content->bad ? before : (size_t)id, content);                                \
        if (!content->bad && reserve(content, rft_vec_reserve(table, n))) {                        \
            for (; n && !content->bad; n--, id++) {                                                \
                (table)->items[id] = (read);                                                       \
                (table)->count = (size_t)id + 1;                                                   \
            }                                                                                      \
        }                                                                                          \
        if (content->bad || content->at != content->end) {                                         \
            content->bad = true;                                                                   \
            (table)->count = before;                                                               \
        }                                                                                          \
    } while (0)

static struct rft_trace_code read_code(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_code code;
    code.file = reference(trace, content, trace->strings.count);
    code.function = reference(trace, content, trace->strings.count);
    code.first_line = (uint32_t)rft_content_number(content, UINT32_MAX);
    code.location_table = rft_trace_read_string(trace, content);
    return code;
}

static struct rft_trace_type read_type(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_type type;
    type.name = reference(trace, content, trace->strings.count);
    type.kind = (uint32_t)rft_content_number(content, UINT32_MAX);
    type.basic_size = rft_content_count(content);
    type.item_size = rft_content_count(content);
    return type;
}

static struct rft_trace_stack read_stack(struct rft_trace *trace, struct rft_content *content,
                                         uint64_t id)
{
    struct rft_trace_stack stack;
    /* Parents come first: without cycles, walks end. */
    stack.parent = id ? (uint32_t)rft_content_number(content, id - 1) : 0;
    stack.code = reference(trace, content, trace->codes.count);
    stack.instruction = (uint32_t)rft_content_number(content, UINT32_MAX);
    return stack;
}

static struct rft_trace_site read_site(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_site site;
    site.stack = reference(trace, content, trace->stacks.count);
    site.type = reference(trace, content, trace->types.count);
    /* Threads and interpreters may be described after their first site. */
    site.thread = (uint32_t)rft_content_number(content, trace->id_limit);
    site.interpreter = (uint32_t)rft_content_number(content, trace->id_limit);
    return site;
}

/* --- threads and interpreters: a later record replaces an earlier one ------------ */

static uint64_t read_end_ms(struct rft_content *content)
{
    uint64_t value = rft_content_number(content, RFT_MS_SANE + 1);
    return value ? value - 1 : UINT64_MAX;
}

static struct rft_trace_thread read_thread(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_thread thread;
    thread.native_id = rft_content_number(content, UINT64_MAX);
    thread.name = reference(trace, content, trace->strings.count);
    thread.start_ms = rft_content_time(content);
    thread.end_ms = read_end_ms(content);
    return thread;
}

static struct rft_trace_interpreter read_interpreter(struct rft_content *content)
{
    struct rft_trace_interpreter interpreter;
    interpreter.number = rft_content_number(content, INT64_MAX);
    interpreter.start_ms = rft_content_time(content);
    interpreter.end_ms = read_end_ms(content);
    return interpreter;
}

static uint64_t read_replaced_id(const struct rft_trace *trace, struct rft_content *content)
{
    uint64_t id = rft_content_number(content, trace->id_limit);
    if (!id)
        content->bad = true;
    return id;
}

/* The chunk is read twice: first to check it, then to take it. */
static void define_threads(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_content start = *content;
    for (unsigned take = 0; take < 2 && !content->bad; take++) {
        *content = start;
        uint64_t n = rft_content_number(content, rft_content_left(content));
        for (; n && !content->bad; n--) {
            uint64_t id = read_replaced_id(trace, content);
            struct rft_trace_thread thread = read_thread(trace, content);
            if (!take || content->bad)
                continue;
            EXTEND(&trace->threads, (size_t)id + 1, content);
            if (!content->no_memory)
                trace->threads.items[id] = thread;
        }
        if (content->at != content->end)
            content->bad = true;
    }
}

static void define_interpreters(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_content start = *content;
    for (unsigned take = 0; take < 2 && !content->bad; take++) {
        *content = start;
        uint64_t n = rft_content_number(content, rft_content_left(content));
        for (; n && !content->bad; n--) {
            uint64_t id = read_replaced_id(trace, content);
            struct rft_trace_interpreter interpreter = read_interpreter(content);
            if (!take || content->bad)
                continue;
            EXTEND(&trace->interpreters, (size_t)id + 1, content);
            if (!content->no_memory)
                trace->interpreters.items[id] = interpreter;
        }
        if (content->at != content->end)
            content->bad = true;
    }
}

/* --- single records -------------------------------------------------------------- */

static void define_program(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_program program = {0};
    program.version = (uint32_t)rft_content_number(content, UINT32_MAX);
    program.flags = (uint32_t)rft_content_number(content, UINT32_MAX);
    program.pid = rft_content_number(content, UINT64_MAX);
    program.parent_pid = rft_content_number(content, UINT64_MAX);
    program.start_ns = rft_content_number(content, UINT64_MAX);
    program.tick_ms = rft_content_time(content);
    program.version_text = rft_trace_read_string(trace, content);
    program.agent_version = rft_trace_read_string(trace, content);
    program.executable = rft_trace_read_string(trace, content);
    program.directory = rft_trace_read_string(trace, content);
    uint64_t count = rft_content_number(content, rft_content_left(content));
    if (content->bad)
        return;
    struct rft_string *arguments =
        rft_arena_alloc(&trace->arena, (size_t)count * sizeof(*arguments));
    if (!reserve(content, arguments != NULL))
        return;
    for (uint64_t i = 0; i < count && !content->bad; i++)
        arguments[i] = rft_trace_read_string(trace, content);
    program.arguments = arguments;
    program.argument_count = (size_t)count;
    if (!content->bad)
        trace->program = program;
}

static void define_loss(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_loss loss;
    loss.kind = (uint32_t)rft_content_number(content, UINT32_MAX);
    loss.time_ms = rft_content_time(content);
    loss.duration_ms = rft_content_time(content);
    loss.count = rft_content_count(content);
    loss.text = rft_trace_read_string(trace, content);
    if (content->bad)
        return;
    rft_trace_saw_time(trace, loss.time_ms);
    reserve(content, rft_vec_push(&trace->losses, loss));
}

static void define_mark(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_mark mark;
    mark.time_ms = rft_content_time(content);
    mark.label = rft_trace_read_string(trace, content);
    if (content->bad)
        return;
    rft_trace_saw_time(trace, mark.time_ms);
    reserve(content, rft_vec_push(&trace->marks, mark));
}

static void define_end(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_end end = {.present = true};
    end.reason = (uint32_t)rft_content_number(content, UINT32_MAX);
    end.time_ms = rft_content_time(content);
    end.births = rft_content_count(content);
    end.deaths = rft_content_count(content);
    end.live = rft_content_count(content);
    if (content->bad)
        return;
    rft_trace_saw_time(trace, end.time_ms);
    trace->end = end;
}

void rft_trace_define(struct rft_trace *trace, unsigned type, struct rft_content *content)
{
    switch (type) {
    case RFT_CHUNK_PROGRAM:
        define_program(trace, content);
        break;
    case RFT_CHUNK_STRINGS:
        DEFINE(&trace->strings, rft_trace_read_string(trace, content));
        break;
    case RFT_CHUNK_CODES:
        DEFINE(&trace->codes, read_code(trace, content));
        break;
    case RFT_CHUNK_TYPES:
        DEFINE(&trace->types, read_type(trace, content));
        break;
    case RFT_CHUNK_STACKS:
        DEFINE(&trace->stacks, read_stack(trace, content, id));
        break;
    case RFT_CHUNK_THREADS:
        define_threads(trace, content);
        break;
    case RFT_CHUNK_INTERPRETERS:
        define_interpreters(trace, content);
        break;
    case RFT_CHUNK_SITES:
        DEFINE(&trace->sites, read_site(trace, content));
        break;
    case RFT_CHUNK_LOSS:
        define_loss(trace, content);
        break;
    case RFT_CHUNK_MARK_LABEL:
        define_mark(trace, content);
        break;
    case RFT_CHUNK_END:
        define_end(trace, content);
        break;
    default:
        break;
    }
}

/* --- accessors --------------------------------------------------------------------- */

#define RECORD(table, id) (&(table).items[(id) < (table).count ? (id) : 0])
#define HIGHEST(table) ((uint32_t)((table).count - 1))

struct rft_string rft_trace_string(const struct rft_trace *trace, uint32_t id)
{
    return *RECORD(trace->strings, id);
}

const struct rft_trace_code *rft_trace_code(const struct rft_trace *trace, uint32_t id)
{
    return RECORD(trace->codes, id);
}

const struct rft_trace_type *rft_trace_type(const struct rft_trace *trace, uint32_t id)
{
    return RECORD(trace->types, id);
}

const struct rft_trace_stack *rft_trace_stack(const struct rft_trace *trace, uint32_t id)
{
    return RECORD(trace->stacks, id);
}

const struct rft_trace_thread *rft_trace_thread(const struct rft_trace *trace, uint32_t id)
{
    return RECORD(trace->threads, id);
}

const struct rft_trace_interpreter *rft_trace_interpreter(const struct rft_trace *trace,
                                                          uint32_t id)
{
    return RECORD(trace->interpreters, id);
}

const struct rft_trace_site *rft_trace_site(const struct rft_trace *trace, uint32_t id)
{
    return RECORD(trace->sites, id);
}

uint32_t rft_trace_string_count(const struct rft_trace *trace)
{
    return HIGHEST(trace->strings);
}

uint32_t rft_trace_code_count(const struct rft_trace *trace)
{
    return HIGHEST(trace->codes);
}

uint32_t rft_trace_type_count(const struct rft_trace *trace)
{
    return HIGHEST(trace->types);
}

uint32_t rft_trace_stack_count(const struct rft_trace *trace)
{
    return HIGHEST(trace->stacks);
}

uint32_t rft_trace_thread_count(const struct rft_trace *trace)
{
    return HIGHEST(trace->threads);
}

uint32_t rft_trace_interpreter_count(const struct rft_trace *trace)
{
    return HIGHEST(trace->interpreters);
}

uint32_t rft_trace_site_count(const struct rft_trace *trace)
{
    return HIGHEST(trace->sites);
}

const struct rft_trace_loss *rft_trace_losses(const struct rft_trace *trace, size_t *ret_count)
{
    if (ret_count)
        *ret_count = trace->losses.count;
    return trace->losses.items;
}

const struct rft_trace_mark *rft_trace_marks(const struct rft_trace *trace, size_t *ret_count)
{
    if (ret_count)
        *ret_count = trace->marks.count;
    return trace->marks.items;
}

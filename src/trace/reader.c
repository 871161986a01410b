/* Finding the whole chunks of a trace, however damaged it is. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "trace/content.h"
#include "trace/source.h"

enum {
    PROGRESS_BYTES = 256 << 10,
    /* Headers of later versions may be longer, but not by much. */
    FILE_HEADER_MAX = 4096,
    /* Room for ids beyond the bytes read, see id_limit: chunks may be missing. */
    ID_SLACK = 1 << 16,
    /* How often each byte may be checked again while searching for the next good
     * chunk. A file made of nothing but chunk markers would otherwise take
     * quadratic time; a file with honest damage needs less than one. */
    RECHECK_FACTOR = 16,
};

struct reader {
    struct rft_trace *trace;
    struct rft_source source;
    const struct rft_trace_visitor *visitor;
    uint64_t at;
    uint64_t next_progress;
    uint64_t recheck_left; /* bytes of checksums that may still fail */
    uint64_t good_chunks;
    uint32_t next_sequence;
};

struct chunk {
    unsigned type;
    uint32_t length, sequence;
    const unsigned char *payload;
};

static uint32_t get32(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* --- the file header ------------------------------------------------------------ */

static struct rft_error *not_a_trace(const char *name, const unsigned char *bytes, size_t size)
{
    static const struct {
        const char *magic;
        size_t length;
        const char *what;
    } known[] = {
        {"\x1f\x8b", 2, "it is compressed with gzip: decompress it first"},
        {"\x28\xb5\x2f\xfd", 4, "it is compressed with zstd: decompress it first"},
        {"\xfd"
         "7zXZ",
         5, "it is compressed with xz: decompress it first"},
        {"\x09RFT", 4, "its 8th bits are gone: copy it in binary mode"},
        {"\x89RFT\n", 5, "its line ends were changed: copy it in binary mode"},
        {"\x89RFT\r\r\n", 7, "its line ends were changed: copy it in binary mode"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (size >= known[i].length && !memcmp(bytes, known[i].magic, known[i].length))
            return rft_error_format(RFT_ERROR_NOT_TRACE, "'%s' cannot be read as a trace: %s", name,
                                    known[i].what);
    }
    return rft_error_format(RFT_ERROR_NOT_TRACE,
                            "'%s' is not a trace: it does not begin like a file that "
                            "'reftracer run' wrote",
                            name);
}

static struct rft_error *read_file_header(struct reader *reader)
{
    const char *name = reader->source.name;
    const unsigned char *bytes;
    size_t size;
    struct rft_error *error =
        rft_source_view(&reader->source, 0, RFT_FILE_HEADER_SIZE, &bytes, &size);
    if (error)
        return error;
    if (!size && reader->source.failed_errno)
        return rft_error_os(reader->source.failed_errno, "cannot read the trace '%s'", name);
    if (!size)
        return rft_error_format(RFT_ERROR_EMPTY,
                                "the trace '%s' is empty: the program ended before the tracer "
                                "wrote anything, or the disk was full",
                                name);
    size_t magic = size < RFT_MAGIC_SIZE ? size : RFT_MAGIC_SIZE;
    if (memcmp(bytes, RFT_MAGIC, magic) != 0)
        return not_a_trace(name, bytes, size);
    if (size < RFT_FILE_HEADER_SIZE)
        return rft_error_format(RFT_ERROR_DAMAGED,
                                "the trace '%s' is cut off within its header (%zu bytes): nothing "
                                "was recorded, run the program again",
                                name, size);
    if (rft_crc32c(0, bytes, 28) != get32(bytes + 28))
        return rft_error_format(RFT_ERROR_DAMAGED,
                                "the header of the trace '%s' is damaged, its checksum is wrong: "
                                "copy the file again, or run the program again",
                                name);
    unsigned version = bytes[8] | (unsigned)bytes[9] << 8;
    unsigned minimum = bytes[10] | (unsigned)bytes[11] << 8;
    if (minimum > RFT_FORMAT_VERSION)
        return rft_error_format(
            RFT_ERROR_NEWER,
            "the trace '%s' has format version %u, which only a reader of version "
            "%u or later understands; this one is of version %d: use a newer "
            "reftracer",
            name, version, minimum, RFT_FORMAT_VERSION);
    uint32_t features = get32(bytes + 16);
    if (features)
        return rft_error_format(RFT_ERROR_NEWER,
                                "the trace '%s' uses features that this reader does not know "
                                "(bits 0x%" PRIx32 "): use a newer reftracer",
                                name, features);
    uint32_t header_size = get32(bytes + 12);
    if (header_size < RFT_FILE_HEADER_SIZE || header_size > FILE_HEADER_MAX)
        return rft_error_format(RFT_ERROR_DAMAGED,
                                "the trace '%s' claims a header of %" PRIu32
                                " bytes, which cannot be: run the program again",
                                name, header_size);
    reader->trace->format_version = version;
    reader->trace->writer_pid = get32(bytes + 24);
    reader->at = header_size;
    return NULL;
}

/* --- chunks ----------------------------------------------------------------------- */

enum look {
    LOOK_GOOD,
    LOOK_NOT_A_CHUNK, /* no marker, or a header that cannot be */
    LOOK_CUT,         /* the file ends before the chunk does */
    LOOK_BAD,         /* whole by its length, but the checksum is wrong */
};

/* What is at `at`. */
static struct rft_error *look(struct reader *reader, uint64_t at, enum look *ret,
                              struct chunk *ret_chunk)
{
    const unsigned char *bytes;
    size_t size;
    struct rft_error *error =
        rft_source_view(&reader->source, at, RFT_CHUNK_HEADER_SIZE, &bytes, &size);
    if (error)
        return error;
    if (size < RFT_CHUNK_HEADER_SIZE) {
        *ret = LOOK_CUT;
        *ret_chunk = (struct chunk){0};
        return NULL;
    }
    *ret_chunk = (struct chunk){
        .type = bytes[4],
        .length = get32(bytes + 8),
        .sequence = get32(bytes + 12),
    };
    uint32_t checksum = get32(bytes + 16);
    if (get32(bytes) != RFT_CHUNK_MARK || ret_chunk->length > RFT_CHUNK_MAX) {
        *ret = LOOK_NOT_A_CHUNK;
        return NULL;
    }
    size_t whole = RFT_CHUNK_HEADER_SIZE + (size_t)ret_chunk->length;
    error = rft_source_view(&reader->source, at, whole, &bytes, &size);
    if (error)
        return error;
    if (size < whole) {
        *ret = LOOK_CUT;
        return NULL;
    }
    ret_chunk->payload = bytes + RFT_CHUNK_HEADER_SIZE;
    uint32_t actual = rft_crc32c(0, bytes, 16);
    actual = rft_crc32c(actual, ret_chunk->payload, ret_chunk->length);
    *ret = actual == checksum ? LOOK_GOOD : LOOK_BAD;
    if (*ret == LOOK_BAD) {
        uint64_t cost = whole;
        reader->recheck_left -= cost < reader->recheck_left ? cost : reader->recheck_left;
    }
    return NULL;
}

/* The next place from `at` on where a chunk may begin, or UINT64_MAX. */
static struct rft_error *find_marker(struct reader *reader, uint64_t at, uint64_t *ret)
{
    enum { STRIDE = 64 << 10 };
    const unsigned char mark[4] = {0x89, 0x72, 0x66, 0x74};
    for (;;) {
        const unsigned char *bytes;
        size_t size;
        struct rft_error *error = rft_source_view(&reader->source, at, STRIDE, &bytes, &size);
        if (error)
            return error;
        const unsigned char *found = size >= 4 ? memmem(bytes, size, mark, 4) : NULL;
        if (found) {
            *ret = at + (uint64_t)(found - bytes);
            return NULL;
        }
        if (size < STRIDE) {
            *ret = UINT64_MAX;
            return NULL;
        }
        at += size - 3;
    }
}

/* From a place where no good chunk begins, go to the next good one. False in
 * *ret: there is none. */
static struct rft_error *resynchronise(struct reader *reader, bool *ret, struct chunk *ret_chunk)
{
    uint64_t at = reader->at;
    *ret = false;
    while (reader->recheck_left) {
        struct rft_error *error = find_marker(reader, at + 1, &at);
        if (error || at == UINT64_MAX)
            return error;
        enum look found;
        error = look(reader, at, &found, ret_chunk);
        if (error)
            return error;
        /* A chunk from before this place is no continuation but its copy. */
        if (found == LOOK_GOOD && ret_chunk->sequence >= reader->next_sequence) {
            reader->trace->damage.skipped_bytes += at - reader->at;
            reader->at = at;
            *ret = true;
            return NULL;
        }
    }
    return NULL;
}

static struct rft_error *take(struct reader *reader, const struct chunk *chunk)
{
    struct rft_trace *trace = reader->trace;
    trace->damage.lost_chunks += chunk->sequence - reader->next_sequence;
    reader->next_sequence = chunk->sequence + 1;
    trace->id_limit = reader->at + RFT_CHUNK_HEADER_SIZE + chunk->length + ID_SLACK;
    if (trace->id_limit >= UINT32_MAX)
        trace->id_limit = UINT32_MAX - 1;

    struct rft_content content = {
        .at = chunk->payload,
        .end = chunk->payload + chunk->length,
    };
    struct rft_error *error = NULL;
    if (chunk->type == RFT_CHUNK_TICK)
        error = rft_trace_tick(trace, &content, reader->visitor);
    else if (chunk->type == RFT_CHUNK_CENSUS)
        error = rft_trace_census(trace, &content, reader->visitor);
    else if (chunk->type >= RFT_CHUNK_PROGRAM && chunk->type <= RFT_CHUNK_END)
        rft_trace_define(trace, chunk->type, &content);
    else if (chunk->type >= RFT_CHUNK_HEAP && chunk->type <= RFT_CHUNK_RETAINERS)
        rft_trace_heap_chunk(trace, chunk->type, &content);
    else if (chunk->type == RFT_CHUNK_NAMES)
        rft_trace_names_chunk(trace, &content);
    else
        trace->damage.unknown_chunks++;
    if (error)
        return error;
    if (content.no_memory)
        return rft_error_no_memory();
    if (content.bad) {
        trace->damage.bad_chunks++;
        trace->damage.lost_chunks++;
        trace->damage.skipped_bytes += RFT_CHUNK_HEADER_SIZE + chunk->length;
        if (chunk->type == RFT_CHUNK_TICK || chunk->type == RFT_CHUNK_CENSUS)
            trace->damage.lost_ticks++;
    } else {
        reader->good_chunks++;
    }
    reader->at += RFT_CHUNK_HEADER_SIZE + (uint64_t)chunk->length;
    return NULL;
}

static struct rft_error *report_progress(struct reader *reader, bool last)
{
    const struct rft_trace_visitor *visitor = reader->visitor;
    if (!visitor || !visitor->progress || (!last && reader->at < reader->next_progress))
        return NULL;
    reader->next_progress = reader->at + PROGRESS_BYTES;
    uint64_t total = reader->source.total > reader->at ? reader->source.total : reader->at;
    if (visitor->progress(visitor->data, reader->at, last ? reader->at : total))
        return NULL;
    return rft_error_format(RFT_ERROR_INTERRUPTED, "reading of the trace '%s' was interrupted",
                            reader->source.name);
}

static struct rft_error *read_chunks(struct reader *reader)
{
    struct rft_trace_damage *damage = &reader->trace->damage;
    for (;;) {
        struct rft_error *error = report_progress(reader, false);
        if (error)
            return error;
        enum look found;
        struct chunk chunk;
        error = look(reader, reader->at, &found, &chunk);
        if (error)
            return error;
        if (found == LOOK_GOOD && chunk.sequence < reader->next_sequence)
            found = LOOK_BAD;
        if (found != LOOK_GOOD) {
            const unsigned char *bytes;
            size_t left;
            error = rft_source_view(&reader->source, reader->at, 1, &bytes, &left);
            if (error || !left)
                return error;
            struct chunk damaged = chunk;
            bool resumed;
            error = resynchronise(reader, &resumed, &chunk);
            if (error)
                return error;
            if (!resumed && found == LOOK_CUT)
                return NULL; /* the rest is counted as cut */
            damage->bad_chunks++;
            damage->lost_ticks +=
                damaged.type == RFT_CHUNK_TICK || damaged.type == RFT_CHUNK_CENSUS;
            if (!resumed) {
                damage->lost_chunks++;
                return NULL;
            }
        }
        error = take(reader, &chunk);
        if (error)
            return error;
    }
}

/* Count what lies behind the last good chunk. */
static struct rft_error *count_rest(struct reader *reader)
{
    enum { STRIDE = 64 << 10 };
    /* The search for a good chunk may have gone further already. */
    uint64_t at = reader->source.offset + reader->source.filled;
    if (at < reader->at)
        at = reader->at;
    for (;;) {
        const unsigned char *bytes;
        size_t size;
        struct rft_error *error = rft_source_view(&reader->source, at, STRIDE, &bytes, &size);
        if (error)
            return error;
        at += size;
        if (size < STRIDE)
            break;
    }
    reader->trace->damage.cut_bytes = at - reader->at;
    reader->trace->damage.skipped_bytes += at - reader->at;
    reader->at = at;
    reader->trace->size = at;
    return NULL;
}

static struct rft_error *read_all(struct reader *reader)
{
    struct rft_error *error = read_file_header(reader);
    if (error)
        return error;
    /* A pipe tells no size; it gets the room of a large trace. */
    uint64_t size = reader->source.total ? reader->source.total : UINT64_C(1) << 30;
    reader->recheck_left = (size + RFT_CHUNK_MAX) * RECHECK_FACTOR;
    error = read_chunks(reader);
    if (!error)
        error = count_rest(reader);
    if (!error)
        error = report_progress(reader, true);
    if (error)
        return error;
    if (reader->source.failed_errno && !reader->good_chunks)
        return rft_error_os(reader->source.failed_errno, "cannot read the trace '%s'",
                            reader->source.name);
    if (reader->good_chunks)
        return NULL;
    const struct rft_trace_damage *damage = &reader->trace->damage;
    if (damage->bad_chunks || damage->unknown_chunks)
        return rft_error_format(RFT_ERROR_DAMAGED,
                                "the trace '%s' is damaged: none of its %" PRIu64
                                " bytes could be understood; copy the file again, or run the "
                                "program again",
                                reader->source.name, reader->trace->size);
    return rft_error_format(RFT_ERROR_EMPTY,
                            "the trace '%s' has no records: process %" PRIu32 " was killed before "
                            "its first ones were written, or it is just starting",
                            reader->source.name, reader->trace->writer_pid);
}

static struct rft_error *read_source(struct reader *reader, struct rft_trace **ret)
{
    struct rft_trace *trace = calloc(1, sizeof(*trace));
    struct rft_error *error;
    if (!trace || !rft_trace_init_tables(trace)) {
        error = rft_error_no_memory();
    } else {
        trace->program.version_text = trace->program.agent_version = trace->program.executable =
            trace->program.directory = (struct rft_string){"", 0};
        reader->trace = trace;
        error = read_all(reader);
    }
    rft_source_close(&reader->source);
    if (error) {
        rft_trace_destroy(trace);
        return error;
    }
    *ret = trace;
    return NULL;
}

struct rft_error *rft_trace_read(const char *path, const struct rft_trace_visitor *visitor,
                                 struct rft_trace **ret)
{
    if (!path || !ret)
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "rft_trace_read() needs a path and a place for the trace");
    struct reader reader = {.visitor = visitor};
    struct rft_error *error = rft_source_open(path, &reader.source);
    return error ? error : read_source(&reader, ret);
}

struct rft_error *rft_trace_read_bytes(const char *name, const void *bytes, size_t size,
                                       const struct rft_trace_visitor *visitor,
                                       struct rft_trace **ret)
{
    if (!name || (!bytes && size) || !ret)
        return rft_error_format(
            RFT_ERROR_ARGUMENT,
            "rft_trace_read_bytes() needs a name, the bytes and a place for the trace");
    struct reader reader = {.visitor = visitor};
    rft_source_memory(name, bytes, size, &reader.source);
    return read_source(&reader, ret);
}

void rft_trace_destroy(struct rft_trace *trace)
{
    if (!trace)
        return;
    rft_vec_free(&trace->strings);
    rft_vec_free(&trace->codes);
    rft_vec_free(&trace->types);
    rft_vec_free(&trace->stacks);
    rft_vec_free(&trace->threads);
    rft_vec_free(&trace->interpreters);
    rft_vec_free(&trace->sites);
    rft_vec_free(&trace->losses);
    rft_vec_free(&trace->marks);
    rft_vec_free(&trace->names_looks);
    rft_trace_free_heaps(trace);
    rft_vec_free(&trace->tick_sites);
    rft_vec_free(&trace->tick_ages);
    rft_vec_free(&trace->census_sites);
    rft_vec_free(&trace->cohorts);
    rft_arena_deinit(&trace->arena);
    free(trace);
}

const struct rft_trace_program *rft_trace_program(const struct rft_trace *trace)
{
    return &trace->program;
}

const struct rft_trace_damage *rft_trace_damage(const struct rft_trace *trace)
{
    return &trace->damage;
}

const struct rft_trace_end *rft_trace_end(const struct rft_trace *trace)
{
    return &trace->end;
}

uint64_t rft_trace_size(const struct rft_trace *trace)
{
    return trace->size;
}

uint64_t rft_trace_last_ms(const struct rft_trace *trace)
{
    return trace->last_ms;
}

uint32_t rft_trace_writer_pid(const struct rft_trace *trace)
{
    return trace->writer_pid;
}

uint32_t rft_trace_format_version(const struct rft_trace *trace)
{
    return trace->format_version;
}

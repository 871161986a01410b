/* The trace file of this process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "trace/writer.h"

/* A tick every TICK_MS. The ticks of a long run are made longer, so that the
 * file grows with the logarithm of the time: each TICK_BUDGET bytes of ticks
 * double the interval. A kill loses at most one interval, so it is bounded;
 * only a file that is large already goes further. */
enum { TICK_MS = 100, TICK_MAX_MS = 2000, TICK_MAX_LARGE_MS = 60000 };

/* The first tick comes sooner: a program that crashes at its start leaves more than its
 * name. What that tick costs delays the second one, like any. */
enum { FIRST_TICK_MS = 20 };
enum { TICK_BUDGET = 2 << 20, TICK_LARGE = 64 << 20 };
/* Collecting a tick may take at most 1/50 of the time between ticks: so the next one
 * waits 50 times as long as this one took. Processor time, of this tick alone: one
 * that was dear because the program was importing, or because the machine was busy,
 * must not make the rest of the run coarse. */
enum { TICK_COST = 50 };

static struct {
    pthread_mutex_t lock; /* guards what follows; taken before tracer.lock */
    bool forked;          /* this process was forked from a traced one */
    bool begun, ended;
    struct rft_writer writer;
    uint64_t wall_ns;
    uint32_t base;                        /* ms between ticks, but for what they cost */
    uint64_t tick_bytes;                  /* since the base was last doubled */
    _Atomic uint32_t interval, last_tick; /* ms */
} record = {.lock = PTHREAD_MUTEX_INITIALIZER, .writer = {.fd = -1}};

static void text(struct rft_buffer *to, const char *value)
{
    rft_buffer_text(to, value, strlen(value));
}

/* The cause, into the trace itself. */
static void write_stopped(int error, const char *doing)
{
    struct rft_buffer loss = {0};
    char why[256];
    uint32_t now = rft_now_ms();
    snprintf(why, sizeof why, "%s it: %s", doing, strerror(error));
    rft_buffer_varint(&loss, RFT_LOSS_STOPPED);
    rft_buffer_varint(&loss, now);
    rft_buffer_varint(&loss, 0);
    rft_buffer_varint(&loss, 0);
    text(&loss, why);
    rft_writer_last_chunk(&record.writer, RFT_CHUNK_LOSS, loss.bytes, loss.length);
    rft_pages_free(loss.bytes, loss.capacity);
}

static void stop(int error, const char *doing)
{
    atomic_store(&tracer.state, RFT_STOPPED);
    if (record.ended) {
        return;
    }
    record.ended = true;
    if (record.writer.size > 0) {
        write_stopped(error, doing);
    }
    rft_say(
        "stopped tracing process %d: %s %s: %s; the program goes on, the trace is good up to here",
        (int)getpid(), doing, record.writer.path, strerror(error));
    rft_status("stopped %d %s %s: %s", (int)getpid(), doing, record.writer.path, strerror(error));
}

static void chunk(uint8_t type, const void *payload, size_t length)
{
    if (record.ended || length == 0) {
        return;
    }
    int error = rft_writer_chunk(&record.writer, type, payload, length);
    if (error != 0) {
        stop(error, "cannot write to");
    }
}

/* The first process traced gets the path that was asked for, each further one
 * <stem>.<pid>.rft beside it. */
static int claim(void)
{
    if (!record.forked) {
        int error = rft_writer_create(&record.writer, rft_config.output, (uint32_t)getpid());
        if (error != EEXIST) {
            return error;
        }
    }
    char stem[4096];
    size_t length = strlen(rft_config.output);
    if (length > 4 && strcmp(rft_config.output + length - 4, ".rft") == 0) {
        length -= 4;
    }
    memcpy(stem, rft_config.output, length);
    stem[length] = 0;
    int error = EEXIST;
    for (int attempt = 1; error == EEXIST && attempt < 1000; attempt++) {
        char path[4200], number[16] = "";
        if (attempt > 1) {
            snprintf(number, sizeof number, "-%d", attempt);
        }
        snprintf(path, sizeof path, "%s.%d%s.rft", stem, (int)getpid(), number);
        error = rft_writer_create(&record.writer, path, (uint32_t)getpid());
    }
    return error;
}

static void program_chunk(struct rft_buffer *to)
{
    const char *(*get_version)(void) =
        (const char *(*)(void))(uintptr_t)rft_symbol("Py_GetVersion");
    char path[4096];
    rft_buffer_varint(to, tracer.layout.version);
    rft_buffer_varint(to, (tracer.layout.free_threaded ? 1u : 0) |
                              (rft_symbol("_Py_INCREF_IncRefTotal") != NULL ? 2u : 0) |
                              (record.forked ? 4u : 0));
    rft_buffer_varint(to, (unsigned)getpid());
    rft_buffer_varint(to, (unsigned)getppid());
    rft_buffer_varint(to, record.wall_ns);
    rft_buffer_varint(to, TICK_MS);
    text(to, get_version != NULL ? get_version() : "");
    text(to, REFTRACER_VERSION);
    ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    rft_buffer_text(to, path, length > 0 ? (size_t)length : 0);
    text(to, getcwd(path, sizeof path) != NULL ? path : "");

    /* The command line, NUL-separated. */
    static char arguments[65536]; /* behind record.lock */
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got = 0;
    while (fd >= 0 && used < sizeof arguments &&
           (got = read(fd, arguments + used, sizeof arguments - used)) > 0) {
        used += (size_t)got;
    }
    if (fd >= 0) {
        close(fd);
    }
    size_t count = 0;
    for (size_t i = 0; i < used; i++) {
        count += arguments[i] == 0;
    }
    rft_buffer_varint(to, count);
    for (size_t at = 0; count > 0; count--) {
        size_t end = strnlen(arguments + at, used - at);
        rft_buffer_text(to, arguments + at, end);
        at += end + 1;
    }
}

/* Opens the file, when there is something to write. Holds record.lock. */
static bool open_file(void)
{
    if (record.begun || record.ended) {
        return !record.ended;
    }
    record.begun = true;
    int error = claim();
    if (error != 0) {
        stop(error, "cannot create");
        return false;
    }
    rft_status("traced %d %x %s", (int)getpid(), tracer.layout.version, record.writer.path);
    struct rft_buffer program = {0};
    program_chunk(&program);
    chunk(RFT_CHUNK_PROGRAM, program.bytes, program.length);
    rft_pages_free(program.bytes, program.capacity);
    return !record.ended;
}

bool rft_record_begin(bool forked)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&record.lock);
    record.forked = forked;
    record.begun = record.ended = false;
    record.wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    record.tick_bytes = 0;
    record.base = TICK_MS;
    atomic_store(&record.interval, FIRST_TICK_MS);
    atomic_store(&record.last_tick, 0);
    bool open = forked || open_file();
    pthread_mutex_unlock(&record.lock);
    return open;
}

bool rft_record_due(uint32_t now)
{
    return now - atomic_load_explicit(&record.last_tick, memory_order_relaxed) >=
           atomic_load_explicit(&record.interval, memory_order_relaxed);
}

static void write_losses(const struct rft_buffer *losses)
{
    for (size_t at = 0; at < losses->length;) {
        size_t length = 0;
        for (unsigned shift = 0;; shift += 7) { /* our own varint, see rft_loss() */
            unsigned char byte = losses->bytes[at++];
            length |= (size_t)(byte & 127) << shift;
            if (byte < 128) {
                break;
            }
        }
        chunk(RFT_CHUNK_LOSS, losses->bytes + at, length);
        at += length;
    }
}

static uint32_t processor_ms(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint32_t)((uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000);
}

static void write_tick(bool all);

/* A tick, and a name for the moment, which cohorts are separated by. */
void rft_record_mark(const char *label)
{
    struct rft_buffer mark = {0};
    rft_buffer_varint(&mark, rft_mark());
    text(&mark, label);
    pthread_mutex_lock(&record.lock);
    if (open_file()) {
        write_tick(true);
        chunk(RFT_CHUNK_MARK_LABEL, mark.bytes, mark.length);
    }
    pthread_mutex_unlock(&record.lock);
    rft_pages_free(mark.bytes, mark.capacity);
}

/* Holds record.lock. */
static void write_tick(bool all)
{
    static struct rft_definitions definitions;
    struct rft_buffer tick = {0};
    uint32_t spent = processor_ms();
    if (!rft_tick_collect(rft_now_ms(), all, &definitions, &tick)) {
        rft_stop_for_memory("a tick");
    }
    if (tracer.out_of_memory != NULL) {
        stop(ENOMEM, tracer.out_of_memory);
        return;
    }
    for (int type = 0; type <= RFT_CHUNK_SITES; type++) {
        chunk((uint8_t)type, definitions.chunks[type].bytes, definitions.chunks[type].length);
        rft_buffer_clear(&definitions.chunks[type]);
    }
    write_losses(&definitions.losses);
    rft_buffer_clear(&definitions.losses);
    uint64_t definitions_end = record.writer.size;
    chunk(RFT_CHUNK_TICK, tick.bytes, tick.length);
    rft_buffer_clear(&tick);
    if (rft_names_held_look(rft_now_ms(), all, &tick)) {
        chunk(RFT_CHUNK_NAMES, tick.bytes, tick.length);
    }
    rft_pages_free(tick.bytes, tick.capacity);

    record.tick_bytes += record.writer.size - definitions_end;
    uint32_t limit = record.writer.size > TICK_LARGE ? TICK_MAX_LARGE_MS : TICK_MAX_MS;
    if (record.tick_bytes > TICK_BUDGET && record.base < limit) {
        record.tick_bytes = 0;
        record.base *= 2;
    }
    uint32_t cost = TICK_COST * (processor_ms() - spent);
    uint32_t interval = cost > TICK_MAX_LARGE_MS ? TICK_MAX_LARGE_MS : cost;
    interval = interval > record.base ? interval : record.base;
    atomic_store(&record.interval, interval);
    atomic_store(&record.last_tick, rft_now_ms());
}

void rft_record_tick(uint32_t now, bool only_if_due)
{
    if (only_if_due && !rft_record_due(now)) {
        return;
    }
    pthread_mutex_lock(&record.lock);
    if ((!only_if_due || rft_record_due(now)) && open_file()) {
        write_tick(!only_if_due);
    }
    pthread_mutex_unlock(&record.lock);
}

struct count {
    struct rft_thread *t;
    enum rft_census_kind kind;
    uint32_t interp;
    struct rft_revived revived;
};

/* The census, and the last tick before it: of one moment, so that births less deaths are
 * the survivors. */
static void write_census(void *argument)
{
    struct count *count = argument;
    struct rft_buffer revived = {0}, census = {0};
    pthread_mutex_lock(&record.lock);
    if (open_file()) {
        rft_census(count->t, count->kind, count->interp, &count->revived, &revived, &census);
        write_tick(true);
        chunk(RFT_CHUNK_TICK, revived.bytes, revived.length);
        if (!census.failed) {
            chunk(RFT_CHUNK_CENSUS, census.bytes, census.length);
        }
        if (count->kind == RFT_CENSUS_INTERPRETER_END) {
            rft_sites_settle();
        }
    }
    pthread_mutex_unlock(&record.lock);
    rft_pages_free(revived.bytes, revived.capacity);
    rft_pages_free(census.bytes, census.capacity);
}

/* payloads: of the chunks from `first` on. What they name is written before them. */
void rft_record_chunks(uint8_t first, const struct rft_buffer *payloads, unsigned count)
{
    pthread_mutex_lock(&record.lock);
    if (open_file()) {
        write_tick(true);
        for (unsigned i = 0; i < count; i++) {
            if (!payloads[i].failed && payloads[i].length <= RFT_CHUNK_MAX) {
                chunk((uint8_t)(first + i), payloads[i].bytes, payloads[i].length);
            }
        }
    }
    pthread_mutex_unlock(&record.lock);
}

/* No lock may be held: what stops other threads waits for those that wait for a lock. */
void rft_record_census(struct rft_thread *t, enum rft_census_kind kind, uint32_t interp)
{
    struct count count = {.t = t, .kind = kind, .interp = interp};
    rft_revived_find(t, interp, &count.revived);
    rft_alone(write_census, &count);
    rft_revived_free(&count.revived);
}

void rft_record_end(enum rft_end_reason reason)
{
    uint64_t births, deaths;
    pthread_mutex_lock(&record.lock);
    if (open_file()) {
        struct rft_buffer end = {0};
        rft_tick_totals(&births, &deaths);
        rft_buffer_varint(&end, reason);
        rft_buffer_varint(&end, rft_now_ms());
        rft_buffer_varint(&end, births);
        rft_buffer_varint(&end, deaths);
        rft_buffer_varint(&end, births - deaths);
        chunk(RFT_CHUNK_END, end.bytes, end.length);
        rft_pages_free(end.bytes, end.capacity);
        if (reason != RFT_END_EXEC) { /* a failed exec goes on */
            record.ended = true;
            rft_writer_close(&record.writer);
        }
    }
    pthread_mutex_unlock(&record.lock);
}

const char *rft_record_path(void)
{
    pthread_mutex_lock(&record.lock);
    bool open = record.begun && !record.ended;
    pthread_mutex_unlock(&record.lock);
    return open ? record.writer.path : NULL; /* stays what it is as long as the trace runs */
}

void rft_record_lock(void)
{
    pthread_mutex_lock(&record.lock);
}

void rft_record_unlock(void)
{
    pthread_mutex_unlock(&record.lock);
}

/* In a forked child: the file is the parent's. */
void rft_record_after_fork(void)
{
    pthread_mutex_init(&record.lock, NULL);
    rft_writer_close(&record.writer);
    record.writer = (struct rft_writer){.fd = -1}; /* never a byte into the parent's */
    record.begun = record.ended = false;
}

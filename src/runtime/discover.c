/* Finding a CPython in a space, and the five functions of CPython's page. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/code.h"
#include "runtime/look.h"
#include "runtime/version.h"

/* Known versions: rft_layout_table() up to 3.12, rft_layout_parse() since. */
enum { FIRST_MINOR = 8, LAST_WITHOUT_TABLE = 12, TABLE_BYTES = 1024 };

struct search {
    struct rft_runtime *runtime;
    rft_address main;
    uint32_t py_version; /* value of the symbol Py_Version (3.11+), 0: none */
    char refusal[256];   /* why the likeliest candidate was refused; "": there was none */
};

/* --- what a layout must have to be used -------------------------------------------------- */

/* Fields that every walk uses, with the bound on where they may lie: the target's table is
 * checked for sense in layout.c, and here for what is copied in one piece. */
static const char *check_layout(struct rft_runtime *runtime)
{
    uint32_t *at = runtime->layout.at;
    static const struct {
        enum rft_field first, last;
        uint32_t limit;
    } limits[] = {
        {RFT_RUNTIME_SIZE, RFT_RUNTIME_INTERPRETERS, 1u << 24},
        {RFT_INTERP_SIZE, RFT_INTERP_TLBC_GENERATION, 1u << 24},
        {RFT_THREAD_SIZE, RFT_THREAD_EXC_STATE, RFT_THREAD_BYTES - 8},
        {RFT_ERR_EXC_VALUE, RFT_ERR_EXC_VALUE, 64},
        {RFT_FRAME_PREVIOUS, RFT_FRAME_INSTR, RFT_FRAME_BYTES - 8},
        {RFT_FRAME_OWNER, RFT_FRAME_TLBC, RFT_FRAME_BYTES - 8},
        {RFT_CODE_SIZE, RFT_CODE_TLBC, 504},
        {RFT_OBJECT_SIZE, RFT_STR_COMPACT_SIZE, 4096},
        {RFT_GC_SIZE, RFT_LLIST_PREV, 1u << 16},
        {RFT_RUNTIME_MAIN, RFT_INTERP_FINALIZING_FLAG, 1u << 24},
        {RFT_GC_GENERATIONS, RFT_GC_GENERATIONS, 1u << 16},
        {RFT_GIL_ENABLED, RFT_GIL_SWITCHES, RFT_GIL_BYTES - 8},
        {RFT_THREAD_CFRAME, RFT_THREAD_CFRAME, RFT_THREAD_BYTES - 8},
        {RFT_CFRAME_FRAME, RFT_CFRAME_FRAME, RFT_CFRAME_BYTES - 8},
        {RFT_THREAD_DATASTACK_TOP, RFT_THREAD_UNIQUE_ID, RFT_THREAD_BYTES - 8},
        {RFT_FRAME_FUNCTION, RFT_FRAME_TRACE, RFT_FRAME_BYTES - 8},
        {RFT_CODE_FLAGS, RFT_CODE_NLOCALS, 504},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        for (unsigned field = limits[i].first; field <= (unsigned)limits[i].last; field++) {
            bool a_size = field == RFT_THREAD_SIZE; /* of no copy */
            if (!a_size && at[field] != RFT_NO_FIELD && at[field] > limits[i].limit) {
                return "its table of offsets makes no sense";
            }
        }
    }
    static const enum rft_field needed[] = {
        RFT_RUNTIME_FINALIZING, RFT_RUNTIME_INTERPRETERS, RFT_RUNTIME_MAIN,     RFT_INTERP_ID,
        RFT_INTERP_NEXT,        RFT_INTERP_THREADS,       RFT_THREAD_NEXT,      RFT_THREAD_INTERP,
        RFT_THREAD_ID,          RFT_FRAME_PREVIOUS,       RFT_FRAME_EXECUTABLE, RFT_CODE_FILENAME,
        RFT_CODE_NAME,          RFT_CODE_FIRSTLINE,       RFT_CODE_LINETABLE,   RFT_OBJECT_TYPE,
        RFT_TYPE_NAME,          RFT_TYPE_FLAGS,           RFT_BYTES_COUNT,      RFT_BYTES_DATA,
        RFT_STR_STATE,          RFT_STR_LENGTH,           RFT_GIL_HOLDER,       RFT_GIL_LOCKED,
        RFT_GIL_SWITCHES,
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (at[needed[i]] == RFT_NO_FIELD) {
            return "its table of offsets makes no sense";
        }
    }
    bool frames = runtime->minor <= 10
                      ? rft_has(runtime, RFT_FRAME_LASTI)
                      : rft_has(runtime, RFT_FRAME_INSTR) && rft_has(runtime, RFT_FRAME_OWNER) &&
                            rft_has(runtime, RFT_FRAME_LOCALS) &&
                            rft_has(runtime, RFT_CODE_ADAPTIVE);
    bool current = rft_has(runtime, RFT_THREAD_FRAME) ||
                   (rft_has(runtime, RFT_THREAD_CFRAME) && rft_has(runtime, RFT_CFRAME_FRAME));
    if (!frames || !current ||
        (runtime->layout.free_threaded && runtime->minor >= 14 &&
         !rft_has(runtime, RFT_FRAME_TLBC)) ||
        runtime->layout.str_data_any > 128 || runtime->layout.str_ascii_size > 128 ||
        rft_at(runtime, RFT_STR_STATE) > 64 || rft_at(runtime, RFT_STR_LENGTH) > 64) {
        return "its table of offsets makes no sense";
    }
    return NULL;
}

/* Derived fields that are believed only if the target agrees. */
static void check_derived(struct rft_runtime *runtime, rft_address main)
{
    uint32_t finalizing = rft_at(runtime, RFT_INTERP_FINALIZING);
    uint64_t back;
    if (finalizing != RFT_NO_FIELD && main &&
        (!rft_read_word(runtime, main + finalizing - 8, &back) || back != runtime->address)) {
        runtime->layout.at[RFT_INTERP_FINALIZING] = RFT_NO_FIELD;
    }
}

/* --- candidates -------------------------------------------------------------------------- */

/* Whether a candidate that was refused is a CPython that the user has to be told of. Elsewhere than
 * in the data of objects, where CPython's own is, the cookie stands in a program that looks for it
 * too, with anything behind it or with a copy of a table that it has read: neither is a CPython. */
static bool worth_telling(const struct search *search, const unsigned char *bytes, size_t size,
                          const struct rft_candidate *candidate)
{
    if (strncmp(candidate->how, "cookie", strlen("cookie")) != 0) {
        return true;
    }
    if (!rft_layout_is_table(bytes, size)) {
        return false;
    }
    return strcmp(candidate->how, "cookie in data") == 0 ||
           rft_space_kind(search->runtime->space) == RFT_SPACE_CORE ||
           !rft_layout_knows(search->runtime->layout.version);
}

static bool accept_with_table(struct search *search, const unsigned char *bytes, size_t size,
                              const struct rft_candidate *candidate)
{
    struct rft_runtime *runtime = search->runtime;
    const char *refusal = rft_layout_parse(bytes, size, &runtime->layout);
    uint32_t version = runtime->layout.version;
    runtime->minor = version >> 16 & 0xff;
    if (!refusal) {
        refusal = check_layout(runtime);
    }
    /* Zeros behind a table are a CPython that has not begun, in an object's data alone. */
    if (!refusal && (!rft_runtime_plausible(runtime, &search->main) ||
                     (!search->main && strcmp(candidate->how, "cookie in memory") == 0))) {
        refusal = "its list of interpreters makes no sense";
    }
    if (refusal && !*search->refusal && worth_telling(search, bytes, size, candidate)) {
        snprintf(search->refusal, sizeof search->refusal, "CPython %u.%u.%u (%s 0x%llx%s%.80s): %s",
                 version >> 24, version >> 16 & 0xff, version >> 8 & 0xff, candidate->how,
                 (unsigned long long)candidate->address, *candidate->path ? " in " : "",
                 candidate->path, refusal);
    }
    return !refusal;
}

static bool accept_minor(struct search *search, unsigned minor)
{
    struct rft_runtime *runtime = search->runtime;
    for (int trace_refs = 0; trace_refs < 2; trace_refs++) {
        if (!rft_layout_table(minor, trace_refs, &runtime->layout)) {
            return false;
        }
        runtime->minor = minor;
        if (check_layout(runtime) || !rft_runtime_plausible(runtime, &search->main) ||
            !search->main) {
            continue;
        }
        /* The lists of some versions look alike: what sys says of itself decides. */
        uint32_t version = rft_sys_hexversion(runtime, search->main);
        if (version >> 16 == (3u << 8 | minor)) {
            runtime->layout.version = version;
            return true;
        }
    }
    return false;
}

static bool accept(void *context, const struct rft_candidate *candidate)
{
    struct search *search = context;
    struct rft_runtime *runtime = search->runtime;
    unsigned char bytes[TABLE_BYTES];
    size_t size = sizeof bytes;
    runtime->address = candidate->address;
    /* Near the end of a map there may be less than the most that is asked for. */
    while (size >= 64 && !rft_space_try(runtime->space, candidate->address, bytes, size)) {
        size -= 64;
    }
    if (size < 64) {
        return false;
    }
    if (!memcmp(bytes, "xdebugpy", 8)) {
        return accept_with_table(search, bytes, size, candidate);
    }
    if (search->py_version) {
        return search->py_version >> 24 == 3 &&
               accept_minor(search, search->py_version >> 16 & 255);
    }
    for (unsigned minor = LAST_WITHOUT_TABLE; minor >= FIRST_MINOR; minor--) {
        if (accept_minor(search, minor)) {
            return true;
        }
    }
    return false;
}

static void fill_facts(struct rft_runtime *runtime, rft_address main)
{
    uint32_t version = runtime->layout.version;
    runtime->facts = (struct rft_runtime_facts){
        .address = runtime->address,
        .version = version,
        .free_threaded = runtime->layout.free_threaded,
        .debug_build = main && rft_sys_abiflag(runtime, main, 'd'),
    };
    char *text = runtime->facts.version_text;
    size_t room = sizeof runtime->facts.version_text;
    int used =
        snprintf(text, room, "%u.%u.%u", version >> 24, version >> 16 & 255, version >> 8 & 255);
    unsigned level = version >> 4 & 15;
    if (level != 15) {
        snprintf(text + used, room - (size_t)used, "%s%u",
                 level == 10   ? "a"
                 : level == 11 ? "b"
                               : "rc",
                 version & 15);
    }
}

struct rft_error *rft_runtime_create(struct rft_space *space, struct rft_runtime **ret)
{
    if (!space || !ret) {
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "rft_runtime_create() needs a space and a place for the runtime");
    }
    struct rft_runtime *runtime = calloc(1, sizeof *runtime);
    if (!runtime) {
        return rft_error_no_memory();
    }
    runtime->space = space;
    struct search search = {.runtime = runtime};
    rft_address symbol = rft_space_symbol(space, NULL, "Py_Version");
    if (symbol) {
        rft_space_try(space, symbol, &search.py_version, sizeof search.py_version);
    }
    if (!rft_space_find_runtime(space, accept, &search)) {
        free(runtime);
        const struct rft_process_facts *facts = rft_space_facts(space);
        if (*search.refusal) {
            return rft_error_format(RFT_ERROR_UNSUPPORTED, "%s; %s", search.refusal,
                                    *facts->missing ? facts->missing
                                                    : "reftracer knows CPython 3.8 to 3.15");
        }
        if (!rft_space_alive(space)) {
            return rft_error_os(ESRCH, "looking for CPython in process %d: it has just ended",
                                facts->pid);
        }
        bool core = rft_space_kind(space) == RFT_SPACE_CORE;
        return rft_error_format(RFT_ERROR_NOT_PYTHON, "no CPython 3.8 to 3.15 found in %s%s%s%s%s",
                                core ? "the core" : "the process", *facts->executable ? " of " : "",
                                facts->executable, *facts->missing ? "; " : "", facts->missing);
    }
    check_derived(runtime, search.main);
    fill_facts(runtime, search.main);
    *ret = runtime;
    return NULL;
}

void rft_runtime_destroy(struct rft_runtime *runtime)
{
    if (!runtime) {
        return;
    }
    if (runtime->objects_destroy) {
        runtime->objects_destroy(runtime->objects);
    }
    rft_look_destroy(runtime->look);
    rft_codes_destroy(runtime->codes);
    rft_strbuf_deinit(&runtime->scratch);
    rft_arena_deinit(&runtime->arena);
    free(runtime);
}

const struct rft_runtime_facts *rft_runtime_facts(const struct rft_runtime *runtime)
{
    return &runtime->facts;
}

/* --- the five functions -------------------------------------------------------------------- */

static struct rft_error *read_pointer(struct rft_runtime *runtime, rft_address base,
                                      enum rft_field field, rft_address *ret)
{
    if (!runtime || !ret) {
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "a runtime and a place for the address are needed, not NULL");
    }
    uint64_t word;
    struct rft_error *error =
        base ? rft_space_read(runtime->space, base + rft_at(runtime, field), &word, sizeof word)
             : rft_error_format(RFT_ERROR_ARGUMENT, "no interpreter or thread was given (0)");
    if (!error) {
        *ret = word;
    }
    return error;
}

struct rft_error *rft_interpreter_head(struct rft_runtime *runtime, rft_address *interpreter)
{
    return read_pointer(runtime, runtime ? runtime->address : 0, RFT_RUNTIME_INTERPRETERS,
                        interpreter);
}

struct rft_error *rft_interpreter_main(struct rft_runtime *runtime, rft_address *interpreter)
{
    return read_pointer(runtime, runtime ? runtime->address : 0, RFT_RUNTIME_MAIN, interpreter);
}

struct rft_error *rft_interpreter_next(struct rft_runtime *runtime, rft_address interpreter,
                                       rft_address *next)
{
    return read_pointer(runtime, interpreter, RFT_INTERP_NEXT, next);
}

struct rft_error *rft_interpreter_thread_head(struct rft_runtime *runtime, rft_address interpreter,
                                              rft_address *thread)
{
    return read_pointer(runtime, interpreter, RFT_INTERP_THREADS, thread);
}

struct rft_error *rft_thread_next(struct rft_runtime *runtime, rft_address thread,
                                  rft_address *next)
{
    return read_pointer(runtime, thread, RFT_THREAD_NEXT, next);
}

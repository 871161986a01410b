/* Inside of the walkers: what the files of this room share.
 *
 *     discover.c   finds _PyRuntime and says which CPython it is; the five functions
 *     look.c       one look: what is read of lists and threads, in one batch, twice
 *     lists.c      the lists of interpreters and threads: walked, and compared
 *     chunk.c      where a thread's data stack lies
 *     plan.c       all stacks followed at once, the first time
 *     stack.c      the frames in what was read, and whether they belong together
 *     code.c       code objects, remembered by address: names, tables
 *     position.c   instruction → line and columns
 *     text.c       str → printable UTF-8
 *     gil.c        who has which GIL, who waits
 *     snapshot.c   looks until nothing moved; the public structures
 *     unmoved.c    whether anything has moved since
 *     enrich.c     what is added to them: the OS' view, names, exceptions, locals,
 *                  tasks, native frames
 *     wait.c       which lock a thread waits for, and who has it
 *     entered.c    the `with` blocks that a frame is in
 *
 * Nothing read is trusted: lengths are bounded before they are used, each walk counts
 * its steps, each pointer goes through the space, which says when nothing is there. */
#ifndef RFT_RUNTIME_RUNTIME_H
#define RFT_RUNTIME_RUNTIME_H

#include <reftracer/runtime.h>
#include <string.h>

#include "base/arena.h"
#include "base/strbuf.h"
#include "base/vec.h"
#include "layout/layout.h"
#include "space/space.h"

struct rft_codes; /* code.h */
struct rft_look;  /* look.h */

struct rft_runtime {
    struct rft_space *space; /* borrowed */
    struct rft_layout layout;
    struct rft_runtime_facts facts;
    rft_address address;   /* of _PyRuntime */
    unsigned minor;        /* 8 to 15 */
    rft_address code_type; /* PyCode_Type, 0 until a code object was seen */

    /* Of the last snapshot: everything in it that is not remembered longer. Emptied by
     * the next rft_snapshot_take(). */
    struct rft_arena arena;
    struct rft_snapshot snapshot;

    struct rft_codes *codes;   /* remembered from snapshot to snapshot */
    struct rft_look *look;     /* what the last look read, and where */
    struct rft_strbuf scratch; /* a text while it is made */

    void *objects;                      /* what files of objects remember, */
    void (*objects_destroy)(void *all); /* and how it is freed; NULL: nothing */
};

/* --- reading ---------------------------------------------------------------- */

static inline bool rft_has(const struct rft_runtime *runtime, enum rft_field field)
{
    return runtime->layout.at[field] != RFT_NO_FIELD;
}

static inline uint32_t rft_at(const struct rft_runtime *runtime, enum rft_field field)
{
    return runtime->layout.at[field];
}

/* A word of the target's memory. False: not readable (*word is then 0). */
static inline bool rft_read_word(struct rft_runtime *runtime, rft_address address, uint64_t *word)
{
    *word = 0;
    return address && rft_space_try(runtime->space, address, word, sizeof *word);
}

static inline bool rft_read_int(struct rft_runtime *runtime, rft_address address, int32_t *value)
{
    *value = 0;
    return address && rft_space_try(runtime->space, address, value, sizeof *value);
}

/* The word of a structure at `base`; false also if this version has no such field. */
static inline bool rft_read_field(struct rft_runtime *runtime, rft_address base,
                                  enum rft_field field, uint64_t *word)
{
    *word = 0;
    return base && rft_has(runtime, field) &&
           rft_read_word(runtime, base + rft_at(runtime, field), word);
}

/* Numbers in bytes that were copied from the target. */
static inline uint64_t rft_word(const unsigned char *bytes, size_t offset)
{
    uint64_t word;
    memcpy(&word, bytes + offset, sizeof word);
    return word;
}

static inline int32_t rft_int(const unsigned char *bytes, size_t offset)
{
    int32_t value;
    memcpy(&value, bytes + offset, sizeof value);
    return value;
}

/* A str object as printable UTF-8 with a NUL, in `arena`; at most `most` characters of it,
 * and "…" if there are more. NULL: it can't be read, is no str by its type's flags, or there
 * is no memory. All forms: 1, 2 and 4 bytes, compact or not. */
const char *rft_read_str(struct rft_runtime *runtime, rft_address object, size_t most,
                         struct rft_arena *arena);

/* The same into a text that the caller has; false: nothing was appended. */
bool rft_append_str(struct rft_runtime *runtime, rft_address object, size_t most,
                    struct rft_strbuf *to);

/* A C string of at most `most` bytes (not more than 4095), made printable. NULL as above. */
const char *rft_read_cstr(struct rft_runtime *runtime, rft_address address, size_t most,
                          struct rft_arena *arena);

/* ob_type of an object, 0 if it can't be read. */
rft_address rft_type_of(struct rft_runtime *runtime, rft_address object);

/* tp_flags of a type, 0 if it can't be read. */
uint64_t rft_type_flags(struct rft_runtime *runtime, rft_address type);

/* Bits of tp_flags (Include/object.h), the same since 3.8. */
#define RFT_TPFLAGS_LONG (1ull << 24)
#define RFT_TPFLAGS_LIST (1ull << 25)
#define RFT_TPFLAGS_TUPLE (1ull << 26)
#define RFT_TPFLAGS_BYTES (1ull << 27)
#define RFT_TPFLAGS_STR (1ull << 28)
#define RFT_TPFLAGS_DICT (1ull << 29)
#define RFT_TPFLAGS_EXCEPTION (1ull << 30)
#define RFT_TPFLAGS_TYPE (1ull << 31)

/* --- a Python frame, given what is known of it --------------------------------- */

/* Fills everything but locals of one Python frame: for the walkers of this room, also of
 * coroutines (tasks). `bytes` are FRAME_SIZE bytes of the frame, as copied.
 * False: no frame that Python would show (a shim, one being set up, no code object). */
bool rft_frame_describe(struct rft_runtime *runtime, rft_address address,
                        const unsigned char *bytes, struct rft_frame *frame);

/* How many bytes of a frame rft_frame_describe() needs. At most RFT_FRAME_BYTES. */
size_t rft_frame_bytes(const struct rft_runtime *runtime);
enum { RFT_FRAME_BYTES = 160 };

/* --- what is added to a snapshot ------------------------------------------------ */

/* The thread as it was read in the look: THREAD_SIZE bytes of its PyThreadState or as many as
 * the walk needs (see rft_thread_span()); NULL if that failed. Valid during the snapshot. */
const unsigned char *rft_thread_bytes(const struct rft_runtime *runtime,
                                      const struct rft_thread *thread);

/* The frame with its locals and stack as copied in the look: *size bytes, at least those of
 * the header. NULL if the copy does not have it whole (frames outside of the data stack:
 * generators, and all frames before 3.11); read it live then. */
const unsigned char *rft_frame_copy(const struct rft_runtime *runtime,
                                    const struct rft_thread *thread, rft_address frame,
                                    size_t *size);

/* Called once by rft_snapshot_take() when lists and stacks are settled. Structures may be
 * written through: they lie in memory of the runtime's own. In enrich.c. */
void rft_snapshot_enrich(struct rft_runtime *runtime, unsigned flags);

/* The writable forms of what a snapshot points to. */
static inline struct rft_interpreter *rft_interpreters_of(struct rft_runtime *runtime)
{
    return (struct rft_interpreter *)(uintptr_t)runtime->snapshot.interpreters;
}

static inline struct rft_thread *rft_threads_of(struct rft_interpreter *interpreter)
{
    return (struct rft_thread *)(uintptr_t)interpreter->threads;
}

static inline struct rft_frame *rft_frames_of(struct rft_thread *thread)
{
    return (struct rft_frame *)(uintptr_t)thread->frames;
}

/* Adds a sentence to a `problem` text. */
void rft_problem(struct rft_runtime *runtime, const char **problem, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

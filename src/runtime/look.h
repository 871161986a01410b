/* One look at the target: which bytes are read, and the bytes.
 *
 * What was found last time is remembered as a plan: the lists of interpreters and threads,
 * each thread's chunks of data stack and its frames outside of it. The plan is read in one
 * batch (rft_space_read_many: one system call for up to 1024 pieces), in this order:
 *
 *     GILs, if there are threads that may be proved to have stood still
 *     each thread: its state, its frames and chunks; of one that may run meanwhile
 *         its state once more, and if it moved last time, before that its frames and chunks;
 *         if it was proved last time that its frames belong together, the state behind them
 *         is enough: the one before them is that of the last look
 *     code objects' heads (up to 3.13)
 *     interpreters with their GILs, and last the runtime with the head of the list
 *
 * Then it is checked whether the plan was right and whether anything moved: lists.c, and
 * stack.c for one thread's stack. The bytes of the look before are kept for that.
 *
 * A piece costs the kernel as much as copying some KiB, so there are few pieces. */
#ifndef RFT_RUNTIME_LOOK_H
#define RFT_RUNTIME_LOOK_H

#include "base/index.h"
#include "runtime/runtime.h"

/* Facts of an interpreter that are read. */
enum rft_interp_fact {
    RFT_FACT_ID,
    RFT_FACT_NEXT,
    RFT_FACT_THREADS,
    RFT_FACT_THREADS_MAIN,
    RFT_FACT_GIL_REQUEST,
    RFT_FACT_FINALIZING,
    RFT_FACT_FINALIZING_FLAG,
    RFT_FACT_COLLECTING,
    RFT_FACT_CODE_GENERATION,
    RFT_FACT_TLBC_GENERATION,
    RFT_FACT_COUNT,
};

enum {
    RFT_INTERP_BYTES = 2048, /* all spans of an interpreter */
    RFT_INTERP_SPANS = RFT_FACT_COUNT,
    RFT_THREAD_BYTES = 1280, /* of a PyThreadState, from its start; with base_frame in 3.15 */
    RFT_GIL_BYTES = 64,
    RFT_CFRAME_BYTES = 16,
    RFT_CHUNK_HEAD = 24, /* struct _PyStackChunk: previous, size, top */
};

/* Bounds on what one look copies. */
#define RFT_CHUNK_BYTES_MAX ((size_t)4 << 20)
#define RFT_LOOK_BYTES_MAX ((size_t)256 << 20)
enum { RFT_LOOK_FRAMES_MAX = 1 << 20, RFT_CHUNKS_MAX = 4096, RFT_LOOK_CODES_MAX = 4096 };

struct rft_look_gil {
    rft_address address;
    bool read, read_before, requested;
    uint32_t interp; /* the interpreter in whose copy it lies; UINT32_MAX: read by itself */
    unsigned char before[RFT_GIL_BYTES], after[RFT_GIL_BYTES];
};

struct rft_look_interp {
    rft_address address;
    bool read;
    int64_t id; /* when it was put into the plan */
    uint32_t first_thread, thread_count, gil;
    const char *problem;
    unsigned char copy[RFT_INTERP_BYTES];
};

/* Looks at a thread that may run, each with two copies, that must show the same frames where
 * it can't be seen from the frames themselves that they belong together. Counted on from
 * snapshot to snapshot. Three were not enough: 1 of 50,000 looks at 3.12. */
enum { RFT_AGREE = 10 };

/* Things that are compared have two buffers: bytes[now] has what this look read first,
 * bytes[!now] what it read again or, if it did not, what the look before has read. */

/* A piece of a thread's data stack. */
struct rft_look_chunk {
    rft_address address;
    size_t size;  /* bytes that are read */
    size_t other; /* bytes in the other buffer, 0: none */
    size_t room;  /* of each buffer */
    unsigned char *bytes[2];
    bool now, read;
};

/* A frame outside of the data stack. */
struct rft_look_frame {
    rft_address address;
    bool now, read, other;
    unsigned char bytes[2][RFT_FRAME_BYTES];
};

struct rft_look_thread {
    rft_address address;
    uint32_t interp;
    bool listed;    /* in the list that was walked last */
    bool planned;   /* its stack has been looked for */
    bool runs;      /* it may run while we look: its state is read again */
    bool twice;     /* it moved last time: everything of it is read again */
    bool settled;   /* its frames are of one moment */
    bool proved;    /* so they were last time, and each caller showed that it called its callee */
    bool once;      /* its state is read once, behind its frames, and compared with the last one */
    bool truncated; /* it has more frames */
    bool now, read, other, read_after, cframe_read, cframe_other;
    unsigned char *state[2]; /* behind this structure, look->thread_room bytes each */
    unsigned char *after;    /* of one that runs, or is settled already */
    rft_address cframe;      /* 3.11, 3.12 */
    unsigned char cframe_bytes[2][RFT_CFRAME_BYTES];
    RFT_VEC(struct rft_look_chunk) chunks; /* innermost first */
    RFT_VEC(struct rft_look_frame) frames; /* in the order of the stack */
    size_t first_frame, frame_count;       /* in look->frames */
    uint64_t agreed_on;                    /* which stack the last looks agreed on, */
    unsigned agreed;                       /* and how many they were */
    bool asleep;                           /* it slept before this look, */
    uint64_t switches;                     /* having given up a CPU so often */
    const char *problem;
};

struct rft_look_code {
    rft_address address;
    bool read;
    unsigned char head[192];
};

struct rft_look {
    /* How to read, fixed by the layout. */
    struct {
        uint32_t offset, size, at; /* in the interpreter; in the copy */
    } spans[RFT_INTERP_SPANS];
    unsigned span_count;
    uint32_t fact_at[RFT_FACT_COUNT]; /* in the copy; RFT_NO_FIELD: not in this version */
    uint32_t thread_room;             /* the most that thread_bytes may become */
    uint32_t thread_bytes, gil_bytes, runtime_from, runtime_bytes, frame_bytes;

    /* The plan. */
    unsigned char runtime[64];
    bool runtime_read;
    RFT_VEC(struct rft_look_interp *) interps;
    RFT_VEC(struct rft_look_thread *) threads; /* by interpreter */
    RFT_VEC(struct rft_look_gil) gils;
    rft_address main_gil;                /* the main interpreter's */
    RFT_VEC(struct rft_look_code) codes; /* up to 3.13: code objects seen in stacks */
    struct rft_index code_index;
    bool walked;         /* there is a plan of lists, */
    bool planned;        /* and of all stacks */
    bool lists_settled;  /* the lists in the last batch were those of the plan */
    const char *problem; /* of the list of interpreters */

    RFT_VEC(struct rft_read) reads;
    RFT_VEC(struct rft_frame) frames; /* of all threads, of this snapshot */
    size_t bytes;                     /* in chunks' buffers */
};

struct rft_look *rft_look_create(struct rft_runtime *runtime);
void rft_look_destroy(struct rft_look *look);
void rft_look_free_thread(struct rft_look *look, struct rft_look_thread *thread);

/* Walks the lists with single reads and makes the plan anew, keeping what is known of
 * threads that are still there. */
bool rft_look_walk(struct rft_runtime *runtime);

/* Reads the plan; only_unsettled: lists, and the stacks of threads that are not settled. */
bool rft_look_read(struct rft_runtime *runtime, bool only_unsettled);

/* Says whether the lists that were read are those of the plan. Ids are never given again, so a
 * list that is the same is one that did not change since the look that made the plan. */
bool rft_look_lists_hold(const struct rft_runtime *runtime);

/* Finds the chunks of threads from their states; they are read with the next batch. False without
 * memory. */
bool rft_look_plan_stacks(struct rft_runtime *runtime, struct rft_look_thread *const *threads,
                          size_t count);

/* After the first batch: finds the frames outside of chunks and reads the code objects of all
 * frames (plan.c), so that the next batch has everything. False without memory. */
bool rft_look_plan_frames(struct rft_runtime *runtime);

/* A fact out of the copy of an interpreter; 0 if this version has none. */
uint64_t rft_fact(const struct rft_look *look, const struct rft_look_interp *interp,
                  enum rft_interp_fact fact);

/* The state of a thread as this look read it first, and the latest that was read. */
static inline unsigned char *rft_state(struct rft_look_thread *thread)
{
    return thread->state[thread->now];
}

static inline const unsigned char *rft_state_of(const struct rft_look_thread *thread)
{
    return thread->state[thread->now];
}

static inline const unsigned char *rft_latest_state(const struct rft_look_thread *thread)
{
    return thread->read_after ? thread->after : thread->state[thread->now];
}

/* Two copies of a thread state name the same stack. */
bool rft_same_stack(const struct rft_runtime *runtime, const unsigned char *one,
                    const unsigned char *other);

/* The innermost frame of a thread, 0: none; *known: it could be read. */
rft_address rft_look_innermost(const struct rft_runtime *runtime,
                               const struct rft_look_thread *thread, bool *known);

/* Of a frame: its code object, and whether it is a shim, not shown. */
rft_address rft_frame_executable(const struct rft_runtime *runtime, const unsigned char *bytes);
bool rft_frame_is_shim(const struct rft_runtime *runtime, const unsigned char *bytes);

/* A code object whose head will be read in each batch (up to 3.13). */
void rft_look_remember_code(struct rft_runtime *runtime, rft_address address);

/* The frames of a thread, out of what was read; true: they are of one moment. */
bool rft_stack_decode(struct rft_runtime *runtime, struct rft_look_thread *thread, bool still);

/* True if the thread can't have run between the two readings of its GIL. */
bool rft_thread_was_still(const struct rft_runtime *runtime, const struct rft_look_thread *thread);

/* Facts of GILs for the public structures (gil.c): what is common to all, then one
 * interpreter's. */
void rft_gil_begin(struct rft_runtime *runtime);
void rft_gil_fill(struct rft_runtime *runtime, const struct rft_look_interp *from,
                  struct rft_interpreter *to);

#endif

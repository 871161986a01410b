/* Every interpreter, thread and Python frame of a CPython: in this process, in
 * another one, or in a core file.
 *
 * This is CPython's "Advanced debugger support" (PyInterpreterState_Head, _Main,
 * _Next, _ThreadHead, PyThreadState_Next: Python/pystate.c), carried out by
 * reading memory instead of by calling CPython. So it needs no GIL, no thread
 * state and no Python in the calling process, and works on a target that hangs,
 * has crashed, or is only a file.
 *
 * Three layers:
 *
 *   struct rft_space     where bytes come from: self, process, core, fake
 *   struct rft_runtime   a CPython (3.8 to 3.15) that was found in a space, the
 *                        five functions of the page, frame by frame access
 *   struct rft_snapshot  everything at once, as plain structures
 *
 * Reading is all that is done: a target process is never stopped and never
 * written to (RFT_SNAPSHOT_NATIVE, which unwinds C stacks of a live process,
 * is the one exception; its description says what it does).
 *
 * Everything that comes from a space is untrusted: pointers, lengths and offsets
 * are checked, every walk is bounded, strings are copied and made printable.
 *
 * Threads: an object of this header may be used by one thread at a time;
 * different objects by different threads at once. No function needs the GIL.
 *
 * Errors are returned, NULL is success (reftracer/error.h); out-parameters come last and are
 * written on success only. Every function that returns an error may return
 * RFT_ERROR_NO_MEMORY, RFT_ERROR_ARGUMENT if it is given NULL for what it needs, and, of a
 * process that has ended, RFT_ERROR_OS with ESRCH.
 *
 * Addresses are addresses in the target. 0 stands for NULL. */
#ifndef REFTRACER_RUNTIME_H
#define REFTRACER_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <reftracer/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t rft_address;

/* --- spaces --------------------------------------------------------------- */

struct rft_space;

enum rft_space_kind {
    RFT_SPACE_SELF = 1,
    RFT_SPACE_PROCESS = 2,
    RFT_SPACE_CORE = 3,
    RFT_SPACE_FAKE = 4,
};

/* This process. Reads go through the kernel, so that an address that is not
 * mapped is an error and no crash.
 * *space: to be given to rft_space_destroy(), as of the other three functions. */
struct rft_error *rft_space_create_self(struct rft_space **space);

/* Another live process.
 * pid: as this process' PID namespace knows it.
 * Errors: RFT_ERROR_OS with ESRCH (no such process, or one that has ended) or EPERM (may not
 * be read: the message names the cause and the remedy); RFT_ERROR_NOT_PYTHON for a thread of
 * the kernel. */
struct rft_error *rft_space_create_process(int pid, struct rft_space **space);

struct rft_core_options {
    const char *executable; /* NULL: as the core names it */
    const char *sysroot;    /* prefix for all files that the core names; NULL: none */
};

/* A core file, from the kernel or from gcore; plain, gzip or zstd.
 * options: NULL means all defaults. What lies only in the files that were mapped
 * (text, read-only data) is read from them, if they are still the same (build
 * id); without them the runtime's own data is still there.
 * Errors: RFT_ERROR_NOT_CORE, RFT_ERROR_DAMAGED, RFT_ERROR_OS. */
struct rft_error *rft_space_create_core(const char *path, const struct rft_core_options *options,
                                        struct rft_space **space);

/* Bytes of a made-up space. */
struct rft_segment {
    rft_address address;
    const void *bytes; /* borrowed: must stay as long as the space */
    size_t size;
};

/* A made-up space, for tests.
 * segments: `count` of them, copied; the bytes that they name are borrowed, see above.
 * runtime: address of _PyRuntime in it, 0 to search for it. */
struct rft_error *rft_space_create_fake(const struct rft_segment *segments, size_t count,
                                        rft_address runtime, struct rft_space **space);

/* Frees the space. No runtime or snapshot may use it any more. NULL is allowed. */
void rft_space_destroy(struct rft_space *space);

/* Which of the four functions has made it. */
enum rft_space_kind rft_space_kind(const struct rft_space *space);

/* From now on a CPython is only searched for where it normally is: among symbols and in the data
 * of the executable and the libraries, and not in all memory. For looking at every process of a
 * machine, most of which are no Python. */
void rft_space_search_less(struct rft_space *space);

/* Copies `size` bytes at `address` into `buffer`, which is the caller's. All or nothing.
 * Errors: RFT_ERROR_UNMAPPED (not readable there), RFT_ERROR_OS with ESRCH (the
 * process has ended). */
struct rft_error *rft_space_read(struct rft_space *space, rft_address address, void *buffer,
                                 size_t size);

/* What is known of the process as such. Strings are UTF-8 and printable, "" if not
 * known; they live as long as the space. */
struct rft_process_facts {
    int pid;                /* as we see it; in a core: as it saw itself; 0: none */
    int namespace_pid;      /* as the process sees itself (NSpid) */
    const char *executable; /* path */
    const char *command;    /* its command line, arguments separated by spaces */
    int signal;             /* core of a crash: the signal, else 0 */
    int signal_code;        /* si_code */
    rft_address fault;      /* si_addr of SIGSEGV, SIGBUS, SIGILL, SIGFPE */
    int signal_thread;      /* native id of the thread that crashed, 0: unknown */
    const char *missing;    /* core: files that would be needed and are not there, and
                             * what that costs; "" if nothing is missing */
};

/* What the OS, or the core, said at the first call. Never NULL; owned by the space, valid as long
 * as it is. */
const struct rft_process_facts *rft_space_facts(struct rft_space *space);

/* --- the runtime ---------------------------------------------------------- */

struct rft_runtime;

/* Finds _PyRuntime in a space and reads where this CPython's fields are: from the
 * tables in this library up to 3.12, from the target's own table, checked, since.
 * space: borrowed, must outlive the runtime.
 * Errors: RFT_ERROR_NOT_PYTHON (no CPython in there), RFT_ERROR_UNSUPPORTED (a
 * version that is not known, or a table that makes no sense; the message names
 * it). */
struct rft_error *rft_runtime_create(struct rft_space *space, struct rft_runtime **runtime);

/* Frees the runtime and the snapshot that it has handed out; the space stays. NULL is allowed. */
void rft_runtime_destroy(struct rft_runtime *runtime);

struct rft_runtime_facts {
    rft_address address;   /* of _PyRuntime */
    uint32_t version;      /* PY_VERSION_HEX */
    bool free_threaded;    /* Py_GIL_DISABLED build */
    bool debug_build;      /* Py_DEBUG */
    char version_text[32]; /* "3.14.10" */
};

/* Which CPython it is. Owned by the runtime, valid as long as it is. */
const struct rft_runtime_facts *rft_runtime_facts(const struct rft_runtime *runtime);

/* The five functions of the page. Each reads afresh and stores an address, 0 where
 * CPython returns NULL. Interpreters and threads are newest first.
 * An interpreter's or thread's address that is no longer valid gives an error or
 * nonsense, never a crash: the target goes on while it is looked at. Use
 * rft_snapshot_take() for a view that is checked as a whole.
 * Errors: RFT_ERROR_UNMAPPED (no such interpreter or thread), RFT_ERROR_ARGUMENT (it is 0),
 * RFT_ERROR_OS with ESRCH. */

/* PyInterpreterState_Head: the newest interpreter; 0 before Py_Initialize. */
struct rft_error *rft_interpreter_head(struct rft_runtime *runtime, rft_address *interpreter);
/* PyInterpreterState_Main: the interpreter with id 0. */
struct rft_error *rft_interpreter_main(struct rft_runtime *runtime, rft_address *interpreter);
/* PyInterpreterState_Next: the interpreter that was made before `interpreter`; 0 at the end. */
struct rft_error *rft_interpreter_next(struct rft_runtime *runtime, rft_address interpreter,
                                       rft_address *next);
/* PyInterpreterState_ThreadHead: 0 for an idle interpreter, which is no error. */
struct rft_error *rft_interpreter_thread_head(struct rft_runtime *runtime, rft_address interpreter,
                                              rft_address *thread);
/* PyThreadState_Next: the next thread of the same interpreter; 0 at the end. */
struct rft_error *rft_thread_next(struct rft_runtime *runtime, rft_address thread,
                                  rft_address *next);

/* --- snapshots ------------------------------------------------------------ */

enum rft_snapshot_flags {
    RFT_SNAPSHOT_LOCALS = 1, /* local variables, see struct rft_local */
    RFT_SNAPSHOT_NATIVE = 2, /* C frames, merged with the Python frames. Each thread of a live
                              * process is stopped with ptrace while its registers and stack
                              * are copied, see rft_snapshot.stopped_ns; a core needs nothing */
    RFT_SNAPSHOT_TASKS = 4,  /* asyncio tasks, 3.14+ */
    RFT_SNAPSHOT_NO_OS = 8,  /* leave out what /proc says of threads (OS name, CPU
                              * state, ids in our namespace): faster */
    RFT_SNAPSHOT_LOCKS = 16, /* what threads that sleep in a lock wait for, and who has it:
                              * rft_thread.waits_for. Not with RFT_SNAPSHOT_NO_OS */
};

/* One local variable or argument. Nothing of the target is executed: value is a
 * short rendering of str, bytes, int, float, bool and None, the length of list,
 * tuple, dict and set ("len 12"), "" for other types. */
struct rft_local {
    const char *name;
    const char *type;
    const char *value;
    bool argument;
    rft_address object;
};

enum rft_frame_kind {
    RFT_FRAME_PYTHON = 1,
    RFT_FRAME_NATIVE = 2, /* a C frame */
};

struct rft_frame {
    enum rft_frame_kind kind;
    const char *function; /* Python: qualified name. C: symbol, "" if unknown */
    const char *file;     /* Python: co_filename. C: source file, else object file */
    int line;             /* from 1; 0: not known */
    int column;           /* 0-based byte column, as in traceback; -1: not known */
    int end_line;         /* 0: not known */
    int end_column;       /* -1: not known */
    rft_address frame;    /* Python: _PyInterpreterFrame (3.11+) or PyFrameObject.
                           * C: stack pointer */
    rft_address code;     /* Python: PyCodeObject. C: instruction pointer */
    const struct rft_local *locals;
    size_t local_count;
};

enum rft_gil_relation {
    RFT_GIL_UNKNOWN = 0,
    RFT_GIL_HOLDS = 1,
    RFT_GIL_WAITS = 2,      /* wants it and does not have it */
    RFT_GIL_NOT_NEEDED = 3, /* detached: in a C call that has released it */
    RFT_GIL_NONE = 4,       /* free-threaded and attached: there is no GIL */
};

enum rft_thread_state {
    RFT_THREAD_UNKNOWN = 0,
    RFT_THREAD_RUNNING = 1, /* on a CPU, or ready for one */
    RFT_THREAD_BLOCKED = 2, /* sleeps in the kernel */
    RFT_THREAD_DISK = 3,    /* sleeps in the kernel, not interruptible */
    RFT_THREAD_STOPPED = 4, /* by a signal or a debugger */
    RFT_THREAD_GONE = 5,    /* the OS thread has ended; its thread state is left */
    RFT_THREAD_CRASHED = 6, /* core: the thread that got the signal */
};

enum rft_wait_kind {
    RFT_WAIT_UNKNOWN = 0,
    RFT_WAIT_LOCK = 1,   /* a threading.Lock */
    RFT_WAIT_RLOCK = 2,  /* a threading.RLock */
    RFT_WAIT_THREAD = 3, /* that a thread ends: Thread.join */
    RFT_WAIT_MODULE = 4, /* that another thread has imported a module */
    RFT_WAIT_SHARED = 5, /* a semaphore that processes share, such as multiprocessing's locks */
};

/* What a thread waits for, and who has it. Which lock it is, is exact. An RLock knows its owner. A
 * Lock does not: it is taken to be held by the thread that is in a `with` block of it (or of a
 * Condition, or of a generator of contextlib with such a block), if there is exactly one. Who has
 * called acquire() itself is not found. */
struct rft_wait {
    enum rft_wait_kind kind;
    rft_address object;   /* the lock; the Thread; the module's lock; 0: not known */
    rft_address holder;   /* PyThreadState of the thread that has it, or is joined; 0: not known */
    const char *name;     /* of the module, else "" */
    const char *function; /* in which function's `with` block the holder is, "" if not known */
    const char *file;
    int line; /* of the `with`; 0: not known, as up to 3.10 */
};

struct rft_thread {
    rft_address address;         /* PyThreadState */
    uint64_t id;                 /* threading.get_ident(): the pthread_t */
    int64_t native_id;           /* in our PID namespace, if that is known; 0: none */
    int64_t namespace_native_id; /* threading.get_native_id(): as the target knows it */
    const char *name;            /* threading's name, else the OS', else "" */
    enum rft_thread_state state;
    enum rft_gil_relation gil;
    bool gil_requested;             /* another thread has asked this one to let go of the GIL */
    bool main;                      /* the interpreter's main thread */
    bool waits_timed;               /* what it waits in ends by itself after a time */
    const char *exception;          /* type of the exception that is being raised or handled,
                                     * "" if none */
    const char *waits_in;           /* kernel function or system call it sleeps in, "" if unknown */
    const struct rft_frame *frames; /* innermost first */
    size_t frame_count;
    bool truncated;                   /* there are more frames than the bound (RFT_FRAMES_MAX) */
    const char *problem;              /* what could not be read of this thread, "" if nothing:
                                       * its frames are then those that could be */
    rft_address waits_on;             /* the futex that it sleeps in, 0: none, or not known */
    const struct rft_wait *waits_for; /* RFT_SNAPSHOT_LOCKS; NULL: no lock, or not known which */
};

enum { RFT_FRAMES_MAX = 65536, RFT_THREADS_MAX = 65536, RFT_INTERPRETERS_MAX = 65536 };

/* An asyncio task. */
struct rft_task {
    rft_address address;
    const char *name;
    rft_address loop_thread;        /* PyThreadState whose loop it is in, 0: unknown */
    bool running;                   /* the task that its loop is executing now */
    const struct rft_frame *frames; /* its coroutines, innermost first */
    size_t frame_count;
    const rft_address *awaited_by; /* tasks that wait for this one */
    size_t awaited_by_count;
};

struct rft_interpreter {
    rft_address address;
    int64_t id;
    bool main;
    bool idle; /* nothing runs in it: it has no thread state, or, up to 3.12, only the one
                * that it was made with, without a frame */
    bool finalizing;
    bool gil_own;     /* a GIL of its own (or it is the main interpreter); else it
                       * shares the main interpreter's */
    bool gil_enabled; /* false: free-threaded and running without */
    bool gil_locked;
    bool gil_requested;     /* somebody waits for it and has asked the holder */
    rft_address gil;        /* struct _gil_runtime_state; equal for those that share it */
    rft_address gil_holder; /* PyThreadState that has it, 0: nobody, or unknown */
    bool gc_running;
    const struct rft_thread *threads; /* newest first, as CPython has them */
    size_t thread_count;
    const struct rft_task *tasks;
    size_t task_count;
    const char *problem; /* what could not be read of this interpreter, "" if nothing */
};

struct rft_snapshot {
    bool consistent;      /* nothing moved while we looked: lists and stacks belong to
                           * one moment of each thread. Never false for a core */
    unsigned attempts;    /* looks that this took, at most RFT_SNAPSHOT_ATTEMPTS */
    bool finalizing;      /* the runtime is in Py_Finalize */
    uint64_t taken_ns;    /* CLOCK_MONOTONIC; 0 in a core */
    uint64_t duration_ns; /* of the look */
    uint64_t stopped_ns;  /* RFT_SNAPSHOT_NATIVE: how long threads were stopped, one after the
                           * other: the sum */
    const struct rft_interpreter *interpreters; /* newest first, as CPython has them */
    size_t interpreter_count;
    const char *problem; /* what could not be read besides, "" if nothing */
};

enum { RFT_SNAPSHOT_ATTEMPTS = 32 };

/* Looks at everything. List heads are read afresh each time; names of code objects
 * are remembered in the runtime and checked against the target before reuse.
 * One bad record costs what hangs on it, never the rest: see the `problem` texts.
 * flags: RFT_SNAPSHOT_... or 0.
 * *snapshot: owned by the runtime, valid until the next call with it or its
 * destruction.
 * Errors: only if nothing can be said: the process has ended, no memory. */
struct rft_error *rft_snapshot_take(struct rft_runtime *runtime, unsigned flags,
                                    const struct rft_snapshot **snapshot);

/* Whether nothing has moved since the last snapshot was begun: the lists, each thread's state and
 * its whole stack are what they were, byte for byte. One batch of reads, and nothing is asked of
 * the OS: for who has seen all threads wait, one after the other, and wants to know whether they
 * did so at one moment. False too if that can't be told: the last snapshot was not `consistent`,
 * there is none, something can't be read. Always true for a core. The last snapshot stays valid and
 * as it is. *now_ns (NULL is allowed): CLOCK_MONOTONIC of this look, 0 for a core; only if true. */
bool rft_snapshot_unmoved(struct rft_runtime *runtime, uint64_t *now_ns);

#ifdef __cplusplus
}
#endif
#endif

/* What is added to threads when lists and stacks are settled. What the OS knows is here;
 * names, exceptions, locals, tasks and native frames have files of their own. */
#include <stdlib.h>

#include "runtime/exception.h"
#include "runtime/local.h"
#include "runtime/look.h"
#include "runtime/names.h"
#include "runtime/native.h"
#include "runtime/object.h"
#include "runtime/task.h"
#include "runtime/wait.h"

/* --- the OS' view ------------------------------------------------------------------ */

static const struct rft_os_thread *find_os_thread(const struct rft_os_thread *threads, size_t count,
                                                  int64_t namespace_id)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (threads[middle].namespace_id < namespace_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && threads[low].namespace_id == namespace_id ? &threads[low] : NULL;
}

/* Up to 3.10 a thread state has no native id, only the pthread_t, which is the address of the
 * C library's own structure of the thread; from 3.11 on it is a wrong one after a fork by C code
 * that does not tell CPython (uWSGI). The structure's field `tid` is found as the place that holds
 * what is known, or else ids of threads of this process, another one in each, in as many of them as
 * possible: 0x2d0 in glibc on x86-64, elsewhere in other libraries. The C library sets it to 0 when
 * a thread ends, also in a child for those that the fork has left behind. */
enum { PTHREAD_BYTES = 1024, PLACES_MOST = 16 };

struct own_id {
    uint64_t pthread;
    int32_t id; /* 0: none */
    struct rft_thread *thread;
    bool known; /* CPython's own, and there is such a thread */
};

static int by_id_and_pthread(const void *left, const void *right)
{
    const struct own_id *a = left, *b = right;
    if (a->id != b->id) {
        return a->id > b->id ? 1 : -1;
    }
    return (a->pthread > b->pthread) - (a->pthread < b->pthread);
}

/* Reads what is at this place of each thread's structure. How many ids of threads these are; 0 if
 * two have the same. */
static size_t read_ids(struct rft_runtime *runtime, size_t at, struct own_id *ids, size_t count,
                       const struct rft_os_thread *os, size_t os_count)
{
    size_t living = 0;
    for (size_t i = 0; i < count; i++) {
        if (!rft_read_int(runtime, ids[i].pthread + at, &ids[i].id) ||
            !find_os_thread(os, os_count, ids[i].id)) {
            ids[i].id = 0;
        }
        living += ids[i].id != 0;
    }
    qsort(ids, count, sizeof *ids, by_id_and_pthread);
    for (size_t i = 1; i < count; i++) {
        if (ids[i].id && ids[i].id == ids[i - 1].id && ids[i].pthread != ids[i - 1].pthread) {
            return 0;
        }
    }
    return living;
}

/* Where `tid` is; PTHREAD_BYTES: not found. */
static size_t find_place(struct rft_runtime *runtime, struct own_id *ids, size_t count,
                         const struct rft_os_thread *os, size_t os_count)
{
    unsigned char possible[PTHREAD_BYTES / 4], living[PTHREAD_BYTES / 4] = {0};
    unsigned char bytes[PTHREAD_BYTES];
    memset(possible, 1, sizeof possible);
    for (size_t i = 0; i < count; i++) {
        if (!rft_space_try(runtime->space, ids[i].pthread, bytes, sizeof bytes)) {
            continue;
        }
        for (size_t w = 0; w < PTHREAD_BYTES / 4; w++) {
            int32_t id = rft_int(bytes, w * 4);
            bool lives = possible[w] && id > 0 && find_os_thread(os, os_count, id);
            possible[w] = possible[w] && (ids[i].known ? id == ids[i].thread->namespace_native_id
                                                       : id == 0 || lives);
            living[w] = living[w] || lives;
        }
    }
    size_t best = PTHREAD_BYTES, most = 0, tried = 0;
    for (size_t w = 0; w < PTHREAD_BYTES / 4 && tried < PLACES_MOST; w++) {
        if (!possible[w] || !living[w]) {
            continue;
        }
        size_t found = read_ids(runtime, w * 4, ids, count, os, os_count);
        tried++;
        if (found > most) {
            most = found;
            best = w * 4;
        }
    }
    return best;
}

static void find_native_ids(struct rft_runtime *runtime, const struct rft_os_thread *os,
                            size_t os_count)
{
    bool told = rft_has(runtime, RFT_THREAD_NATIVE_ID);
    size_t count = 0, lost = 0, total = 0;
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        const struct rft_interpreter *interpreter = &runtime->snapshot.interpreters[i];
        for (size_t k = 0; k < interpreter->thread_count; k++, total++) {
            int64_t id = interpreter->threads[k].namespace_native_id;
            lost += !told || (id && !find_os_thread(os, os_count, id)); /* 0: it only begins */
        }
    }
    struct own_id *ids = lost ? calloc(total, sizeof *ids) : NULL;
    if (!ids) {
        return;
    }
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            struct rft_thread *thread = &rft_threads_of(interpreter)[k];
            bool known = told && find_os_thread(os, os_count, thread->namespace_native_id);
            if (told && !thread->namespace_native_id) {
                continue; /* it only begins, or has ended */
            }
            ids[count++] = (struct own_id){.pthread = thread->id, .thread = thread, .known = known};
        }
    }
    size_t at = find_place(runtime, ids, count, os, os_count);
    if (at < PTHREAD_BYTES) {
        read_ids(runtime, at, ids, count, os, os_count);
        for (size_t i = 0; i < count; i++) {
            if (!ids[i].known && ids[i].id) {
                ids[i].thread->namespace_native_id = ids[i].id;
            }
        }
    }
    free(ids);
}

/* --- threads that end --------------------------------------------------------------- */

/* A thread that ends takes its thread state out of the list first. So of one that the system has
 * no more, after it was seen in the list, only the list as it is now tells whether the state was
 * left there for good (a fork, a thread that was killed), or it has ended as it should, between
 * the one reading and the other. */
struct listed {
    rft_address address;
    uint64_t unique; /* memory of a thread state is soon another's */
};
struct listing {
    RFT_VEC(struct listed) threads; /* by address */
};

enum { LISTINGS_MOST = 3 };

static int by_listed_address(const void *left, const void *right)
{
    const struct listed *a = left, *b = right;
    return (a->address > b->address) - (a->address < b->address);
}

static enum rft_field unique_field(const struct rft_runtime *runtime)
{
    return rft_has(runtime, RFT_THREAD_UNIQUE_ID) ? RFT_THREAD_UNIQUE_ID : RFT_THREAD_ID;
}

/* Reads an interpreter's list of threads. False if it can't be followed to its end: it changes. */
static bool list_threads(struct rft_runtime *runtime, rft_address interpreter,
                         struct listing *listing)
{
    rft_address thread;
    listing->threads.count = 0;
    if (!rft_read_field(runtime, interpreter, RFT_INTERP_THREADS, &thread)) {
        return false;
    }
    while (thread) {
        struct listed one = {.address = thread};
        if (listing->threads.count >= RFT_THREADS_MAX ||
            !rft_read_field(runtime, thread, unique_field(runtime), &one.unique) ||
            !rft_read_field(runtime, thread, RFT_THREAD_NEXT, &thread) ||
            !rft_vec_push(&listing->threads, one)) {
            return false;
        }
    }
    if (listing->threads.count) {
        qsort(listing->threads.items, listing->threads.count, sizeof *listing->threads.items,
              by_listed_address);
    }
    return true;
}

static bool is_listed(const struct rft_runtime *runtime, const struct listing *listing,
                      const struct rft_thread *thread)
{
    struct listed key = {.address = thread->address};
    const struct listed *found = listing->threads.count
                                     ? bsearch(&key, listing->threads.items, listing->threads.count,
                                               sizeof key, by_listed_address)
                                     : NULL;
    const unsigned char *bytes = rft_thread_bytes(runtime, thread);
    return found &&
           (!bytes || rft_word(bytes, rft_at(runtime, unique_field(runtime))) == found->unique);
}

static bool has_ended(const struct rft_thread *thread, const struct rft_os_thread *os,
                      size_t os_count)
{
    const struct rft_os_thread *found = find_os_thread(os, os_count, thread->namespace_native_id);
    return thread->namespace_native_id && (!found || found->state == RFT_THREAD_GONE);
}

/* Takes the ids from the threads that have ended since they were found. Where the id is the C
 * library's, it may be that of the next thread, which has got the structure of the one before. */
static void find_ended(struct rft_runtime *runtime, const struct rft_os_thread *os, size_t os_count)
{
    struct listing listing = {0};
    bool told = rft_has(runtime, RFT_THREAD_NATIVE_ID);
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        struct rft_thread *threads = rft_threads_of(interpreter);
        bool listed = false;
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            if (told && !has_ended(&threads[k], os, os_count)) {
                continue;
            }
            for (unsigned n = 0; !listed && n < LISTINGS_MOST; n++) {
                listed = list_threads(runtime, interpreter->address, &listing);
            }
            listed = true;
            if (!is_listed(runtime, &listing, &threads[k])) {
                threads[k].namespace_native_id = 0;
                rft_problem(runtime, &threads[k].problem, "it ended while it was looked at");
            }
        }
    }
    rft_vec_free(&listing.threads);
}

/* Size of struct _gil_runtime_state with room: 184 bytes in 3.8, 240 in 3.15. What lies behind
 * it are no futexes. */
enum { GIL_STATE_BYTES = 256 };

/* A thread that runs without the GIL computes in C, or has just been woken to take it. If the
 * GIL's condition has no more waiters than sleep in it, it computes. */
static void find_computing(struct rft_runtime *runtime, struct rft_interpreter *interpreter)
{
    /* pthread_cond_t of glibc: __wrefs, eight for each waiter, behind 36 bytes. It follows
     * `switch_number`. */
    enum { COND_WREFS = 36, INTERPRETERS_MOST = 4096 };
    struct rft_thread *threads = rft_threads_of(interpreter);
    int32_t references = -1;
    size_t asleep = 0;
    if (!interpreter->gil_enabled || !interpreter->gil || !rft_has(runtime, RFT_GIL_SWITCHES) ||
        runtime->snapshot.interpreter_count > INTERPRETERS_MOST ||
        !rft_read_int(runtime,
                      interpreter->gil + rft_at(runtime, RFT_GIL_SWITCHES) + 8 + COND_WREFS,
                      &references)) {
        return;
    }
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        const struct rft_interpreter *other = &runtime->snapshot.interpreters[i];
        for (size_t k = 0; other->gil == interpreter->gil && k < other->thread_count; k++) {
            asleep += other->threads[k].gil == RFT_GIL_WAITS;
        }
    }
    for (size_t k = 0; k < interpreter->thread_count; k++) {
        if (threads[k].gil == RFT_GIL_UNKNOWN && threads[k].state == RFT_THREAD_RUNNING &&
            references >= 0 && (uint32_t)references >> 3 <= asleep) {
            threads[k].gil = RFT_GIL_NOT_NEEDED;
        }
    }
}

static void fill_os(struct rft_runtime *runtime)
{
    const struct rft_os_thread *os;
    size_t count;
    struct rft_error *error = rft_space_os_threads(runtime->space, &os, &count);
    if (error) {
        rft_problem(runtime, &runtime->snapshot.problem, "%s", error->message);
        rft_error_destroy(error);
        return;
    }
    bool live = count && rft_space_kind(runtime->space) != RFT_SPACE_CORE;
    if (live && rft_has(runtime, RFT_THREAD_NATIVE_ID)) {
        find_ended(runtime, os, count);
    }
    if (count) {
        find_native_ids(runtime, os, count);
    }
    if (live && !rft_has(runtime, RFT_THREAD_NATIVE_ID)) {
        find_ended(runtime, os, count);
    }
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            struct rft_thread *thread = &rft_threads_of(interpreter)[k];
            if (thread->namespace_native_id == 0) {
                continue;
            }
            const struct rft_os_thread *found =
                find_os_thread(os, count, thread->namespace_native_id);
            if (!found) {
                thread->state = count ? RFT_THREAD_GONE : RFT_THREAD_UNKNOWN;
                continue;
            }
            thread->native_id = found->id;
            thread->state = found->state;
            const char *name = rft_arena_copy(&runtime->arena, found->name, strlen(found->name));
            const char *waits_in =
                rft_arena_copy(&runtime->arena, found->waits_in, strlen(found->waits_in));
            thread->name = name ? name : "";
            thread->waits_in = waits_in ? waits_in : "";
            thread->waits_timed = found->waits_timed;
            thread->waits_on = found->waits_on;
            /* 3.14 and older do not say who waits for the GIL. Who does sleeps in a futex of
             * its condition variable, a member of struct _gil_runtime_state. */
            if (thread->gil == RFT_GIL_UNKNOWN && thread->state == RFT_THREAD_BLOCKED) {
                bool in_gil = interpreter->gil && found->waits_on >= interpreter->gil &&
                              found->waits_on - interpreter->gil < GIL_STATE_BYTES;
                thread->gil = in_gil ? RFT_GIL_WAITS : RFT_GIL_NOT_NEEDED;
            }
        }
    }
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        bool unknown = false;
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            unknown = unknown || (interpreter->threads[k].gil == RFT_GIL_UNKNOWN &&
                                  interpreter->threads[k].state == RFT_THREAD_RUNNING);
        }
        if (unknown) {
            find_computing(runtime, interpreter);
        }
    }
}

/* --- what objects say ------------------------------------------------------------------ */

static void fill_exceptions(struct rft_runtime *runtime)
{
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            struct rft_thread *thread = &rft_threads_of(interpreter)[k];
            const unsigned char *bytes = rft_thread_bytes(runtime, thread);
            if (bytes) {
                const char *exception = rft_thread_exception(runtime, thread->address, bytes,
                                                             runtime->look->thread_bytes);
                thread->exception = exception ? exception : "";
            }
        }
    }
}

static void fill_locals(struct rft_runtime *runtime, struct rft_locals *locals)
{
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            struct rft_thread *thread = &rft_threads_of(interpreter)[k];
            for (size_t f = 0; f < thread->frame_count; f++) {
                struct rft_frame *frame = &rft_frames_of(thread)[f];
                size_t size = 0;
                const unsigned char *copy = rft_frame_copy(runtime, thread, frame->frame, &size);
                if (frame->kind == RFT_FRAME_PYTHON) {
                    rft_locals_of_frame(locals, frame, copy, size);
                }
            }
        }
    }
}

void rft_snapshot_enrich(struct rft_runtime *runtime, unsigned flags)
{
    if (!(flags & RFT_SNAPSHOT_NO_OS)) {
        fill_os(runtime);
    }
    rft_types_forget(runtime);
    rft_names_fill(runtime);
    fill_exceptions(runtime);
    /* Before the locals, which belong to the frames that are then there. */
    if (flags & RFT_SNAPSHOT_NATIVE) {
        rft_native_fill(runtime);
    }
    if ((flags & RFT_SNAPSHOT_LOCKS) && !(flags & RFT_SNAPSHOT_NO_OS)) {
        /* Many threads often wait for one lock, in frames of one function. */
        rft_space_remember_pages(runtime->space, true);
        rft_waits_fill(runtime);
        rft_space_remember_pages(runtime->space, false);
    }
    struct rft_locals *locals = NULL;
    if (flags & RFT_SNAPSHOT_LOCALS) {
        locals = rft_locals_begin(runtime);
        if (locals) {
            fill_locals(runtime, locals);
        } else {
            rft_problem(runtime, &runtime->snapshot.problem, "no memory for local variables");
        }
    }
    if (flags & RFT_SNAPSHOT_TASKS) {
        rft_tasks_fill(runtime, locals);
    }
    if (locals && rft_locals_exhausted(locals)) {
        rft_problem(runtime, &runtime->snapshot.problem,
                    "there are more local variables than are shown");
    }
    rft_locals_end(locals);
}

/* What a thread waits for is told by the word that it sleeps on (futex): the semaphore of a lock,
 * or, from 3.13 on, one behind which stands the address of the lock's byte (struct wait_entry,
 * Python/parking_lot.c). That is exact.
 *
 * Who has it: an RLock, the lock of a module that is imported and a thread that is joined say so
 * themselves. A Lock does not: there it is told by the `with` blocks of all threads. */
#include "runtime/wait.h"

#include <stdlib.h>

#include "runtime/dict.h"
#include "runtime/entered.h"

enum {
    WORDS_MAX = 1024,     /* of the frame of a thread that waits */
    RELEASED_MAX = 4,     /* conditions that a thread waits for, one in the other */
    MANAGERS_MAX = 4,     /* one in the other */
    STEPS_MOST = 1 << 21, /* frames, words and claims that are looked at, in all */
    NAME_MAX_CHARS = 200,
};

/* A thread that waits. */
struct waiter {
    rft_address asleep_on; /* what futex was called with */
    rft_address parked_on; /* what lies in front of it; means something from 3.13 on */
    struct rft_thread *thread;
    struct rft_wait *wait;
    rft_address claimed_by; /* thread with such a `with` block; 0: none yet */
    bool disputed;          /* several have one */
    bool owned;             /* the owner is known otherwise */
};

struct key {
    rft_address word;
    size_t waiter;
    bool parked;
};

struct waits {
    struct rft_runtime *runtime;
    struct rft_entered_codes *codes;
    RFT_VEC(struct waiter) waiters;
    RFT_VEC(struct key) keys;
    size_t steps; /* so far */
};

/* What a target, or a core, claims to have may be without end. */
static bool go_on(struct waits *waits)
{
    return waits->steps < STEPS_MOST && ++waits->steps;
}

/* --- who waits ------------------------------------------------------------------------- */

static int by_word(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    return (a->word > b->word) - (a->word < b->word);
}

static bool collect(struct waits *waits)
{
    struct rft_runtime *runtime = waits->runtime;
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct rft_interpreter *interpreter = &rft_interpreters_of(runtime)[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            struct rft_thread *thread = &rft_threads_of(interpreter)[k];
            if (!thread->waits_on || thread->gil == RFT_GIL_WAITS || thread->gil == RFT_GIL_HOLDS)
                continue;
            struct waiter waiter = {.asleep_on = thread->waits_on, .thread = thread};
            waiter.wait = rft_arena_alloc(&runtime->arena, sizeof *waiter.wait);
            if (!waiter.wait)
                return false;
            *waiter.wait = (struct rft_wait){.name = "", .function = "", .file = ""};
            rft_read_word(runtime, waiter.asleep_on - 8, &waiter.parked_on);
            struct key asleep = {waiter.asleep_on, waits->waiters.count, false},
                       parked = {waiter.parked_on, waits->waiters.count, true};
            if (!rft_vec_push(&waits->waiters, waiter) || !rft_vec_push(&waits->keys, asleep) ||
                (runtime->minor >= 13 && !rft_vec_push(&waits->keys, parked)))
                return false;
        }
    }
    if (waits->keys.count)
        qsort(waits->keys.items, waits->keys.count, sizeof *waits->keys.items, by_word);
    return true;
}

/* Whether this object is the lock that somebody waits for: the words in question. */
static bool lock_words(struct rft_runtime *runtime, rft_address object, uint64_t *semaphore,
                       rft_address *byte)
{
    *byte = object + rft_at(runtime, RFT_OBJECT_SIZE);
    return object && object % 8 == 0 && rft_read_word(runtime, *byte, semaphore);
}

/* --- what the lock says ------------------------------------------------------------------ */

/* lock, RLock, or what is derived from RLock. */
static enum rft_wait_kind kind_of(struct rft_runtime *runtime, rft_address object)
{
    enum { BASES_MOST = 8 };
    struct rft_type type;
    if (!rft_object_type(runtime, object, &type))
        return RFT_WAIT_UNKNOWN;
    for (unsigned i = 0; i < BASES_MOST; i++) {
        if (!strcmp(type.name, "lock"))
            return RFT_WAIT_LOCK;
        if (!strcmp(type.name, "RLock"))
            return RFT_WAIT_RLOCK;
        rft_address base = type.base;
        if (!base || !rft_type_read(runtime, base, &type))
            break;
    }
    return RFT_WAIT_UNKNOWN;
}

static const struct rft_thread *thread_by_id(struct rft_runtime *runtime, uint64_t id)
{
    const struct rft_thread *found = NULL;
    for (size_t i = 0; id && i < runtime->snapshot.interpreter_count; i++) {
        const struct rft_interpreter *interpreter = &runtime->snapshot.interpreters[i];
        for (size_t k = 0; k < interpreter->thread_count; k++) {
            const struct rft_thread *thread = &interpreter->threads[k];
            /* A thread may have a state in several interpreters: the one that runs. */
            if (thread->id == id && (!found || !found->frame_count))
                found = thread;
        }
    }
    return found;
}

/* Who has an RLock. In all versions the thread's id lies behind the lock. */
static void ask_rlock(struct rft_runtime *runtime, struct waiter *waiter)
{
    uint64_t owner;
    if (!rft_read_word(runtime, waiter->wait->object + rft_at(runtime, RFT_OBJECT_SIZE) + 8,
                       &owner))
        return;
    const struct rft_thread *thread = thread_by_id(runtime, owner);
    waiter->wait->holder = thread ? thread->address : 0;
    waiter->owned = true;
}

static void set_lock(struct rft_runtime *runtime, struct waiter *waiter, rft_address object,
                     enum rft_wait_kind kind)
{
    if (waiter->wait->kind != RFT_WAIT_UNKNOWN)
        return;
    waiter->wait->object = object;
    waiter->wait->kind = kind;
    if (kind == RFT_WAIT_RLOCK)
        ask_rlock(runtime, waiter);
}

/* --- what the waiting frame says ----------------------------------------------------------- */

static const struct rft_frame *innermost(const struct rft_thread *thread)
{
    for (size_t i = 0; i < thread->frame_count; i++) {
        if (thread->frames[i].kind == RFT_FRAME_PYTHON)
            return &thread->frames[i];
    }
    return NULL;
}

/* Function of a class, by its qualified name; up to 3.10 there is its own only. */
static bool is_function(const struct rft_runtime *runtime, const struct rft_frame *frame,
                        const char *file, const char *class, const char *name)
{
    size_t length = strlen(class);
    const char *at = strstr(frame->file, file);
    if (!at || (at != frame->file && at[-1] != '/' && at[-1] != ' ' && at[-1] != '.'))
        return false;
    if (runtime->minor <= 10)
        return !strcmp(frame->function, name);
    return !strncmp(frame->function, class, length) && frame->function[length] == '.' &&
           !strcmp(frame->function + length + 1, name);
}

/* The first argument. */
static rft_address self_of(struct rft_runtime *runtime, const struct rft_frame *frame)
{
    uint64_t word;
    return rft_read_word(runtime, frame->frame + rft_at(runtime, RFT_FRAME_LOCALS), &word)
               ? rft_frame_object(runtime, word)
               : 0;
}

static bool owner_attribute(struct rft_runtime *runtime, rft_address object, const char *name,
                            uint64_t *id)
{
    rft_address value;
    return rft_instance_attribute(runtime, object, name, &value) &&
           rft_int_value(runtime, value, id);
}

/* Thread.join, and the import of a module that another thread imports. */
static void ask_frame(struct rft_runtime *runtime, struct waiter *waiter)
{
    const struct rft_frame *frame = innermost(waiter->thread);
    uint64_t id;
    if (!frame)
        return;
    bool joins = is_function(runtime, frame, "threading.py", "Thread", "join") ||
                 is_function(runtime, frame, "threading.py", "Thread", "_wait_for_tstate_lock");
    bool imports = is_function(runtime, frame, "importlib._bootstrap>", "_ModuleLock", "acquire");
    if (!joins && !imports)
        return;
    rft_address self = self_of(runtime, frame);
    if (!owner_attribute(runtime, self, joins ? "_ident" : "owner", &id))
        return;
    const struct rft_thread *thread = thread_by_id(runtime, id);
    if (!thread)
        return;
    *waiter->wait = (struct rft_wait){
        .kind = joins ? RFT_WAIT_THREAD : RFT_WAIT_MODULE,
        .object = self,
        .holder = thread->address,
        .name = "",
        .function = "",
        .file = "",
    };
    waiter->owned = true;
    rft_address text;
    if (imports && rft_instance_attribute(runtime, self, "name", &text)) {
        const char *name = rft_read_str(runtime, text, NAME_MAX_CHARS, &runtime->arena);
        waiter->wait->name = name ? name : "";
    }
}

/* The lock itself: where it is parked, or among what the innermost frame has in its hands. */
static void find_lock(struct waits *waits, struct waiter *waiter)
{
    struct rft_runtime *runtime = waits->runtime;
    uint64_t words[WORDS_MAX], semaphore;
    rft_address byte, object = waiter->parked_on - rft_at(runtime, RFT_OBJECT_SIZE);
    enum rft_wait_kind kind;
    if (runtime->minor >= 13 && (kind = kind_of(runtime, object)) != RFT_WAIT_UNKNOWN) {
        set_lock(runtime, waiter, object, kind);
        return;
    }
    const struct rft_frame *frame = innermost(waiter->thread);
    size_t count =
        frame ? rft_frame_words(runtime, frame->frame, frame->code, words, WORDS_MAX) : 0;
    for (size_t i = 0; i < count && go_on(waits); i++) {
        object = rft_frame_object(runtime, words[i]);
        for (unsigned step = 0; object && step < 2; step++) {
            if (lock_words(runtime, object, &semaphore, &byte) && semaphore == waiter->asleep_on &&
                (kind = kind_of(runtime, object)) != RFT_WAIT_UNKNOWN) {
                set_lock(runtime, waiter, object, kind);
                return;
            }
            /* A bound method's. */
            if (!rft_read_word(runtime, object + rft_at(runtime, RFT_OBJECT_SIZE) + 8, &object) ||
                object % 8)
                break;
        }
    }
}

/* --- who is in a `with` block ---------------------------------------------------------------- */

struct search {
    const struct rft_thread *thread;
    const struct rft_frame *frame;
    int line;                           /* of the `with` in that frame */
    rft_address released[RELEASED_MAX]; /* locks of conditions that it waits for further in */
    size_t released_count;
};

static void claim(struct waits *waits, const struct search *search, rft_address lock)
{
    struct rft_runtime *runtime = waits->runtime;
    uint64_t semaphore;
    rft_address byte;
    if (!lock_words(runtime, lock, &semaphore, &byte))
        return;
    for (size_t i = 0; i < search->released_count; i++) {
        if (search->released[i] == lock)
            return;
    }
    for (unsigned parked = 0; parked < 2; parked++) {
        struct key wanted = {.word = parked ? byte : semaphore};
        const struct key *key = wanted.word ? bsearch(&wanted, waits->keys.items, waits->keys.count,
                                                      sizeof wanted, by_word)
                                            : NULL;
        while (key && key > waits->keys.items && key[-1].word == wanted.word)
            key--;
        for (; key && key < waits->keys.items + waits->keys.count && key->word == wanted.word &&
               go_on(waits);
             key++) {
            struct waiter *waiter = &waits->waiters.items[key->waiter];
            enum rft_wait_kind kind = kind_of(runtime, lock);
            if (key->parked != (bool)parked || kind == RFT_WAIT_UNKNOWN)
                continue;
            set_lock(runtime, waiter, lock, kind);
            rft_address thread = search->thread->address;
            bool owner = !waiter->owned || waiter->wait->holder == thread;
            /* Who waits for it itself may have released it in its block: others come first. */
            if (!owner || waiter->wait->object != lock ||
                (waiter->claimed_by && waiter->claimed_by != thread &&
                 thread == waiter->thread->address))
                continue;
            if (waiter->claimed_by && waiter->claimed_by != thread &&
                waiter->claimed_by != waiter->thread->address) {
                waiter->disputed = true;
                continue;
            }
            /* The outermost block is the one that took it. */
            waiter->claimed_by = thread;
            waiter->wait->holder = thread;
            waiter->wait->function = search->frame->function;
            waiter->wait->file = search->frame->file;
            waiter->wait->line = search->line;
        }
    }
}

static void search_frame(struct waits *waits, struct search *search, rft_address frame,
                         rft_address code, const unsigned char *bytes, size_t size, unsigned depth);

/* A lock, or what holds one as long as it is entered. */
static void search_manager(struct waits *waits, struct search *search,
                           const struct rft_entered *entered, unsigned depth)
{
    struct rft_runtime *runtime = waits->runtime;
    struct rft_type type;
    rft_address inner, frame, code;
    if (depth == 0)
        search->line = entered->line;
    if (!rft_object_type(runtime, entered->manager, &type))
        return;
    if (kind_of(runtime, entered->manager) != RFT_WAIT_UNKNOWN) {
        claim(waits, search, entered->manager);
    } else if (!strcmp(type.name, "Condition")) {
        if (rft_instance_attribute(runtime, entered->manager, "_lock", &inner))
            claim(waits, search, inner);
    } else if (!strcmp(type.name, "_GeneratorContextManager") && depth < MANAGERS_MAX) {
        if (rft_instance_attribute(runtime, entered->manager, "gen", &inner) &&
            rft_generator_frame(runtime, inner, &frame, &code))
            search_frame(waits, search, frame, code, NULL, 0, depth + 1);
    }
}

static void search_frame(struct waits *waits, struct search *search, rft_address frame,
                         rft_address code, const unsigned char *bytes, size_t size, unsigned depth)
{
    struct rft_entered entered[RFT_ENTERED_MAX];
    if (!go_on(waits))
        return;
    size_t count = rft_entered_of_frame(waits->codes, frame, code, bytes, size, entered);
    while (count-- > 0)
        search_manager(waits, search, &entered[count], depth);
}

static void search_thread(struct waits *waits, const struct rft_thread *thread)
{
    struct rft_runtime *runtime = waits->runtime;
    struct search search = {.thread = thread};
    for (size_t i = 0; i < thread->frame_count; i++) {
        const struct rft_frame *frame = search.frame = &thread->frames[i];
        size_t size = 0;
        if (frame->kind != RFT_FRAME_PYTHON)
            continue;
        const unsigned char *bytes = rft_frame_copy(runtime, thread, frame->frame, &size);
        if (is_function(runtime, frame, "threading.py", "Condition", "wait") &&
            search.released_count < RELEASED_MAX) {
            rft_address lock;
            if (rft_instance_attribute(runtime, self_of(runtime, frame), "_lock", &lock))
                search.released[search.released_count++] = lock;
        }
        search_frame(waits, &search, frame->frame, frame->code, bytes, size, 0);
    }
}

/* --- locks between processes --------------------------------------------------------------- */

/* multiprocessing's locks are semaphores in memory that is shared. Anything else that is waited for
 * is in memory of the process' own. */
static void find_shared(struct waits *waits)
{
    const struct rft_map *maps = NULL;
    size_t count = 0;
    for (size_t i = 0; i < waits->waiters.count; i++) {
        const struct waiter *waiter = &waits->waiters.items[i];
        if (waiter->wait->kind != RFT_WAIT_UNKNOWN)
            continue;
        if (!maps) {
            struct rft_error *error = rft_space_maps(waits->runtime->space, &maps, &count);
            rft_error_destroy(error);
            if (error)
                return;
        }
        size_t low = 0, high = count; /* the first that ends behind it */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (maps[middle].end <= waiter->asleep_on)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < count && maps[low].start <= waiter->asleep_on && maps[low].shared)
            waiter->wait->kind = RFT_WAIT_SHARED;
    }
}

/* --- all -------------------------------------------------------------------------------- */

void rft_waits_fill(struct rft_runtime *runtime)
{
    struct waits waits = {.runtime = runtime};
    bool fine = collect(&waits);
    if (fine && waits.waiters.count) {
        for (size_t i = 0; i < waits.waiters.count; i++) {
            ask_frame(runtime, &waits.waiters.items[i]);
            find_lock(&waits, &waits.waiters.items[i]);
        }
        waits.codes = rft_entered_begin(runtime);
        for (size_t i = 0; waits.codes && i < runtime->snapshot.interpreter_count; i++) {
            const struct rft_interpreter *interpreter = &runtime->snapshot.interpreters[i];
            for (size_t k = 0; k < interpreter->thread_count; k++)
                search_thread(&waits, &interpreter->threads[k]);
        }
        rft_entered_end(waits.codes);
        find_shared(&waits);
    }
    for (size_t i = 0; i < waits.waiters.count; i++) {
        struct waiter *waiter = &waits.waiters.items[i];
        if (waiter->disputed && !waiter->owned) {
            waiter->wait->holder = 0;
            waiter->wait->function = waiter->wait->file = "";
            waiter->wait->line = 0;
        }
        if (waiter->wait->kind != RFT_WAIT_UNKNOWN)
            waiter->thread->waits_for = waiter->wait;
    }
    if (!fine)
        rft_problem(runtime, &runtime->snapshot.problem, "no memory to find who has which lock");
    else if (waits.steps >= STEPS_MOST)
        rft_problem(runtime, &runtime->snapshot.problem,
                    "there are more frames and locks than are searched for who has which lock");
    rft_vec_free(&waits.waiters);
    rft_vec_free(&waits.keys);
}

/* Tasks are found through a table of offsets that _asyncio brings since 3.14
 * (Modules/_asynciomodule.c, AsyncioDebug), in a section ".AsyncioDebug" of whatever object
 * _asyncio is linked into. A task is in a list of the thread that made it; when a thread ends,
 * those that are left go to a list of the interpreter. */
#include "runtime/task.h"

#include <stdlib.h>

#include "base/index.h"
#include "runtime/coroutine.h"
#include "runtime/kept.h"

enum {
    TASKS_MAX = 1 << 18,   /* of one interpreter */
    WAITERS_MAX = 1 << 12, /* of one task that are shown */
    SET_MAX = 1 << 16,     /* slots of a set of waiters that are looked at */
    FUTURES_DEEP = 8,      /* futures between a task and the task that waits for it */
    TASK_BYTES = 512,      /* more than a TaskObj has */
    NAME_MAX_CHARS = 200,
    LIST_ATTEMPTS = 3,    /* a list that changes while it is walked is walked again */
    NOTHING_SEEN_FOR = 4, /* snapshots that go by before asyncio is looked for again */
};

/* Words of AsyncioDebug, in its order. */
enum {
    TASK_SIZE,
    TASK_NAME,
    TASK_AWAITED_BY,
    TASK_IS_TASK,
    TASK_AWAITED_BY_IS_SET,
    TASK_CORO,
    TASK_NODE,
    INTERP_SIZE,
    INTERP_TASKS,
    THREAD_SIZE,
    THREAD_LOOP,
    THREAD_TASK,
    THREAD_TASKS,
    WORDS,
};

struct rft_tasks {
    bool found;
    unsigned not_found; /* looks since it was last searched for in vain */
    uint64_t at[WORDS];
};

void rft_tasks_destroy(struct rft_tasks *tasks)
{
    free(tasks);
}

/* --- the table of offsets --------------------------------------------------------- */

/* Whether `at` is AsyncioDebug of this CPython. */
static bool is_table(const struct rft_runtime *runtime, const uint64_t *at)
{
    static const struct {
        unsigned char field, within, bytes;
    } fields[] = {
        {TASK_NAME, TASK_SIZE, 8},       {TASK_AWAITED_BY, TASK_SIZE, 8},
        {TASK_IS_TASK, TASK_SIZE, 1},    {TASK_AWAITED_BY_IS_SET, TASK_SIZE, 1},
        {TASK_CORO, TASK_SIZE, 8},       {TASK_NODE, TASK_SIZE, 16},
        {INTERP_TASKS, INTERP_SIZE, 16}, {THREAD_LOOP, THREAD_SIZE, 8},
        {THREAD_TASK, THREAD_SIZE, 8},   {THREAD_TASKS, THREAD_SIZE, 16},
    };
    /* It says how large CPython's own structures are, and CPython says so itself. */
    if (at[INTERP_SIZE] != rft_at(runtime, RFT_INTERP_SIZE) ||
        at[THREAD_SIZE] < rft_at(runtime, RFT_THREAD_SIZE) || at[THREAD_SIZE] > 1 << 16 ||
        at[TASK_SIZE] > TASK_BYTES)
        return false;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t offset = at[fields[i].field], size = at[fields[i].within];
        if (size < fields[i].bytes || offset > size - fields[i].bytes ||
            (fields[i].bytes > 1 && offset % 8))
            return false;
    }
    return true;
}

/* A core may lack the file whose section headers would tell: the table's first page, which
 * begins a writable segment, is then in the core at least. */
static bool search_maps(struct rft_runtime *runtime, uint64_t *at)
{
    enum { BLOCK = 1 << 16, MOST = 64 << 20 };
    const struct rft_map *maps;
    size_t count, searched = 0;
    struct rft_error *error = rft_space_maps(runtime->space, &maps, &count);
    unsigned char *bytes = error ? NULL : malloc(BLOCK);
    bool found = false;
    for (size_t i = 0; bytes && i < count && !found; i++) {
        if (!maps[i].readable || maps[i].executable || !*maps[i].path)
            continue;
        for (rft_address from = maps[i].start; from < maps[i].end && searched < MOST && !found;) {
            size_t size = maps[i].end - from < BLOCK ? (size_t)(maps[i].end - from) : BLOCK;
            searched += size;
            bool readable = rft_space_try(runtime->space, from, bytes, size);
            for (size_t word = 0; readable && !found && word + WORDS * 8 <= size; word += 8) {
                if (rft_word(bytes, word + INTERP_SIZE * 8) != rft_at(runtime, RFT_INTERP_SIZE))
                    continue;
                memcpy(at, bytes + word, WORDS * 8);
                found = is_table(runtime, at);
            }
            /* Blocks overlap by a table. */
            from += size > WORDS * 8 && size == BLOCK ? size - WORDS * 8 : size;
        }
    }
    free(bytes);
    rft_error_destroy(error);
    return found;
}

static bool find_table(struct rft_runtime *runtime, struct rft_tasks *tasks)
{
    size_t size = 0;
    if (tasks->found)
        return true;
    if (tasks->not_found && tasks->not_found++ < NOTHING_SEEN_FOR)
        return false;
    rft_address address = rft_space_section(runtime->space, ".AsyncioDebug", &size);
    tasks->found = address && size >= sizeof tasks->at &&
                   rft_space_try(runtime->space, address, tasks->at, sizeof tasks->at) &&
                   is_table(runtime, tasks->at);
    if (!tasks->found && rft_space_kind(runtime->space) == RFT_SPACE_CORE)
        tasks->found = search_maps(runtime, tasks->at);
    tasks->not_found = 1;
    return tasks->found;
}

/* --- lists -------------------------------------------------------------------------- */

/* The tasks of one interpreter while they are collected. */
struct collection {
    struct rft_runtime *runtime;
    const uint64_t *at;
    RFT_VEC(struct rft_task) tasks;
    struct rft_index known; /* addresses of tasks */
    bool no_memory;
};

/* The task, new or known; NULL without memory. */
static struct rft_task *add_task(struct collection *all, rft_address address, rft_address thread)
{
    uint32_t at = 0, item;
    uint64_t hash = rft_hash_mix(1, address);
    while ((item = rft_index_probe(&all->known, hash, &at)) != RFT_INDEX_END) {
        struct rft_task *known = &all->tasks.items[item];
        if (known->address != address)
            continue;
        if (!known->loop_thread)
            known->loop_thread = thread;
        return known;
    }
    struct rft_task task = {.address = address, .name = "", .loop_thread = thread};
    if (!rft_vec_push(&all->tasks, task) ||
        !rft_index_add(&all->known, hash, (uint32_t)(all->tasks.count - 1))) {
        all->no_memory = true;
        return NULL;
    }
    return &all->tasks.items[all->tasks.count - 1];
}

/* Walks a list of tasks once. False: it has changed meanwhile, or is damaged. */
static bool walk_list(struct collection *all, rft_address head, rft_address thread)
{
    struct rft_runtime *runtime = all->runtime;
    rft_address node, before = head;
    uint32_t next_at = rft_at(runtime, RFT_LLIST_NEXT), prev_at = rft_at(runtime, RFT_LLIST_PREV);
    /* An all-zero head: no asyncio in this thread yet. */
    if (!rft_read_word(runtime, head + next_at, &node))
        return false;
    if (!node)
        return true;
    for (size_t i = 0; i < TASKS_MAX && !all->no_memory; i++) {
        uint64_t next, previous;
        struct rft_read reads[] = {
            {.address = node + next_at, .buffer = &next, .size = 8},
            {.address = node + prev_at, .buffer = &previous, .size = 8},
        };
        if (rft_space_read_many(runtime->space, reads, 2) != 2 || previous != before)
            return false;
        if (node == head)
            return true;
        if (all->tasks.count >= TASKS_MAX)
            return false;
        add_task(all, node - all->at[TASK_NODE], thread);
        before = node;
        node = next;
    }
    return false;
}

static bool read_list(struct collection *all, rft_address head, rft_address thread)
{
    for (unsigned i = 0; i < LIST_ATTEMPTS; i++) {
        if (walk_list(all, head, thread))
            return true;
    }
    return false;
}

/* --- one task ------------------------------------------------------------------------ */

static const char *name_of(struct rft_runtime *runtime, rft_address name)
{
    struct rft_type type;
    uint64_t number;
    if (!rft_object_type(runtime, name, &type))
        return NULL;
    if (type.kind != RFT_OBJECT_INT)
        return rft_read_str(runtime, name, NAME_MAX_CHARS, &runtime->arena);
    /* A task that was given no name has a number until somebody asks for it. */
    if (!rft_int_value(runtime, name, &number))
        return NULL;
    rft_strbuf_clear(&runtime->scratch);
    rft_strbuf_format(&runtime->scratch, "Task-%lld", (long long)number);
    return rft_arena_copy(&runtime->arena, rft_strbuf_text(&runtime->scratch),
                          runtime->scratch.length);
}

/* Addresses that are collected, each once. */
struct waiters {
    rft_address items[WAITERS_MAX];
    size_t count;
};

static void add_waiter(struct collection *all, rft_address future, unsigned deep,
                       struct waiters *waiters);

/* Who waits for a task or future, from its bytes. */
static void read_waiters(struct collection *all, const unsigned char *future, unsigned deep,
                         struct waiters *waiters)
{
    struct rft_runtime *runtime = all->runtime;
    rft_address awaited_by = rft_word(future, all->at[TASK_AWAITED_BY]);
    if (!awaited_by)
        return;
    if (!future[all->at[TASK_AWAITED_BY_IS_SET]]) {
        add_waiter(all, awaited_by, deep, waiters);
        return;
    }
    uint64_t mask, table;
    if (!rft_read_field(runtime, awaited_by, RFT_SET_MASK, &mask) ||
        !rft_read_field(runtime, awaited_by, RFT_SET_TABLE, &table) || mask >= SET_MAX)
        return;
    for (size_t i = 0; i <= mask; i++) {
        /* setentry: key, hash. Of a removed key a dummy is left, with hash -1
         * (Objects/setobject.c). */
        uint64_t entry[2];
        if (!rft_space_try(runtime->space, table + 16 * i, entry, sizeof entry))
            return;
        if (entry[0] && entry[1] != UINT64_MAX)
            add_waiter(all, entry[0], deep, waiters);
    }
}

/* A task, or a future: then whoever waits for that. */
static void add_waiter(struct collection *all, rft_address future, unsigned deep,
                       struct waiters *waiters)
{
    unsigned char bytes[TASK_BYTES];
    /* A future ends before what only a task has. */
    size_t size = all->at[TASK_AWAITED_BY] + 8;
    if (size <= all->at[TASK_IS_TASK])
        size = all->at[TASK_IS_TASK] + 1;
    if (size <= all->at[TASK_AWAITED_BY_IS_SET])
        size = all->at[TASK_AWAITED_BY_IS_SET] + 1;
    if (!rft_space_try(all->runtime->space, future, bytes, size))
        return;
    if (!bytes[all->at[TASK_IS_TASK]]) {
        if (deep < FUTURES_DEEP && waiters->count < WAITERS_MAX)
            read_waiters(all, bytes, deep + 1, waiters);
        return;
    }
    for (size_t i = 0; i < waiters->count; i++) {
        if (waiters->items[i] == future)
            return;
    }
    if (waiters->count < WAITERS_MAX)
        waiters->items[waiters->count++] = future;
}

/* The thread of the interpreter whose loop executes the task now. */
static const struct rft_thread *thread_of(const struct rft_interpreter *interpreter,
                                          rft_address address)
{
    for (size_t i = 0; i < interpreter->thread_count; i++) {
        if (interpreter->threads[i].address == address)
            return &interpreter->threads[i];
    }
    return NULL;
}

/* Of the task that runs: the thread's frames, down to the coroutine of the task. */
static bool take_thread_frames(struct rft_task *task, const struct rft_thread *thread,
                               rft_address coroutine_frame)
{
    for (size_t i = 0; thread && i < thread->frame_count; i++) {
        if (thread->frames[i].frame == coroutine_frame) {
            task->frames = thread->frames;
            task->frame_count = i + 1;
            return true;
        }
    }
    return false;
}

/* False if the address is not, or no longer, that of a task. */
static bool read_task(struct collection *all, struct rft_interpreter *interpreter,
                      struct rft_task *task, struct waiters *waiters, struct rft_locals *locals)
{
    struct rft_runtime *runtime = all->runtime;
    unsigned char bytes[TASK_BYTES];
    if (!rft_space_try(runtime->space, task->address, bytes, (size_t)all->at[TASK_SIZE]) ||
        bytes[all->at[TASK_IS_TASK]] != 1)
        return false;
    const char *name = name_of(runtime, rft_word(bytes, all->at[TASK_NAME]));
    task->name = name ? name : "";
    rft_address coroutine = rft_word(bytes, all->at[TASK_CORO]);
    const struct rft_thread *thread =
        task->running ? thread_of(interpreter, task->loop_thread) : NULL;
    if (!take_thread_frames(task, thread, coroutine + rft_at(runtime, RFT_GEN_IFRAME)))
        rft_coroutine_frames(runtime, coroutine, locals, &task->frames, &task->frame_count);
    waiters->count = 0;
    read_waiters(all, bytes, 0, waiters);
    if (waiters->count) {
        size_t size = waiters->count * sizeof *waiters->items;
        rft_address *kept = rft_arena_alloc(&runtime->arena, size);
        if (kept) {
            memcpy(kept, waiters->items, size);
            task->awaited_by = kept;
            task->awaited_by_count = waiters->count;
        }
    }
    return true;
}

static void read_interpreter(struct collection *all, struct rft_interpreter *interpreter,
                             struct waiters *waiters, struct rft_locals *locals)
{
    struct rft_runtime *runtime = all->runtime;
    unsigned torn = 0, gone = 0;
    for (size_t i = 0; i < interpreter->thread_count; i++) {
        rft_address thread = interpreter->threads[i].address;
        torn += !read_list(all, thread + all->at[THREAD_TASKS], thread);
    }
    torn += !read_list(all, interpreter->address + all->at[INTERP_TASKS], 0);
    /* The running ones. One that is made eager is in no list until it waits for the first
     * time. */
    for (size_t i = 0; i < interpreter->thread_count; i++) {
        rft_address thread = interpreter->threads[i].address, loop, running;
        if (!rft_read_word(runtime, thread + all->at[THREAD_LOOP], &loop) || !loop ||
            !rft_read_word(runtime, thread + all->at[THREAD_TASK], &running) || !running)
            continue;
        struct rft_task *task = add_task(all, running, thread);
        if (task) {
            task->running = true;
            task->loop_thread = thread;
        }
    }
    size_t count = 0;
    for (size_t i = 0; i < all->tasks.count; i++) {
        struct rft_task task = all->tasks.items[i];
        if (read_task(all, interpreter, &task, waiters, locals))
            all->tasks.items[count++] = task;
        else
            gone++;
    }
    struct rft_task *kept = rft_arena_alloc(&runtime->arena, (count + 1) * sizeof *kept);
    if (!kept || all->no_memory) {
        rft_problem(runtime, &interpreter->problem, "no memory for its asyncio tasks");
        return;
    }
    if (count)
        memcpy(kept, all->tasks.items, count * sizeof *kept);
    interpreter->tasks = kept;
    interpreter->task_count = count;
    if (torn)
        rft_problem(runtime, &interpreter->problem,
                    "its lists of asyncio tasks changed while they were read, or are damaged: "
                    "some tasks may be missing");
    if (gone)
        rft_problem(runtime, &interpreter->problem, "%u asyncio tasks ended while they were read",
                    gone);
}

void rft_tasks_fill(struct rft_runtime *runtime, struct rft_locals *locals)
{
    if (runtime->minor < 14 || !rft_has(runtime, RFT_GEN_IFRAME))
        return;
    struct rft_objects *kept = rft_objects_kept(runtime);
    if (kept && !kept->tasks)
        kept->tasks = calloc(1, sizeof *kept->tasks);
    if (!kept || !kept->tasks || !find_table(runtime, kept->tasks))
        return;
    struct waiters *waiters = malloc(sizeof *waiters);
    for (size_t i = 0; waiters && i < runtime->snapshot.interpreter_count; i++) {
        struct collection all = {.runtime = runtime, .at = kept->tasks->at};
        read_interpreter(&all, &rft_interpreters_of(runtime)[i], waiters, locals);
        rft_vec_free(&all.tasks);
        rft_index_deinit(&all.known);
    }
    free(waiters);
}

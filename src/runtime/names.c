#include "runtime/names.h"

#include <stdlib.h>
#include <time.h>

#include "runtime/dict.h"
#include "runtime/kept.h"
#include "runtime/look.h"

/* Characters of a name that are shown. */
enum { NAME_MAX_CHARS = 200 };

/* How long names are taken for true, in nanoseconds. */
#define KNOWN_FOR UINT64_C(1000000000)
#define UNKNOWN_FOR UINT64_C(100000000)

/* A thread. The address alone does not tell it from the next one: memory and pthread_t are
 * both used again at once. */
struct named {
    rft_address address;
    uint64_t ident;
    uint64_t unique;  /* PyThreadState.id, or the native id */
    const char *name; /* NULL: threading has none */
};

/* The threads of one interpreter, in the order of the last snapshot. */
struct names_of {
    rft_address interpreter;
    int64_t id;
    RFT_VEC(struct named) threads;
    struct rft_arena texts;
    bool unknown;      /* a thread has no name */
    bool used;         /* the interpreter is still there */
    uint64_t all_read; /* when all names were read */
    uint64_t tried;    /* when any were */
    /* Where things were last time. */
    size_t module_at, active_at, name_at;
};

struct rft_names {
    RFT_VEC(struct names_of) interpreters;
};

static void drop(struct names_of *names)
{
    rft_vec_free(&names->threads);
    rft_arena_deinit(&names->texts);
}

void rft_names_destroy(struct rft_names *names)
{
    if (!names)
        return;
    for (size_t i = 0; i < names->interpreters.count; i++)
        drop(&names->interpreters.items[i]);
    rft_vec_free(&names->interpreters);
    free(names);
}

static struct named identity(const struct rft_runtime *runtime, const struct rft_thread *thread)
{
    struct named named = {.address = thread->address,
                          .ident = thread->id,
                          .unique = (uint64_t)thread->namespace_native_id};
    const unsigned char *bytes = rft_thread_bytes(runtime, thread);
    if (bytes && rft_has(runtime, RFT_THREAD_UNIQUE_ID) &&
        rft_at(runtime, RFT_THREAD_UNIQUE_ID) + 8 <= runtime->look->thread_bytes)
        named.unique = rft_word(bytes, rft_at(runtime, RFT_THREAD_UNIQUE_ID));
    return named;
}

static bool same(const struct named *left, const struct named *right)
{
    return left->address == right->address && left->ident == right->ident &&
           left->unique == right->unique;
}

/* The dict threading._active of an interpreter: ident → Thread. */
static bool open_active(struct rft_runtime *runtime, struct names_of *names, struct rft_dict *out)
{
    rft_address modules, module, module_dict, active;
    return rft_read_field(runtime, names->interpreter, RFT_INTERP_MODULES, &modules) &&
           rft_dict_open(runtime, modules, out) &&
           rft_dict_find_again(runtime, out, "threading", &names->module_at, &module) &&
           /* PyModuleObject: the head, md_dict (Include/internal/pycore_moduleobject.h). */
           rft_read_word(runtime, module + rft_at(runtime, RFT_OBJECT_SIZE), &module_dict) &&
           rft_dict_open(runtime, module_dict, out) &&
           rft_dict_find_again(runtime, out, "_active", &names->active_at, &active) &&
           rft_dict_open(runtime, active, out);
}

static int by_ident(const void *left, const void *right)
{
    const struct named *const *a = left, *const *b = right;
    return ((*a)->ident > (*b)->ident) - ((*a)->ident < (*b)->ident);
}

enum { CHUNK = 128 };

/* Reads the names of `count` threads, at most CHUNK, from threading's objects. */
static void read_some(struct rft_runtime *runtime, struct names_of *names,
                      struct named *const *threads, const rft_address *objects, size_t count)
{
    rft_address texts[CHUNK];
    rft_space_fetch(runtime->space, objects, count);
    for (size_t i = 0; i < count; i++) {
        if (!rft_instance_attribute_again(runtime, objects[i], "_name", &names->name_at, &texts[i]))
            texts[i] = 0;
    }
    rft_space_fetch(runtime->space, texts, count);
    for (size_t i = 0; i < count; i++) {
        const char *name =
            texts[i] ? rft_read_str(runtime, texts[i], NAME_MAX_CHARS, &names->texts) : NULL;
        if (name && *name)
            threads[i]->name = name;
    }
}

/* Reads the names of threads[0 .. count - 1], sorted by ident. */
static void read_names(struct rft_runtime *runtime, struct names_of *names, struct named **threads,
                       size_t count)
{
    struct rft_dict active;
    struct rft_dict_entry entries[CHUNK];
    rft_address keys[CHUNK];
    uint64_t idents[CHUNK];
    bool known[CHUNK];
    size_t got;
    if (!open_active(runtime, names, &active))
        return;
    for (size_t first = 0; first < active.count; first += got) {
        if (!rft_dict_read(runtime, &active, first, entries, CHUNK, &got) || !got)
            return;
        for (size_t i = 0; i < got; i++)
            keys[i] = entries[i].key;
        rft_int_values(runtime, keys, got, idents, known);
        struct named *wanted_here[CHUNK];
        rft_address objects[CHUNK];
        size_t used = 0;
        for (size_t i = 0; i < got; i++) {
            struct named wanted = {.ident = idents[i]};
            const struct named *key = &wanted;
            struct named **found =
                known[i] ? bsearch(&key, threads, count, sizeof *threads, by_ident) : NULL;
            if (found) {
                wanted_here[used] = *found;
                objects[used++] = entries[i].value;
            }
        }
        read_some(runtime, names, wanted_here, objects, used);
    }
}

/* Names are found by pthread_t, which the next thread may have by now: then the name is of that
 * one. Who is in the interpreter's list still, has still been there. Returns how many are not. */
static size_t drop_names_of_ended(struct rft_runtime *runtime, rft_address interpreter,
                                  struct named *const *threads, size_t count, bool drop)
{
    uint64_t words[CHUNK][2],
        back[CHUNK]; /* who is in front of it, and its number; whom that has */
    struct rft_read reads[2 * CHUNK];
    size_t ended = 0;
    for (size_t first = 0, part; first < count; first += part) {
        part = count - first < CHUNK ? count - first : CHUNK;
        for (size_t i = 0; i < part; i++) {
            rft_address thread = threads[first + i]->address;
            reads[2 * i] = (struct rft_read){.address = thread + rft_at(runtime, RFT_THREAD_PREV),
                                             .buffer = words[i],
                                             .size = 8};
            reads[2 * i + 1] =
                (struct rft_read){.address = thread + rft_at(runtime, RFT_THREAD_UNIQUE_ID),
                                  .buffer = &words[i][1],
                                  .size = 8};
        }
        rft_space_read_many(runtime->space, reads, 2 * part);
        bool there[CHUNK];
        for (size_t i = 0; i < part; i++) {
            there[i] = reads[2 * i].done && reads[2 * i + 1].done &&
                       words[i][1] == threads[first + i]->unique;
        }
        for (size_t i = 0; i < part; i++)
            reads[i] = (struct rft_read){
                .address = there[i] && words[i][0]
                               ? words[i][0] + rft_at(runtime, RFT_THREAD_NEXT)
                               : interpreter + rft_at(runtime, RFT_INTERP_THREADS),
                .buffer = &back[i],
                .size = 8};
        rft_space_read_many(runtime->space, reads, part);
        for (size_t i = 0; i < part; i++) {
            there[i] = there[i] && reads[i].done && back[i] == threads[first + i]->address;
            ended += !there[i];
            if (!there[i] && drop)
                threads[first + i]->name = NULL;
        }
    }
    return ended;
}

/* A list that changes is looked at again. */
static void keep_names_of_listed(struct rft_runtime *runtime, const struct names_of *names,
                                 struct named *const *threads, size_t count)
{
    enum { ATTEMPTS = 3 };
    if (!rft_has(runtime, RFT_THREAD_UNIQUE_ID) || !rft_has(runtime, RFT_THREAD_PREV) ||
        rft_space_kind(runtime->space) == RFT_SPACE_CORE)
        return;
    for (unsigned i = 1; i <= ATTEMPTS; i++) {
        if (!drop_names_of_ended(runtime, names->interpreter, threads, count, i == ATTEMPTS))
            return;
    }
}

/* Brings names->threads up to date with the snapshot. False without memory. */
static bool refresh(struct rft_runtime *runtime, struct names_of *names,
                    const struct rft_thread *threads, size_t count, uint64_t now)
{
    bool all = !names->all_read || now - names->all_read >= KNOWN_FOR;
    struct named *items = calloc(count ? count : 1, sizeof *items);
    struct named **wanted = calloc(count ? count : 1, sizeof *wanted);
    if (!items || !wanted) {
        free(items);
        free(wanted);
        return false;
    }
    if (all)
        rft_arena_reset(&names->texts);
    size_t wanted_count = 0;
    for (size_t i = 0, old = 0; i < count; i++) {
        items[i] = identity(runtime, &threads[i]);
        /* Both lists are newest first: what is in both comes in the same order. */
        size_t at = old;
        while (!all && at < names->threads.count && !same(&names->threads.items[at], &items[i]))
            at++;
        if (!all && at < names->threads.count) {
            items[i].name = names->threads.items[at].name;
            old = at + 1;
        }
        if (!items[i].name)
            wanted[wanted_count++] = &items[i];
    }
    qsort(wanted, wanted_count, sizeof *wanted, by_ident);
    if (wanted_count) {
        /* Threads' objects and names lie near to each other. */
        rft_space_remember_pages(runtime->space, true);
        read_names(runtime, names, wanted, wanted_count);
        rft_space_remember_pages(runtime->space, false);
        keep_names_of_listed(runtime, names, wanted, wanted_count);
    }
    names->unknown = false;
    for (size_t i = 0; i < count; i++)
        names->unknown |= !items[i].name;
    names->tried = now;
    if (all)
        names->all_read = now;
    free(wanted);
    rft_vec_free(&names->threads);
    names->threads.items = items;
    names->threads.count = names->threads.capacity = count;
    return true;
}

static bool is_current(const struct rft_runtime *runtime, const struct names_of *names,
                       const struct rft_thread *threads, size_t count, uint64_t now)
{
    if (names->threads.count != count || !names->all_read || now - names->all_read >= KNOWN_FOR ||
        (names->unknown && now - names->tried >= UNKNOWN_FOR))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct named now_there = identity(runtime, &threads[i]);
        if (!same(&names->threads.items[i], &now_there))
            return false;
    }
    return true;
}

static struct names_of *names_of(struct rft_names *names, const struct rft_interpreter *interpreter,
                                 size_t likely)
{
    size_t count = names->interpreters.count;
    for (size_t i = 0; i < count; i++) {
        struct names_of *at = &names->interpreters.items[(likely + i) % count];
        if (at->interpreter == interpreter->address && at->id == interpreter->id)
            return at;
    }
    struct names_of made = {.interpreter = interpreter->address, .id = interpreter->id};
    return rft_vec_push(&names->interpreters, made) ? &names->interpreters.items[count] : NULL;
}

void rft_names_fill(struct rft_runtime *runtime)
{
    struct rft_objects *kept = rft_objects_kept(runtime);
    if (kept && !kept->names)
        kept->names = calloc(1, sizeof *kept->names);
    struct rft_names *all = kept ? kept->names : NULL;
    if (!all)
        return;
    /* A core stands still: 1, always. */
    uint64_t now = 1;
    if (rft_space_kind(runtime->space) != RFT_SPACE_CORE) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
        now = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
    }
    size_t kept_before = all->interpreters.count;
    for (size_t i = 0; i < kept_before; i++)
        all->interpreters.items[i].used = false;
    struct rft_interpreter *interpreters = rft_interpreters_of(runtime);
    for (size_t i = 0; i < runtime->snapshot.interpreter_count; i++) {
        struct names_of *names = names_of(all, &interpreters[i], i);
        struct rft_thread *threads = rft_threads_of(&interpreters[i]);
        size_t count = interpreters[i].thread_count;
        if (!names)
            continue;
        names->used = true;
        if (!is_current(runtime, names, threads, count, now) &&
            !refresh(runtime, names, threads, count, now))
            continue;
        for (size_t t = 0; t < count; t++) {
            if (names->threads.items[t].name)
                threads[t].name = names->threads.items[t].name;
        }
    }
    /* Interpreters that are gone. */
    size_t left = 0;
    for (size_t i = 0; i < all->interpreters.count; i++) {
        if (all->interpreters.items[i].used)
            all->interpreters.items[left++] = all->interpreters.items[i];
        else
            drop(&all->interpreters.items[i]);
    }
    all->interpreters.count = left;
}

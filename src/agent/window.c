/* Questions about a trace that runs: what was born since a moment and is alive. Called by
 * the Python package through ctypes.PyDLL, so with the GIL; no Python object is made.
 *
 * A window has no end of its own: it begins at a mark, and is asked about as often as one
 * likes, up to now or up to the beginning of a later one. Texts are lines of fields with
 * tabs between them (escaped: \t \n \r \\), valid until this thread's next question. */
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"

#define EXPORT __attribute__((visibility("default")))

/* Windows that count births: what each site had when they began. Behind the GIL, and
 * tracer.lock where there is none. */
enum { COUNTING_MAX = 64 };
struct counting {
    uint32_t id; /* 0: free */
    uint32_t sites, *births;
};
static struct counting counting[COUNTING_MAX];

static _Thread_local struct rft_buffer answer;

static bool tracing(void)
{
    return atomic_load(&tracer.state) == RFT_TRACING;
}

static bool count_births(uint32_t id)
{
    struct counting *free = NULL;
    pthread_mutex_lock(&tracer.lock);
    for (int i = 0; i < COUNTING_MAX && free == NULL; i++) {
        free = counting[i].id == 0 ? &counting[i] : NULL;
    }
    uint32_t sites = tracer.site_count;
    uint32_t *births = free != NULL ? rft_pages_alloc(((size_t)sites + 1) * sizeof *births) : NULL;
    for (uint32_t site = 1; births != NULL && site <= sites; site++) {
        births[site] = atomic_load_explicit(&rft_site_by_id(site)->births, memory_order_relaxed);
    }
    if (births != NULL) {
        *free = (struct counting){id, sites, births};
    }
    pthread_mutex_unlock(&tracer.lock);
    return births != NULL;
}

/* Begins a window. counts: births are counted too, until its end, which costs 4 bytes for
 * each site. Returns its id, which grows from window to window; -1: nothing is being traced,
 * or 64 windows count already, or no memory. */
EXPORT long long reftracer_window_begin(int counts)
{
    if (!tracing()) {
        return -1;
    }
    uint32_t id = rft_mark();
    return counts && !count_births(id) ? -1 : (long long)id;
}

/* id 0: all of them. */
static void forget(uint64_t id)
{
    pthread_mutex_lock(&tracer.lock);
    for (int i = 0; i < COUNTING_MAX; i++) {
        struct counting *window = &counting[i];
        if (window->id != 0 && (id == 0 || window->id == id)) {
            rft_pages_free(window->births, ((size_t)window->sites + 1) * sizeof *window->births);
            *window = (struct counting){0};
        }
    }
    pthread_mutex_unlock(&tracer.lock);
}

/* Gives back what a window that counts births needs; others have nothing. */
EXPORT void reftracer_window_end(long long id)
{
    if (id > 0) {
        forget((uint64_t)id);
    }
}

void rft_windows_reset(void)
{
    forget(0);
}

/* Behind tracer.lock. Births since the window began, if it counts them. */
static bool births_since(uint32_t id, const struct rft_site *site, uint32_t *births)
{
    for (int i = 0; i < COUNTING_MAX; i++) {
        if (counting[i].id == id) {
            *births = atomic_load_explicit(&site->births, memory_order_relaxed) -
                      (site->id <= counting[i].sites ? counting[i].births[site->id] : 0);
            return true;
        }
    }
    return false;
}

static void field(struct rft_buffer *out, bool known, uint64_t value)
{
    char text[24] = "\t-";
    if (known) {
        snprintf(text, sizeof text, "\t%llu", (unsigned long long)value);
    }
    rft_buffer_append(out, text, strlen(text));
}

/* Behind tracer.lock. */
static void survivor(const struct rft_survivors *survivors, uint32_t id, bool up_to_now,
                     uint32_t depth)
{
    const struct rft_site *site = rft_site_by_id(survivors->site);
    uint32_t births = 0;
    bool counted = up_to_now && births_since(id, site, &births);
    rft_buffer_byte(&answer, 'S');
    field(&answer, true, site->id);
    field(&answer, true, survivors->live);
    field(&answer, counted, births);
    field(&answer, counted, births - survivors->live);
    field(&answer, !(site->flags & RFT_SITE_VARSIZE) || site->kind == RFT_KIND_GENERATOR,
          (uint64_t)survivors->live * site->fixed_size);
    if (depth > 0) {
        rft_buffer_byte(&answer, '\t');
        rft_names_of_site(site->id, depth, &answer);
    } else {
        rft_buffer_byte(&answer, '\n');
    }
}

static const char *answered(void)
{
    rft_buffer_byte(&answer, 0);
    return answer.failed ? NULL : (const char *)answer.bytes;
}

/* The sites with at least `least` objects alive that were born from the beginning of window
 * id up to that of window `until` (0: up to now), each a line
 *     S site live births deaths bytes [type thread]
 * births and deaths of those objects, and bytes, are "-" where they are not known (a window
 * that does not count them; instances of different sizes). With depth > 0 there are type and
 * thread, and lines of up to `depth` frames, innermost first:
 *     file line function
 * NULL: nothing is being traced, or no memory. */
EXPORT const char *reftracer_window_survivors(long long id, long long until, unsigned least,
                                              unsigned depth)
{
    struct rft_survivors *survivors = NULL;
    size_t count, size;
    if (!tracing() || id < 0 || until < 0 ||
        !rft_survivors((uint32_t)id, (uint32_t)until, &survivors, &count, &size)) {
        return NULL;
    }
    rft_buffer_clear(&answer);
    pthread_mutex_lock(&tracer.lock);
    for (size_t i = 0; i < count; i++) {
        if (survivors[i].live >= least) {
            survivor(&survivors[i], (uint32_t)id, until == 0, depth);
        }
    }
    pthread_mutex_unlock(&tracer.lock);
    rft_pages_free(survivors, size);
    return answered();
}

/* A site's names: a line "type thread", and up to `depth` lines of frames as above. */
EXPORT const char *reftracer_site(unsigned site, unsigned depth)
{
    bool known = false;
    rft_buffer_clear(&answer);
    pthread_mutex_lock(&tracer.lock);
    if (site > 0 && site <= tracer.site_count) {
        known = true;
        rft_names_of_site(site, depth, &answer);
    }
    pthread_mutex_unlock(&tracer.lock);
    return known ? answered() : NULL;
}

/* The addresses of the objects of one site in a window, up to `capacity` of them; returns how
 * many there are, -1 when nothing is being traced. Walks the live map, so it costs what a
 * census costs. What it finds is alive as long as the GIL is held. */
EXPORT long long reftracer_window_objects(long long id, long long until, unsigned site,
                                          uint64_t *addresses, size_t capacity)
{
    if (!tracing() || id < 0 || until < 0) {
        return -1;
    }
    return (long long)rft_survivor_objects((uint32_t)id, (uint32_t)until, site, addresses,
                                           capacity);
}

/* The same as a new list of the objects themselves, at most `limit` of them (and of 4096):
 * made here, where none can die between being found and being held. NULL without memory, with
 * no exception set. */
EXPORT void *reftracer_window_list(long long id, long long until, unsigned site, unsigned limit)
{
    enum { MOST = 4096 };
    void *(*new_list)(intptr_t) = NULL;
    int (*append)(void *, void *) = NULL;
    void (*clear_error)(void) = NULL;
    const struct {
        void *place;
        const char *name;
    } functions[] = {
        {&new_list, "PyList_New"}, {&append, "PyList_Append"}, {&clear_error, "PyErr_Clear"}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *symbol = rft_symbol(functions[i].name);
        if (symbol == NULL) {
            return NULL;
        }
        memcpy(functions[i].place, &symbol, sizeof symbol);
    }
    size_t most = limit < MOST ? limit : MOST;
    uint64_t *addresses = rft_pages_alloc(MOST * sizeof *addresses);
    int muted = reftracer_mute(1);
    void *list = addresses != NULL && tracing() && id >= 0 && until >= 0 ? new_list(0) : NULL;
    if (list != NULL) {
        size_t found = rft_survivor_objects((uint32_t)id, (uint32_t)until, site, addresses, most);
        for (size_t i = 0; i < found && i < most; i++) {
            if (append(list, (void *)(uintptr_t)addresses[i]) != 0) {
                clear_error(); /* no memory: the list is shorter */
                break;
            }
        }
    }
    reftracer_mute(muted);
    rft_pages_free(addresses, MOST * sizeof *addresses);
    return list;
}

/* Does this CPython release lose deaths? Then survivors are too many, and
 * reftracer_window_objects, which looks at each, tells the truth. */
EXPORT int reftracer_loses_deaths(void)
{
    return tracer.loses_deaths || atomic_load_explicit(&tracer.gaps, memory_order_relaxed);
}

/* Births in this thread are not counted (1), or counted again (0): for a tool's own work.
 * Returns what was before. */
EXPORT int reftracer_mute(int on)
{
    struct rft_thread *t = tracing() ? rft_thread_record() : NULL;
    if (t == NULL) {
        return 0;
    }
    int before = (t->muted & RFT_MUTED_OURS) != 0;
    t->muted = (t->muted & ~(uint32_t)RFT_MUTED_OURS) | (on ? RFT_MUTED_OURS : 0u);
    return before;
}

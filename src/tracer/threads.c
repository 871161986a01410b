/* Threads' names and records. */
#include "tracer/chain.h"
#include "tracer/events.h"
#include "tracer/nodes.h"
#include "tracer/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Adds the thread's record to the trace. Holds tracer.lock. */
static void define(struct rft_identity *identity, int native_id, uint32_t end)
{
    tracer.threads_n++;
    rft_buffer_varint(&tracer.thread_records, identity->id);
    rft_buffer_varint(&tracer.thread_records, (unsigned)native_id);
    rft_buffer_varint(&tracer.thread_records, identity->name);
    rft_buffer_varint(&tracer.thread_records, identity->start);
    rft_buffer_varint(&tracer.thread_records, end);
}

static struct rft_identity *identity_new(const char *name, size_t length, int native_id,
                                         uint32_t now)
{
    struct rft_identity *identity = rft_pool_alloc(sizeof *identity);
    if (identity != NULL) {
        identity->id = ++tracer.thread_count;
        identity->start = now;
        identity->name = rft_string_id(name, length);
        identity->next = tracer.identities;
        tracer.identities = identity;
        define(identity, native_id, 0);
    }
    return identity;
}

static void take_on(struct rft_thread *t, struct rft_identity *identity)
{
    t->identity = identity;
    t->identity_id = identity != NULL ? identity->id : 0;
}

void rft_identity_begin(struct rft_thread *t)
{
    static const char main_thread[] = "MainThread", other[] = "(thread being started)";
    t->named = t->native_id == getpid();
    if (t->named) {
        take_on(t, identity_new(main_thread, sizeof main_thread - 1, t->native_id, t->now));
        return;
    }
    if (t->unnamed == NULL) {
        t->unnamed = identity_new(other, sizeof other - 1, t->native_id, t->now);
    }
    take_on(t, t->unnamed);
}

void rft_identity_end(struct rft_thread *t, uint32_t now)
{
    struct rft_identity *identity = t->identity;
    if (identity != NULL && identity != t->unnamed) {
        define(identity, t->native_id, now + 1);
        identity->next_free = tracer.free_identities;
        tracer.free_identities = identity;
        take_on(t, t->unnamed);
    }
}

/* An identity of this kind whose thread has ended, or NULL. Holds tracer.lock. */
static struct rft_identity *take_ended(uint64_t kind)
{
    for (struct rft_identity **place = &tracer.free_identities; *place != NULL;
         place = &(*place)->next_free) {
        struct rft_identity *identity = *place;
        if (identity->kind == kind) {
            *place = identity->next_free;
            return identity;
        }
    }
    return NULL;
}

void rft_identities_reset(void)
{
    for (struct rft_identity *i = tracer.identities; i != NULL; i = i->next) {
        if (i->site_hash != NULL) {
            rft_pages_free(i->site_hash, (i->site_mask + 1) * sizeof(struct rft_site *));
        }
    }
    tracer.identities = tracer.free_identities = NULL;
}

/* The names that threading makes up, with a * for the number that it counts:
 * Thread-7, Thread-7 (work), Dummy-7, ThreadPoolExecutor-7_0. Names that the
 * program gave stay as they are. */
static size_t without_number(const char *name, size_t length, char *to)
{
    static const char *const prefixes[] = {"Thread-", "Dummy-", "ThreadPoolExecutor-"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t prefix = strlen(prefixes[i]), digits = prefix;
        if (length <= prefix || memcmp(name, prefixes[i], prefix) != 0) {
            continue;
        }
        while (digits < length && name[digits] >= '0' && name[digits] <= '9') {
            digits++;
        }
        if (digits > prefix) {
            memcpy(to, name, prefix);
            to[prefix] = '*';
            memcpy(to + prefix + 1, name + digits, length - digits);
            return length - digits + prefix + 1;
        }
    }
    memcpy(to, name, length);
    return length;
}

/* The name that threading gave: the outermost frame of its threads is
 * Thread._bootstrap(self) (Lib/threading.py). */
static size_t threading_name(struct rft_thread *t, char *to, size_t size)
{
    uintptr_t frame = t->chain[0].frame;
    uintptr_t word = *(uintptr_t *)(frame + tracer.layout.at[RFT_FRAME_EXECUTABLE]);
    const char *code = (const char *)(word & ~(uintptr_t)3);
    char name[64];
    const void *qualname = *(void *const *)(code + tracer.layout.at[RFT_CODE_QUALNAME]);
    size_t length = rft_str_to_utf8(qualname, name, sizeof name);
    if (length != strlen("Thread._bootstrap") || memcmp(name, "Thread._bootstrap", length) != 0) {
        return 0;
    }
    uintptr_t self = *(uintptr_t *)(frame + tracer.layout.at[RFT_FRAME_LOCALS]) & ~(uintptr_t)3;
    const void *value = self != 0 ? rft_instance_value((void *)self, "_name") : NULL;
    return value != NULL ? rft_str_to_utf8(value, to, size) : 0;
}

void rft_thread_name(struct rft_thread *t)
{
    char name[256];
    size_t length = threading_name(t, name, sizeof name);
    char os_name[17] = "thread";
    if (length == 0) {
        prctl(PR_GET_NAME, os_name);
        length = (size_t)snprintf(name, sizeof name, "%.16s", os_name);
    }
    char common[sizeof name + 1];
    size_t common_length = without_number(name, length, common);
    pthread_mutex_lock(&tracer.lock);
    t->named = true;
    uint64_t kind = rft_string_hash(common, common_length);
    struct rft_identity *identity = take_ended(kind);
    if (identity != NULL) {
        identity->name = rft_string_id(common, common_length);
        define(identity, t->native_id, 0);
    } else if ((identity = identity_new(name, length, t->native_id, t->now)) != NULL) {
        identity->kind = kind;
    }
    if (identity != NULL) {
        take_on(t, identity);
    }
    pthread_mutex_unlock(&tracer.lock);
    rft_nodes_reset(t); /* they lead to sites of the unnamed thread */
    rft_chain_set_parent(t);
}

struct rft_thread *rft_thread_record(void)
{
    struct rft_thread *t = rft_self;
    if (t != NULL) {
        return t;
    }
    pthread_mutex_lock(&tracer.lock);
    t = tracer.free_threads;
    if (t != NULL) {
        tracer.free_threads = t->next_free;
    } else if ((t = rft_pages_alloc(sizeof *t)) != NULL) {
        t->next = tracer.threads;
        tracer.threads = t;
    }
    if (t != NULL) {
        t->now = rft_now_ms();
        t->clock_interval = RFT_CLOCK_INTERVAL_MIN;
        t->native_id = (int)syscall(SYS_gettid);
        rft_identity_begin(t);
    }
    pthread_mutex_unlock(&tracer.lock);
    if (t == NULL || t->identity == NULL) {
        rft_stop_for_memory("a thread");
        return NULL;
    }
    rft_thread_void(t); /* sets up the caches at the first event */
    rft_self = t;
    if (tracer.on_thread != NULL) {
        tracer.on_thread(t);
    }
    return t;
}

/* The thread ends: its record goes to the next thread that starts, its identity
 * to the next one of its name. */
void rft_thread_ended(struct rft_thread *t)
{
    rft_self = NULL;
    pthread_mutex_lock(&tracer.lock); /* rft_tracer_reset() may be at the record */
    t->tstate = NULL;
    t->depth = 0;
    t->top = 0;
    t->tag++;
    t->interp = 0;
    rft_identity_end(t, rft_now_ms());
    t->next_free = tracer.free_threads;
    tracer.free_threads = t;
    pthread_mutex_unlock(&tracer.lock);
}

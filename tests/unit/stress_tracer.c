/* The tracer's concurrent parts, without CPython: threads make and free objects
 * for each other as fast as they can, new threads come and go, and a ticker
 * collects all the while. In the end every birth and death must have been
 * counted once, by site. Run under TSan by `make test`. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tracer/live_map.h"
#include "tracer/tracer.h"

enum { THREADS = 6, ROUNDS = 200000, SLOTS = 512, SHORT_THREADS = 100, BIRTHS_SHORT = 50 };

/* A CPython of our own: just enough structure for the tracer to walk. */
enum { THREAD_INTERP = 8, THREAD_FRAME = 72 };
struct fake_type {
    char bytes[1600];
};
struct fake_object {
    uint64_t refcount;
    struct fake_type *type;
    uint64_t pad[2];
};
static struct fake_type code_type, node_type;
static char interpreter[256];
static _Thread_local char thread_state[128];
static _Thread_local bool attached;

static void *current_thread_state(void)
{
    return attached ? thread_state : NULL;
}

static void attach(void)
{
    void *address = interpreter;
    memset(thread_state, 0, sizeof thread_state);
    memcpy(thread_state + THREAD_INTERP, &address, sizeof address);
    attached = true;
}

static void set_up_tracer(void)
{
    struct rft_layout *l = &tracer.layout;
    for (int i = 0; i < RFT_FIELD_COUNT; i++) {
        l->at[i] = RFT_NO_FIELD;
    }
    l->version = 0x030E0AF0;
    l->at[RFT_THREAD_INTERP] = THREAD_INTERP;
    l->at[RFT_THREAD_FRAME] = THREAD_FRAME;
    l->at[RFT_INTERP_ID] = 16;
    l->at[RFT_FRAME_INSTR] = 56;
    l->at[RFT_FRAME_OWNER] = 74;
    l->at[RFT_OBJECT_TYPE] = 8;
    l->at[RFT_OBJECT_SIZE] = 16;
    l->at[RFT_TYPE_NAME] = 24;
    l->at[RFT_TYPE_FLAGS] = 168;
    l->tp_basicsize = 32;
    l->tp_itemsize = 40;
    l->tp_base = 256;
    l->ht_tpname = 1000;
    tracer.py.thread_state = current_thread_state;
    tracer.py.code_type = &code_type;
    const char *name = "fake.Node";
    long basic = 32;
    memcpy(node_type.bytes + 24, &name, sizeof name);
    memcpy(node_type.bytes + 32, &basic, sizeof basic);
    atomic_store(&tracer.state, RFT_TRACING);
    atomic_store(&tracer.epoch, 1);
}

/* Objects that any thread may take and free. */
static struct {
    pthread_mutex_t lock;
    struct fake_object *objects[SLOTS];
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic uint64_t births, deaths;

static struct fake_object *make(void)
{
    struct fake_object *object = aligned_alloc(16, sizeof *object);
    object->refcount = 1;
    object->type = &node_type;
    rft_on_event(object, RFT_EVENT_CREATE, NULL);
    atomic_fetch_add_explicit(&births, 1, memory_order_relaxed);
    return object;
}

static void destroy(struct fake_object *object)
{
    if (object != NULL) {
        rft_on_event(object, RFT_EVENT_DESTROY, NULL);
        atomic_fetch_add_explicit(&deaths, 1, memory_order_relaxed);
        free(object);
    }
}

static void swap_in(unsigned slot, struct fake_object *object)
{
    pthread_mutex_lock(&shared.lock);
    struct fake_object *before = shared.objects[slot];
    shared.objects[slot] = object;
    pthread_mutex_unlock(&shared.lock);
    destroy(before);
}

static void *work(void *seed)
{
    unsigned state = (unsigned)(uintptr_t)seed;
    attach();
    for (int i = 0; i < ROUNDS; i++) {
        state = state * 1103515245u + 12345u;
        if (state >> 30 == 0) {
            destroy(make());
        } else {
            swap_in(state >> 8 & (SLOTS - 1), make());
        }
        if (i % 4096 == 0) { /* as when a known code object dies */
            rft_addresses_void();
        }
    }
    rft_thread_ended(rft_self);
    return NULL;
}

static void *work_shortly(void *seed)
{
    attach();
    for (unsigned i = 0; i < BIRTHS_SHORT; i++) {
        swap_in(((unsigned)(uintptr_t)seed + i) & (SLOTS - 1), make());
    }
    rft_thread_ended(rft_self);
    return NULL;
}

static _Atomic bool finished;

static void collect(bool all)
{
    static struct rft_definitions definitions;
    struct rft_buffer tick = {0};
    assert_true(rft_tick_collect(rft_now_ms(), all, &definitions, &tick));
    for (int type = 0; type <= RFT_CHUNK_SITES; type++) {
        rft_buffer_clear(&definitions.chunks[type]);
    }
    rft_buffer_clear(&definitions.losses);
    rft_pages_free(tick.bytes, tick.capacity);
}

/* A window's survivors, while threads go on: never more than were born. */
static void look_at_windows(void)
{
    static uint32_t before;
    uint32_t now = rft_mark();
    struct rft_survivors *survivors;
    size_t count, size;
    assert_true(now > before);
    assert_true(rft_survivors(before, now, &survivors, &count, &size));
    uint64_t bound = atomic_load(&births);
    for (size_t i = 0; i < count; i++) {
        assert_in_range(survivors[i].live, 1, bound + THREADS);
    }
    rft_pages_free(survivors, size);
    before = now;
}

static void *tick(void *unused)
{
    (void)unused;
    while (!atomic_load(&finished)) {
        collect(false);
        look_at_windows();
        pthread_mutex_lock(&tracer.lock);
        for (struct rft_thread *t = tracer.threads; t != NULL; t = t->next) {
            atomic_store_explicit(&t->countdown, 0, memory_order_relaxed);
        }
        pthread_mutex_unlock(&tracer.lock);
        usleep(500);
    }
    return NULL;
}

static void count_slots(uintptr_t base, rft_leaf leaf, void *arg)
{
    (void)base;
    for (uint32_t i = 0; i < RFT_LEAF_SLOTS; i++) {
        *(uint64_t *)arg += atomic_load_explicit(&leaf[i], memory_order_relaxed) != 0;
    }
}

static void test_every_event_of_threads_is_counted_once(void **unused)
{
    (void)unused;
    rft_tracer_reset();
    atomic_store(&births, 0);
    atomic_store(&deaths, 0);
    set_up_tracer();
    pthread_t ticker, threads[THREADS], shorts[SHORT_THREADS];
    pthread_create(&ticker, NULL, tick, NULL);
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    }
    for (uintptr_t i = 0; i < SHORT_THREADS; i++) {
        pthread_create(&shorts[i], NULL, work_shortly, (void *)(i * 5));
        if (i % 4 == 3) {
            for (uintptr_t k = i - 3; k <= i; k++) {
                pthread_join(shorts[k], NULL);
            }
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&finished, true);
    pthread_join(ticker, NULL);
    collect(true);

    uint64_t seen_births, seen_deaths, alive = 0;
    rft_tick_totals(&seen_births, &seen_deaths);
    rft_live_map_each(count_slots, &alive);
    assert_int_equal(seen_births, atomic_load(&births));
    assert_int_equal(seen_deaths, atomic_load(&deaths));
    assert_int_equal(alive, seen_births - seen_deaths);
    assert_int_equal(seen_births,
                     THREADS * (uint64_t)ROUNDS + SHORT_THREADS * (uint64_t)BIRTHS_SHORT);
    for (struct rft_thread *t = tracer.threads; t != NULL; t = t->next) {
        assert_int_equal(t->inferred, 0);
        assert_int_equal(t->unseen, 0);
        assert_int_equal(t->dropped, 0);
    }
    assert_null(tracer.out_of_memory);
}

enum { PHASES = 40, OBJECTS = 400 };
static struct fake_object *kept[PHASES][THREADS][OBJECTS];
static pthread_barrier_t phase_begins, phase_ends;

/* Objects of each phase; from the next one on, each thread frees those of another
 * thread: number i lives for 1 + i % 8 phases, and every tenth for ever. */
static void *work_in_phases(void *number)
{
    uintptr_t me = (uintptr_t)number;
    attach();
    for (int phase = 0; phase < PHASES; phase++) {
        pthread_barrier_wait(&phase_begins);
        for (int i = 0; i < OBJECTS; i++) {
            kept[phase][me][i] = make();
            destroy(make());
        }
        pthread_barrier_wait(&phase_ends);
        pthread_barrier_wait(&phase_begins);
        for (int past = 0; past < phase; past++) {
            for (int i = 0; i < OBJECTS; i++) {
                struct fake_object **object = &kept[past][(me + 1) % THREADS][i];
                if (i % 10 != 0 && past + 1 + i % 8 <= phase) {
                    destroy(*object);
                    *object = NULL;
                }
            }
        }
        pthread_barrier_wait(&phase_ends);
    }
    rft_thread_ended(rft_self);
    return NULL;
}

static uint64_t alive_between(uint32_t from, uint32_t until)
{
    struct rft_survivors *survivors;
    size_t count, size;
    uint64_t alive = 0;
    assert_true(rft_survivors(from, until, &survivors, &count, &size));
    for (size_t i = 0; i < count; i++) {
        alive += survivors[i].live;
    }
    rft_pages_free(survivors, size);
    return alive;
}

/* However short the phases are, and whoever frees the objects: between two marks
 * there are the objects that were born between them. */
static void test_marks_separate_what_was_born_before_from_what_was_born_after(void **unused)
{
    (void)unused;
    set_up_tracer();
    pthread_barrier_init(&phase_begins, NULL, THREADS + 1);
    pthread_barrier_init(&phase_ends, NULL, THREADS + 1);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work_in_phases, (void *)i);
    }
    uint32_t marks[PHASES + 1];
    for (int phase = 0; phase < PHASES; phase++) {
        marks[phase] = rft_mark();
        pthread_barrier_wait(&phase_begins);
        pthread_barrier_wait(&phase_ends); /* all born */
        assert_int_equal(alive_between(marks[phase], 0), THREADS * OBJECTS);
        pthread_barrier_wait(&phase_begins);
        pthread_barrier_wait(&phase_ends); /* some are gone */
        marks[phase + 1] = UINT32_MAX;
        for (int past = 0; past <= phase; past++) {
            uint64_t expected = 0;
            for (int thread = 0; thread < THREADS; thread++) {
                for (int i = 0; i < OBJECTS; i++) {
                    expected += kept[past][thread][i] != NULL;
                }
            }
            assert_int_equal(alive_between(marks[past], marks[past + 1]), expected);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    collect(true);
}

static pthread_barrier_t all_made;

static void *make_and_end(void *unused)
{
    (void)unused;
    attach();
    destroy(make());
    pthread_barrier_wait(&all_made);
    rft_thread_ended(rft_self);
    return NULL;
}

/* A thread that Python has done with needs no GIL to end: it may do so just when the next
 * trace begins. */
static void test_threads_end_while_another_trace_begins(void **unused)
{
    (void)unused;
    pthread_barrier_init(&all_made, NULL, THREADS + 1);
    for (int round = 0; round < 50; round++) {
        pthread_t threads[THREADS];
        set_up_tracer();
        for (int i = 0; i < THREADS; i++) {
            pthread_create(&threads[i], NULL, make_and_end, NULL);
        }
        pthread_barrier_wait(&all_made);
        rft_tracer_reset();
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
        collect(true);
    }
    pthread_barrier_destroy(&all_made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks_separate_what_was_born_before_from_what_was_born_after),
        cmocka_unit_test(test_every_event_of_threads_is_counted_once),
        cmocka_unit_test(test_threads_end_while_another_trace_begins),
    };
    return cmocka_run_group_tests_name("the tracer under threads", tests, NULL, NULL);
}

/* Subscribers come and go in eight threads while events flow in others: none is called
 * after its removal, none that stays misses an event. CPython is played by threads that
 * read the slot and call what is in it, as _PyReftracerTrack does.
 *
 * REFTRACER_STRESS_EVENTS: how many events; 2,000,000 if it is not set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tracer/share.h"

enum { EVENT_THREADS = 3, CHANGING_THREADS = 8 };

static struct rft_slot slot;
static _Atomic bool stop;
static _Atomic long late, missing, changes;

/* A thread's view of a subscriber's life: 1 subscribed, 0 not. The memory is freed at once
 * after the removal, so that ASan and TSan see a late call too. */
struct passing {
    _Atomic int subscribed;
    _Atomic long calls;
};

static int on_passing(void *op, int event, void *data)
{
    struct passing *passing = data;
    (void)op;
    (void)event;
    if (atomic_load_explicit(&passing->subscribed, memory_order_relaxed) != 1)
        atomic_fetch_add(&late, 1);
    atomic_fetch_add_explicit(&passing->calls, 1, memory_order_relaxed);
    return 0;
}

static _Thread_local long seen_here;

static int on_staying(void *op, int event, void *data)
{
    (void)op;
    (void)event;
    (void)data;
    seen_here++;
    return 0;
}

static void event(void *op)
{
    rft_callback function = atomic_load_explicit(&slot.function, memory_order_relaxed);
    if (function != NULL)
        function(op, 0, atomic_load_explicit(&slot.data, memory_order_relaxed));
}

/* Whether what the events are for has happened meanwhile: on a busy machine the threads that
 * are to do it may not have had a turn yet. */
static bool has_changed(void)
{
    return atomic_load(&changes) > CHANGING_THREADS;
}
static bool was_grabbed(void);
static bool (*happened)(void) = has_changed;
enum { MORE_SECONDS = 100 };

static void *make_events(void *arg)
{
    long count = *(long *)arg, made = 0;
    char object = 0;
    time_t end = time(NULL) + MORE_SECONDS;
    while (made < count || (!happened() && time(NULL) < end)) {
        for (long i = 0; i < 10000; i++)
            event(&object);
        made += 10000;
    }
    if (seen_here != made)
        atomic_fetch_add(&missing, 1);
    return NULL;
}

static void *change(void *arg)
{
    unsigned random = (unsigned)(uintptr_t)arg;
    struct rft_subscriber was;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        struct passing *passing = calloc(1, sizeof *passing);
        atomic_store(&passing->subscribed, 1);
        uint64_t id = rft_share_add(on_passing, passing);
        random = random * 1664525u + 1013904223u;
        for (volatile unsigned i = 0; i < random >> 20; i++)
            ;
        if (rft_share_remove(id, &was) != RFT_REMOVED || was.data != passing ||
            rft_share_remove(id, &was) != RFT_REMOVAL_UNKNOWN)
            atomic_fetch_add(&late, 1);
        atomic_store(&passing->subscribed, 0);
        free(passing);
        atomic_fetch_add_explicit(&changes, 1, memory_order_relaxed);
        /* The machine has fewer processors than this test has threads. */
        nanosleep(&(struct timespec){0, 200000}, NULL);
    }
    return NULL;
}

static void TR7_subscribers_come_and_go_while_events_flow(void **state)
{
    (void)state;
    const char *asked = getenv("REFTRACER_STRESS_EVENTS");
    long events = asked != NULL ? atol(asked) : 2000000, each = events / EVENT_THREADS;
    pthread_t makers[EVENT_THREADS], changers[CHANGING_THREADS];
    struct rft_subscriber was;
    uint64_t staying = rft_share_add(on_staying, NULL);
    assert_true(staying != 0);
    rft_slot_take(&slot, NULL);
    for (int i = 0; i < CHANGING_THREADS; i++)
        pthread_create(&changers[i], NULL, change, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < EVENT_THREADS; i++)
        pthread_create(&makers[i], NULL, make_events, &each);
    for (int i = 0; i < EVENT_THREADS; i++)
        pthread_join(makers[i], NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < CHANGING_THREADS; i++)
        pthread_join(changers[i], NULL);
    assert_int_equal(atomic_load(&late), 0);
    assert_int_equal(atomic_load(&missing), 0);
    assert_true(atomic_load(&changes) > CHANGING_THREADS);
    printf("%ld events at least, %ld subscribers added and removed\n", each * EVENT_THREADS,
           atomic_load(&changes));
    assert_int_equal(rft_share_remove(staying, &was), RFT_REMOVED);
    assert_int_equal(rft_share_count(), 0);
    rft_slot_leave();
    assert_null((void *)(uintptr_t)atomic_load(&slot.function));
}

/* --- from inside of callbacks --------------------------------------------------------- */

static _Atomic uint64_t ids[2];
static _Atomic int calls[2];
static pthread_barrier_t both;

/* Two callbacks in two threads, each of which removes the other's subscriber. */
static int remove_the_other(void *op, int event, void *data)
{
    (void)event;
    int self = (int)(intptr_t)data;
    struct rft_subscriber was;
    atomic_fetch_add(&calls[self], 1);
    if (*(char *)op == (char)self && atomic_load(&ids[!self]) != 0) {
        pthread_barrier_wait(&both);
        rft_share_remove(atomic_exchange(&ids[!self], 0), &was);
    }
    return 0;
}

static void *one_event(void *arg)
{
    char self = (char)(intptr_t)arg;
    event(&self);
    return NULL;
}

static void TR7_callbacks_remove_each_other(void **state)
{
    (void)state;
    pthread_barrier_init(&both, NULL, 2);
    for (int round = 0; round < 200; round++) {
        pthread_t threads[2];
        for (intptr_t i = 0; i < 2; i++)
            atomic_store(&ids[i], rft_share_add(remove_the_other, (void *)i));
        rft_slot_take(&slot, NULL);
        for (intptr_t i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, one_event, (void *)i);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(rft_share_count(), 0);
        int before = atomic_load(&calls[0]) + atomic_load(&calls[1]);
        one_event(NULL);
        assert_int_equal(atomic_load(&calls[0]) + atomic_load(&calls[1]), before);
        rft_slot_leave();
    }
    pthread_barrier_destroy(&both);
}

static int order[8], ordered;
static uint64_t own_id, next_id;

static int note(void *op, int event, void *data)
{
    (void)op;
    (void)event;
    if (ordered < 8)
        order[ordered++] = (int)(intptr_t)data;
    return 0;
}

static int remove_self_and_next_and_add(void *op, int event, void *data)
{
    struct rft_subscriber was;
    note(op, event, data);
    rft_share_remove(own_id, &was);
    rft_share_remove(next_id, &was);
    rft_share_add(note, (void *)9);
    return 0;
}

static void TR7_a_callback_removes_itself_and_others(void **state)
{
    (void)state;
    struct rft_subscriber was;
    char object = 0;
    uint64_t first = rft_share_add(note, (void *)1);
    own_id = rft_share_add(remove_self_and_next_and_add, (void *)2);
    next_id = rft_share_add(note, (void *)3);
    uint64_t last = rft_share_add(note, (void *)4);
    rft_slot_take(&slot, NULL);
    event(&object); /* the one that was added in it begins with the next event */
    assert_int_equal(ordered, 3);
    assert_memory_equal(order, ((int[]){1, 2, 4}), 3 * sizeof *order);
    event(&object);
    assert_int_equal(ordered, 6);
    assert_memory_equal(order + 3, ((int[]){1, 4, 9}), 3 * sizeof *order);
    for (uint64_t id = first; id <= last + 1; id++)
        rft_share_remove(id, &was);
    assert_int_equal(rft_share_count(), 0);
    rft_slot_leave();
}

/* --- other tools ------------------------------------------------------------------------ */

static _Atomic long foreign_calls;
static char foreign_data;

static int foreign(void *op, int event, void *data)
{
    (void)op;
    (void)event;
    if (data == &foreign_data)
        atomic_fetch_add(&foreign_calls, 1);
    return 0;
}

/* As CPython 3.15: who is in the slot is told, and then the newcomer is stored. */
static void tell(void)
{
    rft_callback function = atomic_load(&slot.function);
    if (function != NULL)
        function(NULL, 2, atomic_load(&slot.data));
}

static void store(rft_callback function, void *data)
{
    atomic_store(&slot.function, function);
    atomic_store(&slot.data, data);
}

static void TR9_a_tool_that_is_about_to_come_has_not_come(void **state)
{
    (void)state;
    struct rft_subscriber was;
    struct rft_gap gap;
    const struct timespec settled = {0, 2000000};
    store(NULL, NULL);
    uint64_t id = rft_share_add(on_staying, NULL), before = rft_slot_gaps().count;
    rft_slot_take(&slot, NULL);
    tell();
    nanosleep(&settled, NULL); /* the thread that sets it has no processor */
    assert_int_equal(rft_slot_look(&gap), RFT_SLOT_OURS);
    assert_int_equal(rft_slot_gaps().count, before);
    store(foreign, &foreign_data);
    assert_int_equal(rft_slot_look(&gap), RFT_SLOT_RETAKEN);
    assert_int_equal(rft_slot_gaps().count, before + 1);
    tell();
    nanosleep(&settled, NULL); /* the same with a tool behind us */
    assert_int_equal(rft_slot_look(&gap), RFT_SLOT_OURS);
    assert_int_equal(rft_slot_gaps().count, before + 1);
    event(&foreign_data);
    assert_int_equal(atomic_load(&foreign_calls), 2); /* it still has its place behind us */
    store(NULL, NULL);                                /* the other tool leaves, and us with it */
    assert_int_equal(rft_slot_look(&gap), RFT_SLOT_RETAKEN);
    assert_true(gap.emptied);
    assert_int_equal(rft_slot_gaps().count, before + 2);

    /* One that comes and puts back what it found, at last with another one behind us. */
    for (int visit = 1; visit <= 5; visit++) {
        if (visit == 3) {
            store(foreign, &foreign_data);
            assert_int_equal(rft_slot_look(&gap), RFT_SLOT_RETAKEN);
            before++;
        }
        rft_callback function = atomic_load(&slot.function);
        void *data = atomic_load(&slot.data);
        tell();
        store(foreign, &foreign_data);
        tell();
        store(function, data);
        nanosleep(&settled, NULL);
        assert_int_equal(rft_slot_look(&gap), RFT_SLOT_RETAKEN);
        assert_true(gap.begin <= gap.end);
        assert_int_equal(rft_slot_gaps().count, before + 2 + (uint64_t)visit);
        assert_int_equal(rft_slot_look(&gap), RFT_SLOT_OURS);
    }
    assert_int_equal(rft_share_remove(id, &was), RFT_REMOVED);
    rft_slot_leave();
    store(NULL, NULL);
    atomic_store(&foreign_calls, 0);
}

static bool was_grabbed(void)
{
    return atomic_load(&foreign_calls) > 0 && rft_slot_gaps().count > 0;
}

static void *grab(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) {
        atomic_store(&slot.data, &foreign_data);
        atomic_store(&slot.function, foreign);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return NULL;
}

static void TR9_a_tool_that_grabs_the_slot_in_a_loop(void **state)
{
    (void)state;
    struct rft_subscriber was;
    pthread_t grabber;
    long one_thread = 300000;
    atomic_store(&stop, false);
    atomic_store(&missing, 0);
    uint64_t id = rft_share_add(on_staying, NULL);
    happened = was_grabbed;
    rft_slot_take(&slot, NULL);
    rft_watch_start();
    pthread_create(&grabber, NULL, grab, NULL);
    for (int i = 0; i < 10; i++) {
        pthread_t maker;
        pthread_create(&maker, NULL, make_events, &one_thread);
        pthread_join(maker, NULL);
    }
    nanosleep(&(struct timespec){0, 100000000}, NULL);
    atomic_store(&stop, true);
    pthread_join(grabber, NULL);
    struct rft_gap gap;
    rft_slot_look_last(&gap);
    struct rft_gaps gaps = rft_slot_gaps();
    assert_true(gaps.count > 0);
    assert_true(gaps.nanoseconds > 0);
    assert_false(gaps.open);
    assert_true(atomic_load(&foreign_calls) > 0);
    rft_watch_stop();
    assert_int_equal(rft_share_remove(id, &was), RFT_REMOVED);
    rft_slot_leave(); /* as we found it: the other tool and its data */
    assert_true(atomic_load(&slot.function) == foreign);
    assert_ptr_equal(atomic_load(&slot.data), &foreign_data);
}

static void TR11_a_forked_child_goes_on(void **state)
{
    (void)state;
    struct rft_subscriber was;
    char object = 0;
    pthread_t thread;
    atomic_store(&slot.function, NULL);
    uint64_t id = rft_share_add(on_staying, NULL);
    rft_slot_take(&slot, NULL);
    rft_watch_start();
    event(&object);
    pid_t child = fork();
    if (child == 0) {
        seen_here = 0;
        event(&object);
        pthread_create(&thread, NULL, one_event, NULL);
        pthread_join(thread, NULL);
        bool right = seen_here == 1 && rft_share_remove(id, &was) == RFT_REMOVED;
        event(&object);
        _exit(right && seen_here == 1 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    rft_watch_stop();
    rft_share_remove(id, &was);
    rft_slot_leave();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(TR7_subscribers_come_and_go_while_events_flow),
        cmocka_unit_test(TR7_callbacks_remove_each_other),
        cmocka_unit_test(TR7_a_callback_removes_itself_and_others),
        cmocka_unit_test(TR9_a_tool_that_is_about_to_come_has_not_come),
        cmocka_unit_test(TR9_a_tool_that_grabs_the_slot_in_a_loop),
        cmocka_unit_test(TR11_a_forked_child_goes_on),
    };
    /* Once more as on a kernel without membarrier(2). */
    if (argc == 1 && fork() != 0) {
        int status = 0;
        wait(&status);
        if (status != 0)
            return 1;
    } else {
        rft_share.no_membarrier = true;
    }
    (void)argv;
    if (!rft_share_init())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

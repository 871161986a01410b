/* CPython's one slot for a reference tracer, _PyRuntime.ref_tracer: a function
 * and its data, two words. tracemalloc.start() and other tools overwrite it,
 * tracemalloc.stop() empties it, and up to 3.14 nobody is told.
 *
 * We look at the slot every few milliseconds (ticker.c). If another tool has
 * put itself there, we go in front of it and pass every event on; if it was
 * emptied, we go back. That is one compare-and-swap of the function's word: the
 * data word stays the newcomer's, our functions do not use theirs, so an event
 * that reads the two words in between still sees a pair that belongs together. */
#include "agent/agent.h"

#include <string.h>

struct slot {
    _Atomic(rft_callback) function;
    void *_Atomic data;
};

static struct {
    struct slot *place;            /* in _PyRuntime; NULL: not found */
    _Atomic(rft_callback) foreign; /* the tool behind us, or NULL */
    void *_Atomic foreign_data;
    uint32_t last_good;       /* ms; when the slot was last seen to be ours */
    uint32_t retaken, window; /* how often in the current second */
} slot;

static bool is_ours(rft_callback function);

static int on_event_and_pass(void *op, int event, void *data)
{
    (void)data;
    rft_on_event(op, event, NULL);
    rft_callback next = atomic_load_explicit(&slot.foreign, memory_order_acquire);
    if (next != NULL && !is_ours(next)) {
        next(op, event, atomic_load_explicit(&slot.foreign_data, memory_order_relaxed));
    }
    return 0;
}

static bool is_ours(rft_callback function)
{
    return function == rft_tracer_callback() || function == on_event_and_pass;
}

/* Where in _PyRuntime is the pair that was just registered? */
static struct slot *find_place(rft_callback function, void *data)
{
    char *runtime = tracer.py.runtime;
    size_t size = tracer.layout.at[RFT_RUNTIME_SIZE];
    for (size_t at = 0; at + 16 <= size; at += 8) {
        struct {
            rft_callback function;
            void *data;
        } words;
        memcpy(&words, runtime + at, sizeof words);
        if (words.function == function && words.data == data) {
            return (struct slot *)(void *)(runtime + at);
        }
    }
    return NULL;
}

bool rft_slot_take(void)
{
    void *data = NULL;
    rft_callback before = tracer.py.get_tracer(&data);
    rft_callback ours = rft_tracer_callback();
    if (before != NULL && !is_ours(before)) {
        atomic_store(&slot.foreign_data, data);
        atomic_store(&slot.foreign, before);
        ours = on_event_and_pass;
    }
    /* In front of another tool its data stays in its word, for the day we leave. */
    void *word = ours == on_event_and_pass ? data : &tracer;
    if (tracer.py.set_tracer(ours, word) != 0) {
        return false;
    }
    slot.place = find_place(ours, word);
    slot.last_good = rft_now_ms();
    return true;
}

/* No endless fight with a tool that does the same. */
static bool too_often(uint32_t now)
{
    enum { PER_SECOND = 20 };
    if (now - slot.window >= 1000) {
        slot.window = now;
        slot.retaken = 0;
    }
    return ++slot.retaken > PER_SECOND;
}

void rft_slot_check(uint32_t now, bool last)
{
    if (slot.place == NULL ||
        atomic_load_explicit(&tracer.state, memory_order_relaxed) != RFT_TRACING) {
        return;
    }
    rft_callback found = atomic_load_explicit(&slot.place->function, memory_order_acquire);
    if (is_ours(found)) {
        slot.last_good = now;
        return;
    }
    atomic_store_explicit(&tracer.gaps, true, memory_order_relaxed);
    if (!last && too_often(now)) {
        return; /* until the next second; the gap goes on */
    }
    rft_callback ours = rft_tracer_callback();
    bool passing = found != NULL;
    if (passing) {
        void *data = atomic_load_explicit(&slot.place->data, memory_order_relaxed);
        atomic_store_explicit(&slot.foreign_data, data, memory_order_relaxed);
        ours = on_event_and_pass;
    }
    atomic_store_explicit(&slot.foreign, found, memory_order_release);
    if (atomic_compare_exchange_strong(&slot.place->function, &found, ours)) {
        uint32_t gap = now - slot.last_good;
        rft_loss(RFT_LOSS_SLOT_GAP, slot.last_good, gap > 0 ? gap : 1, 1,
                 !passing ? "another tool had removed the tracer (tracemalloc.stop() does)"
                          : "another tool had taken the tracer's place (tracemalloc.start() does)");
        slot.last_good = now;
    }
}

void rft_slot_release(void)
{
    if (slot.place == NULL) {
        return;
    }
    rft_callback next = atomic_load(&slot.foreign), ours = on_event_and_pass;
    if (!atomic_compare_exchange_strong(&slot.place->function, &ours, next)) {
        ours = rft_tracer_callback();
        atomic_compare_exchange_strong(&slot.place->function, &ours, NULL);
    }
}

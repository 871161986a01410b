/* CPython's slot for the agent: the tracer is the one subscriber of src/tracer/share*.c,
 * and stands in the slot itself while no other tool is there. The ticker looks after it. */
#include "agent/agent.h"

#include "tracer/share.h"

static uint32_t milliseconds(uint64_t ns)
{
    return ns > tracer.start_ns ? (uint32_t)((ns - tracer.start_ns) / 1000000u) : 0;
}

/* CPython keeps the pair of function and data somewhere in _PyRuntime: found by looking for
 * the pair that is there, or that we put there if there is none. A tool that is there is not
 * set anew, since CPython 3.15 would tell it that it was removed. */
static struct rft_slot *find_place(void)
{
    void *data = NULL;
    rft_callback function = tracer.py.get_tracer(&data);
    bool empty = function == NULL;
    if (empty) {
        function = rft_tracer_callback();
        data = &tracer;
        if (tracer.py.set_tracer(function, data) != 0) {
            return NULL;
        }
    }
    struct rft_slot *place =
        rft_slot_find(tracer.py.runtime, tracer.layout.at[RFT_RUNTIME_SIZE], function, data);
    if (empty && place != NULL) {
        atomic_store(&place->data, NULL); /* as it was */
    } else if (empty) {
        tracer.py.set_tracer(NULL, NULL);
    }
    return place;
}

bool rft_slot_begin(void)
{
    static uint64_t subscription; /* stays from one trace to the next: one call for each event */
    struct rft_slot *place = rft_share_init() ? find_place() : NULL;
    if (place != NULL && subscription == 0) {
        subscription = rft_share_add(rft_tracer_callback(), NULL);
    }
    if (place == NULL || subscription == 0) {
        return false;
    }
    rft_slot_take(place, rft_tracer_callback());
    return true;
}

void rft_slot_check(bool last)
{
    struct rft_gap gap;
    if (atomic_load_explicit(&tracer.state, memory_order_relaxed) != RFT_TRACING) {
        return;
    }
    enum rft_slot_state state = last ? rft_slot_look_last(&gap) : rft_slot_look(&gap);
    if (state == RFT_SLOT_OURS) {
        return;
    }
    atomic_store_explicit(&tracer.gaps, true, memory_order_relaxed);
    if (state == RFT_SLOT_RETAKEN) {
        uint32_t begin = milliseconds(gap.begin), end = milliseconds(gap.end);
        rft_loss(RFT_LOSS_SLOT_GAP, begin, end > begin ? end - begin : 1, 1,
                 gap.emptied ? "another tool had removed the tracer (tracemalloc.stop() does)"
                             : "another tool had taken the tracer's place (tracemalloc.start() "
                               "does)");
    }
}

void rft_slot_end(void)
{
    rft_slot_leave();
}

/* Who has which GIL, and who waits for one. */
#include "runtime/look.h"

/* Bit of PyThreadState.eval_breaker (Include/internal/pycore_ceval.h, 3.13+). */
enum { GIL_DROP_REQUEST = 1 << 0 };

/* PyThreadState.state, 3.13+. */
enum { STATE_ATTACHED = 1 };

static const struct rft_look_gil *gil_of(const struct rft_runtime *runtime,
                                         const struct rft_look_interp *interp)
{
    const struct rft_look *look = runtime->look;
    return interp->gil < look->gils.count && look->gils.items[interp->gil].read
               ? &look->gils.items[interp->gil]
               : NULL;
}

void rft_gil_begin(struct rft_runtime *runtime)
{
    struct rft_look *look = runtime->look;
    look->main_gil = 0;
    for (size_t i = 0; i < look->interps.count; i++) {
        const struct rft_look_interp *interp = look->interps.items[i];
        if (interp->read && interp->gil < look->gils.count &&
            rft_fact(look, interp, RFT_FACT_ID) == 0) {
            look->main_gil = look->gils.items[interp->gil].address;
        }
    }
    for (size_t g = 0; g < look->gils.count; g++) {
        look->gils.items[g].requested = false;
    }
    /* The holder may belong to another interpreter that shares the GIL. */
    uint32_t breaker = rft_at(runtime, RFT_THREAD_EVAL_BREAKER);
    for (size_t i = 0; breaker != RFT_NO_FIELD && i < look->threads.count; i++) {
        const struct rft_look_thread *thread = look->threads.items[i];
        uint32_t g = look->interps.items[thread->interp]->gil;
        if (g < look->gils.count && look->gils.items[g].read &&
            rft_word(look->gils.items[g].after, rft_at(runtime, RFT_GIL_HOLDER)) ==
                thread->address &&
            rft_word(rft_state_of(thread), breaker) & GIL_DROP_REQUEST) {
            look->gils.items[g].requested = true;
        }
    }
}

static void fill_thread(struct rft_runtime *runtime, const struct rft_look_thread *from,
                        const struct rft_interpreter *interpreter, struct rft_thread *to)
{
    const unsigned char *state = rft_state_of(from);
    bool attached = false, state_known = rft_has(runtime, RFT_THREAD_STATE);
    if (state_known) {
        attached = rft_int(state, rft_at(runtime, RFT_THREAD_STATE)) == STATE_ATTACHED;
    }
    if (!interpreter->gil_enabled) {
        to->gil = !state_known ? RFT_GIL_UNKNOWN : attached ? RFT_GIL_NONE : RFT_GIL_NOT_NEEDED;
        return;
    }
    if (!interpreter->gil) {
        to->gil = RFT_GIL_UNKNOWN;
        return;
    }
    if (interpreter->gil_holder == from->address) {
        to->gil = RFT_GIL_HOLDS;
        to->gil_requested = interpreter->gil_requested;
    } else if (rft_has(runtime, RFT_THREAD_GIL_REQUESTED)) {
        /* 3.15 says so itself, from the moment it begins to wait. */
        to->gil = rft_int(state, rft_at(runtime, RFT_THREAD_GIL_REQUESTED)) ? RFT_GIL_WAITS
                                                                            : RFT_GIL_NOT_NEEDED;
    } else if (!interpreter->gil_locked) {
        to->gil = RFT_GIL_NOT_NEEDED; /* nobody has it, so nobody waits for longer */
    } else {
        /* Before, a thread that waits looks like one in a C call that has let go of it; the
         * kernel knows the difference: enrich.c. */
        to->gil = RFT_GIL_UNKNOWN;
    }
}

void rft_gil_fill(struct rft_runtime *runtime, const struct rft_look_interp *from,
                  struct rft_interpreter *to)
{
    struct rft_look *look = runtime->look;
    const struct rft_look_gil *gil = gil_of(runtime, from);
    to->gil_own = to->main;
    to->gil_enabled = true;
    to->gil = from->gil < look->gils.count ? look->gils.items[from->gil].address : 0;
    if (gil) {
        int32_t locked = rft_int(gil->after, rft_at(runtime, RFT_GIL_LOCKED));
        uint64_t holder = rft_word(gil->after, rft_at(runtime, RFT_GIL_HOLDER));
        if (rft_has(runtime, RFT_GIL_ENABLED)) {
            to->gil_enabled = rft_int(gil->after, rft_at(runtime, RFT_GIL_ENABLED)) > 0;
        }
        /* last_holder stays when the GIL is let go of. */
        to->gil_locked = to->gil_enabled && locked > 0;
        to->gil_holder = to->gil_locked ? holder : 0;
    }
    if (to->gil && to->gil != look->main_gil) {
        to->gil_own = true;
    }
    /* Up to 3.12 a flag of the runtime or the interpreter, then a bit of the holder's. */
    if (rft_has(runtime, RFT_RUNTIME_GIL_REQUEST)) {
        int32_t request;
        to->gil_requested =
            rft_read_int(runtime, runtime->address + rft_at(runtime, RFT_RUNTIME_GIL_REQUEST),
                         &request) &&
            request != 0;
    } else if (rft_has(runtime, RFT_INTERP_GIL_REQUEST)) {
        to->gil_requested = rft_fact(look, from, RFT_FACT_GIL_REQUEST) != 0;
    } else {
        to->gil_requested = to->gil_holder && gil->requested;
    }
    struct rft_thread *threads = rft_threads_of(to);
    for (size_t i = 0; i < to->thread_count; i++) {
        fill_thread(runtime, look->threads.items[from->first_thread + i], to, &threads[i]);
    }
}

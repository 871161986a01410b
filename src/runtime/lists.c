/* The lists of interpreters and threads: walked with single reads to make a plan, and
 * compared with what a batch has read of them. */
#include <stdlib.h>

#include "runtime/look.h"

static uint64_t hash_of(rft_address address)
{
    return (address >> 4) * 0x9e3779b97f4a7c15u >> 16;
}

/* --- walking ------------------------------------------------------------------- */

/* What was in the plan before, by address. */
struct former {
    struct rft_index index;
    struct rft_look_thread **threads;
    size_t count;
    struct rft_index listed; /* of the new plan, to find lists that lead back */
};

static struct rft_look_thread *former_thread(const struct former *former, rft_address address)
{
    uint32_t at = 0, item;
    while ((item = rft_index_probe(&former->index, hash_of(address), &at)) != RFT_INDEX_END) {
        if (former->threads[item]->address == address) {
            return former->threads[item];
        }
    }
    return NULL;
}

static bool same_thread(const struct rft_runtime *runtime, const unsigned char *one,
                        const unsigned char *other)
{
    static const enum rft_field fields[] = {RFT_THREAD_UNIQUE_ID, RFT_THREAD_ID};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint32_t at = rft_at(runtime, fields[i]);
        if (at != RFT_NO_FIELD && at + 8 <= RFT_THREAD_BYTES &&
            rft_word(one, at) != rft_word(other, at)) {
            return false;
        }
    }
    return true;
}

/* The outermost frame of 3.15 lies behind the thread state (_PyThreadStateImpl.base_frame):
 * then both are read as one piece. */
static void widen_to_base(struct rft_runtime *runtime, rft_address thread,
                          const unsigned char *state)
{
    struct rft_look *look = runtime->look;
    if (!rft_has(runtime, RFT_THREAD_BASE_FRAME)) {
        return;
    }
    rft_address base = rft_word(state, rft_at(runtime, RFT_THREAD_BASE_FRAME));
    if (base > thread && base - thread <= RFT_THREAD_BYTES - look->frame_bytes &&
        base - thread + look->frame_bytes > look->thread_bytes) {
        look->thread_bytes = (uint32_t)(base - thread) + look->frame_bytes;
    }
}

/* Adds a thread to the plan; *next: what it names as the next one. 1: done, 0: not
 * readable or none of this interpreter's, -1: no memory. */
static int add_thread(struct rft_runtime *runtime, struct former *former, rft_address address,
                      uint32_t interp, rft_address *next)
{
    struct rft_look *look = runtime->look;
    unsigned char state[RFT_THREAD_BYTES];
    if (!rft_space_try(runtime->space, address, state, look->thread_bytes) ||
        rft_word(state, rft_at(runtime, RFT_THREAD_INTERP)) !=
            look->interps.items[interp]->address) {
        return 0;
    }
    *next = rft_word(state, rft_at(runtime, RFT_THREAD_NEXT));
    uint32_t at = 0, item;
    while ((item = rft_index_probe(&former->listed, hash_of(address), &at)) != RFT_INDEX_END) {
        if (look->threads.items[item]->address == address) {
            return 0; /* the list leads back to itself */
        }
    }
    if (!rft_vec_reserve(&look->threads, 1) ||
        !rft_index_add(&former->listed, hash_of(address), (uint32_t)look->threads.count)) {
        return -1;
    }
    struct rft_look_thread *thread = former_thread(former, address);
    if (!thread) {
        thread = calloc(1, sizeof *thread + 3 * (size_t)look->thread_room);
        if (!thread) {
            return -1;
        }
        unsigned char *states = (unsigned char *)(thread + 1);
        thread->state[0] = states;
        thread->state[1] = states + look->thread_room;
        thread->after = states + 2 * (size_t)look->thread_room;
        thread->address = address;
        thread->problem = "";
    }
    if (!thread->planned || !same_thread(runtime, rft_state(thread), state)) {
        thread->settled = thread->other = false;
    }
    if (!thread->settled) {
        memcpy(rft_state(thread), state, look->thread_bytes);
    }
    widen_to_base(runtime, address, state);
    thread->listed = true;
    thread->interp = interp;
    look->threads.items[look->threads.count++] = thread;
    return 1;
}

/* The GIL of an interpreter: one for all up to 3.11. */
static bool add_gil(struct rft_runtime *runtime, struct rft_look_interp *interp)
{
    struct rft_look *look = runtime->look;
    rft_address address = 0;
    interp->gil = UINT32_MAX;
    if (rft_has(runtime, RFT_RUNTIME_GIL)) {
        address = runtime->address + rft_at(runtime, RFT_RUNTIME_GIL);
    } else if (!rft_read_field(runtime, interp->address, RFT_INTERP_GIL, &address)) {
        return true;
    }
    if (!address || !look->gil_bytes || look->gil_bytes > RFT_GIL_BYTES) {
        return true;
    }
    /* Neighbours in the list usually share it, or have each their own. */
    size_t first = look->gils.count > 64 ? look->gils.count - 64 : 0;
    for (size_t g = look->gils.count; g-- > first;) {
        if (look->gils.items[g].address == address) {
            interp->gil = (uint32_t)g;
            return true;
        }
    }
    struct rft_look_gil gil = {.address = address};
    interp->gil = (uint32_t)look->gils.count;
    return rft_vec_push(&look->gils, gil);
}

/* From so many threads on, so many pages are read with each. */
enum { AHEAD_FROM = 4, AHEAD_PAGES = 15 };

/* Adds one interpreter with its threads. */
static int add_interp(struct rft_runtime *runtime, struct former *former, rft_address address,
                      rft_address *next)
{
    struct rft_look *look = runtime->look;
    struct rft_look_interp *interp = calloc(1, sizeof *interp);
    if (!interp || !rft_vec_push(&look->interps, interp)) {
        free(interp);
        return -1;
    }
    interp->address = address;
    interp->problem = "";
    interp->first_thread = (uint32_t)look->threads.count;
    interp->gil = UINT32_MAX;
    for (unsigned s = 0; s < look->span_count; s++) {
        if (!rft_space_try(runtime->space, address + look->spans[s].offset,
                           interp->copy + look->spans[s].at, look->spans[s].size)) {
            interp->problem = "its memory can't be read";
            return 0;
        }
    }
    interp->id = (int64_t)rft_fact(look, interp, RFT_FACT_ID);
    *next = rft_fact(look, interp, RFT_FACT_NEXT);
    if (!add_gil(runtime, interp)) {
        return -1;
    }
    rft_address thread = rft_fact(look, interp, RFT_FACT_THREADS);
    while (thread) {
        /* New threads come to the front of the list, and their states usually lie behind. */
        if (look->threads.count == AHEAD_FROM) {
            rft_space_read_ahead(runtime->space, AHEAD_PAGES);
        }
        if (look->threads.count >= RFT_THREADS_MAX) {
            interp->problem = "it has more threads than can be shown";
            break;
        }
        rft_address following = 0;
        int added =
            add_thread(runtime, former, thread, (uint32_t)look->interps.count - 1, &following);
        if (added < 0) {
            return -1;
        }
        if (added == 0) {
            interp->problem = "its list of threads is damaged: the threads behind are missing";
            break;
        }
        thread = following;
    }
    interp->thread_count = (uint32_t)look->threads.count - interp->first_thread;
    return 1;
}

static void drop_interps(struct rft_look *look)
{
    for (size_t i = 0; i < look->interps.count; i++) {
        free(look->interps.items[i]);
    }
    look->interps.count = 0;
}

static bool walk(struct rft_runtime *runtime, struct former *former)
{
    struct rft_look *look = runtime->look;
    struct rft_index seen = {0};
    rft_address address = 0;
    bool ok = true;
    if (!rft_read_word(runtime, runtime->address + rft_at(runtime, RFT_RUNTIME_INTERPRETERS),
                       &address)) {
        look->problem = "the list of interpreters can't be read";
    }
    while (ok && address) {
        uint32_t at = 0, item;
        bool again = false;
        while ((item = rft_index_probe(&seen, hash_of(address), &at)) != RFT_INDEX_END) {
            again = again || look->interps.items[item]->address == address;
        }
        if (again || look->interps.count >= RFT_INTERPRETERS_MAX) {
            look->problem = again ? "the list of interpreters leads back to itself"
                                  : "there are more interpreters than can be shown";
            break;
        }
        ok = rft_index_add(&seen, hash_of(address), (uint32_t)look->interps.count);
        rft_address next = 0;
        int added = ok ? add_interp(runtime, former, address, &next) : -1;
        ok = added >= 0;
        if (added == 0) {
            look->problem = "the list of interpreters is damaged: those behind are missing";
            break;
        }
        address = next;
    }
    rft_index_deinit(&seen);
    return ok;
}

/* Looks for the stacks of the threads that are new. */
static bool plan_stacks(struct rft_runtime *runtime)
{
    struct rft_look *look = runtime->look;
    RFT_VEC(struct rft_look_thread *) fresh = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < look->threads.count; i++) {
        struct rft_look_thread *thread = look->threads.items[i];
        ok = thread->planned || rft_vec_push(&fresh, thread);
        thread->planned = true;
    }
    ok = ok && rft_look_plan_stacks(runtime, fresh.items, fresh.count);
    rft_vec_free(&fresh);
    return ok;
}

bool rft_look_walk(struct rft_runtime *runtime)
{
    struct rft_look *look = runtime->look;
    struct former former = {.threads = look->threads.items, .count = look->threads.count};
    bool ok = true;
    for (size_t i = 0; i < former.count; i++) {
        former.threads[i]->listed = false;
        ok = ok && rft_index_add(&former.index, hash_of(former.threads[i]->address), (uint32_t)i);
    }
    look->threads.items = NULL;
    look->threads.count = look->threads.capacity = 0;
    look->gils.count = 0;
    look->problem = "";
    drop_interps(look);
    rft_space_remember_pages(runtime->space, true);
    ok = ok && walk(runtime, &former);
    rft_space_remember_pages(runtime->space, false);
    ok = ok && plan_stacks(runtime);
    look->walked = ok;
    for (size_t i = 0; i < former.count; i++) {
        if (!former.threads[i]->listed) {
            rft_look_free_thread(look, former.threads[i]);
        }
    }
    free(former.threads);
    rft_index_deinit(&former.index);
    rft_index_deinit(&former.listed);
    return ok;
}

/* --- comparing ------------------------------------------------------------------ */

static bool threads_hold(const struct rft_runtime *runtime, const struct rft_look_interp *interp)
{
    const struct rft_look *look = runtime->look;
    struct rft_look_thread *const *threads =
        interp->thread_count ? look->threads.items + interp->first_thread : NULL;
    rft_address first = interp->thread_count ? threads[0]->address : 0;
    bool whole = !*interp->problem;
    if ((whole || first) && rft_fact(look, interp, RFT_FACT_THREADS) != first) {
        return false;
    }
    for (uint32_t i = 0; i < interp->thread_count; i++) {
        bool last = i + 1 == interp->thread_count;
        if (!threads[i]->read) {
            return false;
        }
        const unsigned char *state = rft_latest_state(threads[i]);
        rft_address next = rft_word(state, rft_at(runtime, RFT_THREAD_NEXT));
        if ((!last && next != threads[i + 1]->address) || (last && whole && next != 0) ||
            rft_word(state, rft_at(runtime, RFT_THREAD_INTERP)) != interp->address ||
            !same_thread(runtime, rft_state_of(threads[i]), state)) {
            return false;
        }
    }
    return true;
}

bool rft_look_lists_hold(const struct rft_runtime *runtime)
{
    const struct rft_look *look = runtime->look;
    uint32_t head = rft_at(runtime, RFT_RUNTIME_INTERPRETERS) - look->runtime_from;
    rft_address first = look->interps.count ? look->interps.items[0]->address : 0;
    if (!look->runtime_read || (rft_word(look->runtime, head) != first && !*look->problem)) {
        return false;
    }
    for (size_t i = 0; i < look->interps.count; i++) {
        const struct rft_look_interp *interp = look->interps.items[i];
        bool last = i + 1 == look->interps.count;
        if (!interp->read) {
            if (last && *interp->problem) {
                continue; /* it was not readable when it was found, either */
            }
            return false;
        }
        rft_address next = last ? 0 : look->interps.items[i + 1]->address;
        if ((rft_fact(look, interp, RFT_FACT_NEXT) != next && !(last && *look->problem)) ||
            (int64_t)rft_fact(look, interp, RFT_FACT_ID) != interp->id ||
            !threads_hold(runtime, interp)) {
            return false;
        }
    }
    return true;
}

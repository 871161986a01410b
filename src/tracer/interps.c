/* Interpreters, numbered in order of appearance. */
#include "tracer/tracer.h"

#include <string.h>

struct interp {
    void *address;
    int64_t id;
    uint32_t start;
    bool ended; /* its census has been taken; it may still run its teardown */
};
static struct interp *interps; /* by index - 1; behind tracer.lock */
static uint32_t interp_capacity;

static void write_record(uint32_t index, uint32_t end)
{
    const struct interp *interp = &interps[index - 1];
    tracer.interps_n++;
    rft_buffer_varint(&tracer.interp_records, index);
    rft_buffer_varint(&tracer.interp_records, (uint64_t)interp->id);
    rft_buffer_varint(&tracer.interp_records, interp->start);
    rft_buffer_varint(&tracer.interp_records, end);
}

static bool grow(void)
{
    uint32_t capacity = interp_capacity ? interp_capacity * 2 : 128;
    struct interp *more = rft_pages_alloc(capacity * sizeof *more);
    if (more == NULL) {
        return false;
    }
    if (interps != NULL) {
        memcpy(more, interps, interp_capacity * sizeof *more);
        rft_pages_free(interps, interp_capacity * sizeof *more);
    }
    interps = more;
    interp_capacity = capacity;
    return true;
}

/* Index of the interpreter that a thread state belongs to; 0 without one. */
uint32_t rft_interp_index(struct rft_thread *t, void *tstate, bool *ended)
{
    *ended = false;
    if (tstate == NULL) {
        return 0;
    }
    char *address = *(char **)((char *)tstate + tracer.layout.at[RFT_THREAD_INTERP]);
    int64_t id;
    memcpy(&id, address + tracer.layout.at[RFT_INTERP_ID], sizeof id);

    pthread_mutex_lock(&tracer.lock);
    uint32_t index = 0;
    for (uint32_t i = tracer.interp_count; i-- > 0 && index == 0;) {
        if (interps[i].address == address && interps[i].id == id) {
            index = i + 1;
        }
    }
    if (index == 0 && (tracer.interp_count < interp_capacity || grow())) {
        index = ++tracer.interp_count;
        interps[index - 1] = (struct interp){address, id, t->now, false};
        write_record(index, 0);
    }
    *ended = index != 0 && interps[index - 1].ended;
    pthread_mutex_unlock(&tracer.lock);
    return index;
}

void rft_interp_ended(uint32_t index, uint32_t now)
{
    pthread_mutex_lock(&tracer.lock);
    if (index > 0 && index <= tracer.interp_count && !interps[index - 1].ended) {
        interps[index - 1].ended = true;
        write_record(index, now + 1);
    }
    pthread_mutex_unlock(&tracer.lock);
    rft_addresses_void();
}

void rft_interps_reset(void)
{
    rft_pages_free(interps, interp_capacity * sizeof *interps);
    interps = NULL;
    interp_capacity = 0;
}

/* Everything of one trace is dropped, for the next one. */
#include "tracer/events.h"
#include "tracer/live_map.h"
#include "tracer/nodes.h"

#include <string.h>

static void reset_tables(void)
{
    rft_identities_reset();
    tracer.thread_count = tracer.interp_count = tracer.site_count = 0;
    struct rft_buffer *pending[] = {&tracer.strings, &tracer.codes,          &tracer.types,
                                    &tracer.stacks,  &tracer.thread_records, &tracer.interp_records,
                                    &tracer.sites,   &tracer.losses};
    for (size_t i = 0; i < sizeof pending / sizeof *pending; i++) {
        rft_buffer_clear(pending[i]);
    }
    tracer.strings_n = tracer.codes_n = tracer.types_n = tracer.stacks_n = 0;
    tracer.threads_n = tracer.interps_n = tracer.sites_n = 0;
    rft_live_map_clear();
    rft_codes_reset();
    rft_types_reset();
    rft_sites_reset();
    rft_interps_reset();
    rft_graves_reset();
    rft_tick_reset();
    rft_names_reset();
}

/* In the child of a fork: the parent's objects are older than this trace. The
 * caller has made sure that no other thread is in here. */
void rft_tracer_reset_after_fork(void)
{
    struct rft_thread *self = rft_self;
    for (struct rft_thread *t = tracer.threads, *next; t != NULL; t = next) {
        next = t->next;
        rft_pages_free(t->chain, t->capacity * sizeof *t->chain);
        rft_nodes_free(t);
        if (t != self) {
            rft_pages_free(t, sizeof *t);
        }
    }
    tracer.threads = tracer.free_threads = NULL;
    rft_self = NULL;
    if (self != NULL) {
        rft_pages_free(self, sizeof *self);
    }
    reset_tables();
}

/* For another trace in the same process, after the last one has ended. Threads go on that
 * know their records (rft_self), so these stay, empty as new ones; new_context() gives
 * them an identity. The caller has made sure that no other thread is in a callback; but one may
 * end meanwhile, which needs no GIL. */
void rft_tracer_reset(void)
{
    pthread_mutex_lock(&tracer.lock);
    for (struct rft_thread *t = tracer.threads; t != NULL; t = t->next) {
        rft_pages_free(t->chain, t->capacity * sizeof *t->chain);
        rft_nodes_free(t);
        struct rft_thread *next = t->next, *next_free = t->next_free;
        int native_id = t->native_id;
        memset(t, 0, sizeof *t);
        t->next = next;
        t->next_free = next_free;
        t->native_id = native_id;
        t->clock_interval = RFT_CLOCK_INTERVAL_MIN;
    }
    reset_tables();
    tracer.out_of_memory = NULL;
    atomic_store(&tracer.gaps, false);
    rft_addresses_void();
    pthread_mutex_unlock(&tracer.lock);
}

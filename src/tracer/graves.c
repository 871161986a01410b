/* Objects whose finalizer may have brought them back.
 *
 * CPython reports a death before it runs the finalizer, and nothing when the
 * finalizer saves the object (Objects/object.c, PyObject_CallFinalizerFromDealloc).
 * The death is counted when it is reported. If the same address dies again
 * without having been born, the object had been brought back: that second death
 * is not counted. At the census, those that are still alive are taken out of
 * the dead again. Objects of types with a tp_finalize come here, Python's __del__ among
 * them; generators only if they have not run to their end. */
#include "tracer/hash.h"
#include "tracer/tracer.h"

enum { GRAVES_MAX = 1 << 20 };

static struct rft_hash graves; /* address -> struct rft_grave * */
static struct rft_grave *all;
static _Atomic uint32_t grave_count;

void rft_grave_dig(const struct rft_grave *grave)
{
    pthread_mutex_lock(&tracer.lock);
    uint64_t *value = rft_hash_put(&graves, (uint64_t)(uintptr_t)grave->op);
    if (value != NULL) {
        struct rft_grave *kept = (struct rft_grave *)(uintptr_t)*value;
        if (kept == NULL && atomic_load_explicit(&grave_count, memory_order_relaxed) < GRAVES_MAX &&
            (kept = rft_pool_alloc(sizeof *kept)) != NULL) {
            *value = (uint64_t)(uintptr_t)kept;
            kept->next = all;
            all = kept;
            atomic_fetch_add_explicit(&grave_count, 1, memory_order_relaxed);
        }
        if (kept != NULL) {
            struct rft_grave *next = kept->next;
            *kept = *grave;
            kept->next = next;
        }
    }
    pthread_mutex_unlock(&tracer.lock);
}

bool rft_grave_close(void *op)
{
    if (atomic_load_explicit(&grave_count, memory_order_relaxed) == 0) {
        return false;
    }
    pthread_mutex_lock(&tracer.lock);
    uint64_t *value = rft_hash_get(&graves, (uint64_t)(uintptr_t)op);
    struct rft_grave *grave = value != NULL ? (struct rft_grave *)(uintptr_t)*value : NULL;
    bool open = grave != NULL && grave->op != NULL;
    if (open) {
        /* A finalizer runs once (PEP 442), so this death is final; but that it has run is
         * kept in what the collector has in front of an object. */
        if (!(grave->site->flags & RFT_SITE_UNTRACKED)) {
            grave->op = NULL;
        }
    }
    pthread_mutex_unlock(&tracer.lock);
    return open;
}

bool rft_graves_any(void)
{
    return atomic_load_explicit(&grave_count, memory_order_relaxed) != 0;
}

void rft_graves_each(void (*visit)(struct rft_grave *grave, void *arg), void *arg)
{
    for (struct rft_grave *grave = all; grave != NULL; grave = grave->next) {
        if (grave->op != NULL) {
            visit(grave, arg);
        }
    }
}

void rft_graves_reset(void)
{
    rft_hash_clear(&graves);
    all = NULL;
    atomic_store_explicit(&grave_count, 0, memory_order_relaxed);
}

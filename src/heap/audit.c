/* Refcounts against the references that were found. */
#include "heap/heap.h"

#include <stdlib.h>

/* Nearly all surpluses are small numbers: counted by value; the others in a short list. */
enum { LOW = -16, HIGH = 32 };

static void add_other(struct rft_surplus *others, unsigned *count, int64_t surplus)
{
    enum { OTHERS = RFT_SURPLUS_MAX - 1 };
    int32_t value = surplus > INT32_MAX   ? INT32_MAX
                    : surplus < INT32_MIN ? INT32_MIN
                                          : (int32_t)surplus;
    unsigned i = 0;
    while (i < *count && others[i].surplus != value) {
        i++;
    }
    if (i == *count && *count < OTHERS) {
        others[(*count)++] = (struct rft_surplus){.surplus = value};
    } else if (i == *count) { /* no more room: with the nearest one */
        i = 0;
        for (unsigned k = 1; k < *count; k++) {
            uint64_t distance = (uint64_t)llabs((long long)others[k].surplus - value);
            if (distance < (uint64_t)llabs((long long)others[i].surplus - value)) {
                i = k;
            }
        }
    }
    others[i].objects++;
}

static int by_surplus(const void *a, const void *b)
{
    const struct rft_surplus *x = a, *y = b;
    return (x->surplus > y->surplus) - (x->surplus < y->surplus);
}

unsigned rft_audit(const struct rft_graph *graph, const uint32_t *nodes, uint32_t count,
                   struct rft_surplus *pairs)
{
    uint32_t usual[HIGH - LOW + 1] = {0};
    struct rft_surplus all[HIGH - LOW + 1 + RFT_SURPLUS_MAX];
    unsigned n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (graph->flags[nodes[i]] & RFT_NODE_IMMORTAL) {
            continue;
        }
        int64_t surplus = rft_node_surplus(graph, nodes[i]);
        if (surplus >= LOW && surplus <= HIGH) {
            usual[surplus - LOW]++;
        } else {
            add_other(all, &n, surplus);
        }
    }
    for (int surplus = LOW; surplus <= HIGH; surplus++) {
        if (usual[surplus - LOW] > 0) {
            all[n++] = (struct rft_surplus){.surplus = surplus, .objects = usual[surplus - LOW]};
        }
    }
    qsort(all, n, sizeof *all, by_surplus);
    /* The rare ones in the middle go to their neighbours. */
    while (n > RFT_SURPLUS_MAX) {
        unsigned least = 1;
        for (unsigned i = 1; i + 1 < n; i++) {
            least = all[i].objects < all[least].objects ? i : least;
        }
        all[least - 1].objects += all[least].objects;
        for (unsigned i = least; i + 1 < n; i++) {
            all[i] = all[i + 1];
        }
        n--;
    }
    for (unsigned i = 0; i < n; i++) {
        pairs[i] = all[i];
    }
    return n;
}

/* References that nobody tells of.
 *
 * An object of an extension's type may refer to others without a tp_traverse that says so: its
 * class was written without (most in Rust, many in Cython), or leaves out what can't be in
 * a cycle. Such a word is taken for a reference if it is the address of an object whose
 * refcount is not explained otherwise, and that this holder does not refer to anyhow. So no
 * refcount becomes too low, and what C code leaked stays leaked. */
#include "heap/heap.h"

#include <string.h>

struct guess {
    uint32_t holder, target;
};

struct guesses {
    struct rft_graph *graph;
    struct guess *all; /* ascending by holder */
    size_t count, capacity;
    uint32_t holder;
};

static bool is_known(const struct guesses *guesses, uint32_t target)
{
    const struct rft_graph *graph = guesses->graph;
    for (uint32_t e = graph->first[guesses->holder]; e < graph->first[guesses->holder + 1]; e++) {
        if ((graph->target[e] & ~RFT_EDGE_BORROWED) == target) {
            return true;
        }
    }
    return false;
}

static int visit_word(const void *word, int counted, void *arg)
{
    struct guesses *guesses = arg;
    struct rft_graph *graph = guesses->graph;
    (void)counted;
    uint32_t target =
        (uintptr_t)word % sizeof(void *) == 0 ? rft_graph_find(graph, word) : RFT_NO_NODE;
    if (target == RFT_NO_NODE || target == guesses->holder ||
        rft_node_surplus(graph, target) <= 0 || is_known(guesses, target)) {
        return 0;
    }
    if (guesses->count == guesses->capacity) {
        size_t capacity = guesses->capacity != 0 ? guesses->capacity * 2 : 4096;
        struct guess *all = rft_heap_grow(&graph->memory, guesses->all,
                                          guesses->capacity * sizeof *all, capacity * sizeof *all);
        if (all == NULL) {
            graph->cut = RFT_CUT_MEMORY;
            return 1;
        }
        guesses->all = all;
        guesses->capacity = capacity;
    }
    guesses->all[guesses->count++] = (struct guess){guesses->holder, target};
    graph->found[target]++;
    return 0;
}

/* Behind the references that the holders are known to have. From the end, as all move up. */
static void insert(struct rft_graph *graph, const struct guess *guesses, size_t count)
{
    size_t capacity = graph->edges + count;
    if (capacity > graph->edge_capacity) {
        uint32_t *target =
            capacity < UINT32_MAX
                ? rft_heap_grow(&graph->memory, graph->target,
                                graph->edge_capacity * sizeof *target, capacity * sizeof *target)
                : NULL;
        if (target == NULL) {
            graph->cut = RFT_CUT_MEMORY;
            return;
        }
        graph->target = target;
        graph->edge_capacity = capacity;
    }
    size_t left = count;
    for (uint32_t node = graph->count; left > 0;) {
        uint32_t end = graph->first[node];
        graph->first[node--] = end + (uint32_t)left;
        while (left > 0 && guesses[left - 1].holder == node) {
            left--;
            graph->target[end + left] = guesses[left].target;
        }
        uint32_t begin = graph->first[node];
        memmove(graph->target + begin + left, graph->target + begin,
                (end - begin) * sizeof *graph->target);
    }
    graph->edges += count;
}

void rft_graph_guess(struct rft_graph *graph)
{
    enum { CLOCK_EVERY = 4096 };
    struct guesses guesses = {.graph = graph};
    if (graph->host->edges_hidden == NULL) {
        return;
    }
    for (uint32_t node = 0; node < graph->count && graph->cut == RFT_WHOLE; node++) {
        guesses.holder = node;
        /* Of what may be in the making, no reference is known, and none is guessed. */
        if (!(graph->flags[node] & RFT_NODE_LONE)) {
            graph->host->edges_hidden(rft_node_object(graph, node), visit_word, &guesses);
        }
        if (node % CLOCK_EVERY == 0) {
            rft_graph_in_time(graph);
        }
    }
    insert(graph, guesses.all, guesses.count);
    rft_heap_free(&graph->memory, guesses.all, guesses.capacity * sizeof *guesses.all);
}

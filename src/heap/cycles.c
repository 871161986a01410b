/* What only the cycle collector can free: what no root leads to.
 *
 * A reference that C code has makes its target a root (paths.c), so whatever is not reached
 * is held by cycles among itself alone; this is what the collector finds too, by taking the
 * references within from the refcounts. Cycles are shown by the strongly connected parts of
 * it (Tarjan, without recursion). */
#include "heap/heap.h"

#include <string.h>

#include "trace/format.h"

enum { CLOCK_EVERY = 65536, COMPONENTS_MAX = 4096, QUEUE_MAX = 1 << 16 };

struct tarjan {
    struct rft_graph *graph;
    const struct rft_paths *paths;
    struct rft_cycles *cycles;
    /* By node. low: 0 is not met yet. Of a finished node: UINT32_MAX. */
    uint32_t *index, *low, *position, *up;
    uint32_t *stack, depth, next;
    unsigned looked_at; /* components whose cycle was looked for */
    uint32_t *queue;
    uint64_t shapes[RFT_CYCLE_SHAPES];
};

bool rft_node_is_garbage(const struct rft_graph *graph, const struct rft_paths *paths,
                         uint32_t node)
{
    return paths->parent[node] == RFT_UNREACHED && !(graph->flags[node] & RFT_NODE_IMMORTAL) &&
           rft_node_refcount(graph, node) > 0;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

/* The shortest way from `start` back to it inside of its component, whose nodes have `low`
 * == mark; up[] takes the way back. Returns its steps, at most RFT_CYCLE_STEPS; 0: none. */
static unsigned find_cycle(struct tarjan *t, uint32_t start, uint32_t mark, struct rft_step *steps)
{
    const struct rft_graph *graph = t->graph;
    uint32_t head = 0, tail = 0, last = RFT_NO_NODE;
    t->queue[tail++] = start;
    while (head < tail && last == RFT_NO_NODE) {
        uint32_t node = t->queue[head++];
        for (uint32_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
            uint32_t target = graph->target[e];
            if (target == start) {
                last = node;
                break;
            }
            if (!(target & RFT_EDGE_BORROWED) && t->low[target] == mark && tail < QUEUE_MAX) {
                t->low[target] = mark + 1; /* seen */
                t->up[target] = node;
                t->queue[tail++] = target;
            }
        }
    }
    for (uint32_t i = 1; i < tail; i++) {
        t->low[t->queue[i]] = mark;
    }
    if (last == RFT_NO_NODE) {
        return 0;
    }
    uint32_t way[RFT_CYCLE_STEPS];
    unsigned count = 0;
    for (uint32_t node = last; node != start; node = t->up[node]) {
        if (count == RFT_CYCLE_STEPS - 1) {
            return 0;
        }
        way[count++] = node;
    }
    way[count++] = start;
    for (unsigned i = 0; i < count; i++) {
        uint32_t from = way[count - 1 - i], to = i + 1 < count ? way[count - 2 - i] : start;
        rft_step_between(t->graph, from, to, &steps[i], NULL);
    }
    return count;
}

static uint64_t shape_of(const struct rft_graph *graph, const struct rft_step *steps,
                         unsigned count)
{
    /* Where a cycle begins is chance: the sum does not depend on it. */
    uint64_t shape = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t step = mix(steps[i].kind, rft_node_type(graph, steps[i].holder));
        bool keyed = steps[i].kind == RFT_EDGE_DICT_VALUE || steps[i].kind == RFT_EDGE_DICT_KEY;
        shape += mix(step, keyed ? 0 : steps[i].label);
    }
    return mix(shape, count);
}

static void add_shape(struct tarjan *t, uint32_t site, uint32_t objects, uint64_t shape,
                      const struct rft_step *steps, unsigned count)
{
    struct rft_cycles *cycles = t->cycles;
    unsigned i = 0;
    while (i < cycles->count && t->shapes[i] != shape) {
        i++;
    }
    if (i == RFT_CYCLE_SHAPES) {
        return; /* the first ones are shown; all are counted by site */
    }
    struct rft_cycle *cycle = &cycles->cycles[i];
    if (i == cycles->count) {
        cycles->count++;
        t->shapes[i] = shape;
        *cycle =
            (struct rft_cycle){.steps = (uint16_t)count, .of = (uint16_t)(i * RFT_CYCLE_STEPS)};
        memcpy(&cycles->steps[cycle->of], steps, count * sizeof *steps);
    }
    cycle->site = cycle->site != 0 ? cycle->site : site;
    cycle->cycles++;
    cycle->objects += objects;
}

/* stack[from ..]: one component. */
static void on_component(struct tarjan *t, uint32_t from)
{
    struct rft_graph *graph = t->graph;
    uint32_t mark = UINT32_MAX - 3, objects = t->depth - from, best = t->stack[from];
    for (uint32_t i = from; i < t->depth; i++) {
        t->low[t->stack[i]] = mark;
        /* One of the trace, the oldest of them, is what its reader knows. */
        uint32_t node = t->stack[i];
        if (graph->site[node] != 0 &&
            (graph->site[best] == 0 || graph->birth[node] < graph->birth[best])) {
            best = node;
        }
    }
    struct rft_step steps[RFT_CYCLE_STEPS];
    unsigned count = 0;
    if (t->looked_at < COMPONENTS_MAX) {
        count = find_cycle(t, best, mark, steps);
        t->looked_at += count > 0;
    }
    if (count > 0) {
        add_shape(t, graph->site[best], objects, shape_of(graph, steps, count), steps, count);
    }
    for (uint32_t i = from; i < t->depth; i++) {
        t->low[t->stack[i]] = UINT32_MAX;
    }
    t->depth = from;
}

static void meet(struct tarjan *t, uint32_t node, uint32_t from)
{
    t->index[node] = t->low[node] = ++t->next;
    t->position[node] = t->graph->first[node];
    t->up[node] = from;
    t->stack[t->depth++] = node;
}

static bool search(struct tarjan *t, uint32_t start)
{
    const struct rft_graph *graph = t->graph;
    meet(t, start, RFT_NO_NODE);
    for (uint32_t at = start; at != RFT_NO_NODE;) {
        if (t->position[at] < graph->first[at + 1]) {
            uint32_t target = graph->target[t->position[at]++];
            if ((target & RFT_EDGE_BORROWED) || !rft_node_is_garbage(graph, t->paths, target)) {
                continue;
            }
            if (t->index[target] == 0) {
                meet(t, target, at);
                at = target;
                if (t->next % CLOCK_EVERY == 0 && !rft_graph_in_time(t->graph)) {
                    return false;
                }
            } else if (t->low[target] != UINT32_MAX && t->index[target] < t->low[at]) {
                t->low[at] = t->index[target];
            }
            continue;
        }
        uint32_t from = t->up[at];
        if (from != RFT_NO_NODE && t->low[at] < t->low[from]) {
            t->low[from] = t->low[at];
        }
        if (t->low[at] == t->index[at]) {
            uint32_t begin = t->depth - 1;
            while (t->stack[begin] != at) {
                begin--;
            }
            on_component(t, begin);
        }
        at = from;
    }
    return true;
}

static void sort_by_objects(struct rft_cycles *cycles)
{
    for (unsigned i = 1; i < cycles->count; i++) {
        struct rft_cycle cycle = cycles->cycles[i];
        unsigned k = i;
        for (; k > 0 && cycles->cycles[k - 1].objects < cycle.objects; k--) {
            cycles->cycles[k] = cycles->cycles[k - 1];
        }
        cycles->cycles[k] = cycle;
    }
}

bool rft_cycles_find(struct rft_graph *graph, const struct rft_paths *paths,
                     struct rft_cycles *cycles)
{
    memset(cycles, 0, sizeof *cycles);
    for (uint32_t node = 0; node < graph->count; node++) {
        if (rft_node_is_garbage(graph, paths, node)) {
            cycles->objects++;
            cycles->bytes += graph->size[node];
        }
    }
    if (cycles->objects == 0) {
        return true;
    }
    size_t words = (size_t)graph->count * sizeof(uint32_t);
    struct tarjan t = {.graph = graph, .paths = paths, .cycles = cycles};
    uint32_t **arrays[] = {&t.index, &t.low, &t.position, &t.up, &t.stack, &t.queue};
    enum { ARRAYS = sizeof arrays / sizeof *arrays };
    bool done = true;
    for (size_t i = 0; i < ARRAYS; i++) {
        size_t size = i + 1 < ARRAYS ? words : QUEUE_MAX * sizeof(uint32_t);
        done = done && (*arrays[i] = rft_heap_alloc(&graph->memory, size)) != NULL;
    }
    if (!done) {
        graph->cut = RFT_CUT_MEMORY;
    }
    for (uint32_t node = 0; done && node < graph->count; node++) {
        if (t.index[node] == 0 && rft_node_is_garbage(graph, paths, node)) {
            done = search(&t, node);
        }
    }
    for (size_t i = 0; i < ARRAYS; i++) {
        rft_heap_free(&graph->memory, *arrays[i],
                      i + 1 < ARRAYS ? words : QUEUE_MAX * sizeof(uint32_t));
    }
    sort_by_objects(cycles);
    return done;
}

/* The shortest path from a root to each object.
 *
 * One search, breadth first, from all roots at once; but some roots tell a person more than
 * others, so they go in tiers, and what a tier reaches keeps its path. The order of nodes,
 * and so the choice among paths of the same length, is that of the graph. */
#include "heap/heap.h"

#include <string.h>

#include "trace/format.h"

enum { CLOCK_EVERY = 65536 };

/* NAMED: where a program keeps things. RUNTIME: the interpreter does. C: a reference that
 * nothing accounts for. REST: what else there is, through what is passed over before, and
 * by way of references that do not count. */
enum tier { TIER_NAMED, TIER_RUNTIME, TIER_C, TIER_REST };

struct search {
    struct rft_graph *graph;
    struct rft_paths *paths;
    uint32_t head; /* paths->order before it has been expanded */
    enum tier tier;
};

/* A root that does not count is a reference of some object's, told as a root besides: a module
 * of sys.modules, a local variable that is borrowed. */
static enum tier tier_of(const struct rft_graph *graph, const struct rft_graph_root *root)
{
    if (graph->flags[root->node] & RFT_NODE_OURS) {
        return TIER_REST;
    }
    switch (root->kind) {
    case RFT_ROOT_MODULE:
    case RFT_ROOT_LOCAL:
    case RFT_ROOT_THREAD:
    case RFT_ROOT_ATEXIT:
        return TIER_NAMED;
    case RFT_ROOT_C:
        return TIER_C;
    default:
        return TIER_RUNTIME;
    }
}

static void reach(struct search *search, uint32_t node, uint32_t from)
{
    struct rft_paths *paths = search->paths;
    if (paths->parent[node] == RFT_UNREACHED) {
        paths->parent[node] = from;
        paths->order[paths->reached++] = node;
    }
}

static bool expand(struct search *search)
{
    struct rft_graph *graph = search->graph;
    struct rft_paths *paths = search->paths;
    bool all = search->tier == TIER_REST;
    while (search->head < paths->reached) {
        uint32_t node = paths->order[search->head++];
        if (search->head % CLOCK_EVERY == 0 && !rft_graph_in_time(graph)) {
            return false;
        }
        if (!all && (graph->flags[node] & (RFT_NODE_OURS | RFT_NODE_PASSED_OVER))) {
            continue;
        }
        for (uint32_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
            uint32_t target = graph->target[e];
            if (!(target & RFT_EDGE_BORROWED)) {
                reach(search, target, node);
            } else if (all && paths->parent[target & ~RFT_EDGE_BORROWED] == RFT_UNREACHED) {
                reach(search, target & ~RFT_EDGE_BORROWED, node);
            }
        }
    }
    return true;
}

static bool is_main(const struct rft_graph *graph, const struct rft_graph_root *root)
{
    size_t length;
    const char *label = rft_text_of(graph, root->label, &length);
    return root->kind == RFT_ROOT_MODULE && length == 8 && memcmp(label, "__main__", 8) == 0;
}

static bool search_tier(struct search *search, enum tier tier)
{
    struct rft_graph *graph = search->graph;
    search->tier = tier;
    for (int main_first = 1; main_first >= 0; main_first--) {
        for (uint32_t i = 0; i < graph->root_count; i++) {
            const struct rft_graph_root *root = &graph->roots[i];
            if (tier_of(graph, root) != tier || is_main(graph, root) != (main_first == 1)) {
                continue;
            }
            reach(search, root->node, RFT_FROM_ROOT | i);
        }
    }
    if (tier == TIER_REST) {
        search->head = 0;
    }
    return expand(search);
}

/* Who has a reference that was not found is held by C code, besides whoever else holds it.
 * Too few references is a fault of somebody's; garbage it is not. */
static bool search_from_c(struct search *search)
{
    struct rft_graph *graph = search->graph;
    search->tier = TIER_C;
    for (uint32_t node = 0; node < graph->count; node++) {
        if (node % CLOCK_EVERY == 0 && !rft_graph_in_time(graph)) {
            return false;
        }
        bool unreached = search->paths->parent[node] == RFT_UNREACHED;
        int64_t surplus = rft_node_surplus(graph, node);
        if (surplus > 0 ||
            (unreached && (surplus < 0 || (graph->flags[node] & RFT_NODE_IMMORTAL)))) {
            graph->flags[node] |= RFT_NODE_ROOT;
            reach(search, node, RFT_FROM_ROOT | RFT_ROOT_NUMBER_C);
        }
    }
    return expand(search);
}

bool rft_paths_find(struct rft_graph *graph, struct rft_paths *paths)
{
    size_t size = (size_t)graph->count * sizeof *paths->parent;
    bool whole = graph->cut == RFT_WHOLE && !graph->part;
    paths->reached = 0;
    paths->parent = rft_heap_alloc(&graph->memory, size);
    paths->order = rft_heap_alloc(&graph->memory, size);
    if (paths->parent == NULL || paths->order == NULL) {
        graph->cut = RFT_CUT_MEMORY;
        return false;
    }
    memset(paths->parent, 0xff, size);
    struct search search = {.graph = graph, .paths = paths};
    bool done = search_tier(&search, TIER_NAMED) && search_tier(&search, TIER_RUNTIME);
    /* In a part of the heap most references to an object are unknown: no reason to blame C. */
    if (done && whole) {
        done = search_from_c(&search);
    }
    return done && search_tier(&search, TIER_REST);
}

void rft_paths_deinit(struct rft_graph *graph, struct rft_paths *paths)
{
    size_t size = (size_t)graph->count * sizeof *paths->parent;
    rft_heap_free(&graph->memory, paths->parent, size);
    rft_heap_free(&graph->memory, paths->order, size);
    *paths = (struct rft_paths){0};
}

void rft_step_between(struct rft_graph *graph, uint32_t holder, uint32_t target,
                      struct rft_step *step, void *arg)
{
    (void)arg;
    struct rft_label label = {0};
    graph->host->label_of(rft_node_object(graph, holder), rft_node_object(graph, target), &label);
    step->kind = label.kind;
    step->holder = holder;
    step->label = rft_text_id(graph, label.text, label.length);
    step->detail = 0;
    bool numbered = label.kind == RFT_EDGE_ITEM ||
                    ((label.kind == RFT_EDGE_DICT_KEY || label.kind == RFT_EDGE_DICT_VALUE) &&
                     step->label == 0);
    step->index = numbered ? label.index + 1 : 0;
}

static void step_from_root(const struct rft_graph *graph, uint32_t from, struct rft_step *step)
{
    *step = (struct rft_step){.kind = RFT_ROOT_GARBAGE, .holder = RFT_NO_NODE};
    uint32_t number = from & ~RFT_FROM_ROOT;
    if (number == RFT_ROOT_NUMBER_C) {
        step->kind = RFT_ROOT_C;
    } else if (from != RFT_UNREACHED && number < graph->root_count) {
        step->kind = graph->roots[number].kind;
        step->label = graph->roots[number].label;
        step->detail = graph->roots[number].detail;
    }
}

/* Nodes from the root's target to `node`, at most RFT_PATH_STEPS_MAX; of a longer path the
 * first and the last ones. Returns how many; *gap: before which one some are left out, 0 if
 * none; *depth: how many there are. */
unsigned rft_path_nodes(const struct rft_paths *paths, uint32_t node, uint32_t *nodes,
                        unsigned *gap, uint64_t *depth)
{
    enum { HALF = RFT_PATH_STEPS_MAX / 2 };
    uint32_t last[HALF], ring[HALF]; /* ring: in the end, those nearest to the root */
    uint64_t length = 0;
    for (uint32_t at = node;; at = paths->parent[at]) {
        if (length < HALF) {
            last[length] = at;
        } else {
            ring[length % HALF] = at;
        }
        length++;
        if (paths->parent[at] & RFT_FROM_ROOT) {
            break;
        }
    }
    unsigned near = length < HALF ? (unsigned)length : HALF;
    uint64_t beyond = length - near;
    /* One less, to have a step for what is left out. */
    unsigned far = beyond <= HALF ? (unsigned)beyond : HALF - 1;
    for (unsigned i = 0; i < far; i++) {
        nodes[i] = ring[(length - 1 - i) % HALF];
    }
    for (unsigned i = 0; i < near; i++) {
        nodes[far + i] = last[near - 1 - i];
    }
    *gap = beyond > far ? far : 0;
    *depth = length;
    return far + near;
}

/* Function, tuple, cell: only the three of them tell which variable it is. Its name goes to
 * the step from the function. */
static void name_variable(struct rft_graph *graph, const uint32_t *nodes, struct rft_step *step)
{
    const void *objects[3];
    struct rft_label labels[2] = {0};
    for (unsigned i = 0; i < 3; i++) {
        objects[i] = rft_node_object(graph, nodes[i]);
    }
    graph->host->labels_of(objects, 3, NULL, labels);
    if (labels[1].kind == RFT_EDGE_CLOSURE) {
        step[0].label = rft_text_id(graph, labels[1].text, labels[1].length);
        step[1].index = 0;
    }
}

unsigned rft_path_steps(struct rft_graph *graph, const struct rft_paths *paths, uint32_t node,
                        rft_step_maker make, void *arg, struct rft_step *steps)
{
    uint32_t nodes[RFT_PATH_STEPS_MAX];
    unsigned gap;
    uint64_t depth;
    unsigned count = rft_path_nodes(paths, node, nodes, &gap, &depth);
    step_from_root(graph, paths->parent[nodes[0]], &steps[0]);
    for (unsigned i = 1; i < count; i++) {
        if (i == gap) { /* shown are the steps to all nodes but this one */
            steps[i] = (struct rft_step){
                .kind = RFT_EDGE_LEFT_OUT, .holder = RFT_NO_NODE, .index = depth - (count - 1) + 1};
        } else {
            make(graph, nodes[i - 1], nodes[i], &steps[i], arg);
        }
    }
    for (unsigned i = 1; i + 1 < count && graph->host->labels_of != NULL; i++) {
        if (steps[i].kind == RFT_EDGE_CLOSURE && steps[i + 1].kind == RFT_EDGE_ITEM) {
            name_variable(graph, &nodes[i - 1], &steps[i]);
        }
    }
    return count;
}

/* Objects and references of one interpreter.
 *
 * Nodes are numbered as they are come by: first what the cycle collector tracks, then what
 * roots refer to, then, node after node, what each refers to. So the references of one
 * node after the other are appended to one array. What the trace knows and nobody refers to
 * comes last: held by C code alone. */
#include "heap/heap.h"

#include <string.h>
#include <time.h>

#include "trace/format.h"

enum { NODES_MAX = 1 << 30, CLOCK_EVERY = 4096 };

uint64_t rft_heap_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool rft_graph_in_time(struct rft_graph *graph)
{
    if (graph->cut == RFT_WHOLE && rft_heap_clock() > graph->deadline) {
        graph->cut = RFT_CUT_TIME;
    }
    return graph->cut == RFT_WHOLE;
}

/* Include/object.h: the refcount lies before the type. In the whole word of it, 3.14+ have
 * 32 bits of count with overflow and flags above; immortal is who has bit 31 in all. */
static uint64_t refcount_of(const struct rft_layout *layout, const void *op, bool *immortal)
{
    uint64_t count;
    memcpy(&count, (const char *)op + layout->at[RFT_OBJECT_TYPE] - 8, sizeof count);
    *immortal = (int32_t)(uint32_t)count < 0;
    return layout->version >= 0x030E0000 ? (uint32_t)count : count;
}

uint64_t rft_node_refcount(const struct rft_graph *graph, uint32_t node)
{
    bool immortal;
    return refcount_of(graph->host->layout, rft_node_object(graph, node), &immortal);
}

int64_t rft_node_surplus(const struct rft_graph *graph, uint32_t node)
{
    if (graph->flags[node] & RFT_NODE_IMMORTAL) {
        return 0;
    }
    return (int64_t)rft_node_refcount(graph, node) - (int64_t)graph->found[node];
}

uintptr_t rft_node_type(const struct rft_graph *graph, uint32_t node)
{
    uintptr_t type;
    memcpy(&type, rft_node_object(graph, node) + graph->host->layout->at[RFT_OBJECT_TYPE],
           sizeof type);
    return type;
}

static unsigned long type_flags(const struct rft_graph *graph, uint32_t node)
{
    unsigned long flags;
    memcpy(&flags,
           (const char *)rft_node_type(graph, node) + graph->host->layout->at[RFT_TYPE_FLAGS],
           sizeof flags);
    return flags;
}

/* Objects lie 16 bytes apart at least. Those of one page keep their order in the table, so
 * that neighbours, which refer to each other often, are looked up in the same cache lines. */
static uint32_t place_of(uintptr_t address, uint32_t mask)
{
    uint64_t page = (uint64_t)(address >> 12) * 0x9E3779B97F4A7C15u;
    return ((uint32_t)(page >> 28) + (uint32_t)(address >> 4)) & mask;
}

static bool no_memory(struct rft_graph *graph)
{
    graph->cut = RFT_CUT_MEMORY;
    return false;
}

static bool grow_table(struct rft_graph *graph)
{
    uint32_t slots = graph->table != NULL ? (graph->mask + 1) * 2 : 1u << 16;
    uint32_t *table = rft_heap_alloc(&graph->memory, (size_t)slots * sizeof *table);
    if (table == NULL) {
        return no_memory(graph);
    }
    for (uint32_t node = 0; node < graph->count; node++) {
        uint32_t at = place_of(graph->address[node], slots - 1);
        while (table[at] != 0) {
            at = (at + 1) & (slots - 1);
        }
        table[at] = node + 1;
    }
    if (graph->table != NULL) {
        rft_heap_free(&graph->memory, graph->table, (size_t)(graph->mask + 1) * sizeof *table);
    }
    graph->table = table;
    graph->mask = slots - 1;
    return true;
}

static bool grow_array(struct rft_graph *graph, void *place, size_t size, size_t from, size_t to)
{
    void *array;
    memcpy(&array, place, sizeof array);
    array = rft_heap_grow(&graph->memory, array, from * size, to * size);
    if (array == NULL) {
        return no_memory(graph);
    }
    memcpy(place, &array, sizeof array);
    return true;
}

/* An array that has grown keeps its new size though a later one fails: all are counted by
 * what each has. */
static struct {
    size_t offset, size;
} const arrays[] = {
    {offsetof(struct rft_graph, address), sizeof(uintptr_t)},
    {offsetof(struct rft_graph, flags), sizeof(uint8_t)},
    {offsetof(struct rft_graph, found), sizeof(uint32_t)},
    {offsetof(struct rft_graph, site), sizeof(uint32_t)},
    {offsetof(struct rft_graph, birth), sizeof(uint32_t)},
    {offsetof(struct rft_graph, size), sizeof(uint32_t)},
    {offsetof(struct rft_graph, first), sizeof(uint32_t)},
};
enum { ARRAYS = sizeof arrays / sizeof *arrays };

static bool grow_nodes(struct rft_graph *graph)
{
    uint32_t capacity = graph->capacity != 0 ? graph->capacity + graph->capacity / 2 : 1u << 16;
    if (capacity > NODES_MAX) {
        return no_memory(graph);
    }
    for (size_t i = 0; i < ARRAYS; i++) {
        if (!grow_array(graph, (char *)graph + arrays[i].offset, arrays[i].size, graph->capacity,
                        capacity)) {
            /* Back to the common size, so that all can be freed by it. */
            while (i-- > 0) {
                void *array;
                memcpy(&array, (char *)graph + arrays[i].offset, sizeof array);
                array = rft_heap_shrink(&graph->memory, array, capacity * arrays[i].size,
                                        graph->capacity * arrays[i].size);
                memcpy((char *)graph + arrays[i].offset, &array, sizeof array);
            }
            return false;
        }
    }
    graph->capacity = capacity;
    return true;
}

/* The table's slot with this address, or the empty one where it would be. */
static uint32_t *slot_of(const struct rft_graph *graph, uintptr_t address)
{
    uint32_t at = place_of(address, graph->mask);
    while (graph->table[at] != 0 && graph->address[graph->table[at] - 1] != address) {
        at = (at + 1) & graph->mask;
    }
    return &graph->table[at];
}

uint32_t rft_graph_find(const struct rft_graph *graph, const void *op)
{
    return graph->table != NULL ? *slot_of(graph, (uintptr_t)op) - 1 : RFT_NO_NODE;
}

static uint32_t find_or_add(struct rft_graph *graph, const void *op)
{
    uint32_t *slot = slot_of(graph, (uintptr_t)op);
    if (*slot != 0) {
        return *slot - 1;
    }
    if (graph->count + 2 > graph->capacity && !grow_nodes(graph)) {
        return RFT_NO_NODE;
    }
    if (graph->count >= graph->mask / 2) {
        if (!grow_table(graph)) {
            return RFT_NO_NODE;
        }
        slot = slot_of(graph, (uintptr_t)op);
    }
    uint32_t node = graph->count++;
    *slot = node + 1;
    graph->address[node] = (uintptr_t)op;
    bool immortal;
    refcount_of(graph->host->layout, op, &immortal);
    graph->flags[node] = immortal ? RFT_NODE_IMMORTAL : 0;
    return node;
}

static int visit_tracked(void *op, void *arg)
{
    struct rft_graph *graph = arg;
    uint32_t node = find_or_add(graph, op);
    if (node == RFT_NO_NODE) {
        return 0;
    }
    graph->flags[node] |= RFT_NODE_TRACKED;
    return graph->count % CLOCK_EVERY != 0 || rft_graph_in_time(graph);
}

static int visit_root(const struct rft_root *root, void *arg)
{
    struct rft_graph *graph = arg;
    uint32_t node = find_or_add(graph, root->target);
    if (node == RFT_NO_NODE) {
        return 1;
    }
    if (graph->root_count == graph->root_capacity) {
        size_t capacity = graph->root_capacity != 0 ? graph->root_capacity * 2 : 1024;
        if (!grow_array(graph, &graph->roots, sizeof *graph->roots, graph->root_capacity,
                        capacity)) {
            return 1;
        }
        graph->root_capacity = capacity;
    }
    graph->roots[graph->root_count++] = (struct rft_graph_root){
        .node = node,
        .label = rft_text_id(graph, root->label, root->label_length),
        .detail = rft_text_id(graph, root->detail, root->detail_length),
        .kind = root->kind,
        .counted = root->counted != 0,
    };
    graph->found[node] += root->counted != 0;
    if (root->counted || (graph->flags[node] & RFT_NODE_IMMORTAL)) {
        graph->flags[node] |= RFT_NODE_ROOT;
    }
    return 0;
}

static int visit_edge(const void *target, int counted, void *arg)
{
    struct rft_graph *graph = arg;
    if (target == NULL) {
        return 0;
    }
    uint32_t node = find_or_add(graph, target);
    if (node == RFT_NO_NODE) {
        return 1;
    }
    if (graph->edges == graph->edge_capacity) {
        size_t capacity =
            graph->edge_capacity != 0 ? graph->edge_capacity + graph->edge_capacity / 2 : 1u << 18;
        if (capacity >= UINT32_MAX || !grow_array(graph, &graph->target, sizeof *graph->target,
                                                  graph->edge_capacity, capacity)) {
            graph->cut = RFT_CUT_MEMORY;
            return 1;
        }
        graph->edge_capacity = capacity;
    }
    bool strong = counted || (graph->flags[node] & RFT_NODE_IMMORTAL);
    graph->target[graph->edges++] = node | (strong ? 0 : RFT_EDGE_BORROWED);
    graph->found[node] += counted != 0;
    return 0;
}

/* An object that the collector could track and does not, and that nobody refers to, may be
 * in the making, with fields that are not set. Tuples and dicts are always whole. */
static bool may_be_in_the_making(const struct rft_graph *graph, uint32_t node)
{
    enum { HAVE_GC = 1 << 14, TUPLE = 1 << 26, DICT = 1 << 29 };
    unsigned long flags = type_flags(graph, node);
    return (graph->flags[node] & RFT_NODE_LONE) && (flags & HAVE_GC) && !(flags & (TUPLE | DICT));
}

/* References of all nodes from `node` on, those that are come by on the way too. */
static bool walk(struct rft_graph *graph, uint32_t node)
{
    for (; node < graph->count; node++) {
        graph->first[node] = (uint32_t)graph->edges;
        if (!may_be_in_the_making(graph, node)) {
            graph->host->edges_each(rft_node_object(graph, node), visit_edge, graph);
        }
        if (graph->cut == RFT_CUT_MEMORY ||
            (node % CLOCK_EVERY == 0 && !rft_graph_in_time(graph))) {
            break;
        }
    }
    /* Where it was cut, the rest has no references that are known. */
    for (uint32_t rest = node < graph->count ? node + 1 : node; rest <= graph->count; rest++) {
        graph->first[rest] = (uint32_t)graph->edges;
    }
    return graph->cut == RFT_WHOLE;
}

static void visit_survivor(const void *op, uint32_t site, uint32_t birth, void *arg)
{
    struct rft_graph *graph = arg;
    uint32_t node = rft_graph_find(graph, op);
    if (node == RFT_NO_NODE && graph->host->exact && graph->cut == RFT_WHOLE) {
        node = find_or_add(graph, op);
        if (node != RFT_NO_NODE) {
            graph->flags[node] |= RFT_NODE_LONE;
        }
    }
    if (node != RFT_NO_NODE && site <= graph->host->sites) {
        graph->site[node] = site;
        graph->birth[node] = birth;
    }
}

static void measure(struct rft_graph *graph)
{
    for (uint32_t node = 0; node < graph->count; node++) {
        if (node % CLOCK_EVERY == 0 && !rft_graph_in_time(graph)) {
            return;
        }
        if (!(graph->flags[node] & RFT_NODE_IMMORTAL)) {
            graph->size[node] =
                graph->host->size(rft_node_object(graph, node), graph->host->context);
            graph->bytes += graph->size[node];
        }
    }
}

static bool is_dict(const struct rft_graph *graph, uint32_t node)
{
    enum { DICT = 1 << 29 };
    return (type_flags(graph, node) & DICT) != 0;
}

/* The package's modules, and what they hold directly by being modules. */
static void mark_ours(struct rft_graph *graph, const struct rft_graph_root *root)
{
    static const char name[] = "reftracer";
    size_t length;
    const char *label = rft_text_of(graph, root->label, &length);
    if (length < sizeof name - 1 || memcmp(label, name, sizeof name - 1) != 0 ||
        (length > sizeof name - 1 && label[sizeof name - 1] != '.')) {
        return;
    }
    graph->flags[root->node] |= RFT_NODE_OURS;
    for (uint32_t e = graph->first[root->node]; e < graph->first[root->node + 1]; e++) {
        uint32_t target = graph->target[e] & ~RFT_EDGE_BORROWED;
        if (is_dict(graph, target)) {
            graph->flags[target] |= RFT_NODE_OURS;
        }
    }
}

bool rft_graph_build(struct rft_graph *graph, const struct rft_heap_host *host,
                     uint32_t milliseconds, size_t bytes)
{
    graph->host = host;
    graph->memory.limit = bytes;
    graph->deadline = rft_heap_clock() + (uint64_t)milliseconds * 1000000u;
    if (!grow_table(graph) || !grow_nodes(graph)) {
        return false;
    }
    host->each_tracked(visit_tracked, graph);
    host->roots_each(host->tstate, visit_root, graph);
    if (graph->count == 0) {
        return false;
    }
    walk(graph, 0);
    uint32_t referred = graph->count;
    host->each_survivor(visit_survivor, graph, host->context);
    if (graph->count > referred) {
        walk(graph, referred);
    }
    rft_graph_guess(graph);
    measure(graph);
    for (size_t i = 0; i < sizeof host->passed_over / sizeof *host->passed_over; i++) {
        uint32_t node = host->passed_over[i] != NULL ? rft_graph_find(graph, host->passed_over[i])
                                                     : RFT_NO_NODE;
        if (node != RFT_NO_NODE) {
            graph->flags[node] |= RFT_NODE_PASSED_OVER;
        }
    }
    for (size_t i = 0; i < graph->root_count; i++) {
        if (graph->roots[i].kind == RFT_ROOT_MODULE) {
            mark_ours(graph, &graph->roots[i]);
        }
    }
    return true;
}

bool rft_graph_reverse(struct rft_graph *graph)
{
    size_t nodes = (size_t)graph->count + 2;
    graph->back_first = rft_heap_alloc(&graph->memory, nodes * sizeof *graph->back_first);
    graph->back = rft_heap_alloc(&graph->memory, (graph->edges + 1) * sizeof *graph->back);
    if (graph->back_first == NULL || graph->back == NULL) {
        return no_memory(graph);
    }
    /* Counting sort: back_first[i + 2] counts, then becomes where i + 1 begins. */
    uint32_t *begins = graph->back_first;
    for (size_t e = 0; e < graph->edges; e++) {
        begins[(graph->target[e] & ~RFT_EDGE_BORROWED) + 2]++;
    }
    for (size_t i = 2; i < nodes; i++) {
        begins[i] += begins[i - 1];
    }
    for (uint32_t node = 0; node < graph->count; node++) {
        for (uint32_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
            uint32_t target = graph->target[e];
            graph->back[begins[(target & ~RFT_EDGE_BORROWED) + 1]++] =
                node | (target & RFT_EDGE_BORROWED);
        }
    }
    return true;
}

void rft_graph_deinit(struct rft_graph *graph)
{
    struct rft_heap_memory *memory = &graph->memory;
    for (size_t i = 0; i < ARRAYS; i++) {
        void *array;
        memcpy(&array, (char *)graph + arrays[i].offset, sizeof array);
        rft_heap_free(memory, array, graph->capacity * arrays[i].size);
    }
    rft_heap_free(memory, graph->table, (size_t)(graph->mask + 1) * sizeof *graph->table);
    rft_heap_free(memory, graph->target, graph->edge_capacity * sizeof *graph->target);
    rft_heap_free(memory, graph->back_first,
                  ((size_t)graph->count + 2) * sizeof *graph->back_first);
    rft_heap_free(memory, graph->back, (graph->edges + 1) * sizeof *graph->back);
    rft_heap_free(memory, graph->roots, graph->root_capacity * sizeof *graph->roots);
    rft_texts_deinit(graph);
    struct rft_heap_memory left = *memory; /* tells what was used, and that all went back */
    *graph = (struct rft_graph){.memory = left};
}

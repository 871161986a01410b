/* What would be freed with an object: the dominator tree of the graph.
 *
 * Semi-NCA (Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems", 2005,
 * section 2.2), without recursion, since a linked list is as deep as the heap is large.
 * Vertices have the numbers of a depth-first search; number 0 is what all roots hang on. */
#include "heap/heap.h"

#include "trace/format.h"

enum { CLOCK_EVERY = 65536 };

struct semi {
    struct rft_graph *graph;
    struct rft_dominators *d;
    uint32_t *parent;   /* by number; of the forest, shortened as it is used */
    uint32_t *semi;     /* by number */
    uint32_t *best;     /* by number: least semi on the way up the forest */
    uint32_t *position; /* by node, then a stack */
};

static bool in_time(struct semi *s, uint32_t step)
{
    return step % CLOCK_EVERY != 0 || rft_graph_in_time(s->graph);
}

static void enter(struct semi *s, uint32_t node, uint32_t parent)
{
    uint32_t number = s->d->count++;
    s->d->number[node] = number;
    s->d->node[number] = node;
    s->d->idom[number] = s->parent[number] = parent;
    s->position[node] = s->graph->first[node];
}

/* Numbers all that `top` leads to. */
static bool search(struct semi *s, uint32_t top)
{
    const struct rft_graph *graph = s->graph;
    if (s->d->number[top] != 0) {
        return true;
    }
    enter(s, top, 0);
    for (uint32_t at = s->d->number[top]; at != 0;) {
        uint32_t node = s->d->node[at];
        if (s->position[node] == graph->first[node + 1]) {
            at = s->d->idom[at];
            continue;
        }
        uint32_t target = graph->target[s->position[node]++];
        if (!(target & RFT_EDGE_BORROWED) && s->d->number[target] == 0) {
            uint32_t parent = at;
            at = s->d->count;
            enter(s, target, parent);
            if (!in_time(s, at)) {
                return false;
            }
        }
    }
    return true;
}

/* The least semi between v and the last vertex above it that is in the forest; vertices
 * greater than `last` are. */
static uint32_t least(struct semi *s, uint32_t v, uint32_t last)
{
    if (v <= last) {
        return v;
    }
    uint32_t *stack = s->position, depth = 0, x = v;
    while (s->parent[x] > last) {
        stack[depth++] = x;
        x = s->parent[x];
    }
    while (depth > 0) {
        uint32_t y = stack[--depth];
        s->best[y] = s->best[x] < s->best[y] ? s->best[x] : s->best[y];
        s->parent[y] = s->parent[x];
        x = y;
    }
    return s->best[v];
}

static bool find_semi(struct semi *s)
{
    const struct rft_graph *graph = s->graph;
    for (uint32_t i = s->d->count - 1; i > 0; i--) {
        uint32_t node = s->d->node[i], semi = s->d->idom[i];
        if (graph->flags[node] & RFT_NODE_ROOT) {
            semi = 0;
        }
        for (uint32_t e = graph->back_first[node]; semi != 0 && e < graph->back_first[node + 1];
             e++) {
            uint32_t from = graph->back[e];
            uint32_t number = from & RFT_EDGE_BORROWED ? 0 : s->d->number[from];
            if (number != 0) {
                uint32_t value = least(s, number, i);
                semi = value < semi ? value : semi;
            }
        }
        s->semi[i] = s->best[i] = semi;
        if (!in_time(s, i)) {
            return false;
        }
    }
    return true;
}

static void add_up(struct rft_graph *graph, struct rft_dominators *d)
{
    for (uint32_t i = d->count - 1; i > 0; i--) {
        d->retained[i] += graph->size[d->node[i]];
        d->retained_objects[i]++;
        d->retained[d->idom[i]] += d->retained[i];
        d->retained_objects[d->idom[i]] += d->retained_objects[i];
        d->sibling[i] = d->child[d->idom[i]];
        d->child[d->idom[i]] = i;
    }
}

static bool take(struct rft_graph *graph, void *place, size_t size)
{
    void **to = place;
    *to = rft_heap_alloc(&graph->memory, size);
    return *to != NULL;
}

static void give(struct rft_graph *graph, void *pages, size_t size)
{
    rft_heap_free(&graph->memory, pages, size);
}

static bool compute(struct semi *s, const struct rft_paths *paths)
{
    struct rft_dominators *d = s->d;
    d->count = 1;
    for (uint32_t i = 0; i < paths->reached; i++) {
        if ((s->graph->flags[paths->order[i]] & RFT_NODE_ROOT) && !search(s, paths->order[i])) {
            return false;
        }
    }
    /* What only references that do not count lead to. */
    for (uint32_t i = 0; i < paths->reached; i++) {
        uint32_t node = paths->order[i];
        if (d->number[node] == 0) {
            s->graph->flags[node] |= RFT_NODE_ROOT;
            if (!search(s, node)) {
                return false;
            }
        }
    }
    if (!find_semi(s)) {
        return false;
    }
    for (uint32_t i = 1; i < d->count; i++) {
        uint32_t idom = d->idom[i];
        while (idom > s->semi[i]) {
            idom = d->idom[idom];
        }
        d->idom[i] = idom;
    }
    return true;
}

bool rft_dominators_find(struct rft_graph *graph, const struct rft_paths *paths,
                         struct rft_dominators *d)
{
    size_t words = ((size_t)graph->count + 1) * sizeof(uint32_t);
    struct semi s = {.graph = graph, .d = d};
    bool done = take(graph, &d->number, words) && take(graph, &d->node, words) &&
                take(graph, &d->idom, words) && take(graph, &s.parent, words) &&
                take(graph, &s.semi, words) && take(graph, &s.best, words) &&
                take(graph, &s.position, words);
    if (!done) {
        graph->cut = RFT_CUT_MEMORY;
    }
    done = done && compute(&s, paths);
    give(graph, s.parent, words);
    give(graph, s.semi, words);
    give(graph, s.best, words);
    give(graph, s.position, words);
    if (done &&
        !(take(graph, &d->retained, 2 * words) && take(graph, &d->retained_objects, words) &&
          take(graph, &d->child, words) && take(graph, &d->sibling, words))) {
        graph->cut = RFT_CUT_MEMORY;
        done = false;
    }
    if (done) {
        add_up(graph, d);
    }
    return done;
}

void rft_dominators_deinit(struct rft_graph *graph, struct rft_dominators *d)
{
    size_t words = ((size_t)graph->count + 1) * sizeof(uint32_t);
    give(graph, d->number, words);
    give(graph, d->node, words);
    give(graph, d->idom, words);
    give(graph, d->retained, 2 * words);
    give(graph, d->retained_objects, words);
    give(graph, d->child, words);
    give(graph, d->sibling, words);
    *d = (struct rft_dominators){0};
}

/* Down and up the tree; `open`: how many of a site's objects are above. */
bool rft_dominators_by_site(struct rft_graph *graph, const struct rft_dominators *d,
                            uint64_t *bytes)
{
    size_t size = ((size_t)graph->host->sites + 1) * sizeof(uint32_t);
    uint32_t *open = rft_heap_alloc(&graph->memory, size);
    if (open == NULL) {
        graph->cut = RFT_CUT_MEMORY;
        return false;
    }
    uint32_t at = d->child[0];
    while (at != 0) {
        uint32_t site = graph->site[d->node[at]];
        if (site != 0 && open[site]++ == 0) {
            bytes[site] += d->retained[at];
        }
        if (d->child[at] != 0) {
            at = d->child[at];
            continue;
        }
        while (at != 0) { /* up, until there is somebody beside */
            site = graph->site[d->node[at]];
            open[site] -= site != 0;
            if (d->sibling[at] != 0) {
                at = d->sibling[at];
                break;
            }
            at = d->idom[at];
        }
    }
    rft_heap_free(&graph->memory, open, size);
    return true;
}

/* A child that retains nearly all that its parent does is meant when the parent is. What
 * holds everything, sys.modules, means nobody. */
static uint32_t heavy_child(const struct rft_graph *graph, const struct rft_dominators *d,
                            uint32_t parent)
{
    if (parent == 0 || (graph->flags[d->node[parent]] & RFT_NODE_PASSED_OVER)) {
        return 0;
    }
    for (uint32_t child = d->child[parent]; child != 0; child = d->sibling[child]) {
        if (d->retained[child] / 9 >= d->retained[parent] / 10) {
            return child;
        }
    }
    return 0;
}

/* The one of a chain of heavy children to be told: the last one, unless the chain is long or
 * repeats itself, as a linked list does (link, link, link, or link, dict, link, dict); then
 * the one where that begins. */
static uint32_t one_of_chain(const struct rft_graph *graph, const struct rft_dominators *d,
                             uint32_t head)
{
    enum { CHAIN = 16, AHEAD = 4 };
    uint32_t at = head;
    for (unsigned i = 0; i < CHAIN; i++) {
        uintptr_t types[AHEAD] = {0};
        uint32_t next = at, first = 0;
        for (unsigned k = 0; k < AHEAD && next != 0; k++) {
            types[k] = rft_node_type(graph, d->node[next]);
            next = heavy_child(graph, d, next);
            first = k == 0 ? next : first;
        }
        bool repeats =
            types[2] != 0 && types[0] == types[2] && (types[0] == types[1] || types[1] == types[3]);
        if (first == 0 || repeats) {
            return at;
        }
        at = first;
    }
    return at;
}

static void insert(const struct rft_dominators *d, uint32_t *list, unsigned *count, unsigned max,
                   uint32_t number)
{
    unsigned i = *count;
    if (i == max && d->retained[list[max - 1]] >= d->retained[number]) {
        return;
    }
    i = i == max ? max - 1 : (*count)++;
    for (; i > 0 && d->retained[list[i - 1]] < d->retained[number]; i--) {
        list[i] = list[i - 1];
    }
    list[i] = number;
}

unsigned rft_dominators_biggest(struct rft_graph *graph, const struct rft_dominators *d,
                                uint32_t *nodes, unsigned max)
{
    uint64_t least_bytes = d->retained[0] / 100;
    unsigned count = 0;
    for (uint32_t i = 1; i < d->count; i++) {
        if (d->retained[i] < least_bytes || heavy_child(graph, d, d->idom[i]) == i) {
            continue; /* little, or not the head of its chain */
        }
        uint32_t told = one_of_chain(graph, d, i);
        if (!(graph->flags[d->node[told]] & RFT_NODE_PASSED_OVER)) {
            insert(d, nodes, &count, max, told);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        nodes[i] = d->node[nodes[i]];
    }
    return count;
}

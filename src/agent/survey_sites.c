/* Which sites are looked into, and which of their objects. */
#include "agent/survey.h"

#include <string.h>

/* A site with fewer survivors tells nothing that grows. Of the others those with the most
 * objects, those with the most bytes, and those with the most objects that were born of late:
 * imports of large packages leave thousands of sites that have more than a slow leak; and, of any
 * number, those whose refcounts are furthest from the references there are. */
enum {
    OBJECTS_MIN = 8,
    GROWN_MAX = 1000,
    LATE_MAX = 300,
    LATE_PART = 4, /* the last of so many parts of the time */
    ODD_MAX = 100,
    SITES_MAX = GROWN_MAX + LATE_MAX + ODD_MAX,
    ODD_SURPLUS = 100, /* C code has a few references to many an object */
    SORTED_MAX = 1 << 14,
};

static void sift(uint64_t *heap, uint32_t at, uint32_t count)
{
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && heap[child + 1] > heap[child];
        if (heap[at] >= heap[child]) {
            return;
        }
        uint64_t value = heap[at];
        heap[at] = heap[child];
        heap[child] = value;
    }
}

/* Ascending. qsort() would take memory from malloc. */
static void sort(uint64_t *values, uint32_t count)
{
    for (uint32_t at = count / 2; at-- > 0;) {
        sift(values, at, count);
    }
    for (uint32_t end = count; end > 1;) {
        uint64_t value = values[--end];
        values[end] = values[0];
        values[0] = value;
        sift(values, 0, end);
    }
}

/* Marks the sites with the largest amounts, of those with `least` objects. Sites of equal
 * amounts: the older ones. */
static void choose_by(struct rft_survey *survey, const uint32_t *objects, uint32_t least,
                      const uint64_t *amounts, uint64_t *order, uint32_t sites, uint32_t most)
{
    uint32_t count = 0;
    for (uint32_t id = 1; id <= sites; id++) {
        if (objects[id] >= least) {
            uint64_t amount = amounts != NULL ? amounts[id] >> 4 : objects[id];
            amount = amount < (1ull << 38) ? amount : (1ull << 38) - 1;
            order[count++] = amount << 25 | (sites - id); /* ids have 24 bits */
        }
    }
    sort(order, count);
    for (uint32_t i = 0; i < count && i < most; i++) {
        survey->chosen[sites - (uint32_t)(order[count - 1 - i] & ((1u << 25) - 1))] = 1;
    }
}

static void gather(struct rft_survey *survey, const uint32_t *objects)
{
    const struct rft_graph *graph = &survey->graph;
    uint32_t total = 0;
    for (uint32_t id = 1; id <= survey->host.sites; id++) {
        if (survey->chosen[id] != 0) {
            survey->sites[survey->site_count] = (struct rft_survey_site){.id = id, .first = total};
            survey->chosen[id] = ++survey->site_count;
            total += objects[id];
        }
    }
    for (uint32_t node = 0; node < graph->count; node++) {
        uint32_t chosen = survey->chosen[graph->site[node]];
        if (chosen != 0) {
            struct rft_survey_site *site = &survey->sites[chosen - 1];
            survey->nodes[site->first + site->count++] = node;
            site->garbage += !(survey->flags & RFT_HEAP_NO_GARBAGE) &&
                             rft_node_is_garbage(graph, &survey->paths, node);
        }
    }
}

/* How many of a site's objects are young, if it has enough of them at all. */
static void count_late(const struct rft_survey *survey, const uint32_t *objects, uint32_t *late)
{
    const struct rft_graph *graph = &survey->graph;
    uint32_t since = survey->started - survey->started / LATE_PART;
    for (uint32_t node = 0; node < graph->count; node++) {
        uint32_t site = graph->site[node];
        late[site] += objects[site] >= OBJECTS_MIN && graph->birth[node] >= since;
    }
}

/* Sites with objects that are referred to more often than their refcounts tell, or far less:
 * one such object is a fault. `amounts` is overwritten, and `few` gets how many there are. */
static void weigh_refcounts(struct rft_survey *survey, uint64_t *amounts, uint32_t *few)
{
    const struct rft_graph *graph = &survey->graph;
    size_t ids = (size_t)survey->host.sites + 1;
    memset(amounts, 0, ids * sizeof *amounts);
    memset(few, 0, ids * sizeof *few);
    for (uint32_t node = 0; node < graph->count; node++) {
        if (graph->site[node] == 0 || (graph->flags[node] & RFT_NODE_IMMORTAL)) {
            continue;
        }
        int64_t surplus = rft_node_surplus(graph, node);
        if (surplus < 0 || surplus >= ODD_SURPLUS) {
            few[graph->site[node]]++;
            /* Too few is worse than any number too many; choose_by takes 16 for one. */
            amounts[graph->site[node]] += surplus < 0 ? UINT64_C(1) << 40 : (uint64_t)surplus << 4;
        }
    }
}

bool rft_survey_choose(struct rft_survey *survey)
{
    struct rft_heap_memory *memory = &survey->graph.memory;
    const struct rft_graph *graph = &survey->graph;
    size_t ids = (size_t)survey->host.sites + 1;
    uint32_t *objects = rft_heap_alloc(memory, ids * sizeof *objects);
    uint32_t *some = rft_heap_alloc(memory, ids * sizeof *some);
    uint64_t *bytes = rft_heap_alloc(memory, ids * sizeof *bytes);
    uint64_t *order = rft_heap_alloc(memory, ids * sizeof *order);
    survey->chosen = rft_heap_alloc(memory, ids * sizeof *survey->chosen);
    survey->sites = rft_heap_alloc(memory, SITES_MAX * sizeof *survey->sites);
    bool done = objects != NULL && some != NULL && bytes != NULL && order != NULL &&
                survey->chosen != NULL && survey->sites != NULL;
    if (done) {
        size_t total = 0;
        for (uint32_t node = 0; node < graph->count; node++) {
            objects[graph->site[node]]++;
            bytes[graph->site[node]] += graph->size[node];
        }
        objects[0] = 0;
        choose_by(survey, objects, OBJECTS_MIN, NULL, order, survey->host.sites, GROWN_MAX / 2);
        choose_by(survey, objects, OBJECTS_MIN, bytes, order, survey->host.sites, GROWN_MAX / 2);
        count_late(survey, objects, some);
        choose_by(survey, some, 1, NULL, order, survey->host.sites, LATE_MAX);
        if (!(survey->flags & RFT_HEAP_NO_REFCOUNTS)) {
            weigh_refcounts(survey, bytes, some);
            choose_by(survey, some, 1, bytes, order, survey->host.sites, ODD_MAX);
        }
        for (size_t id = 1; id < ids; id++) {
            total += survey->chosen[id] != 0 ? objects[id] : 0;
        }
        survey->node_count = total;
        survey->nodes = rft_heap_alloc(memory, total * sizeof *survey->nodes);
        done = survey->nodes != NULL;
    }
    if (done) {
        gather(survey, objects);
    } else {
        survey->graph.cut = RFT_CUT_MEMORY;
    }
    rft_heap_free(memory, objects, ids * sizeof *objects);
    rft_heap_free(memory, some, ids * sizeof *some);
    rft_heap_free(memory, bytes, ids * sizeof *bytes);
    rft_heap_free(memory, order, ids * sizeof *order);
    return done;
}

unsigned rft_survey_sample(struct rft_survey *survey, const struct rft_survey_site *site,
                           uint32_t *nodes)
{
    static uint64_t by_birth[SORTED_MAX]; /* one survey at a time */
    const struct rft_graph *graph = &survey->graph;
    uint32_t reached = site->count - site->garbage, step = reached / SORTED_MAX + 1;
    uint32_t sorted = 0, seen = 0;
    for (uint32_t i = 0; i < site->count && sorted < SORTED_MAX; i++) {
        uint32_t node = survey->nodes[site->first + i];
        if (survey->paths.parent[node] != RFT_UNREACHED && seen++ % step == 0) {
            by_birth[sorted++] = (uint64_t)graph->birth[node] << 32 | node;
        }
    }
    sort(by_birth, sorted);
    unsigned count = sorted < RFT_SAMPLES_MAX ? sorted : RFT_SAMPLES_MAX;
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = count > 1 ? (uint64_t)i * (sorted - 1) / (count - 1) : 0;
        nodes[i] = (uint32_t)by_birth[at];
    }
    return count;
}

void rft_survey_give_back_sites(struct rft_survey *survey)
{
    struct rft_heap_memory *memory = &survey->graph.memory;
    size_t ids = (size_t)survey->host.sites + 1;
    rft_heap_free(memory, survey->chosen, ids * sizeof *survey->chosen);
    rft_heap_free(memory, survey->sites, SITES_MAX * sizeof *survey->sites);
    rft_heap_free(memory, survey->nodes, survey->node_count * sizeof *survey->nodes);
}

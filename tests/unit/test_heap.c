/* Made-up heaps: who holds whom is known beforehand, or found out by trying everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heap/heap.h"

enum { OBJECTS = 400, EDGES = 16, ROOTS = 64 };

struct made_up_type {
    unsigned long flags;
};
static struct made_up_type plain, other, collected = {1 << 14};

/* Begins as CPython's objects do. */
struct made_up {
    uint64_t refcount;
    const struct made_up_type *type;
    struct made_up *edges[EDGES];
    bool counted[EDGES];
    unsigned edge_count;
    bool untracked;
    uint32_t site, birth, size;
    const void *words[3]; /* where references may be that nobody tells of */
};

static struct {
    struct made_up objects[OBJECTS];
    unsigned count;
    struct {
        unsigned char kind;
        const char *label;
        struct made_up *target;
        bool counted;
    } roots[ROOTS];
    unsigned root_count;
    struct rft_layout layout;
    struct rft_heap_host host;
} heap;

static void each_tracked(int (*visit)(void *, void *), void *arg)
{
    for (unsigned i = 0; i < heap.count; i++) {
        if (!heap.objects[i].untracked && !visit(&heap.objects[i], arg)) {
            return;
        }
    }
}

static void each_survivor(void (*visit)(const void *, uint32_t, uint32_t, void *), void *arg,
                          void *context)
{
    (void)context;
    for (unsigned i = 0; i < heap.count; i++) {
        if (heap.objects[i].site != 0) {
            visit(&heap.objects[i], heap.objects[i].site, heap.objects[i].birth, arg);
        }
    }
}

static uint32_t size_of(const void *op, void *context)
{
    (void)context;
    return ((const struct made_up *)op)->size;
}

static int edges_each(const void *op, rft_edge_visit visit, void *arg)
{
    const struct made_up *object = op;
    for (unsigned i = 0; i < object->edge_count; i++) {
        int stop = visit(object->edges[i], object->counted[i], arg);
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

static void edges_hidden(const void *op, rft_edge_visit visit, void *arg)
{
    const struct made_up *object = op;
    for (unsigned i = 0; i < 3 && visit(object->words[i], 1, arg) == 0; i++) {
    }
}

static int roots_each(void *tstate, int (*visit)(const struct rft_root *, void *), void *arg)
{
    (void)tstate;
    for (unsigned i = 0; i < heap.root_count; i++) {
        struct rft_root root = {.kind = heap.roots[i].kind,
                                .label = heap.roots[i].label,
                                .label_length = strlen(heap.roots[i].label),
                                .target = heap.roots[i].target,
                                .counted = heap.roots[i].counted};
        int stop = visit(&root, arg);
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

/* An edge to objects[n] is a dict's value under the key "kn"; from `other`, an attribute. */
static void label_of(const void *holder, const void *target, struct rft_label *label)
{
    const struct made_up *from = holder, *to = target;
    memset(label, 0, sizeof *label);
    label->kind = from->type == &other ? RFT_EDGE_ATTRIBUTE : RFT_EDGE_DICT_VALUE;
    label->length =
        (size_t)snprintf(label->text, sizeof label->text, from->type == &other ? "next" : "k%d",
                         (int)(to - heap.objects));
}

static void begin(unsigned count)
{
    memset(&heap, 0, sizeof heap);
    heap.count = count;
    heap.layout.version = 0x030E0AF0;
    heap.layout.at[RFT_OBJECT_TYPE] = 8;
    heap.host = (struct rft_heap_host){.layout = &heap.layout,
                                       .each_tracked = each_tracked,
                                       .each_survivor = each_survivor,
                                       .size = size_of,
                                       .edges_each = edges_each,
                                       .edges_hidden = edges_hidden,
                                       .roots_each = roots_each,
                                       .label_of = label_of,
                                       .sites = 100,
                                       .exact = true};
    for (unsigned i = 0; i < count; i++) {
        heap.objects[i].type = &plain;
        heap.objects[i].size = 1;
    }
}

static void refer(unsigned from, unsigned to)
{
    struct made_up *object = &heap.objects[from];
    assert_true(object->edge_count < EDGES);
    object->counted[object->edge_count] = true;
    object->edges[object->edge_count++] = &heap.objects[to];
    heap.objects[to].refcount++;
}

static void root(unsigned char kind, const char *label, unsigned to)
{
    heap.roots[heap.root_count].kind = kind;
    heap.roots[heap.root_count].label = label;
    heap.roots[heap.root_count].counted = true;
    heap.roots[heap.root_count++].target = &heap.objects[to];
    heap.objects[to].refcount++;
}

struct looked {
    struct rft_graph graph;
    struct rft_paths paths;
};

static void look(struct looked *l)
{
    memset(l, 0, sizeof *l);
    assert_true(rft_graph_build(&l->graph, &heap.host, 60000, (size_t)1 << 30));
    assert_int_equal(l->graph.cut, RFT_WHOLE);
    assert_true(rft_graph_reverse(&l->graph));
    assert_true(rft_paths_find(&l->graph, &l->paths));
}

/* Everything that was taken from the kernel went back. */
static void leave(struct looked *l)
{
    rft_paths_deinit(&l->graph, &l->paths);
    assert_true(l->graph.memory.used > 0);
    rft_graph_deinit(&l->graph);
    assert_int_equal(l->graph.memory.used, 0);
}

static uint32_t node_of(struct looked *l, unsigned object)
{
    return rft_graph_find(&l->graph, &heap.objects[object]);
}

/* "module app > kn > next > ..." */
static const char *path_text(struct looked *l, unsigned object)
{
    static char text[4096];
    struct rft_step steps[RFT_PATH_STEPS_MAX];
    unsigned count =
        rft_path_steps(&l->graph, &l->paths, node_of(l, object), rft_step_between, NULL, steps);
    size_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t length;
        const char *label = rft_text_of(&l->graph, steps[i].label, &length);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d:%.*s", i ? " " : "",
                                 steps[i].kind, (int)length, label);
    }
    return text;
}

static void the_shortest_path_from_a_named_root_is_found(void **state)
{
    (void)state;
    struct looked l;
    begin(6);
    root(RFT_ROOT_INTERPRETER, "codecs", 5); /* nearer, but no name of the program's */
    root(RFT_ROOT_MODULE, "app", 0);
    refer(0, 1);
    refer(1, 2);
    refer(2, 5);
    refer(0, 3);
    refer(3, 5);
    look(&l);
    assert_string_equal(path_text(&l, 5), "64:app 3:k3 3:k5");
    assert_string_equal(path_text(&l, 0), "64:app");
    leave(&l);
}

static void a_root_that_does_not_count_names_the_path_and_retains_nothing(void **state)
{
    (void)state;
    struct looked l;
    begin(3);
    root(RFT_ROOT_INTERPRETER, "modules", 0);
    refer(0, 1); /* sys.modules has the module */
    refer(1, 2);
    root(RFT_ROOT_MODULE, "app", 1);
    heap.roots[1].counted = false;
    heap.objects[1].refcount--;
    look(&l);
    assert_string_equal(path_text(&l, 2), "64:app 3:k2");
    struct rft_dominators d = {0};
    assert_true(rft_dominators_find(&l.graph, &l.paths, &d));
    assert_int_equal(d.retained[d.number[node_of(&l, 0)]], 3);
    rft_dominators_deinit(&l.graph, &d);
    leave(&l);
}

static void of_equal_roots_main_comes_first(void **state)
{
    (void)state;
    struct looked l;
    begin(4);
    root(RFT_ROOT_MODULE, "app", 0);
    root(RFT_ROOT_MODULE, "__main__", 1);
    refer(0, 2);
    refer(1, 2);
    look(&l);
    assert_string_equal(path_text(&l, 2), "64:__main__ 3:k2");
    leave(&l);
}

static void no_path_goes_through_our_package_or_what_holds_everything(void **state)
{
    (void)state;
    struct looked l;
    begin(8);
    heap.host.passed_over[0] = &heap.objects[5];
    root(RFT_ROOT_MODULE, "reftracer._trace", 0);
    root(RFT_ROOT_MODULE, "reftracery", 1);
    root(RFT_ROOT_SYS, "modules", 5);
    refer(0, 2); /* only ours has it */
    refer(0, 3);
    refer(1, 4);
    refer(4, 3);
    refer(5, 6);
    refer(4, 7);
    refer(7, 6);
    look(&l);
    assert_string_equal(path_text(&l, 3), "64:reftracery 3:k4 3:k3");
    assert_string_equal(path_text(&l, 6), "64:reftracery 3:k4 3:k7 3:k6");
    assert_string_equal(path_text(&l, 2), "64:reftracer._trace 3:k2");
    leave(&l);
}

static void what_nothing_accounts_for_is_held_by_c(void **state)
{
    (void)state;
    struct looked l;
    begin(5);
    root(RFT_ROOT_MODULE, "app", 0);
    refer(0, 1);
    heap.objects[1].refcount += 2; /* besides */
    heap.objects[2].refcount = 1;
    heap.objects[2].untracked = true;
    heap.objects[2].site = 1;
    refer(2, 3);
    refer(3, 4);
    heap.objects[4].refcount = 0; /* one too few */
    look(&l);
    assert_string_equal(path_text(&l, 1), "64:app 3:k1");
    assert_string_equal(path_text(&l, 2), "73:");
    assert_string_equal(path_text(&l, 3), "73: 3:k3");
    assert_int_equal(rft_node_surplus(&l.graph, node_of(&l, 0)), 0);
    assert_int_equal(rft_node_surplus(&l.graph, node_of(&l, 1)), 2);
    assert_int_equal(rft_node_surplus(&l.graph, node_of(&l, 2)), 1);
    assert_int_equal(rft_node_surplus(&l.graph, node_of(&l, 3)), 0);
    assert_int_equal(rft_node_surplus(&l.graph, node_of(&l, 4)), -1);
    struct rft_surplus pairs[RFT_SURPLUS_MAX];
    uint32_t nodes[5];
    for (unsigned i = 0; i < 5; i++) {
        nodes[i] = node_of(&l, i);
    }
    assert_int_equal(rft_audit(&l.graph, nodes, 5, pairs), 4);
    assert_int_equal(pairs[0].surplus, -1);
    assert_int_equal(pairs[1].surplus, 0);
    assert_int_equal(pairs[1].objects, 2);
    assert_int_equal(pairs[3].surplus, 2);
    leave(&l);
}

static void immortal_objects_are_not_audited_and_borrowed_references_hold_nothing(void **state)
{
    (void)state;
    struct looked l;
    begin(5);
    root(RFT_ROOT_MODULE, "app", 0);
    refer(0, 1);
    heap.objects[1].refcount = 0xC0000000u; /* immortal */
    heap.objects[0].edges[1] = &heap.objects[2];
    heap.objects[0].counted[1] = false;
    heap.objects[0].edge_count = 2;
    refer(3, 2);
    refer(2, 3); /* a cycle that is only borrowed from outside: not garbage for certain */
    look(&l);
    uint32_t nodes[2] = {node_of(&l, 1), node_of(&l, 2)};
    struct rft_surplus pairs[RFT_SURPLUS_MAX];
    assert_int_equal(rft_audit(&l.graph, nodes, 2, pairs), 1);
    assert_int_equal(pairs[0].surplus, 0);
    assert_int_equal(pairs[0].objects, 1);
    struct rft_cycles *cycles = calloc(1, sizeof *cycles);
    assert_true(rft_cycles_find(&l.graph, &l.paths, cycles));
    assert_int_equal(cycles->objects, 0);
    free(cycles);
    leave(&l);
}

static void many_different_surpluses_are_put_together_and_none_is_lost(void **state)
{
    (void)state;
    struct looked l;
    begin(300);
    uint32_t nodes[300];
    for (unsigned i = 0; i < 300; i++) {
        heap.objects[i].refcount = 1 + (i % 150) * (i % 150);
    }
    look(&l);
    for (unsigned i = 0; i < 300; i++) {
        nodes[i] = node_of(&l, i);
    }
    struct rft_surplus pairs[RFT_SURPLUS_MAX];
    unsigned count = rft_audit(&l.graph, nodes, 300, pairs);
    assert_int_equal(count, RFT_SURPLUS_MAX);
    uint32_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        total += pairs[i].objects;
        assert_true(i == 0 || pairs[i].surplus > pairs[i - 1].surplus);
    }
    assert_int_equal(total, 300);
    leave(&l);
}

static void a_path_that_is_too_long_keeps_both_ends(void **state)
{
    (void)state;
    struct looked l;
    for (unsigned length = 60; length <= OBJECTS; length += length < 70 ? 1 : 165) {
        begin(length);
        root(RFT_ROOT_MODULE, "app", 0);
        for (unsigned i = 1; i < length; i++) {
            refer(i - 1, i);
        }
        look(&l);
        struct rft_step steps[RFT_PATH_STEPS_MAX];
        unsigned count = rft_path_steps(&l.graph, &l.paths, node_of(&l, length - 1),
                                        rft_step_between, NULL, steps);
        uint64_t shown = 0, left_out = 0;
        for (unsigned i = 0; i < count; i++) {
            if (steps[i].kind == RFT_EDGE_LEFT_OUT) {
                left_out = steps[i].index - 1;
            } else {
                shown++;
                assert_true(i == 0 || steps[i].holder != RFT_NO_NODE);
            }
        }
        assert_true(count <= RFT_PATH_STEPS_MAX);
        assert_int_equal(shown + left_out, length); /* a step to each object */
        assert_int_equal(left_out > 0, length > RFT_PATH_STEPS_MAX);
        assert_int_equal(steps[1].holder, node_of(&l, 0));
        assert_int_equal(steps[count - 1].holder, node_of(&l, length - 2));
        leave(&l);
    }
}

static void samples_are_grouped_by_what_their_paths_have_in_common(void **state)
{
    (void)state;
    struct looked l;
    begin(40);
    root(RFT_ROOT_MODULE, "app", 0);
    refer(0, 1);
    refer(0, 2);
    for (unsigned i = 10; i < 20; i++) {
        refer(1, i); /* a dict with ten keys */
    }
    heap.objects[2].type = &other;
    refer(2, 30);
    for (unsigned i = 30; i < 34; i++) { /* a linked list */
        heap.objects[i].type = &other;
        refer(i, i + 1);
    }
    look(&l);
    uint32_t nodes[16];
    unsigned count = 0;
    for (unsigned i = 10; i < 20; i++) {
        nodes[count++] = node_of(&l, i);
    }
    for (unsigned i = 30; i < 35; i++) {
        nodes[count++] = node_of(&l, i);
    }
    struct rft_patterns *patterns = calloc(1, sizeof *patterns);
    rft_patterns_find(&l.graph, &l.paths, nodes, count, patterns);
    assert_int_equal(patterns->sampled, 15);
    assert_int_equal(patterns->count, 2);
    assert_int_equal(patterns->patterns[0].objects, 10);
    assert_int_equal(patterns->patterns[0].sample->count, 3);
    assert_int_equal(patterns->patterns[0].sample->steps[2].label, 0); /* ten keys: none */
    size_t length;
    const char *key = rft_text_of(&l.graph, patterns->patterns[0].sample->steps[1].label, &length);
    assert_true(length == 2 && memcmp(key, "k1", 2) == 0); /* the same for all */
    assert_int_equal(patterns->patterns[1].objects, 5);
    assert_int_equal(patterns->patterns[1].sample->count, 3); /* the head of the list */
    free(patterns);
    leave(&l);
}

static void garbage_is_found_with_its_cycle(void **state)
{
    (void)state;
    struct looked l;
    begin(12);
    root(RFT_ROOT_MODULE, "app", 0);
    refer(0, 1);
    refer(1, 0);                          /* a cycle that is held */
    for (unsigned i = 2; i < 8; i += 2) { /* three of one shape */
        refer(i, i + 1);
        refer(i + 1, i);
        heap.objects[i].site = 7;
    }
    refer(2, 8);                   /* hangs on garbage */
    refer(9, 9);                   /* itself */
    refer(3, 1);                   /* garbage may refer to what lives */
    heap.objects[10].refcount = 0; /* being deallocated */
    refer(11, 11);
    heap.objects[11].refcount++; /* C code has it */
    look(&l);
    struct rft_cycles *cycles = calloc(1, sizeof *cycles);
    assert_true(rft_cycles_find(&l.graph, &l.paths, cycles));
    assert_int_equal(cycles->objects, 8);
    assert_int_equal(cycles->count, 2);
    assert_int_equal(cycles->cycles[0].cycles, 3);
    assert_int_equal(cycles->cycles[0].objects, 6);
    assert_int_equal(cycles->cycles[0].site, 7);
    assert_int_equal(cycles->cycles[0].steps, 2);
    const struct rft_step *steps = &cycles->steps[cycles->cycles[0].of];
    assert_int_equal(steps[0].holder, node_of(&l, 2));
    assert_int_equal(steps[1].holder, node_of(&l, 3));
    assert_int_equal(cycles->cycles[1].cycles, 1);
    assert_int_equal(cycles->cycles[1].steps, 1);
    assert_true(rft_node_is_garbage(&l.graph, &l.paths, node_of(&l, 8)));
    assert_false(rft_node_is_garbage(&l.graph, &l.paths, node_of(&l, 1)));
    assert_false(rft_node_is_garbage(&l.graph, &l.paths, node_of(&l, 10)));
    free(cycles);
    leave(&l);
}

/* ---- random heaps, against trying everything ---- */

static uint32_t random_state;
static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % limit;
}

static void random_heap(unsigned seed, unsigned count, unsigned edges)
{
    begin(count);
    random_state = seed;
    for (unsigned i = 0; i < edges; i++) {
        unsigned from = random_below(count);
        if (heap.objects[from].edge_count < EDGES) {
            refer(from, random_below(count));
        }
    }
    for (unsigned i = 0; i < 1 + random_below(4); i++) {
        root(RFT_ROOT_MODULE, "m", random_below(count));
    }
    for (unsigned i = 0; i < count; i++) {
        heap.objects[i].size = 1 + random_below(100);
        heap.objects[i].site = random_below(6);
        heap.objects[i].refcount += random_below(40) == 0; /* held by C */
    }
}

/* Which objects are reached from the tops (as the paths have marked them) without
 * `without`? distance: in steps, where that is wanted. */
static void reached(struct looked *l, int without, bool *out)
{
    unsigned queue[OBJECTS], head = 0, tail = 0;
    memset(out, 0, OBJECTS * sizeof *out);
    for (unsigned i = 0; i < heap.count; i++) {
        if ((int)i != without && (l->graph.flags[node_of(l, i)] & RFT_NODE_ROOT)) {
            out[i] = true;
            queue[tail++] = i;
        }
    }
    while (head < tail) {
        const struct made_up *object = &heap.objects[queue[head++]];
        for (unsigned e = 0; e < object->edge_count; e++) {
            unsigned to = (unsigned)(object->edges[e] - heap.objects);
            if (!out[to] && (int)to != without) {
                out[to] = true;
                queue[tail++] = to;
            }
        }
    }
}

static void retained_bytes_are_what_removal_frees(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++) {
        unsigned count = 2 + seed % 60;
        random_heap(seed, count, count * (1 + seed % 3));
        struct looked l;
        look(&l);
        struct rft_dominators d = {0};
        assert_true(rft_dominators_find(&l.graph, &l.paths, &d));
        bool with[OBJECTS], without[OBJECTS];
        reached(&l, -1, with);
        uint64_t by_site[101] = {0}, expected[101] = {0};
        for (unsigned i = 0; i < count; i++) {
            uint32_t number = d.number[node_of(&l, i)];
            assert_int_equal(number != 0, with[i]);
            if (!with[i]) {
                continue;
            }
            uint64_t freed = 0, objects = 0;
            reached(&l, (int)i, without);
            bool held_by_own = false;
            for (unsigned k = 0; k < count; k++) {
                if (with[k] && !without[k]) {
                    freed += heap.objects[k].size;
                    objects++;
                }
            }
            assert_int_equal(d.retained[number], freed);
            assert_int_equal(d.retained_objects[number], objects);
            for (unsigned k = 0; k < count && heap.objects[i].site != 0; k++) {
                if (k != i && with[k] && heap.objects[k].site == heap.objects[i].site) {
                    bool rest[OBJECTS];
                    reached(&l, (int)k, rest);
                    held_by_own |= !rest[i];
                }
            }
            if (heap.objects[i].site != 0 && !held_by_own) {
                expected[heap.objects[i].site] += freed;
            }
        }
        assert_true(rft_dominators_by_site(&l.graph, &d, by_site));
        assert_memory_equal(by_site, expected, sizeof expected);
        rft_dominators_deinit(&l.graph, &d);
        leave(&l);
    }
}

static void paths_are_as_short_as_can_be_and_garbage_is_what_has_none(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++) {
        unsigned count = 2 + seed % 120;
        random_heap(seed + 1000, count, count * (1 + seed % 3) / 2);
        for (unsigned i = 0; i < count; i++) { /* nothing by C */
            heap.objects[i].refcount = 0;
        }
        for (unsigned i = 0; i < count; i++) {
            for (unsigned e = 0; e < heap.objects[i].edge_count; e++) {
                heap.objects[i].edges[e]->refcount++;
            }
        }
        for (unsigned i = 0; i < heap.root_count; i++) {
            heap.roots[i].target->refcount++;
        }
        struct looked l;
        look(&l);
        unsigned distance[OBJECTS];
        for (unsigned i = 0; i < count; i++) {
            distance[i] = l.graph.flags[node_of(&l, i)] & RFT_NODE_ROOT ? 1 : OBJECTS + 1;
        }
        for (unsigned round = 0; round < count; round++) {
            for (unsigned i = 0; i < count; i++) {
                for (unsigned e = 0; distance[i] <= OBJECTS && e < heap.objects[i].edge_count;
                     e++) {
                    unsigned to = (unsigned)(heap.objects[i].edges[e] - heap.objects);
                    distance[to] = distance[i] + 1 < distance[to] ? distance[i] + 1 : distance[to];
                }
            }
        }
        for (unsigned i = 0; i < count; i++) {
            uint32_t node = node_of(&l, i);
            bool garbage = distance[i] > OBJECTS && heap.objects[i].refcount > 0;
            assert_int_equal(rft_node_is_garbage(&l.graph, &l.paths, node), garbage);
            if (distance[i] <= OBJECTS) {
                uint32_t nodes[RFT_PATH_STEPS_MAX];
                unsigned gap;
                uint64_t depth;
                rft_path_nodes(&l.paths, node, nodes, &gap, &depth);
                assert_int_equal(depth, distance[i]);
            }
        }
        struct rft_cycles *cycles = calloc(1, sizeof *cycles);
        assert_true(rft_cycles_find(&l.graph, &l.paths, cycles));
        for (unsigned i = 0; i < cycles->count; i++) {
            const struct rft_cycle *cycle = &cycles->cycles[i];
            for (unsigned k = 0; k < cycle->steps; k++) {
                const struct made_up *from =
                    (const void *)rft_node_object(&l.graph, cycles->steps[cycle->of + k].holder);
                const struct made_up *to = (const void *)rft_node_object(
                    &l.graph, cycles->steps[cycle->of + (k + 1) % cycle->steps].holder);
                bool refers = false;
                for (unsigned e = 0; e < from->edge_count; e++) {
                    refers |= from->edges[e] == to;
                }
                assert_true(refers);
            }
        }
        free(cycles);
        leave(&l);
    }
}

static void what_retains_most_is_told_once_a_chain(void **state)
{
    (void)state;
    struct looked l;
    begin(30);
    root(RFT_ROOT_MODULE, "app", 0);
    refer(0, 1); /* a module's dict, with a cache and a linked list */
    refer(1, 2);
    heap.objects[0].type = heap.objects[2].type = &other;
    for (unsigned i = 3; i < 10; i++) {
        refer(2, i);
        heap.objects[i].size = 100;
    }
    refer(1, 10);
    for (unsigned i = 10; i < 29; i++) {
        heap.objects[i].type = &collected;
        heap.objects[i].size = 20;
        refer(i, i + 1);
    }
    heap.objects[29].type = &collected;
    look(&l);
    struct rft_dominators d = {0};
    assert_true(rft_dominators_find(&l.graph, &l.paths, &d));
    uint32_t nodes[RFT_RETAINERS_MAX];
    unsigned count = rft_dominators_biggest(&l.graph, &d, nodes, RFT_RETAINERS_MAX);
    assert_true(count >= 3);
    assert_int_equal(nodes[0], node_of(&l, 1)); /* for app and its dict */
    assert_int_equal(nodes[1], node_of(&l, 2));
    assert_int_equal(nodes[2], node_of(&l, 10)); /* the list's head */
    rft_dominators_deinit(&l.graph, &d);
    leave(&l);
}

static void without_memory_or_time_a_part_is_told_to_be_one(void **state)
{
    (void)state;
    random_heap(5, OBJECTS, OBJECTS * 3);
    for (size_t pages = 0; pages < 1200; pages = pages * 3 / 2 + 1) {
        struct rft_graph graph = {0};
        struct rft_paths paths = {0};
        struct rft_dominators d = {0};
        bool built = rft_graph_build(&graph, &heap.host, 60000, pages * 4096);
        bool done = built && rft_graph_reverse(&graph) && rft_paths_find(&graph, &paths) &&
                    rft_dominators_find(&graph, &paths, &d);
        assert_true(done || graph.cut == RFT_CUT_MEMORY);
        assert_true(graph.memory.peak <= pages * 4096);
        rft_dominators_deinit(&graph, &d);
        rft_paths_deinit(&graph, &paths);
        rft_graph_deinit(&graph);
        assert_int_equal(graph.memory.used, 0);
    }
    struct rft_graph graph = {0};
    rft_graph_build(&graph, &heap.host, 0, (size_t)1 << 30);
    assert_int_equal(graph.cut, RFT_CUT_TIME);
    rft_graph_deinit(&graph);
}

static void an_object_that_may_be_in_the_making_is_not_looked_into(void **state)
{
    (void)state;
    struct looked l;
    begin(4);
    root(RFT_ROOT_MODULE, "app", 0);
    heap.objects[1].type = &collected;
    heap.objects[1].untracked = true;
    heap.objects[1].site = 1;
    heap.objects[1].refcount = 1;
    heap.objects[1].edge_count = 1;
    heap.objects[1].counted[0] = true;
    heap.objects[1].edges[0] = (struct made_up *)(uintptr_t)0xdd0; /* no address of an object */
    look(&l);
    assert_string_equal(path_text(&l, 1), "73:");
    leave(&l);
    heap.host.exact = false; /* its address may be stale: left alone altogether */
    look(&l);
    assert_int_equal(node_of(&l, 1), RFT_NO_NODE);
    leave(&l);
}

static void a_word_is_a_reference_if_it_explains_a_refcount(void **state)
{
    (void)state;
    struct looked l;
    begin(9);
    root(RFT_ROOT_MODULE, "app", 0);
    for (unsigned i = 1; i < 7; i++) {
        refer(0, i);
    }
    heap.objects[2].words[0] = &heap.objects[7]; /* owned: the one reference to 7 */
    heap.objects[7].refcount = 1;
    heap.objects[2].words[1] = &heap.objects[3]; /* borrowed: 3's refcount is explained */
    heap.objects[2].words[2] = (const void *)(uintptr_t)0x123;
    refer(4, 5); /* known as such: what else refers to 5 was leaked */
    heap.objects[4].words[0] = &heap.objects[5];
    heap.objects[5].refcount++;
    heap.objects[5].words[0] = &heap.objects[5]; /* itself */
    heap.objects[5].words[1] = &heap.objects[7]; /* one too many: 7 has no more to explain */
    heap.objects[6].words[0] = &heap.objects[8];
    heap.objects[6].words[1] = &heap.objects[8]; /* twice: one of two */
    heap.objects[8].refcount = 3;
    refer(6, 1);
    heap.objects[7].site = heap.objects[8].site = 1;
    heap.objects[7].untracked = heap.objects[8].untracked = true;
    look(&l);
    static const int64_t surpluses[] = {0, 0, 0, 0, 0, 1, 0, 0, 1};
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(rft_node_surplus(&l.graph, node_of(&l, i)), surpluses[i]);
    }
    assert_string_equal(path_text(&l, 7), "64:app 3:k2 3:k7");
    assert_string_equal(path_text(&l, 8), "64:app 3:k6 3:k8");
    assert_string_equal(path_text(&l, 1), "64:app 3:k1");
    leave(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shortest_path_from_a_named_root_is_found),
        cmocka_unit_test(a_root_that_does_not_count_names_the_path_and_retains_nothing),
        cmocka_unit_test(of_equal_roots_main_comes_first),
        cmocka_unit_test(no_path_goes_through_our_package_or_what_holds_everything),
        cmocka_unit_test(what_nothing_accounts_for_is_held_by_c),
        cmocka_unit_test(immortal_objects_are_not_audited_and_borrowed_references_hold_nothing),
        cmocka_unit_test(many_different_surpluses_are_put_together_and_none_is_lost),
        cmocka_unit_test(a_word_is_a_reference_if_it_explains_a_refcount),
        cmocka_unit_test(a_path_that_is_too_long_keeps_both_ends),
        cmocka_unit_test(samples_are_grouped_by_what_their_paths_have_in_common),
        cmocka_unit_test(garbage_is_found_with_its_cycle),
        cmocka_unit_test(retained_bytes_are_what_removal_frees),
        cmocka_unit_test(paths_are_as_short_as_can_be_and_garbage_is_what_has_none),
        cmocka_unit_test(what_retains_most_is_told_once_a_chain),
        cmocka_unit_test(without_memory_or_time_a_part_is_told_to_be_one),
        cmocka_unit_test(an_object_that_may_be_in_the_making_is_not_looked_into),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

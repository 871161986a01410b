/* Why is this object alive? The answer to one question, as text, for the Python package
 * (python/reftracer): shortest paths from where the program keeps things, and who refers to the
 * object directly. No trace is needed, and nothing of it is kept.
 *
 * Whoever asks has the object too: in the frames that lead to the question. These tell nothing,
 * so they are named only if nothing else holds the object. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "heap/heap.h"

#define EXPORT __attribute__((visibility("default")))
#define WHY_LEAST ((size_t)64 << 20)

enum {
    ANSWER_SIZE = 256 << 10,
    HOLDERS_MAX = 100,
    PATHS_MAX = 16,
    /* Kinds of roots that are the asker's, in struct rft_graph_root: of frames that called the
     * package, and of the package's own. */
    ASKER = 0x80,
    OURS = 0xFF,
};

static const char *const words[] = {
    [RFT_EDGE_REFERENCE] = "reference",
    [RFT_EDGE_ATTRIBUTE] = "attribute",
    [RFT_EDGE_DICT_KEY] = "dict key",
    [RFT_EDGE_DICT_VALUE] = "dict value",
    [RFT_EDGE_ITEM] = "item",
    [RFT_EDGE_MEMBER] = "member",
    [RFT_EDGE_CELL] = "cell",
    [RFT_EDGE_LOCAL] = "local",
    [RFT_EDGE_STACK] = "value stack",
    [RFT_EDGE_CLOSURE] = "closure",
    [RFT_EDGE_GLOBALS] = "globals",
    [RFT_EDGE_FUNCTION] = "function",
    [RFT_EDGE_SELF] = "self",
    [RFT_EDGE_CALLBACK] = "callback",
    [RFT_EDGE_TYPE] = "type",
    [RFT_EDGE_TYPE_SLOT] = "type slot",
    [RFT_EDGE_MODULE_STATE] = "module state",
    [RFT_EDGE_FRAME] = "frame",
    [RFT_EDGE_EXCEPTION] = "exception",
    [RFT_EDGE_DEFAULT] = "default",
    [RFT_EDGE_CODE] = "code",
    [RFT_EDGE_DESCRIPTOR] = "descriptor",
    [RFT_EDGE_LEFT_OUT] = "left out",
    [RFT_ROOT_MODULE] = "root module",
    [RFT_ROOT_LOCAL] = "root local",
    [RFT_ROOT_STACK] = "root value stack",
    [RFT_ROOT_BUILTINS] = "root builtins",
    [RFT_ROOT_SYS] = "root sys",
    [RFT_ROOT_INTERPRETER] = "root interpreter",
    [RFT_ROOT_THREAD] = "root thread",
    [RFT_ROOT_STATIC_TYPE] = "root static type",
    [RFT_ROOT_ATEXIT] = "root atexit",
    [RFT_ROOT_C] = "root C",
    [RFT_ROOT_INTERNED] = "root interned",
    [RFT_ROOT_GARBAGE] = "root garbage",
};
_Static_assert(sizeof words / sizeof *words == RFT_ROOT_END, "a word for each kind");

/* The one question at a time: the GIL is held. */
static struct {
    const char *tstate; /* who asks */
    uint32_t own_frames;
    char *text;
    size_t length;
} answer;

struct why {
    struct rft_graph graph;
    struct rft_heap_host host;
    uint32_t *parent, *order;
    uint32_t reached, head;
    uint32_t object;
};

/* ---- text ---- */

static void put(const char *bytes, size_t length)
{
    if (answer.length + length < ANSWER_SIZE) {
        memcpy(answer.text + answer.length, bytes, length);
        answer.length += length;
        answer.text[answer.length] = 0;
    }
}

/* One field of a line: tab, newline, backslash and other control characters are escaped. */
static void field(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        char escaped[8];
        int n = c == '\\'              ? snprintf(escaped, sizeof escaped, "\\\\")
                : c == '\t'            ? snprintf(escaped, sizeof escaped, "\\t")
                : c == '\n'            ? snprintf(escaped, sizeof escaped, "\\n")
                : c < 0x20 || c == 127 ? snprintf(escaped, sizeof escaped, "\\x%02x", c)
                                       : snprintf(escaped, sizeof escaped, "%c", c);
        put(escaped, (size_t)n);
    }
}

static void text_field(const char *text)
{
    put("\t", 1);
    field(text, strlen(text));
}

static void number_field(long long number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", number);
    text_field(text);
}

static void type_field(const struct why *why, uint32_t node)
{
    char name[256] = "";
    if (node != RFT_NO_NODE) {
        size_t length = rft_type_text(rft_node_object(&why->graph, node), name, sizeof name - 1);
        name[length] = 0;
    }
    text_field(name);
}

/* ---- the graph ---- */

struct given {
    int (*visit)(const struct rft_root *root, void *arg);
    void *arg;
};

static int on_root(const struct rft_root *root, void *arg)
{
    const struct given *given = arg;
    struct rft_root changed = *root;
    if (root->tstate == answer.tstate) {
        changed.kind = root->frame < answer.own_frames ? OURS : root->kind | ASKER;
    }
    return given->visit(&changed, given->arg);
}

static int roots_each(void *tstate, int (*visit)(const struct rft_root *root, void *arg), void *arg)
{
    struct given given = {visit, arg};
    return rft_roots_each(tstate, on_root, &given);
}

static void no_survivors(void (*visit)(const void *op, uint32_t site, uint32_t birth, void *arg),
                         void *arg, void *context)
{
    (void)visit;
    (void)arg;
    (void)context;
}

static uint32_t no_size(const void *op, void *context)
{
    (void)op;
    (void)context;
    return 0;
}

/* In which order roots are tried: where a program keeps things, where the interpreter does, the
 * frames of whoever asks. C code's references come after these. */
enum tier { TIER_NAMED, TIER_RUNTIME, TIER_ASKER, TIER_C, TIERS };

static enum tier tier_of(unsigned kind)
{
    if (kind & ASKER) {
        return kind == OURS ? TIERS : TIER_ASKER;
    }
    switch (kind) {
    case RFT_ROOT_MODULE:
    case RFT_ROOT_LOCAL:
    case RFT_ROOT_STACK:
    case RFT_ROOT_THREAD:
    case RFT_ROOT_ATEXIT:
        return TIER_NAMED;
    default:
        return TIER_RUNTIME;
    }
}

static void reach(struct why *why, uint32_t node, uint32_t from)
{
    if (why->parent[node] == RFT_UNREACHED) {
        why->parent[node] = from;
        why->order[why->reached++] = node;
    }
}

/* The object itself is not gone through: what it refers to does not hold it. */
static bool expand(struct why *why, enum tier tier)
{
    struct rft_graph *graph = &why->graph;
    while (why->head < why->reached) {
        uint32_t node = why->order[why->head++];
        if (why->head % 65536 == 0 && !rft_graph_in_time(graph)) {
            return false;
        }
        bool passed = graph->flags[node] & (RFT_NODE_OURS | RFT_NODE_PASSED_OVER);
        if (node == why->object || (passed && tier <= TIER_RUNTIME)) {
            continue;
        }
        for (uint32_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
            if (!(graph->target[e] & RFT_EDGE_BORROWED)) {
                reach(why, graph->target[e], node);
            }
        }
    }
    return true;
}

static bool search(struct why *why)
{
    struct rft_graph *graph = &why->graph;
    memset(why->parent, 0xff, (size_t)graph->count * sizeof *why->parent);
    for (enum tier tier = TIER_NAMED; tier < TIERS; tier++) {
        if (tier == TIER_ASKER) {
            why->head = 0; /* what was passed over */
        }
        for (uint32_t i = 0; i < graph->root_count && tier != TIER_C; i++) {
            const struct rft_graph_root *root = &graph->roots[i];
            bool own = graph->flags[root->node] & RFT_NODE_OURS && tier <= TIER_RUNTIME;
            if (tier_of(root->kind) == tier && !own) {
                reach(why, root->node, RFT_FROM_ROOT | i);
            }
        }
        for (uint32_t node = 0; node < graph->count && tier == TIER_C; node++) {
            if (rft_node_surplus(graph, node) > 0) {
                reach(why, node, RFT_FROM_ROOT | RFT_ROOT_NUMBER_C);
            }
        }
        if (!expand(why, tier)) {
            return false;
        }
    }
    return true;
}

/* Where does the path to a node begin? */
static enum tier origin(const struct why *why, uint32_t node)
{
    if (why->parent[node] == RFT_UNREACHED) {
        return TIERS;
    }
    while (!(why->parent[node] & RFT_FROM_ROOT)) {
        node = why->parent[node];
    }
    uint32_t number = why->parent[node] & ~RFT_FROM_ROOT;
    return number == RFT_ROOT_NUMBER_C ? TIER_C : tier_of(why->graph.roots[number].kind);
}

/* ---- paths and holders ---- */

static void step_line(const char *what, const struct why *why, unsigned kind, uint32_t holder,
                      const char *label, size_t label_length, uint64_t index, const char *detail,
                      size_t detail_length)
{
    put(what, strlen(what));
    text_field(kind < RFT_ROOT_END && words[kind] != NULL ? words[kind] : "reference");
    type_field(why, holder);
    put("\t", 1);
    field(label, label_length);
    if (kind == RFT_EDGE_ITEM || kind == RFT_EDGE_LEFT_OUT) {
        number_field((long long)index);
    } else {
        text_field("");
    }
    put("\t", 1);
    field(detail, detail_length);
    put("\n", 1);
}

static void root_line(const char *what, const struct why *why, uint32_t number)
{
    if (number == RFT_ROOT_NUMBER_C) {
        step_line(what, why, RFT_ROOT_C, RFT_NO_NODE, "", 0, 0, "", 0);
        return;
    }
    const struct rft_graph_root *root = &why->graph.roots[number];
    size_t label_length = 0, detail_length = 0;
    const char *label = rft_text_of(&why->graph, root->label, &label_length);
    const char *detail = rft_text_of(&why->graph, root->detail, &detail_length);
    step_line(what, why, root->kind & ~ASKER, RFT_NO_NODE, label, label_length, 0, detail,
              detail_length);
}

static void label_line(const char *what, const struct why *why, uint32_t holder,
                       const struct rft_label *label)
{
    step_line(what, why, label->kind, holder, label->text, label->length, label->index, "", 0);
}

/* The path to `holder`, then the object; or, with RFT_NO_NODE, to the object itself. */
static void write_path(const struct why *why, uint32_t holder)
{
    uint32_t nodes[RFT_PATH_STEPS_MAX + 1];
    const void *objects[RFT_PATH_STEPS_MAX + 1];
    struct rft_label labels[RFT_PATH_STEPS_MAX + 1];
    struct rft_paths paths = {.parent = why->parent};
    unsigned gap = 0;
    uint64_t depth;
    uint32_t end = holder == RFT_NO_NODE ? why->object : holder;
    unsigned count = rft_path_nodes(&paths, end, nodes, &gap, &depth);
    uint32_t root = why->parent[nodes[0]] & ~RFT_FROM_ROOT;
    if (holder != RFT_NO_NODE) {
        nodes[count++] = why->object;
    }
    for (unsigned i = 0; i < count; i++) {
        objects[i] = rft_node_object(&why->graph, nodes[i]);
    }
    struct rft_root begin = {0};
    if (root != RFT_ROOT_NUMBER_C) {
        begin.kind = why->graph.roots[root].kind & (unsigned char)~ASKER;
        begin.label = rft_text_of(&why->graph, why->graph.roots[root].label, &begin.label_length);
    }
    unsigned before = gap != 0 ? gap : count;
    rft_labels_of(objects, before, begin.label != NULL ? &begin : NULL, labels);
    if (gap != 0) {
        rft_labels_of(objects + gap, count - gap, NULL, labels + gap);
    }
    put("path\n", 5);
    root_line("step", why, root);
    for (unsigned i = 0; i + 1 < count; i++) {
        if (gap != 0 && i + 1 == gap) {
            step_line("step", why, RFT_EDGE_LEFT_OUT, RFT_NO_NODE, "", 0,
                      depth - (count - (holder != RFT_NO_NODE)), "", 0);
        } else {
            label_line("step", why, nodes[i], &labels[i]);
        }
    }
}

static uint64_t depth_of(const struct why *why, uint32_t node)
{
    uint64_t depth = 0;
    for (; !(why->parent[node] & RFT_FROM_ROOT); node = why->parent[node]) {
        depth++;
    }
    return depth;
}

static bool nearer(const struct why *why, uint32_t a, uint32_t b)
{
    enum tier a_tier = origin(why, a), b_tier = origin(why, b);
    return a_tier != b_tier ? a_tier < b_tier : depth_of(why, a) < depth_of(why, b);
}

/* Who refers to the object and is held as well as the object itself is: not the asker's, unless
 * nobody else does. */
static unsigned direct_holders(const struct why *why, enum tier worst, uint32_t *holders)
{
    const struct rft_graph *graph = &why->graph;
    unsigned count = 0;
    for (uint32_t node = 0; node < graph->count && count < HOLDERS_MAX; node++) {
        for (uint32_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
            if (graph->target[e] == why->object) {
                enum tier tier = origin(why, node);
                if (tier <= worst) {
                    holders[count++] = node;
                }
                break;
            }
        }
    }
    return count;
}

/* whole: the search came to its end. Otherwise what no path leads to may be held by anybody, and
 * what is not explained yet looks like references of C code: then nothing is said of these. */
static void write_answer(const struct why *why, unsigned path_count, bool whole)
{
    const struct rft_graph *graph = &why->graph;
    uint32_t holders[HOLDERS_MAX];
    enum tier own = origin(why, why->object);
    enum tier worst = own <= TIER_RUNTIME ? TIER_RUNTIME : own;
    unsigned count = direct_holders(why, worst, holders);
    if (!whole && own >= TIER_C) {
        path_count = 0;
    } else if (own == TIERS && count > 0) { /* not held by the package's own frames alone */
        put("path\n", 5);
        step_line("step", why, RFT_ROOT_GARBAGE, RFT_NO_NODE, "", 0, 0, "", 0);
    }
    for (unsigned paths = 0; own != TIERS && paths < path_count; paths++) {
        /* The next shortest: the object's own first, then through its other holders. */
        uint32_t best = RFT_NO_NODE;
        if (paths > 0) {
            uint32_t first = why->parent[why->object];
            for (unsigned i = 0; i < count; i++) {
                if (holders[i] != RFT_UNREACHED && holders[i] != first &&
                    holders[i] != why->object &&
                    (best == RFT_NO_NODE || nearer(why, holders[i], best))) {
                    best = holders[i];
                }
            }
            if (best == RFT_NO_NODE) {
                break;
            }
        }
        write_path(why, best);
        for (unsigned i = 0; i < count && best != RFT_NO_NODE; i++) {
            holders[i] = holders[i] == best ? RFT_UNREACHED : holders[i];
        }
    }
    count = direct_holders(why, worst, holders);
    for (uint32_t i = 0; i < graph->root_count; i++) {
        if (graph->roots[i].node == why->object && graph->roots[i].kind != OURS &&
            tier_of(graph->roots[i].kind) <= worst) {
            root_line("holder", why, i);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        struct rft_label label;
        rft_label_of(rft_node_object(graph, holders[i]), rft_node_object(graph, why->object),
                     &label);
        label_line("holder", why, holders[i], &label);
    }
}

static const char *prepare(struct why *why)
{
    static bool prepared;
    if (!prepared && tracer.py.runtime == NULL) {
        const char *error = rft_prepare();
        if (error != NULL) {
            return error;
        }
    }
    prepared = true;
    char *tstate = tracer.py.thread_state();
    if (tstate == NULL) {
        return "the calling thread has no thread state";
    }
    if (!rft_edges_prepare(&tracer.layout, tracer.py.runtime, rft_symbol)) {
        return rft_edges_refused();
    }
    if (tracer.py.visit_gc_objects == NULL) {
        return "this CPython has no PyUnstable_GC_VisitObjects";
    }
    if (rft_collector_runs(tstate)) {
        return "the cycle collector is at work";
    }
    if (answer.text == NULL) {
        answer.text = rft_pages_alloc(ANSWER_SIZE);
        if (answer.text == NULL) {
            return "there is no memory for the answer";
        }
    }
    answer.tstate = tstate;
    const char *interpreter;
    memcpy(&interpreter, tstate + tracer.layout.at[RFT_THREAD_INTERP], sizeof interpreter);
    why->host = (struct rft_heap_host){
        .layout = &tracer.layout,
        .tstate = tstate,
        .each_tracked = tracer.py.visit_gc_objects,
        .each_survivor = no_survivors,
        .size = no_size,
        .edges_each = rft_edges_each,
        .edges_hidden = rft_edges_hidden,
        .roots_each = roots_each,
        .label_of = rft_label_of,
    };
    memcpy(&why->host.passed_over[0], interpreter + tracer.layout.at[RFT_INTERP_MODULES],
           sizeof why->host.passed_over[0]);
    return NULL;
}

static const char *refuse(const char *reason)
{
    static char text[256];
    snprintf(text, sizeof text, "error\t%s\n", reason);
    return text;
}

static const char *ask(void *object, unsigned own_frames, unsigned ms, unsigned paths)
{
    struct why why = {.object = RFT_NO_NODE};
    answer.own_frames = own_frames;
    answer.length = 0;
    const char *error = prepare(&why);
    if (error != NULL) {
        return refuse(error);
    }
    uint64_t begin = rft_heap_clock();
    struct rft_graph *graph = &why.graph;
    bool built = rft_graph_build(graph, &why.host, ms, rft_memory_to_spare(WHY_LEAST));
    why.object = built ? rft_graph_find(graph, object) : RFT_NO_NODE;
    size_t size = (size_t)graph->count * sizeof *why.parent;
    if (why.object == RFT_NO_NODE) {
        rft_graph_deinit(graph);
        rft_edges_end();
        return refuse(graph->cut == RFT_CUT_TIME     ? "the time was over before it was found"
                      : graph->cut == RFT_CUT_MEMORY ? "there is too little memory"
                                                     : "nothing refers to it but C code");
    }
    why.parent = rft_heap_alloc(&graph->memory, size);
    why.order = rft_heap_alloc(&graph->memory, size);
    if (why.parent == NULL || why.order == NULL) {
        error = "there is too little memory";
    } else {
        bool whole = search(&why) && graph->cut == RFT_WHOLE;
        put("heap", 4);
        number_field(graph->count);
        number_field((long long)graph->edges);
        number_field((long long)((rft_heap_clock() - begin) / 1000000));
        number_field(!whole);
        put("\nobject", 7);
        type_field(&why, why.object);
        number_field((long long)rft_node_refcount(graph, why.object));
        number_field(graph->found[why.object]);
        number_field((graph->flags[why.object] & RFT_NODE_IMMORTAL) != 0);
        put("\n", 1);
        write_answer(&why, paths < PATHS_MAX ? paths : PATHS_MAX, whole);
    }
    rft_heap_free(&graph->memory, why.parent, size);
    rft_heap_free(&graph->memory, why.order, size);
    rft_graph_deinit(graph);
    rft_edges_end();
    return error != NULL ? refuse(error) : answer.text;
}

/* Why is this object alive? Needs the GIL; makes no object, keeps no reference.
 *
 * object: must live. The caller holds it, and its innermost `own_frames` Python frames are left
 * out altogether. ms: for at most so long. paths: at most so many, shortest first.
 *
 * Returns lines of fields between tabs, in which tab, newline, backslash and control characters
 * are escaped as in C; good until the next call.
 *   error    why there is no answer
 *   heap     objects, references, ms it took, 1 if it is of a part of the heap only
 *   object   type, refcount, references found, 1 if immortal
 *   path     a path begins; none: nobody holds it but the question
 *   step     what the reference is, type of the holder (none: a root), its name, index, detail
 *   holder   the same, of each direct reference to the object */
EXPORT const char *reftracer_why(void *object, unsigned own_frames, unsigned ms, unsigned paths)
{
    /* Who asks through ctypes has the address in an object, whose words are looked through for
     * references that no tp_traverse tells of (heap/guesses.c): an odd word is none. */
    object = (char *)object - (uintptr_t)object % 2;
    rft_survey_lock(); /* an interpreter with a GIL of its own may be looked through meanwhile */
    const char *text = ask(object, own_frames, ms, paths);
    rft_survey_unlock();
    return text;
}

/* Who waits for whom: locks that other threads have, threads that are joined. */
#include "report/inspect.h"

#include <stdlib.h>
#include <string.h>

enum {
    NAMED = 4, /* threads that a hint names, at most */
    HELD = 4,  /* locks that a hint is made of, at most */
    NONE = 1 << 30,
};

/* A thread of the snapshot. */
struct node {
    const struct rft_thread *thread;
    size_t next;   /* the one that it waits for; NONE: nobody */
    size_t walk;   /* in which walk it was met; 0: not yet */
    bool circular; /* it is part of a circle */
};

struct graph {
    struct node *nodes; /* by address */
    size_t count;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

/* --- words -------------------------------------------------------------------------------- */

/* "the lock that 'worker' (12) took at app.py:9 run" */
static void add_what(struct rft_strbuf *to, const struct rft_wait *wait,
                     const struct rft_thread *holder, bool itself)
{
    if (wait->kind == RFT_WAIT_THREAD) {
        inspect_add_thread(to, holder);
        rft_strbuf_add(to, " to end");
        return;
    }
    if (wait->kind == RFT_WAIT_MODULE)
        rft_strbuf_format(to, "module %s, which ", wait->name[0] != '\0' ? wait->name : "?");
    else
        rft_strbuf_add(to, wait->kind == RFT_WAIT_RLOCK ? "the RLock that " : "the Lock that ");
    if (itself)
        rft_strbuf_add(to, "it");
    else
        inspect_add_thread(to, holder);
    if (wait->kind == RFT_WAIT_MODULE)
        rft_strbuf_add(to, " imports");
    else if (wait->function[0] == '\0')
        rft_strbuf_add(to, itself ? " has itself" : " has");
    else if (wait->line > 0)
        rft_strbuf_format(to, " took%s at %s:%d %s", itself ? " itself" : "", base_name(wait->file),
                          wait->line, wait->function);
    else
        rft_strbuf_format(to, " has%s, by `with` in %s %s", itself ? " itself" : "",
                          base_name(wait->file), wait->function);
}

const struct rft_thread *inspect_waits_for(const struct inspect_look *look,
                                           const struct rft_thread *thread)
{
    const struct rft_wait *wait = thread->waits_for;
    const struct past_thread *holder =
        wait != NULL && wait->holder != 0 ? inspect_past_thread(look->past, wait->holder) : NULL;
    return holder != NULL ? holder->now : NULL;
}

void inspect_add_wait(struct rft_strbuf *to, const struct inspect_look *look,
                      const struct rft_thread *thread)
{
    const struct rft_thread *holder = inspect_waits_for(look, thread);
    if (thread->waits_for != NULL && thread->waits_for->kind == RFT_WAIT_SHARED)
        rft_strbuf_add(to, "waits for a semaphore that processes share");
    if (holder == NULL)
        return;
    rft_strbuf_add(to, "waits for ");
    switch (thread->waits_for->kind) {
    case RFT_WAIT_THREAD:
        inspect_add_thread(to, holder);
        rft_strbuf_add(to, " to end");
        return;
    case RFT_WAIT_MODULE:
        inspect_add_thread(to, holder);
        rft_strbuf_format(to, " to import %s", thread->waits_for->name);
        return;
    case RFT_WAIT_RLOCK:
        rft_strbuf_add(to, "an RLock that ");
        break;
    default:
        rft_strbuf_add(to, "a Lock that ");
        break;
    }
    if (holder == thread)
        rft_strbuf_add(to, "it has itself");
    else {
        inspect_add_thread(to, holder);
        rft_strbuf_add(to, " has");
    }
}

/* --- the graph ------------------------------------------------------------------------------ */

static int by_address(const void *left, const void *right)
{
    const struct node *a = left, *b = right;
    return (a->thread->address > b->thread->address) - (a->thread->address < b->thread->address);
}

/* Without memory it has no nodes; so it has where nobody waits for another. */
static bool make_graph(struct graph *graph, const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    size_t total = 0, waiting = 0;
    *graph = (struct graph){0};
    for (size_t i = 0; i < snapshot->interpreter_count; i++) {
        total += snapshot->interpreters[i].thread_count;
        for (size_t j = 0; j < snapshot->interpreters[i].thread_count; j++)
            waiting += inspect_waits_for(look, &snapshot->interpreters[i].threads[j]) != NULL;
    }
    if (waiting == 0)
        return true;
    graph->nodes = calloc(total, sizeof *graph->nodes);
    if (graph->nodes == NULL)
        return false;
    for (size_t i = 0; i < snapshot->interpreter_count; i++)
        for (size_t j = 0; j < snapshot->interpreters[i].thread_count; j++)
            graph->nodes[graph->count++] =
                (struct node){.thread = &snapshot->interpreters[i].threads[j], .next = NONE};
    qsort(graph->nodes, graph->count, sizeof *graph->nodes, by_address);
    for (size_t i = 0; i < graph->count; i++) {
        struct node wanted = {.thread = inspect_waits_for(look, graph->nodes[i].thread)};
        const struct node *next =
            wanted.thread != NULL
                ? bsearch(&wanted, graph->nodes, graph->count, sizeof *graph->nodes, by_address)
                : NULL;
        if (next != NULL)
            graph->nodes[i].next = (size_t)(next - graph->nodes);
    }
    return true;
}

/* --- circles -------------------------------------------------------------------------------- */

static void add_member(struct rft_strbuf *text, const struct inspect_look *look,
                       const struct node *node)
{
    const struct rft_thread *holder = inspect_waits_for(look, node->thread);
    inspect_add_thread(text, node->thread);
    rft_strbuf_add(text, " at ");
    inspect_add_waiting_place(text, node->thread);
    rft_strbuf_add(text, " waits for ");
    add_what(text, node->thread->waits_for, holder, holder == node->thread);
}

/* Stacks are read one after the other, and what threads sleep in after that: what looks like a
 * circle may be two moments. If nobody has moved since the look before, it is one. */
static unsigned unmoved(const struct inspect_look *look, const struct rft_thread *thread,
                        uint64_t *since_ns)
{
    const struct past_thread *seen = inspect_past_thread(look->past, thread->address);
    if (seen != NULL && seen->unmoved_since_ns > *since_ns)
        *since_ns = seen->unmoved_since_ns;
    return seen != NULL ? seen->unmoved : 1;
}

struct circle {
    size_t count, timed;
    bool exact;     /* everybody says so himself: no `with` block is needed to know it */
    unsigned looks; /* in which nobody has moved */
    uint64_t since_ns;
};

static struct circle measure(const struct inspect_look *look, struct graph *graph, size_t first)
{
    struct circle circle = {.exact = true, .looks = UINT32_MAX};
    size_t at = first;
    do {
        struct node *node = &graph->nodes[at];
        unsigned looks = unmoved(look, node->thread, &circle.since_ns);
        node->circular = true;
        circle.count++;
        circle.timed += node->thread->waits_timed;
        circle.exact = circle.exact && node->thread->waits_for->kind != RFT_WAIT_LOCK;
        circle.looks = looks < circle.looks ? looks : circle.looks;
        at = node->next;
    } while (at != first);
    return circle;
}

static bool hint_circle(struct inspect_hints *hints, const struct inspect_look *look,
                        struct graph *graph, size_t first)
{
    struct circle circle = measure(look, graph, first);
    bool seen = look->kind == RFT_SPACE_CORE || circle.looks > 1;
    bool deadlock = seen && circle.timed == 0;
    /* A block may release its Lock and take it again: for one thread that is no proof. */
    bool likely = circle.count == 1 && !circle.exact;
    struct rft_strbuf text = {0};
    if (circle.count > 1 && deadlock)
        rft_strbuf_format(&text, "Deadlock of %zu threads", circle.count);
    else if (circle.count > 1)
        rft_strbuf_format(&text, "%zu threads wait for each other in a circle", circle.count);
    else
        rft_strbuf_add(&text, likely || !deadlock ? "A thread waits for itself" : "Deadlock");
    if (circle.looks > 1 && circle.looks != UINT32_MAX) {
        rft_strbuf_format(&text, ", unmoved for %u looks (", circle.looks);
        inspect_add_duration(&text, look->past->now_ns - circle.since_ns);
        rft_strbuf_add_char(&text, ')');
    } else if (!seen) {
        rft_strbuf_add(&text, ", in this look");
    }
    rft_strbuf_add(&text, ": ");
    size_t at = first;
    for (size_t named = 0; named < circle.count && named < NAMED; named++) {
        if (named > 0)
            rft_strbuf_add(&text, "; ");
        add_member(&text, look, &graph->nodes[at]);
        at = graph->nodes[at].next;
    }
    if (circle.count > NAMED)
        rft_strbuf_format(&text, "; and %zu more", circle.count - NAMED);
    if (circle.timed > 0)
        rft_strbuf_add(&text, ". Nothing moves until a time limit is over.");
    else if (!seen)
        rft_strbuf_add(&text, ". If the next look shows the same, it is a deadlock.");
    else if (likely)
        rft_strbuf_add(&text, ", likely a deadlock: a Lock can't be taken twice.");
    else if (circle.exact)
        rft_strbuf_add(&text,
                       circle.count == 1 ? ". It can't go on." : ". None of them can go on.");
    else
        rft_strbuf_add(&text, ". None of them can go on unless somebody else releases a Lock.");
    hints->circles += seen;
    return inspect_hints_add(hints, deadlock ? "deadlock" : "lock",
                             deadlock ? INK_BAD : INK_CAUTION, NULL, &text);
}

/* The next circle that is found from node *from on: one of its nodes; NONE: there is no more. */
static size_t next_circle(struct graph *graph, size_t *from)
{
    for (size_t i; (i = (*from)++) < graph->count;) {
        size_t at = i;
        while (at != NONE && graph->nodes[at].walk == 0) {
            graph->nodes[at].walk = i + 1;
            at = graph->nodes[at].next;
        }
        if (at != NONE && graph->nodes[at].walk == i + 1)
            return at;
    }
    return NONE;
}

bool inspect_has_circle(const struct inspect_look *look)
{
    struct graph graph;
    size_t from = 0;
    bool found = make_graph(&graph, look) && next_circle(&graph, &from) != NONE;
    free(graph.nodes);
    return found;
}

static bool hint_circles(struct inspect_hints *hints, const struct inspect_look *look,
                         struct graph *graph)
{
    bool fine = true;
    for (size_t from = 0, first; fine && (first = next_circle(graph, &from)) != NONE;)
        fine = hint_circle(hints, look, graph, first);
    return fine;
}

/* --- locks that somebody has ------------------------------------------------------------------ */

static int by_lock(const void *left, const void *right)
{
    const struct rft_thread *a = *(const struct rft_thread *const *)left,
                            *b = *(const struct rft_thread *const *)right;
    if (a->waits_for->object != b->waits_for->object)
        return a->waits_for->object < b->waits_for->object ? -1 : 1;
    return (a->address > b->address) - (a->address < b->address);
}

static bool hint_lock(struct inspect_hints *hints, const struct inspect_look *look,
                      const struct rft_thread *const *waiting, size_t count)
{
    const struct rft_thread *holder = inspect_waits_for(look, waiting[0]);
    struct rft_strbuf text = {0};
    if (count == 1) {
        inspect_add_thread(&text, waiting[0]);
        rft_strbuf_add(&text, " waits for ");
    } else {
        rft_strbuf_format(&text, "%zu threads wait for ", count);
    }
    add_what(&text, waiting[0]->waits_for, holder, false);
    if (inspect_innermost(holder) != NULL) {
        rft_strbuf_add(&text, ". It is now at ");
        inspect_add_waiting_place(&text, holder);
        if (holder->waits_in[0] != '\0')
            rft_strbuf_format(&text, ", in %s", holder->waits_in);
        else if (holder->gil == RFT_GIL_WAITS)
            rft_strbuf_add(&text, ", and waits for the GIL");
        if (holder->state == RFT_THREAD_GONE)
            rft_strbuf_add(&text, ", and has ended in the system: nobody will release it");
        if (inspect_waits_for(look, holder) != NULL) {
            rft_strbuf_add(&text, ", and ");
            inspect_add_wait(&text, look, holder);
        }
    }
    rft_strbuf_add_char(&text, '.');
    return inspect_hints_add(hints, "lock", count > 1 ? INK_CAUTION : INK_PLAIN, NULL, &text);
}

/* The locks with the most threads waiting, of those that no circle explains. */
static bool hint_locks(struct inspect_hints *hints, const struct inspect_look *look,
                       const struct graph *graph)
{
    const struct rft_thread **waiting = malloc(sizeof *waiting * (graph->count + 1));
    size_t count = 0;
    bool fine = waiting != NULL;
    for (size_t i = 0; fine && i < graph->count; i++)
        if (graph->nodes[i].next != NONE && !graph->nodes[i].circular &&
            graph->nodes[i].thread->waits_for->kind != RFT_WAIT_THREAD)
            waiting[count++] = graph->nodes[i].thread;
    if (fine && count > 0)
        qsort(waiting, count, sizeof *waiting, by_lock);
    size_t last = SIZE_MAX; /* they come in the order of their number */
    for (size_t told = 0; fine && told < HELD && last > 0;) {
        size_t most = 0;
        for (size_t first = 0, next; first < count; first = next) {
            for (next = first + 1; next < count && waiting[next]->waits_for->object ==
                                                       waiting[first]->waits_for->object;)
                next++;
            if (next - first < last && next - first > most)
                most = next - first;
        }
        for (size_t first = 0, next; fine && most > 0 && told < HELD && first < count;
             first = next) {
            for (next = first + 1; next < count && waiting[next]->waits_for->object ==
                                                       waiting[first]->waits_for->object;)
                next++;
            if (next - first == most) {
                fine = hint_lock(hints, look, waiting + first, most);
                told++;
            }
        }
        last = most;
    }
    free(waiting);
    return fine;
}

bool inspect_hint_waits(struct inspect_hints *hints, const struct inspect_look *look)
{
    struct graph graph;
    bool fine = make_graph(&graph, look) && hint_circles(hints, look, &graph) &&
                hint_locks(hints, look, &graph);
    free(graph.nodes);
    return fine;
}

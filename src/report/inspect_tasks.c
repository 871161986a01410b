/* asyncio tasks as a tree: below a task stand those that it waits for. */
#include "report/inspect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX

enum {
    LEVELS = 100, /* of the tree; further ones are only named */
    INDENTED = 8, /* levels after which nothing goes further to the right */
};

/* `waiter` waits for `task`; both are numbers of the interpreter's tasks. */
struct wait {
    uint32_t waiter, task;
};

struct task_graph {
    const struct rft_interpreter *interpreter;
    uint32_t count;
    uint32_t *by_address; /* tasks in order of their address */
    struct wait *waits;   /* in order of the waiter */
    size_t wait_count;
    uint32_t *waiters; /* for each task: how many wait for it */
    bool *shown;
};

static void deinit(struct task_graph *graph)
{
    free(graph->by_address);
    free(graph->waits);
    free(graph->waiters);
    free(graph->shown);
}

static int by_address(const void *left, const void *right, void *data)
{
    const struct rft_task *tasks = data;
    rft_address a = tasks[*(const uint32_t *)left].address;
    rft_address b = tasks[*(const uint32_t *)right].address;
    return (a > b) - (a < b);
}

static int by_waiter(const void *left, const void *right)
{
    const struct wait *a = left, *b = right;
    if (a->waiter != b->waiter)
        return a->waiter < b->waiter ? -1 : 1;
    return (a->task > b->task) - (a->task < b->task);
}

static uint32_t find(const struct task_graph *graph, rft_address address)
{
    uint32_t low = 0, high = graph->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (graph->interpreter->tasks[graph->by_address[middle]].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == graph->count)
        return NOBODY;
    uint32_t task = graph->by_address[low];
    return graph->interpreter->tasks[task].address == address ? task : NOBODY;
}

static bool init(struct task_graph *graph, const struct rft_interpreter *interpreter)
{
    *graph = (struct task_graph){.interpreter = interpreter};
    if (interpreter->task_count >= UINT32_MAX)
        return false;
    graph->count = (uint32_t)interpreter->task_count;
    size_t waits = 0;
    for (uint32_t i = 0; i < graph->count; i++)
        waits += interpreter->tasks[i].awaited_by_count;
    graph->by_address = calloc(graph->count + 1u, sizeof *graph->by_address);
    graph->waits = calloc(waits + 1, sizeof *graph->waits);
    graph->waiters = calloc(graph->count + 1u, sizeof *graph->waiters);
    graph->shown = calloc(graph->count + 1u, sizeof *graph->shown);
    if (graph->by_address == NULL || graph->waits == NULL || graph->waiters == NULL ||
        graph->shown == NULL)
        return false;
    for (uint32_t i = 0; i < graph->count; i++)
        graph->by_address[i] = i;
    qsort_r(graph->by_address, graph->count, sizeof *graph->by_address, by_address,
            (void *)(uintptr_t)interpreter->tasks);
    for (uint32_t i = 0; i < graph->count; i++) {
        const struct rft_task *task = &interpreter->tasks[i];
        for (size_t j = 0; j < task->awaited_by_count; j++) {
            uint32_t waiter = find(graph, task->awaited_by[j]);
            if (waiter == NOBODY)
                continue; /* not one of this interpreter's, or gone since */
            graph->waits[graph->wait_count++] = (struct wait){waiter, i};
            graph->waiters[i]++;
        }
    }
    qsort(graph->waits, graph->wait_count, sizeof *graph->waits, by_waiter);
    return true;
}

/* The first wait of this waiter; wait_count if it has none. */
static size_t first_wait(const struct task_graph *graph, uint32_t waiter)
{
    size_t low = 0, high = graph->wait_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (graph->waits[middle].waiter < waiter)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* --- circles --------------------------------------------------------------------- */

/* Takes tasks away for which nobody waits that is left; then tasks that wait for nobody
 * that is left. What stays lies in circles, or between two of them. `queue` has room for all.
 * Returns how many stay. */
static uint32_t take_away(const struct task_graph *graph, bool *left, uint32_t *waiters,
                          uint32_t *waits, uint32_t *queue)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < graph->count; i++) {
        left[i] = true;
        waiters[i] = graph->waiters[i];
        if (waiters[i] == 0)
            queue[end++] = i;
    }
    for (uint32_t at = 0; at < end; at++) {
        uint32_t task = queue[at];
        left[task] = false;
        for (size_t i = first_wait(graph, task);
             i < graph->wait_count && graph->waits[i].waiter == task; i++)
            if (--waiters[graph->waits[i].task] == 0)
                queue[end++] = graph->waits[i].task;
    }
    uint32_t remaining = graph->count - end;
    end = 0;
    for (size_t i = 0; i < graph->wait_count; i++)
        if (left[graph->waits[i].task])
            waits[graph->waits[i].waiter]++;
    for (uint32_t i = 0; i < graph->count; i++)
        if (left[i] && waits[i] == 0)
            queue[end++] = i;
    for (uint32_t at = 0; at < end; at++) {
        const struct rft_task *task = &graph->interpreter->tasks[queue[at]];
        left[queue[at]] = false;
        for (size_t i = 0; i < task->awaited_by_count; i++) {
            uint32_t waiter = find(graph, task->awaited_by[i]);
            if (waiter != NOBODY && left[waiter] && --waits[waiter] == 0)
                queue[end++] = waiter;
        }
    }
    return remaining - end;
}

uint32_t inspect_task_circle(const struct rft_interpreter *interpreter,
                             const struct rft_task **found, uint32_t room)
{
    if (interpreter->task_count == 0)
        return 0;
    struct task_graph graph;
    uint32_t count = UINT32_MAX, used = 0;
    size_t room_for_all = interpreter->task_count;
    bool *left = calloc(room_for_all, sizeof *left);
    uint32_t *numbers = calloc(room_for_all, 3 * sizeof *numbers);
    if (init(&graph, interpreter) && left != NULL && numbers != NULL) {
        count =
            take_away(&graph, left, numbers, numbers + room_for_all, numbers + 2 * room_for_all);
        for (uint32_t i = 0; i < graph.count && used < room; i++)
            if (left[i])
                found[used++] = &interpreter->tasks[i];
    }
    deinit(&graph);
    free(left);
    free(numbers);
    return count;
}

/* --- text ------------------------------------------------------------------------- */

static struct rft_error *write_task(const struct page *page, unsigned indent, unsigned level,
                                    struct task_graph *graph, uint32_t number)
{
    const struct rft_task *task = &graph->interpreter->tasks[number];
    unsigned column = indent + 4 * (level < INDENTED ? level : INDENTED);
    const char *name = task->name[0] != '\0' ? task->name : "(no name)";
    page_format(page, INK_PLAIN, "%*s%s", (int)column, "", level > 0 ? "waits for " : "");
    page_put(page, INK_BOLD, name);
    if (graph->shown[number] || level >= LEVELS) {
        page_put(page, INK_DIM, graph->shown[number] ? "  (see above)\n" : "  (and so on)\n");
        return NULL;
    }
    graph->shown[number] = true;
    page_put(page, INK_PLAIN, task->running ? "  task, running\n" : "  task\n");
    struct rft_error *error = inspect_stack(page, column + 4, task->frames, task->frame_count, 0);
    for (size_t i = first_wait(graph, number);
         error == NULL && i < graph->wait_count && graph->waits[i].waiter == number; i++)
        error = write_task(page, indent, level + 1, graph, graph->waits[i].task);
    return error;
}

struct rft_error *inspect_tasks(const struct page *page, unsigned indent,
                                const struct rft_interpreter *interpreter)
{
    struct task_graph graph;
    struct rft_error *error = NULL;
    if (!init(&graph, interpreter)) {
        error = rft_error_no_memory();
    } else {
        /* Those for whom nobody waits, and then what lies in circles. */
        for (uint32_t i = 0; error == NULL && i < graph.count; i++)
            if (graph.waiters[i] == 0)
                error = write_task(page, indent, 0, &graph, i);
        for (uint32_t i = 0; error == NULL && i < graph.count; i++)
            if (!graph.shown[i])
                error = write_task(page, indent, 0, &graph, i);
    }
    deinit(&graph);
    return error;
}

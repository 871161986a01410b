/* Looking through the heap, before a census or when asked to. */
#include "agent/survey.h"

#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* A look takes about 100 bytes an object, and is to leave the program room. */
#define SURVEY_LEAST ((size_t)64 << 20)

/* One at a time: interpreters with a GIL of their own may end together. Waiting with a GIL
 * held is safe, since a look waits for none, and is bounded in time. */
static pthread_mutex_t looking = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool inside; /* a signal handler of the program's may call _exit() meanwhile */

void rft_survey_lock(void)
{
    pthread_mutex_lock(&looking);
    inside = true;
}

void rft_survey_unlock(void)
{
    inside = false;
    pthread_mutex_unlock(&looking);
}

/* In a forked child: the one who was looking is not there. */
void rft_survey_after_fork(void)
{
    pthread_mutex_init(&looking, NULL);
    inside = false;
}

static uint32_t size_of(const void *op, void *context)
{
    struct rft_survey *survey = context;
    void *type;
    memcpy(&type, (const char *)op + tracer.layout.at[RFT_OBJECT_TYPE], sizeof type);
    const struct rft_type *record = rft_type_record(survey->t, type);
    uint64_t size = 0;
    if (record != NULL) {
        size = record->fixed_size;
        if (record->kind != RFT_KIND_FIXED) {
            size += rft_object_extra(op, record->kind, record->item_size);
        }
    }
    return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

static void each_survivor(void (*visit)(const void *op, uint32_t site, uint32_t birth, void *arg),
                          void *arg, void *context)
{
    struct rft_survey *survey = context;
    rft_survivors_each(survey->interp, visit, arg);
}

static void prepare(struct rft_survey *survey, char *tstate)
{
    const char *interpreter;
    memcpy(&interpreter, tstate + tracer.layout.at[RFT_THREAD_INTERP], sizeof interpreter);
    pthread_mutex_lock(&tracer.lock);
    uint32_t sites = tracer.site_count;
    pthread_mutex_unlock(&tracer.lock);
    survey->host = (struct rft_heap_host){
        .layout = &tracer.layout,
        .tstate = tstate,
        .context = survey,
        .each_tracked = tracer.py.visit_gc_objects,
        .each_survivor = each_survivor,
        .size = size_of,
        .edges_each = rft_edges_each,
        .edges_hidden = rft_edges_hidden,
        .roots_each = rft_roots_each,
        .label_of = rft_label_of,
        .labels_of = rft_labels_of,
        .sites = sites,
        .exact = !tracer.loses_deaths && !atomic_load_explicit(&tracer.gaps, memory_order_relaxed),
    };
    memcpy(&survey->host.passed_over[0], interpreter + tracer.layout.at[RFT_INTERP_MODULES],
           sizeof survey->host.passed_over[0]);
}

static const char *refused(const char *tstate)
{
    if (!rft_edges_prepare(&tracer.layout, tracer.py.runtime, rft_symbol)) {
        return rft_edges_refused();
    }
    if (tracer.py.visit_gc_objects == NULL) {
        return "this CPython has no PyUnstable_GC_VisitObjects";
    }
    if (rft_collector_runs(tstate)) {
        return "the cycle collector was at work";
    }
    return NULL;
}

/* Shares of the time, in percent since the start. So that there is time left to tell of what
 * was read, when reading all of it takes too long. */
enum { UNTIL_READ = 60, UNTIL_PATHS = 75, UNTIL_RETAINED = 90, UNTIL_END = 100 };
enum { NOTHING_BUT_HOLDERS = RFT_HEAP_NO_REFCOUNTS | RFT_HEAP_NO_GARBAGE | RFT_HEAP_NO_RETAINED };

/* After a part of the work: if it was cut short, `lost` is told to be missing. The next one
 * has time until `percent`. */
static void next(struct rft_survey *survey, unsigned lost, unsigned percent)
{
    struct rft_graph *graph = &survey->graph;
    if (graph->cut != RFT_WHOLE) {
        survey->flags |= lost;
        survey->flags |= graph->cut == RFT_CUT_TIME ? RFT_HEAP_CUT_TIME : RFT_HEAP_CUT_MEMORY;
        graph->cut = RFT_WHOLE;
    }
    graph->deadline = survey->begin + (uint64_t)survey->ms * 10000u * percent;
}

static void look(struct rft_survey *survey)
{
    struct rft_graph *graph = &survey->graph;
    struct rft_heap_memory *memory = &graph->memory;
    survey->patterns = rft_heap_alloc(memory, sizeof *survey->patterns);
    survey->cycles = rft_heap_alloc(memory, sizeof *survey->cycles);
    if (survey->patterns == NULL || survey->cycles == NULL ||
        !rft_paths_find(graph, &survey->paths)) {
        graph->cut = graph->cut == RFT_WHOLE ? RFT_CUT_MEMORY : graph->cut;
        next(survey, NOTHING_BUT_HOLDERS, UNTIL_END);
        return;
    }
    if (!(survey->flags & RFT_HEAP_NO_GARBAGE)) {
        rft_cycles_find(graph, &survey->paths, survey->cycles);
        rft_survey_write_garbage(survey);
    }
    next(survey, 0, UNTIL_RETAINED); /* fewer cycles than there are */
    size_t bytes = ((size_t)survey->host.sites + 1) * sizeof *survey->retained;
    survey->retained = rft_heap_alloc(memory, bytes);
    if (survey->retained == NULL || (survey->flags & RFT_HEAP_NO_RETAINED) ||
        !rft_graph_reverse(graph) ||
        !rft_dominators_find(graph, &survey->paths, &survey->dominators) ||
        !rft_dominators_by_site(graph, &survey->dominators, survey->retained)) {
        survey->flags |= RFT_HEAP_NO_RETAINED;
    }
    next(survey, RFT_HEAP_NO_RETAINED, UNTIL_END);
    if (rft_survey_choose(survey)) {
        rft_survey_write_sites(survey);
    }
    if (!(survey->flags & RFT_HEAP_NO_RETAINED)) {
        rft_survey_write_retainers(survey);
    }
}

/* Reads the heap, all of it or a part. False: nothing. */
static bool read_heap(struct rft_survey *survey)
{
    struct rft_graph *graph = &survey->graph;
    size_t memory = rft_memory_to_spare(SURVEY_LEAST);
    bool done =
        rft_graph_build(graph, &survey->host, (uint32_t)((uint64_t)survey->ms * UNTIL_READ / 100),
                        memory / 100 * UNTIL_READ);
    graph->memory.limit = memory;
    graph->part = graph->cut != RFT_WHOLE;
    next(survey, NOTHING_BUT_HOLDERS, UNTIL_PATHS);
    return done;
}

static void give_back(struct rft_survey *survey)
{
    struct rft_graph *graph = &survey->graph;
    struct rft_heap_memory *memory = &graph->memory;
    size_t ids = (size_t)survey->host.sites + 1;
    rft_survey_give_back_sites(survey);
    rft_heap_free(memory, survey->retained, ids * sizeof *survey->retained);
    rft_heap_free(memory, survey->patterns, sizeof *survey->patterns);
    rft_heap_free(memory, survey->cycles, sizeof *survey->cycles);
    rft_dominators_deinit(graph, &survey->dominators);
    rft_paths_deinit(graph, &survey->paths);
    rft_graph_deinit(graph);
    rft_edges_end();
}

const char *rft_survey(enum rft_heap_kind kind, const char *label, uint32_t ms)
{
    char *tstate = tracer.py.thread_state();
    struct rft_survey survey = {
        .t = rft_thread_record(), .tstate = tstate, .started = rft_now_ms()};
    if (tstate == NULL || survey.t == NULL) {
        return "no memory";
    }
    if (inside) {
        return "its heap is being looked through";
    }
    rft_survey_lock();
    bool ended;
    survey.interp = rft_interp_index(survey.t, tstate, &ended);
    const char *why_not = refused(tstate);
    if (why_not != NULL) {
        survey.flags = RFT_HEAP_REFUSED;
        rft_survey_write_head(&survey, kind, why_not, 0);
    } else {
        survey.begin = rft_heap_clock();
        survey.ms = ms;
        prepare(&survey, tstate);
        if (read_heap(&survey)) {
            look(&survey);
        } else {
            survey.flags |= NOTHING_BUT_HOLDERS;
        }
        rft_survey_write_head(&survey, kind, label,
                              (uint32_t)((rft_heap_clock() - survey.begin) / 1000000));
        give_back(&survey);
    }
    rft_record_chunks(RFT_CHUNK_HEAP, survey.chunks, RFT_SURVEY_CHUNKS);
    for (unsigned i = 0; i < RFT_SURVEY_CHUNKS; i++) {
        rft_pages_free(survey.chunks[i].bytes, survey.chunks[i].capacity);
    }
    rft_survey_unlock();
    return why_not;
}

/* Looks through the heap now, for at most so many milliseconds; what it finds goes into the
 * trace, with the label. Needs the GIL. NULL, or why not: a static text. */
EXPORT const char *reftracer_holders(const char *label, unsigned ms)
{
    if (atomic_load(&tracer.state) != RFT_TRACING) {
        return "nothing is being traced";
    }
    if (tracer.py.thread_state() == NULL) {
        return "the calling thread has no thread state";
    }
    return rft_survey(RFT_HEAP_REQUEST, label != NULL ? label : "", ms);
}

/* What was found when the heap was looked through: chunks 14 to 18. They are small, and
 * stay in the trace. A chunk that makes no sense has no effect. */
#include "trace/content.h"

enum {
    /* The least bytes of a record, so that a count is bounded by the bytes there are. */
    STEP_MIN = 4,
    PATTERN_MIN = 7, /* a root step has five */
    PAIR_MIN = 2,
    KIND_END = 128,  /* kinds of later versions are below */
    LOOKS_BACK = 64, /* results come soon after the chunk of their look */
};

static void no_memory(struct rft_content *content)
{
    content->no_memory = true;
    content->bad = true;
}

/* How many records of at least `least` bytes come now. */
static uint64_t record_count(struct rft_content *content, unsigned least)
{
    return rft_content_number(content, rft_content_left(content) / least);
}

static void *records(struct rft_trace *trace, struct rft_content *content, uint64_t count,
                     size_t size)
{
    void *made = content->bad ? NULL : rft_arena_alloc(&trace->arena, (size_t)count * size + 1);
    if (!made && !content->bad)
        no_memory(content);
    return made;
}

static uint32_t reference(const struct rft_trace *trace, struct rft_content *content, size_t count)
{
    uint64_t id = rft_content_number(content, UINT32_MAX);
    if (id >= count && !trace->damage.lost_chunks)
        content->bad = true;
    return (uint32_t)id;
}

/* The site's id, which must be one of the trace, or 0. */
static uint32_t any_site(struct rft_trace *trace, struct rft_content *content)
{
    uint64_t site = rft_content_number(content, UINT32_MAX);
    if (site && !content->bad && !rft_trace_admit_site(trace, site, content))
        content->bad = true;
    return (uint32_t)site;
}

/* Ids of sites ascend. */
static uint32_t next_site(struct rft_trace *trace, struct rft_content *content, uint64_t *site)
{
    uint64_t step = rft_content_number(content, UINT32_MAX);
    *site += step;
    if (!step || (!content->bad && !rft_trace_admit_site(trace, *site, content)))
        content->bad = true;
    return (uint32_t)*site;
}

/* A path from a root, or (`cycle`) one that comes back to its beginning. */
static struct rft_trace_path read_path(struct rft_trace *trace, struct rft_content *content,
                                       bool cycle)
{
    struct rft_trace_path path = {.steps = NULL};
    uint64_t count = record_count(content, STEP_MIN);
    if (!count || count > RFT_PATH_STEPS_MAX)
        content->bad = true;
    struct rft_trace_step *steps = records(trace, content, count, sizeof(*steps));
    for (uint32_t i = 0; i < count && !content->bad; i++) {
        struct rft_trace_step *step = &steps[i];
        *step = (struct rft_trace_step){.kind = rft_content_byte(content)};
        bool root = step->kind >= RFT_ROOT_MODULE;
        if (step->kind >= KIND_END || root != (i == 0 && !cycle))
            content->bad = true;
        step->type = reference(trace, content, trace->types.count);
        step->label = reference(trace, content, trace->strings.count);
        uint64_t index = rft_content_count(content);
        step->index = index ? index - 1 : RFT_TRACE_NO_INDEX;
        if (root)
            step->detail = reference(trace, content, trace->strings.count);
        path.count = i + 1;
    }
    path.steps = steps;
    return path;
}

/* --- what belongs together ------------------------------------------------------------ */

static struct rft_trace_heap_lists *begin_heap(struct rft_trace *trace, struct rft_content *content,
                                               struct rft_trace_heap heap)
{
    static const struct rft_trace_heap_lists none;
    if (!rft_vec_push(&trace->heap_lists, none)) {
        no_memory(content);
        return NULL;
    }
    if (!rft_vec_push(&trace->heaps, heap)) {
        trace->heap_lists.count--;
        no_memory(content);
        return NULL;
    }
    return &trace->heap_lists.items[trace->heap_lists.count - 1];
}

/* The lists of the look that the chunk begins with the time and interpreter of. If its own
 * chunk was lost, one without numbers takes its place. */
static struct rft_trace_heap_lists *heap_of(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_heap heap = {
        .time_ms = rft_content_time(content),
        .interpreter = (uint32_t)rft_content_number(content, trace->id_limit),
        .label = {"", 0},
    };
    if (content->bad)
        return NULL;
    size_t count = trace->heaps.count;
    for (size_t i = count; i-- > 0 && count - i <= LOOKS_BACK;) {
        const struct rft_trace_heap *known = &trace->heaps.items[i];
        if (known->time_ms == heap.time_ms && known->interpreter == heap.interpreter)
            return &trace->heap_lists.items[i];
    }
    if (!trace->damage.lost_chunks) {
        content->bad = true;
        return NULL;
    }
    rft_trace_saw_time(trace, heap.time_ms);
    return begin_heap(trace, content, heap);
}

static void define_heap(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_heap heap = {.label = {"", 0}};
    heap.time_ms = rft_content_time(content);
    heap.kind = (uint32_t)rft_content_number(content, UINT32_MAX);
    heap.interpreter = (uint32_t)rft_content_number(content, trace->id_limit);
    heap.objects = rft_content_count(content);
    heap.references = rft_content_count(content);
    heap.bytes = rft_content_count(content);
    heap.pause_ms = rft_content_time(content);
    heap.flags = (uint32_t)rft_content_number(content, UINT32_MAX);
    heap.garbage_objects = rft_content_count(content);
    heap.garbage_bytes = rft_content_count(content);
    heap.collector_ms = rft_content_time(content);
    heap.collector_time = (uint32_t)rft_content_number(content, UINT32_MAX);
    heap.label = rft_trace_read_string(trace, content);
    if (content->bad || content->at != content->end || !heap.interpreter) {
        content->bad = true;
        return;
    }
    rft_trace_saw_time(trace, heap.time_ms);
    begin_heap(trace, content, heap);
}

/* Reads `count` records into `list`, none of which stays if one is bad; `read` is an
 * expression that reads one. */
#define TAKE(list, number, read)                                                                   \
    do {                                                                                           \
        size_t before = (list)->count;                                                             \
        for (uint64_t n = (number); n && !content->bad; n--) {                                     \
            if (!rft_vec_push(list, (read)))                                                       \
                no_memory(content);                                                                \
        }                                                                                          \
        if (content->bad)                                                                          \
            (list)->count = before;                                                                \
    } while (0)

/* --- one chunk each --------------------------------------------------------------------- */

static struct rft_trace_holders read_holders(struct rft_trace *trace, struct rft_content *content,
                                             uint64_t *site)
{
    struct rft_trace_holders holders = {.site = next_site(trace, content, site)};
    holders.objects = rft_content_count(content);
    holders.retained_bytes = rft_content_count(content);
    holders.sampled = rft_content_count(content);
    holders.unreachable = rft_content_count(content);
    uint64_t count = record_count(content, PATTERN_MIN);
    struct rft_trace_pattern *patterns = records(trace, content, count, sizeof(*patterns));
    for (uint32_t i = 0; i < count && !content->bad; i++) {
        patterns[i].objects = rft_content_count(content);
        patterns[i].path = read_path(trace, content, false);
    }
    holders.patterns = patterns;
    holders.pattern_count = (uint32_t)count;
    return holders;
}

static struct rft_trace_refcounts read_refcounts(struct rft_trace *trace,
                                                 struct rft_content *content, uint64_t *site)
{
    struct rft_trace_refcounts refcounts = {.site = next_site(trace, content, site)};
    refcounts.audited = rft_content_count(content);
    uint64_t count = record_count(content, PAIR_MIN);
    struct rft_trace_surplus *pairs = records(trace, content, count, sizeof(*pairs));
    for (uint32_t i = 0; i < count && !content->bad; i++) {
        pairs[i].surplus = rft_unzigzag(rft_content_count(content));
        pairs[i].objects = rft_content_count(content);
        if (i > 0 && pairs[i].surplus <= pairs[i - 1].surplus)
            content->bad = true;
    }
    refcounts.pairs = pairs;
    refcounts.pair_count = (uint32_t)count;
    return refcounts;
}

static struct rft_trace_garbage read_garbage(struct rft_trace *trace, struct rft_content *content,
                                             uint64_t *site)
{
    struct rft_trace_garbage garbage = {.site = next_site(trace, content, site)};
    garbage.objects = rft_content_count(content);
    garbage.bytes = rft_content_count(content);
    return garbage;
}

static struct rft_trace_cycle read_cycle(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_cycle cycle = {.site = any_site(trace, content)};
    cycle.cycles = rft_content_count(content);
    cycle.objects = rft_content_count(content);
    cycle.path = read_path(trace, content, true);
    return cycle;
}

static struct rft_trace_retainer read_retainer(struct rft_trace *trace, struct rft_content *content)
{
    struct rft_trace_retainer retainer = {.site = any_site(trace, content)};
    retainer.type = reference(trace, content, trace->types.count);
    retainer.bytes = rft_content_count(content);
    retainer.retained_bytes = rft_content_count(content);
    retainer.retained_objects = rft_content_count(content);
    retainer.path = read_path(trace, content, false);
    return retainer;
}

static uint64_t bounded(struct rft_content *content, uint64_t most)
{
    return rft_content_number(content, most);
}

void rft_trace_heap_chunk(struct rft_trace *trace, unsigned type, struct rft_content *content)
{
    if (type == RFT_CHUNK_HEAP) {
        define_heap(trace, content);
        return;
    }
    struct rft_trace_heap_lists *lists = heap_of(trace, content);
    if (!lists)
        return;
    /* What the chunk adds goes when it turns out bad behind its last record. */
    size_t holders = lists->holders.count, refcounts = lists->refcounts.count;
    size_t garbage = lists->garbage.count, cycles = lists->cycles.count;
    size_t retainers = lists->retainers.count;
    uint64_t site = 0;
    switch (type) {
    case RFT_CHUNK_HOLDERS:
        TAKE(&lists->holders, record_count(content, 1), read_holders(trace, content, &site));
        break;
    case RFT_CHUNK_REFCOUNTS:
        TAKE(&lists->refcounts, record_count(content, 1), read_refcounts(trace, content, &site));
        break;
    case RFT_CHUNK_GARBAGE:
        TAKE(&lists->garbage, record_count(content, 1), read_garbage(trace, content, &site));
        TAKE(&lists->cycles, bounded(content, RFT_CYCLES_MAX), read_cycle(trace, content));
        break;
    default:
        TAKE(&lists->retainers, bounded(content, RFT_RETAINERS_MAX), read_retainer(trace, content));
        break;
    }
    if (content->at == content->end && !content->bad)
        return;
    content->bad = true;
    lists->holders.count = holders;
    lists->refcounts.count = refcounts;
    lists->garbage.count = garbage;
    lists->cycles.count = cycles;
    lists->retainers.count = retainers;
}

void rft_trace_free_heaps(struct rft_trace *trace)
{
    for (size_t i = 0; i < trace->heap_lists.count; i++) {
        struct rft_trace_heap_lists *lists = &trace->heap_lists.items[i];
        rft_vec_free(&lists->holders);
        rft_vec_free(&lists->refcounts);
        rft_vec_free(&lists->garbage);
        rft_vec_free(&lists->cycles);
        rft_vec_free(&lists->retainers);
    }
    rft_vec_free(&trace->heap_lists);
    rft_vec_free(&trace->heaps);
}

/* --- accessors --------------------------------------------------------------------------- */

const struct rft_trace_heap *rft_trace_heaps(const struct rft_trace *trace, size_t *ret_count)
{
    if (ret_count)
        *ret_count = trace->heaps.count;
    return trace->heaps.items;
}

#define LIST(name)                                                                                 \
    const struct rft_trace_heap_lists *lists =                                                     \
        heap < trace->heaps.count ? &trace->heap_lists.items[heap] : NULL;                         \
    if (ret_count)                                                                                 \
        *ret_count = lists ? lists->name.count : 0;                                                \
    return lists ? lists->name.items : NULL

const struct rft_trace_holders *rft_trace_heap_holders(const struct rft_trace *trace, size_t heap,
                                                       size_t *ret_count)
{
    LIST(holders);
}

const struct rft_trace_refcounts *rft_trace_heap_refcounts(const struct rft_trace *trace,
                                                           size_t heap, size_t *ret_count)
{
    LIST(refcounts);
}

const struct rft_trace_garbage *rft_trace_heap_garbage(const struct rft_trace *trace, size_t heap,
                                                       size_t *ret_count)
{
    LIST(garbage);
}

const struct rft_trace_cycle *rft_trace_heap_cycles(const struct rft_trace *trace, size_t heap,
                                                    size_t *ret_count)
{
    LIST(cycles);
}

const struct rft_trace_retainer *rft_trace_heap_retainers(const struct rft_trace *trace,
                                                          size_t heap, size_t *ret_count)
{
    LIST(retainers);
}

/* What a survey found, as the trace has it (docs/TRACE-FORMAT.md, chunks 14 to 18). */
#include <string.h>

#include "agent/survey.h"

/* What is rarer than the first patterns of a site, tells no more of it. */
enum { PATTERNS_MAX = 16 };

struct rft_buffer *rft_survey_chunk(struct rft_survey *survey, unsigned type)
{
    return &survey->chunks[type - RFT_CHUNK_HEAP];
}

static void varint(struct rft_buffer *out, uint64_t value)
{
    rft_buffer_varint(out, value);
}

static uint64_t zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static void begin(struct rft_survey *survey, struct rft_buffer *out)
{
    varint(out, survey->started);
    varint(out, survey->interp);
}

static uint32_t string_of(struct rft_survey *survey, uint32_t text)
{
    size_t length;
    const char *bytes = rft_text_of(&survey->graph, text, &length);
    if (text == 0) {
        return 0;
    }
    pthread_mutex_lock(&tracer.lock);
    uint32_t id = rft_string_id(bytes, length);
    pthread_mutex_unlock(&tracer.lock);
    return id;
}

static uint32_t type_of(struct rft_survey *survey, uint32_t node)
{
    if (node == RFT_NO_NODE) {
        return 0;
    }
    struct rft_type *type = rft_type_record(survey->t, (void *)rft_node_type(&survey->graph, node));
    return type != NULL ? type->id : 0;
}

static void write_path(struct rft_survey *survey, const struct rft_step *steps, unsigned count,
                       struct rft_buffer *out)
{
    varint(out, count);
    for (unsigned i = 0; i < count; i++) {
        rft_buffer_byte(out, steps[i].kind);
        varint(out, type_of(survey, steps[i].holder));
        varint(out, string_of(survey, steps[i].label));
        varint(out, steps[i].index);
        if (steps[i].kind >= RFT_ROOT_MODULE) {
            varint(out, string_of(survey, steps[i].detail));
        }
    }
}

static void write_holders(struct rft_survey *survey, const struct rft_survey_site *site,
                          struct rft_buffer *out)
{
    uint32_t samples[RFT_SAMPLES_MAX];
    struct rft_patterns *patterns = survey->patterns;
    unsigned count = rft_survey_sample(survey, site, samples);
    rft_patterns_find(&survey->graph, &survey->paths, samples, count, patterns);
    varint(out, site->count);
    varint(out, survey->retained != NULL ? survey->retained[site->id] : 0);
    varint(out, patterns->sampled);
    varint(out, site->garbage);
    unsigned told = patterns->count < PATTERNS_MAX ? patterns->count : PATTERNS_MAX;
    varint(out, told);
    for (unsigned i = 0; i < told; i++) {
        varint(out, patterns->patterns[i].objects);
        write_path(survey, patterns->patterns[i].sample->steps, patterns->patterns[i].sample->count,
                   out);
    }
}

static void write_refcounts(struct rft_survey *survey, const struct rft_survey_site *site,
                            struct rft_buffer *out)
{
    struct rft_surplus pairs[RFT_SURPLUS_MAX];
    unsigned count = rft_audit(&survey->graph, survey->nodes + site->first, site->count, pairs);
    uint64_t audited = 0;
    for (unsigned i = 0; i < count; i++) {
        audited += pairs[i].objects;
    }
    varint(out, audited);
    varint(out, count);
    for (unsigned i = 0; i < count; i++) {
        varint(out, zigzag(pairs[i].surplus));
        varint(out, pairs[i].objects);
    }
}

/* How many records there are is known only at the end: they are put together apart. */
static void finish(struct rft_survey *survey, unsigned type, uint32_t count,
                   struct rft_buffer *records)
{
    struct rft_buffer *out = rft_survey_chunk(survey, type);
    begin(survey, out);
    varint(out, count);
    rft_buffer_append(out, records->bytes, records->length);
    out->failed |= records->failed;
    rft_pages_free(records->bytes, records->capacity);
}

void rft_survey_write_sites(struct rft_survey *survey)
{
    struct rft_buffer holders = {0}, refcounts = {0};
    uint32_t last = 0, count = 0;
    bool audit = !(survey->flags & RFT_HEAP_NO_REFCOUNTS);
    for (uint32_t i = 0; i < survey->site_count && rft_graph_in_time(&survey->graph); i++) {
        const struct rft_survey_site *site = &survey->sites[i];
        varint(&holders, site->id - last);
        write_holders(survey, site, &holders);
        if (audit) {
            varint(&refcounts, site->id - last);
            write_refcounts(survey, site, &refcounts);
        }
        last = site->id;
        count++;
    }
    finish(survey, RFT_CHUNK_HOLDERS, count, &holders);
    if (audit) {
        finish(survey, RFT_CHUNK_REFCOUNTS, count, &refcounts);
    }
}

void rft_survey_write_garbage(struct rft_survey *survey)
{
    struct rft_graph *graph = &survey->graph;
    size_t ids = (size_t)survey->host.sites + 1;
    uint32_t *objects = rft_heap_alloc(&graph->memory, ids * sizeof *objects), sites = 0;
    uint64_t *bytes = rft_heap_alloc(&graph->memory, ids * sizeof *bytes);
    for (uint32_t node = 0; objects != NULL && bytes != NULL && node < graph->count; node++) {
        uint32_t site = graph->site[node];
        if (site != 0 && rft_node_is_garbage(graph, &survey->paths, node)) {
            sites += objects[site]++ == 0;
            bytes[site] += graph->size[node];
        }
    }
    struct rft_buffer *out = rft_survey_chunk(survey, RFT_CHUNK_GARBAGE);
    begin(survey, out);
    varint(out, sites);
    uint32_t last = 0;
    for (uint32_t site = 1; sites > 0 && site < ids; site++) {
        if (objects[site] > 0) {
            varint(out, site - last);
            varint(out, objects[site]);
            varint(out, bytes[site]);
            last = site;
        }
    }
    rft_heap_free(&graph->memory, objects, ids * sizeof *objects);
    rft_heap_free(&graph->memory, bytes, ids * sizeof *bytes);
    const struct rft_cycles *cycles = survey->cycles;
    varint(out, cycles->count);
    for (unsigned i = 0; i < cycles->count; i++) {
        const struct rft_cycle *cycle = &cycles->cycles[i];
        varint(out, cycle->site);
        varint(out, cycle->cycles);
        varint(out, cycle->objects);
        write_path(survey, &cycles->steps[cycle->of], cycle->steps, out);
    }
}

void rft_survey_write_retainers(struct rft_survey *survey)
{
    const struct rft_dominators *d = &survey->dominators;
    struct rft_graph *graph = &survey->graph;
    uint32_t nodes[RFT_RETAINERS_MAX];
    unsigned count = rft_dominators_biggest(graph, d, nodes, RFT_RETAINERS_MAX);
    struct rft_buffer *out = rft_survey_chunk(survey, RFT_CHUNK_RETAINERS);
    begin(survey, out);
    varint(out, count);
    for (unsigned i = 0; i < count; i++) {
        struct rft_step steps[RFT_PATH_STEPS_MAX];
        uint32_t number = d->number[nodes[i]];
        varint(out, graph->site[nodes[i]]);
        varint(out, type_of(survey, nodes[i]));
        varint(out, graph->size[nodes[i]]);
        varint(out, d->retained[number]);
        varint(out, d->retained_objects[number]);
        unsigned length =
            rft_path_steps(graph, &survey->paths, nodes[i], rft_step_between, NULL, steps);
        write_path(survey, steps, length, out);
    }
}

void rft_survey_write_head(struct rft_survey *survey, enum rft_heap_kind kind, const char *label,
                           uint32_t pause)
{
    const struct rft_graph *graph = &survey->graph;
    struct rft_buffer *out = rft_survey_chunk(survey, RFT_CHUNK_HEAP);
    enum rft_collector_time known;
    uint64_t collector = rft_collector_ms(survey->tstate, &known);
    if (graph->cut != RFT_WHOLE) {
        survey->flags |= graph->cut == RFT_CUT_TIME ? RFT_HEAP_CUT_TIME : RFT_HEAP_CUT_MEMORY;
    }
    varint(out, survey->started);
    varint(out, kind);
    varint(out, survey->interp);
    varint(out, graph->count);
    varint(out, graph->edges);
    varint(out, graph->bytes);
    varint(out, pause);
    varint(out, survey->flags);
    varint(out, survey->cycles != NULL ? survey->cycles->objects : 0);
    varint(out, survey->cycles != NULL ? survey->cycles->bytes : 0);
    varint(out, collector);
    varint(out, known);
    rft_buffer_text(out, label, strlen(label));
}

#include "report/held.h"

#include <inttypes.h>

#include "base/strbuf.h"
#include "report/place.h"
#include "report/units.h"

struct path_style held_style(const struct page *page)
{
    return (struct path_style){.arrow = page_utf8(page) ? "→" : "->"};
}

bool held_is_shown(const struct rft_report *report, const struct rft_held *held)
{
    for (uint32_t i = 0; i < held->member_count; i++)
        if (site_filter_matches(report->filter, held->members[i]))
            return true;
    return false;
}

/* --- the opening ---------------------------------------------------------------------------- */

static const struct {
    uint32_t flag;
    const char *text;
} shortcomings[] = {
    {RFT_HEAP_CUT_MEMORY, "memory ran out: only part of the heap was looked through"},
    {RFT_HEAP_CUT_TIME, "its time was over: only part of the heap was looked through"},
    {RFT_HEAP_NO_RETAINED, "retained bytes were not computed"},
    {RFT_HEAP_NO_REFCOUNTS, "refcounts were not audited"},
    {RFT_HEAP_NO_GARBAGE, "cyclic garbage was not looked for"},
};

static void write_heap(const struct rft_report *report, const struct rft_heap *heap)
{
    const struct rft_model *model = report->model;
    struct rft_strbuf line = {0};
    char objects[UNIT_SIZE], references[UNIT_SIZE], bytes[UNIT_SIZE], at[UNIT_SIZE];
    char pause[UNIT_SIZE];
    rft_strbuf_add(&line, "Heap");
    if (model->process_count > 1)
        rft_strbuf_format(&line, " of process %" PRIu64, model->processes[heap->process].pid);
    if (heap->interpreter != RFT_NONE && model->interpreters[heap->interpreter].number != 0)
        rft_strbuf_format(&line, ", interpreter %" PRIu64,
                          model->interpreters[heap->interpreter].number);
    if (heap->flags & RFT_HEAP_REFUSED) {
        rft_strbuf_format(&line, ": not looked through, %s",
                          heap->label[0] ? heap->label : "without a reason");
        page_paragraph(report->page, INK_CAUTION, 0, rft_strbuf_text(&line));
        rft_strbuf_deinit(&line);
        return;
    }
    rft_strbuf_format(&line, ": %s objects, %s references, %s; looked through after %s",
                      units_count(heap->objects, objects, sizeof objects),
                      units_count(heap->references, references, sizeof references),
                      units_bytes((double)heap->bytes, bytes, sizeof bytes),
                      units_duration(heap->time_ms, at, sizeof at));
    if (heap->label[0])
        rft_strbuf_format(&line, " (%s)", heap->label);
    rft_strbuf_format(&line, ", which paused the program for %s",
                      units_duration(heap->pause_ms, pause, sizeof pause));
    page_paragraph(report->page, INK_PLAIN, 0, rft_strbuf_text(&line));
    rft_strbuf_clear(&line);
    for (size_t i = 0; i < sizeof shortcomings / sizeof shortcomings[0]; i++)
        if (heap->flags & shortcomings[i].flag)
            rft_strbuf_format(&line, "%s%s",
                              line.length ? "; " : "Incomplete: ", shortcomings[i].text);
    if (line.length)
        page_paragraph(report->page, INK_CAUTION, 0, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
}

bool heap_opening(const struct rft_report *report)
{
    enum { HEAPS_SHOWN = 4 };
    const struct rft_model *model = report->model;
    unsigned shown = 0, rest = 0;
    for (uint32_t i = 0; i < model->heap_count; i++) {
        if (!model->heaps[i].last)
            continue;
        if (shown++ < HEAPS_SHOWN)
            write_heap(report, &model->heaps[i]);
        else
            rest++;
    }
    if (rest) {
        page_format(report->page, INK_DIM, "and %u more heaps", rest);
        page_line(report->page);
    }
    if (!shown) {
        page_line(report->page);
        page_paragraph(report->page, INK_CAUTION, 0,
                       "Nobody looked through the heap: run the program again with "
                       "'reftracer run --holders'.");
    }
    return shown > 0;
}

/* --- holders -------------------------------------------------------------------------------- */

/* "all 1,000", "980 of 1,000", "98 of 100 looked at". */
static void add_share(struct rft_strbuf *to, const struct rft_held *held, uint64_t objects,
                      bool say_looked)
{
    char some[UNIT_SIZE], all[UNIT_SIZE];
    const char *looked = say_looked && held->sampled < held->objects ? " looked at" : "";
    units_exact(objects, some, sizeof some);
    units_exact(held->sampled, all, sizeof all);
    if (objects == held->sampled)
        rft_strbuf_format(to, "all %s%s", some, looked);
    else
        rft_strbuf_format(to, "%s of %s%s", some, all, looked);
}

void held_by(const struct rft_report *report, const struct rft_held *held, unsigned indent,
             uint32_t limit)
{
    static const char intro[] = "held by: ";
    enum { FEW = 10 };
    struct rft_strbuf line = {0};
    uint64_t told = 0;
    uint32_t shown = 0;
    for (; shown < held->pattern_count && shown < limit; shown++) {
        const struct rft_pattern *pattern = &held->patterns[shown];
        /* Beside the many, a few tell nothing to who wants it short. */
        if (shown > 0 && limit <= 2 && pattern->objects < held->sampled / FEW)
            break;
        rft_strbuf_clear(&line);
        if (shown == 0)
            rft_strbuf_add(&line, intro);
        path_text(&line, &pattern->path, held_style(report->page));
        if (held->objects > 1 || held->pattern_count > 1) {
            rft_strbuf_add(&line, " (");
            add_share(&line, held, pattern->objects, shown == 0);
            rft_strbuf_add_char(&line, ')');
        }
        page_paragraph(report->page, shown == 0 ? INK_BOLD : INK_PLAIN,
                       indent + (shown == 0 ? 0 : sizeof intro - 1), rft_strbuf_text(&line));
        told += pattern->objects;
    }
    if (shown > 0 && limit > 2 && told < held->sampled) {
        rft_strbuf_clear(&line);
        add_share(&line, held, held->sampled - told, false);
        rft_strbuf_add(&line, " in other ways");
        page_paragraph(report->page, INK_DIM, indent + sizeof intro - 1, rft_strbuf_text(&line));
    }
    rft_strbuf_deinit(&line);
}

/* --- refcounts ------------------------------------------------------------------------------- */

/* The surplus that most of the objects have: its objects; sign is 1 or -1. */
static const struct rft_surplus *usual(const struct rft_refcounts *refcounts, int sign)
{
    const struct rft_surplus *most = NULL;
    for (uint32_t i = 0; i < refcounts->pair_count; i++) {
        const struct rft_surplus *pair = &refcounts->pairs[i];
        if ((sign > 0 ? pair->surplus > 0 : pair->surplus < 0) &&
            (!most || pair->objects > most->objects))
            most = pair;
    }
    return most;
}

static void add_subject(struct rft_strbuf *to, const struct rft_model *model,
                        const struct rft_held *held, uint64_t objects)
{
    char text[UNIT_SIZE];
    const struct rft_site *site = &model->sites[held->site];
    rft_strbuf_format(to, "%s %s%s born at ", units_exact(objects, text, sizeof text),
                      model->types[site->type].name, objects == 1 ? "" : " objects");
    place_stack(to, model, site->stack);
}

static void add_too_few(struct rft_strbuf *to, const struct rft_model *model,
                        const struct rft_held *held)
{
    const struct rft_refcounts *refcounts = &held->refcounts;
    const struct rft_surplus *pair = usual(refcounts, -1);
    char text[UNIT_SIZE];
    uint64_t missing = pair ? (uint64_t)-pair->surplus : 0;
    bool same = pair && pair->objects == refcounts->missing_objects;
    add_subject(to, model, held, refcounts->missing_objects);
    rft_strbuf_format(to,
                      " %s a refcount that is %s%s too low: C code released %s once too often, a "
                      "use after free in waiting",
                      refcounts->missing_objects == 1 ? "has" : "have", same ? "" : "mostly ",
                      units_exact(missing, text, sizeof text),
                      refcounts->missing_objects == 1 ? "it" : "them");
}

static void add_leaked(struct rft_strbuf *to, const struct rft_model *model,
                       const struct rft_held *held)
{
    const struct rft_refcounts *refcounts = &held->refcounts;
    const struct rft_surplus *pair = usual(refcounts, 1);
    char text[UNIT_SIZE];
    bool same = pair && pair->objects == refcounts->surplus_objects;
    add_subject(to, model, held, refcounts->surplus_objects);
    rft_strbuf_format(to, " have %s%s that no Python object holds: %s by C code",
                      same ? "" : "mostly ",
                      units_plural(pair ? (uint64_t)pair->surplus : 0, "reference", "references",
                                   text, sizeof text),
                      refcounts->leaked ? "leaked" : "kept or leaked");
}

static void add_piled(struct rft_strbuf *to, const struct rft_model *model,
                      const struct rft_held *held)
{
    const struct rft_refcounts *refcounts = &held->refcounts;
    char text[UNIT_SIZE];
    add_subject(to, model, held, refcounts->surplus_objects);
    rft_strbuf_format(to,
                      " %s %s references that no Python object holds: leaked by C code, or "
                      "held by objects of a type without tp_traverse",
                      refcounts->surplus_objects == 1 ? "has" : "have",
                      units_exact(refcounts->surplus_references, text, sizeof text));
}

bool held_accusation(struct rft_strbuf *to, const struct rft_report *report,
                     const struct rft_held *held)
{
    const struct rft_refcounts *refcounts = &held->refcounts;
    if (refcounts->too_few)
        add_too_few(to, report->model, held);
    if (refcounts->too_few && (refcounts->leaked || refcounts->piled))
        rft_strbuf_add(to, "; ");
    if (refcounts->piled)
        add_piled(to, report->model, held);
    else if (refcounts->leaked)
        add_leaked(to, report->model, held);
    return refcounts->too_few || refcounts->leaked || refcounts->piled;
}

static bool suspicion(struct rft_strbuf *to, const struct rft_report *report,
                      const struct rft_held *held)
{
    if (held->refcounts.suspected)
        add_leaked(to, report->model, held);
    return held->refcounts.suspected;
}

static uint32_t sentences(const struct rft_report *report, uint32_t limit, const char *heading,
                          const char *remark, enum page_ink ink,
                          bool (*sentence)(struct rft_strbuf *to, const struct rft_report *report,
                                           const struct rft_held *held))
{
    const struct rft_model *model = report->model;
    uint32_t found = 0;
    for (uint32_t i = 0; i < model->held_count; i++) {
        struct rft_strbuf line = {0};
        if (held_is_shown(report, &model->held[i]) && sentence(&line, report, &model->held[i])) {
            if (found == 0)
                page_heading(report->page, heading, remark);
            if (found++ < limit)
                page_paragraph(report->page, ink, 2, rft_strbuf_text(&line));
        }
        rft_strbuf_deinit(&line);
    }
    report_rest(report, found < limit ? found : limit, found);
    return found;
}

uint32_t held_accusations(const struct rft_report *report, uint32_t limit)
{
    return sentences(report, limit, "Refcounts",
                     "what C++ objects own, as in pybind11, looks like a leak in C", INK_BAD,
                     held_accusation);
}

uint32_t held_suspicions(const struct rft_report *report, uint32_t limit)
{
    return sentences(report, limit, "Kept or leaked by C code",
                     "this trace does not tell whether they become more", INK_CAUTION, suspicion);
}

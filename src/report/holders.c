/* The view `holders`: who keeps the objects alive, of what grows first. */
#include "report/held.h"

#include <inttypes.h>
#include <stdlib.h>

#include "report/place.h"
#include "report/units.h"

enum { GROUPS_SHOWN = 15, PATTERNS_SHOWN = 6 };

static void write_one(const struct rft_report *report, const struct rft_held *held, uint32_t number)
{
    const struct rft_model *model = report->model;
    const struct page *page = report->page;
    const struct rft_site *site = &model->sites[held->site];
    char objects[UNIT_SIZE], bytes[UNIT_SIZE];
    bool grows = held->growing != RFT_NONE;
    struct rft_strbuf line = {0};
    page_line(page);
    page_format(page, INK_PLAIN, "%3" PRIu32 "  ", number);
    page_put(page, grows ? INK_BAD : INK_PLAIN, model->types[site->type].name);
    page_format(page, INK_BOLD, "  %s alive", units_count(held->objects, objects, sizeof objects));
    if (held->retained_bytes > 0)
        page_format(page, INK_BOLD, ", %s would go with %s",
                    units_bytes((double)held->retained_bytes, bytes, sizeof bytes),
                    held->objects == 1 ? "it" : "them");
    if (grows) {
        const struct rft_growing *growing = &model->growing[held->growing];
        page_format(page, INK_BAD, "  +%s/s",
                    units_rate(growing->growth.objects_per_s, objects, sizeof objects));
    }
    page_line(page);
    place_stack(&line, model, site->stack);
    page_paragraph(page, INK_DIM, 5, rft_strbuf_text(&line));
    held_by(report, held, 5, PATTERNS_SHOWN);
    if (held->pattern_count > 0 && held->patterns[0].path.count > 1) {
        rft_strbuf_clear(&line);
        rft_strbuf_add(&line, "through: ");
        path_types(&line, &held->patterns[0].path);
        page_paragraph(page, INK_DIM, 5, rft_strbuf_text(&line));
    }
    if (held->unreachable > 0) {
        page_format(page, INK_CAUTION, "     %s of them are garbage that only the collector frees",
                    units_exact(held->unreachable, objects, sizeof objects));
        page_line(page);
    }
    rft_strbuf_clear(&line);
    if (held_accusation(&line, report, held))
        page_paragraph(page, INK_BAD, 5, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
}

struct rft_error *view_holders(const struct rft_report *report)
{
    const struct rft_model *model = report->model;
    report_opening(report);
    if (!heap_opening(report))
        return NULL;
    uint32_t limit = report_top(report, GROUPS_SHOWN), shown = 0, all = 0;
    /* What grows, worst first. */
    for (uint32_t i = 0; i < model->growing_count; i++) {
        uint32_t held = model->growing[i].held;
        if (held == RFT_NONE || model->held[held].growing != i ||
            !model->held[held].pattern_count || !held_is_shown(report, &model->held[held]))
            continue;
        all++;
        if (shown < limit)
            write_one(report, &model->held[held], ++shown);
    }
    /* Then what grows along with it; then the rest. */
    for (int along = 1; along >= 0; along--) {
        for (uint32_t i = 0; i < model->held_count; i++) {
            const struct rft_held *held = &model->held[i];
            bool grows = model->sites[held->site].growth.kind >= RFT_GROWTH_SLOWING;
            if (held->growing != RFT_NONE || grows != (along == 1) || !held->pattern_count ||
                !held_is_shown(report, held))
                continue;
            all++;
            if (shown < limit)
                write_one(report, held, ++shown);
        }
    }
    bool looked = false;
    for (uint32_t i = 0; i < model->heap_count; i++)
        looked |= model->heaps[i].objects > 0;
    if (all == 0 && looked) {
        page_line(report->page);
        page_put(report->page, INK_PLAIN, "No object that was born since the start was found.");
        page_line(report->page);
    }
    report_rest(report, shown, all);
    return NULL;
}

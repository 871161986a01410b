/* The first lines of every report. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/strbuf.h"
#include "report/units.h"
#include "report/view.h"

/* Most important first; a person reads the first ones. */
enum { REASONS_SHOWN = 6 };

static void add_time(struct rft_strbuf *to, uint64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000u);
    struct tm local;
    char text[64];
    if (ns == 0 || localtime_r(&seconds, &local) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local) == 0)
        return;
    rft_strbuf_format(to, " from %s", text);
}

static const char *end_of(const struct rft_process *process)
{
    if (!process->ended)
        return ", no end in the trace: killed, or still running";
    switch (process->end_reason) {
    case RFT_END_OS_EXIT:
        return ", ended by os._exit()";
    case RFT_END_EXEC:
        return ", ended by exec of another program";
    case RFT_END_STOPPED:
        return ", tracing stopped early";
    case RFT_END_ASKED:
        return ", as long as the program asked for it";
    default:
        return "";
    }
}

static void write_program(const struct rft_report *report)
{
    const struct rft_model *model = report->model;
    const struct page *page = report->page;
    const struct rft_process *first = &model->processes[0];
    struct rft_strbuf line = {0};
    char text[UNIT_SIZE];

    page_put(page, INK_BOLD, first->command[0] != '\0' ? first->command : "(unknown program)");
    page_line(page);
    rft_strbuf_format(&line, "Python %s%s%s",
                      first->python_version[0] != '\0' ? first->python_version : "(unknown)",
                      first->free_threaded ? " free-threaded" : "",
                      first->debug_build ? " debug" : "");
    if (model->process_count == 1)
        rft_strbuf_format(&line, ", pid %" PRIu64, first->pid);
    else
        rft_strbuf_format(
            &line, ", pid %" PRIu64 " and %s more", first->pid,
            units_plural(model->process_count - 1, "process", "processes", text, sizeof text));
    rft_strbuf_format(&line, ", %s", units_duration(model->duration_ms, text, sizeof text));
    add_time(&line, model->start_ns);
    if (model->process_count == 1)
        rft_strbuf_add(&line, end_of(first));
    page_paragraph(page, INK_PLAIN, 0, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
}

static void write_exactness(const struct rft_report *report)
{
    const struct rft_model *model = report->model;
    const struct page *page = report->page;
    if (model->exact) {
        page_put(page, INK_GOOD, "Exact");
        page_put(page, INK_PLAIN, ": every birth and death since the start was counted");
        page_line(page);
    } else {
        page_put(page, INK_CAUTION, "Not exact:");
        page_line(page);
        for (size_t i = 0; i < model->reason_count && i < REASONS_SHOWN; i++)
            page_paragraph(page, INK_CAUTION, 2, model->reasons[i].text);
        if (model->reason_count > REASONS_SHOWN) {
            page_format(page, INK_DIM, "  and %zu more, see --json",
                        model->reason_count - REASONS_SHOWN);
            page_line(page);
        }
    }
}

bool report_is_void(const struct rft_report *report)
{
    const struct rft_model *model = report->model;
    for (uint32_t i = 0; i < model->process_count; i++)
        if (model->processes[i].ended)
            return false;
    return model->site_count == 0;
}

static void write_totals(const struct rft_report *report)
{
    const struct rft_totals *totals = &report->model->totals;
    char births[UNIT_SIZE], deaths[UNIT_SIZE], live[UNIT_SIZE], bytes[UNIT_SIZE], peak[UNIT_SIZE];
    char when[UNIT_SIZE];
    if (report_is_void(report)) {
        page_paragraph(report->page, INK_CAUTION, 0,
                       "Nothing was counted: no tick came before the end of the trace. The first "
                       "one comes some 20 ms after the start; a process that is killed before "
                       "leaves its name only");
        return;
    }
    struct rft_strbuf line = {0};
    bool several = report->model->process_count > 1;
    rft_strbuf_format(&line, "%s born, %s died, %s alive at %s (%s%s), peak %s%s after %s",
                      units_count(totals->births, births, sizeof births),
                      units_count(totals->deaths, deaths, sizeof deaths),
                      units_count(totals->live, live, sizeof live),
                      several ? "the ends of their processes" : "the end",
                      totals->live_bytes_estimated ? "about " : "",
                      units_bytes((double)totals->live_bytes, bytes, sizeof bytes),
                      units_count(totals->peak_live, peak, sizeof peak),
                      several ? " at one time" : "",
                      units_duration(totals->peak_ms, when, sizeof when));
    if (totals->live_ended > 0)
        rft_strbuf_format(&line, "; %s of the living went with sub-interpreters that had ended",
                          units_count(totals->live_ended, live, sizeof live));
    page_paragraph(report->page, INK_PLAIN, 0, rft_strbuf_text(&line));
    rft_strbuf_deinit(&line);
}

void report_opening(const struct rft_report *report)
{
    write_program(report);
    write_exactness(report);
    write_totals(report);
    if (report->filter_text != NULL) {
        char sites[UNIT_SIZE], all[UNIT_SIZE];
        struct rft_strbuf line = {0};
        rft_strbuf_format(&line, "Below: only what has \"%s\" in it, %s of %s sites",
                          report->filter_text,
                          units_exact(report->filter->count, sites, sizeof sites),
                          units_exact(report->model->site_count, all, sizeof all));
        page_paragraph(report->page, INK_CAUTION, 0, rft_strbuf_text(&line));
        rft_strbuf_deinit(&line);
    }
}

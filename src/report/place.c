#include "report/place.h"

#include <inttypes.h>
#include <string.h>

enum {
    FILE_LONG = 40, /* characters of a path that nobody shortened before */
    FILE_PARTS = 3, /* of such a path this many last parts are shown */
};

/* What follows the last `marker` in `text`; NULL without one. */
static const char *after(const char *text, const char *marker)
{
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, marker)) != NULL; at++)
        found = at + strlen(marker);
    return found;
}

/* What follows ".../lib/python3.14/". */
static const char *in_library(const char *file)
{
    const char *at = after(file, "/lib/python3");
    if (at == NULL)
        return NULL;
    at += strcspn(at, "/");
    return *at == '/' ? at + 1 : NULL;
}

/* What follows `folder` (length bytes, without a slash at the end) in `file`. */
static const char *in_folder(const char *file, const char *folder, size_t length)
{
    if (length == 0 || strncmp(file, folder, length) != 0 || file[length] != '/')
        return NULL;
    return file + length + 1;
}

/* Relative to the working folder of a process, or to where its script is. */
static const char *in_folder_of_a_process(const struct rft_model *model, const char *file)
{
    for (uint32_t i = 0; i < model->process_count; i++) {
        const struct rft_process *process = &model->processes[i];
        const char *shorter = in_folder(file, process->directory, strlen(process->directory));
        for (size_t j = 0; j < process->argument_count && shorter == NULL; j++) {
            const char *argument = process->arguments[j];
            const char *slash = strrchr(argument, '/');
            if (slash != NULL && strstr(slash, ".py") != NULL)
                shorter = in_folder(file, argument, (size_t)(slash - argument));
        }
        if (shorter != NULL)
            return shorter;
    }
    return NULL;
}

void place_file(struct rft_strbuf *to, const struct rft_model *model, const struct rft_frame *frame)
{
    const char *file = frame->file;
    const char *shorter = NULL;
    if (frame->origin == RFT_ORIGIN_PACKAGE) {
        shorter = after(file, "/site-packages/");
        if (shorter == NULL)
            shorter = after(file, "/dist-packages/");
    } else if (frame->origin == RFT_ORIGIN_STDLIB) {
        shorter = in_library(file);
    } else if (frame->origin == RFT_ORIGIN_OWN) {
        shorter = in_folder_of_a_process(model, file);
    }
    if (shorter != NULL) {
        rft_strbuf_add(to, shorter);
        return;
    }
    const char *start = file + strlen(file);
    if (file[0] == '/' && strlen(file) > FILE_LONG) {
        for (int parts = 0; start > file; start--)
            if (start[-1] == '/' && ++parts == FILE_PARTS)
                break;
        rft_strbuf_add(to, ".../");
        rft_strbuf_add(to, start);
        return;
    }
    rft_strbuf_add(to, file);
}

void place_frame(struct rft_strbuf *to, const struct rft_model *model,
                 const struct rft_frame *frame)
{
    if (frame->file[0] == '\0' && frame->function[0] == '\0') {
        rft_strbuf_add(to, "(no Python frame)");
        return;
    }
    place_file(to, model, frame);
    if (frame->line > 0)
        rft_strbuf_format(to, ":%" PRIu32, frame->line);
    if (frame->function[0] != '\0') {
        rft_strbuf_add_char(to, ' ');
        rft_strbuf_add(to, frame->function);
    }
}

static bool is_importer(const struct rft_frame *frame)
{
    return strncmp(frame->file, "<frozen importlib", strlen("<frozen importlib")) == 0;
}

/* Who asked for the outermost import between a node and the program's own frame. */
static uint32_t importing_node(const struct rft_model *model, uint32_t node, uint32_t own)
{
    uint32_t found = own;
    bool inside = false;
    for (; node != own && node != 0; node = model->stacks[node].parent) {
        bool importer = is_importer(rft_model_frame(model, node));
        if (inside && !importer)
            found = node;
        inside = importer;
    }
    return node == own && !inside ? found : own;
}

void place_stack(struct rft_strbuf *to, const struct rft_model *model, uint32_t node)
{
    uint32_t own = rft_model_own_node(model, node);
    place_frame(to, model, rft_model_frame(model, own));
    if (own == node)
        return;
    bool importing = is_importer(rft_model_frame(model, node));
    uint32_t inner = importing ? importing_node(model, node, own) : node;
    rft_strbuf_add(to, importing ? ", importing" : ",");
    if (inner != own) {
        const struct rft_frame *frame = rft_model_frame(model, inner);
        rft_strbuf_add(to, " in ");
        place_file(to, model, frame);
        if (frame->function[0] != '\0') {
            rft_strbuf_add_char(to, ' ');
            rft_strbuf_add(to, frame->function);
        }
    }
}

struct place_filter place_filter(const struct rft_model *model, uint32_t node, bool full)
{
    bool own = rft_model_frame(model, rft_model_own_node(model, node))->origin == RFT_ORIGIN_OWN;
    return (struct place_filter){.all = full, .own_only = own};
}

bool place_shows(struct place_filter filter, const struct rft_frame *frame)
{
    if (filter.all)
        return true;
    return filter.own_only ? frame->origin == RFT_ORIGIN_OWN : frame->origin != RFT_ORIGIN_STDLIB;
}

void place_print_stack(const struct page *page, const struct rft_model *model, uint32_t node,
                       bool full, unsigned indent, unsigned limit)
{
    struct place_filter filter = place_filter(model, node, full);
    const char *arrow = page_utf8(page) ? "← " : "< ";
    struct rft_strbuf line = {0};
    unsigned shown = 0;
    unsigned left_out = 0;
    for (uint32_t at = node; at != 0; at = model->stacks[at].parent) {
        const struct rft_frame *frame = rft_model_frame(model, at);
        /* A stack of CPython's own frames alone: its innermost is all there is. */
        if (!place_shows(filter, frame) && !(shown == 0 && model->stacks[at].parent == 0)) {
            continue;
        }
        if (limit > 0 && shown >= limit) {
            left_out++;
            continue;
        }
        rft_strbuf_clear(&line);
        if (shown == 0 && !full)
            place_stack(&line, model, node);
        else
            place_frame(&line, model, frame);
        page_format(page, INK_PLAIN, "%*s", (int)indent, "");
        if (shown > 0)
            page_put(page, INK_DIM, arrow);
        page_put(page, frame->origin == RFT_ORIGIN_OWN ? INK_PLAIN : INK_DIM,
                 rft_strbuf_text(&line));
        page_line(page);
        shown++;
    }
    if (shown == 0) {
        page_format(page, INK_DIM, "%*s(no Python frame: born before the first line, or in C)",
                    (int)indent, "");
        page_line(page);
    }
    if (left_out > 0) {
        page_format(page, INK_DIM, "%*s%sand %u more", (int)indent, "", arrow, left_out);
        page_line(page);
    }
    rft_strbuf_deinit(&line);
}

void place_callers(struct rft_strbuf *to, const struct page *page, const struct rft_model *model,
                   uint32_t node, bool full)
{
    enum { CALLERS_SHOWN = 8 };
    struct place_filter filter = place_filter(model, node, full);
    int shown = 0;
    for (uint32_t at = model->stacks[node].parent; at != 0; at = model->stacks[at].parent) {
        const struct rft_frame *frame = rft_model_frame(model, at);
        if (!place_shows(filter, frame))
            continue;
        rft_strbuf_add(to, page_utf8(page) ? " ← " : " < ");
        if (shown++ == CALLERS_SHOWN) {
            rft_strbuf_add(to, "...");
            return;
        }
        rft_strbuf_add(to, frame->function);
    }
}

void place_thread(struct rft_strbuf *to, const struct rft_model *model, uint32_t thread)
{
    if (thread == RFT_NONE) {
        rft_strbuf_add_char(to, '?');
        return;
    }
    const struct rft_thread *known = &model->threads[thread];
    if (known->name[0] != '\0')
        rft_strbuf_add(to, known->name);
    else
        rft_strbuf_format(to, "thread %" PRIu64, known->native_id);
    if (known->count > 1)
        rft_strbuf_format(to, " (%" PRIu32 " of this name)", known->count);
}

void place_interpreter(struct rft_strbuf *to, const struct rft_model *model, uint32_t interpreter)
{
    if (interpreter == RFT_NONE)
        rft_strbuf_add_char(to, '?');
    else if (model->interpreters[interpreter].number == 0)
        rft_strbuf_add(to, "main");
    else
        rft_strbuf_format(to, "interpreter %" PRIu64, model->interpreters[interpreter].number);
}

/* Frames of a stack, one to a line: function, then place. */
#include "report/inspect.h"

#include <stdlib.h>
#include <string.h>

enum {
    FUNCTION_MOST = 36, /* columns of a function's name, if the place needs the rest */
    FUNCTION_LEAST = 12,
    REPEATS_SHOWN = 3, /* of a recursion's equal frames */
    TEXT_MOST = 2048,  /* bytes of a name's end that are looked at: no page is wider */
};

static const char *end_of(const char *text)
{
    size_t size = strlen(text);
    const char *at = size > TEXT_MOST ? text + size - TEXT_MOST : text;
    while (((unsigned char)*at & 0xc0) == 0x80) /* within a character */
        at++;
    return at;
}

/* The end of a name that is longer than `room` columns, with "…" in front. */
static void add_end(struct rft_strbuf *to, const struct page *page, const char *text, size_t room)
{
    size_t size = strlen(text);
    if (page_text_width(text, size) <= room) {
        rft_strbuf_add(to, text);
        return;
    }
    const char *mark = page_utf8(page) ? "…" : "..";
    size_t mark_width = page_utf8(page) ? 1 : 2;
    const char *at = end_of(text);
    while (*at != '\0' && page_text_width(at, strlen(at)) + mark_width > room) {
        at++;
        while (((unsigned char)*at & 0xc0) == 0x80)
            at++;
    }
    rft_strbuf_add(to, mark);
    rft_strbuf_add(to, at);
}

void inspect_add_path(struct rft_strbuf *to, const struct page *page, const char *path, size_t room)
{
    if (page_text_width(path, strlen(path)) <= room) {
        rft_strbuf_add(to, path);
        return;
    }
    size_t mark_width = page_utf8(page) ? 1 : 2;
    const char *end = end_of(path);
    for (const char *slash = strchr(end + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        if (page_text_width(slash, strlen(slash)) + mark_width <= room) {
            rft_strbuf_add(to, page_utf8(page) ? "…" : "..");
            rft_strbuf_add(to, slash);
            return;
        }
    }
    add_end(to, page, path, room);
}

static void add_line_number(struct rft_strbuf *to, const struct rft_frame *frame)
{
    if (frame->line <= 0)
        return;
    rft_strbuf_format(to, ":%d", frame->line);
    if (frame->column >= 0) /* as editors count */
        rft_strbuf_format(to, ":%d", frame->column + 1);
}

static const char *function_of(const struct rft_frame *frame)
{
    if (frame->function[0] != '\0')
        return frame->function;
    return frame->kind == RFT_FRAME_NATIVE ? "(unknown C function)" : "(unknown)";
}

static size_t function_width(const struct page *page, unsigned indent,
                             const struct rft_frame *frames, size_t count)
{
    enum { LOOKED_AT = 2000 };
    size_t width = 0;
    for (size_t i = 0; i < count && i < LOOKED_AT; i++) {
        const char *name = function_of(&frames[i]);
        size_t own = page_text_width(name, strlen(name));
        if (own > width)
            width = own;
    }
    size_t most = page->width > indent + 2 * FUNCTION_MOST ? FUNCTION_MOST : FUNCTION_MOST - 8;
    if (width > most)
        width = most;
    return width < FUNCTION_LEAST ? FUNCTION_LEAST : width;
}

static void write_locals(const struct page *page, unsigned indent, const struct rft_frame *frame)
{
    for (size_t i = 0; i < frame->local_count; i++) {
        const struct rft_local *local = &frame->locals[i];
        struct rft_strbuf text = {0};
        size_t room = page->width > indent + 8 ? page->width - indent : 8;
        rft_strbuf_format(&text, "%s: %s", local->name, local->type);
        if (local->value[0] != '\0')
            rft_strbuf_format(&text, " = %s", local->value);
        /* A value's beginning says more than its end. */
        char *showable = page_showable(page, rft_strbuf_text(&text));
        if (showable != NULL) {
            size_t size = strlen(showable);
            const char *mark = "";
            if (page_text_width(showable, size) > room) { /* a number must not look like another */
                mark = page_utf8(page) ? "…" : "..";
                room -= page_utf8(page) ? 1 : 2;
            }
            while (size > 0 && page_text_width(showable, size) > room)
                while (size > 0 && ((unsigned char)showable[--size] & 0xc0) == 0x80)
                    continue;
            showable[size] = '\0';
            page_format(page, INK_PLAIN, "%*s", (int)indent, "");
            page_put(page, INK_DIM, showable);
            page_put(page, INK_DIM, mark);
            page_line(page);
        }
        free(showable);
        rft_strbuf_deinit(&text);
    }
}

static struct rft_error *write_frame(const struct page *page, unsigned indent, size_t names,
                                     const struct rft_frame *frame, bool innermost, bool moved)
{
    struct rft_strbuf name = {0}, place = {0}, number = {0};
    bool native = frame->kind == RFT_FRAME_NATIVE;
    add_end(&name, page, function_of(frame), names);
    add_line_number(&number, frame);
    size_t before = indent + names + 2;
    size_t room =
        page->width > before + number.length + 8 ? page->width - before - number.length : 8;
    if (native && room > 4)
        room -= 3; /* " C" behind it */
    inspect_add_path(&place, page, frame->file, room);

    const char *text = rft_strbuf_text(&name);
    size_t width = page_text_width(text, name.length);
    page_format(page, moved ? INK_CAUTION : INK_PLAIN, "%*s", (int)indent, moved ? "> " : "");
    page_put(page, moved ? INK_CAUTION : innermost ? INK_BOLD : native ? INK_DIM : INK_PLAIN, text);
    page_format(page, INK_PLAIN, "%*s", (int)(names + 2 - (width < names ? width : names)), "");
    page_format(page, native ? INK_DIM : INK_PLAIN, "%s%s", rft_strbuf_text(&place),
                rft_strbuf_text(&number));
    if (native)
        page_put(page, INK_DIM, "  C");
    page_line(page);
    bool failed = name.failed || place.failed || number.failed;
    rft_strbuf_deinit(&name);
    rft_strbuf_deinit(&place);
    rft_strbuf_deinit(&number);
    write_locals(page, indent + 4, frame);
    return failed ? rft_error_no_memory() : NULL;
}

static bool is_repeat(const struct rft_frame *a, const struct rft_frame *b)
{
    return a->kind == b->kind && a->line == b->line && a->column == b->column &&
           strcmp(a->function, b->function) == 0 && strcmp(a->file, b->file) == 0;
}

struct rft_error *inspect_stack(const struct page *page, unsigned indent,
                                const struct rft_frame *frames, size_t count, size_t moved)
{
    size_t names = function_width(page, indent, frames, count);
    size_t python = 0, repeats = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_python = frames[i].kind == RFT_FRAME_PYTHON;
        python += is_python;
        repeats = i > 0 && is_repeat(&frames[i - 1], &frames[i]) ? repeats + 1 : 0;
        if (repeats < REPEATS_SHOWN) {
            struct rft_error *error =
                write_frame(page, indent, names, &frames[i], i == 0, is_python && python <= moved);
            if (error != NULL)
                return error;
        }
        bool last = i + 1 == count || !is_repeat(&frames[i], &frames[i + 1]);
        if (last && repeats >= REPEATS_SHOWN)
            page_format(page, INK_DIM, "%*s(the same %zu more times)\n", (int)indent, "",
                        repeats + 1 - REPEATS_SHOWN);
    }
    return NULL;
}

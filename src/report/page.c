#include "report/page.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/strbuf.h"

enum {
    WIDTH_WITHOUT_TERMINAL = 100,
    WIDTH_LEAST = 60, /* narrower than that no table is readable: let the terminal wrap it */
    WIDTH_MOST = 1000,
};

/* Colours of the terminal's own palette, so that they suit its background. */
static const char *const ink_starts[INK_COUNT] = {
    [INK_PLAIN] = "",         [INK_BOLD] = "\033[1m",  [INK_DIM] = "\033[2m",
    [INK_BAD] = "\033[1;31m", [INK_GOOD] = "\033[32m", [INK_CAUTION] = "\033[33m",
};

const char *page_ink_start(enum page_ink ink)
{
    return ink_starts[ink];
}

static size_t columns_of(FILE *to)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (isatty(fileno(to)) && ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    if (columns != NULL) {
        long number = strtol(columns, NULL, 10);
        if (number > 0 && number <= WIDTH_MOST)
            return (size_t)number;
    }
    return WIDTH_WITHOUT_TERMINAL;
}

void page_init(struct page *page, FILE *to, enum page_colour colour)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    page->to = to;
    page->width = columns_of(to);
    if (page->width < WIDTH_LEAST)
        page->width = WIDTH_LEAST;
    page->colour = colour == COLOUR_AUTO && isatty(fileno(to)) &&
                   (no_colour == NULL || no_colour[0] == '\0') &&
                   (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

/* The locale that the environment names, if it is not taken yet: which characters there are, and
 * how wide. Numbers and messages are the same in all. */
static void take_locale(void)
{
    if (strcmp(setlocale(LC_CTYPE, NULL), "C") == 0)
        setlocale(LC_CTYPE, "");
}

bool page_utf8(const struct page *page)
{
    (void)page; /* one locale for all */
    take_locale();
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static bool is_ascii(const char *text)
{
    while (*text != '\0' && (unsigned char)*text < 0x80)
        text++;
    return *text == '\0';
}

char *page_showable(const struct page *page, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL || is_ascii(text) || page_utf8(page))
        return copy;
    char *to = copy;
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x80)
            *to++ = *c;
        else if (byte >= 0xc0) /* the first byte of a character */
            *to++ = '?';
    }
    *to = '\0';
    return copy;
}

size_t page_text_width(const char *text, size_t size)
{
    size_t width = 0, i = 0;
    for (; i < size && (unsigned char)text[i] < 0x80; i++)
        width += text[i] >= ' ' && text[i] != 0x7f;
    if (i == size)
        return width;
    take_locale();
    mbstate_t state;
    memset(&state, 0, sizeof state);
    while (i < size) {
        wchar_t character;
        size_t used = mbrtowc(&character, text + i, size - i, &state);
        if (used == 0 || used > size - i) { /* no character of this locale */
            memset(&state, 0, sizeof state);
            used = 1;
            width++;
        } else {
            int columns = wcwidth(character);
            width += columns > 0 ? (size_t)columns : 0;
        }
        i += used;
    }
    return width;
}

void page_put(const struct page *page, enum page_ink ink, const char *text)
{
    bool coloured = page->colour && ink != INK_PLAIN && text[0] != '\0', plain = is_ascii(text);
    char *showable = plain ? NULL : page_showable(page, text);
    if (coloured)
        fputs(ink_starts[ink], page->to);
    if (plain || showable != NULL)
        fputs(plain ? text : showable, page->to);
    if (coloured)
        fputs(INK_END, page->to);
    free(showable);
}

void page_format(const struct page *page, enum page_ink ink, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return; /* one piece of text is missing; the next allocation fails the report */
    page_put(page, ink, text);
    free(text);
}

void page_line(const struct page *page)
{
    fputc('\n', page->to);
}

/* Bytes of the next word. A number and its unit are one: "100 %", "3.4 MiB",
 * "5 min 12 s". */
static size_t word_size(const char *text)
{
    enum { UNIT_LONGEST = 4 };
    size_t size = strcspn(text, " ");
    while (size > 0 && text[size] == ' ' && text[size - 1] >= '0' && text[size - 1] <= '9') {
        size_t unit = strcspn(text + size + 1, " ");
        if (unit > UNIT_LONGEST)
            break;
        size += 1 + unit;
    }
    return size;
}

void page_paragraph(const struct page *page, enum page_ink ink, unsigned indent, const char *text)
{
    size_t room = page->width > indent + 20 ? page->width - indent : 20;
    struct rft_strbuf line = {0};
    size_t used = 0;
    while (*text != '\0') {
        size_t size = word_size(text);
        size_t length = page_text_width(text, size);
        if (used > 0 && used + 1 + length > room) {
            page_format(page, INK_PLAIN, "%*s", (int)indent, "");
            page_put(page, ink, rft_strbuf_text(&line));
            page_line(page);
            rft_strbuf_clear(&line);
            used = 0;
        }
        if (used > 0) {
            rft_strbuf_add_char(&line, ' ');
            used++;
        }
        rft_strbuf_add_bytes(&line, text, size);
        used += length;
        text += size;
        text += strspn(text, " ");
    }
    if (used > 0) {
        page_format(page, INK_PLAIN, "%*s", (int)indent, "");
        page_put(page, ink, rft_strbuf_text(&line));
        page_line(page);
    }
    rft_strbuf_deinit(&line);
}

void page_heading(const struct page *page, const char *text, const char *remark)
{
    page_line(page);
    page_put(page, INK_BOLD, text);
    if (remark != NULL && remark[0] != '\0') {
        page_put(page, INK_PLAIN, "  ");
        page_put(page, INK_DIM, remark);
    }
    page_line(page);
}

const char *page_bar(const struct page *page, double value, double largest, unsigned cells,
                     char *text, size_t size)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    size_t used = 0;
    text[0] = '\0';
    if (!(value > 0) || !(largest > 0))
        return text;
    double share = value < largest ? value / largest : 1;
    unsigned parts = (unsigned)(share * cells * 8 + 0.5);
    if (parts == 0)
        parts = 1; /* little is not nothing */
    if (!page_utf8(page))
        parts = (parts + 7) / 8 * 8;
    for (unsigned i = 0; i < parts / 8 && used + 8 < size; i++) {
        const char *block = page_utf8(page) ? "█" : "#";
        memcpy(text + used, block, strlen(block) + 1);
        used += strlen(block);
    }
    if (used + 8 < size)
        memcpy(text + used, eighths[parts % 8], strlen(eighths[parts % 8]) + 1);
    return text;
}

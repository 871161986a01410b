/* `reftracer inspect --watch`: looks again and again. On a terminal each look is drawn over
 * the one before, on the terminal's second screen; the last one stays on the first. */
#include "cli/inspect.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"

#define SCREEN_BEGIN "\033[?1049h\033[?25l" /* second screen, no cursor */
#define SCREEN_END "\033[?1049l\033[?25h"
#define SCREEN_HOME "\033[H"
#define LINE_END "\033[K"
#define REST_CLEAR "\033[J"

struct watch {
    const struct inspect_options *options;
    struct inspect_target target;
    struct page page;
    bool screen;
    unsigned rounds;
};

/* Signals that end or redraw. They are blocked and fetched between two looks, so no
 * handler needs state of its own. */
static sigset_t watched_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGWINCH);
    return set;
}

/* Waits for the next round. False: it is time to end. */
static bool wait_for_round(int64_t interval_ms, const sigset_t *signals)
{
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += interval_ms / 1000;
    end.tv_nsec += interval_ms % 1000 * 1000000;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t left = (int64_t)(end.tv_sec - now.tv_sec) * 1000000000 + end.tv_nsec - now.tv_nsec;
        if (left < 0)
            left = 0;
        struct timespec rest = {left / 1000000000, left % 1000000000};
        int number = sigtimedwait(signals, NULL, &rest);
        if (number == SIGWINCH)
            return true;
        if (number > 0)
            return false;
        if (errno == EAGAIN)
            return true;
    }
}

static size_t screen_rows(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2)
        return size.ws_row;
    return 24;
}

/* Draws text from the upper left corner, as much of it as there are rows. */
static void draw(const char *text)
{
    size_t rows = screen_rows() - 1, lines = 0;
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    size_t drawn = lines > rows ? rows - 1 : lines;
    fputs(SCREEN_HOME, stdout);
    for (size_t i = 0; i < drawn; i++) {
        size_t size = strcspn(text, "\n");
        fwrite(text, 1, size, stdout);
        fputs(INK_END LINE_END "\n", stdout);
        text += size + 1;
    }
    if (drawn < lines)
        printf("(%zu more lines; --thread or --interpreter shows less)" LINE_END "\n",
               lines - drawn);
    fputs(REST_CLEAR, stdout);
}

static void write_time(const struct page *page)
{
    char text[32];
    time_t now = time(NULL);
    struct tm parts;
    localtime_r(&now, &parts);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    page_put(page, INK_DIM, text);
    page_line(page);
}

/* The newest look as text, on `to`. */
static struct rft_error *write_text(struct watch *watch, FILE *to)
{
    page_init(&watch->page, stdout, watch->options->no_colour ? COLOUR_NEVER : COLOUR_AUTO);
    watch->page.to = to;
    write_time(&watch->page);
    return inspect_show(watch->options, &watch->page, NULL, &watch->target);
}

static struct rft_error *show(struct watch *watch)
{
    struct rft_error *error;
    if (watch->options->json) {
        struct rft_json json;
        rft_json_init(&json, stdout, 0);
        error = inspect_show(watch->options, NULL, &json, &watch->target);
        fputc('\n', stdout);
    } else if (!watch->screen) {
        if (watch->rounds > 0)
            fputc('\n', stdout);
        error = write_text(watch, stdout);
    } else {
        char *text = NULL;
        size_t size = 0;
        FILE *memory = open_memstream(&text, &size);
        if (memory == NULL)
            return rft_error_no_memory();
        error = write_text(watch, memory);
        if (fclose(memory) != 0 && error == NULL)
            error = rft_error_no_memory();
        if (error == NULL) {
            if (watch->rounds == 0)
                fputs(SCREEN_BEGIN, stdout);
            draw(text);
        }
        free(text);
    }
    fflush(stdout);
    watch->rounds++;
    return error;
}

/* A process that executes another program has a new runtime, or none. */
static struct rft_error *open_again(struct watch *watch, const char *name, struct rft_error *error)
{
    if (error->os_errno == ESRCH || error->code == RFT_ERROR_NO_MEMORY)
        return error;
    rft_error_destroy(error);
    inspect_close(&watch->target);
    error = inspect_open(watch->options, name, &watch->target);
    return error != NULL ? error : inspect_take(watch->options, &watch->target);
}

static struct rft_error *watch_on(struct watch *watch, const char *name)
{
    sigset_t signals = watched_signals();
    struct rft_error *error = NULL;
    do {
        error = inspect_take(watch->options, &watch->target);
        if (error != NULL)
            error = open_again(watch, name, error);
        if (error == NULL)
            error = show(watch);
    } while (error == NULL && !ferror(stdout) &&
             wait_for_round(watch->options->interval_ms, &signals));
    return error;
}

int inspect_watch(const struct inspect_options *options, const char *name)
{
    struct watch watch = {.options = options,
                          .screen = !options->json && isatty(STDOUT_FILENO) == 1};
    struct rft_error *error = inspect_open(options, name, &watch.target);
    if (error != NULL) {
        inspect_close(&watch.target);
        return inspect_failed(error);
    }
    sigset_t signals = watched_signals(), before;
    sigprocmask(SIG_BLOCK, &signals, &before);
    int pid = watch.target.pid;
    error = watch_on(&watch, name);
    if (watch.screen && watch.rounds > 0) {
        fputs(SCREEN_END, stdout);
        /* The last picture, as long as there is one. */
        if (error == NULL && watch.target.look.snapshot != NULL)
            rft_error_destroy(write_text(&watch, stdout));
        fflush(stdout);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    int code = EXIT_FINE;
    if (error != NULL && error->os_errno == ESRCH && watch.rounds > 0) {
        say("inspect: process %d has ended", pid);
        rft_error_destroy(error);
    } else if (error != NULL) {
        code = inspect_failed(error);
    }
    inspect_close(&watch.target);
    return code;
}

#include "cli/reading.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <reftracer/trace.h>

#include "cli/commands.h"

enum {
    SILENT_MS = 1000, /* nobody wants to hear about less */
    REPEAT_MS = 100,
};

struct progress {
    bool possible;    /* stderr is a terminal */
    bool shown;       /* something stands on the terminal's line */
    int64_t start_ms; /* monotonic clock */
    int64_t last_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool show_progress(void *data, uint64_t done, uint64_t total)
{
    struct progress *progress = data;
    if (!progress->possible)
        return true;
    int64_t now = now_ms();
    if (now - progress->start_ms < SILENT_MS || now - progress->last_ms < REPEAT_MS)
        return true;
    progress->last_ms = now;
    progress->shown = true;
    unsigned percent = total > 0 ? (unsigned)((double)done * 100 / (double)total) : 100;
    fprintf(stderr, "\rreading: %3u %% of %" PRIu64 " MB", percent, (total + 500000) / 1000000);
    return true;
}

static struct rft_error *read_all(const char *const *paths, size_t count, struct rft_model **model)
{
    struct progress progress = {.possible = isatty(STDERR_FILENO) == 1, .start_ms = now_ms()};
    struct rft_error *error = rft_model_read(paths, count, show_progress, &progress, model);
    if (progress.shown)
        fputs("\r\033[K", stderr);
    return error;
}

/* Says what is wrong with the file if there is nothing in it that could be
 * read: a process that was killed at its start leaves such a trace, and must not
 * keep the others from being reported. */
static bool is_void(const char *path)
{
    struct rft_trace *trace = NULL;
    struct rft_error *error = rft_trace_read(path, NULL, &trace);
    if (error == NULL) {
        rft_trace_destroy(trace);
        return false;
    }
    bool is = error->code == RFT_ERROR_EMPTY || error->code == RFT_ERROR_DAMAGED;
    if (is)
        say("warning: left out: %s", error->message);
    rft_error_destroy(error);
    return is;
}

/* Reads those of the files that have something in them. */
static struct rft_error *read_others(const char *const *paths, size_t count,
                                     struct rft_error *error, struct rft_model **model)
{
    const char **others = calloc(count, sizeof *others);
    if (others == NULL)
        return error;
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_void(paths[i]))
            others[used++] = paths[i];
    if (used > 0 && used < count) {
        rft_error_destroy(error);
        error = read_all(others, used, model);
    }
    free(others);
    return error;
}

int read_model(const char *command, const char *const *paths, size_t count,
               struct rft_model **model)
{
    struct rft_error *error = read_all(paths, count, model);
    if (error != NULL && count > 1 &&
        (error->code == RFT_ERROR_EMPTY || error->code == RFT_ERROR_DAMAGED))
        error = read_others(paths, count, error, model);
    if (error != NULL) {
        say("%s: %s", command, error->message);
        rft_error_destroy(error);
        return EXIT_UNREADABLE;
    }
    for (size_t i = 0; i < (*model)->warning_count; i++)
        say("warning: %s", (*model)->warnings[i]);
    return EXIT_FINE;
}

/* `reftracer inspect`: inspect.c has the command line, inspect_target.c opens what it
 * names and looks at it, inspect_all.c finds all CPythons of the machine, inspect_watch.c
 * repeats. */
#ifndef RFT_CLI_INSPECT_H
#define RFT_CLI_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "report/inspect.h"

struct inspect_options {
    bool all, json, stacks, no_colour, watch;
    unsigned flags; /* RFT_SNAPSHOT_... */
    long looks;     /* 0: one, and more if they would tell more */
    int64_t interval_ms;
    const char *executable, *sysroot;
    bool one_interpreter, one_thread;
    int64_t interpreter;
    uint64_t thread;
};

/* A process or core that is looked at. */
struct inspect_target {
    struct rft_space *space;
    struct rft_runtime *runtime;
    int pid;    /* 0: a core */
    char *core; /* its path, printable; NULL: a process */
    struct inspect_past past;
    struct inspect_look look; /* the newest */
};

/* Opens a pid (all digits) or a core file. */
struct rft_error *inspect_open(const struct inspect_options *options, const char *name,
                               struct inspect_target *target);
struct rft_error *inspect_open_process(int pid, struct inspect_target *target);
/* Looks, several times if the options say so, and leaves the last look in target->look. */
struct rft_error *inspect_take(const struct inspect_options *options,
                               struct inspect_target *target);
void inspect_close(struct inspect_target *target);

/* inspect_asleep.c: of threads that seem to wait for each other, finds those that have run since
 * the look before. */
void inspect_find_moved(struct inspect_target *target);

/* One look as text or as a JSON object. */
struct rft_error *inspect_show(const struct inspect_options *options, const struct page *page,
                               struct rft_json *json, const struct inspect_target *target);

/* Says what is wrong, frees the error, and returns the exit code for it. */
int inspect_failed(struct rft_error *error);

/* Both return an exit code. */
int inspect_all(const struct inspect_options *options);
int inspect_watch(const struct inspect_options *options, const char *name);

/* inspect_linked.c: whether a CPython is linked into the executable that is open. */
bool has_runtime_linked(int fd);

#endif

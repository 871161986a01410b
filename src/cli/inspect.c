/* `reftracer inspect`: interpreters, threads and stacks of a process or core. */
#include "cli/inspect.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

enum {
    LOOKS_MOST = 1000,
    WATCH_LEAST_MS = 10,
    WATCH_MOST_MS = 24 * 3600 * 1000,
};

static void print_help(void)
{
    printf("Show every interpreter, thread and stack of a CPython 3.8 to 3.15.\n"
           "\n"
           "  reftracer inspect [options] PID\n"
           "  reftracer inspect [options] CORE\n"
           "  reftracer inspect [options] --all\n"
           "\n"
           "A process is only read: never stopped, never written to (but see --native). A core\n"
           "file may be of the kernel or of gcore, plain, gzip or zstd. An argument of digits\n"
           "only is a process id; a core of that name is ./4711.\n"
           "\n"
           "What to look at:\n"
           "      --all              every CPython on the machine that you may read, in short\n"
           "      --stacks           with --all: in full\n"
           "      --interpreter N    this interpreter only\n"
           "      --thread ID        this thread only: its native id, or threading's\n"
           "      --exe FILE         a core's executable, if it is not where it was\n"
           "      --sysroot DIR      where the files of the core's machine are\n"
           "\n"
           "What to show:\n"
           "      --locals           local variables; nothing is executed for that\n"
           "      --native           C frames too; a live process is stopped for some ms\n"
           "      --tasks            asyncio tasks and who waits for whom (3.14+)\n"
           "      --json             everything, for programs (docs/INSPECT-JSON.md)\n"
           "      --no-color         no colours on a terminal; so does the variable NO_COLOR\n"
           "\n"
           "How often:\n"
           "  -w, --watch[=SECONDS]  again and again (each second), what has changed is marked;\n"
           "                         ends with ^C, or when the process ends\n"
           "      --looks N          look N times, 10 ms apart, to say what does not move.\n"
           "                         Without it: once, and again if threads wait for a GIL\n"
           "                         or for each other, or all wait for locks\n"
           "  -h, --help             this text\n"
           "\n"
           "Exit code: 0 there is something to see; 1 the process or core could not be\n"
           "inspected; 2 the command line is wrong.\n");
}

static bool read_seconds(const char *text, int64_t *milliseconds)
{
    char *end = NULL;
    errno = 0;
    if ((text[0] < '0' || text[0] > '9') && text[0] != '.')
        return false;
    double value = strtod(text, &end);
    if (errno != 0 || *end != '\0' || !isfinite(value) || value > WATCH_MOST_MS / 1000.0)
        return false;
    *milliseconds = (int64_t)(value * 1000 + 0.5);
    return *milliseconds >= WATCH_LEAST_MS;
}

static bool read_id(const char *text, uint64_t *id)
{
    char *end = NULL;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *id = strtoull(text, &end, 0);
    return errno == 0 && *end == '\0' && *id != 0;
}

/* Returns an exit code, or -1 to go on. *after_watch: the word behind a --watch without
 * a value; it may be its value. */
static int parse(int argc, char **argv, struct inspect_options *options, const char **after_watch)
{
    enum {
        OPTION_ALL = 256,
        OPTION_STACKS,
        OPTION_INTERPRETER,
        OPTION_THREAD,
        OPTION_EXE,
        OPTION_SYSROOT,
        OPTION_LOCALS,
        OPTION_NATIVE,
        OPTION_TASKS,
        OPTION_JSON,
        OPTION_NO_COLOUR,
        OPTION_LOOKS,
    };
    static const struct option long_options[] = {
        {"all", no_argument, NULL, OPTION_ALL},
        {"stacks", no_argument, NULL, OPTION_STACKS},
        {"interpreter", required_argument, NULL, OPTION_INTERPRETER},
        {"thread", required_argument, NULL, OPTION_THREAD},
        {"exe", required_argument, NULL, OPTION_EXE},
        {"sysroot", required_argument, NULL, OPTION_SYSROOT},
        {"locals", no_argument, NULL, OPTION_LOCALS},
        {"native", no_argument, NULL, OPTION_NATIVE},
        {"tasks", no_argument, NULL, OPTION_TASKS},
        {"json", no_argument, NULL, OPTION_JSON},
        {"no-color", no_argument, NULL, OPTION_NO_COLOUR},
        {"watch", optional_argument, NULL, 'w'},
        {"looks", required_argument, NULL, OPTION_LOOKS},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, ":w::h", long_options, NULL);
        long number = 0;
        switch (option) {
        case -1:
            return -1;
        case OPTION_ALL:
            options->all = true;
            break;
        case OPTION_STACKS:
            options->stacks = true;
            break;
        case OPTION_INTERPRETER:
            if (!read_number(optarg, LONG_MAX, &number))
                return usage_error("inspect", "--interpreter needs a number, not \"%s\"", optarg);
            options->one_interpreter = true;
            options->interpreter = number;
            break;
        case OPTION_THREAD:
            if (!read_id(optarg, &options->thread))
                return usage_error("inspect", "--thread needs a thread's id, not \"%s\"", optarg);
            options->one_thread = true;
            break;
        case OPTION_EXE:
            options->executable = optarg;
            break;
        case OPTION_SYSROOT:
            options->sysroot = optarg;
            break;
        case OPTION_LOCALS:
            options->flags |= RFT_SNAPSHOT_LOCALS;
            break;
        case OPTION_NATIVE:
            options->flags |= RFT_SNAPSHOT_NATIVE;
            break;
        case OPTION_TASKS:
            options->flags |= RFT_SNAPSHOT_TASKS;
            break;
        case OPTION_JSON:
            options->json = true;
            break;
        case OPTION_NO_COLOUR:
            options->no_colour = true;
            break;
        case OPTION_LOOKS:
            if (!read_number(optarg, LOOKS_MOST, &options->looks) || options->looks == 0)
                return usage_error("inspect", "--looks needs a number from 1 to %d, not \"%s\"",
                                   LOOKS_MOST, optarg);
            break;
        case 'w':
            options->watch = true;
            *after_watch = optarg == NULL && optind < argc ? argv[optind] : NULL;
            if (optarg != NULL && !read_seconds(optarg, &options->interval_ms))
                return usage_error("inspect",
                                   "--watch needs seconds from 0.01 to 86400, not \"%s\"", optarg);
            break;
        case 'h':
            print_help();
            return EXIT_FINE;
        default:
            return option_error("inspect", option, argv);
        }
    }
}

/* `--watch 2 4711` and `4711 --watch 2`: of two arguments, the one behind --watch is its
 * value. Returns the number of arguments that are left. */
static int take_watch_value(int count, char **arguments, const char *after_watch,
                            struct inspect_options *options)
{
    if (count != 2 || after_watch == NULL)
        return count;
    int at = arguments[0] == after_watch ? 0 : 1;
    if (arguments[at] != after_watch || !read_seconds(after_watch, &options->interval_ms))
        return count;
    arguments[0] = arguments[1 - at];
    return 1;
}

/* Returns an exit code, or -1 to go on. */
static int check(const struct inspect_options *options, int count, char **arguments)
{
    if (options->all) {
        if (count > 0)
            return usage_error("inspect", "--all needs no process id; %s is too much",
                               arguments[0]);
        if (options->watch)
            return usage_error("inspect", "--watch needs one process, and --all means many");
        if (options->executable != NULL || options->sysroot != NULL)
            return usage_error("inspect", "--exe and --sysroot are for core files");
        if (options->one_interpreter || options->one_thread)
            return usage_error("inspect", "--interpreter and --thread need one process");
        return -1;
    }
    if (count == 0)
        return usage_error("inspect", "which process or core? For example: reftracer inspect 4711, "
                                      "or reftracer inspect --all");
    if (count > 1)
        return usage_error("inspect", "one process or core at a time; %s is too much",
                           arguments[1]);
    if (arguments[0][0] == '\0')
        return usage_error("inspect", "an empty argument names no process or core");
    if (options->stacks)
        return usage_error("inspect", "--stacks is for --all; one process is shown in full anyway");
    bool core = arguments[0][strspn(arguments[0], "0123456789")] != '\0';
    if (core && options->watch)
        return usage_error("inspect", "--watch needs a live process: a core does not change");
    if (!core && (options->executable != NULL || options->sysroot != NULL))
        return usage_error("inspect",
                           "--exe and --sysroot are for core files, and %s is a process id (a "
                           "file of that name is ./%s)",
                           arguments[0], arguments[0]);
    return -1;
}

static int inspect_one(const struct inspect_options *options, const char *name)
{
    struct inspect_target target = {0};
    struct page page;
    struct rft_json json;
    page_init(&page, stdout, options->no_colour ? COLOUR_NEVER : COLOUR_AUTO);
    rft_json_init(&json, stdout, 0);
    struct rft_error *error = inspect_open(options, name, &target);
    if (error == NULL)
        error = inspect_take(options, &target);
    if (error == NULL)
        error = inspect_show(options, &page, &json, &target);
    if (error == NULL && options->json)
        fputc('\n', stdout);
    inspect_close(&target);
    return error != NULL ? inspect_failed(error) : EXIT_FINE;
}

int inspect_main(int argc, char **argv)
{
    struct inspect_options options = {.flags = RFT_SNAPSHOT_LOCKS, .interval_ms = 1000};
    const char *after_watch = NULL;
    int code = parse(argc, argv, &options, &after_watch);
    if (code >= 0)
        return code;
    char **arguments = argv + optind;
    int count = take_watch_value(argc - optind, arguments, after_watch, &options);
    code = check(&options, count, arguments);
    if (code >= 0)
        return code;
    if (options.all)
        return inspect_all(&options);
    return options.watch ? inspect_watch(&options, arguments[0])
                         : inspect_one(&options, arguments[0]);
}

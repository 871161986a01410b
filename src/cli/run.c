/* `reftracer run`: starts a program with the agent preloaded. The agent does the
 * tracing; what is told to it, and what it tells back, is in run_child.c and
 * run_outcome.c. */
#include "cli/run.h"
#include "cli/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static void print_help(void)
{
    printf(
        "Trace a program: every Python object's birth and death, and who is still alive\n"
        "at the end.\n"
        "\n"
        "  reftracer run [options] [--] COMMAND [ARGUMENT...]   anything that starts a Python\n"
        "  reftracer run [options] SCRIPT.py [ARGUMENT...]      with --python or PATH's python3\n"
        "  reftracer run [options] -m MODULE [ARGUMENT...]\n"
        "  reftracer run [options] -c CODE [ARGUMENT...]\n"
        "\n"
        "Options:\n"
        "  -o, --output FILE   where to write the trace\n"
        "                      (without: reftracer-NAME.PID.rft in the working folder)\n"
        "  -f, --force         replace an existing trace and those of its child processes\n"
        "      --python EXE    run the script, module or code with this Python\n"
        "      --holders[=SECONDS] look through the heap before the survivors are counted:\n"
        "                      who holds them, what they retain, garbage in cycles, refcounts\n"
        "                      that do not add up; the program waits up to 60 seconds for it\n"
        "      --no-gc         no gc.collect() before the survivors are counted: garbage\n"
        "                      in cycles then counts as alive\n"
        "      --no-children   do not trace child processes\n"
        "  -q, --quiet         say nothing, except what went wrong\n"
        "  -h, --help          this text\n"
        "\n"
        "Each child process that is a Python gets its own trace beside the first:\n"
        "app.rft, app.4711.rft, ... Read them together: reftracer report app.rft app.*.rft\n"
        "\n"
        "Works with CPython 3.13 and newer. Counts are exact from 3.13.3, 3.14.8 and 3.15.1\n"
        "on; the releases before lose deaths, and the report says how many.\n"
        "\n"
        "Exit code: the program's own, or 128 + N if signal N ended it;\n"
        "  2    the command line is wrong\n"
        "  125  reftracer could not run the program, or nothing was traced though the\n"
        "       program ended with 0\n"
        "  126  the program can't be executed\n"
        "  127  the program was not found\n");
}

/* text: NULL for the usual bound. */
static bool read_seconds(const char *text, unsigned long *ms)
{
    char *end;
    double seconds = text != NULL ? strtod(text, &end) : 60;
    if (text != NULL && (end == text || *end != '\0'))
        return false;
    *ms = seconds >= 0.001 && seconds <= 3600 ? (unsigned long)(seconds * 1000 + 0.5) : 0;
    return *ms > 0;
}

/* Reads the options up to the program's own words. Returns an exit code, or -1
 * to go on with *kind and optind. */
static int parse(int argc, char **argv, struct run_options *options, enum program_kind *kind,
                 char **subject)
{
    enum { OPTION_PYTHON = 256, OPTION_HOLDERS, OPTION_NO_GC, OPTION_NO_CHILDREN };
    static const struct option long_options[] = {
        {"output", required_argument, NULL, 'o'},
        {"force", no_argument, NULL, 'f'},
        {"python", required_argument, NULL, OPTION_PYTHON},
        {"holders", optional_argument, NULL, OPTION_HOLDERS},
        {"no-gc", no_argument, NULL, OPTION_NO_GC},
        {"no-children", no_argument, NULL, OPTION_NO_CHILDREN},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    opterr = 0;
    for (;;) {
        /* "+": options end at the first word that is none; the rest is the program's. */
        int option = getopt_long(argc, argv, "+:o:fqhm:c:", long_options, NULL);
        switch (option) {
        case -1:
            return -1;
        case 'o':
            options->output = optarg;
            break;
        case 'f':
            options->force = true;
            break;
        case OPTION_PYTHON:
            options->python = optarg;
            break;
        case OPTION_HOLDERS:
            if (!read_seconds(optarg, &options->holders))
                return usage_error("run", "--holders takes seconds, from 0.001 to 3600");
            break;
        case OPTION_NO_GC:
            options->no_gc = true;
            break;
        case OPTION_NO_CHILDREN:
            options->no_children = true;
            break;
        case 'q':
            options->quiet = true;
            break;
        case 'h':
            print_help();
            return EXIT_FINE;
        case 'm':
        case 'c':
            *kind = option == 'm' ? PROGRAM_MODULE : PROGRAM_CODE;
            *subject = optarg;
            return -1;
        default:
            return option_error("run", option, argv);
        }
    }
}

static int run(const struct run_options *options, struct program *program)
{
    char *preload = NULL;
    int code = agent_find(&preload);
    if (code != 0)
        return code;
    struct output output = {0};
    struct child_end end = {0};
    code = output_prepare(options, &output);
    if (code == 0) {
        if (program->obstacle != PRELOAD_WORKS && !options->quiet)
            say("warning: %s %s; only Pythons that it starts can be traced", program->path,
                obstacle_text(program->obstacle));
        char *status_path = outcome_open(&output);
        code = child_run(options, program, &output, preload, status_path, &end);
        if (code == 0)
            code = outcome_tell(options, program, &output, &end, status_path);
        free(status_path);
    }
    child_end_deinit(&end);
    output_deinit(&output);
    free(preload);
    return code;
}

int run_main(int argc, char **argv)
{
    struct run_options options = {0};
    enum program_kind kind = PROGRAM_COMMAND;
    char *subject = NULL;
    int code = parse(argc, argv, &options, &kind, &subject);
    if (code >= 0)
        return code;
    if (options.output != NULL && options.output[0] == '\0')
        return usage_error("run", "-o needs the name of a file");

    char **words = argv + optind;
    int count = argc - optind;
    if (kind != PROGRAM_COMMAND) {
        /* The value of -m or -c may be the tail of its own word (-mhttp.server);
         * its place in argv is free for the bare value either way. */
        words--;
        count++;
        words[0] = subject;
    }
    if (count == 0)
        return usage_error("run", "which program? For example: reftracer run -- python3 app.py");

    struct program program = {0};
    code = program_find(&options, kind, words, count, &program);
    if (code == 0)
        code = run(&options, &program);
    program_deinit(&program);
    return code;
}

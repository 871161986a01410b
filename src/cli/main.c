/* The command `reftracer`: finds the subcommand and calls it.
 *
 * To add a subcommand:
 *   1. write src/cli/NAME.c with `int NAME_main(int argc, char **argv)`, which
 *      parses its own options (argv[0] is its name), has its own --help, and
 *      returns one of the exit codes of src/cli/commands.h;
 *   2. declare NAME_main in src/cli/commands.h;
 *   3. add one row to `subcommands` below and the file to src/cli/meson.build;
 *   4. write man/reftracer-NAME.1 and a test in tests/cli/. */
#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "late/late.h"

struct subcommand {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *example;
    const char *purpose;
};

static const struct subcommand subcommands[] = {
    {"run", run_main, "reftracer run -o app.rft -- python3 app.py", "trace a program"},
    {"report", report_main, "reftracer report app.rft", "what grows, what is garbage, where"},
    {"diff", diff_main, "reftracer diff before.rft after.rft",
     "what one run has more of than another"},
    {"inspect", inspect_main, "reftracer inspect 4711", "threads and stacks of a process or core"},
};

enum { SUBCOMMANDS = sizeof subcommands / sizeof subcommands[0] };

static void print_help(void)
{
    printf("reftracer follows every Python object from birth to death and says which lines\n"
           "keep making objects that never die. It traces CPython 3.13 and newer; the traced\n"
           "program needs no change and nothing installed. And it shows every interpreter,\n"
           "thread and stack of a CPython 3.8 or newer that runs, hangs or has crashed.\n\n");
    for (int i = 0; i < SUBCOMMANDS; i++)
        printf("  %-46s %s\n", subcommands[i].example, subcommands[i].purpose);
    printf("\n"
           "Each has its own help, for instance: reftracer run --help\n"
           "\n"
           "Options:\n"
           "  -h, --help      this text\n"
           "  -V, --version   the version, and the libraries that it was built with\n"
           "\n"
           "Exit codes: 0 fine; 1 a trace, process or core could not be read; 2 the command\n"
           "line is wrong. `run` passes on the exit code of the program, and adds 125 to 127 (see\n"
           "its help).\n");
}

/* The build's defaults are to take each library if it is there: what is missing, and what
 * that means, must be easy to see. */
static void print_version(void)
{
    static const char with[] = RFT_BUILT_WITH, without[] = RFT_BUILT_WITHOUT;
    printf("reftracer %s\n", REFTRACER_VERSION);
    if (with[0] != '\0')
        printf("built with %s\n", with);
    if (without[0] != '\0')
        printf("built without %s\n", without);
    for (enum rft_late what = 0; what < RFT_LATE_COUNT; what++)
        if (rft_late_missing(what) != NULL)
            printf("%s\n", rft_late_missing(what));
}

/* A standard descriptor that is closed would be given to the next file that
 * is opened, and messages would be written into it. The stand-ins are closed
 * on exec, so that a traced program finds what it would find without us. Those
 * of stdout and stderr can't be written to, so a report that nobody can get
 * ends with an error. */
static void keep_standard_descriptors_taken(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        int stand_in = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (stand_in > 2)
            close(stand_in);
    }
}

/* Output is complete only when the last buffer is on its way. */
static int finish_stdout(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    say("cannot write to standard output: %s", strerror(errno));
    return code == EXIT_FINE ? EXIT_UNREADABLE : code;
}

int main(int argc, char **argv)
{
    keep_standard_descriptors_taken();

    if (argc < 2) {
        say("no command given. Start with: reftracer run -o app.rft -- python3 app.py");
        say("then: reftracer report app.rft. All commands: reftracer --help");
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        print_version();
        return finish_stdout(EXIT_FINE);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2)) {
        print_help();
        return finish_stdout(EXIT_FINE);
    }
    argc--;
    argv++;
    char help_option[] = "--help";
    char *help_argv[] = {argv[argc - 1], help_option, NULL};
    if (strcmp(name, "help") == 0) { /* `reftracer help run` is `reftracer run --help` */
        argc = 2;
        argv = help_argv;
        name = argv[0];
    }
    for (int i = 0; i < SUBCOMMANDS; i++)
        if (strcmp(name, subcommands[i].name) == 0)
            return finish_stdout(subcommands[i].main(argc, argv));
    if (name[0] == '-')
        return usage_error(NULL, "unknown option %s", name);
    say("there is no command \"%s\". To trace a program: reftracer run -- %s", name, name);
    say("all commands: reftracer --help");
    return EXIT_USAGE;
}

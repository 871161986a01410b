/* What every subcommand shares: its entry point, its exit codes, its messages.
 * src/cli/main.c has the table, and the steps to add one. */
#ifndef RFT_CLI_COMMANDS_H
#define RFT_CLI_COMMANDS_H

#include <stdbool.h>

/* Exit codes of the command. Scripts rely on them: they never change meaning. */
enum {
    EXIT_FINE = 0,
    EXIT_UNREADABLE = 1,       /* report, diff, inspect: nothing could be read */
    EXIT_USAGE = 2,            /* the command line makes no sense */
    EXIT_RUN_FAILED = 125,     /* run: reftracer itself failed, or nothing was traced */
    EXIT_NOT_EXECUTABLE = 126, /* run: the program was found but can't be executed */
    EXIT_NOT_FOUND = 127,      /* run: the program was not found */
    EXIT_SIGNAL_BASE = 128,    /* run: plus the number of the signal that ended the program */
};

/* Entry points: argv[0] is the subcommand's name. Each returns an exit code. */
int run_main(int argc, char **argv);
int report_main(int argc, char **argv);
int diff_main(int argc, char **argv);
int inspect_main(int argc, char **argv);

/* Writes one line to stderr: "reftracer: " and the message, whose control
 * characters are shown as escapes (file names may hold any). */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a mistake on the command line of `command`; adds where to find
 * help and returns EXIT_USAGE. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For getopt_long() with opterr 0: what is wrong with the option it refused,
 * result being ':' or '?'. Returns EXIT_USAGE. */
int option_error(const char *command, int result, char **argv);

/* Reads a whole number between 0 and limit. false if text is anything else. */
bool read_number(const char *text, long limit, long *number);

#endif

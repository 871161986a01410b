/* `reftracer diff`: what a second run has more and less of than a first. */
#include "cli/commands.h"
#include "cli/reading.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include "analyze/diff.h"
#include "report/diff_page.h"
#include "report/json_report.h"

struct diff_options {
    long top, stack_limit;
    bool json, no_colour;
};

static void print_help(void)
{
    printf("Compare two traces: what B has more and less of than A.\n"
           "\n"
           "  reftracer diff [options] A.rft B.rft\n"
           "\n"
           "Places in the code are matched by type and stack; where lines have moved between\n"
           "the runs, by type, files and functions.\n"
           "\n"
           "Options:\n"
           "  -n, --top N      rows of a table, at most\n"
           "      --json       everything, for programs (docs/JSON-SCHEMA.md)\n"
           "      --stack-limit N  frames of a stack in --json, innermost first; 0: all (without:\n"
           "                   1,000, and fewer once there are 4 million frames)\n"
           "      --no-color   no colours on a terminal; so does the variable NO_COLOR\n"
           "  -h, --help       this text\n"
           "\n"
           "Exit code: 0 there is a comparison, whatever it says; 1 a trace can't be read at\n"
           "all; 2 the command line is wrong.\n");
}

/* Returns an exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct diff_options *options)
{
    enum { OPTION_JSON = 256, OPTION_STACK_LIMIT, OPTION_NO_COLOUR };
    static const struct option long_options[] = {
        {"top", required_argument, NULL, 'n'},
        {"json", no_argument, NULL, OPTION_JSON},
        {"stack-limit", required_argument, NULL, OPTION_STACK_LIMIT},
        {"no-color", no_argument, NULL, OPTION_NO_COLOUR},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, ":n:h", long_options, NULL);
        switch (option) {
        case -1:
            return -1;
        case 'n':
            if (!read_number(optarg, INT_MAX, &options->top) || options->top == 0)
                return usage_error("diff", "--top needs a number of rows, not \"%s\"", optarg);
            break;
        case OPTION_JSON:
            options->json = true;
            break;
        case OPTION_STACK_LIMIT:
            if (!read_number(optarg, INT_MAX, &options->stack_limit))
                return usage_error("diff", "--stack-limit needs a number of frames, not \"%s\"",
                                   optarg);
            /* The reports' 0 are their own bounds. */
            if (options->stack_limit == 0)
                options->stack_limit = INT_MAX;
            break;
        case OPTION_NO_COLOUR:
            options->no_colour = true;
            break;
        case 'h':
            print_help();
            return EXIT_FINE;
        default:
            return option_error("diff", option, argv);
        }
    }
}

static struct rft_error *write_diff(const struct diff_options *options, const struct rft_model *a,
                                    const struct rft_model *b)
{
    struct rft_diff diff;
    struct rft_error *error = rft_diff_init(a, b, &diff);
    if (error != NULL)
        return error;
    if (options->json) {
        json_diff(stdout, a, b, &diff, (uint32_t)options->top, (uint32_t)options->stack_limit);
    } else {
        struct page page;
        page_init(&page, stdout, options->no_colour ? COLOUR_NEVER : COLOUR_AUTO);
        struct diff_report report = {
            .a = a, .b = b, .diff = &diff, .page = &page, .top = (uint32_t)options->top};
        error = diff_page(&report);
    }
    rft_diff_deinit(&diff);
    return error;
}

int diff_main(int argc, char **argv)
{
    struct diff_options options = {0};
    int code = parse(argc, argv, &options);
    if (code >= 0)
        return code;
    if (argc - optind != 2)
        return usage_error("diff", "needs two traces, the earlier first: reftracer diff "
                                   "before.rft after.rft");
    const char *const *paths = (const char *const *)argv + optind;
    struct rft_model *a = NULL;
    struct rft_model *b = NULL;
    code = read_model("diff", &paths[0], 1, &a);
    if (code == EXIT_FINE)
        code = read_model("diff", &paths[1], 1, &b);
    if (code == EXIT_FINE) {
        struct rft_error *error = write_diff(&options, a, b);
        if (error != NULL) {
            say("diff: %s", error->message);
            rft_error_destroy(error);
            code = EXIT_UNREADABLE;
        }
    }
    rft_model_destroy(a);
    rft_model_destroy(b);
    return code;
}

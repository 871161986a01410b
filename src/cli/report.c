/* `reftracer report`: reads traces and writes a view of them. */
#include "cli/commands.h"
#include "cli/reading.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "report/json_report.h"
#include "report/view.h"

struct report_options {
    const struct rft_view *view;
    enum group_by group_by;
    long top, stack_limit;
    const char *filter;
    bool full_stacks, json, shared_stacks, no_colour;
};

static void print_help(void)
{
    printf("Say what a traced program did with its objects.\n"
           "\n"
           "  reftracer report [options] TRACE.rft...\n"
           "\n"
           "Several traces are added up, for instance a program's and its child processes':\n"
           "  reftracer report app.rft app.*.rft\n"
           "\n"
           "Options:\n"
           "  -v, --view VIEW      what to show (without: summary)\n");
    for (int i = 0; i < RFT_VIEW_COUNT; i++)
        printf("                         %-9s %s\n", rft_views[i].name, rft_views[i].purpose);
    printf("  -g, --group-by KEY   what a row of a table stands for (without -v: sites):\n"
           "                         %s\n"
           "  -n, --top N          rows of a table, at most\n"
           "  -F, --filter TEXT    only what has TEXT in its type, thread, or any file or\n"
           "                       function of its stack; upper or lower case is the same\n"
           "      --full-stacks    all frames, not only the program's own\n"
           "      --json           everything, for programs (docs/JSON-SCHEMA.md)\n"
           "      --stack-limit N  frames of a stack in --json, innermost first; 0: all (without:\n"
           "                       1,000, and fewer once there are 4 million frames)\n"
           "      --shared-stacks  in --json each stack is a number in a list of all: far smaller\n"
           "      --no-color       no colours on a terminal; so does the variable NO_COLOR\n"
           "  -h, --help           this text\n"
           "\n"
           "A trace that is damaged, cut short or still being written is reported as far as it\n"
           "can be read; what is missing is said on stderr and in the report's first lines.\n"
           "\n"
           "Exit code: 0 there is a report; 1 a trace can't be read at all; 2 the command line\n"
           "is wrong.\n",
           group_names());
}

/* Returns an exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct report_options *options)
{
    enum {
        OPTION_FULL_STACKS = 256,
        OPTION_JSON,
        OPTION_STACK_LIMIT,
        OPTION_SHARED_STACKS,
        OPTION_NO_COLOUR
    };
    static const struct option long_options[] = {
        {"view", required_argument, NULL, 'v'},
        {"group-by", required_argument, NULL, 'g'},
        {"top", required_argument, NULL, 'n'},
        {"filter", required_argument, NULL, 'F'},
        {"full-stacks", no_argument, NULL, OPTION_FULL_STACKS},
        {"json", no_argument, NULL, OPTION_JSON},
        {"stack-limit", required_argument, NULL, OPTION_STACK_LIMIT},
        {"shared-stacks", no_argument, NULL, OPTION_SHARED_STACKS},
        {"no-color", no_argument, NULL, OPTION_NO_COLOUR},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, ":v:g:n:F:h", long_options, NULL);
        switch (option) {
        case -1:
            return -1;
        case 'v':
            options->view = rft_view_named(optarg);
            if (options->view == NULL)
                return usage_error("report",
                                   "there is no view \"%s\"; there are summary, leaks, churn, "
                                   "types, sites, ages, holders, retained, refcounts and garbage",
                                   optarg);
            break;
        case 'g':
            options->group_by = group_named(optarg);
            if (options->group_by == GROUP_DEFAULT)
                return usage_error("report", "can't group by \"%s\": choose %s", optarg,
                                   group_names());
            break;
        case 'n':
            if (!read_number(optarg, INT_MAX, &options->top) || options->top == 0)
                return usage_error("report", "--top needs a number of rows, not \"%s\"", optarg);
            break;
        case 'F':
            options->filter = optarg[0] != '\0' ? optarg : NULL;
            break;
        case OPTION_FULL_STACKS:
            options->full_stacks = true;
            break;
        case OPTION_JSON:
            options->json = true;
            break;
        case OPTION_STACK_LIMIT:
            if (!read_number(optarg, INT_MAX, &options->stack_limit))
                return usage_error("report", "--stack-limit needs a number of frames, not \"%s\"",
                                   optarg);
            /* The reports' 0 are their own bounds. */
            if (options->stack_limit == 0)
                options->stack_limit = INT_MAX;
            break;
        case OPTION_SHARED_STACKS:
            options->shared_stacks = true;
            break;
        case OPTION_NO_COLOUR:
            options->no_colour = true;
            break;
        case 'h':
            print_help();
            return EXIT_FINE;
        default:
            return option_error("report", option, argv);
        }
    }
}

static struct rft_error *write_report(const struct report_options *options,
                                      const struct rft_model *model, const char *files)
{
    struct site_filter filter = {0};
    struct rft_error *error = site_filter_init(&filter, model, options->filter);
    if (error != NULL)
        return error;
    if (options->json) {
        struct json_stacks stacks = {
            .limit = (uint32_t)options->stack_limit,
            .shared = options->shared_stacks,
        };
        json_report(stdout, model, &filter, (uint32_t)options->top, stacks);
    } else {
        struct page page;
        page_init(&page, stdout, options->no_colour ? COLOUR_NEVER : COLOUR_AUTO);
        struct rft_report report = {
            .model = model,
            .page = &page,
            .filter = &filter,
            .filter_text = options->filter,
            .files = files,
            .group_by = options->group_by,
            .top = (uint32_t)options->top,
            .full_stacks = options->full_stacks,
        };
        error = options->view->write(&report);
    }
    site_filter_deinit(&filter);
    return error;
}

int report_main(int argc, char **argv)
{
    struct report_options options = {0};
    int code = parse(argc, argv, &options);
    if (code >= 0)
        return code;
    /* Who says what a row stands for wants rows: the summary has few. */
    if (options.view == NULL)
        options.view =
            &rft_views[options.group_by != GROUP_DEFAULT ? RFT_VIEW_SITES : RFT_VIEW_SUMMARY];
    if (optind == argc)
        return usage_error("report", "which trace? For example: reftracer report app.rft");

    struct rft_model *model = NULL;
    code =
        read_model("report", (const char *const *)argv + optind, (size_t)(argc - optind), &model);
    if (code != EXIT_FINE)
        return code;
    /* The whole list, as it can be given again, unless it is too long to read. */
    struct rft_strbuf files = {0};
    enum { FILES_NAMED = 3 };
    for (int i = optind; i < argc && i < optind + FILES_NAMED; i++) {
        rft_strbuf_add(&files, i > optind ? " " : "");
        rft_text_shell(&files, argv[i], strlen(argv[i]));
    }
    if (argc - optind > FILES_NAMED)
        rft_strbuf_add(&files, " ...");
    struct rft_error *error = write_report(&options, model, rft_strbuf_text(&files));
    rft_strbuf_deinit(&files);
    rft_model_destroy(model);
    if (error != NULL) {
        say("report: %s", error->message);
        rft_error_destroy(error);
        return EXIT_UNREADABLE;
    }
    return EXIT_FINE;
}

/* Where the agent is, and the LD_PRELOAD that loads it. */
#include "cli/commands.h"
#include "cli/run.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGENT_FILE "libreftracer-agent.so"

/* The first file that matches folder + pattern, resolved; NULL if none does.
 * Library folders contain the machine's name on some systems (lib/x86_64-linux-gnu),
 * so the pattern may have stars; the folder's own are taken literally. */
static char *first_match(const char *folder, const char *pattern)
{
    char escaped[2 * PATH_MAX];
    size_t used = 0;
    for (const char *c = folder; *c != '\0' && used < sizeof escaped - 2; c++) {
        if (strchr("*?[\\", *c) != NULL)
            escaped[used++] = '\\';
        escaped[used++] = *c;
    }
    escaped[used] = '\0';
    char *whole = NULL;
    if (asprintf(&whole, "%s/%s", escaped, pattern) < 0)
        return NULL;
    glob_t matches;
    char *found = NULL;
    if (glob(whole, 0, NULL, &matches) == 0) {
        for (size_t i = 0; i < matches.gl_pathc && found == NULL; i++)
            if (access(matches.gl_pathv[i], R_OK) == 0)
                found = realpath(matches.gl_pathv[i], NULL);
        globfree(&matches);
    }
    free(whole);
    return found;
}

static char *search(void)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length > 0) {
        self[length] = '\0';
        char *slash = strrchr(self, '/');
        if (slash != NULL)
            *slash = '\0';
        static const char *const places[] = {
            AGENT_FILE, /* the build folder, and the Python package */
            "../lib/reftracer/" AGENT_FILE,
            "../lib64/reftracer/" AGENT_FILE,
            "../lib/*/reftracer/" AGENT_FILE,
        };
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            char *found = first_match(self, places[i]);
            if (found != NULL)
                return found;
        }
    }
    return first_match(REFTRACER_AGENT_DIR, AGENT_FILE);
}

int agent_find(char **preload)
{
    const char *named = getenv("REFTRACER_AGENT");
    char *agent;
    if (named != NULL && named[0] != '\0') {
        agent = realpath(named, NULL);
        if (agent == NULL || access(agent, R_OK) != 0) {
            say("cannot load the agent %s, which the variable REFTRACER_AGENT names: %s", named,
                strerror(errno));
            free(agent);
            return EXIT_RUN_FAILED;
        }
    } else {
        agent = search();
        if (agent == NULL) {
            say("cannot find " AGENT_FILE ", the part that traces: it is neither beside the "
                "command nor in ../lib/reftracer/. Install reftracer again, or set REFTRACER_AGENT "
                "to the file");
            return EXIT_RUN_FAILED;
        }
    }
    /* The loader splits LD_PRELOAD at both, and there is no way to quote them. */
    if (strpbrk(agent, " :") != NULL) {
        say("the agent's path %s has a space or colon in it, which LD_PRELOAD can't hold. Move "
            "reftracer, or set REFTRACER_AGENT to a copy of the file elsewhere",
            agent);
        free(agent);
        return EXIT_RUN_FAILED;
    }
    const char *before = getenv("LD_PRELOAD");
    size_t length = strlen(agent);
    int made;
    if (before == NULL || before[0] == '\0')
        made = asprintf(preload, "%s", agent);
    else if (strncmp(before, agent, length) == 0 &&
             (before[length] == '\0' || before[length] == ':'))
        made = asprintf(preload, "%s", before); /* run inside a traced program */
    else
        made = asprintf(preload, "%s:%s", agent, before);
    free(agent);
    if (made < 0) {
        *preload = NULL;
        say("out of memory");
        return EXIT_RUN_FAILED;
    }
    return 0;
}

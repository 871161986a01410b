/* Where the agent is, and the LD_PRELOAD that loads it. */
#include "cli/commands.h"
#include "cli/run.h"
#include "late/installed.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGENT_FILE "libreftracer-agent.so"

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
        agent = rft_installed(AGENT_FILE);
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

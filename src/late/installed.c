/* Where what was installed with the command is. */
#include "late/installed.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* The first file that matches folder + pattern + file, resolved; NULL if none does.
 * Library folders contain the machine's name on some systems (lib/x86_64-linux-gnu),
 * so the pattern may have stars; the folder's own are taken literally. */
static char *first_match(const char *folder, const char *pattern, const char *file)
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
    if (asprintf(&whole, "%s/%s%s", escaped, pattern, file) < 0)
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

/* Of the command itself; NULL: unknown. A container may have no /proc: then it is the name under
 * which the kernel was told to execute it. */
static char *own_path(void)
{
    char *path = realpath("/proc/self/exe", NULL);
    const char *executed = (const char *)getauxval(AT_EXECFN); /* NOLINT: a word by design */
    return path != NULL || executed == NULL ? path : realpath(executed, NULL);
}

char *rft_installed(const char *file)
{
    char *self = own_path();
    if (self != NULL) {
        char *slash = strrchr(self, '/');
        if (slash != NULL)
            *slash = '\0';
        static const char *const places[] = {
            "", /* the build folder */
            "../lib/reftracer/",
            "../lib64/reftracer/",
            "../lib/*/reftracer/",
            /* the Python package, in an environment or a user's own folder; installed with
             * pip --target, or from a wheel that auditwheel has repaired */
            "../lib/python*/*-packages/.reftracer.mesonpy.libs/reftracer/",
            "../.reftracer.mesonpy.libs/reftracer/",
        };
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            char *found = first_match(self, places[i], file);
            if (found != NULL) {
                free(self);
                return found;
            }
        }
        free(self);
    }
    return first_match(REFTRACER_AGENT_DIR, "", file);
}

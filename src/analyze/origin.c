/* Whose code a file is, told by its path: the report looks for the program's own
 * lines, and a trace may come from another machine. */
#include <ctype.h>
#include <string.h>

#include "analyze/store.h"

/* ".../lib/python3.14/..." and ".../python314.zip/...": where Python keeps its own
 * library, wherever it is installed. */
static bool in_python_library(const char *file)
{
    for (const char *at = file; (at = strstr(at, "/python")); at++) {
        const char *version = at + strlen("/python");
        size_t digits = strspn(version, "0123456789.t");
        if (digits >= 2 && isdigit((unsigned char)*version) &&
            (version[digits] == '/' || !strncmp(version + digits, "zip/", 4)))
            return true;
    }
    return false;
}

enum rft_origin rft_origin_of(const char *file)
{
    if (!strncmp(file, "<frozen ", 8))
        return RFT_ORIGIN_STDLIB;
    if (!*file || *file == '<')
        return RFT_ORIGIN_GENERATED;
    if (strstr(file, "/site-packages/") || strstr(file, "/dist-packages/"))
        return RFT_ORIGIN_PACKAGE;
    return in_python_library(file) ? RFT_ORIGIN_STDLIB : RFT_ORIGIN_OWN;
}

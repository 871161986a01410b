/* What the command says on stderr, and how it reads its options. */
#include "cli/commands.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One write per line: the program that is traced writes to the same terminal. */
static void write_line(const char *text)
{
    char line[8192];
    size_t used = 0;
    const char *lead = "reftracer: ";
    memcpy(line, lead, strlen(lead));
    used = strlen(lead);
    for (const char *c = text; *c != '\0' && used < sizeof line - 8; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == 0x7f)
            used += (size_t)snprintf(line + used, 5, "\\x%02x", byte);
        else
            line[used++] = *c;
    }
    line[used++] = '\n';
    for (size_t done = 0; done < used;) {
        ssize_t wrote = write(STDERR_FILENO, line + done, used - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return; /* stderr is closed or full: there is nobody to tell */
        done += (size_t)wrote;
    }
}

void say(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    fflush(stdout); /* keeps the order of the two streams on a terminal */
    write_line(length < 0 ? "out of memory" : text);
    if (length >= 0)
        free(text);
}

int usage_error(const char *command, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        say("out of memory");
    else if (command != NULL)
        say("%s: %s. Help: reftracer %s --help", command, text, command);
    else
        say("%s. Help: reftracer --help", text);
    if (length >= 0)
        free(text);
    return EXIT_USAGE;
}

int option_error(const char *command, int result, char **argv)
{
    /* optopt is 0 for a long option that does not exist; then the option is
     * the argument that getopt has just stepped over. */
    const char *word = optind > 0 ? argv[optind - 1] : "";
    if (result == ':')
        return usage_error(command, "option %s needs a value", word);
    if (optopt > 0 && optopt < 128 && strncmp(word, "--", 2) != 0)
        return usage_error(command, "there is no option -%c", optopt);
    return usage_error(
        command, "option %s does not exist, is cut short ambiguously, or takes no value", word);
}

bool read_number(const char *text, long limit, long *number)
{
    char *end = NULL;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    long value = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || value > limit)
        return false;
    *number = value;
    return true;
}

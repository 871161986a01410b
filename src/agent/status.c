#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "trace/writer.h"

struct rft_config rft_config;

/* A path of 4,096 bytes and some words. */
enum { LINE_MAX_BYTES = 4096 + 512 };

static size_t format_line(char *line, size_t size, const char *format, va_list arguments)
{
    int length = vsnprintf(line, size - 1, format, arguments);
    size_t used = length < 0 ? 0 : (size_t)length < size - 2 ? (size_t)length : size - 2;
    line[used++] = '\n';
    return used;
}

/* Newlines within the line become \n, backslashes \\: paths may have both. In place:
 * the thread may have a small stack. */
static size_t escape_line(char *line, size_t length, size_t size)
{
    for (size_t i = 0; i + 1 < length && length < size; i++) {
        if (line[i] != '\n' && line[i] != '\\') {
            continue;
        }
        memmove(line + i + 1, line + i, length - i);
        line[i + 1] = line[i] == '\n' ? 'n' : '\\';
        line[i++] = '\\';
        length++;
    }
    return length;
}

/* A line for `reftracer run`, which reads them when the command has ended.
 * One write to a file opened for appending: lines of several processes do not mix. */
void rft_status(const char *format, ...)
{
    int fd = rft_config.status[0] != 0
                 ? open(rft_config.status, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW)
                 : -1;
    if (fd < 0) {
        return;
    }
    char line[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_line(line, sizeof line, format, arguments);
    va_end(arguments);
    length = escape_line(line, length, sizeof line);
    rft_write_quietly(fd, &(struct iovec){line, length}, 1); /* else the summary lacks a line */
    close(fd);
}

/* A line for the person at the terminal. Never on stdout. */
void rft_say(const char *format, ...)
{
    char line[1024] = "reftracer: ";
    size_t prefix = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    size_t length = prefix + format_line(line + prefix, sizeof line - prefix, format, arguments);
    va_end(arguments);
    rft_write_quietly(STDERR_FILENO, &(struct iovec){line, length}, 1); /* if somebody listens */
}

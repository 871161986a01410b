#include <reftracer/error.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rft_error no_memory = {
    .code = RFT_ERROR_NO_MEMORY,
    .message = "out of memory",
};

struct rft_error *rft_error_no_memory(void)
{
    return &no_memory;
}

static struct rft_error *make(enum rft_error_code code, int os_errno, const char *format,
                              va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    const char *why = os_errno ? strerror(os_errno) : "";
    size_t room = (length < 0 ? 0 : (size_t)length) + strlen(why) + 3;
    /* One block: the message lies behind the error. */
    struct rft_error *error = malloc(sizeof(*error) + room);
    if (!error)
        return &no_memory;
    char *message = (char *)(error + 1);
    size_t used = 0;
    if (length > 0) {
        vsnprintf(message, room, format, arguments);
        used = (size_t)length;
    }
    snprintf(message + used, room - used, "%s%s", os_errno ? ": " : "", why);
    *error = (struct rft_error){code, os_errno, message};
    return error;
}

struct rft_error *rft_error_format(enum rft_error_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct rft_error *error = make(code, 0, format, arguments);
    va_end(arguments);
    return error;
}

struct rft_error *rft_error_os(int os_errno, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct rft_error *error = make(RFT_ERROR_OS, os_errno, format, arguments);
    va_end(arguments);
    return error;
}

void rft_error_destroy(struct rft_error *error)
{
    if (error != &no_memory)
        free(error);
}

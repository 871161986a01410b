/* Errors of the reftracer library.
 *
 * A function that can fail returns `struct rft_error *`: NULL is success,
 * anything else must be given to rft_error_destroy(). Out-parameters are only
 * written on success. */
#ifndef REFTRACER_ERROR_H
#define REFTRACER_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* Codes are stable; the text is for people and may change. */
enum rft_error_code {
    RFT_ERROR_NO_MEMORY = 1,
    RFT_ERROR_OS = 2,               /* a system call failed; `os_errno` says which way */
    RFT_ERROR_ARGUMENT = 3,         /* the caller passed something that makes no sense */
    RFT_ERROR_NOT_TRACE = 4,        /* the file is no trace: a directory, another format */
    RFT_ERROR_EMPTY = 5,            /* the file has no bytes, or nothing after its header */
    RFT_ERROR_NEWER = 6,            /* the trace needs a newer reader */
    RFT_ERROR_DAMAGED = 7,          /* nothing of the trace, or of the core, could be read */
    RFT_ERROR_INTERRUPTED = 8,      /* the progress callback asked to stop */
    RFT_ERROR_UNMAPPED = 9,         /* there is no readable memory at that address */
    RFT_ERROR_NOT_CORE = 10,        /* the file is no core file */
    RFT_ERROR_NOT_PYTHON = 11,      /* no CPython was found in the process or core */
    RFT_ERROR_UNSUPPORTED = 12,     /* a CPython that this library does not know, or that makes
                                     * no sense */
    RFT_ERROR_NO_THREAD_STATE = 13, /* the call needs an attached thread state (the GIL) */
};

struct rft_error {
    enum rft_error_code code;
    int os_errno; /* errno of RFT_ERROR_OS, else 0 */
    /* What was being done to what, why it failed, what to do now. One line,
     * no full stop or newline at its end, printable UTF-8. */
    const char *message;
};

/* Free an error. NULL is allowed, so is the out-of-memory error, which is
 * static. */
void rft_error_destroy(struct rft_error *error);

/* Make an error with a printf-style message. Never returns NULL: without memory
 * it returns the static out-of-memory error. */
struct rft_error *rft_error_format(enum rft_error_code code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for a failed system call: ": " and strerror(os_errno) are appended. */
struct rft_error *rft_error_os(int os_errno, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The static out-of-memory error. */
struct rft_error *rft_error_no_memory(void);

#ifdef __cplusplus
}
#endif
#endif

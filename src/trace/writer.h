/* Writes an .rft file: whole chunks, one write each, no buffering across ticks.
 * Part of the agent: libc only. Not thread-safe; the caller serialises. */
#ifndef RFT_WRITER_H
#define RFT_WRITER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { RFT_WRITER_STARTS = 64 };

struct rft_writer {
    int fd; /* -1: not open */
    char path[4096];
    dev_t device; /* of the file that was created, to know it again */
    ino_t inode;
    uint32_t sequence;
    uint64_t size;                      /* bytes of whole chunks */
    uint64_t starts[RFT_WRITER_STARTS]; /* where the last chunks begin, by sequence */
};

/* Creates the file (0600, must not exist) and writes its header. Returns 0 or
 * an errno; EEXIST leaves nothing behind. */
int rft_writer_create(struct rft_writer *writer, const char *path, uint32_t pid);

/* Appends one chunk. Returns 0 or an errno; then the file ends at its last
 * whole chunk, as far as the disk allows. */
int rft_writer_chunk(struct rft_writer *writer, uint8_t type, const void *payload, size_t length);

/* The same for what is to be known in any case, though the disk is full: if there is no room,
 * it takes that of the last chunks, never of the first one. */
int rft_writer_last_chunk(struct rft_writer *writer, uint8_t type, const void *payload,
                          size_t length);

void rft_writer_close(struct rft_writer *writer);

/* Writes everything, and raises no signal in a program that has not asked for it:
 * SIGXFSZ for a file past its limit and SIGPIPE for a reader that is gone would
 * end it. Returns 0 or an errno. parts are used up. */
int rft_write_quietly(int fd, struct iovec *parts, int count);

#endif

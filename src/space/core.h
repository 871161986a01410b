/* A core file: what its files share. */
#ifndef RFT_SPACE_CORE_H
#define RFT_SPACE_CORE_H

#include "space/ops.h"

/* PT_LOAD: memory from `start` to `end`, of which the first `size` bytes lie in the core. */
struct rft_core_segment {
    rft_address start, end;
    uint64_t offset, size;
    uint32_t flags; /* PF_R, ... */
};

/* NT_FILE: memory from `start` to `end` was mapped from a file. */
struct rft_core_range {
    rft_address start, end;
    uint64_t offset; /* in the file, in bytes */
    uint32_t file;   /* of rft_core_space.files */
};

enum rft_core_file_state {
    RFT_CORE_FILE_UNKNOWN, /* not looked for yet */
    RFT_CORE_FILE_GOOD,    /* there, and the same as then as far as can be told */
    RFT_CORE_FILE_ABSENT,
    RFT_CORE_FILE_OTHER, /* there, with another build id */
};

struct rft_core_file {
    const char *path;   /* as the core names it, without " (deleted)" */
    bool deleted;       /* it had no name any more */
    rft_address header; /* where its first bytes were mapped; 0: nowhere */
    enum rft_core_file_state state;
    int fd; /* -1: not open */
};

struct rft_core_space {
    struct rft_space space;
    unsigned machine;                          /* e_machine */
    int fd;                                    /* the core itself, decompressed */
    uint64_t size;                             /* bytes that are there */
    uint64_t wanted_size;                      /* bytes that its own headers promise */
    uint64_t notes_size;                       /* bytes of notes that were read */
    RFT_VEC(struct rft_core_segment) segments; /* sorted by address */
    RFT_VEC(struct rft_core_range) ranges;     /* sorted by address */
    RFT_VEC(struct rft_core_file) files;
    RFT_VEC(struct rft_os_thread) threads; /* the crashed one first */
    uint32_t executable;                   /* of files, UINT32_MAX: unknown */
    rft_address program_headers;           /* AT_PHDR: in the executable */
    const char *executable_option, *sysroot;
    struct rft_arena names;
};

/* Opens a core's file. Decompresses gzip and zstd into a file that has no name.
 * *fd: the caller's. */
struct rft_error *rft_core_open(const char *path, int *fd, uint64_t *size);

/* Segments, ranges, files, threads and facts out of the ELF headers and notes. `path` is for
 * messages. */
struct rft_error *rft_core_parse(struct rft_core_space *core, const char *path);

/* The file behind a range, opened and checked; -1 if it is not there or another one. */
int rft_core_mapped_file(struct rft_core_space *core, uint32_t file);

/* facts.missing. */
void rft_core_say_what_is_missing(struct rft_core_space *core);

/* Memory as far as the core itself has it. */
bool rft_core_read_own(struct rft_core_space *core, rft_address address, void *buffer, size_t size);

#endif

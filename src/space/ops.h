/* What a kind of space is made of. Only the files of this room include it. */
#ifndef RFT_SPACE_OPS_H
#define RFT_SPACE_OPS_H

#include "base/arena.h"
#include "base/vec.h"
#include "space/space.h"

struct rft_space_ops {
    /* As rft_space_read_many(), for at most RFT_READS_MAX reads of at most 1 GiB in all. */
    void (*read_many)(struct rft_space *space, struct rft_read *reads, size_t count);
    bool (*alive)(struct rft_space *space);
    /* Fill space->maps, sorted by address; their paths live in space->map_paths. */
    struct rft_error *(*list_maps)(struct rft_space *space);
    /* Fill space->os_threads. */
    struct rft_error *(*list_threads)(struct rft_space *space);
    /* Fill space->facts; called once, when they are first asked for. May be NULL. */
    void (*find_facts)(struct rft_space *space);
    /* Opens the file behind a map for reading, and only if it is the one that is mapped:
     * a descriptor, or -1. May be NULL: there are no files. */
    int (*open_mapped)(struct rft_space *space, const struct rft_map *map);
    /* Narrows *at to *end down to the first part that has memory which was not a file's; false:
     * there is none. May be NULL: all that is mapped is there. */
    bool (*find_present)(struct rft_space *space, rft_address *at, rft_address *end);
    void (*destroy)(struct rft_space *space); /* frees what the kind itself holds, not `space` */
};

/* One process_vm_readv takes IOV_MAX ranges. */
enum { RFT_READS_MAX = 1024 };

/* A kind's own structure begins with this one. */
struct rft_space {
    const struct rft_space_ops *ops;
    enum rft_space_kind kind;
    struct rft_process_facts facts;
    bool facts_known;
    bool search_less;    /* rft_space_search_less() */
    uint64_t size;       /* of all memory that is there; 0: as much as is mapped */
    rft_address runtime; /* where _PyRuntime is said to be; 0: to be searched for */
    RFT_VEC(struct rft_map) maps;
    struct rft_arena map_paths;
    uint64_t maps_at; /* when they were listed, CLOCK_MONOTONIC; 0: they are not there */
    RFT_VEC(struct rft_os_thread) os_threads;
    struct rft_arena texts;  /* what `facts` points to */
    struct rft_pages *pages; /* pages.c; NULL until it is used */
    bool remembering;
    unsigned ahead; /* pages that are read with another one */
};

/* Lists the maps and notes when. */
struct rft_error *rft_space_list_maps(struct rft_space *space);

/* As rft_space_maps(), but those that were listed just now will do: the kernel needs as long for a
 * list of a thousand threads' stacks as for reading these. */
struct rft_error *rft_space_recent_maps(struct rft_space *space, const struct rft_map **maps,
                                        size_t *count);

/* Out of a page that is remembered, or will be. False: it has to be read by itself. */
bool rft_pages_read(struct rft_space *space, rft_address address, void *buffer, size_t size);

/* The thread sleeps in this system call. */
enum { RFT_CALL_ARGUMENTS = 5 };
void rft_os_thread_in_call(struct rft_os_thread *thread, long number,
                           const uint64_t arguments[RFT_CALL_ARGUMENTS]);

/* The ops of live processes, for src/space/process.c and self. */
extern const struct rft_space_ops rft_process_ops;

/* The end of every constructor and the beginning of rft_space_destroy(). */
void rft_space_init(struct rft_space *space, const struct rft_space_ops *ops,
                    enum rft_space_kind kind);

#endif

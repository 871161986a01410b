/* A live process: what its files share. */
#ifndef RFT_SPACE_PROCESS_H
#define RFT_SPACE_PROCESS_H

#include <sys/types.h>

#include "space/ops.h"

struct rft_process_space {
    struct rft_space space;
    int pid;
    int folder_fd; /* /proc/PID, so that a later process with the same pid is not taken for it */
    int reader;    /* the thread whose memory is read: the first one, or, if that has ended before
                    * the others, one of these */
    int mem_fd;    /* /proc/PID/mem, -1 while it was not needed */
    bool use_mem_file; /* process_vm_readv is refused */
    bool ended;
};

/* The name, relative to folder_fd, of a file that belongs to the process' memory: "maps". */
void rft_process_name(const struct rft_process_space *process, const char *file, char *name,
                      size_t size);

/* Opens such a file; -1 with errno. */
int rft_process_open(const struct rft_process_space *process, const char *file);

/* Reads a small file below `folder` into `bytes`, with a NUL behind it; how many bytes, -1 if it
 * can't be read. */
ssize_t rft_process_read_file(int folder, const char *name, char *bytes, size_t size);

/* Whether it is no process at all, but a thread of the kernel. */
bool rft_process_is_kernel_thread(const struct rft_process_space *process);

/* The ids of a process or thread in the PID namespaces from ours to its own ("NSpid:" of a status
 * file of /proc): how many there are, and the last; 0 if that can't be read. */
int rft_process_namespace_ids(int folder, const char *status, int *innermost);

/* Of struct rft_space_ops. */
struct rft_error *rft_process_list_maps(struct rft_space *space);
struct rft_error *rft_process_list_threads(struct rft_space *space);
int rft_process_open_mapped(struct rft_space *space, const struct rft_map *map);

/* Why process `pid`, which is there, may not be read, and what to do about it. */
struct rft_error *rft_process_refused(int pid);

#endif

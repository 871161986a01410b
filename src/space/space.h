/* Where bytes come from. The public part is in reftracer/runtime.h; this is what
 * src/runtime needs besides: many reads at once, maps, symbols, threads of the OS.
 *
 * To add a kind of space: a file of its own with a `struct rft_space_ops`, a
 * constructor in reftracer/runtime.h, and its name in enum rft_space_kind. */
#ifndef RFT_SPACE_H
#define RFT_SPACE_H

#include <reftracer/runtime.h>

/* One of many reads. */
struct rft_read {
    rft_address address;
    void *buffer;
    size_t size;
    bool done; /* out: all bytes were read */
};

/* Carries out many reads with as few system calls as possible: one process_vm_readv for up
 * to IOV_MAX of them, and a read that fails does not fail its neighbours. Returns how many
 * were done; never an error: look at `done`, or at rft_space_alive(). */
size_t rft_space_read_many(struct rft_space *space, struct rft_read *reads, size_t count);

/* The same for one, without making an error object: the walkers' usual call. */
bool rft_space_try(struct rft_space *space, rft_address address, void *buffer, size_t size);

/* While this is on, rft_space_try(), and rft_space_read_many() of a few pieces, read whole pages
 * of a live process and keep them. For objects of which many lie near to each other, and for
 * which it does not matter that what is read may be as old as the moment at which this was
 * switched on. */
void rft_space_remember_pages(struct rft_space *space, bool on);
/* While pages are remembered: with a page, so many in front of it are read. For a list whose items
 * lie each in front of the one before. Ends with the remembering. */
void rft_space_read_ahead(struct rft_space *space, unsigned pages);
/* While pages are remembered: reads those that have these addresses, with few system calls. */
void rft_space_fetch(struct rft_space *space, const rft_address *addresses, size_t count);

/* False once a live process has ended. */
bool rft_space_alive(struct rft_space *space);

/* --- what is mapped -------------------------------------------------------- */

struct rft_map {
    rft_address start, end;
    uint64_t offset; /* in the file */
    uint64_t inode;  /* of the file; 0: none, or unknown */
    bool readable, writable, executable;
    bool shared;      /* with other processes */
    const char *path; /* "" if anonymous; without " (deleted)" */
    bool deleted;
};

/* Maps in order of address, as of the last call of this function (a live process is looked
 * at again). Valid until the next call. */
struct rft_error *rft_space_maps(struct rft_space *space, const struct rft_map **maps,
                                 size_t *count);

/* --- where the runtime may be ---------------------------------------------- */

/* Calls `accept` with each address where _PyRuntime may lie, the likeliest first: dynamic
 * symbol; symbol table and section .PyRuntime of files that are named like a Python; the cookie
 * "xdebugpy" and, for 3.8 to 3.12, where there is none, the look of a _PyRuntime's first words, in
 * the data of objects and then in all memory that is written to; at last the files of the
 * other objects. Stops at the first that is accepted, and says so. `how` is a word or two for
 * messages: "symbol", "section", ... `accept` may use the space as it likes.
 * Everything works without section headers, for deleted or replaced files (through
 * /proc/PID/map_files, or the memory image), and for a name that has no "python" in it. */
struct rft_candidate {
    rft_address address;
    const char *how;
    const char *path; /* the object it lies in */
};
bool rft_space_find_runtime(struct rft_space *space,
                            bool (*accept)(void *context, const struct rft_candidate *candidate),
                            void *context);

/* Address of a named symbol (dynamic or static symbol table) in any object whose path
 * contains `object` (NULL: any, and static tables only of those whose names say Python), 0 if
 * there is none. For Py_Version (3.11+), and types. */
rft_address rft_space_symbol(struct rft_space *space, const char *object, const char *symbol);
/* Address and size of a named section, e.g. ".AsyncioDebug"; 0 if there is none. */
rft_address rft_space_section(struct rft_space *space, const char *section, size_t *size);

/* An ELF object that is mapped: the executable, a library. */
struct rft_object {
    const char *path;
    rft_address start, end;
    uint64_t bias;             /* what is added to an address of its file */
    const struct rft_map *map; /* the one with its ELF header */
};

/* All of them. *objects: the caller frees it; what it points to becomes void with the next
 * reading of the maps. */
struct rft_error *rft_space_objects(struct rft_space *space, struct rft_object **objects,
                                    size_t *count);

/* Opens the file behind an object for reading, and only if it is the one that is mapped: a
 * descriptor, the caller's, or -1. */
int rft_space_open_object(struct rft_space *space, const struct rft_object *object);

/* --- the OS' view of threads ------------------------------------------------ */

struct rft_os_thread {
    int id;           /* as we see it */
    int namespace_id; /* as the process sees it (last field of NSpid) */
    char name[32];    /* comm, printable UTF-8 */
    enum rft_thread_state state;
    char waits_in[48];    /* wchan or the name of the system call, "" if unknown */
    rft_address waits_on; /* in futex: the word that it waits for; 0: unknown */
    bool waits_timed;     /* the call ends by itself after a time */
};

/* Threads of the process, sorted by namespace_id; from /proc, or a core's notes. Valid until
 * the next call. */
struct rft_error *rft_space_os_threads(struct rft_space *space,
                                       const struct rft_os_thread **threads, size_t *count);

/* --- cores ------------------------------------------------------------------- */

/* Descriptor of the core, decompressed, for elfutils; -1 for other spaces. Stays the space's. */
int rft_space_core_file(struct rft_space *space);

/* True if a thread of a live process sleeps now; *switches: how often it has given up a CPU.
 * If it slept twice with the same number, it has not run in between. namespace_id: as the
 * process sees it. */
bool rft_space_asleep(struct rft_space *space, int namespace_id, uint64_t *switches);

#endif

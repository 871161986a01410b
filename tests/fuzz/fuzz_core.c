/* The core reader on any bytes, and the search for a CPython in what it makes of them. Then the
 * walkers, which follow what the memory in the core says.
 *
 * Inputs whose last byte is even get a sound ELF header first, so that most of them reach the
 * program headers and notes. */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "space/space.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Sums up what is read, so that ASan sees every byte that is pointed at. */
static volatile uint64_t seen;

static void touch(const char *text)
{
    for (; *text; text++)
        seen += (unsigned char)*text;
}

static bool refuse(void *context, const struct rft_candidate *candidate)
{
    (void)context;
    seen += candidate->address;
    touch(candidate->path);
    return false;
}

static void look(struct rft_space *space)
{
    const struct rft_process_facts *facts = rft_space_facts(space);
    touch(facts->executable);
    touch(facts->command);
    touch(facts->missing);
    const struct rft_os_thread *threads;
    size_t count;
    if (!rft_space_os_threads(space, &threads, &count)) {
        for (size_t i = 0; i < count; i++)
            touch(threads[i].name);
    }
    const struct rft_map *maps;
    if (!rft_space_maps(space, &maps, &count)) {
        for (size_t i = 0; i < count; i++) {
            unsigned char ends[2][16];
            touch(maps[i].path);
            struct rft_read reads[] = {{maps[i].start, ends[0], 16, false},
                                       {maps[i].end - 16, ends[1], 16, false}};
            rft_space_read_many(space, reads, 2);
        }
    }
    rft_space_find_runtime(space, refuse, NULL);
    seen += rft_space_symbol(space, NULL, "Py_Version");
    seen += rft_space_section(space, ".AsyncioDebug", &count);
    struct rft_runtime *runtime;
    struct rft_error *error = rft_runtime_create(space, &runtime);
    if (!error) {
        const struct rft_snapshot *snapshot;
        error = rft_snapshot_take(
            runtime, RFT_SNAPSHOT_LOCALS | RFT_SNAPSHOT_TASKS | RFT_SNAPSHOT_LOCKS, &snapshot);
        if (!error)
            seen += snapshot->interpreter_count;
        rft_runtime_destroy(runtime);
    }
    rft_error_destroy(error);
}

static void mend(uint8_t *bytes, size_t size)
{
    Elf64_Ehdr header;
    if (size < sizeof header)
        return;
    memcpy(&header, bytes, sizeof header);
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_version = EV_CURRENT;
    header.e_type = ET_CORE;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    memcpy(bytes, &header, sizeof header);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int fd = memfd_create("core", MFD_CLOEXEC);
    uint8_t *copy = malloc(size ? size : 1);
    if (fd >= 0 && copy) {
        memcpy(copy, bytes, size);
        if (size && bytes[size - 1] % 2 == 0)
            mend(copy, size);
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        struct rft_space *space;
        if (write(fd, copy, size) == (ssize_t)size) {
            struct rft_error *error = rft_space_create_core(path, NULL, &space);
            if (!error) {
                look(space);
                rft_space_destroy(space);
            }
            rft_error_destroy(error);
        }
    }
    free(copy);
    if (fd >= 0)
        close(fd);
    return 0;
}

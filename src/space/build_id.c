#include "space/build_id.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

/* Bounds of what an object may claim: a build id has 20 bytes, and its note comes among the
 * first. */
enum { PROGRAM_HEADERS_MAX = 128, NOTES_MAX = 4096 };

bool rft_object_read_file(void *from, uint64_t offset, void *buffer, size_t size)
{
    return pread(*(int *)from, buffer, size, (off_t)offset) == (ssize_t)size;
}

bool rft_build_id_equal(const struct rft_build_id *a, const struct rft_build_id *b)
{
    return a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
}

static size_t aligned(uint32_t size)
{
    return ((size_t)size + 3) & ~(size_t)3;
}

static bool find_in_notes(const char *notes, size_t size, struct rft_build_id *id)
{
    for (size_t at = 0; size - at >= sizeof(Elf64_Nhdr);) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        size_t name = at + sizeof note, room = size - name;
        if (aligned(note.n_namesz) > room || note.n_descsz > room - aligned(note.n_namesz))
            return false;
        size_t content = name + aligned(note.n_namesz);
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            !memcmp(notes + name, "GNU", 4) && note.n_descsz <= sizeof id->bytes) {
            id->size = note.n_descsz;
            memcpy(id->bytes, notes + content, id->size);
            return true;
        }
        at = content + aligned(note.n_descsz);
        if (at > size)
            return false;
    }
    return false;
}

bool rft_build_id_find(rft_object_read *read, void *from, struct rft_build_id *id)
{
    Elf64_Ehdr header;
    Elf64_Phdr programs[PROGRAM_HEADERS_MAX];
    id->size = 0;
    if (!read(from, 0, &header, sizeof header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phnum > PROGRAM_HEADERS_MAX ||
        header.e_phentsize != sizeof *programs ||
        !read(from, header.e_phoff, programs, header.e_phnum * sizeof *programs))
        return false;
    for (size_t i = 0; i < header.e_phnum; i++) {
        char notes[NOTES_MAX];
        if (programs[i].p_type == PT_NOTE && programs[i].p_filesz <= sizeof notes &&
            read(from, programs[i].p_offset, notes, (size_t)programs[i].p_filesz) &&
            find_in_notes(notes, (size_t)programs[i].p_filesz, id))
            return true;
    }
    return true;
}

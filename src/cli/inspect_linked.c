/* Whether a CPython is linked into an executable. */
#include "cli/inspect.h"

#include <string.h>
#include <unistd.h>

#include "late/late.h"
#if RFT_HAVE_LIBELF
#include "late/libelf.h"
#endif

enum { STEP = 1 << 16, STEPS_MAX = 1 << 12 /* 256 MiB of a file */ };

/* Without libelf: looks for the runtime's name. */
static bool is_named_in(int fd)
{
    static const char symbol[] = "_PyRuntime"; /* as it stands in .dynstr, with its NUL */
    char bytes[sizeof symbol + STEP];
    size_t kept = 0;
    ssize_t got;
    for (int step = 0; step < STEPS_MAX; step++) {
        got = pread(fd, bytes + kept, STEP, (off_t)step * STEP);
        if (got <= 0)
            return false;
        size_t size = kept + (size_t)got;
        if (memmem(bytes, size, symbol, sizeof symbol) != NULL)
            return true;
        kept = size < sizeof symbol - 1 ? size : sizeof symbol - 1;
        memmove(bytes, bytes + size - kept, kept);
    }
    return false;
}

#if RFT_HAVE_LIBELF
static bool section_names_runtime(Elf *elf, Elf_Scn *section, size_t names)
{
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == NULL)
        return false;
    const char *name = elf_strptr(elf, names, header.sh_name);
    if (name == NULL)
        return false;
    if (strcmp(name, ".PyRuntime") == 0) /* 3.13 */
        return true;
    if (header.sh_type != SHT_STRTAB || strcmp(name, ".dynstr") != 0)
        return false;
    Elf_Data *data = elf_getdata(section, NULL);
    static const char symbol[] = "_PyRuntime";
    return data != NULL && data->d_buf != NULL &&
           memmem(data->d_buf, data->d_size, symbol, sizeof symbol) != NULL;
}

static bool is_in_sections(int fd)
{
    bool has = false;
    size_t names;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    if (elf != NULL && elf_kind(elf) == ELF_K_ELF && elf_getshdrstrndx(elf, &names) == 0)
        for (Elf_Scn *section = NULL; !has && (section = elf_nextscn(elf, section)) != NULL;)
            has = section_names_runtime(elf, section, names);
    elf_end(elf);
    return has;
}
#endif

bool has_runtime_linked(int fd)
{
#if RFT_HAVE_LIBELF
    if (rft_late_missing(RFT_LATE_ELF) == NULL)
        return is_in_sections(fd);
#endif
    return is_named_in(fd);
}

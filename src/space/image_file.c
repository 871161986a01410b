/* What only the file of an object has: its symbol table and section headers. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "late/libelf.h"
#include "space/image.h"

/* A file with its Elf, both open or neither. */
struct opened {
    int fd;
    Elf *elf;
};

static struct opened open_image(struct rft_space *space, const struct rft_image *image)
{
    struct opened file = {-1, NULL};
    if (!space->ops->open_mapped || rft_late_missing(RFT_LATE_ELF) ||
        elf_version(EV_CURRENT) == EV_NONE)
        return file;
    file.fd = space->ops->open_mapped(space, image->first);
    if (file.fd >= 0)
        /* Not ELF_C_READ_MMAP: whoever shortens the file would end us with SIGBUS. */
        file.elf = elf_begin(file.fd, ELF_C_READ, NULL);
    return file;
}

static void close_image(struct opened file)
{
    if (file.elf)
        elf_end(file.elf);
    if (file.fd >= 0)
        close(file.fd);
}

static rft_address find_symbol(Elf *elf, const struct rft_image *image, const char *name)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || header.sh_type != SHT_SYMTAB)
            continue;
        Elf_Data *table = elf_getdata(section, NULL);
        size_t count = table && header.sh_entsize ? table->d_size / (size_t)header.sh_entsize : 0;
        for (size_t i = 0; i < count && i < INT32_MAX; i++) {
            GElf_Sym symbol;
            if (!gelf_getsym(table, (int)i, &symbol) || symbol.st_shndx == SHN_UNDEF)
                continue;
            const char *text = elf_strptr(elf, header.sh_link, symbol.st_name);
            if (text && !strcmp(text, name))
                return image->bias + symbol.st_value;
        }
    }
    return 0;
}

rft_address rft_image_file_symbol(struct rft_space *space, const struct rft_image *image,
                                  const char *name)
{
    struct opened file = open_image(space, image);
    rft_address found = file.elf ? find_symbol(file.elf, image, name) : 0;
    close_image(file);
    return found;
}

static rft_address find_section(Elf *elf, const struct rft_image *image, const char *name,
                                size_t *size)
{
    size_t names;
    if (elf_getshdrstrndx(elf, &names) != 0)
        return 0;
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        const char *text;
        if (gelf_getshdr(section, &header) && header.sh_addr &&
            (text = elf_strptr(elf, names, header.sh_name)) && !strcmp(text, name)) {
            *size = header.sh_size;
            return image->bias + header.sh_addr;
        }
    }
    return 0;
}

rft_address rft_image_section(struct rft_space *space, const struct rft_image *image,
                              const char *name, size_t *size)
{
    struct opened file = open_image(space, image);
    rft_address found = file.elf ? find_section(file.elf, image, name, size) : 0;
    close_image(file);
    return found;
}

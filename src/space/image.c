#include "space/image.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

/* Bounds of what an object may claim: generous, and finite. */
enum {
    IMAGES_MAX = 4096,
    PROGRAM_HEADERS_MAX = 512,
    DYNAMIC_MAX = 1 << 16,
    CHAIN_MAX = 1 << 16,
};

/* --- which there are ------------------------------------------------------------ */

/* How likely it is that a Python is in there, less is likelier. */
enum rank { THE_EXECUTABLE, LIBPYTHON, NAMED_PYTHON, ANOTHER, NOT_LOADED };

/* An object that is executed has an executable map. One without is a file that the program
 * reads as data. (A core's maps need not tell.) */
static bool is_loaded(const struct rft_space *space, const struct rft_image *image)
{
    for (size_t i = 0; i < image->maps; i++) {
        if (image->first[i].executable)
            return true;
    }
    return space->kind == RFT_SPACE_CORE;
}

static enum rank rank(const struct rft_space *space, const struct rft_image *image,
                      const char *executable)
{
    const char *base = strrchr(image->path, '/');
    base = base ? base + 1 : image->path;
    if (!is_loaded(space, image))
        return NOT_LOADED;
    size_t length = strlen(image->path);
    if (executable && !strncmp(image->path, executable, length) &&
        (!executable[length] || !strcmp(executable + length, " (deleted)")))
        return THE_EXECUTABLE;
    if (!strncmp(base, "libpython", 9))
        return LIBPYTHON;
    /* _asyncio has a section of its own. */
    return strstr(base, "ython") || strstr(base, "asyncio") ? NAMED_PYTHON : ANOTHER;
}

struct ranked {
    struct rft_image image;
    enum rank rank;
    size_t order;
};

static int by_rank(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

struct rft_error *rft_images_list(struct rft_space *space, struct rft_image **images, size_t *count)
{
    const struct rft_map *maps;
    size_t map_count;
    struct rft_error *error = rft_space_recent_maps(space, &maps, &map_count);
    if (error)
        return error;
    RFT_VEC(struct ranked) found = {0};
    const char *executable = rft_space_facts(space)->executable;
    for (size_t i = 0; i < map_count; i++) {
        /* "/dev/zero", "/memfd:x" and "[heap]" have no ELF header; read_header tells. */
        if (maps[i].path[0] != '/' || maps[i].offset != 0)
            continue;
        size_t next = i + 1;
        while (next < map_count && !strcmp(maps[next].path, maps[i].path) && maps[next].offset)
            next++;
        struct ranked one = {
            .image = {.first = &maps[i], .maps = next - i, .path = maps[i].path},
            .order = i,
        };
        one.rank = rank(space, &one.image, executable);
        one.image.likely = one.rank < ANOTHER;
        if (!rft_vec_push(&found, one)) {
            rft_vec_free(&found);
            return rft_error_no_memory();
        }
    }
    if (found.count)
        qsort(found.items, found.count, sizeof *found.items, by_rank);
    if (found.count > IMAGES_MAX)
        found.count = IMAGES_MAX;
    *images = calloc(found.count ? found.count : 1, sizeof **images);
    if (*images) {
        for (size_t i = 0; i < found.count; i++)
            (*images)[i] = found.items[i].image;
        *count = found.count;
    }
    rft_vec_free(&found);
    return *images ? NULL : rft_error_no_memory();
}

/* --- header ----------------------------------------------------------------------- */

bool rft_image_read_header(struct rft_space *space, struct rft_image *image)
{
    Elf64_Ehdr header;
    if (!rft_space_try(space, image->first->start, &header, sizeof header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_phentsize != sizeof(Elf64_Phdr) ||
        header.e_phnum == 0 || header.e_phnum > PROGRAM_HEADERS_MAX)
        return false;
    Elf64_Phdr programs[PROGRAM_HEADERS_MAX];
    if (!rft_space_try(space, image->first->start + header.e_phoff, programs,
                       header.e_phnum * sizeof *programs))
        return false;
    bool loaded = false;
    for (size_t i = 0; i < header.e_phnum && !loaded; i++) {
        if (programs[i].p_type != PT_LOAD)
            continue;
        /* The first map begins at the page of the first segment. */
        uint64_t align = programs[i].p_align > 1 ? programs[i].p_align : 4096;
        if (align > 4096)
            align = 4096;
        image->bias = image->first->start - (programs[i].p_vaddr & ~(align - 1));
        loaded = true;
    }
    image->dynamic = 0;
    for (size_t i = 0; loaded && i < header.e_phnum; i++) {
        if (programs[i].p_type == PT_DYNAMIC && programs[i].p_memsz <= DYNAMIC_MAX) {
            image->dynamic = image->bias + programs[i].p_vaddr;
            image->dynamic_size = programs[i].p_memsz;
        }
    }
    return loaded;
}

/* --- dynamic symbols ---------------------------------------------------------------- */

struct dynamic {
    rft_address symbols, strings, gnu_hash, hash;
    uint64_t strings_size;
};

static bool read_dynamic(struct rft_space *space, const struct rft_image *image,
                         struct dynamic *dynamic)
{
    memset(dynamic, 0, sizeof *dynamic);
    size_t count = image->dynamic_size / sizeof(Elf64_Dyn);
    if (!image->dynamic || count == 0)
        return false;
    Elf64_Dyn *entries = malloc(count * sizeof *entries);
    if (!entries)
        return false;
    bool read = rft_space_try(space, image->dynamic, entries, count * sizeof *entries);
    for (size_t i = 0; read && i < count && entries[i].d_tag != DT_NULL; i++) {
        uint64_t value = entries[i].d_un.d_val;
        /* glibc has added the bias in place, musl and the file have not. */
        uint64_t address = value < image->bias ? value + image->bias : value;
        switch (entries[i].d_tag) {
        case DT_SYMTAB:
            dynamic->symbols = address;
            break;
        case DT_STRTAB:
            dynamic->strings = address;
            break;
        case DT_STRSZ:
            dynamic->strings_size = value;
            break;
        case DT_GNU_HASH:
            dynamic->gnu_hash = address;
            break;
        case DT_HASH:
            dynamic->hash = address;
            break;
        default:
            break;
        }
    }
    free(entries);
    return dynamic->symbols && dynamic->strings;
}

/* The symbol's address if entry `index` is defined and has that name. */
static rft_address symbol_if_named(struct rft_space *space, const struct rft_image *image,
                                   const struct dynamic *dynamic, uint32_t index, const char *name)
{
    Elf64_Sym symbol;
    char text[128];
    size_t length = strlen(name) + 1;
    if (length > sizeof text ||
        !rft_space_try(space, dynamic->symbols + (uint64_t)index * sizeof symbol, &symbol,
                       sizeof symbol) ||
        symbol.st_shndx == SHN_UNDEF || symbol.st_name >= dynamic->strings_size ||
        !rft_space_try(space, dynamic->strings + symbol.st_name, text, length) ||
        memcmp(text, name, length) != 0)
        return 0;
    return image->bias + symbol.st_value;
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static uint32_t system_v_hash(const char *name)
{
    uint32_t hash = 0;
    for (; *name; name++) {
        hash = (hash << 4) + (unsigned char)*name;
        hash ^= (hash >> 24) & 0xf0;
        hash &= 0x0fffffff;
    }
    return hash;
}

static rft_address find_by_gnu_hash(struct rft_space *space, const struct rft_image *image,
                                    const struct dynamic *dynamic, const char *name)
{
    uint32_t head[4]; /* buckets, first symbol, bloom words, shift */
    if (!rft_space_try(space, dynamic->gnu_hash, head, sizeof head) || head[0] == 0)
        return 0;
    rft_address buckets = dynamic->gnu_hash + sizeof head + (uint64_t)head[2] * 8;
    rft_address chains = buckets + (uint64_t)head[0] * 4;
    uint32_t hash = gnu_hash(name), index, other;
    if (!rft_space_try(space, buckets + (uint64_t)(hash % head[0]) * 4, &index, sizeof index) ||
        index < head[1])
        return 0;
    for (size_t steps = 0; steps < CHAIN_MAX; steps++, index++) {
        if (!rft_space_try(space, chains + (uint64_t)(index - head[1]) * 4, &other, sizeof other))
            return 0;
        if ((other | 1) == (hash | 1)) {
            rft_address found = symbol_if_named(space, image, dynamic, index, name);
            if (found)
                return found;
        }
        if (other & 1)
            return 0;
    }
    return 0;
}

static rft_address find_by_hash(struct rft_space *space, const struct rft_image *image,
                                const struct dynamic *dynamic, const char *name)
{
    uint32_t head[2]; /* buckets, symbols */
    if (!rft_space_try(space, dynamic->hash, head, sizeof head) || head[0] == 0)
        return 0;
    rft_address buckets = dynamic->hash + sizeof head;
    rft_address chains = buckets + (uint64_t)head[0] * 4;
    uint32_t index;
    if (!rft_space_try(space, buckets + (uint64_t)(system_v_hash(name) % head[0]) * 4, &index,
                       sizeof index))
        return 0;
    for (size_t steps = 0; index && index < head[1] && steps < CHAIN_MAX; steps++) {
        rft_address found = symbol_if_named(space, image, dynamic, index, name);
        if (found)
            return found;
        if (!rft_space_try(space, chains + (uint64_t)index * 4, &index, sizeof index))
            return 0;
    }
    return 0;
}

rft_address rft_image_dynamic_symbol(struct rft_space *space, const struct rft_image *image,
                                     const char *name)
{
    struct dynamic dynamic;
    if (!read_dynamic(space, image, &dynamic))
        return 0;
    if (dynamic.gnu_hash)
        return find_by_gnu_hash(space, image, &dynamic, name);
    return dynamic.hash ? find_by_hash(space, image, &dynamic, name) : 0;
}

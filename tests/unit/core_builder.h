/* Small core files, made by hand. */
#ifndef RFT_TESTS_CORE_BUILDER_H
#define RFT_TESTS_CORE_BUILDER_H

#include <elf.h>
#include <stdint.h>
#include <string.h>

/* A core in the making: headers first, what they describe behind them. Its size is bounded by the
 * test that makes it. */
struct core_builder {
    unsigned char *bytes;
    size_t size;
    unsigned programs; /* of the first header on */
};

static inline void core_append(struct core_builder *core, const void *bytes, size_t size)
{
    memcpy(core->bytes + core->size, bytes, size);
    core->size += size;
}

static inline void core_begin(struct core_builder *core, unsigned char *bytes, unsigned programs)
{
    *core = (struct core_builder){.bytes = bytes};
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof header,
        .e_ehsize = sizeof header,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (uint16_t)(programs < PN_XNUM ? programs : PN_XNUM),
    };
    core_append(core, &header, sizeof header);
    memset(core->bytes + core->size, 0, programs * sizeof(Elf64_Phdr));
    core->size += programs * sizeof(Elf64_Phdr);
}

/* The next program header, for `size` bytes that were just appended. */
static inline void core_program(struct core_builder *core, uint32_t type, uint64_t address,
                                size_t size, uint64_t in_memory, uint32_t flags)
{
    Elf64_Phdr program = {
        .p_type = type,
        .p_flags = flags,
        .p_offset = core->size - size,
        .p_vaddr = address,
        .p_filesz = size,
        .p_memsz = in_memory,
    };
    memcpy(core->bytes + sizeof(Elf64_Ehdr) + core->programs++ * sizeof program, &program,
           sizeof program);
}

static inline void core_note(struct core_builder *core, uint32_t type, const void *content,
                             size_t size)
{
    static const char padding[4];
    Elf64_Nhdr note = {.n_namesz = 5, .n_descsz = (uint32_t)size, .n_type = type};
    core_append(core, &note, sizeof note);
    core_append(core, "CORE\0\0\0", 8);
    core_append(core, content, size);
    core_append(core, padding, (4 - size % 4) % 4);
}

/* NT_PRSTATUS, of which only the signal and the thread's id are read. */
static inline void core_thread(struct core_builder *core, int32_t id, int16_t signal)
{
    unsigned char status[336] = {0};
    memcpy(status + 12, &signal, sizeof signal);
    memcpy(status + 32, &id, sizeof id);
    core_note(core, NT_PRSTATUS, status, sizeof status);
}

static inline void core_process(struct core_builder *core, int32_t pid, const char *command)
{
    char about[136] = {0};
    memcpy(about + 24, &pid, sizeof pid);
    strncpy(about + 56, command, 79);
    core_note(core, NT_PRPSINFO, about, sizeof about);
}

static inline void core_signal(struct core_builder *core, int32_t signal, int32_t code,
                               uint64_t fault)
{
    char info[128] = {0};
    memcpy(info, &signal, sizeof signal);
    memcpy(info + 8, &code, sizeof code);
    memcpy(info + 16, &fault, sizeof fault);
    core_note(core, NT_SIGINFO, info, sizeof info);
}

/* NT_FILE with one range of whole pages. */
static inline void core_file(struct core_builder *core, uint64_t start, uint64_t end, uint64_t page,
                             const char *path)
{
    char content[4096 + 64];
    uint64_t words[5] = {1, 4096, start, end, page};
    memcpy(content, words, sizeof words);
    size_t length = strlen(path) + 1;
    memcpy(content + sizeof words, path, length);
    core_note(core, NT_FILE, content, sizeof words + length);
}

#endif

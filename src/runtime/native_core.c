#include "runtime/native_core.h"

#include <elf.h>
#include <stdlib.h>

#include "late/libelf.h"

/* struct elf_prstatus of 64-bit Linux: pr_pid, pr_reg, and behind that pr_fpvalid. */
enum { PRSTATUS_PID = 32, PRSTATUS_REGISTERS = 112, PRSTATUS_TAIL = 8 };

/* Bounds of what a core may claim. */
enum { SEGMENTS_MAX = 1 << 20, THREADS_MAX = 1 << 17 };
#define NOTES_MAX ((uint64_t)1 << 30)

struct of_thread {
    int thread;
    size_t count;
    uint64_t words[RFT_GREGS_MAX];
};

struct rft_core_registers {
    RFT_VEC(struct of_thread) threads;
};

static bool take_note(struct rft_core_registers *registers, const char *bytes, size_t size)
{
    struct of_thread one = {0};
    int32_t thread;
    if (size < PRSTATUS_REGISTERS + PRSTATUS_TAIL || registers->threads.count >= THREADS_MAX)
        return true;
    memcpy(&thread, bytes + PRSTATUS_PID, sizeof thread);
    one.thread = thread;
    one.count = (size - PRSTATUS_REGISTERS - PRSTATUS_TAIL) / sizeof *one.words;
    if (one.count > RFT_GREGS_MAX)
        one.count = RFT_GREGS_MAX;
    memcpy(one.words, bytes + PRSTATUS_REGISTERS, one.count * sizeof *one.words);
    return rft_vec_push(&registers->threads, one);
}

static bool take_notes(struct rft_core_registers *registers, Elf *elf, const GElf_Phdr *program)
{
    Elf_Data *data = program->p_filesz && program->p_filesz <= NOTES_MAX
                         ? elf_getdata_rawchunk(elf, (int64_t)program->p_offset,
                                                (size_t)program->p_filesz, ELF_T_NHDR)
                         : NULL;
    size_t at = 0, name, description;
    GElf_Nhdr note;
    while (data && (at = gelf_getnote(data, at, &note, &name, &description)) > 0) {
        const char *bytes = (const char *)data->d_buf;
        if (note.n_type == NT_PRSTATUS && note.n_namesz == 5 && !memcmp(bytes + name, "CORE", 5) &&
            !take_note(registers, bytes + description, note.n_descsz))
            return false;
    }
    return true;
}

struct rft_error *rft_core_registers_read(int fd, struct rft_core_registers **out)
{
    struct rft_core_registers *registers = calloc(1, sizeof *registers);
    if (!registers)
        return rft_error_no_memory();
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    size_t count = 0;
    bool enough = true;
    if (elf && elf_getphdrnum(elf, &count) == 0) {
        GElf_Phdr program;
        for (size_t i = 0; enough && i < count && i < SEGMENTS_MAX; i++) {
            if (gelf_getphdr(elf, (int)i, &program) && program.p_type == PT_NOTE)
                enough = take_notes(registers, elf, &program);
        }
    }
    elf_end(elf);
    if (!enough) {
        rft_core_registers_destroy(registers);
        return rft_error_no_memory();
    }
    *out = registers;
    return NULL;
}

void rft_core_registers_destroy(struct rft_core_registers *registers)
{
    if (registers)
        rft_vec_free(&registers->threads);
    free(registers);
}

size_t rft_core_registers_of(const struct rft_core_registers *registers, int thread,
                             uint64_t words[RFT_GREGS_MAX])
{
    for (size_t i = 0; i < registers->threads.count; i++) {
        const struct of_thread *one = &registers->threads.items[i];
        if (one->thread == thread) {
            memcpy(words, one->words, one->count * sizeof *words);
            return one->count;
        }
    }
    return 0;
}

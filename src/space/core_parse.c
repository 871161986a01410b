/* A core's headers and notes. */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "late/libelf.h"
#include "space/core.h"

/* Bounds of what a core may claim: beyond those of a real process. */
enum { SEGMENTS_MAX = 1 << 20, RANGES_MAX = 1 << 20, THREADS_MAX = 1 << 20 };
/* Of all note segments together: 65,536 threads have some 200 MiB. */
#define NOTES_MAX ((uint64_t)1 << 29)

/* struct elf_prstatus and elf_prpsinfo of 64-bit Linux (x86-64 and aarch64 agree in these). */
enum {
    PRSTATUS_CURSIG = 12,
    PRSTATUS_PID = 32,
    PRSTATUS_MIN = 36,
    PRSTATUS_X86_64_REGISTERS = 112
};
enum { PSINFO_PID = 24, PSINFO_NAME = 40, PSINFO_ARGS = 56, PSINFO_MIN = 136 };
enum { SIGINFO_CODE = 8, SIGINFO_ADDRESS = 16, SIGINFO_MIN = 24 };

static uint64_t word(const char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static int32_t int_at(const char *bytes)
{
    int32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* Signals whose default action makes a core. Anything else in a core's note is left from a
 * debugger that stopped the process to copy it. */
static bool makes_a_core(int signal)
{
    switch (signal) {
    case SIGQUIT:
    case SIGILL:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS:
        return true;
    default:
        return false;
    }
}

static const char *clean_copy(struct rft_core_space *core, const char *bytes, size_t size)
{
    struct rft_strbuf text = {0};
    rft_text_clean(&text, bytes, strnlen(bytes, size));
    const char *copy =
        text.failed ? NULL
                    : rft_arena_copy(&core->space.texts, rft_strbuf_text(&text), text.length);
    rft_strbuf_deinit(&text);
    return copy ? copy : "";
}

/* Makes it the last of the files. */
static bool take_file(struct rft_core_space *core, const char *name, size_t length)
{
    static const char gone[] = " (deleted)";
    size_t tail = sizeof gone - 1;
    struct rft_core_file file = {.fd = -1};
    if (length > tail && !memcmp(name + length - tail, gone, tail)) {
        file.deleted = true;
        length -= tail;
    }
    /* Neighbours usually lie in the same file. */
    const struct rft_core_file *last =
        core->files.count ? &core->files.items[core->files.count - 1] : NULL;
    if (last && last->deleted == file.deleted && strlen(last->path) == length &&
        !memcmp(last->path, name, length))
        return true;
    file.path = rft_arena_copy(&core->names, name, length);
    return file.path && rft_vec_push(&core->files, file);
}

static bool take_file_note(struct rft_core_space *core, const char *bytes, size_t size)
{
    if (size < 16)
        return true;
    uint64_t count = word(bytes), page = word(bytes + 8);
    if (count > RANGES_MAX || count > (size - 16) / 24 || page == 0 || page > 1 << 30)
        return true;
    const char *name = bytes + 16 + count * 24, *end = bytes + size;
    for (uint64_t i = 0; i < count; i++) {
        const char *stop = memchr(name, 0, (size_t)(end - name));
        if (!stop)
            return true;
        const char *row = bytes + 16 + i * 24;
        struct rft_core_range range = {word(row), word(row + 8), 0, 0};
        uint64_t pages = word(row + 16);
        if (range.start < range.end && pages <= UINT64_MAX / page) {
            range.offset = pages * page;
            if (!take_file(core, name, (size_t)(stop - name)))
                return false;
            range.file = (uint32_t)core->files.count - 1;
            if (range.offset == 0 && !core->files.items[range.file].header)
                core->files.items[range.file].header = range.start;
            if (!rft_vec_push(&core->ranges, range))
                return false;
        }
        name = stop + 1;
    }
    return true;
}

/* In which system call the thread was, if it was in one: its registers tell. */
static void take_call(const struct rft_core_space *core, struct rft_os_thread *thread,
                      const char *bytes, size_t size)
{
    if (core->machine != EM_X86_64 || size < PRSTATUS_X86_64_REGISTERS + 16 * 8)
        return;
    /* struct user_regs_struct: 10 rax, 15 orig_rax, and the arguments in rdi, rsi, rdx, r10,
     * r8. A call that a signal or a debugger interrupted will be begun again: -512
     * (ERESTARTSYS) to -516. One whose time was up just then has not come out of the kernel: who
     * waits for the GIL waits 5 ms at a time. */
    static const unsigned at[RFT_CALL_ARGUMENTS] = {14, 13, 12, 7, 9};
    const char *registers = bytes + PRSTATUS_X86_64_REGISTERS;
    int64_t result = (int64_t)word(registers + 10 * 8), call = (int64_t)word(registers + 15 * 8);
    bool waited = result == -EINTR || result == -ETIMEDOUT || (result <= -512 && result >= -516);
    if (call >= 0 && call < 1024 && waited) {
        thread->state = RFT_THREAD_BLOCKED;
        uint64_t arguments[RFT_CALL_ARGUMENTS];
        for (unsigned i = 0; i < RFT_CALL_ARGUMENTS; i++)
            arguments[i] = word(registers + 8 * (size_t)at[i]);
        rft_os_thread_in_call(thread, call, arguments);
    }
}

static bool take_thread(struct rft_core_space *core, const char *bytes, size_t size)
{
    struct rft_process_facts *facts = &core->space.facts;
    if (size < PRSTATUS_MIN || core->threads.count >= THREADS_MAX)
        return true;
    struct rft_os_thread thread = {.id = int_at(bytes + PRSTATUS_PID)};
    thread.namespace_id = thread.id;
    int16_t signal;
    memcpy(&signal, bytes + PRSTATUS_CURSIG, sizeof signal);
    /* The kernel and gdb write the thread that got the signal first. */
    if (core->threads.count == 0 && makes_a_core(signal)) {
        facts->signal = signal;
        facts->signal_thread = thread.id;
        thread.state = RFT_THREAD_CRASHED;
    } else {
        take_call(core, &thread, bytes, size);
    }
    return rft_vec_push(&core->threads, thread);
}

static void take_signal(struct rft_core_space *core, const char *bytes, size_t size)
{
    struct rft_process_facts *facts = &core->space.facts;
    /* One for each thread; the first belongs to the first thread. */
    if (size < SIGINFO_MIN || core->threads.count != 1 || int_at(bytes) != facts->signal)
        return;
    facts->signal_code = int_at(bytes + SIGINFO_CODE);
    if (facts->signal == SIGSEGV || facts->signal == SIGBUS || facts->signal == SIGILL ||
        facts->signal == SIGFPE)
        facts->fault = facts->signal_code > 0 ? word(bytes + SIGINFO_ADDRESS) : 0;
}

static void take_auxiliary(struct rft_core_space *core, const char *bytes, size_t size)
{
    for (size_t i = 0; i + 16 <= size; i += 16) {
        if (word(bytes + i) == AT_PHDR)
            core->program_headers = word(bytes + i + 8);
    }
}

static bool take_note(struct rft_core_space *core, const GElf_Nhdr *note, const char *bytes)
{
    struct rft_process_facts *facts = &core->space.facts;
    size_t size = note->n_descsz;
    switch (note->n_type) {
    case NT_PRSTATUS:
        return take_thread(core, bytes, size);
    case NT_PRPSINFO:
        if (size >= PSINFO_MIN) {
            facts->pid = facts->namespace_pid = int_at(bytes + PSINFO_PID);
            facts->command = clean_copy(core, bytes + PSINFO_ARGS, PSINFO_MIN - PSINFO_ARGS);
        }
        return true;
    case NT_SIGINFO:
        take_signal(core, bytes, size);
        return true;
    case NT_AUXV:
        take_auxiliary(core, bytes, size);
        return true;
    case NT_FILE:
        return take_file_note(core, bytes, size);
    default:
        return true;
    }
}

static bool take_notes(struct rft_core_space *core, Elf *elf, const Elf64_Phdr *program)
{
    if (program->p_offset >= core->size)
        return true;
    uint64_t size = program->p_filesz;
    if (size > core->size - program->p_offset)
        size = core->size - program->p_offset; /* cut */
    if (size == 0 || size > NOTES_MAX - core->notes_size)
        return true;
    core->notes_size += size;
    Elf_Data *data =
        elf_getdata_rawchunk(elf, (int64_t)program->p_offset, (size_t)size, ELF_T_NHDR);
    size_t at = 0, name, description;
    GElf_Nhdr note;
    while (data && (at = gelf_getnote(data, at, &note, &name, &description)) > 0) {
        /* gelf_getnote has checked that both lie in the chunk. */
        const char *bytes = (const char *)data->d_buf;
        if (note.n_namesz == 5 && !memcmp(bytes + name, "CORE", 5) &&
            !take_note(core, &note, bytes + description))
            return false;
    }
    return true;
}

static bool take_segment(struct rft_core_space *core, const Elf64_Phdr *program)
{
    if (program->p_memsz == 0 || program->p_memsz > UINT64_MAX - program->p_vaddr ||
        program->p_filesz > UINT64_MAX - program->p_offset)
        return true;
    uint64_t size = program->p_filesz < program->p_memsz ? program->p_filesz : program->p_memsz;
    if (program->p_offset + program->p_filesz > core->wanted_size)
        core->wanted_size = program->p_offset + program->p_filesz;
    struct rft_core_segment segment = {
        .start = program->p_vaddr,
        .end = program->p_vaddr + program->p_memsz,
        .offset = program->p_offset,
        .size = program->p_offset >= core->size         ? 0
                : size > core->size - program->p_offset ? core->size - program->p_offset
                                                        : size,
        .flags = program->p_flags,
    };
    return rft_vec_push(&core->segments, segment);
}

static int by_segment(const void *left, const void *right)
{
    const struct rft_core_segment *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static int by_range(const void *left, const void *right)
{
    const struct rft_core_range *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

/* Which file is the executable: the one that AT_PHDR points into. */
static void find_executable(struct rft_core_space *core)
{
    core->executable = UINT32_MAX;
    for (size_t i = 0; i < core->ranges.count; i++) {
        const struct rft_core_range *range = &core->ranges.items[i];
        if (core->program_headers - range->start < range->end - range->start)
            core->executable = range->file;
    }
    /* Without AT_PHDR: the lowest object, which the kernel puts the executable at. */
    for (size_t i = 0; core->executable == UINT32_MAX && i < core->ranges.count; i++) {
        if (core->ranges.items[i].offset == 0)
            core->executable = core->ranges.items[i].file;
    }
    if (core->executable != UINT32_MAX) {
        const char *path = core->files.items[core->executable].path;
        core->space.facts.executable = clean_copy(core, path, strlen(path));
    }
}

static struct rft_error *not_core(const char *path, const char *what)
{
    return rft_error_format(RFT_ERROR_NOT_CORE, "%s is %s, no core file", path, what);
}

/* How many program headers can be read. */
static size_t program_header_count(const struct rft_core_space *core, Elf *elf,
                                   const GElf_Ehdr *header)
{
    size_t count;
    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phoff >= core->size)
        return 0;
    if (header->e_phnum != PN_XNUM) {
        count = header->e_phnum;
    } else if (core->size < sizeof(Elf64_Shdr) ||
               header->e_shoff > core->size - sizeof(Elf64_Shdr) ||
               elf_getphdrnum(elf, &count) != 0) {
        /* The number stands in a section header at the core's end, which is cut off; libelf then
         * says 65,535. The kernel and gdb write the notes right behind the program headers. */
        GElf_Phdr first;
        Elf_Data *data =
            elf_getdata_rawchunk(elf, (int64_t)header->e_phoff, sizeof(Elf64_Phdr), ELF_T_PHDR);
        count = PN_XNUM;
        if (data && data->d_size >= sizeof first) {
            memcpy(&first, data->d_buf, sizeof first);
            if (first.p_type == PT_NOTE && first.p_offset > header->e_phoff)
                count = (size_t)(first.p_offset - header->e_phoff) / sizeof first;
        }
    }
    size_t there = (size_t)(core->size - header->e_phoff) / sizeof(Elf64_Phdr);
    if (count > there)
        count = there;
    return count < SEGMENTS_MAX ? count : SEGMENTS_MAX;
}

static struct rft_error *take_headers(struct rft_core_space *core, Elf *elf, const char *path)
{
    GElf_Ehdr header;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
        return not_core(path, "of another format");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
        return rft_error_format(RFT_ERROR_UNSUPPORTED,
                                "%s comes from a 32-bit or big-endian process; only 64-bit "
                                "little-endian ones can be inspected",
                                path);
    core->machine = header.e_machine;
    if (header.e_type != ET_CORE)
        return not_core(path, header.e_type == ET_REL ? "an object file" : "a program or library");
    size_t count = program_header_count(core, elf, &header);
    Elf_Data *data = count == 0 ? NULL
                                : elf_getdata_rawchunk(elf, (int64_t)header.e_phoff,
                                                       count * sizeof(Elf64_Phdr), ELF_T_PHDR);
    if (!data || data->d_size < count * sizeof(Elf64_Phdr))
        return rft_error_format(RFT_ERROR_DAMAGED,
                                "reading core %s: it has no program headers, or was cut before "
                                "them, after %llu bytes",
                                path, (unsigned long long)core->size);
    const Elf64_Phdr *programs = data->d_buf;
    for (size_t i = 0; i < count; i++) {
        if (programs[i].p_type == PT_LOAD   ? !take_segment(core, &programs[i])
            : programs[i].p_type == PT_NOTE ? !take_notes(core, elf, &programs[i])
                                            : false)
            return rft_error_no_memory();
    }
    return NULL;
}

struct rft_error *rft_core_parse(struct rft_core_space *core, const char *path)
{
    const char *missing = rft_late_missing(RFT_LATE_ELF);
    if (missing)
        return rft_error_format(RFT_ERROR_UNSUPPORTED, "reading core %s: %s", path, missing);
    if (elf_version(EV_CURRENT) == EV_NONE)
        return rft_error_format(RFT_ERROR_UNSUPPORTED, "libelf is too old for reading %s", path);
    Elf *elf = elf_begin(core->fd, ELF_C_READ, NULL);
    if (!elf)
        return not_core(path, "of another format");
    struct rft_error *error = take_headers(core, elf, path);
    elf_end(elf);
    if (error)
        return error;
    if (core->segments.count)
        qsort(core->segments.items, core->segments.count, sizeof *core->segments.items, by_segment);
    if (core->ranges.count)
        qsort(core->ranges.items, core->ranges.count, sizeof *core->ranges.items, by_range);
    find_executable(core);
    return NULL;
}

#include "runtime/native_unwind.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/index.h"
#include "runtime/native_symbol.h"

/* An image of an object that has no file (the kernel's vdso) is a page or two. */
enum { IMAGE_MAX = 1 << 20 };

struct rft_unwinder {
    struct rft_runtime *runtime;
    Dwfl *dwfl;
    bool attached;
    uint64_t objects; /* a hash of what is mapped where */
    struct rft_symbols *symbols;
    const struct rft_capture *capture; /* that is being unwound */
    RFT_VEC(struct rft_native_frame) frames;
};

/* --- what libdwfl asks for ------------------------------------------------------------- */

static pid_t next_thread(Dwfl *dwfl, void *argument, void **thread_argument)
{
    (void)dwfl, (void)argument, (void)thread_argument;
    return 0; /* threads are asked for by their id */
}

static bool get_thread(Dwfl *dwfl, pid_t id, void *argument, void **thread_argument)
{
    (void)dwfl, (void)id;
    *thread_argument = argument;
    return true;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *word, void *argument)
{
    (void)dwfl;
    struct rft_unwinder *unwinder = argument;
    const struct rft_capture *capture = unwinder->capture;
    if (!capture)
        return false;
    if (address >= capture->stack && capture->size >= sizeof *word &&
        address - capture->stack <= capture->size - sizeof *word) {
        memcpy(word, capture->bytes + (address - capture->stack), sizeof *word);
        return true;
    }
    return rft_space_try(unwinder->runtime->space, address, word, sizeof *word);
}

static bool set_registers(Dwfl_Thread *thread, void *argument)
{
    const struct rft_capture *capture = ((struct rft_unwinder *)argument)->capture;
    rft_address stack_pointer, instruction;
    if (!capture || !rft_capture_position(capture, &stack_pointer, &instruction))
        return false;
    if (capture->register_count == RFT_GREGS_MAX) {
        /* aarch64: x0 to x30, sp; the instruction pointer has no DWARF number. */
        dwfl_thread_state_register_pc(thread, instruction);
        return dwfl_thread_state_registers(thread, 0, 32, (const Dwarf_Word *)capture->registers);
    }
    /* x86-64: where DWARF's registers 0 to 16 (rax rdx rcx rbx rsi rdi rbp rsp r8 … r15 rip)
     * are in user_regs_struct. */
    static const unsigned char order[] = {10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16};
    Dwarf_Word registers[sizeof order];
    for (size_t i = 0; i < sizeof order; i++)
        registers[i] = capture->registers[order[i]];
    return dwfl_thread_state_registers(thread, 0, sizeof order, registers);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = read_memory,
    .set_initial_registers = set_registers,
};

static const Dwfl_Callbacks callbacks = {
    .find_debuginfo = rft_symbols_find_debuginfo,
};

/* --- objects ----------------------------------------------------------------------------- */

static uint64_t hash_objects(const struct rft_object *objects, size_t count)
{
    uint64_t hash = count;
    for (size_t i = 0; i < count; i++) {
        hash = rft_hash_mix(hash, objects[i].start);
        hash = rft_hash_mix(hash, rft_hash_bytes(objects[i].path, strlen(objects[i].path)));
    }
    return hash;
}

/* libdwfl takes an object from a descriptor, which it then owns. */
static void report(struct rft_unwinder *unwinder, const char *path, int fd, uint64_t bias)
{
    if (fd >= 0 && !dwfl_report_elf(unwinder->dwfl, path, path, fd, bias, true))
        close(fd);
}

/* The kernel's own object, which signal handlers return through and gettimeofday() is in. */
static void report_vdso(struct rft_unwinder *unwinder, const struct rft_map *map)
{
    size_t size = (size_t)(map->end - map->start);
    unsigned char *bytes = size <= IMAGE_MAX ? malloc(size) : NULL;
    int fd = -1;
    if (bytes && rft_space_try(unwinder->runtime->space, map->start, bytes, size)) {
        fd = memfd_create("vdso", MFD_CLOEXEC);
        if (fd >= 0 && write(fd, bytes, size) != (ssize_t)size) {
            close(fd);
            fd = -1;
        }
    }
    free(bytes);
    report(unwinder, "[vdso]", fd, map->start);
}

static struct rft_error *report_all(struct rft_unwinder *unwinder)
{
    struct rft_space *space = unwinder->runtime->space;
    struct rft_object *objects;
    size_t count;
    struct rft_error *error = rft_space_objects(space, &objects, &count);
    if (error)
        return error;
    unwinder->objects = hash_objects(objects, count);
    dwfl_report_begin(unwinder->dwfl);
    for (size_t i = 0; i < count; i++)
        report(unwinder, objects[i].path, rft_space_open_object(space, &objects[i]),
               objects[i].bias);
    free(objects);
    const struct rft_map *maps;
    error = rft_space_maps(space, &maps, &count);
    for (size_t i = 0; !error && i < count; i++) {
        if (!strcmp(maps[i].path, "[vdso]"))
            report_vdso(unwinder, &maps[i]);
    }
    rft_error_destroy(error);
    dwfl_report_end(unwinder->dwfl, NULL, NULL);
    return NULL;
}

struct rft_error *rft_unwinder_create(struct rft_runtime *runtime, struct rft_unwinder **out)
{
    struct rft_unwinder *unwinder = calloc(1, sizeof *unwinder);
    if (!unwinder)
        return rft_error_no_memory();
    unwinder->runtime = runtime;
    struct rft_error *error = NULL;
    const char *missing = rft_late_missing(RFT_LATE_ELF);
    if (missing)
        error = rft_error_format(RFT_ERROR_UNSUPPORTED, "unwinding C stacks: %s", missing);
    else
        unwinder->dwfl = dwfl_begin(&callbacks);
    if (!error && !unwinder->dwfl)
        error = rft_error_format(RFT_ERROR_UNSUPPORTED, "unwinding C stacks: libdw: %s",
                                 dwfl_errmsg(-1));
    if (!error)
        error = report_all(unwinder);
    if (!error) {
        unwinder->symbols = rft_symbols_create(unwinder->dwfl);
        if (!unwinder->symbols)
            error = rft_error_no_memory();
    }
    if (!error) {
        /* The id is only a name here: every thread is described by what was captured. */
        unwinder->attached =
            dwfl_attach_state(unwinder->dwfl, NULL, 1, &thread_callbacks, unwinder);
        if (!unwinder->attached)
            error = rft_error_format(RFT_ERROR_UNSUPPORTED,
                                     "unwinding C stacks: no file of a mapped object can be read "
                                     "(libdw: %s)",
                                     dwfl_errmsg(-1));
    }
    if (error) {
        rft_unwinder_destroy(unwinder);
        return error;
    }
    *out = unwinder;
    return NULL;
}

void rft_unwinder_destroy(struct rft_unwinder *unwinder)
{
    if (!unwinder)
        return;
    rft_symbols_destroy(unwinder->symbols);
    if (unwinder->dwfl)
        dwfl_end(unwinder->dwfl);
    rft_vec_free(&unwinder->frames);
    free(unwinder);
}

bool rft_unwinder_is_current(struct rft_unwinder *unwinder)
{
    struct rft_object *objects;
    size_t count;
    struct rft_error *error = rft_space_objects(unwinder->runtime->space, &objects, &count);
    if (error) {
        rft_error_destroy(error);
        return false;
    }
    bool same = hash_objects(objects, count) == unwinder->objects;
    free(objects);
    return same;
}

/* --- frames ------------------------------------------------------------------------------- */

static int take_frame(Dwfl_Frame *state, void *argument)
{
    struct rft_unwinder *unwinder = argument;
    struct rft_native_frame frame = {0};
    Dwarf_Addr instruction;
    Dwarf_Word stack_pointer;
    /* DWARF numbers of the stack pointer: 7 on x86-64, 31 on aarch64. */
    unsigned number = unwinder->capture->register_count == RFT_GREGS_MAX ? 31 : 7;
    if (!dwfl_frame_pc(state, &instruction, &frame.exact))
        return DWARF_CB_ABORT;
    frame.instruction = instruction;
    if (dwfl_frame_reg(state, number, &stack_pointer) == 0)
        frame.stack_pointer = stack_pointer;
    if (unwinder->frames.count >= RFT_NATIVE_FRAMES_MAX || !rft_vec_push(&unwinder->frames, frame))
        return DWARF_CB_ABORT;
    return DWARF_CB_OK;
}

const char *rft_unwinder_unwind(struct rft_unwinder *unwinder, const struct rft_capture *capture,
                                const struct rft_native_frame **frames, size_t *count)
{
    unwinder->capture = capture;
    unwinder->frames.count = 0;
    int result = dwfl_getthread_frames(unwinder->dwfl, 1, take_frame, unwinder);
    unwinder->capture = NULL;
    *frames = unwinder->frames.items;
    *count = unwinder->frames.count;
    if (result == 0)
        return NULL;
    if (unwinder->frames.count >= RFT_NATIVE_FRAMES_MAX)
        return "there are too many C frames";
    const char *message = result < 0 ? dwfl_errmsg(-1) : NULL;
    return message ? message : "no memory";
}

const struct rft_symbol *rft_unwinder_symbol(struct rft_unwinder *unwinder,
                                             const struct rft_native_frame *frame)
{
    /* Behind a call lies the next line, or even the next function. */
    return rft_symbols_find(unwinder->symbols,
                            frame->exact ? frame->instruction : frame->instruction - 1);
}

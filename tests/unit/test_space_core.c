/* Core files: made by hand, cut at every byte, packed, changed, with files that are the same or
 * others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "core_builder.h"
#include "space/space.h"

enum { DATA = 0x10000, TEXT = 0x20000, PAGE = 4096, TEXT_IN_CORE = 512 };

static unsigned char bytes[1 << 16];
static unsigned char data[256]; /* what is at DATA; zeros at its end */

/* A file with these bytes: its path leads to it as long as `fd` is open. */
static const char *file_of(const void *content, size_t size, char path[64], int *fd)
{
    *fd = memfd_create("core", MFD_CLOEXEC);
    assert_true(*fd >= 0);
    assert_int_equal(write(*fd, content, size), size);
    snprintf(path, 64, "/proc/self/fd/%d", *fd);
    return path;
}

static struct rft_error *open_bytes(const void *content, size_t size,
                                    const struct rft_core_options *options,
                                    struct rft_space **space)
{
    char path[64];
    int fd;
    struct rft_error *error =
        rft_space_create_core(file_of(content, size, path, &fd), options, space);
    close(fd);
    return error;
}

/* An object of two pages with a build id, the second page full of `fill`. */
static void make_object(unsigned char object[2 * PAGE], unsigned char build_id, unsigned char fill)
{
    memset(object, 0, PAGE);
    memset(object + PAGE, fill, PAGE);
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_phoff = sizeof header,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
    };
    struct {
        Elf64_Nhdr note;
        char name[4];
        unsigned char id[20];
    } id = {{4, 20, NT_GNU_BUILD_ID}, "GNU", {build_id, 1, 2, 3}};
    Elf64_Phdr programs[2] = {
        {.p_type = PT_LOAD, .p_filesz = 2 * PAGE, .p_memsz = 2 * PAGE},
        {.p_type = PT_NOTE, .p_offset = 256, .p_filesz = sizeof id, .p_memsz = sizeof id},
    };
    memcpy(object, &header, sizeof header);
    memcpy(object + sizeof header, programs, sizeof programs);
    memcpy(object + 256, &id, sizeof id);
}

/* A crashed process with two threads, data, and an object of which only the beginning is in the
 * core. Returns the core's size. */
static size_t make_core(const unsigned char *object, const char *path)
{
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i < sizeof data / 2 ? i + 1 : 0);
    memcpy(data + 64, "xdebugpy", 8);
    struct core_builder core;
    core_begin(&core, bytes, 3);
    size_t begin = core.size;
    core_thread(&core, 101, SIGSEGV);
    core_process(&core, 100, "python3 app.py");
    core_signal(&core, SIGSEGV, 1, 0xdead0);
    uint64_t auxiliary[] = {AT_PHDR, TEXT + 64, AT_NULL, 0};
    core_note(&core, NT_AUXV, auxiliary, sizeof auxiliary);
    core_file(&core, TEXT, TEXT + 2 * PAGE, 0, path);
    core_thread(&core, 102, SIGSEGV);
    core_program(&core, PT_NOTE, 0, core.size - begin, 0, 0);
    core_append(&core, object, TEXT_IN_CORE);
    core_program(&core, PT_LOAD, TEXT, TEXT_IN_CORE, 2 * PAGE, PF_R | PF_X);
    core_append(&core, data, sizeof data);
    core_program(&core, PT_LOAD, DATA, sizeof data, sizeof data, PF_R | PF_W);
    return core.size;
}

static void assert_data(struct rft_space *space)
{
    unsigned char read[sizeof data];
    assert_null(rft_space_read(space, DATA, read, sizeof read));
    assert_memory_equal(read, data, sizeof data);
}

static bool note_address(void *context, const struct rft_candidate *candidate)
{
    *(rft_address *)context = candidate->address;
    return true;
}

static void a_whole_core_tells_what_happened(void **state)
{
    (void)state;
    unsigned char object[2 * PAGE];
    make_object(object, 1, 'A');
    size_t size = make_core(object, "/no/such/python3");
    struct rft_space *space;
    assert_null(open_bytes(bytes, size, NULL, &space));
    assert_int_equal(rft_space_kind(space), RFT_SPACE_CORE);
    const struct rft_process_facts *facts = rft_space_facts(space);
    assert_int_equal(facts->pid, 100);
    assert_string_equal(facts->command, "python3 app.py");
    assert_string_equal(facts->executable, "/no/such/python3");
    assert_int_equal(facts->signal, SIGSEGV);
    assert_int_equal(facts->signal_code, 1);
    assert_int_equal(facts->fault, 0xdead0);
    assert_int_equal(facts->signal_thread, 101);
    assert_non_null(strstr(facts->missing, "/no/such/python3 is not there"));
    const struct rft_os_thread *threads;
    size_t count;
    assert_null(rft_space_os_threads(space, &threads, &count));
    assert_int_equal(count, 2);
    assert_int_equal(threads[0].id, 101);
    assert_int_equal(threads[0].state, RFT_THREAD_CRASHED);
    assert_int_equal(threads[1].state, RFT_THREAD_UNKNOWN);
    const struct rft_map *maps;
    assert_null(rft_space_maps(space, &maps, &count));
    assert_int_equal(count, 2);
    assert_int_equal(maps[0].start, DATA);
    assert_true(maps[0].writable);
    assert_string_equal(maps[1].path, "/no/such/python3");
    assert_data(space);
    char byte;
    assert_true(rft_space_try(space, TEXT + TEXT_IN_CORE - 1, &byte, 1));
    assert_false(rft_space_try(space, TEXT + TEXT_IN_CORE, &byte, 1));
    assert_false(rft_space_try(space, DATA + sizeof data - 1, (char[2]){0}, 2));
    rft_address found = 0;
    assert_true(rft_space_find_runtime(space, note_address, &found));
    assert_int_equal(found, DATA + 64);
    rft_space_destroy(space);
}

static void DB12_a_core_that_is_cut_gives_what_is_there(void **state)
{
    (void)state;
    unsigned char object[2 * PAGE];
    make_object(object, 1, 'A');
    size_t size = make_core(object, "/no/such/python3"), opened = 0;
    for (size_t length = 0; length < size; length++) {
        struct rft_space *space;
        struct rft_error *error = open_bytes(bytes, length, NULL, &space);
        if (error) {
            assert_true(error->code == RFT_ERROR_NOT_CORE || error->code == RFT_ERROR_DAMAGED);
            assert_true(length < sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr));
            rft_error_destroy(error);
            continue;
        }
        opened++;
        if (length >= sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr))
            assert_non_null(strstr(rft_space_facts(space)->missing, "the core is cut"));
        /* DATA comes last: each byte of it is there or not. */
        size_t there = length > size - sizeof data ? length - (size - sizeof data) : 0;
        unsigned char read[sizeof data + 1];
        assert_true(rft_space_try(space, DATA, read, there));
        assert_memory_equal(read, data, there);
        assert_false(rft_space_try(space, DATA, read, there + 1));
        rft_address found = 0;
        assert_int_equal(rft_space_find_runtime(space, note_address, &found), there >= 64 + 8);
        rft_space_destroy(space);
    }
    assert_true(opened > size / 2);
}

static void a_packed_core_is_the_same_as_a_plain_one(void **state)
{
    (void)state;
    unsigned char object[2 * PAGE], packed[1 << 16];
    make_object(object, 1, 'A');
    size_t size = make_core(object, "/no/such/python3");
    struct rft_space *space;

    size_t length = ZSTD_compress(packed, sizeof packed, bytes, size, 3);
    assert_false(ZSTD_isError(length));
    assert_null(open_bytes(packed, length, NULL, &space));
    assert_data(space);
    assert_null(strstr(rft_space_facts(space)->missing, "cut"));
    rft_space_destroy(space);

    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = bytes;
    stream.avail_in = (unsigned)size;
    stream.next_out = packed;
    stream.avail_out = sizeof packed;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    length = stream.total_out;
    deflateEnd(&stream);
    assert_null(open_bytes(packed, length, NULL, &space));
    assert_data(space);
    rft_space_destroy(space);
    /* A packed file that was cut is a cut core. */
    struct rft_error *error = open_bytes(packed, length / 2, NULL, &space);
    if (error)
        rft_error_destroy(error);
    else
        rft_space_destroy(space);

    error = open_bytes("\x1f\x8b-----------------", 18, NULL, &space);
    assert_int_equal(error->code, RFT_ERROR_DAMAGED);
    rft_error_destroy(error);
}

static void zeros_at_the_end_of_a_packed_core_are_there(void **state)
{
    (void)state;
    enum { ZEROS = 3 * PAGE };
    unsigned char packed[1 << 14], zero[ZEROS] = {0}, read[ZEROS];
    struct core_builder core;
    core_begin(&core, bytes, 1);
    core_append(&core, zero, ZEROS);
    core_program(&core, PT_LOAD, DATA, ZEROS, ZEROS, PF_R | PF_W);
    size_t length = ZSTD_compress(packed, sizeof packed, bytes, core.size, 3);
    struct rft_space *space;
    assert_null(open_bytes(packed, length, NULL, &space));
    memset(read, 1, sizeof read);
    assert_true(rft_space_try(space, DATA, read, ZEROS));
    assert_memory_equal(read, zero, ZEROS);
    rft_space_destroy(space);
}

static void the_file_that_was_mapped_fills_in_if_its_build_id_agrees(void **state)
{
    (void)state;
    unsigned char object[2 * PAGE], other[2 * PAGE];
    make_object(object, 1, 'A');
    make_object(other, 2, 'B');
    char same_path[64], other_path[64];
    int same_fd, other_fd;
    file_of(object, sizeof object, same_path, &same_fd);
    file_of(other, sizeof other, other_path, &other_fd);
    const struct {
        const char *named, *given;
        bool agrees;
    } cases[] = {
        {same_path, NULL, true},
        {other_path, NULL, false},
        {"/no/such/python3", same_path, true},
        {"/no/such/python3", other_path, false},
        {same_path, other_path, false},
        /* Only a name that another file has now: the build id tells which. */
        {"/proc/self/fd/%d (deleted)", NULL, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char named[96];
        snprintf(named, sizeof named, "%s", cases[i].named);
        if (strstr(named, "(deleted)"))
            snprintf(named, sizeof named, "%s (deleted)", same_path);
        size_t size = make_core(object, named);
        struct rft_core_options options = {.executable = cases[i].given};
        struct rft_space *space;
        assert_null(open_bytes(bytes, size, &options, &space));
        char text[8] = "";
        assert_int_equal(rft_space_try(space, TEXT + PAGE, text, 7), cases[i].agrees);
        if (cases[i].agrees)
            assert_string_equal(text, "AAAAAAA");
        const char *missing = rft_space_facts(space)->missing;
        assert_int_equal(*missing == 0, cases[i].agrees);
        if (!cases[i].agrees)
            assert_non_null(strstr(missing, "another build"));
        rft_space_destroy(space);
    }
    close(same_fd);
    close(other_fd);
}

/* PN_XNUM: the number is in a section header, which the kernel writes at the end. */
static void more_segments_than_fit_into_the_header(void **state)
{
    (void)state;
    enum { SEGMENTS = 70000 };
    size_t room = sizeof(Elf64_Ehdr) + (SEGMENTS + 1) * sizeof(Elf64_Phdr) + SEGMENTS + 4096;
    unsigned char *big = malloc(room);
    assert_non_null(big);
    struct core_builder core;
    core_begin(&core, big, SEGMENTS + 1);
    size_t begin = core.size;
    core_thread(&core, 7, SIGABRT);
    core_program(&core, PT_NOTE, 0, core.size - begin, 0, 0);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        core_append(&core, &(char){(char)i}, 1);
        core_program(&core, PT_LOAD, 0x1000 + 2 * (uint64_t)i, 1, 1, PF_R);
    }
    size_t without = core.size;
    Elf64_Shdr section = {.sh_info = SEGMENTS + 1, .sh_size = 1};
    Elf64_Ehdr header;
    memcpy(&header, big, sizeof header);
    header.e_shoff = core.size;
    header.e_shentsize = sizeof section;
    memcpy(big, &header, sizeof header);
    core_append(&core, &section, sizeof section);
    const size_t sizes[] = {core.size, without};
    for (size_t i = 0; i < 2; i++) {
        struct rft_space *space;
        assert_null(open_bytes(big, sizes[i], NULL, &space));
        char byte = 0;
        assert_true(rft_space_try(space, 0x1000 + 2 * (SEGMENTS - 1), &byte, 1));
        assert_int_equal(byte, (char)(SEGMENTS - 1));
        assert_int_equal(rft_space_facts(space)->signal_thread, 7);
        rft_space_destroy(space);
    }
    free(big);
}

static void what_is_no_core_is_refused_by_name(void **state)
{
    (void)state;
    unsigned char object[2 * PAGE];
    make_object(object, 1, 'A');
    struct rft_space *space;
    struct rft_error *error = open_bytes(object, sizeof object, NULL, &space);
    assert_int_equal(error->code, RFT_ERROR_NOT_CORE);
    assert_non_null(strstr(error->message, "a program or library"));
    rft_error_destroy(error);
    error = open_bytes("no ELF at all, but text", 23, NULL, &space);
    assert_int_equal(error->code, RFT_ERROR_NOT_CORE);
    rft_error_destroy(error);
    error = rft_space_create_core("/", NULL, &space);
    assert_int_equal(error->code, RFT_ERROR_NOT_CORE);
    rft_error_destroy(error);
    error = rft_space_create_core("/no/such/core", NULL, &space);
    assert_int_equal(error->code, RFT_ERROR_OS);
    rft_error_destroy(error);
    size_t size = make_core(object, "/no/such/python3");
    bytes[EI_CLASS] = ELFCLASS32;
    error = open_bytes(bytes, size, NULL, &space);
    assert_non_null(error);
    rft_error_destroy(error);
}

static void DB12_any_byte_may_be_wrong(void **state)
{
    (void)state;
    static const unsigned char values[] = {0, 0x7f, 0xff};
    unsigned char object[2 * PAGE];
    make_object(object, 1, 'A');
    size_t size = make_core(object, "/no/such/python3"), opened = 0;
    for (size_t i = 0; i < size - sizeof data; i++) {
        for (size_t v = 0; v < sizeof values; v++) {
            unsigned char was = bytes[i];
            bytes[i] = values[v];
            struct rft_space *space;
            struct rft_error *error = open_bytes(bytes, size, NULL, &space);
            bytes[i] = was;
            if (error) {
                assert_true(error->message[0] != 0);
                rft_error_destroy(error);
                continue;
            }
            opened++;
            unsigned char read[sizeof data];
            if (rft_space_try(space, DATA, read, sizeof read) && i > 4096)
                assert_memory_equal(read, data, sizeof data);
            rft_address found = 0;
            rft_space_find_runtime(space, note_address, &found);
            rft_space_destroy(space);
        }
    }
    assert_true(opened > size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_core_tells_what_happened),
        cmocka_unit_test(DB12_a_core_that_is_cut_gives_what_is_there),
        cmocka_unit_test(a_packed_core_is_the_same_as_a_plain_one),
        cmocka_unit_test(zeros_at_the_end_of_a_packed_core_are_there),
        cmocka_unit_test(the_file_that_was_mapped_fills_in_if_its_build_id_agrees),
        cmocka_unit_test(more_segments_than_fit_into_the_header),
        cmocka_unit_test(what_is_no_core_is_refused_by_name),
        cmocka_unit_test(DB12_any_byte_may_be_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

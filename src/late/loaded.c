/* Tables of functions that are loaded at run time. */
#include "late/elf.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "late/installed.h"
#if RFT_HAVE_SMARTCOLS
#include "late/smartcols.h"
#endif

#if RFT_HAVE_LIBELF
struct rft_libelf rft_libelf;
#endif
#if RFT_HAVE_LIBDW
struct rft_libdw rft_libdw;
#endif
#if RFT_HAVE_ZLIB
struct rft_zlib rft_zlib;
#endif
#if RFT_HAVE_LIBZSTD
struct rft_libzstd rft_libzstd;
#endif
#if RFT_HAVE_SMARTCOLS
struct rft_smartcols rft_smartcols;
#endif

/* Objects without code of their own. Packagers and auditwheel see by them what is needed. */
static const struct {
    const char *file, *libraries;
} objects[RFT_LATE_COUNT] = {
    [RFT_LATE_ELF] = {"libreftracer-elf.so", "elfutils (libelf and libdw), zlib and libzstd"},
    [RFT_LATE_TABLES] = {"libreftracer-tables.so", "libsmartcols (util-linux)"},
};

#define ROW_ELF(library, function) {RFT_LATE_ELF, #function, &rft_##library.function},
#define ROW_TABLES(library, function) {RFT_LATE_TABLES, #function, &rft_##library.function},

static const struct {
    enum rft_late object;
    const char *name;
    void *entry; /* a pointer to a function */
} functions[] = {
#if RFT_HAVE_LIBELF
    RFT_LIBELF_FUNCTIONS(ROW_ELF)
#endif
#if RFT_HAVE_LIBDW
        RFT_LIBDW_FUNCTIONS(ROW_ELF)
#endif
#if RFT_HAVE_ZLIB
            RFT_ZLIB_FUNCTIONS(ROW_ELF)
#endif
#if RFT_HAVE_LIBZSTD
                RFT_LIBZSTD_FUNCTIONS(ROW_ELF)
#endif
#if RFT_HAVE_SMARTCOLS
                    RFT_SMARTCOLS_FUNCTIONS(ROW_TABLES)
#endif
    /* A build may have none of them. */
    {RFT_LATE_COUNT, "", NULL},
};

/* What is not there; NULL: all is. Written once, under `once`. */
static const char *missing[RFT_LATE_COUNT];

static const char *why_not(enum rft_late what, const char *cause)
{
    char *text = NULL;
    int made = asprintf(&text, "%s can't be loaded: %s; install %s, or reftracer again",
                        objects[what].file, cause, objects[what].libraries);
    return made >= 0 ? text : "out of memory";
}

/* False: nothing of it was there when this was built. */
static bool is_used(enum rft_late what)
{
    for (size_t i = 0; functions[i].entry; i++) {
        if (functions[i].object == what)
            return true;
    }
    return false;
}

static const char *load(enum rft_late what)
{
    if (!is_used(what))
        return NULL;
    char *path = rft_installed(objects[what].file);
    if (!path)
        return why_not(what, "it is neither beside the command nor in ../lib/reftracer/");
    void *object = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    free(path);
    if (!object)
        return why_not(what, dlerror());
    for (size_t i = 0; functions[i].entry; i++) {
        if (functions[i].object != what)
            continue;
        void *address = dlsym(object, functions[i].name);
        if (!address)
            return why_not(what, dlerror());
        memcpy(functions[i].entry, &address, sizeof address);
    }
    return NULL;
}

static void load_elf(void)
{
    missing[RFT_LATE_ELF] = load(RFT_LATE_ELF);
}

static void load_tables(void)
{
    missing[RFT_LATE_TABLES] = load(RFT_LATE_TABLES);
}

const char *rft_late_missing(enum rft_late what)
{
    static pthread_once_t once[RFT_LATE_COUNT] = {PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT};
    pthread_once(&once[what], what == RFT_LATE_ELF ? load_elf : load_tables);
    return missing[what];
}

/* Libraries that the command loads when it first needs them: to load all of them takes as long as
 * a look at a process, which needs none.
 *
 * A header of this room for each library (late/libelf.h, ...) is included in the place of the
 * library's own: its functions are then called through a table. Two files fill the tables:
 * loaded.c, in the command, at run time, from an object that has nothing but its libraries
 * (libreftracer-elf.so, libreftracer-tables.so); linked.c, in libreftracer.so and in tests,
 * when they are linked.
 *
 * To add a function: its name in the header of its library, twice. To add a library: a header,
 * a row in `rft_late_functions` of both files, and in meson.build the object that has it. */
#ifndef RFT_LATE_LATE_H
#define RFT_LATE_LATE_H

enum rft_late {
    RFT_LATE_ELF,    /* libelf, libdw, zlib, libzstd: cores, C frames, symbols of files */
    RFT_LATE_TABLES, /* libsmartcols */
    RFT_LATE_COUNT,
};

/* To be called before the first function of such a library. NULL: they are there. Else what is
 * missing and what to do, as the end of a sentence; it lives as long as the process. */
const char *rft_late_missing(enum rft_late what);

/* The table of a library's functions, `rft_` and the library's name. FUNCTIONS(X) has
 * X(library, function) for each. It is written once, before anything is called through it. */
#define RFT_LATE_FIELD(library, function) __typeof__(function) *function;
#define RFT_LATE_TABLE(library, FUNCTIONS)                                                         \
    struct rft_##library {                                                                         \
        FUNCTIONS(RFT_LATE_FIELD)                                                                  \
    };                                                                                             \
    extern struct rft_##library rft_##library

#endif

/* Functions of libelf that are used, called through a table (late/late.h). */
#ifndef RFT_LATE_LIBELF_H
#define RFT_LATE_LIBELF_H

#include <gelf.h>
#include <libelf.h>

#include "late/late.h"

#define RFT_LIBELF_FUNCTIONS(X)                                                                    \
    X(libelf, elf_begin)                                                                           \
    X(libelf, elf_end)                                                                             \
    X(libelf, elf_getdata)                                                                         \
    X(libelf, elf_getdata_rawchunk)                                                                \
    X(libelf, elf_getphdrnum)                                                                      \
    X(libelf, elf_getshdrstrndx)                                                                   \
    X(libelf, elf_kind)                                                                            \
    X(libelf, elf_nextscn)                                                                         \
    X(libelf, elf_strptr)                                                                          \
    X(libelf, elf_version)                                                                         \
    X(libelf, gelf_getehdr)                                                                        \
    X(libelf, gelf_getnote)                                                                        \
    X(libelf, gelf_getphdr)                                                                        \
    X(libelf, gelf_getshdr)                                                                        \
    X(libelf, gelf_getsym)

RFT_LATE_TABLE(libelf, RFT_LIBELF_FUNCTIONS);

#ifndef RFT_LATE_FILLS_TABLES
#define elf_begin rft_libelf.elf_begin
#define elf_end rft_libelf.elf_end
#define elf_getdata rft_libelf.elf_getdata
#define elf_getdata_rawchunk rft_libelf.elf_getdata_rawchunk
#define elf_getphdrnum rft_libelf.elf_getphdrnum
#define elf_getshdrstrndx rft_libelf.elf_getshdrstrndx
#define elf_kind rft_libelf.elf_kind
#define elf_nextscn rft_libelf.elf_nextscn
#define elf_strptr rft_libelf.elf_strptr
#define elf_version rft_libelf.elf_version
#define gelf_getehdr rft_libelf.gelf_getehdr
#define gelf_getnote rft_libelf.gelf_getnote
#define gelf_getphdr rft_libelf.gelf_getphdr
#define gelf_getshdr rft_libelf.gelf_getshdr
#define gelf_getsym rft_libelf.gelf_getsym
#endif

#endif

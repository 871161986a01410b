/* Tables of functions that are linked: nothing is missing. That of libsmartcols is in
 * linked_tables.c, for libreftracer.so prints no tables. */
#include "late/elf.h"

#include <stddef.h>

#define ENTRY(library, function) .function = function,

#if RFT_HAVE_LIBELF
struct rft_libelf rft_libelf = {RFT_LIBELF_FUNCTIONS(ENTRY)};
#endif
#if RFT_HAVE_LIBDW
struct rft_libdw rft_libdw = {RFT_LIBDW_FUNCTIONS(ENTRY)};
#endif
#if RFT_HAVE_ZLIB
struct rft_zlib rft_zlib = {RFT_ZLIB_FUNCTIONS(ENTRY)};
#endif
#if RFT_HAVE_LIBZSTD
struct rft_libzstd rft_libzstd = {RFT_LIBZSTD_FUNCTIONS(ENTRY)};
#endif

const char *rft_late_missing(enum rft_late what)
{
    (void)what;
    return NULL;
}

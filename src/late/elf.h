/* The libraries of libreftracer-elf.so, as far as they were there when this was built, for the
 * files that fill their tables. */
#ifndef RFT_LATE_ELF_H
#define RFT_LATE_ELF_H

#define RFT_LATE_FILLS_TABLES
#include "late/late.h"
#if RFT_HAVE_LIBELF
#include "late/libelf.h"
#endif
#if RFT_HAVE_LIBDW
#include "late/libdw.h"
#endif
#if RFT_HAVE_ZLIB
#include "late/zlib.h"
#endif
#if RFT_HAVE_LIBZSTD
#include "late/libzstd.h"
#endif

#endif

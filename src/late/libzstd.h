/* Functions of libzstd that are used, called through a table (late/late.h). */
#ifndef RFT_LATE_LIBZSTD_H
#define RFT_LATE_LIBZSTD_H

#include <zstd.h>

#include "late/late.h"

#define RFT_LIBZSTD_FUNCTIONS(X)                                                                   \
    X(libzstd, ZSTD_createDStream)                                                                 \
    X(libzstd, ZSTD_decompressStream)                                                              \
    X(libzstd, ZSTD_freeDStream)                                                                   \
    X(libzstd, ZSTD_isError)

RFT_LATE_TABLE(libzstd, RFT_LIBZSTD_FUNCTIONS);

#ifndef RFT_LATE_FILLS_TABLES
#define ZSTD_createDStream rft_libzstd.ZSTD_createDStream
#define ZSTD_decompressStream rft_libzstd.ZSTD_decompressStream
#define ZSTD_freeDStream rft_libzstd.ZSTD_freeDStream
#define ZSTD_isError rft_libzstd.ZSTD_isError
#endif

#endif

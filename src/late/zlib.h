/* Functions of zlib that are used, called through a table (late/late.h). */
#ifndef RFT_LATE_ZLIB_H
#define RFT_LATE_ZLIB_H

#include <zlib.h>

#include "late/late.h"

#define RFT_ZLIB_FUNCTIONS(X)                                                                      \
    X(zlib, gzclose)                                                                               \
    X(zlib, gzdopen)                                                                               \
    X(zlib, gzread)

RFT_LATE_TABLE(zlib, RFT_ZLIB_FUNCTIONS);

#ifndef RFT_LATE_FILLS_TABLES
#define gzclose rft_zlib.gzclose
#define gzdopen rft_zlib.gzdopen
#define gzread rft_zlib.gzread
#endif

#endif

/* The table of libsmartcols' functions, linked. */
#define RFT_LATE_FILLS_TABLES
#include "late/smartcols.h"

#define ENTRY(library, function) .function = function,

struct rft_smartcols rft_smartcols = {RFT_SMARTCOLS_FUNCTIONS(ENTRY)};

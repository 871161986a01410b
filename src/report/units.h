/* Numbers as people read them. Each function writes into `text` (size bytes;
 * UNIT_SIZE is always enough) and returns it. */
#ifndef RFT_REPORT_UNITS_H
#define RFT_REPORT_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum { UNIT_SIZE = 48 };

/* 999, 12,345, 1.2 M: exact as long as it stays short. */
const char *units_count(uint64_t count, char *text, size_t size);
/* 12,345,678 */
const char *units_exact(uint64_t count, char *text, size_t size);
/* 640 B, 3.4 MiB */
const char *units_bytes(double bytes, char *text, size_t size);
/* 0.25, 12, 3.4 k: of objects a second, without "/s" */
const char *units_rate(double per_second, char *text, size_t size);
/* 320 ms, 4.1 s, 5 min 12 s, 3 h 20 min, 2 d 4 h */
const char *units_duration(uint64_t ms, char *text, size_t size);
/* 0 %, 0.4 %, 12 %, 99.9 %, 100 %: 0 and 100 only if it is exactly that */
const char *units_share(double share, char *text, size_t size);
/* 1 site, 2 sites */
const char *units_plural(uint64_t count, const char *one, const char *many, char *text,
                         size_t size);
/* A signed difference: +12,345, -1.2 M, =. */
const char *units_difference(uint64_t from, uint64_t to, char *text, size_t size);
const char *units_bytes_difference(uint64_t from, uint64_t to, char *text, size_t size);

#endif

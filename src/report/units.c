#include "report/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *units_exact(uint64_t count, char *text, size_t size)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
    size_t used = 0;
    for (int i = 0; i < length && used + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

/* Three significant digits: 1.23, 12.3, 123. */
static void significant(double value, const char *unit, char *text, size_t size)
{
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(text, size, "%.*f%s", decimals, value, unit);
}

/* The largest unit of which there is at least one, rounding considered:
 * 999,960 is 1.00 M and not 1000 k. */
static void scaled(double value, double base, const char *const *names, int count, char *text,
                   size_t size)
{
    int unit = 0;
    while (unit + 1 < count && value >= 999.5) {
        value /= base;
        unit++;
    }
    significant(value, names[unit], text, size);
}

const char *units_count(uint64_t count, char *text, size_t size)
{
    static const char *const names[] = {" k", " M", " G", " T", " P", " E"};
    if (count < 100000)
        return units_exact(count, text, size);
    scaled((double)count / 1e3, 1e3, names, 6, text, size);
    return text;
}

const char *units_bytes(double bytes, char *text, size_t size)
{
    static const char *const names[] = {" KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    if (bytes < 1000)
        snprintf(text, size, "%.0f B", bytes);
    else
        scaled(bytes / 1024, 1024, names, 6, text, size);
    return text;
}

const char *units_rate(double per_second, char *text, size_t size)
{
    if (per_second >= 0 && per_second < 1e5)
        if (per_second >= 99.5)
            units_exact((uint64_t)(per_second + 0.5), text, size);
        else
            significant(per_second, "", text, size);
    else
        units_count((uint64_t)(per_second + 0.5), text, size);
    return text;
}

const char *units_duration(uint64_t ms, char *text, size_t size)
{
    uint64_t s = ms / 1000;
    if (ms < 1000)
        snprintf(text, size, "%" PRIu64 " ms", ms);
    else if (s < 60)
        snprintf(text, size, "%.1f s", (double)(ms / 100) / 10);
    else if (s < 3600)
        snprintf(text, size, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(text, size, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(text, size, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
    return text;
}

const char *units_share(double share, char *text, size_t size)
{
    double percent = 100 * share;
    if (percent <= 0)
        snprintf(text, size, "0 %%");
    else if (percent < 0.1)
        snprintf(text, size, "< 0.1 %%");
    else if (percent < 9.95 || (percent > 99 && percent <= 99.9))
        snprintf(text, size, "%.1f %%", percent);
    else if (percent > 99.9 && percent < 100)
        snprintf(text, size, "> 99.9 %%");
    else
        snprintf(text, size, "%.0f %%", percent);
    return text;
}

const char *units_plural(uint64_t count, const char *one, const char *many, char *text, size_t size)
{
    char number[UNIT_SIZE];
    snprintf(text, size, "%s %s", units_count(count, number, sizeof number),
             count == 1 ? one : many);
    return text;
}

const char *units_difference(uint64_t from, uint64_t to, char *text, size_t size)
{
    if (from == to) {
        snprintf(text, size, "=");
        return text;
    }
    text[0] = to > from ? '+' : '-';
    units_count(to > from ? to - from : from - to, text + 1, size - 1);
    return text;
}

const char *units_bytes_difference(uint64_t from, uint64_t to, char *text, size_t size)
{
    if (from == to) {
        snprintf(text, size, "=");
        return text;
    }
    text[0] = to > from ? '+' : '-';
    units_bytes((double)(to > from ? to - from : from - to), text + 1, size - 1);
    return text;
}

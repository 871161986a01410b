#include "analyze/growth.h"

#include <stdlib.h>

/* --- how much is something ------------------------------------------------------------ */

/* Fewer objects are noise: the interpreter's own caches, specialised code, a few
 * late imports. A request handler that leaks once per request passes it within any
 * test of it. */
#define OBJECTS_MIN 60.0
/* Few but large objects count too: a dozen has a shape, and this many bytes are no
 * cache of the interpreter's. */
#define LARGE_OBJECTS_MIN 12.0
#define LARGE_BYTES_MIN (4.0 * 1024 * 1024)
/* Slower than both is of no interest in the life of a process: 84 KiB a day, an
 * object every 100 s. */
#define BYTES_PER_S_MIN 1.0
#define OBJECTS_PER_S_MIN 0.01

/* --- what a line looks like -------------------------------------------------------------- */

/* Windows in which a growth must show; a third burst of the same size is no
 * coincidence, the fourth is for the half-filled window at the end. */
#define RISING_MIN 4
#define RISING_MIN_SHORT 3 /* if the run has fewer than SHORT_RUN windows */
#define SHORT_RUN 8
/* A window rises if it has this share of the average: a trickle beside a step is no
 * line. */
#define RISING_SHARE 0.1
/* No single window may hold more of the growth: that would be a step. */
#define STEP_SHARE 0.6
/* One window counts for at most this many average ones: a burst of start-up must
 * not hide the slow growth after it. */
#define BURST 4.0

/* --- what still grows at the end -------------------------------------------------------- */

/* The last part of the growth's time, and the share of the average rate that it
 * must have: less is level. */
#define TAIL_SHARE 0.25
#define TAIL_RATE_MIN 0.25
/* The program may be slower at the end, because the machine has no time for it or few
 * requests come. It is level only if it has less than this share of its average for each
 * thing that the program makes, too. */
#define TAIL_BUSY_MIN 0.5
/* Rate of the last third against the first third, below which it is slowing... */
#define SLOWING_RATE 0.4
/* ...unless it is as fast as in the middle: what fills up slows down all the time, a
 * leak beside something that has filled up is steady again. */
#define STEADY_RATE 0.8
/* Nor are the halves as different if it only comes and goes, as with the hours of a day. */
#define SLOWING_HALF 0.65
/* And no slower than the program as a whole, for each thing that it makes. Of these a cache
 * makes fewer, too, the fuller it is: so not less than this is all. */
#define SLOWING_BUSY 0.7
/* The last windows may be level while births go on: a cache that has just become
 * full. Fewer objects than LEVEL_EXPECTED would be chance (e^-8). */
#define LEVEL_WINDOWS 2
#define LEVEL_EXPECTED 8.0
#define LEVEL_RATE 0.1
/* What grows has higher peaks, too: in the later half they must rise by this share of what
 * the floor does. The floor of a level that only fluctuates rises towards the end, because
 * there is ever less time left to fall in. */
#define PEAK_SHARE 0.25
/* A pause at the end says nothing about the site if the whole program rests: below
 * this share of its earlier births, after growth through this share of the run. */
#define IDLE_BIRTHS 0.1
#define IDLE_AFTER 0.6

/* --- what rises and falls ------------------------------------------------------------------- */

/* Falls that begin before this window do not count against a growth: start-up makes
 * and frees much. */
#define FALL_FROM 2
/* A rise must be more than the deepest fall times this: else it may be the last
 * tooth of a saw. */
#define FALL_SHARE 0.5
/* With final survivors from several teeth, part of a saw-tooth stays. This share of
 * what is born early and survives must show in the floor's rise: in a bounded cache
 * with long-lived entries it does not. */
#define FLOOR_SHARE 0.5
/* Deaths taken back make the curve useless if they are this share of the
 * survivors; the survivors' births then are the curve. */
#define REVIVED_SHARE 0.25
/* Freed by the collection before the census: garbage, only late. */
#define COLLECTED_SHARE 0.5
/* Less of it than this cannot make a level look like growth in its last part
 * (TAIL_SHARE * TAIL_RATE_MIN). */
#define WAITING_SHARE 0.05
/* What was born while the floor rose by its first half must be this share of those who stay.
 * Where garbage takes the place of half of them it is a quarter; in a cache that is full, in
 * which each goes after a while, nothing. */
#define FIRST_HALF_SHARE 0.1

/* --- what comes and goes --------------------------------------------------------------- */

/* All but this share of those who live were born in the site's last stretch, and all
 * but this share of those who were born before it are gone. */
#define OLD_SHARE 0.05
/* The stretch must have passed this often, else nobody knows what becomes of those
 * who were born in it. */
#define TURNOVERS_MIN 2
/* More births explain a rise if no more than this share of it is left without. */
#define UNEXPLAINED_SHARE 0.5

/* --- start-up --------------------------------------------------------------------------------- */

/* What is there after this share of the run, and stays, is start-up. */
#define STARTUP_SHARE 0.3
#define MOST 0.8

struct span {
    unsigned onset, end;      /* windows [onset, end) in which it grows */
    double rate;              /* objects per window */
    double rise[RFT_WINDOWS]; /* bursts cut off */
    double grown;
    double stayed;   /* with all of the bursts */
    unsigned rising; /* windows that rise */
    double largest;
};

bool rft_growth_possible(double peak_live, double object_bytes)
{
    return peak_live >= OBJECTS_MIN ||
           (peak_live >= LARGE_OBJECTS_MIN && peak_live * object_bytes >= LARGE_BYTES_MIN);
}

static bool enough(double grown, double seconds, double object_bytes)
{
    if (!rft_growth_possible(grown, object_bytes))
        return false;
    return grown >= OBJECTS_PER_S_MIN * seconds ||
           grown * object_bytes >= BYTES_PER_S_MIN * seconds;
}

static double sum(const double *values, unsigned from, unsigned to)
{
    double total = 0;
    for (unsigned w = from; w < to; w++)
        total += values[w];
    return total;
}

/* Where the growth begins: the earliest window from which on it is at least half
 * as dense as in the run's second half. */
static struct span find_span(const double *rise, unsigned windows, unsigned end)
{
    struct span span = {.end = end};
    unsigned half = end / 2;
    span.rate = sum(rise, half, end) / (end - half);
    double cap = BURST * span.rate;
    for (unsigned w = 0; w < windows; w++)
        span.rise[w] = rft_lesser(rise[w], cap);
    double dense = 0;
    span.onset = end;
    for (unsigned w = end; w-- > 0;) {
        dense += span.rise[w];
        if (rise[w] > 0 && rise[w] <= cap && dense >= 0.5 * span.rate * (end - w))
            span.onset = w;
    }
    if (span.onset >= end)
        return span;
    span.grown = sum(span.rise, span.onset, end);
    span.stayed = sum(rise, span.onset, end);
    span.rate = span.grown / (end - span.onset);
    for (unsigned w = span.onset; w < end; w++) {
        span.rising += span.rise[w] > RISING_SHARE * span.rate;
        span.largest = rft_greater(span.largest, span.rise[w]);
    }
    return span;
}

/* Windows before a rest of the whole program. */
static unsigned before_rest(const struct rft_profile *profile, unsigned end)
{
    unsigned busy = end;
    while (busy > 1) {
        double mean = sum(profile->births, 0, busy - 1) / (busy - 1);
        double program_mean = sum(profile->program_births, 0, busy - 1) / (busy - 1);
        if (profile->births[busy - 1] > IDLE_BIRTHS * mean ||
            profile->program_births[busy - 1] > IDLE_BIRTHS * program_mean)
            break;
        busy--;
    }
    return busy >= IDLE_AFTER * end ? busy : end;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How busy the program typically was: the median, since imports are many births in a few
 * windows. */
static double activity(const struct rft_profile *profile, unsigned from, unsigned to)
{
    double births[RFT_WINDOWS];
    unsigned count = 0;
    for (unsigned w = from; w < to; w++)
        births[count++] = profile->program_births[w];
    qsort(births, count, sizeof(*births), ascending);
    return count ? (births[count / 2] + births[(count - 1) / 2]) / 2 : 0;
}

/* The share of what it did in the first windows that the program did in the later ones, 1 if
 * it did more. A machine that has no time for the program, or fewer requests, slow everything
 * down alike: that says nothing about a site. */
static double slowdown(const struct rft_profile *profile, unsigned first, unsigned first_end,
                       unsigned later, unsigned later_end)
{
    double before = activity(profile, first, first_end);
    double after = activity(profile, later, later_end);
    return before > after ? after / before : 1;
}

static double highest(const double *values, unsigned from, unsigned to)
{
    double most = 0;
    for (unsigned w = from; w < to; w++)
        most = rft_greater(most, values[w]);
    return most;
}

/* Whether only the floor rises, in the later half of the growth. */
static bool is_fluctuating(const struct rft_profile *profile, const struct span *span)
{
    unsigned half = span->onset + (span->end - span->onset) / 2;
    if (half == span->onset)
        return false;
    double peaks =
        highest(profile->most, half, span->end) - highest(profile->most, span->onset, half);
    return peaks < PEAK_SHARE * sum(span->rise, half, span->end);
}

/* Whether the growth had come to an end. */
static bool is_level(const struct rft_profile *profile, const struct span *span)
{
    unsigned length = span->end - span->onset;
    unsigned tail = rft_whole(TAIL_SHARE * length);
    double tail_rise = sum(span->rise, span->end - tail, span->end);
    double share = slowdown(profile, span->onset, span->end, span->end - tail, span->end);
    if (tail_rise < rft_lesser(TAIL_RATE_MIN, TAIL_BUSY_MIN * share) * span->rate * tail)
        return true;
    unsigned last = length > 2 * LEVEL_WINDOWS ? LEVEL_WINDOWS : 1;
    unsigned from = span->end - last;
    double before_rate = sum(span->rise, span->onset, from) / (from - span->onset);
    double births_rate = sum(profile->births, span->onset, from) / (from - span->onset);
    return before_rate * last >= LEVEL_EXPECTED &&
           sum(span->rise, from, span->end) < LEVEL_RATE * before_rate * last &&
           sum(profile->births, from, span->end) >= 0.5 * births_rate * last;
}

static bool is_slowing(const struct rft_profile *profile, const struct span *span)
{
    unsigned third = (span->end - span->onset) / 3;
    if (!third)
        return false;
    double first = sum(span->rise, span->onset, span->onset + third);
    double last = sum(span->rise, span->end - third, span->end);
    double middle = sum(span->rise, span->onset + third, span->end - third) /
                    (span->end - span->onset - 2 * third) * third;
    unsigned half = span->onset + (span->end - span->onset) / 2;
    if (sum(span->rise, half, span->end) >= SLOWING_HALF * sum(span->rise, span->onset, half))
        return false;
    double share =
        slowdown(profile, span->onset, span->onset + third, span->end - third, span->end);
    return last < rft_lesser(SLOWING_RATE, SLOWING_BUSY * share) * first &&
           last < STEADY_RATE * middle;
}

/* A site that falls as deeply as it rises. It grows nevertheless if survivors of
 * earlier teeth are there, and the floor has risen with them. */
static bool grows_beneath(const struct rft_profile *profile, struct span *span, double fall,
                          double seconds, double object_bytes)
{
    /* What was born before the last deep fall began has survived one. */
    unsigned settled = profile->used;
    while (settled > 0 && (settled == profile->used || profile->fall[settled] < FALL_SHARE * fall))
        settled--;
    if (settled < RISING_MIN)
        return false;
    struct span stayed = find_span(profile->survivors, profile->windows, settled);
    if (stayed.rising < RISING_MIN || stayed.largest > STEP_SHARE * stayed.grown ||
        !enough(stayed.grown, seconds, object_bytes) ||
        sum(profile->rise, stayed.onset, settled) < FLOOR_SHARE * stayed.grown ||
        is_level(profile, &stayed))
        return false;
    *span = stayed;
    return true;
}

static bool is_line(const struct rft_profile *profile, const struct span *span, double seconds,
                    double object_bytes)
{
    return span->onset < span->end && span->rising >= RISING_MIN &&
           span->largest <= STEP_SHARE * span->grown &&
           enough(span->grown, seconds, object_bytes) && !is_level(profile, span);
}

/* Garbage that waits for the collector lets a level rise towards the end. So the floor must
 * rise up to what the final collection has left; or, since garbage may have taken the place
 * of what stays all the time, the births of those who were left are the line, and the floor
 * has risen with them. */
static bool grows_without_garbage(const struct rft_profile *profile, struct span *span,
                                  double seconds, double object_bytes)
{
    struct rft_profile left = *profile;
    double room = profile->end_live - profile->collected - profile->start_live;
    for (unsigned w = 0; w < profile->windows; w++) {
        left.rise[w] = rft_lesser(profile->rise[w], rft_greater(room, 0));
        room -= left.rise[w];
    }
    struct span floor = find_span(left.rise, profile->windows, span->end);
    if (is_line(&left, &floor, seconds, object_bytes))
        return true;
    struct span stayed = find_span(profile->survivors, profile->windows, span->end);
    double risen = sum(left.rise, stayed.onset, stayed.end);
    unsigned half = stayed.onset;
    while (half < stayed.end && sum(left.rise, stayed.onset, half) < 0.5 * risen)
        half++;
    if (!is_line(&left, &stayed, seconds, object_bytes) || risen < FLOOR_SHARE * stayed.grown ||
        sum(profile->survivors, stayed.onset, half) < FIRST_HALF_SHARE * stayed.grown)
        return false;
    *span = stayed;
    return true;
}

/* Whether each object goes after a while, and only as many more are alive as more
 * are made: requests in flight, sessions that expire. The lifetime is seen from who
 * is still there; with an equal lifetime, the living are those born during it. A
 * queue that nobody catches up with rises at equal births: its lifetime grows. */
static bool is_turnover(const struct rft_profile *profile, const struct span *span,
                        double object_bytes)
{
    double living = sum(profile->survivors, 0, profile->windows), old = living;
    if (profile->final_survivors <= 0 || profile->released)
        return false;
    unsigned stretch = 0;
    while (stretch < span->end && old > OLD_SHARE * living)
        old -= profile->survivors[profile->windows - ++stretch];
    unsigned lasting = profile->windows - stretch; /* who was born before is gone */
    if (stretch * TURNOVERS_MIN > span->end - span->onset || lasting <= span->onset ||
        sum(profile->survivors, span->onset, lasting) >
            OLD_SHARE * sum(profile->births, span->onset, lasting))
        return false;
    /* After the first stretch, which fills up. */
    unsigned from = span->onset + stretch;
    double risen = sum(profile->rise, from, span->end);
    double more = sum(profile->births, span->end - stretch, span->end) -
                  sum(profile->births, span->onset, from);
    return risen - rft_greater(more, 0) < UNEXPLAINED_SHARE * risen ||
           !rft_growth_possible(risen, object_bytes);
}

/* What it is, if it does not grow at the end. */
static enum rft_growth_kind classify(const struct rft_profile *profile, double object_bytes)
{
    double stays = profile->end_live - profile->start_live;
    if (!rft_growth_possible(profile->peak_live, object_bytes))
        return RFT_GROWTH_NONE;
    if (profile->fall[0] > FALL_SHARE * profile->peak_live)
        return RFT_GROWTH_CYCLIC;
    if (!rft_growth_possible(profile->end_live, object_bytes))
        return RFT_GROWTH_NONE;
    double startup = STARTUP_SHARE * profile->windows;
    unsigned whole = (unsigned)startup;
    double early = sum(profile->rise, 0, whole) + (startup - whole) * profile->rise[whole];
    if (early >= MOST * stays)
        return RFT_GROWTH_STARTUP;
    for (unsigned w = 0; w + 1 < profile->used; w++) {
        if (profile->rise[w] + profile->rise[w + 1] >= MOST * stays)
            return RFT_GROWTH_STEP;
    }
    return RFT_GROWTH_SATURATED;
}

struct rft_growth rft_growth_judge(const struct rft_profile *profile, double object_bytes)
{
    struct rft_growth growth = {.kind = RFT_GROWTH_NONE};
    if (!profile->windows || !rft_growth_possible(profile->peak_live, object_bytes))
        return growth;
    bool revived = profile->revived > REVIVED_SHARE * profile->final_survivors;
    const double *rise = revived ? profile->survivors : profile->rise;
    growth.kind = classify(profile, object_bytes);
    unsigned end = before_rest(profile, profile->used);
    struct span span = find_span(rise, profile->windows, end);
    double seconds = (end - span.onset) * profile->window_ms / 1000;
    if (span.onset >= end)
        return growth;
    if (profile->collected > COLLECTED_SHARE * span.grown) {
        growth.kind = RFT_GROWTH_CYCLIC;
        return growth;
    }
    if (!revived && profile->final_survivors > 0 &&
        profile->collected > WAITING_SHARE * span.grown &&
        !grows_without_garbage(profile, &span, seconds, object_bytes))
        return growth;
    double fall = profile->fall[span.onset < FALL_FROM ? span.onset : FALL_FROM];
    if (!revived && fall >= FALL_SHARE * span.grown) {
        if (!grows_beneath(profile, &span, fall, seconds, object_bytes))
            return growth;
    }
    unsigned rising_min = end < SHORT_RUN ? RISING_MIN_SHORT : RISING_MIN;
    if (!enough(span.grown, seconds, object_bytes) || span.rising < rising_min ||
        span.largest > STEP_SHARE * span.grown || is_level(profile, &span) ||
        (!revived && is_fluctuating(profile, &span)))
        return growth;

    if (is_turnover(profile, &span, object_bytes)) {
        growth.kind = RFT_GROWTH_TURNOVER;
        return growth;
    }
    seconds = (span.end - span.onset) * profile->window_ms / 1000;
    growth.kind = is_slowing(profile, &span) ? RFT_GROWTH_SLOWING : RFT_GROWTH_GROWING;
    growth.since_ms = (uint64_t)(span.onset * profile->window_ms);
    growth.grown = (uint64_t)(span.grown + 0.5);
    growth.grown_bytes = (uint64_t)(span.grown * object_bytes);
    growth.objects_per_s = span.grown / seconds;
    growth.bytes_per_s = growth.objects_per_s * object_bytes;
    growth.born = sum(profile->births, span.onset, span.end);
    growth.stays = growth.born > 0 ? rft_lesser(span.stayed / growth.born, 1) : 1;
    return growth;
}

#include "analyze/profile.h"

#include <math.h>

/* A fall that ends this close to the end of the run is the program's exit: a
 * function returns and frees what it held. Ticks are not precise enough for less;
 * tear-down of large programs takes a while. */
#define EXIT_TICKS 2.0
#define EXIT_SHARE 0.03
/* Smaller falls at the end are ordinary deaths. */
#define EXIT_FALL_MIN 0.05
/* Exit takes no longer than this share of the run; a longer fall is the program's
 * own doing. */
#define EXIT_SHARE_MAX 0.25

/* Live counts take the place of deaths. */
static void to_live(rft_curve_points *points, struct rft_profile *profile)
{
    int64_t live = 0;
    for (size_t i = 0; i < points->count; i++) {
        struct rft_curve_point *point = &points->items[i];
        if (point->deaths < 0)
            profile->revived -= (double)point->deaths;
        live += (int64_t)point->births - point->deaths;
        point->deaths = live > 0 ? live : 0;
        if ((double)point->deaths > profile->peak_live)
            profile->peak_live = (double)point->deaths;
    }
}

/* The number of points of the site's regular life: those of the fall at exit are
 * left out. */
static size_t find_end(const struct rft_profile_frame *frame, const rft_curve_points *points,
                       struct rft_profile *profile)
{
    double duration = (double)frame->duration_ms;
    double zone = fmax(EXIT_TICKS * (double)frame->tick_ms, EXIT_SHARE * duration);
    size_t count = points->count, last = count - 1;
    profile->end_ms = frame->duration_ms;
    if ((double)points->items[last].time_ms < duration - zone)
        return count;
    size_t top = last;
    while (top > 0 && points->items[top - 1].deaths > points->items[top].deaths &&
           (double)points->items[top - 1].time_ms > (1 - EXIT_SHARE_MAX) * duration)
        top--;
    double fall = (double)(points->items[top].deaths - points->items[last].deaths);
    if (top == last || fall < EXIT_FALL_MIN * (double)points->items[top].deaths)
        return count;
    profile->released = true;
    profile->end_ms = points->items[top].time_ms;
    return top + 1;
}

static unsigned window_of(const struct rft_profile_frame *frame, double ms)
{
    double at = floor(ms / frame->window_ms);
    return at >= frame->windows ? frame->windows - 1 : at > 0 ? (unsigned)at : 0;
}

/* A tick's births happened before its time: a tick at a window's very end belongs
 * to that window. */
static unsigned window_of_tick(const struct rft_profile_frame *frame, uint64_t ms)
{
    return window_of(frame, (double)ms - 1e-3);
}

static void add_births(const struct rft_profile_frame *frame, const rft_curve_points *points,
                       double to[RFT_WINDOWS])
{
    for (size_t i = 0; i < points->count; i++)
        to[window_of_tick(frame, points->items[i].time_ms)] += (double)points->items[i].births;
}

void rft_profile_frame_init(struct rft_profile_frame *frame, uint64_t duration_ms, uint64_t tick_ms,
                            const rft_curve_points *whole)
{
    *frame = (struct rft_profile_frame){
        .duration_ms = duration_ms,
        .tick_ms = tick_ms ? tick_ms : 100,
    };
    uint64_t ticks = duration_ms / frame->tick_ms;
    if (ticks < RFT_WINDOWS_MIN)
        return;
    /* Two ticks or more to a window, if there are enough: one is blurred by when
     * exactly the ticks fall. */
    frame->windows = ticks / 2 > RFT_WINDOWS ? RFT_WINDOWS : (unsigned)(ticks / 2);
    if (frame->windows < RFT_WINDOWS_MIN)
        frame->windows = RFT_WINDOWS_MIN;
    frame->window_ms = (double)duration_ms / frame->windows;
    add_births(frame, whole, frame->births);
}

/* floors[w]: the least that was alive from the start of window w on. The floor of
 * a saw-tooth is flat, that of a leak rises. */
static void find_rises(const struct rft_profile_frame *frame, const rft_curve_points *points,
                       size_t count, struct rft_profile *profile)
{
    double floors[RFT_WINDOWS + 1];
    double least = (double)points->items[count - 1].deaths, fall = 0;
    size_t at = count;
    profile->end_live = least;
    for (unsigned w = profile->windows; w-- > 0;) {
        floors[w + 1] = least;
        while (at > 0 && window_of_tick(frame, points->items[at - 1].time_ms) >= w) {
            double live = (double)points->items[--at].deaths;
            fall = fmax(fall, live - least);
            least = fmin(least, live);
        }
        /* The level that the window began with. */
        least = fmin(least, at ? (double)points->items[at - 1].deaths : 0);
        profile->fall[w] = fall;
    }
    floors[0] = least;
    profile->start_live = least;
    for (unsigned w = 0; w < profile->windows; w++)
        profile->rise[w] = floors[w + 1] - floors[w];
}

/* Survivors of a cohort that spans several windows are spread as its births were. */
static void spread(const struct rft_profile_frame *frame, const struct rft_survivors *survivors,
                   struct rft_profile *profile)
{
    double from = (double)survivors->birth_ms, to = from + (double)survivors->length_ms;
    unsigned first = window_of(frame, from), last = window_of(frame, to);
    double weights[RFT_WINDOWS], sum = 0;
    for (unsigned w = first; w <= last; w++) {
        double begin = fmax(from, w * profile->window_ms);
        double end = fmin(to, (w + 1) * profile->window_ms);
        double overlap = fmax(end - begin, 1e-3) / profile->window_ms;
        weights[w] = overlap * (profile->births[w] + 1e-9);
        sum += weights[w];
    }
    for (unsigned w = first; w <= last; w++)
        profile->survivors[w] += (double)survivors->objects * weights[w] / sum;
}

void rft_profile_make(const struct rft_profile_frame *frame, rft_curve_points *points,
                      const struct rft_site_part *const *parts, size_t part_count,
                      struct rft_profile *ret)
{
    *ret = (struct rft_profile){0};
    if (!frame->windows || !points->count)
        return;
    ret->windows = frame->windows;
    ret->window_ms = frame->window_ms;
    ret->program_births = frame->births;
    add_births(frame, points, ret->births);
    to_live(points, ret);
    size_t count = find_end(frame, points, ret);
    ret->used = window_of_tick(frame, ret->end_ms) + 1;
    find_rises(frame, points, count, ret);
    for (size_t i = 0; i < part_count; i++) {
        ret->collected += (double)parts[i]->collected;
        for (const struct rft_survivors *at = parts[i]->survivors; at; at = at->next) {
            ret->final_survivors += (double)at->objects;
            spread(frame, at, ret);
        }
    }
}

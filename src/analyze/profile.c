#include "analyze/profile.h"

#include "analyze/store.h"

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
/* Nor does a program work on while it exits: with this share of its births before. */
#define EXIT_BIRTHS_MAX 0.5

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
    }
}

static int64_t less(int64_t live, int64_t held)
{
    return live > held ? live - held : 0;
}

/* Strings that only the cache of look-ups holds are as good as gone: they are taken off the
 * live counts. At the time of a look (there is a point then) it is known how many. Between
 * two looks at least as many were so as at both, as far as that goes; and no more are
 * counted as alive than at one of the looks, lest what came into the cache since the first
 * seem to come and go.
 *
 * cleared: of those at the last look, how many the final collection has freed, which is in
 * the last tick. */
static void leave_out_names(const struct rft_process *process, rft_curve_points *points,
                            const rft_curve_points *names, int64_t cleared)
{
    size_t at = 0;
    int64_t level = 0, before = 0;
    for (size_t look = 0; look < names->count; look++) {
        uint64_t look_ms = rft_lived_ms(process, names->items[look].time_ms);
        size_t end = at;
        while (end < points->count && points->items[end].time_ms < look_ms)
            end++;
        if (end == points->count)
            return;
        int64_t next = level + (int64_t)names->items[look].births - names->items[look].deaths;
        int64_t after = less(points->items[end].deaths, next), least = next < level ? next : level;
        for (; at < end; at++) {
            int64_t live = less(points->items[at].deaths, least),
                    most = before > after ? before : after;
            points->items[at].deaths = live < most ? live : most;
        }
        points->items[at++].deaths = before = after;
        level = next;
    }
    for (; at < points->count; at++) {
        bool last = at + 1 == points->count;
        points->items[at].deaths = less(points->items[at].deaths, level - (last ? cleared : 0));
    }
}

static void find_peak(const rft_curve_points *points, struct rft_profile *profile)
{
    for (size_t i = 0; i < points->count; i++)
        profile->peak_live = rft_greater(profile->peak_live, (double)points->items[i].deaths);
}

static unsigned window_of(const struct rft_profile_frame *frame, double ms)
{
    double at = ms / frame->window_ms;
    return at >= frame->windows ? frame->windows - 1 : at > 0 ? (unsigned)at : 0;
}

/* Whether the program is as busy as ever while the site falls, from `ms` on to its end.
 * A fall of less than two windows is too short to tell. */
static bool works_on(const struct rft_profile_frame *frame, double ms)
{
    unsigned from = window_of(frame, ms) + 1;
    if (from < 1 || from + 2 > frame->windows)
        return false;
    double before = 0, after = 0;
    for (unsigned w = 0; w < frame->windows; w++)
        *(w < from ? &before : &after) += frame->births[w];
    return after / (frame->windows - from) > EXIT_BIRTHS_MAX * before / from;
}

/* The number of points of the site's regular life: those of the fall at exit are
 * left out. */
static size_t find_end(const struct rft_profile_frame *frame, const rft_curve_points *points,
                       struct rft_profile *profile)
{
    double duration = (double)frame->duration_ms;
    double zone = rft_greater(EXIT_TICKS * (double)frame->tick_ms, EXIT_SHARE * duration);
    size_t count = points->count, last = count - 1;
    profile->end_ms = frame->duration_ms;
    if ((double)points->items[last].time_ms < duration - zone)
        return count;
    size_t top = last;
    while (top > 0 && points->items[top - 1].deaths > points->items[top].deaths &&
           (double)points->items[top - 1].time_ms > (1 - EXIT_SHARE_MAX) * duration)
        top--;
    double fall = (double)(points->items[top].deaths - points->items[last].deaths);
    if (top == last || fall < EXIT_FALL_MIN * (double)points->items[top].deaths ||
        works_on(frame, (double)points->items[top].time_ms))
        return count;
    profile->released = true;
    profile->end_ms = points->items[top].time_ms;
    return top + 1;
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

static void leave_out_pauses(const struct rft_process *process, rft_curve_points *points)
{
    for (size_t i = 0; i < points->count && process->pause_count; i++)
        points->items[i].time_ms = rft_lived_ms(process, points->items[i].time_ms);
}

void rft_profile_frame_init(struct rft_profile_frame *frame, const struct rft_process *process,
                            rft_curve_points *whole)
{
    uint64_t duration_ms = rft_lived_ms(process, process->exit_ms);
    *frame = (struct rft_profile_frame){
        .process = process,
        .duration_ms = duration_ms,
        .tick_ms = process->tick_ms ? process->tick_ms : 100,
    };
    leave_out_pauses(process, whole);
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
        double most = 0;
        while (at > 0 && window_of_tick(frame, points->items[at - 1].time_ms) >= w) {
            double live = (double)points->items[--at].deaths;
            most = rft_greater(most, live);
            fall = rft_greater(fall, live - least);
            least = rft_lesser(least, live);
        }
        /* The level that the window began with. */
        double begin = at ? (double)points->items[at - 1].deaths : 0;
        least = rft_lesser(least, begin);
        profile->most[w] = rft_greater(most, begin);
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
    uint64_t born_ms = survivors->birth_ms, end_ms = born_ms + survivors->length_ms;
    double from = (double)rft_lived_ms(frame->process, born_ms);
    double to = (double)rft_lived_ms(frame->process, end_ms);
    unsigned first = window_of(frame, from), last = window_of(frame, to);
    double weights[RFT_WINDOWS], sum = 0;
    for (unsigned w = first; w <= last; w++) {
        double begin = rft_greater(from, w * profile->window_ms);
        double end = rft_lesser(to, (w + 1) * profile->window_ms);
        double overlap = rft_greater(end - begin, 1e-3) / profile->window_ms;
        weights[w] = overlap * (profile->births[w] + 1e-9);
        sum += weights[w];
    }
    for (unsigned w = first; w <= last; w++)
        profile->survivors[w] += (double)survivors->objects * weights[w] / sum;
}

void rft_profile_make(const struct rft_profile_frame *frame, rft_curve_points *points,
                      const rft_curve_points *names, const struct rft_site_part *const *parts,
                      size_t part_count, struct rft_profile *ret)
{
    *ret = (struct rft_profile){0};
    if (!frame->windows || !points->count)
        return;
    ret->windows = frame->windows;
    ret->window_ms = frame->window_ms;
    ret->program_births = frame->births;
    leave_out_pauses(frame->process, points);
    add_births(frame, points, ret->births);
    for (size_t i = 0; i < part_count; i++)
        ret->collected += (double)parts[i]->collected;
    double held = 0;
    for (size_t i = 0; i < names->count; i++) {
        held += (double)names->items[i].births - (double)names->items[i].deaths;
        ret->names_peak = rft_greater(ret->names_peak, held);
    }
    /* The final collection empties the cache, too. */
    double cleared = rft_lesser(held, ret->collected);
    ret->collected -= cleared;
    to_live(points, ret);
    leave_out_names(frame->process, points, names, (int64_t)cleared);
    find_peak(points, ret);
    size_t count = find_end(frame, points, ret);
    ret->used = window_of_tick(frame, ret->end_ms) + 1;
    find_rises(frame, points, count, ret);
    for (size_t i = 0; i < part_count; i++) {
        for (const struct rft_survivors *at = parts[i]->survivors; at; at = at->next) {
            ret->final_survivors += (double)at->objects;
            spread(frame, at, ret);
        }
    }
}

/* The shape of a site's life over a run, cut into equal windows. docs/VERDICT.md
 * tells what is made of it. */
#ifndef RFT_ANALYZE_PROFILE_H
#define RFT_ANALYZE_PROFILE_H

#include "analyze/curve.h"
#include "analyze/model.h"

/* fmin(), fmax() and ceil() of what is not negative, without libm: to load that takes a tenth of a
 * look at a process. */
static inline double rft_lesser(double a, double b)
{
    return a < b || b != b ? a : b;
}

static inline double rft_greater(double a, double b)
{
    return a > b || b != b ? a : b;
}

static inline unsigned rft_whole(double value)
{
    unsigned whole = (unsigned)value;
    return whole < value ? whole + 1 : whole;
}

enum {
    /* Enough to tell a line from a step, few enough that a slow leak has objects in
     * most of them. */
    RFT_WINDOWS = 20,
    /* Fewer show no shape. A run that is too short for them gets no verdict. */
    RFT_WINDOWS_MIN = 5,
};

struct rft_profile {
    unsigned windows; /* in the whole run; 0: too short */
    unsigned used;    /* windows up to the end of the site's regular life */
    double window_ms;
    uint64_t end_ms; /* end of its regular life: of the run, or where it was released at
                      * exit; process' time without pauses, like all here */
    bool released;   /* objects were freed when the program ended */

    /* Per window; sums for groups of sites. */
    double rise[RFT_WINDOWS]; /* by how much the floor rose: objects that came to stay */
    double births[RFT_WINDOWS];
    double survivors[RFT_WINDOWS]; /* final survivors born in it */
    double most[RFT_WINDOWS];      /* alive at one time in it */
    const double *program_births;  /* the frame's */

    double fall[RFT_WINDOWS]; /* the deepest fall that begins in or after it */

    double start_live; /* floor at time 0 */
    double end_live;   /* objects alive at end_ms */
    double peak_live;
    double final_survivors; /* of the census; 0 if there is none */
    double revived;         /* deaths taken back */
    double collected;       /* freed by the collection before the final census */
    double names_peak;      /* most strings that only the cache of look-ups held; these are
                             * in births and survivors, and in no other number */
};

/* What profiles of a process are made with. Times are without pauses: rft_lived_ms(). */
struct rft_profile_frame {
    const struct rft_process *process;
    uint64_t duration_ms; /* until the program was over */
    uint64_t tick_ms;
    unsigned windows;
    double window_ms;
    double births[RFT_WINDOWS]; /* of the whole process */
};

/* @param process Borrowed as long as the frame is used.
 * @param whole The process's births and deaths. Changed: times without pauses. */
void rft_profile_frame_init(struct rft_profile_frame *frame, const struct rft_process *process,
                            rft_curve_points *whole);

/* @param points Of one site or of several together, sorted, with a point at the time of each
 *               of `names`. Changed: times are without pauses, and
 *               `deaths` of each point becomes the live count after it.
 * @param names How many of them only the cache of look-ups held: more (births) and fewer.
 * @param parts Parts whose survivors and collected ones belong to the profile. */
void rft_profile_make(const struct rft_profile_frame *frame, rft_curve_points *points,
                      const rft_curve_points *names, const struct rft_site_part *const *parts,
                      size_t part_count, struct rft_profile *ret);

#endif

/* How long a look at a process takes: rft_snapshot_take() again and again.
 *
 * usage: snapshot PID SECONDS [LOOKS_PER_SECOND]
 * Prints looks, those that were consistent, microseconds of the median and of the best look,
 * and the number of threads. With a rate it looks that often, else as often as it can. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <reftracer/runtime.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check(struct rft_error *error)
{
    if (error) {
        fprintf(stderr, "snapshot: %s\n", error->message);
        exit(1);
    }
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    enum { LOOKS_MAX = 1 << 22 };
    double seconds = atof(argv[2]), pause = argc > 3 ? 1 / atof(argv[3]) : 0;
    double *took = malloc(LOOKS_MAX * sizeof *took);
    struct rft_space *space;
    struct rft_runtime *runtime;
    const struct rft_snapshot *snapshot;
    if (!took)
        return 1;
    check(rft_space_create_process(atoi(argv[1]), &space));
    check(rft_runtime_create(space, &runtime));
    check(rft_snapshot_take(runtime, RFT_SNAPSHOT_NO_OS, &snapshot));
    size_t looks = 0, consistent = 0, threads = 0;
    double start = now(), next = start;
    while (looks < LOOKS_MAX && now() - start < seconds) {
        double begin = now();
        check(rft_snapshot_take(runtime, RFT_SNAPSHOT_NO_OS, &snapshot));
        took[looks++] = now() - begin;
        consistent += snapshot->consistent;
        next += pause;
        double left = next - now();
        if (pause > 0 && left > 0) {
            struct timespec time = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
            nanosleep(&time, NULL);
        }
    }
    for (size_t i = 0; i < snapshot->interpreter_count; i++)
        threads += snapshot->interpreters[i].thread_count;
    qsort(took, looks, sizeof *took, by_value);
    printf("%zu %zu %.2f %.2f %zu\n", looks, consistent, took[looks / 2] * 1e6, took[0] * 1e6,
           threads);
    rft_runtime_destroy(runtime);
    rft_space_destroy(space);
    free(took);
    return 0;
}

/* Reads the stacks of programs/inspect/churn.py again and again, and looks for impossible ones
 * among those that are said to be consistent.
 *
 * usage: read_stacks PID STACKS SECONDS
 * Ends when it has read so many stacks, and among them enough looks of one moment; a machine
 * that has no time for it needs longer, at most SECONDS.
 * Prints: looks, stacks, inconsistent looks, stacks with a problem, impossible stacks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <reftracer/runtime.h>

/* The level of a function a0, b17, c3, or -1. */
static int level_of(const char *name, char *letter)
{
    char *end;
    if (name[0] < 'a' || name[0] > 'c' || name[1] < '0' || name[1] > '9')
        return -1;
    *letter = name[0];
    long level = strtol(name + 1, &end, 10);
    return *end ? -1 : (int)level;
}

/* Whether a frame may have been called by that one. */
static bool possible(const char *inner, const char *outer)
{
    char letter, other;
    int level = level_of(inner, &letter);
    if (level < 0)
        return level_of(outer, &other) < 0; /* nothing else is called by ours */
    if (level == 0)
        return !strcmp(outer, "turn");
    return level_of(outer, &other) == level - 1 && other == letter;
}

static bool is_possible(const struct rft_thread *thread)
{
    for (size_t i = 0; i + 1 < thread->frame_count; i++) {
        if (!possible(thread->frames[i].function, thread->frames[i + 1].function)) {
            for (size_t k = 0; k < thread->frame_count && k < i + 4; k++)
                fprintf(stderr, "%s %s:%d\n", thread->frames[k].function, thread->frames[k].file,
                        thread->frames[k].line);
            return false;
        }
    }
    /* Ours are never outermost. */
    char letter;
    return thread->frame_count == 0 ||
           level_of(thread->frames[thread->frame_count - 1].function, &letter) < 0;
}

enum { CONSISTENT_LEAST = 200 };

/* Not by the clock on the wall, which may be set. */
static long seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    unsigned long wanted = strtoul(argv[2], NULL, 10), looks = 0, stacks = 0, inconsistent = 0,
                  problems = 0, impossible = 0;
    long end = seconds() + atol(argv[3]);
    struct rft_space *space;
    struct rft_runtime *runtime;
    const struct rft_snapshot *snapshot;
    struct rft_error *error = rft_space_create_process(atoi(argv[1]), &space);
    if (!error)
        error = rft_runtime_create(space, &runtime);
    while (!error && (stacks < wanted || looks - inconsistent < CONSISTENT_LEAST) &&
           seconds() < end) {
        error = rft_snapshot_take(runtime, RFT_SNAPSHOT_NO_OS, &snapshot);
        if (error)
            break;
        looks++;
        inconsistent += !snapshot->consistent;
        for (size_t i = 0; i < snapshot->interpreter_count; i++) {
            const struct rft_interpreter *interpreter = &snapshot->interpreters[i];
            for (size_t k = 0; k < interpreter->thread_count; k++) {
                const struct rft_thread *thread = &interpreter->threads[k];
                stacks++;
                problems += *thread->problem != 0;
                if (snapshot->consistent && !*thread->problem && !is_possible(thread))
                    impossible++;
            }
        }
    }
    if (error) {
        fprintf(stderr, "read_stacks: %s\n", error->message);
        return 1;
    }
    printf("%lu %lu %lu %lu %lu\n", looks, stacks, inconsistent, problems, impossible);
    rft_runtime_destroy(runtime);
    rft_space_destroy(space);
    return 0;
}

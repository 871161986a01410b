/* Starts and ends N threads that each have a value, and says what they left. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <reftracer/tss.h>

static struct rft_tss key = RFT_TSS_NEEDS_INIT;
static _Atomic long destroyed;

static void destroy(void *value)
{
    free(value);
    atomic_fetch_add(&destroyed, 1);
}

static void *thread(void *unused)
{
    (void)unused;
    rft_tss_set(&key, malloc(16));
    return NULL;
}

static void run(long threads)
{
    for (long i = 0; i < threads; i++) {
        pthread_t id;
        if (pthread_create(&id, NULL, thread, NULL) != 0) {
            exit(1);
        }
        pthread_join(id, NULL);
    }
}

static long mappings(void)
{
    long lines = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    for (int c; maps != NULL && (c = getc(maps)) != EOF;) {
        lines += c == '\n';
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return lines;
}

int main(int argc, char **argv)
{
    long threads = argc > 1 ? atol(argv[1]) : 100;
    if (rft_tss_create_with_destructor(&key, destroy) != 0) {
        return 1;
    }
    run(1); /* what is allocated once */
    long before = mappings();
    run(threads - 1);
    long more = mappings() - before;
    printf("%ld values, %ld destroyed, %ld more mappings\n", rft_tss_visit(&key, NULL, NULL),
           (long)destroyed, more > 0 ? more : 0);
    rft_tss_delete(&key);
    return 0;
}

/* A counter for each thread, without Python and without a lock in the threads.
 *
 *   cc thread_counters.c -o thread_counters $(pkg-config --cflags --libs reftracer) -lpthread */
#include <reftracer/tss.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct rft_tss counters = RFT_TSS_NEEDS_INIT;
static atomic_long of_ended_threads;

static void add_up(void *counter) /* the thread ends: its count must not go with it */
{
    atomic_fetch_add(&of_ended_threads, *(atomic_long *)counter);
    free(counter);
}

/* May be called by anybody, as often as one likes; the first one creates the key. */
static void count_one(void)
{
    atomic_long *counter = rft_tss_get(&counters);
    if (counter == NULL) {
        counter = calloc(1, sizeof *counter);
        if (counter == NULL || rft_tss_create_with_destructor(&counters, add_up) != 0 ||
            rft_tss_set(&counters, counter) != 0) {
            perror("no counter");
            exit(1);
        }
    }
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static int show(void *counter, long thread, void *sum)
{
    (void)thread;
    *(long *)sum += atomic_load((atomic_long *)counter);
    return 0;
}

static void *work(void *barrier)
{
    for (int i = 0; i < 1000; i++)
        count_one();
    pthread_barrier_wait(barrier); /* all have counted */
    pthread_barrier_wait(barrier); /* all may end */
    return NULL;
}

int main(void)
{
    enum { THREADS = 10 };
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;
    long sum = 0;
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, &barrier);
    pthread_barrier_wait(&barrier);
    long living = rft_tss_visit(&counters, show, &sum);
    printf("%ld threads have counted %ld\n", living, sum);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%ld threads are left, ended ones have counted %ld\n",
           rft_tss_visit(&counters, NULL, NULL), atomic_load(&of_ended_threads));
    rft_tss_delete(&counters);
    return 0;
}

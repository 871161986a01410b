/* Preloaded into a CPython: before main() it initializes and finalizes CPython five times
 * with one subscriber, and exits. Linked with tracer_driver.c. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen;
struct seen *seen_new(void);
long seen_births(struct seen *seen);
long seen_wrong(struct seen *seen);
long seen_removals(struct seen *seen);
int driver_add(struct seen *seen);
int driver_remove(struct seen *seen);
long driver_state(const char *what);
int foreign_is_in_slot(struct seen *seen);
const char *last_message(void);

static void python(const char *name, void *place)
{
    void *address = dlsym(RTLD_DEFAULT, name);
    if (address == NULL) {
        fprintf(stderr, "no %s\n", name);
        exit(2);
    }
    memcpy(place, &address, sizeof address);
}

static void check(int right, const char *what, int round)
{
    if (!right) {
        fprintf(stderr, "round %d: %s\n", round, what);
        exit(3);
    }
}

static const char code[] = "import time\n"
                           "for _ in range(1000): object()\n";
static const char wait[] = "import time\n"
                           "time.sleep(0.02)\n";
enum { WAITS_MOST = 6000 }; /* two minutes; some 10 ms are enough for a machine that is idle */

static void run_five_times(void)
{
    void (*initialize)(int);
    int (*finalize)(void), (*run)(const char *, void *);
    python("Py_InitializeEx", &initialize);
    python("Py_FinalizeEx", &finalize);
    python("PyRun_SimpleStringFlags", &run);
    struct seen *seen = seen_new();
    for (int round = 0; round < 5; round++) {
        initialize(0);
        if (round == 0) {
            check(driver_add(seen) == 0, last_message(), round);
        } else {
            for (int i = 0; i < WAITS_MOST && driver_state("in_slot") != 1; i++) {
                check(run(wait, NULL) == 0, "wait", round);
            }
        }
        check(driver_state("in_slot") == 1, "the slot is not ours", round);
        long before = seen_births(seen);
        check(run(code, NULL) == 0, "run", round);
        check(seen_births(seen) - before >= 1000, "births are missing", round);
        check(finalize() == 0, "finalize", round);
    }
    check(driver_remove(seen) == 0, last_message(), 5);
    check(seen_wrong(seen) == 0 && seen_removals(seen) == 1, "wrong events", 5);
    initialize(0);
    check(foreign_is_in_slot(NULL) == 2, "the slot is not as it was", 6);
    check(finalize() == 0, "finalize", 6);
    puts("5 times");
    exit(0);
}

__attribute__((constructor)) static void start(void)
{
    /* Shells and other programs on the way are left alone. */
    if (dlsym(RTLD_DEFAULT, "Py_InitializeEx") != NULL) {
        run_five_times();
    }
}

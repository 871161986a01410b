/* What is said of a look: hints, changes since the look before, text, JSON. The looks are
 * made up; whether real ones are right is for tests/test_inspect_*.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/inspect.h"

enum { THREADS = 3 };

/* A process with one interpreter and three threads, which tests change as they need. */
struct scene {
    struct rft_process_facts process;
    struct rft_runtime_facts runtime;
    struct rft_frame frames[THREADS][2];
    struct rft_thread threads[THREADS]; /* newest first */
    struct rft_task tasks[3];
    struct rft_interpreter interpreters[2];
    struct rft_snapshot snapshot;
    struct inspect_past past;
    struct inspect_look look;
};

static void set_up(struct scene *scene)
{
    static const char *const names[THREADS] = {"b to a", "a to b", "MainThread"};
    memset(scene, 0, sizeof *scene);
    scene->process = (struct rft_process_facts){.pid = 4711,
                                                .namespace_pid = 4711,
                                                .executable = "/usr/bin/python3.14",
                                                .command = "python3.14 app.py",
                                                .missing = ""};
    scene->runtime = (struct rft_runtime_facts){
        .address = 0x1000, .version = 0x030e0af0, .version_text = "3.14.10"};
    for (int i = 0; i < THREADS; i++) {
        scene->frames[i][0] = (struct rft_frame){.kind = RFT_FRAME_PYTHON,
                                                 .function = "transfer",
                                                 .file = "/srv/app.py",
                                                 .line = 12,
                                                 .column = 8,
                                                 .end_line = 12,
                                                 .end_column = 20,
                                                 .frame = 0x2000 + 16 * (rft_address)i,
                                                 .code = 0x3000};
        scene->frames[i][1] = scene->frames[i][0];
        scene->frames[i][1].function = "Thread.run";
        scene->frames[i][1].file = "/usr/lib/python3.14/threading.py";
        scene->frames[i][1].line = 1024;
        scene->frames[i][1].frame += 8;
        scene->threads[i] = (struct rft_thread){.address = 0x5000 + 256 * (rft_address)i,
                                                .id = 140000000000000u + (uint64_t)i,
                                                .native_id = 4713 - i,
                                                .namespace_native_id = 4713 - i,
                                                .name = names[i],
                                                .state = RFT_THREAD_BLOCKED,
                                                .gil = RFT_GIL_NOT_NEEDED,
                                                .main = i == 2,
                                                .exception = "",
                                                .waits_in = "futex",
                                                .frames = scene->frames[i],
                                                .frame_count = 2,
                                                .problem = ""};
    }
    scene->interpreters[0] = (struct rft_interpreter){.address = 0x4000,
                                                      .main = true,
                                                      .gil_own = true,
                                                      .gil_enabled = true,
                                                      .gil = 0x4100,
                                                      .threads = scene->threads,
                                                      .thread_count = THREADS,
                                                      .problem = ""};
    scene->snapshot = (struct rft_snapshot){.consistent = true,
                                            .attempts = 1,
                                            .taken_ns = 1000000000,
                                            .duration_ns = 45000,
                                            .interpreters = scene->interpreters,
                                            .interpreter_count = 1,
                                            .problem = ""};
    scene->look = (struct inspect_look){.kind = RFT_SPACE_PROCESS,
                                        .process = &scene->process,
                                        .runtime = &scene->runtime,
                                        .snapshot = &scene->snapshot,
                                        .past = &scene->past};
}

static void look_again(struct scene *scene)
{
    scene->snapshot.taken_ns += 10000000;
    assert_null(inspect_past_add(&scene->past, &scene->snapshot));
}

/* The hint of this kind, to be freed; NULL if there is none. */
static char *hint_of(struct scene *scene, const char *kind)
{
    struct inspect_hints hints = {0};
    char *text = NULL;
    assert_null(inspect_hints_find(&hints, &scene->look));
    for (size_t i = 0; i < hints.list.count; i++)
        if (strcmp(hints.list.items[i].kind, kind) == 0)
            text = strdup(hints.list.items[i].text);
    inspect_hints_deinit(&hints);
    return text;
}

static void assert_says(char *text, const char *const *parts)
{
    assert_non_null(text);
    for (; *parts != NULL; parts++)
        if (strstr(text, *parts) == NULL)
            fail_msg("\"%s\" is not in: %s", *parts, text);
    free(text);
}
#define assert_hint(scene, kind, ...)                                                              \
    assert_says(hint_of(scene, kind), (const char *const[]){__VA_ARGS__, NULL})

static char *page_of(struct scene *scene, size_t width)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    struct page page = {.to = memory, .width = width};
    assert_null(inspect_page(&page, &scene->look));
    fclose(memory);
    return text;
}

static char *json_of(struct scene *scene)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    struct rft_json json;
    rft_json_init(&json, memory, 0);
    assert_null(inspect_json(&json, &scene->look));
    fclose(memory);
    return text;
}

/* --- hints ------------------------------------------------------------------------ */

static void threads_that_all_wait_for_locks_are_a_likely_deadlock(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    assert_true(inspect_more_looks(&scene.look).looks > 0);
    look_again(&scene);
    assert_hint(&scene, "deadlock", "All 3 threads", "likely a deadlock",
                "'MainThread' (4711) at app.py:12 transfer", "'b to a' (4713)");
    look_again(&scene);
    look_again(&scene);
    assert_hint(&scene, "deadlock", "unmoved for 3 looks (20 ms)");
    inspect_past_deinit(&scene.past);
}

/* At the same places, but they have run in between. */
static void threads_that_wake_each_other_are_no_deadlock(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    look_again(&scene);
    look_again(&scene);
    assert_hint(&scene, "deadlock", "unmoved for 2 looks (10 ms)");
    inspect_past_moved(&scene.past, &scene.past.threads[1]);
    assert_null(hint_of(&scene, "deadlock"));
    assert_hint(&scene, "lock",
                "All 3 threads wait for locks in this look, but not all have been "
                "there since the look before");
    look_again(&scene);
    assert_hint(&scene, "deadlock", "unmoved for 2 looks (10 ms)");
    struct rft_wait forth = {.kind = RFT_WAIT_RLOCK,
                             .holder = 0x5100,
                             .name = "",
                             .function = "",
                             .file = ""},
                    back = forth;
    back.holder = 0x5000;
    scene.threads[2].waits_in = "epoll_wait";
    scene.threads[0].waits_for = &forth;
    scene.threads[1].waits_for = &back;
    assert_hint(&scene, "deadlock", "Deadlock of 2 threads");
    inspect_past_moved(&scene.past, &scene.past.threads[0]);
    assert_hint(&scene, "lock", "2 threads wait for each other in a circle, in this look");
    inspect_past_deinit(&scene.past);
}

/* A loop is at the same place in two looks, too. */
static void a_holder_that_is_seen_at_one_place_twice_is_no_long_call(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    scene.threads[2].gil = RFT_GIL_HOLDS;
    scene.threads[2].state = RFT_THREAD_RUNNING;
    scene.interpreters[0].gil_locked = true;
    scene.interpreters[0].gil_holder = scene.threads[2].address;
    for (int looks = 1; looks < 4; looks++) {
        look_again(&scene);
        assert_null(hint_of(&scene, "gil"));
    }
    look_again(&scene);
    assert_hint(&scene, "gil", "unmoved for 4 looks (30 ms), on a CPU: a long C call");
    inspect_past_deinit(&scene.past);
}

static void one_thread_that_can_run_is_no_deadlock(void **state)
{
    (void)state;
    static const struct {
        enum rft_thread_state state;
        enum rft_gil_relation gil;
        const char *waits_in;
    } cases[] = {
        {RFT_THREAD_RUNNING, RFT_GIL_NOT_NEEDED, ""},
        {RFT_THREAD_BLOCKED, RFT_GIL_NOT_NEEDED, "epoll_wait"},
        {RFT_THREAD_BLOCKED, RFT_GIL_HOLDS, "futex"},
        {RFT_THREAD_BLOCKED, RFT_GIL_WAITS, "futex"},
        {RFT_THREAD_STOPPED, RFT_GIL_NOT_NEEDED, "futex"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene;
        set_up(&scene);
        scene.threads[1].state = cases[i].state;
        scene.threads[1].gil = cases[i].gil;
        scene.threads[1].waits_in = cases[i].waits_in;
        look_again(&scene);
        assert_null(hint_of(&scene, "deadlock"));
        inspect_past_deinit(&scene.past);
    }
}

static void a_wait_with_a_time_limit_is_no_deadlock(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    look_again(&scene);
    assert_hint(&scene, "deadlock", "without a time limit: no thread can run",
                "Only a signal or C code could wake one");
    scene.threads[1].waits_timed = true;
    assert_null(hint_of(&scene, "deadlock"));
    assert_hint(&scene, "lock", "1 of them with a time limit: nothing runs until it is over.",
                "The others may wait for each other: 'MainThread' (4711) at app.py:12 transfer, "
                "'b to a' (4713)");
    for (int i = 0; i < THREADS; i++)
        scene.threads[i].waits_timed = true;
    assert_hint(&scene, "lock", "each with a time limit");
    inspect_past_deinit(&scene.past);
}

static void a_core_that_does_not_tell_where_threads_wait_is_judged_by_its_frames(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    for (int i = 0; i < THREADS; i++) {
        scene.threads[i].state = RFT_THREAD_UNKNOWN;
        scene.threads[i].waits_in = "";
    }
    look_again(&scene);
    assert_null(hint_of(&scene, "deadlock"));
    for (int i = 0; i < THREADS; i++) {
        scene.frames[i][0].file = "/usr/lib/python3.14/threading.py";
        scene.frames[i][0].function = "Condition.wait";
    }
    assert_hint(&scene, "deadlock", "All 3 threads",
                "Only a signal, a time limit or C code could wake one");
    inspect_past_deinit(&scene.past);
}

static void a_thread_that_is_gone_is_told_and_counts_for_nothing(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    scene.threads[1].state = RFT_THREAD_GONE;
    look_again(&scene);
    assert_hint(&scene, "deadlock", "All 2 threads");
    assert_hint(&scene, "gone", "1 thread has ended", "a lock that it held stays locked");
    inspect_past_deinit(&scene.past);
}

/* --- who waits for whom ------------------------------------------------------------- */

/* threads[0] waits for threads[1]. */
static const struct rft_wait for_lock = {.kind = RFT_WAIT_LOCK,
                                         .object = 0x7000,
                                         .holder = 0x5100,
                                         .name = "",
                                         .function = "transfer",
                                         .file = "/srv/app.py",
                                         .line = 10};

static void threads_that_have_what_the_other_wants_are_a_deadlock(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    struct rft_wait back = for_lock, joined = {.kind = RFT_WAIT_THREAD,
                                               .name = "",
                                               .function = "",
                                               .file = "",
                                               .holder = 0x5000};
    back.holder = 0x5000;
    scene.threads[0].waits_for = &for_lock;
    scene.threads[1].waits_for = &back;
    scene.threads[2].waits_for = &joined;
    look_again(&scene);
    /* Stacks and locks are read one after the other: one look is no proof. */
    assert_int_equal(inspect_more_looks(&scene.look).looks, 2);
    assert_hint(&scene, "lock", "2 threads wait for each other in a circle, in this look",
                "If the next look shows the same, it is a deadlock.");
    look_again(&scene);
    assert_hint(&scene, "deadlock", "Deadlock of 2 threads, unmoved for 2 looks (10 ms): ",
                "'b to a' (4713) at app.py:12 transfer waits for the Lock that 'a to b' (4712) "
                "took at app.py:10 transfer; 'a to b' (4712) at app.py:12 transfer waits for the "
                "Lock that 'b to a' (4713) took at app.py:10 transfer.",
                "None of them can go on unless somebody else releases a Lock.");
    back.kind = RFT_WAIT_RLOCK;
    scene.threads[0].waits_for = &joined;
    assert_hint(&scene, "deadlock", "Deadlock, unmoved for 2 looks (10 ms): ", "It can't go on.");
    scene.threads[0].waits_for = &for_lock;
    scene.threads[1].waits_timed = true;
    assert_hint(&scene, "lock", "Nothing moves until a time limit is over.");
    scene.look.kind = RFT_SPACE_CORE;
    scene.threads[1].waits_timed = false;
    inspect_past_deinit(&scene.past);
    scene.past = (struct inspect_past){0};
    look_again(&scene);
    assert_hint(&scene, "deadlock", "Deadlock of 2 threads: ");
    char *page = page_of(&scene, 200);
    assert_non_null(strstr(page, "waits for a Lock that 'a to b' (4712) has"));
    assert_non_null(strstr(page, "waits for 'b to a' (4713) to end"));
    free(page);
    inspect_past_deinit(&scene.past);
}

static void a_lock_that_others_want_is_told_with_what_its_holder_does(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    scene.threads[0].waits_for = scene.threads[2].waits_for = &for_lock;
    scene.threads[1].waits_in = "recvfrom";
    look_again(&scene);
    assert_int_equal(inspect_more_looks(&scene.look).looks, 0);
    assert_hint(&scene, "lock",
                "2 threads wait for the Lock that 'a to b' (4712) took at "
                "app.py:10 transfer. It is now at app.py:12 transfer, in recvfrom.");
    assert_null(hint_of(&scene, "deadlock"));
    struct rft_wait imports = {
        .kind = RFT_WAIT_MODULE, .holder = 0x5100, .name = "shop.cart", .function = "", .file = ""};
    scene.threads[0].waits_for = &imports;
    scene.threads[2].waits_for = NULL;
    assert_hint(&scene, "lock",
                "'b to a' (4713) waits for module shop.cart, which 'a to b' (4712) "
                "imports. It is now at");
    inspect_past_deinit(&scene.past);
}

static void make_holder(struct scene *scene, enum rft_thread_state state, const char *waits_in)
{
    scene->threads[2].gil = RFT_GIL_HOLDS;
    scene->threads[2].gil_requested = true;
    scene->threads[2].state = state;
    scene->threads[2].waits_in = waits_in;
    scene->threads[0].gil = scene->threads[1].gil = RFT_GIL_WAITS;
    scene->interpreters[0].gil_locked = scene->interpreters[0].gil_requested = true;
    scene->interpreters[0].gil_holder = scene->threads[2].address;
}

static void who_holds_the_gil_and_who_waits_for_it_is_told_with_the_looks(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    make_holder(&scene, RFT_THREAD_RUNNING, "");
    assert_true(inspect_more_looks(&scene.look).looks > 0);
    look_again(&scene);
    assert_hint(&scene, "gil", "'MainThread' (4711) holds the GIL; 2 threads wait for it.",
                "It is at app.py:12 transfer, on a CPU.");
    look_again(&scene);
    /* One of the two has had it in between. */
    scene.threads[0].gil = RFT_GIL_NOT_NEEDED;
    look_again(&scene);
    scene.threads[0].gil = RFT_GIL_WAITS;
    look_again(&scene);
    assert_hint(&scene, "gil", "longest 'a to b' (4712) for 4 looks (30 ms)",
                "unmoved for 4 looks (30 ms), on a CPU: a long C call");
    inspect_past_deinit(&scene.past);
}

static void a_holder_that_moves_is_no_long_call(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    make_holder(&scene, RFT_THREAD_RUNNING, "");
    look_again(&scene);
    scene.frames[2][0].line++;
    look_again(&scene);
    char *text = hint_of(&scene, "gil");
    assert_null(strstr(text, "unmoved"));
    assert_null(strstr(text, "long C call"));
    free(text);
    inspect_past_deinit(&scene.past);
}

static void a_holder_that_sleeps_or_is_gone_is_told(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    make_holder(&scene, RFT_THREAD_BLOCKED, "futex");
    look_again(&scene);
    assert_hint(&scene, "gil", "sleeps in the kernel (futex)", "without releasing the GIL",
                "this is a deadlock");
    scene.threads[2].state = RFT_THREAD_GONE;
    assert_hint(&scene, "gil", "nobody will release the GIL");
    inspect_past_deinit(&scene.past);
}

static void idle_interpreters_and_stopped_processes_are_told(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    scene.interpreters[1] = scene.interpreters[0];
    scene.interpreters[0] = (struct rft_interpreter){.id = 3,
                                                     .idle = true,
                                                     .gil_enabled = true,
                                                     .gil_own = true,
                                                     .gil = 0x9100,
                                                     .gc_running = true,
                                                     .problem = ""};
    scene.snapshot.interpreter_count = 2;
    for (int i = 0; i < THREADS; i++)
        scene.threads[i].state = RFT_THREAD_STOPPED;
    look_again(&scene);
    assert_hint(&scene, "idle", "Interpreter 3 is idle");
    assert_hint(&scene, "gc", "Interpreter 3 is collecting garbage");
    assert_hint(&scene, "stopped", "kill -CONT 4711");
    assert_null(hint_of(&scene, "deadlock"));
    inspect_past_deinit(&scene.past);
}

static void tasks_that_wait_in_a_circle_are_told_and_chains_are_not(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    static const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++)
        scene.tasks[i] = (struct rft_task){.address = 0x7000 + 64 * (rft_address)i,
                                           .name = names[i],
                                           .frames = scene.frames[i],
                                           .frame_count = 1};
    const rft_address by_one = 0x7000, by_two = 0x7040;
    scene.tasks[1].awaited_by = &by_one;
    scene.tasks[1].awaited_by_count = 1;
    scene.tasks[2].awaited_by = &by_two;
    scene.tasks[2].awaited_by_count = 1;
    scene.interpreters[0].tasks = scene.tasks;
    scene.interpreters[0].task_count = 3;
    look_again(&scene);
    assert_null(hint_of(&scene, "tasks"));
    char *text = page_of(&scene, 80);
    assert_true(strstr(text, "one  task") < strstr(text, "waits for two"));
    assert_true(strstr(text, "waits for two") < strstr(text, "waits for three"));
    free(text);
    /* Now two waits for one, too; three is only awaited and not in the circle. */
    scene.tasks[0].awaited_by = &by_two;
    scene.tasks[0].awaited_by_count = 1;
    assert_hint(&scene, "tasks", "in a circle, none can ever go on: one, two.");
    text = page_of(&scene, 80);
    assert_non_null(strstr(text, "one  (see above)"));
    free(text);
    inspect_past_deinit(&scene.past);
}

/* --- what has changed ------------------------------------------------------------------ */

static void threads_that_come_and_go_and_frames_that_move_are_marked(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    scene.look.changes = true;
    look_again(&scene);
    char *text = page_of(&scene, 80);
    assert_null(strstr(text, "NEW"));
    free(text);
    /* The thread state is given to another thread, and one frame moves. */
    scene.threads[0].id++;
    scene.threads[0].native_id = scene.threads[0].namespace_native_id = 5000;
    scene.threads[0].name = "newcomer";
    scene.frames[1][0].line = 13;
    look_again(&scene);
    assert_int_equal(scene.past.gone_count, 1);
    text = page_of(&scene, 80);
    assert_non_null(strstr(text, "b to a  thread 4713: ENDED"));
    assert_non_null(strstr(text, "newcomer  thread 5000, needs no GIL, blocked in futex, NEW"));
    assert_non_null(strstr(text, "    > transfer"));
    assert_null(strstr(text, "    > Thread.run"));
    assert_non_null(strstr(text, "unmoved for 2 looks"));
    free(text);
    inspect_past_deinit(&scene.past);
}

/* --- text and JSON ------------------------------------------------------------------------ */

static void no_line_is_wider_than_the_page(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    make_holder(&scene, RFT_THREAD_RUNNING, "");
    scene.frames[0][0].file =
        "/a/very/long/path/that/goes/on/and/on/and/on/and/on/until/the/end/of/it/x.py";
    scene.frames[0][0].function =
        "AnObject.with_a_name.<locals>.that_is_longer_than_what_there_is.room_for";
    scene.threads[0].exception = "app.errors.SomethingQuiteLongThatIsBeingRaised";
    scene.process.executable = "/opt/pythons/3.14.10/installed/with/a/long/prefix/bin/python3.14";
    scene.process.missing = "/opt/pythons/3.14.10/lib/libpython3.14.so.1.0: lines of C frames";
    look_again(&scene);
    look_again(&scene);
    for (size_t width = 60; width <= 120; width += 20) {
        char *text = page_of(&scene, width), *rest = text, *line;
        while ((line = strsep(&rest, "\n")) != NULL)
            if (strlen(line) > width)
                fail_msg("%zu columns, not %zu: %s", strlen(line), width, line);
        free(text);
    }
    char *text = page_of(&scene, 80);
    assert_non_null(strstr(text, "x.py:12:9"));
    assert_non_null(strstr(text, "room_for"));
    free(text);
    inspect_past_deinit(&scene.past);
}

static void a_crash_stands_first(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    scene.look.kind = RFT_SPACE_CORE;
    scene.look.core = "core.4711";
    scene.process.signal = 11;
    scene.process.signal_code = 1;
    scene.process.signal_thread = 4712;
    scene.threads[1].state = RFT_THREAD_CRASHED;
    look_again(&scene);
    char *text = page_of(&scene, 200);
    assert_non_null(strstr(text, "SIGSEGV at address 0x0 (address not mapped) in thread 'a to b' "
                                 "(4712), called from app.py:12 transfer"));
    assert_true(strstr(text, "\n  a to b  ") < strstr(text, "\n  MainThread  "));
    assert_true(strstr(text, "\n  MainThread  ") < strstr(text, "\n  b to a  "));
    free(text);
    text = json_of(&scene);
    assert_non_null(strstr(text, "\"signal\": {\"number\": 11, \"name\": \"SIGSEGV\", \"code\": 1, "
                                 "\"cause\": \"address not mapped\", \"address\": \"0x0\", "
                                 "\"thread\": 4712}"));
    free(text);
    inspect_past_deinit(&scene.past);
}

static void a_recursion_is_not_written_a_thousand_times(void **state)
{
    (void)state;
    enum { DEPTH = 1000 };
    struct scene scene;
    set_up(&scene);
    struct rft_frame *frames = calloc(DEPTH, sizeof *frames);
    assert_non_null(frames);
    for (size_t i = 0; i < DEPTH; i++) {
        frames[i] = scene.frames[0][i == DEPTH - 1];
        frames[i].frame += 8 * i;
    }
    scene.threads[0].frames = frames;
    scene.threads[0].frame_count = DEPTH;
    scene.look.one_thread = true;
    scene.look.thread = 4713;
    look_again(&scene);
    char *text = page_of(&scene, 80);
    assert_non_null(strstr(text, "(the same 996 more times)"));
    assert_true(strlen(text) < 1500);
    free(text);
    /* JSON has them all. */
    text = json_of(&scene);
    size_t count = 0;
    for (char *at = text; (at = strstr(at, "\"kind\": \"python\"")) != NULL; at++)
        count++;
    assert_int_equal(count, DEPTH);
    free(text);
    free(frames);
    inspect_past_deinit(&scene.past);
}

static void what_is_not_known_is_null_in_json(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    scene.frames[0][0].line = 0;
    scene.frames[0][0].column = -1;
    scene.threads[0].native_id = 0;
    scene.threads[0].problem = "its frames can't be read";
    look_again(&scene);
    char *text = json_of(&scene);
    assert_non_null(strstr(text, "\"line\": null, \"column\": null"));
    assert_non_null(strstr(text, "\"native_id\": null"));
    assert_non_null(strstr(text, "\"problem\": \"its frames can't be read\""));
    assert_non_null(strstr(text, "\"exception\": null"));
    assert_non_null(strstr(text, "\"column\": 8"));
    free(text);
    inspect_past_deinit(&scene.past);
}

static void a_thread_is_found_by_each_of_its_ids(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene);
    scene.threads[1].namespace_native_id = 7;
    scene.look.one_thread = true;
    const uint64_t ids[] = {4712, 7, 140000000000001u};
    for (size_t i = 0; i < 3; i++) {
        scene.look.thread = ids[i];
        assert_true(inspect_shows_something(&scene.look));
        assert_true(inspect_shows_thread(&scene.look, &scene.threads[1]));
        assert_false(inspect_shows_thread(&scene.look, &scene.threads[0]));
    }
    scene.look.thread = 99;
    assert_false(inspect_shows_something(&scene.look));
}

int main(void)
{
    setenv("LC_ALL", "C", 1); /* a byte is a column */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_all_wait_for_locks_are_a_likely_deadlock),
        cmocka_unit_test(threads_that_have_what_the_other_wants_are_a_deadlock),
        cmocka_unit_test(a_lock_that_others_want_is_told_with_what_its_holder_does),
        cmocka_unit_test(threads_that_wake_each_other_are_no_deadlock),
        cmocka_unit_test(a_holder_that_is_seen_at_one_place_twice_is_no_long_call),
        cmocka_unit_test(one_thread_that_can_run_is_no_deadlock),
        cmocka_unit_test(a_wait_with_a_time_limit_is_no_deadlock),
        cmocka_unit_test(a_core_that_does_not_tell_where_threads_wait_is_judged_by_its_frames),
        cmocka_unit_test(a_thread_that_is_gone_is_told_and_counts_for_nothing),
        cmocka_unit_test(who_holds_the_gil_and_who_waits_for_it_is_told_with_the_looks),
        cmocka_unit_test(a_holder_that_moves_is_no_long_call),
        cmocka_unit_test(a_holder_that_sleeps_or_is_gone_is_told),
        cmocka_unit_test(idle_interpreters_and_stopped_processes_are_told),
        cmocka_unit_test(tasks_that_wait_in_a_circle_are_told_and_chains_are_not),
        cmocka_unit_test(threads_that_come_and_go_and_frames_that_move_are_marked),
        cmocka_unit_test(no_line_is_wider_than_the_page),
        cmocka_unit_test(a_crash_stands_first),
        cmocka_unit_test(a_recursion_is_not_written_a_thousand_times),
        cmocka_unit_test(what_is_not_known_is_null_in_json),
        cmocka_unit_test(a_thread_is_found_by_each_of_its_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

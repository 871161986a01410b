/* The verdict on lives that real programs have, made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "analyze/model.h"
#include "trace_builder.h"

enum { TICKS_MAX = 2000 };

/* A site's life: who is alive, by tick of birth. */
struct life {
    unsigned ticks;
    uint64_t births[TICKS_MAX], deaths[TICKS_MAX], alive[TICKS_MAX];
    uint64_t names[TICKS_MAX];  /* of the living, how many only the cache of look-ups holds */
    bool looks;                 /* names are told, each second tick */
    unsigned stopped;           /* tick before which the process is stopped for 100 s */
    uint64_t others[TICKS_MAX]; /* garbage of the rest of the program; 0: 500 */
    uint64_t live;
};

static void bear(struct life *life, unsigned tick, uint64_t count)
{
    life->births[tick] += count;
    life->alive[tick] += count;
    life->live += count;
}

/* The oldest die first. */
static void kill_oldest(struct life *life, unsigned tick, uint64_t count)
{
    for (unsigned i = 0; i <= tick && count; i++) {
        uint64_t dying = life->alive[i] < count ? life->alive[i] : count;
        life->alive[i] -= dying;
        life->deaths[tick] += dying;
        life->live -= dying;
        count -= dying;
    }
}

/* Those of this tick. */
static void kill_newborn(struct life *life, unsigned tick, uint64_t count)
{
    life->alive[tick] -= count;
    life->deaths[tick] += count;
    life->live -= count;
}

static void keep_at_most(struct life *life, unsigned tick, uint64_t bound)
{
    if (life->live > bound)
        kill_oldest(life, tick, life->live - bound);
}

/* The end of so many ticks. */
static uint64_t ms_of(const struct life *life, unsigned ticks)
{
    return ticks * 100 + (life->stopped && ticks > life->stopped ? 100000 : 0);
}

/* The model of a program with such a site (1), which ends with a census if
 * `census`. Site 3 makes garbage all the time: the program is busy. */
static struct rft_model *model_of(const struct life *life, bool census)
{
    struct builder b;
    struct bytes p = {0};
    begin_trace(&b, 0x030e0af0);
    for (unsigned i = 0; i < life->ticks; i++) {
        uint64_t others = life->others[i] ? life->others[i] : 500;
        add_tick(&b, ms_of(life, i + 1), (uint64_t[]){life->births[i], 0, others},
                 (uint64_t[]){life->deaths[i], 0, others}, 3);
        if (life->looks && i % 2) {
            put(&p, ms_of(life, i + 1));
            put(&p, life->names[i] ? 1 : 0);
            if (life->names[i]) {
                put(&p, 1);
                put(&p, life->names[i]);
            }
            add_chunk(&b, RFT_CHUNK_NAMES, &p);
        }
    }
    if (census) {
        unsigned cohorts = 0;
        for (unsigned i = 0; i < life->ticks; i++)
            cohorts += life->alive[i] > 0;
        put_le(&p, RFT_CENSUS_EXIT, 1);
        put(&p, ms_of(life, life->ticks));
        put(&p, 0);
        put(&p, cohorts ? 1 : 0);
        if (cohorts) {
            put(&p, 1);
            put(&p, cohorts);
        }
        uint64_t last = 0;
        for (unsigned i = 0; i < life->ticks; i++) {
            if (!life->alive[i])
                continue;
            put(&p, ms_of(life, i) - last);
            last = ms_of(life, i);
            put(&p, 100);
            put(&p, life->alive[i]);
            put(&p, life->alive[i] * 48);
        }
        add_chunk(&b, RFT_CHUNK_CENSUS, &p);
        add_end(&b, ms_of(life, life->ticks));
    }
    char path[64];
    struct rft_model *model;
    write_file(path, b.file.at, b.file.size);
    struct rft_error *error = rft_model_read((const char *[]){path}, 1, NULL, NULL, &model);
    unlink(path);
    free(b.file.at);
    if (error)
        fail_msg("%s", error->message);
    assert_int_equal(model->losses.unexplained, 0);
    assert_int_equal(model->exact, census);
    return model;
}

static const struct rft_site *order_site(const struct rft_model *model)
{
    for (uint32_t i = 0; i < model->site_count; i++) {
        if (!strcmp(model->types[model->sites[i].type].name, "shop.Order"))
            return &model->sites[i];
    }
    fail_msg("the site is not in the model");
    return NULL;
}

static void expect(const struct life *life, bool census, enum rft_growth_kind kind)
{
    struct rft_model *model = model_of(life, census);
    assert_int_equal(order_site(model)->growth.kind, kind);
    assert_int_equal(model->growing_count, kind >= RFT_GROWTH_SLOWING);
    if (model->growing_count) {
        assert_string_equal(model->types[model->sites[model->growing[0].site].type].name,
                            "shop.Order");
        assert_int_equal(model->growing[0].slowing, kind == RFT_GROWTH_SLOWING);
    }
    rft_model_destroy(model);
}

static struct life life;

static void begin_life(unsigned ticks)
{
    memset(&life, 0, sizeof life);
    life.ticks = ticks;
}

static void a_steady_leak_grows(void **state)
{
    (void)state;
    begin_life(100);
    for (unsigned t = 0; t < 100; t++)
        bear(&life, t, 10);
    expect(&life, true, RFT_GROWTH_GROWING);
    expect(&life, false, RFT_GROWTH_GROWING);
    struct rft_model *model = model_of(&life, true);
    const struct rft_growth *growth = &model->growing[0].growth;
    assert_true(growth->objects_per_s > 95 && growth->objects_per_s < 105);
    assert_true(growth->stays > 0.99);
    assert_true(growth->since_ms < 1000);
    assert_true(growth->grown >= 990 && growth->grown <= 1000);
    rft_model_destroy(model);
}

static void a_leak_of_one_percent_grows(void **state)
{
    (void)state;
    begin_life(200);
    for (unsigned t = 0; t < 200; t++) {
        bear(&life, t, 500);
        kill_newborn(&life, t, 495);
    }
    expect(&life, true, RFT_GROWTH_GROWING);
}

static void a_leak_in_a_run_of_one_second_grows(void **state)
{
    (void)state;
    begin_life(11);
    for (unsigned t = 1; t < 11; t++)
        bear(&life, t, 250);
    expect(&life, true, RFT_GROWTH_GROWING);
}

static void twenty_objects_in_two_seconds_do_not_grow(void **state)
{
    (void)state;
    begin_life(20);
    for (unsigned t = 0; t < 20; t++)
        bear(&life, t, 1);
    expect(&life, true, RFT_GROWTH_NONE);
}

static void a_leak_that_begins_in_mid_run_grows_since_then(void **state)
{
    (void)state;
    begin_life(200);
    for (unsigned t = 110; t < 200; t++)
        bear(&life, t, 8);
    expect(&life, true, RFT_GROWTH_GROWING);
    struct rft_model *model = model_of(&life, true);
    assert_true(model->growing[0].growth.since_ms >= 10000);
    assert_true(model->growing[0].growth.since_ms <= 12000);
    rft_model_destroy(model);
}

static void a_leak_behind_a_burst_of_start_up_grows(void **state)
{
    (void)state;
    begin_life(200);
    bear(&life, 1, 50000);
    for (unsigned t = 2; t < 200; t++)
        bear(&life, t, 3);
    expect(&life, true, RFT_GROWTH_GROWING);
    struct rft_model *model = model_of(&life, true);
    assert_true(model->growing[0].growth.grown < 700);
    rft_model_destroy(model);
}

static void a_leak_in_bursts_grows(void **state)
{
    (void)state;
    begin_life(400);
    for (unsigned t = 20; t < 400; t += 45)
        bear(&life, t, 300);
    expect(&life, true, RFT_GROWTH_GROWING);
}

static void a_leak_that_is_released_at_exit_grows(void **state)
{
    (void)state;
    begin_life(50);
    for (unsigned t = 0; t < 49; t++)
        bear(&life, t, 20);
    kill_oldest(&life, 49, life.live);
    expect(&life, true, RFT_GROWTH_GROWING);
}

static void what_is_worked_off_at_the_end_is_no_exit(void **state)
{
    (void)state;
    /* The program goes on meanwhile. */
    begin_life(200);
    for (unsigned t = 0; t < 160; t++)
        bear(&life, t, 10);
    for (unsigned t = 160; t < 200; t++)
        kill_oldest(&life, t, 35);
    expect(&life, true, RFT_GROWTH_CYCLIC);
}

static void a_leak_beneath_a_saw_tooth_grows(void **state)
{
    (void)state;
    begin_life(400);
    for (unsigned t = 0; t < 400; t++) {
        bear(&life, t, 40);
        if (t % 20 == 19) {
            /* All but two of each tick's are freed. */
            for (unsigned i = t - 19; i <= t; i++) {
                life.alive[i] -= 38;
                life.deaths[t] += 38;
                life.live -= 38;
            }
        }
    }
    expect(&life, true, RFT_GROWTH_GROWING);
}

static void start_up_is_no_growth(void **state)
{
    (void)state;
    begin_life(60);
    for (unsigned t = 0; t < 12; t++)
        bear(&life, t, 900);
    expect(&life, true, RFT_GROWTH_STARTUP);
}

static void a_table_made_in_mid_run_is_a_step(void **state)
{
    (void)state;
    begin_life(100);
    bear(&life, 66, 2000);
    bear(&life, 67, 1000);
    expect(&life, true, RFT_GROWTH_STEP);
}

static void a_table_made_at_the_very_end_is_a_step(void **state)
{
    (void)state;
    begin_life(100);
    for (unsigned t = 0; t < 100; t += 9)
        bear(&life, t, 1);
    bear(&life, 94, 3000);
    bear(&life, 95, 3000);
    expect(&life, true, RFT_GROWTH_STEP);
}

static void a_bounded_cache_is_saturated(void **state)
{
    (void)state;
    /* Filled at a tenth, half, four fifths and nine tenths of the run. */
    static const unsigned full_at[] = {20, 100, 160, 180};
    for (unsigned i = 0; i < 4; i++) {
        begin_life(200);
        for (unsigned t = 0; t < 200; t++) {
            bear(&life, t, 10);
            keep_at_most(&life, t, full_at[i] * 10);
        }
        enum rft_growth_kind kind = i ? RFT_GROWTH_SATURATED : RFT_GROWTH_STARTUP;
        expect(&life, true, kind);
        expect(&life, false, kind);
    }
}

static void a_cache_that_fills_ever_slower_is_slowing(void **state)
{
    (void)state;
    begin_life(200);
    double missing = 4000;
    for (unsigned t = 0; t < 200; t++) {
        uint64_t filled = (uint64_t)(missing * 0.01);
        bear(&life, t, filled);
        missing -= (double)filled;
    }
    expect(&life, true, RFT_GROWTH_SLOWING);
}

/* Each lives for `lifetime` ticks. */
static void expire(struct life *one, unsigned tick, unsigned lifetime)
{
    if (tick < lifetime)
        return;
    unsigned born = tick - lifetime;
    one->deaths[tick] += one->alive[born];
    one->live -= one->alive[born];
    one->alive[born] = 0;
}

static void more_of_what_goes_after_a_while_is_turnover(void **state)
{
    (void)state;
    begin_life(200);
    for (unsigned t = 0; t < 200; t++) {
        bear(&life, t, 10 + t);
        expire(&life, t, 20);
    }
    expect(&life, true, RFT_GROWTH_TURNOVER);
}

static void a_queue_that_nobody_catches_up_with_grows(void **state)
{
    (void)state;
    /* All who live were born in the last half, at an equal rate. */
    begin_life(200);
    for (unsigned t = 0; t < 200; t++) {
        bear(&life, t, 40);
        kill_oldest(&life, t, 20);
    }
    expect(&life, true, RFT_GROWTH_GROWING);
}

static void a_leak_that_doubles_is_no_turnover(void **state)
{
    (void)state;
    /* Most of the living are young, as the rate has risen so much; but all the old ones
     * are there, too. */
    begin_life(200);
    double births = 4;
    for (unsigned t = 0; t < 200; t++) {
        bear(&life, t, (uint64_t)births);
        births *= 1.025;
    }
    expect(&life, true, RFT_GROWTH_GROWING);
}

static void a_leak_beside_a_level_is_not_slowing(void **state)
{
    (void)state;
    begin_life(200);
    for (unsigned t = 0; t < 200; t++) {
        bear(&life, t, 32);
        if (t >= 40) {
            /* Of those born 40 ticks ago one in eight stays. */
            uint64_t gone = life.alive[t - 40] - 4;
            life.alive[t - 40] -= gone;
            life.deaths[t] += gone;
            life.live -= gone;
        }
    }
    expect(&life, true, RFT_GROWTH_GROWING);
}

static void batches_are_cyclic(void **state)
{
    (void)state;
    /* Batches that are no multiple of a tick, large and small, and one that is
     * almost ready when the run ends. */
    static const unsigned batch[] = {121, 1003, 4007};
    for (unsigned i = 0; i < 3; i++) {
        begin_life(300);
        for (unsigned t = 0; t < 300; t++) {
            for (unsigned n = 0; n < 33; n++) {
                bear(&life, t, 1);
                if (life.live == batch[i])
                    kill_oldest(&life, t, life.live);
            }
        }
        expect(&life, true, RFT_GROWTH_CYCLIC);
        expect(&life, false, RFT_GROWTH_CYCLIC);
    }
}

static void a_table_that_is_loaded_anew_is_no_growth(void **state)
{
    (void)state;
    begin_life(120);
    for (unsigned t = 1; t < 120; t++) {
        if (t % 15 != 1)
            continue;
        bear(&life, t, 2000);
        keep_at_most(&life, t, 2000);
    }
    expect(&life, true, RFT_GROWTH_STARTUP);
}

static void a_fluctuating_level_is_no_growth(void **state)
{
    (void)state;
    begin_life(600);
    uint32_t random = 1;
    for (unsigned t = 0; t < 600; t++) {
        random = random * 1664525 + 1013904223;
        bear(&life, t, 100);
        keep_at_most(&life, t, 900 + (random >> 16) % 200);
    }
    struct rft_model *model = model_of(&life, true);
    assert_int_equal(model->growing_count, 0);
    rft_model_destroy(model);
}

static void companions_stand_beneath_what_holds_them(void **state)
{
    (void)state;
    struct builder b;
    char path[64];
    struct rft_model *model;
    begin_trace(&b, 0x030e0af0);
    for (uint64_t t = 1; t <= 60; t++)
        add_tick(&b, t * 100, (uint64_t[]){10, 30, t > 20 ? 10 : 0, 0}, (uint64_t[]){0, 0, 0, 0},
                 4);
    write_file(path, b.file.at, b.file.size);
    assert_null(rft_model_read((const char *[]){path}, 1, NULL, NULL, &model));
    unlink(path);
    free(b.file.at);
    assert_int_equal(model->growing_count, 1);
    assert_string_equal(model->types[model->sites[model->growing[0].site].type].name, "shop.Order");
    assert_int_equal(model->growing[0].companion_count, 2);
    assert_string_equal(model->types[model->sites[model->growing[0].companions[0]].type].name,
                        "dict");
    assert_false(model->exact);
    rft_model_destroy(model);
}

/* A machine that has ever less time for a program that leaks with each request. */
static void a_leak_that_slows_down_with_the_program_is_not_slowing(void **state)
{
    (void)state;
    begin_life(100);
    for (unsigned t = 0; t < 100; t++) {
        unsigned share = t < 33 ? 8 : t < 66 ? 4 : 1;
        bear(&life, t, 2 * share);
        life.others[t] = 100 * share;
    }
    expect(&life, true, RFT_GROWTH_GROWING);
    memset(life.others, 0, sizeof life.others);
    expect(&life, true, RFT_GROWTH_SLOWING);
}

/* By a signal, a debugger, or a machine with no time at all. */
static void time_in_which_the_program_is_stopped_does_not_count(void **state)
{
    (void)state;
    begin_life(100);
    for (unsigned t = 0; t < 100; t++)
        bear(&life, t, 2);
    life.stopped = 96;
    expect(&life, true, RFT_GROWTH_GROWING);
    struct rft_model *model = model_of(&life, true);
    assert_true(model->growing[0].growth.objects_per_s > 19);
    assert_true(model->growing[0].growth.objects_per_s < 21);
    rft_model_destroy(model);
    begin_life(100); /* in the middle of filling a cache */
    for (unsigned t = 0; t < 100; t++) {
        bear(&life, t, 10);
        keep_at_most(&life, t, 400);
    }
    life.stopped = 20;
    expect(&life, true, RFT_GROWTH_SATURATED);
    begin_life(100); /* a leak that begins after it */
    for (unsigned t = 30; t < 100; t++)
        bear(&life, t, 2);
    life.stopped = 20;
    expect(&life, true, RFT_GROWTH_GROWING);
    model = model_of(&life, true);
    assert_true(model->growing[0].growth.since_ms > 102000);
    assert_true(model->growing[0].growth.since_ms < 104000);
    rft_model_destroy(model);
}

/* Day and night. */
static void a_leak_that_comes_in_waves_is_not_slowing(void **state)
{
    (void)state;
    begin_life(80);
    for (unsigned t = 0; t < 80; t++) {
        bool day = t % 40 < 20;
        bear(&life, t, day ? 20 : 2);
        kill_newborn(&life, t, day ? 10 : 1 + t % 2);
        life.others[t] = day ? 500 : 40;
    }
    expect(&life, true, RFT_GROWTH_GROWING);
    begin_life(100); /* beside as much else by day and night */
    for (unsigned t = 0; t < 100; t++) {
        bear(&life, t, t % 50 < 20 ? 10 : 2);
        kill_newborn(&life, t, t % 50 < 20 ? 0 : t % 2);
    }
    expect(&life, true, RFT_GROWTH_GROWING);
}

/* A cache that begins slowly and is full in mid run; then many of its entries go at once, and
 * come back. */
static void a_level_with_one_dip_is_no_growth(void **state)
{
    (void)state;
    begin_life(100);
    for (unsigned t = 0; t < 100; t++) {
        bool back = t > 55 && (t % 5 == 0 || t % 5 == 2);
        bear(&life, t, t < 8 ? t % 2 : t < 50 ? 5 : back ? 5 : 4);
        if (t >= 50)
            kill_oldest(&life, t, t == 55 ? 22 : 4);
    }
    expect(&life, true, RFT_GROWTH_SATURATED);
}

/* Each object of the site is in the cache, and some are held by the program as well. */
static void what_only_the_cache_of_look_ups_holds_is_no_growth(void **state)
{
    (void)state;
    begin_life(100);
    for (unsigned t = 0; t < 100; t++) {
        bear(&life, t, 4);
        life.names[t] = life.live;
    }
    expect(&life, false, RFT_GROWTH_GROWING);
    life.looks = true;
    expect(&life, false, RFT_GROWTH_SATURATED);
    kill_oldest(&life, 97, 380); /* displaced shortly before the end */
    for (unsigned t = 97; t < 100; t++)
        life.names[t] = 20;
    expect(&life, true, RFT_GROWTH_SATURATED);
}

static void a_leak_beside_what_the_cache_of_look_ups_holds_grows(void **state)
{
    (void)state;
    begin_life(100);
    life.looks = true;
    for (unsigned t = 0; t < 100; t++) {
        bear(&life, t, 12);
        life.names[t] = life.live > 500 ? 500 : life.live * 9 / 10;
        kill_newborn(&life, t, 6);
    }
    expect(&life, true, RFT_GROWTH_GROWING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_leak_grows),
        cmocka_unit_test(a_leak_of_one_percent_grows),
        cmocka_unit_test(a_leak_in_a_run_of_one_second_grows),
        cmocka_unit_test(twenty_objects_in_two_seconds_do_not_grow),
        cmocka_unit_test(a_leak_that_begins_in_mid_run_grows_since_then),
        cmocka_unit_test(a_leak_behind_a_burst_of_start_up_grows),
        cmocka_unit_test(a_leak_in_bursts_grows),
        cmocka_unit_test(a_leak_that_is_released_at_exit_grows),
        cmocka_unit_test(what_is_worked_off_at_the_end_is_no_exit),
        cmocka_unit_test(a_leak_beneath_a_saw_tooth_grows),
        cmocka_unit_test(start_up_is_no_growth),
        cmocka_unit_test(a_table_made_in_mid_run_is_a_step),
        cmocka_unit_test(a_table_made_at_the_very_end_is_a_step),
        cmocka_unit_test(a_bounded_cache_is_saturated),
        cmocka_unit_test(a_cache_that_fills_ever_slower_is_slowing),
        cmocka_unit_test(more_of_what_goes_after_a_while_is_turnover),
        cmocka_unit_test(a_queue_that_nobody_catches_up_with_grows),
        cmocka_unit_test(a_leak_that_doubles_is_no_turnover),
        cmocka_unit_test(a_leak_beside_a_level_is_not_slowing),
        cmocka_unit_test(batches_are_cyclic),
        cmocka_unit_test(a_table_that_is_loaded_anew_is_no_growth),
        cmocka_unit_test(a_fluctuating_level_is_no_growth),
        cmocka_unit_test(a_leak_that_slows_down_with_the_program_is_not_slowing),
        cmocka_unit_test(time_in_which_the_program_is_stopped_does_not_count),
        cmocka_unit_test(a_leak_that_comes_in_waves_is_not_slowing),
        cmocka_unit_test(a_level_with_one_dip_is_no_growth),
        cmocka_unit_test(what_only_the_cache_of_look_ups_holds_is_no_growth),
        cmocka_unit_test(a_leak_beside_what_the_cache_of_look_ups_holds_grows),
        cmocka_unit_test(companions_stand_beneath_what_holds_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

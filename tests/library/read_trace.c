/* Reads a trace as the author of another tool would: the sums of each site, and where the
 * objects of a type were born. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reftracer/trace.h>

struct sums {
    uint64_t births, deaths, survivors;
};
struct reading {
    struct sums *sites;
    size_t count;
};

static void make_room(struct reading *reading, const struct rft_trace *trace)
{
    size_t count = (size_t)rft_trace_site_count(trace) + 1;
    if (count > reading->count) {
        reading->sites = realloc(reading->sites, count * sizeof *reading->sites);
        if (reading->sites == NULL)
            abort();
        memset(reading->sites + reading->count, 0,
               (count - reading->count) * sizeof *reading->sites);
        reading->count = count;
    }
}

static struct rft_error *on_tick(void *data, const struct rft_trace *trace,
                                 const struct rft_tick *tick)
{
    struct reading *reading = data;
    make_room(reading, trace);
    for (size_t i = 0; i < tick->site_count; i++) {
        struct sums *sums = &reading->sites[tick->sites[i].site];
        sums->births += tick->sites[i].births;
        sums->deaths += tick->sites[i].deaths - tick->sites[i].revived;
    }
    return NULL;
}

static struct rft_error *on_census(void *data, const struct rft_trace *trace,
                                   const struct rft_census *census)
{
    struct reading *reading = data;
    make_room(reading, trace);
    for (size_t i = 0; census->kind == RFT_CENSUS_EXIT && i < census->site_count; i++)
        for (uint32_t k = 0; k < census->sites[i].cohort_count; k++)
            reading->sites[census->sites[i].site].survivors +=
                census->sites[i].cohorts[k].survivors;
    return NULL;
}

int main(int argc, char **argv)
{
    struct reading reading = {0};
    struct rft_trace_visitor visitor = {.tick = on_tick, .census = on_census, .data = &reading};
    struct rft_trace *trace;
    struct rft_error *error = rft_trace_read(argv[1], &visitor, &trace);
    if (error != NULL) {
        printf("error %d\n", (int)error->code);
        rft_error_destroy(error);
        return 1;
    }
    unsigned unequal = 0;
    for (uint32_t id = 1; id < reading.count; id++) {
        const struct sums *sums = &reading.sites[id];
        const struct rft_trace_site *site = rft_trace_site(trace, id);
        struct rft_string type = rft_trace_string(trace, rft_trace_type(trace, site->type)->name);
        unequal += sums->births - sums->deaths != sums->survivors;
        if (argc > 2 && type.length == strlen(argv[2]) &&
            memcmp(type.bytes, argv[2], type.length) == 0) {
            const struct rft_trace_stack *frame = rft_trace_stack(trace, site->stack);
            const struct rft_trace_code *code = rft_trace_code(trace, frame->code);
            struct rft_position position =
                rft_location_lookup(code->location_table.bytes, code->location_table.length,
                                    code->first_line, frame->instruction);
            printf("line %" PRIu32 ": %" PRIu64 " born, %" PRIu64 " died, %" PRIu64 " alive\n",
                   position.line, sums->births, sums->deaths, sums->survivors);
        }
    }
    printf("%u sites do not add up, end %d\n", unequal, (int)rft_trace_end(trace)->present);
    rft_trace_destroy(trace);
    free(reading.sites);
    return 0;
}

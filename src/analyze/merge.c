/* A trace that was read becomes part of the model: its ids become the model's. */
#include <stdlib.h>
#include <string.h>

#include "analyze/store.h"
#include "base/location.h"

#define UNKNOWN "<unknown>"

/* The instruction of a code object and the frame it is; kept because many stacks
 * go through the same instruction. */
struct place {
    uint32_t code, instruction, frame;
};

/* A code object's location table, decoded when it is first needed. */
struct decoded {
    struct rft_location_entry *entries;
    size_t count;
    bool done;
};

struct merge {
    struct rft_model_store *store;
    const struct rft_trace *trace;
    const struct rft_intake *intake;
    uint32_t process;
    const char **texts;      /* by string id; NULL: not needed so far */
    struct decoded *decoded; /* by code id */
    RFT_VEC(struct place) places;
    struct rft_index place_index;
    uint32_t *stacks, *types, *threads, *interpreters; /* the model's, by the trace's id */
    uint32_t *sites;         /* the same; RFT_NONE: nothing happened there */
    uint32_t *last_censuses; /* by interpreter: number of its last census, 0: none */
};

static const char *text_of(struct merge *merge, uint32_t id)
{
    if (id > rft_trace_string_count(merge->trace))
        id = 0;
    if (!merge->texts[id]) {
        struct rft_string string = rft_trace_string(merge->trace, id);
        if (!id || !string.length)
            string = (struct rft_string){UNKNOWN, strlen(UNKNOWN)};
        merge->texts[id] = rft_store_text(merge->store, string);
    }
    return merge->texts[id];
}

/* --- stacks ------------------------------------------------------------------------------ */

static bool decode(const struct rft_trace_code *code, struct decoded *decoded)
{
    RFT_VEC(struct rft_location_entry) entries = {0};
    struct rft_location_walk walk;
    struct rft_location_entry entry;
    rft_location_begin(&walk, code->location_table.bytes, code->location_table.length,
                       code->first_line);
    while (rft_location_next(&walk, &entry)) {
        if (!rft_vec_push(&entries, entry)) {
            rft_vec_free(&entries);
            return false;
        }
    }
    *decoded = (struct decoded){entries.items, entries.count, true};
    return true;
}

static bool locate(struct merge *merge, uint32_t code_id, uint32_t instruction,
                   struct rft_position *ret)
{
    const struct rft_trace_code *code = rft_trace_code(merge->trace, code_id);
    *ret = (struct rft_position){code->first_line, 0};
    if (!instruction || code_id > rft_trace_code_count(merge->trace))
        return true;
    struct decoded *decoded = &merge->decoded[code_id];
    if (!decoded->done && !decode(code, decoded))
        return false;
    /* The first entry that ends after the instruction. */
    size_t low = 0, high = decoded->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (decoded->entries[middle].end_unit > instruction - 1)
            high = middle;
        else
            low = middle + 1;
    }
    if (low < decoded->count && decoded->entries[low].line)
        *ret = (struct rft_position){decoded->entries[low].line, decoded->entries[low].column};
    return true;
}

static uint32_t frame_of(struct merge *merge, uint32_t code_id, uint32_t instruction)
{
    uint64_t hash = rft_hash_mix(code_id, instruction);
    uint32_t at = 0, item;
    while ((item = rft_index_probe(&merge->place_index, hash, &at)) != RFT_INDEX_END) {
        const struct place *place = &merge->places.items[item];
        if (place->code == code_id && place->instruction == instruction)
            return place->frame;
    }
    const struct rft_trace_code *code = rft_trace_code(merge->trace, code_id);
    struct rft_position position;
    struct rft_frame frame = {
        .file = text_of(merge, code->file),
        .function = text_of(merge, code->function),
    };
    if (!frame.file || !frame.function || !locate(merge, code_id, instruction, &position))
        return RFT_NONE;
    frame.line = position.line;
    frame.column = position.column;
    uint32_t number = rft_store_frame(merge->store, frame);
    struct place place = {code_id, instruction, number};
    if (number == RFT_NONE || !rft_vec_push(&merge->places, place) ||
        !rft_index_add(&merge->place_index, hash, (uint32_t)merge->places.count - 1))
        return RFT_NONE;
    return number;
}

static bool merge_stacks(struct merge *merge)
{
    uint32_t count = rft_trace_stack_count(merge->trace);
    merge->stacks[0] = 0;
    for (uint32_t id = 1; id <= count; id++) {
        const struct rft_trace_stack *node = rft_trace_stack(merge->trace, id);
        /* Parents have smaller ids; the reader made sure. */
        uint32_t frame = frame_of(merge, node->code, node->instruction);
        if (frame == RFT_NONE)
            return false;
        merge->stacks[id] = rft_store_stack(merge->store, merge->stacks[node->parent], frame);
        if (merge->stacks[id] == RFT_NONE)
            return false;
    }
    return true;
}

/* --- types, threads, interpreters ------------------------------------------------------------ */

/* The type of sites whose own was in a lost chunk. */
static uint32_t unknown_type(struct merge *merge)
{
    struct rft_type type = {.name = text_of(merge, 0)};
    return type.name ? rft_store_type(merge->store, type) : RFT_NONE;
}

static bool merge_types(struct merge *merge)
{
    for (uint32_t id = 1; id <= rft_trace_type_count(merge->trace); id++) {
        const struct rft_trace_type *known = rft_trace_type(merge->trace, id);
        struct rft_type type = {
            .name = text_of(merge, known->name),
            .kind = known->kind,
            .basic_size = known->basic_size,
            .item_size = known->item_size,
        };
        merge->types[id] = type.name ? rft_store_type(merge->store, type) : RFT_NONE;
        if (merge->types[id] == RFT_NONE)
            return false;
    }
    return true;
}

/* Until the start of all processes is known, times are in ms since 1970. */
static uint64_t wall_ms(const struct merge *merge, uint64_t ms)
{
    uint64_t start_ms = rft_trace_program(merge->trace)->start_ns / 1000000;
    return ms == UINT64_MAX ? RFT_NEVER : start_ms + ms;
}

/* Times of several threads or interpreters that became one. */
static void widen(uint64_t *start_ms, uint64_t *end_ms, uint64_t other_start_ms,
                  uint64_t other_end_ms)
{
    if (other_start_ms < *start_ms)
        *start_ms = other_start_ms;
    if (other_end_ms > *end_ms)
        *end_ms = other_end_ms;
}

static bool merge_threads(struct merge *merge)
{
    merge->threads[0] = RFT_NONE;
    for (uint32_t id = 1; id <= rft_trace_thread_count(merge->trace); id++) {
        const struct rft_trace_thread *known = rft_trace_thread(merge->trace, id);
        struct rft_thread thread = {
            .name = rft_store_text(merge->store, rft_trace_string(merge->trace, known->name)),
            .native_id = known->native_id,
            .process = merge->process,
            .start_ms = wall_ms(merge, known->start_ms),
            .end_ms = wall_ms(merge, known->end_ms),
        };
        uint32_t number = thread.name ? rft_store_thread(merge->store, thread) : RFT_NONE;
        if (number == RFT_NONE)
            return false;
        struct rft_thread *merged = &merge->store->threads.items[number];
        merged->count++;
        widen(&merged->start_ms, &merged->end_ms, thread.start_ms, thread.end_ms);
        merge->threads[id] = number;
    }
    return true;
}

static bool merge_interpreters(struct merge *merge)
{
    merge->interpreters[0] = RFT_NONE;
    for (uint32_t id = 1; id <= rft_trace_interpreter_count(merge->trace); id++) {
        const struct rft_trace_interpreter *known = rft_trace_interpreter(merge->trace, id);
        struct rft_interpreter interpreter = {
            .number = known->number,
            .start_ms = wall_ms(merge, known->start_ms),
            .end_ms = wall_ms(merge, known->end_ms),
        };
        uint32_t number = rft_store_interpreter(merge->store, interpreter);
        if (number == RFT_NONE)
            return false;
        struct rft_interpreter *merged = &merge->store->interpreters.items[number];
        merged->count++;
        widen(&merged->start_ms, &merged->end_ms, interpreter.start_ms, interpreter.end_ms);
        merge->interpreters[id] = number;
    }
    return true;
}

/* --- sites ------------------------------------------------------------------------------------ */

/* A census that was asked for while the program ran is final only if the program ended its
 * trace with it (RFT_END_ASKED). */
static bool is_final(const struct merge *merge, size_t census)
{
    const struct rft_trace_end *end = rft_trace_end(merge->trace);
    return merge->intake->censuses.items[census].kind != RFT_CENSUS_REQUEST ||
           (end && end->reason == RFT_END_ASKED && census + 1 == merge->intake->censuses.count);
}

/* The final census of each interpreter. */
static void find_last_censuses(struct merge *merge)
{
    uint32_t highest = rft_trace_interpreter_count(merge->trace);
    uint32_t of_all = 0;
    for (size_t i = 0; i < merge->intake->censuses.count; i++) {
        const struct rft_intake_census *census = &merge->intake->censuses.items[i];
        if (!is_final(merge, i))
            continue;
        if (!census->interpreter)
            of_all = (uint32_t)i + 1;
        else if (census->interpreter <= highest)
            merge->last_censuses[census->interpreter] = (uint32_t)i + 1;
    }
    /* One of all interpreters is of those that had none of their own at their end. */
    for (uint32_t id = 0; id <= highest; id++) {
        uint32_t own = merge->last_censuses[id];
        bool ended =
            own && merge->intake->censuses.items[own - 1].kind == RFT_CENSUS_INTERPRETER_END;
        if (!ended && own < of_all)
            merge->last_censuses[id] = of_all;
    }
}

struct survival {
    uint64_t live, live_bytes;
    struct rft_survivors *survivors;
    bool census, bytes_estimated;
    bool ended; /* with its interpreter */
};

/* The size of an object of a site whose living ones were not counted one by one. */
static double likely_size(const struct rft_intake_site *site, const struct rft_trace_type *type)
{
    if (type->kind == RFT_KIND_FIXED && type->basic_size)
        return (double)type->basic_size;
    if (site->deaths && (int64_t)site->deaths > 0)
        return (double)site->dead_bytes / (double)site->deaths;
    return (double)type->basic_size;
}

static struct survival survival_of(const struct merge *merge, const struct rft_intake_site *site,
                                   const struct rft_trace_site *known)
{
    uint64_t counted = site->births > site->deaths ? site->births - site->deaths : 0;
    uint32_t interpreter =
        known->interpreter <= rft_trace_interpreter_count(merge->trace) ? known->interpreter : 0;
    uint32_t last = merge->last_censuses[interpreter];
    struct survival survival = {.live = counted};
    uint64_t uncounted = counted;
    if (last) {
        const struct rft_intake_census *census = &merge->intake->censuses.items[last - 1];
        bool named = site->census == last;
        bool changed = site->last_tick > census->after_tick;
        if (named || !changed) {
            survival.census = true;
            survival.ended = census->kind == RFT_CENSUS_INTERPRETER_END;
            survival.live = named ? site->survivor_count : 0;
            uncounted = 0;
        }
        if (named) {
            survival.survivors = site->survivors;
            survival.live_bytes = site->survivor_bytes;
            /* Births and deaths after the census. */
            int64_t since = (int64_t)(site->births - site->deaths - site->live_then);
            if (changed && since < 0 && (uint64_t)-since > survival.live)
                since = -(int64_t)survival.live;
            if (changed && since) {
                survival.live += (uint64_t)since;
                survival.live_bytes =
                    site->survivor_count
                        ? (uint64_t)((double)site->survivor_bytes * (double)survival.live /
                                     (double)site->survivor_count)
                        : 0;
            }
        }
    }
    if (uncounted) {
        double size = site->survivor_count
                          ? (double)site->survivor_bytes / (double)site->survivor_count
                          : likely_size(site, rft_trace_type(merge->trace, known->type));
        survival.live_bytes = (uint64_t)(size * (double)uncounted);
        survival.bytes_estimated = true;
    }
    return survival;
}

/* The part of this process in a site, made at need. */
static struct rft_site_part *part_of(struct merge *merge, uint32_t site)
{
    struct rft_model_store *store = merge->store;
    uint32_t last = store->last_parts.items[site];
    if (last != RFT_NONE && store->parts.items[last].process == merge->process)
        return &store->parts.items[last];
    struct rft_site_part part = {.site = site, .process = merge->process, .census = true};
    if (store->parts.count >= RFT_NONE || !rft_vec_push(&store->earlier_parts, last) ||
        !rft_vec_push(&store->parts, part))
        return NULL;
    store->last_parts.items[site] = (uint32_t)store->parts.count - 1;
    return &store->parts.items[store->parts.count - 1];
}

static bool add_ages(struct rft_model_store *store, struct rft_site *site,
                     const struct rft_intake_site *from)
{
    if (!from->at_once && !from->ages)
        return true;
    if (!site->ages) {
        site->ages = rft_arena_alloc(&store->arena, RFT_AGE_BUCKETS * sizeof(*site->ages));
        if (!site->ages)
            return false;
        memset(site->ages, 0, RFT_AGE_BUCKETS * sizeof(*site->ages));
    }
    site->ages[0] += from->at_once;
    for (unsigned i = 1; from->ages && i < RFT_AGE_BUCKETS; i++)
        site->ages[i] += from->ages[i];
    return true;
}

static bool merge_site(struct merge *merge, uint32_t id)
{
    struct rft_model_store *store = merge->store;
    const struct rft_trace *trace = merge->trace;
    const struct rft_intake_site *from = &merge->intake->sites.items[id];
    const struct rft_trace_site *known = rft_trace_site(trace, id);
    if (!from->births && !from->deaths && !from->survivor_count)
        return true;
    uint32_t thread = known->thread <= rft_trace_thread_count(trace) ? known->thread : 0;
    uint32_t interpreter =
        known->interpreter <= rft_trace_interpreter_count(trace) ? known->interpreter : 0;
    uint32_t stack = known->stack <= rft_trace_stack_count(trace) ? known->stack : 0;
    uint32_t type = known->type <= rft_trace_type_count(trace) ? known->type : 0;
    uint32_t model_type = type ? merge->types[type] : unknown_type(merge);
    if (model_type == RFT_NONE)
        return false;
    uint32_t number = rft_store_site(store, merge->stacks[stack], model_type,
                                     merge->threads[thread], merge->interpreters[interpreter]);
    struct rft_site_part *part = number == RFT_NONE ? NULL : part_of(merge, number);
    if (!part)
        return false;
    merge->sites[id] = number;
    struct survival survival = survival_of(merge, from, known);
    int64_t unexplained = (int64_t)(from->births - from->deaths - survival.live);

    struct rft_site *site = &store->sites.items[number];
    site->births += from->births;
    site->deaths += from->deaths;
    site->live += survival.live;
    site->live_bytes += survival.live_bytes;
    site->live_bytes_estimated |= survival.bytes_estimated;
    site->dead_bytes += from->dead_bytes;
    site->died_at_once += from->at_once;
    site->peak_live += from->peak_live;
    site->unexplained += (uint64_t)(unexplained < 0 ? -unexplained : unexplained);
    if (!add_ages(store, site, from))
        return false;

    part->births += from->births;
    part->deaths += from->deaths;
    part->live += survival.live;
    part->live_bytes += survival.live_bytes;
    part->live_ended += survival.ended ? survival.live : 0;
    part->dead_bytes += from->dead_bytes;
    part->peak_live += from->peak_live;
    part->collected += from->collected;
    part->census &= survival.census;
    if (from->curve) {
        from->curve->next = part->curve;
        part->curve = from->curve;
    }
    if (from->names) {
        from->names->next = part->names;
        part->names = from->names;
    }
    if (survival.survivors) {
        struct rft_survivors *tail = survival.survivors;
        while (tail->next)
            tail = tail->next;
        tail->next = part->survivors;
        part->survivors = survival.survivors;
    }
    return true;
}

/* --- the process ---------------------------------------------------------------------------------
 */

static const char *version_name(struct rft_model_store *store, uint32_t version)
{
    static const char *const levels[16] = {[0xa] = "a", [0xb] = "b", [0xc] = "rc"};
    if (!version)
        return "?";
    const char *level = levels[version >> 4 & 15];
    unsigned major = version >> 24, minor = version >> 16 & 255, micro = version >> 8 & 255;
    if (level)
        return rft_store_format(store, "%u.%u.%u%s%u", major, minor, micro, level, version & 15);
    return rft_store_format(store, "%u.%u.%u", major, minor, micro);
}

/* Arguments as one would type them in a shell. */
static const char *command_of(struct rft_model_store *store, const char *const *arguments,
                              size_t count)
{
    struct rft_strbuf command = {0};
    for (size_t i = 0; i < count; i++) {
        const char *argument = arguments[i];
        size_t plain = strspn(argument, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_=./,:@%+");
        if (i)
            rft_strbuf_add_char(&command, ' ');
        if (*argument && !argument[plain]) {
            rft_strbuf_add(&command, argument);
            continue;
        }
        rft_strbuf_add_char(&command, '\'');
        for (const char *at = argument; *at; at++) {
            if (*at == '\'')
                rft_strbuf_add(&command, "'\\''");
            else
                rft_strbuf_add_char(&command, *at);
        }
        rft_strbuf_add_char(&command, '\'');
    }
    const char *text =
        command.failed ? NULL
                       : rft_arena_copy(&store->arena, rft_strbuf_text(&command), command.length);
    rft_strbuf_deinit(&command);
    return text;
}

/* When the program was over: what the agent does then may take longer than the program's own exit
 * did. */
static uint64_t exit_ms(const struct merge *merge, uint64_t duration_ms)
{
    const struct rft_intake *intake = merge->intake;
    uint64_t exit_ms = duration_ms;
    size_t count;
    const struct rft_trace_heap *heaps = rft_trace_heaps(merge->trace, &count);
    for (size_t i = 0; i < count; i++) {
        uint32_t interpreter = heaps[i].interpreter;
        if (heaps[i].kind == RFT_HEAP_EXIT && heaps[i].time_ms < exit_ms &&
            rft_trace_interpreter(merge->trace, interpreter)->number == 0)
            exit_ms = heaps[i].time_ms;
    }
    const struct rft_trace_mark *marks = rft_trace_marks(merge->trace, &count);
    if (intake->collection_mark && marks[intake->collection_mark - 1].time_ms < exit_ms)
        exit_ms = marks[intake->collection_mark - 1].time_ms;
    for (size_t i = 0; i < intake->censuses.count; i++) {
        const struct rft_intake_census *census = &intake->censuses.items[i];
        if ((census->kind == RFT_CENSUS_EXIT || census->kind == RFT_CENSUS_OS_EXIT) &&
            census->time_ms < exit_ms)
            exit_ms = census->time_ms;
    }
    return exit_ms;
}

static bool add_process(struct merge *merge, const char *path)
{
    struct rft_model_store *store = merge->store;
    const struct rft_trace *trace = merge->trace;
    const struct rft_trace_program *program = rft_trace_program(trace);
    const struct rft_trace_end *end = rft_trace_end(trace);
    const char **arguments =
        rft_arena_alloc(&store->arena, (program->argument_count + 1) * sizeof(*arguments));
    if (!arguments)
        return false;
    for (size_t i = 0; i < program->argument_count; i++) {
        arguments[i] = rft_store_text(store, program->arguments[i]);
        if (!arguments[i])
            return false;
    }
    arguments[program->argument_count] = NULL;
    struct rft_string path_string = {path, strlen(path)};
    size_t names_looks, pauses = merge->intake->pauses.count;
    struct rft_pause *own = rft_arena_alloc(&store->arena, pauses * sizeof(*own) + 1);
    if (!own)
        return false;
    if (pauses)
        memcpy(own, merge->intake->pauses.items, pauses * sizeof(*own));
    rft_trace_names_looks(trace, &names_looks);
    struct rft_process process = {
        .path = rft_store_text(store, path_string),
        .command = command_of(store, arguments, program->argument_count),
        .executable = rft_store_text(store, program->executable),
        .directory = rft_store_text(store, program->directory),
        .python_version = version_name(store, program->version),
        .version_text = rft_store_text(store, program->version_text),
        .agent_version = rft_store_text(store, program->agent_version),
        .arguments = arguments,
        .argument_count = program->argument_count,
        .version = program->version,
        .free_threaded = program->flags & RFT_PROGRAM_FREE_THREADED,
        .debug_build = program->flags & RFT_PROGRAM_DEBUG_BUILD,
        .forked = program->flags & RFT_PROGRAM_FORKED,
        .pid = program->pid ? program->pid : rft_trace_writer_pid(trace),
        .parent_pid = program->parent_pid,
        .start_ns = program->start_ns,
        .duration_ms = end->present ? end->time_ms : rft_trace_last_ms(trace),
        .tick_ms = program->tick_ms,
        .pauses = own,
        .pause_count = (uint32_t)pauses,
        .names_known = names_looks > 0,
        .ended = end->present,
        .end_reason = end->reason,
        .file_bytes = rft_trace_size(trace),
        .births = merge->intake->births,
        .deaths = merge->intake->deaths,
        .peak_live = merge->intake->peak_live,
    };
    if (process.duration_ms < rft_trace_last_ms(trace))
        process.duration_ms = rft_trace_last_ms(trace);
    process.exit_ms = exit_ms(merge, process.duration_ms);
    for (size_t i = 0; i < merge->intake->censuses.count; i++)
        process.census |= is_final(merge, i);
    return process.path && process.command && process.executable && process.directory &&
           process.python_version && process.version_text && process.agent_version &&
           rft_vec_push(&store->processes, process) &&
           rft_vec_push(&store->process_curves, merge->intake->whole);
}

static bool add_marks(struct merge *merge)
{
    size_t count;
    const struct rft_trace_mark *marks = rft_trace_marks(merge->trace, &count);
    for (size_t i = 0; i < count; i++) {
        struct rft_mark mark = {
            .process = merge->process,
            .time_ms = marks[i].time_ms,
            .label = rft_store_text(merge->store, marks[i].label),
        };
        if (!mark.label || !rft_vec_push(&merge->store->marks, mark))
            return false;
    }
    return true;
}

static uint32_t *id_map(uint32_t highest)
{
    return calloc((size_t)highest + 1, sizeof(uint32_t));
}

static bool merge_all(struct merge *merge, const char *path)
{
    const struct rft_trace *trace = merge->trace;
    merge->texts = calloc((size_t)rft_trace_string_count(trace) + 1, sizeof(*merge->texts));
    merge->decoded = calloc((size_t)rft_trace_code_count(trace) + 1, sizeof(*merge->decoded));
    merge->stacks = id_map(rft_trace_stack_count(trace));
    merge->types = id_map(rft_trace_type_count(trace));
    merge->threads = id_map(rft_trace_thread_count(trace));
    merge->interpreters = id_map(rft_trace_interpreter_count(trace));
    merge->last_censuses = id_map(rft_trace_interpreter_count(trace));
    merge->sites = id_map(rft_trace_site_count(trace));
    if (!merge->texts || !merge->decoded || !merge->stacks || !merge->types || !merge->threads ||
        !merge->interpreters || !merge->last_censuses || !merge->sites)
        return false;
    for (uint32_t id = 0; id <= rft_trace_site_count(trace); id++)
        merge->sites[id] = RFT_NONE;
    find_last_censuses(merge);
    if (!add_process(merge, path) || !add_marks(merge) || !merge_stacks(merge) ||
        !merge_types(merge) || !merge_threads(merge) || !merge_interpreters(merge))
        return false;
    for (size_t id = 1; id < merge->intake->sites.count; id++) {
        if (!merge_site(merge, (uint32_t)id))
            return false;
    }
    struct rft_heap_ids ids = {
        .trace = trace,
        .process = merge->process,
        .sites = merge->sites,
        .site_count = rft_trace_site_count(trace),
        .interpreters = merge->interpreters,
    };
    return rft_heap_take(merge->store, &ids);
}

struct rft_error *rft_merge(struct rft_model *model, const char *path,
                            const struct rft_trace *trace, const struct rft_intake *intake)
{
    struct merge merge = {
        .store = model->store,
        .trace = trace,
        .intake = intake,
        .process = (uint32_t)model->store->processes.count,
    };
    bool merged = merge_all(&merge, path);
    for (uint32_t id = 0; merge.decoded && id <= rft_trace_code_count(trace); id++)
        free(merge.decoded[id].entries);
    free(merge.texts);
    free(merge.decoded);
    free(merge.stacks);
    free(merge.types);
    free(merge.threads);
    free(merge.interpreters);
    free(merge.last_censuses);
    free(merge.sites);
    rft_vec_free(&merge.places);
    rft_index_deinit(&merge.place_index);
    if (!merged)
        return rft_error_no_memory();
    return rft_exactness_file(model, merge.process, trace, intake);
}

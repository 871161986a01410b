/* Many paths, few patterns: "980 of 1,000 are in app.bus._listeners". */
#include "heap/heap.h"

#include <string.h>

#include "trace/format.h"

/* A holder with more references than LARGE is asked for LABELS labels; the references after
 * that have the kind of the last one and no label. */
enum { LARGE = 4096, LABELS = 8 };
/* This many different keys, and the key is none of the pattern's. */
enum { KEYS_DIFFER = 3 };
/* A path that was this long: only SHORT samples of its site are worth their time. */
enum { LONG_PATH = 20000, FEW_SAMPLES = 10 };

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

static void labelled(struct rft_graph *graph, uint32_t holder, uint32_t target,
                     struct rft_step *step, void *arg)
{
    struct rft_patterns *p = arg;
    uint64_t place = mix(holder, target);
    __typeof__(p->labels[0]) *label = &p->labels[place % RFT_KNOWN_LABELS];
    if (label->target == target + 1 && label->holder == holder) {
        *step = label->step;
        return;
    }
    __typeof__(p->holders[0]) *known = NULL;
    if (graph->first[holder + 1] - graph->first[holder] > LARGE) {
        /* Keys and values of one dict differ in their types, mostly. */
        uintptr_t type = rft_node_type(graph, target);
        known = &p->holders[mix(holder, type) % RFT_KNOWN_HOLDERS];
        if (known->holder != holder + 1 || known->type != type) {
            known->holder = holder + 1;
            known->type = type;
            known->times = 0;
        }
        if (known->times >= LABELS) {
            *step = (struct rft_step){.kind = known->kind, .holder = holder};
            return;
        }
        known->times++;
    }
    rft_step_between(graph, holder, target, step, NULL);
    if (known != NULL) {
        known->kind = step->kind;
    }
    label->target = target + 1;
    label->holder = holder;
    label->step = *step;
}

static bool is_keyed(const struct rft_step *step)
{
    return step->kind == RFT_EDGE_DICT_KEY || step->kind == RFT_EDGE_DICT_VALUE;
}

/* What one step has in common with those of its pattern. */
static uint64_t step_hash(const struct rft_graph *graph, const struct rft_step *step)
{
    uint64_t hash = mix(
        step->kind, step->holder != RFT_NO_NODE ? (uint64_t)rft_node_type(graph, step->holder) : 0);
    return mix(hash, is_keyed(step) ? 0 : step->label);
}

/* Steps that repeat (next, next, next) count once, so that the nodes of one linked list
 * have one pattern: of two equal ends of the sequence so far, of one or two steps, one goes. */
static uint64_t path_hash(const struct rft_graph *graph, const struct rft_sample_path *sample)
{
    uint64_t stack[RFT_PATH_STEPS_MAX], hash = 0;
    unsigned n = 0;
    for (unsigned i = 0; i < sample->count; i++) {
        stack[n++] = step_hash(graph, &sample->steps[i]);
        if (n >= 2 && stack[n - 1] == stack[n - 2]) {
            n--;
        } else if (n >= 4 && stack[n - 1] == stack[n - 3] && stack[n - 2] == stack[n - 4]) {
            n -= 2;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        hash = mix(hash, stack[i]);
    }
    return mix(hash, n);
}

/* Of the samples of one shape: takes out of their steps what differs. */
static void generalise(struct rft_sample_path *samples, unsigned count, uint64_t shape)
{
    struct rft_sample_path *first = NULL;
    bool same_length = true;
    for (unsigned i = 0; i < count; i++) {
        if (samples[i].shape == shape) {
            first = first != NULL ? first : &samples[i];
            same_length &= samples[i].count == first->count;
        }
    }
    for (unsigned s = 0; first != NULL && s < RFT_PATH_STEPS_MAX; s++) {
        uint32_t keys[KEYS_DIFFER];
        unsigned different = 0;
        bool index_differs = false;
        for (unsigned i = 0; i < count; i++) {
            if (samples[i].shape != shape || s >= samples[i].count || s >= first->count) {
                continue;
            }
            index_differs |= samples[i].steps[s].index != first->steps[s].index;
            unsigned k = 0;
            while (k < different && keys[k] != samples[i].steps[s].label) {
                k++;
            }
            if (k == different && different < KEYS_DIFFER) {
                keys[different++] = samples[i].steps[s].label;
            }
        }
        for (unsigned i = 0; i < count; i++) {
            if (samples[i].shape != shape || s >= samples[i].count) {
                continue;
            }
            struct rft_step *step = &samples[i].steps[s];
            if (is_keyed(step) && (different >= KEYS_DIFFER || !same_length)) {
                step->label = 0;
            }
            if ((index_differs || !same_length) && step->kind != RFT_EDGE_LEFT_OUT) {
                step->index = 0;
            }
        }
    }
}

/* A key that few have tells them apart. */
static uint64_t with_keys(const struct rft_sample_path *sample)
{
    uint64_t hash = sample->shape;
    for (unsigned s = 0; s < sample->count; s++) {
        if (is_keyed(&sample->steps[s]) && sample->steps[s].label != 0) {
            hash = mix(hash, (uint64_t)s << 32 | sample->steps[s].label);
        }
    }
    return hash;
}

void rft_patterns_find(struct rft_graph *graph, const struct rft_paths *paths,
                       const uint32_t *nodes, unsigned count, struct rft_patterns *p)
{
    struct rft_sample_path *samples = p->samples;
    p->count = 0;
    unsigned used = 0;
    for (unsigned i = 0; i < count && i < RFT_SAMPLES_MAX; i++) {
        samples[used].count =
            rft_path_steps(graph, paths, nodes[i], labelled, p, samples[used].steps);
        samples[used].shape = path_hash(graph, &samples[used]);
        used++;
        for (unsigned s = 0; s < samples[used - 1].count; s++) {
            const struct rft_step *step = &samples[used - 1].steps[s];
            if (step->kind == RFT_EDGE_LEFT_OUT && step->index > LONG_PATH && count > FEW_SAMPLES) {
                count = i + 1 < FEW_SAMPLES ? FEW_SAMPLES : i + 1;
            }
        }
    }
    p->sampled = used;
    for (unsigned i = 0; i < used; i++) {
        bool seen = false;
        for (unsigned k = 0; k < i && !seen; k++) {
            seen = samples[k].shape == samples[i].shape;
        }
        if (!seen) {
            generalise(samples, used, samples[i].shape);
        }
    }
    for (unsigned i = 0; i < used; i++) {
        samples[i].shape = with_keys(&samples[i]);
        unsigned k = 0;
        while (k < p->count && p->patterns[k].shape != samples[i].shape) {
            k++;
        }
        if (k == p->count) {
            p->patterns[p->count++] =
                (struct rft_pattern){.shape = samples[i].shape, .sample = &samples[i]};
        }
        p->patterns[k].objects++;
        /* The nearest to the root is the example. */
        if (samples[i].count < p->patterns[k].sample->count) {
            p->patterns[k].sample = &samples[i];
        }
    }
    /* Most frequent first; of equal ones the one that was met first. */
    for (unsigned i = 1; i < p->count; i++) {
        struct rft_pattern pattern = p->patterns[i];
        unsigned k = i;
        for (; k > 0 && p->patterns[k - 1].objects < pattern.objects; k--) {
            p->patterns[k] = p->patterns[k - 1];
        }
        p->patterns[k] = pattern;
    }
}

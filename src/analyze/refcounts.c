/* The verdict on refcounts. docs/VERDICT.md tells it in words. */
#include "analyze/store.h"

/* Objects that C code holds for good reasons are few, or become no more: a static variable,
 * a table of a module, an interned name. */
enum {
    LEAKED_LEAST = 12,    /* of objects, where most of the growth is theirs */
    LEAKED_MANY = 60,     /* of objects, where it is not: as for growth itself */
    MANY_OF_GROWTH = 20,  /* 1 in so many of what the site grew by */
    SUSPECTED_LEAST = 20, /* of objects, where the run does not tell whether they grow */
    PILED_LEAST = 1000,   /* references to one object, if the heap was looked through once */
    PILED_GROWN = 100,    /* by how many they became more between two looks */
};

static uint64_t most_of_one(const struct rft_refcounts *refcounts)
{
    if (!refcounts->pair_count)
        return 0;
    int64_t surplus = refcounts->pairs[refcounts->pair_count - 1].surplus;
    return surplus > 0 ? (uint64_t)surplus : 0;
}

static bool leaks(const struct rft_refcounts *refcounts, const struct rft_growth *growth)
{
    uint64_t objects = refcounts->surplus_objects;
    /* Seen to grow from look to look. */
    if (refcounts->looks > 1 && objects >= refcounts->earlier_objects + LEAKED_LEAST &&
        objects - refcounts->earlier_objects >= refcounts->earlier_objects / 4)
        return true;
    if (growth->kind < RFT_GROWTH_SLOWING)
        return false;
    if (objects >= LEAKED_MANY && objects >= growth->grown / MANY_OF_GROWTH)
        return true;
    return objects >= LEAKED_LEAST && objects >= growth->grown / 2;
}

/* A short run, or a loop that was over soon, has no growth to go by. */
static bool is_suspect(const struct rft_refcounts *refcounts)
{
    uint64_t objects = refcounts->surplus_objects;
    return refcounts->looks == 1 && objects >= SUSPECTED_LEAST &&
           objects >= refcounts->audited - refcounts->audited / 10;
}

static bool piles(const struct rft_refcounts *refcounts)
{
    uint64_t references = refcounts->surplus_references;
    /* One or two to each object are the objects' own affair. */
    if (!refcounts->surplus_objects || references / refcounts->surplus_objects < 10)
        return false;
    if (refcounts->looks > 1)
        return references >= refcounts->earlier_references + PILED_GROWN &&
               references - refcounts->earlier_references >= refcounts->earlier_references / 4;
    return most_of_one(refcounts) >= PILED_LEAST;
}

void rft_refcounts_judge(struct rft_refcounts *refcounts, const struct rft_growth *growth,
                         bool by_program)
{
    for (uint32_t i = 0; i < refcounts->pair_count; i++) {
        const struct rft_surplus *pair = &refcounts->pairs[i];
        double references =
            (double)pair->objects * (double)(pair->surplus < 0 ? -pair->surplus : pair->surplus);
        /* A number that no heap has can only be damage. */
        uint64_t counted = references < 1e18 ? (uint64_t)references : 0;
        if (pair->surplus > 0) {
            refcounts->surplus_objects += pair->objects;
            refcounts->surplus_references += counted;
        } else if (pair->surplus < 0) {
            refcounts->missing_objects += pair->objects;
            refcounts->missing_references += counted;
        }
    }
    refcounts->leaked = leaks(refcounts, growth);
    refcounts->piled = piles(refcounts);
    refcounts->suspected =
        by_program && !refcounts->leaked && !refcounts->piled && is_suspect(refcounts);
    refcounts->too_few = refcounts->missing_objects > 0;
}

/* A look through the heap of one interpreter: who holds the survivors of each site, what
 * they retain, whether their refcounts add up, what is garbage. survey.c does it,
 * survey_write.c has the bytes of the trace. */
#ifndef RFT_AGENT_SURVEY_H
#define RFT_AGENT_SURVEY_H

#include "agent/agent.h"
#include "heap/heap.h"

enum { RFT_SURVEY_CHUNKS = RFT_CHUNK_RETAINERS - RFT_CHUNK_HEAP + 1 };

/* A site that is looked into; its nodes are survey.nodes[first] and the next ones. */
struct rft_survey_site {
    uint32_t id, first, count, garbage;
};

struct rft_survey {
    struct rft_thread *t;
    const char *tstate;
    struct rft_heap_host host;
    struct rft_graph graph;
    struct rft_paths paths;
    struct rft_dominators dominators;
    struct rft_cycles *cycles;
    struct rft_patterns *patterns;
    uint32_t interp;
    uint64_t *retained; /* by site id */
    uint32_t *chosen;   /* by site id: index in sites + 1 */
    struct rft_survey_site *sites;
    uint32_t site_count;
    uint32_t *nodes;
    size_t node_count;
    unsigned flags;   /* RFT_HEAP_* */
    uint32_t started; /* ms of the trace */
    uint64_t begin;   /* rft_heap_clock() */
    uint32_t ms;      /* that it may take */
    /* Payloads of the chunks 14 to 18. */
    struct rft_buffer chunks[RFT_SURVEY_CHUNKS];
};

/* survey_write.c */
struct rft_buffer *rft_survey_chunk(struct rft_survey *survey, unsigned type);
void rft_survey_write_head(struct rft_survey *survey, enum rft_heap_kind kind, const char *label,
                           uint32_t pause);
void rft_survey_write_sites(struct rft_survey *survey);
void rft_survey_write_garbage(struct rft_survey *survey);
void rft_survey_write_retainers(struct rft_survey *survey);

/* survey_sites.c: objects of a site, spread over the time of their births. Returns how
 * many; nodes has room for RFT_SAMPLES_MAX. */
unsigned rft_survey_sample(struct rft_survey *survey, const struct rft_survey_site *site,
                           uint32_t *nodes);
/* Chooses the sites, and gathers their nodes. */
bool rft_survey_choose(struct rft_survey *survey);
void rft_survey_give_back_sites(struct rft_survey *survey);

#endif

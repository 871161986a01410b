/* What is remembered of a target's objects: rft_runtime.objects. */
#ifndef RFT_RUNTIME_KEPT_H
#define RFT_RUNTIME_KEPT_H

#include "runtime/object.h"

enum { RFT_TYPES_KEPT = 256 };

struct rft_names;  /* names.c */
struct rft_tasks;  /* task.c */
struct rft_native; /* native.c */

struct rft_objects {
    /* By address, for one look only: the target goes on, and its types may go. */
    struct rft_type types[RFT_TYPES_KEPT];
    bool types_used;

    rft_address none; /* None, once it was met: it does not move; 0: not yet */

    /* From snapshot to snapshot. NULL while not needed. */
    struct rft_names *names;
    struct rft_tasks *tasks;
    struct rft_native *native;
};

/* NULL without memory. */
struct rft_objects *rft_objects_kept(struct rft_runtime *runtime);

void rft_names_destroy(struct rft_names *names);
void rft_tasks_destroy(struct rft_tasks *tasks);
void rft_native_destroy(struct rft_native *native);

#endif

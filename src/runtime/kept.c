#include "runtime/kept.h"

#include <stdlib.h>

static void destroy(void *all)
{
    struct rft_objects *objects = all;
    rft_names_destroy(objects->names);
    rft_tasks_destroy(objects->tasks);
    rft_native_destroy(objects->native);
    free(objects);
}

struct rft_objects *rft_objects_kept(struct rft_runtime *runtime)
{
    if (!runtime->objects) {
        runtime->objects = calloc(1, sizeof(struct rft_objects));
        runtime->objects_destroy = destroy;
    }
    return runtime->objects;
}

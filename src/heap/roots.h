/* Memory of the interpreter that has references among other things. */
#ifndef RFT_HEAP_ROOTS_H
#define RFT_HEAP_ROOTS_H

#include <stdbool.h>

#include "heap/edges.h"

struct rft_roots {
    int (*visit)(const struct rft_root *root, void *arg);
    void *arg;
    const char *interpreter;
};

/* One root; nothing for NULL. Texts end with 0, or are NULL. */
int rft_root_give(const struct rft_roots *roots, unsigned char kind, const char *label,
                  const char *detail, const void *target, bool counted);

/* Is there an object at this address, as far as its head and its type tell? Anything may be
 * asked: memory is read through the kernel, which fails where there is none. */
bool rft_is_object(const char *op);

/* The words from `from` to `to` that are references to mortal objects. */
int rft_roots_in(const struct rft_roots *roots, const char *from, const char *to,
                 unsigned char kind, const char *label, const char *detail);

/* roots_types.c */
struct rft_static_types {
    const char *cache;  /* type_cache: 4096 of {version, name, value} */
    const char *states; /* managed_static_type_state of each builtin type */
    size_t count;
};
/* Where the interpreter has its static types; false: not found. */
bool rft_static_types_find(const char *interpreter, struct rft_static_types *found);
int rft_roots_types(const struct rft_roots *roots, const struct rft_static_types *types);

/* roots_threads.c */
int rft_roots_threads(const struct rft_roots *roots);

#endif

/* What one object refers to, how such a reference is called (RFT_EDGE_* of trace/format.h),
 * and where all references begin (RFT_ROOT_*). Everything here reads this process' own memory with
 * the GIL held, runs no Python code and changes no refcount. */
#ifndef RFT_HEAP_EDGES_H
#define RFT_HEAP_EDGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout/layout.h"
#include "trace/format.h"

/* What a visitor is called with. counted: the reference is a strong one that is in the
 * target's refcount. False: it is borrowed, deferred or weak. The refcount of an immortal
 * object says nothing in either case. */
typedef int (*rft_edge_visit)(const void *target, int counted, void *arg);

/* Calls visit once for each reference that `op` has, also those that tp_traverse leaves
 * out. Stops when it returns other than 0, and returns that. */
int rft_edges_each(const void *op, rft_edge_visit visit, void *arg);

/* Calls visit (with counted = 1) for each word of `op` in which a reference may be that
 * rft_edges_each does not tell of: an address, or any number. Types of C extensions need not
 * visit what can't be in a cycle, and those without a tp_traverse visit nothing. */
void rft_edges_hidden(const void *op, rft_edge_visit visit, void *arg);

/* label, detail: valid during the call; not ended by 0. */
struct rft_root {
    unsigned char kind;
    const char *label;
    size_t label_length;
    const char *detail;
    size_t detail_length;
    const void *target;
    int counted;
    const void *tstate; /* of frames: whose; else NULL */
    uint32_t frame;     /* of frames: number from the innermost one, from 0 */
};

/* Calls visit for each reference that does not come from an object, of the interpreter of
 * `tstate`. Stops when it returns other than 0, and returns that. */
int rft_roots_each(void *tstate, int (*visit)(const struct rft_root *root, void *arg), void *arg);

/* text: any bytes, not ended by 0. index: 0 where it means nothing. */
struct rft_label {
    unsigned char kind;
    uint64_t index;
    size_t length;
    char text[120];
};

/* What the reference from holder to target is called; of several the first. */
void rft_label_of(const void *holder, const void *target, struct rft_label *label);

/* The same for a whole path: labels[i] is what objects[i] calls objects[i + 1]; count - 1 of
 * them. Knows more than the above: the variable that a closure's cell is. root: where the path
 * begins, or NULL. */
void rft_labels_of(const void *const *objects, size_t count, const struct rft_root *root,
                   struct rft_label *labels);

/* The type of an object as module.qualname, of builtins without the module; at most `size` bytes,
 * not ended by 0. Returns how many. */
size_t rft_type_text(const void *op, char *to, size_t size);

/* Once per analysis, before all else: types that were met before may be gone. False: this
 * CPython can't be read; rft_edges_refused says why (a static text). */
bool rft_edges_prepare(const struct rft_layout *layout, char *runtime,
                       void *(*symbol)(const char *));
const char *rft_edges_refused(void);
void rft_edges_end(void); /* gives back the memory; after it, prepare again */

#endif

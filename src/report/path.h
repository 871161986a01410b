/* Paths in words: who holds an object, as the program itself would write it. */
#ifndef RFT_REPORT_PATH_H
#define RFT_REPORT_PATH_H

#include <stdbool.h>

#include "analyze/model.h"
#include "base/strbuf.h"

/* How a path is written. */
struct path_style {
    const char *arrow; /* "→" where it can be shown, or "->" */
    bool whole;        /* all of it; without, a long one loses its middle */
};

/* Appends the path: "app.bus._listeners[*].callback → variable self". `[*]` is any item or
 * key, `(.next)*` what repeats. */
void path_text(struct rft_strbuf *to, const struct rft_path *path, struct path_style style);

/* Appends a cycle, from the type of its first object back to it. */
void path_cycle(struct rft_strbuf *to, const struct rft_path *path, struct path_style style);

/* Appends the types of the objects on the path: "module, app.Bus, list". */
void path_types(struct rft_strbuf *to, const struct rft_path *path);

/* The name of a kind in JSON: "attribute", "module". */
const char *path_kind_name(uint32_t kind);

#endif

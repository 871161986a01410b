/* Where things are, in words: frames, sites and stacks of a model, shortened
 * to what tells a person where to look. */
#ifndef RFT_REPORT_PLACE_H
#define RFT_REPORT_PLACE_H

#include <stdbool.h>

#include "analyze/model.h"
#include "base/strbuf.h"
#include "report/page.h"

/* Appends the frame's file: relative to the program's folder if it is in it,
 * to site-packages or the library for foreign files. */
void place_file(struct rft_strbuf *to, const struct rft_model *model,
                const struct rft_frame *frame);

/* Appends "file:line function". */
void place_frame(struct rft_strbuf *to, const struct rft_model *model,
                 const struct rft_frame *frame);

/* Appends the place of a stack: its own innermost frame, and in which foreign
 * function that ended ("app.py:12 load, in json/decoder.py raw_decode"). */
void place_stack(struct rft_strbuf *to, const struct rft_model *model, uint32_t node);

/* Whether a short stack shows this node: frames of the program, or, in a stack
 * that has none, all frames that are not CPython's own. */
struct place_filter {
    bool all;
    bool own_only;
};
struct place_filter place_filter(const struct rft_model *model, uint32_t node, bool full);
bool place_shows(struct place_filter filter, const struct rft_frame *frame);

/* Writes a stack, innermost first, a line each. The first line is not
 * indented further than `indent`; at most `limit` frames (0: all). */
void place_print_stack(const struct page *page, const struct rft_model *model, uint32_t node,
                       bool full, unsigned indent, unsigned limit);

/* Appends who called the node's function: " < caller < its caller", as a short
 * stack has them. */
void place_callers(struct rft_strbuf *to, const struct page *page, const struct rft_model *model,
                   uint32_t node, bool full);

/* "MainThread", "Thread-7 (and 3 more)"; "?" if not known. */
void place_thread(struct rft_strbuf *to, const struct rft_model *model, uint32_t thread);
/* "main", "interpreter 3"; "?" if not known. */
void place_interpreter(struct rft_strbuf *to, const struct rft_model *model, uint32_t interpreter);

#endif

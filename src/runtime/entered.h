/* The context managers whose `with` blocks a frame is in.
 *
 * A `with` block keeps the manager's bound __exit__ on the frame's stack until it is left, and
 * the block itself is known: from the exception table of the code object since 3.11, from the
 * frame's stack of blocks before. Only what such a block covers is looked at, so whoever is
 * found has returned from __enter__ and has not been asked to __exit__. */
#ifndef RFT_RUNTIME_ENTERED_H
#define RFT_RUNTIME_ENTERED_H

#include "runtime/runtime.h"

/* Blocks of one frame: CPython allows 20, one in the other, in the source. */
enum { RFT_ENTERED_MAX = 20 };

struct rft_entered {
    rft_address manager;
    int line; /* of the `with`; 0: not known, as up to 3.10 */
};

struct rft_entered_codes; /* what is remembered of code objects */

struct rft_entered_codes *rft_entered_begin(struct rft_runtime *runtime);
void rft_entered_end(struct rft_entered_codes *codes);

/* Innermost last. Returns how many.
 * bytes: `size` bytes of the frame, as copied in the look; NULL: they are read here.
 * code: the frame's code object. */
size_t rft_entered_of_frame(struct rft_entered_codes *codes, rft_address frame, rft_address code,
                            const unsigned char *bytes, size_t size,
                            struct rft_entered entered[RFT_ENTERED_MAX]);

/* The frame of a generator that is not running, and its code object; false: there is none. */
bool rft_generator_frame(struct rft_runtime *runtime, rft_address generator, rft_address *frame,
                         rft_address *code);

/* The words of a frame from its first variable on, its stack included, as far as it can be in
 * use: at most `most`. Those of the stack may be old ones. Returns how many. */
size_t rft_frame_words(struct rft_runtime *runtime, rft_address frame, rft_address code,
                       uint64_t *words, size_t most);

/* The object in a word of a frame; 0: none, or an int without an object. */
rft_address rft_frame_object(const struct rft_runtime *runtime, uint64_t word);

/* What a bound method of that name is bound to; 0: it is none, or of another name. */
rft_address rft_bound_to(struct rft_runtime *runtime, rft_address method, const char *name);

#endif

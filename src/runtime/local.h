/* Local variables of frames. */
#ifndef RFT_RUNTIME_LOCAL_H
#define RFT_RUNTIME_LOCAL_H

#include "runtime/runtime.h"

/* Names of the variables of code objects that were met, and how many variables may still be
 * shown: for one snapshot. */
struct rft_locals;

/* NULL without memory. */
struct rft_locals *rft_locals_begin(struct rft_runtime *runtime);
void rft_locals_end(struct rft_locals *locals);

/* Sets locals and local_count of a Python frame, in the snapshot's memory.
 * bytes, size: the frame as it was copied in the look; NULL: read it now. A variable without
 * a value is left out; one whose value can't be read has its type, and one whose type can't
 * be read has "" for that.
 * Of a frame that is another one by now nothing is set. */
void rft_locals_of_frame(struct rft_locals *locals, struct rft_frame *frame,
                         const unsigned char *bytes, size_t size);

/* Whether variables were left out because there were too many. */
bool rft_locals_exhausted(const struct rft_locals *locals);

#endif

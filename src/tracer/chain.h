/* The marks in frames that let a stack be recognised; see chain.c. */
#ifndef RFT_CHAIN_H
#define RFT_CHAIN_H

#include <string.h>

#include "tracer/tracer.h"

/* _PyInterpreterFrame.owner: 0 thread, 1 generator, 2 frame object, 3 and 4
 * entry from C (Include/internal/pycore_interpframe_structs.h). */
enum { RFT_OWNER_THREAD = 0, RFT_OWNER_GENERATOR = 1, RFT_OWNER_SHIM = 3 };

enum { RFT_FRAME_MARK = 0x80 };

/* The byte behind `owner`. One byte is read, not both: CPython stores them one
 * by one, and a load of two would have to wait for both. Only frames owned by a
 * thread carry the mark, so the owner need not be looked at. */
static inline bool rft_frame_is_tagged_at(uintptr_t frame, uint32_t owner)
{
    return ((const unsigned char *)frame)[owner + 1] == RFT_FRAME_MARK;
}

static inline bool rft_frame_is_tagged(uintptr_t frame)
{
    return rft_frame_is_tagged_at(frame, tracer.layout.at[RFT_FRAME_OWNER]);
}

static inline void rft_frame_tag(uintptr_t frame)
{
    unsigned char *owner = (unsigned char *)frame + tracer.layout.at[RFT_FRAME_OWNER];
    if (owner[0] == RFT_OWNER_THREAD) {
        owner[1] = RFT_FRAME_MARK;
    }
}

#endif

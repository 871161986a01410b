/* Text of unknown origin, made printable. */
#ifndef RFT_BASE_TEXT_H
#define RFT_BASE_TEXT_H

#include <stddef.h>

#include "base/strbuf.h"

/* Append `bytes` as printable UTF-8. Control characters (C0, DEL, C1, line and
 * paragraph separators, bidirectional overrides) become \n, \t, \r, \xNN or
 * \uNNNN, surrogates \udcNN, bytes that are no UTF-8 \xNN: what a traced program
 * calls its files must not steer a terminal or break a JSON document. */
void rft_text_clean(struct rft_strbuf *to, const char *bytes, size_t size);

/* Append `bytes` as one word that a shell reads back as they are: plain if it can be,
 * 'quoted' if it has blanks and the like, $'\xNN' if it is not printable (bash, zsh, ksh and
 * POSIX 2024). */
void rft_text_shell(struct rft_strbuf *to, const char *bytes, size_t size);

#endif

/* Text out of CPython's str and bytes objects, without CPython. */
#ifndef RFT_TEXT_H
#define RFT_TEXT_H

#include <stddef.h>

/* Copies a str as UTF-8 (surrogates as they are, three bytes each), cut at a
 * whole character when it does not fit. str: a str object, or anything else,
 * which gives "?". Returns the length; no NUL is added. */
size_t rft_str_to_utf8(const void *str, char *to, size_t size);

/* len(bytes), bounded to what a line table can be; 0 if it makes no sense. */
size_t rft_bytes_length(const void *bytes);

/* The value of an ASCII key in a dict with str keys, or NULL; borrowed. */
const void *rft_dict_value(const void *dict, const char *key);

/* An attribute of an instance of a class, from its inline values or its dict,
 * by ASCII name; NULL if it has none; borrowed. Runs no Python code. */
const void *rft_instance_value(const void *instance, const char *name);

#endif

/* Writing of JSON documents. */
#ifndef RFT_BASE_JSON_H
#define RFT_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { RFT_JSON_DEPTH = 32 };

/* Commas and indentation are the writer's business; keys and values must be
 * given in an order that makes sense. Errors of the stream are left in it
 * (ferror). */
struct rft_json {
    FILE *to;
    unsigned indent; /* blanks per level; 0: all on one line */
    unsigned depth;
    bool filled[RFT_JSON_DEPTH]; /* whether the level has a member already */
    bool after_key, line;
};

void rft_json_init(struct rft_json *json, FILE *to, unsigned indent);

void rft_json_object_begin(struct rft_json *json);
void rft_json_object_end(struct rft_json *json);
void rft_json_array_begin(struct rft_json *json);
void rft_json_array_end(struct rft_json *json);

/* What comes next begins a new line, even without indentation. */
void rft_json_line(struct rft_json *json);

void rft_json_key(struct rft_json *json, const char *key);

/* `text` is UTF-8; NULL writes null. */
void rft_json_string(struct rft_json *json, const char *text);
void rft_json_uint(struct rft_json *json, uint64_t value);
void rft_json_int(struct rft_json *json, int64_t value);
/* Not-a-number and infinities, which JSON lacks, become null. */
void rft_json_double(struct rft_json *json, double value);
void rft_json_bool(struct rft_json *json, bool value);
void rft_json_null(struct rft_json *json);

#endif

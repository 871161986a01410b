/* Members of a JSON object: key and value in one call. */
#ifndef RFT_REPORT_JSON_MEMBERS_H
#define RFT_REPORT_JSON_MEMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "analyze/model.h"
#include "base/json.h"

static inline void member_uint(struct rft_json *json, const char *key, uint64_t value)
{
    rft_json_key(json, key);
    rft_json_uint(json, value);
}

static inline void member_string(struct rft_json *json, const char *key, const char *value)
{
    rft_json_key(json, key);
    rft_json_string(json, value);
}

static inline void member_bool(struct rft_json *json, const char *key, bool value)
{
    rft_json_key(json, key);
    rft_json_bool(json, value);
}

static inline void member_double(struct rft_json *json, const char *key, double value)
{
    rft_json_key(json, key);
    rft_json_double(json, value);
}

/* Times of the model are milliseconds, those of the document seconds. */
static inline void member_seconds(struct rft_json *json, const char *key, uint64_t ms)
{
    if (ms == RFT_NEVER) {
        rft_json_key(json, key);
        rft_json_null(json);
    } else {
        member_double(json, key, (double)ms / 1000);
    }
}

#endif

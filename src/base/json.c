#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void rft_json_init(struct rft_json *json, FILE *to, unsigned indent)
{
    *json = (struct rft_json){.to = to, .indent = indent};
}

static void new_line(struct rft_json *json)
{
    if (json->indent)
        fprintf(json->to, "\n%*s", (int)(json->indent * json->depth), "");
}

/* What has to stand before a key, or a value that has none. */
static void begin_member(struct rft_json *json)
{
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (!json->depth)
        return;
    if (json->filled[json->depth - 1])
        fputs(json->indent || json->line ? "," : ", ", json->to);
    json->filled[json->depth - 1] = true;
    if (json->line && !json->indent)
        fputc('\n', json->to);
    json->line = false;
    new_line(json);
}

static void begin(struct rft_json *json, char bracket)
{
    begin_member(json);
    fputc(bracket, json->to);
    if (json->depth < RFT_JSON_DEPTH)
        json->filled[json->depth++] = false;
}

static void end(struct rft_json *json, char bracket)
{
    if (json->depth && json->filled[--json->depth])
        new_line(json);
    fputc(bracket, json->to);
}

void rft_json_object_begin(struct rft_json *json)
{
    begin(json, '{');
}

void rft_json_object_end(struct rft_json *json)
{
    end(json, '}');
}

void rft_json_array_begin(struct rft_json *json)
{
    begin(json, '[');
}

void rft_json_array_end(struct rft_json *json)
{
    end(json, ']');
}

static void quoted(struct rft_json *json, const char *text)
{
    fputc('"', json->to);
    const char *plain = text;
    for (const char *at = text;; at++) {
        unsigned char c = (unsigned char)*at;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        fwrite(plain, 1, (size_t)(at - plain), json->to);
        plain = at + 1;
        if (!c)
            break;
        if (c == '"' || c == '\\')
            fprintf(json->to, "\\%c", c);
        else
            fprintf(json->to, "\\u%04x", c);
    }
    fputc('"', json->to);
}

void rft_json_line(struct rft_json *json)
{
    json->line = true;
}

void rft_json_key(struct rft_json *json, const char *key)
{
    begin_member(json);
    quoted(json, key);
    fputs(": ", json->to);
    json->after_key = true;
}

void rft_json_string(struct rft_json *json, const char *text)
{
    if (!text) {
        rft_json_null(json);
        return;
    }
    begin_member(json);
    quoted(json, text);
}

void rft_json_uint(struct rft_json *json, uint64_t value)
{
    begin_member(json);
    fprintf(json->to, "%" PRIu64, value);
}

void rft_json_int(struct rft_json *json, int64_t value)
{
    begin_member(json);
    fprintf(json->to, "%" PRId64, value);
}

void rft_json_double(struct rft_json *json, double value)
{
    if (!isfinite(value)) {
        rft_json_null(json);
        return;
    }
    begin_member(json);
    char text[40];
    snprintf(text, sizeof text, "%.10g", value);
    /* A locale may print a decimal comma. */
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.';
    fputs(text, json->to);
}

void rft_json_bool(struct rft_json *json, bool value)
{
    begin_member(json);
    fputs(value ? "true" : "false", json->to);
}

void rft_json_null(struct rft_json *json)
{
    begin_member(json);
    fputs("null", json->to);
}

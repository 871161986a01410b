/* Marks in the JSON report, and which survivors were born after which. */
#ifndef RFT_REPORT_JSON_MARKS_H
#define RFT_REPORT_JSON_MARKS_H

#include "analyze/model.h"
#include "base/json.h"

struct json_born {
    uint64_t objects, bytes;
};

struct json_marks {
    struct moment *moments; /* the program's marks in the order of time */
    size_t count;
    struct json_born *born; /* of one site: before the first mark, after each */
};

/* Without memory no site tells of marks. */
void json_marks_init(struct json_marks *marks, const struct rft_model *model);
void json_marks_deinit(struct json_marks *marks);

/* The member `marks` of the document. */
void json_marks_write(struct rft_json *json, const struct rft_model *model);

/* The member `live_by_mark` of a site; none if the program has set no marks. */
void json_marks_of_site(struct rft_json *json, const struct rft_model *model,
                        const struct json_marks *marks, const struct rft_site *site);

#endif

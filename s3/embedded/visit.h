/* One request to the embedded store, from its headers to its answer. Handlers get it on a worker thread, signature
 * checked and body received, and answer exactly once. */
#pragma once

#include "base/buffer.h"
#include "s3/embedded/blobs.h"
#include "s3/embedded/catalog.h"
#include "s3/embedded/form.h"
#include "s3/embedded/intake.h"
#include "s3/embedded/problem.h"
#include "s3/server/http.h"
#include "s3/sign.h"

struct visit;

/* How a route takes the body. */
enum visit_body { VISIT_NONE, VISIT_XML, VISIT_OBJECT };

struct visit_route {
    const char *method;
    char level;         /* 's' service, 'b' bucket, 'k' key */
    const char *name;   /* a query parameter that must be there, or NULL */
    const char *also;   /* another one, or NULL */
    const char *header; /* a header that must be there, or NULL */
    enum visit_body body;
    void (*run)(struct visit *visit);
};

struct visit {
    struct http_request *request;
    struct catalog *catalog; /* borrowed, as blobs and region */
    struct blobs *blobs;
    const char *region;
    char *bucket, *key; /* owned, decoded; NULL: none */
    struct form query;
    const struct visit_route *route;
    struct sign_checked checked;
    struct intake *intake; /* owned; NULL without a body */
    char id[17];           /* for x-amz-request-id and the log */
    bool head;             /* method is HEAD */
};

/* Reads path and query. 0, -ENOMEM or enum problem. */
int visit_init(struct visit *visit, struct http_request *request);
void visit_finish(struct visit *visit);

const char *visit_header(const struct visit *visit, const char *name);
const char *visit_parameter(const struct visit *visit, const char *name); /* NULL if absent */
/* A number; fallback if absent. 0 or PROBLEM_INVALID_ARGUMENT. */
int visit_number(const struct visit *visit, const char *name, uint64_t fallback, uint64_t most, uint64_t *value);

/* An answer while it is made. Zero is an empty one. */
struct answer {
    int status;                /* 0: 200 */
    struct http_header *items; /* owned, with their values */
    char **names;              /* owned, each NULL where the name is a literal */
    size_t count, capacity;
    int error; /* -ENOMEM: goes out as an internal error */
};
void answer_set(struct answer *answer, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* name: made for the call, copied. */
void answer_set_copied(struct answer *answer, const char *name, const char *value);
void answer_drop(struct answer *answer, size_t index);
/* Each sends, once, and frees the answer. */
void answer_send_empty(struct visit *visit, struct answer *answer);
void answer_send_xml(struct visit *visit, struct answer *answer, struct buffer *xml); /* takes the xml */
/* rest holds the body, its kind and status. */
void answer_send_body(struct visit *visit, struct answer *answer, struct http_answer *rest);
void answer_send_problem(struct visit *visit, struct answer *answer, int problem);
/* Without headers of its own. */
void answer_problem(struct visit *visit, int problem);

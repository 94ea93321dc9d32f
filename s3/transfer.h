/* One HTTP request to an object store, streaming both ways over a pool of warm connections. Knows nothing of grants or
 * of S3's errors: the caller gives method, URL and headers as they must go out. The only place in s3/ that uses curl.
 *
 * HTTP/1.1, the path as it is, no redirects, netrc or cookies, http and https only, TLS always verified, a body always
 * with its length (never chunked), proxies of the environment except for loopback. Never logs a signed URL.
 *
 * transfer_create ignores SIGPIPE for the process if nobody else handles it: TLS writes to a closed connection raise
 * it. */
#pragma once

#include "base/error.h"
#include "s3/store.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transfer; /* the pool; thread-safe, any number of transfer_perform at once */

struct transfer_options {
    const char *ca_file;    /* a private authority; NULL: the system's. Copied */
    const char *user_agent; /* NULL: "pail/VERSION". Copied */
    unsigned connections;   /* most at once, further ones wait; 0: 64. Uploads take at most three quarters of them */
};

int transfer_create(struct transfer **out, const struct transfer_options *options);
void transfer_destroy(struct transfer *transfer); /* nothing may be under way */

struct transfer_header {
    const char *name; /* any case; content-length and expect are made here and skipped in the list */
    const char *value;
};

struct transfer_answer {
    int status;       /* HTTP; 0: none came */
    int64_t date_s;   /* of Date; 0 without */
    int64_t length;   /* of Content-Length; -1 without */
    uint64_t sunk;    /* bytes that the sink has taken */
    int64_t still_ms; /* for how long nothing had moved when it ended */
    char *etag;       /* owned, without quotes; NULL without */
    char *version;    /* owned: x-amz-version-id; NULL without, or if "null" */
    char *body; /* owned, NUL-terminated: of a 2xx without a sink, and the first 64 KiB of any other; may be NULL */
    size_t body_size; /* bytes */
    char *headers;    /* owned: see transfer_answer_next */
    size_t headers_size;
};
void transfer_answer_finish(struct transfer_answer *answer);
/* A header's value, borrowed from the answer; name in lower case. NULL without. */
const char *transfer_answer_header(const struct transfer_answer *answer, const char *name);
/* Walks: start with *position = 0; false at the end. Names come in lower case. */
bool transfer_answer_next(const struct transfer_answer *answer, size_t *position, struct transfer_header *header);

struct transfer_request {
    const char *method;
    const char *url; /* signed or not; never logged whole */
    const struct transfer_header *headers;
    size_t header_count;
    const struct store_source *body; /* NULL: none */
    /* Of a 2xx: begin once, when its headers are known (may be NULL), then the sink for each piece of the body (NULL:
     * collected in answer->body, at most max_body bytes). Non-zero from either ends the transfer, which returns it. */
    int (*begin)(void *context, const struct transfer_answer *answer);
    void *begin_context;
    const struct store_sink *sink;
    size_t max_body;               /* 0: 16 MiB */
    size_t expect;                 /* bytes that will probably come, for the buffer's size; 0: many */
    int64_t stall_ms;              /* without progress for this long: PAIL_OFFLINE; 0: 30,000 */
    const _Atomic bool *cancelled; /* NULL: never */
};

/* 0 whenever there was a whole HTTP answer, whatever its status. PAIL_OFFLINE: no answer, or one that was cut short
 * (answer->status and ->sunk tell how far it came), with a fault that says why. PAIL_CANCELLED within 100 ms of the
 * flag. PAIL_DAMAGED: a body larger than max_body. What begin, the sink or the source returned. -EINVAL: not a URL or
 * header that can be sent; -ENOMEM. *answer is filled in each case and is the caller's. */
int transfer_perform(struct transfer *transfer, const struct transfer_request *request, struct transfer_answer *answer,
                     struct fault *fault);

/* The server's own requests to the store: signed in the header, with small bodies. Thread-safe. */
#pragma once

#include "base/error.h"
#include "s3/server/credentials.h"
#include "s3/server/metrics.h"
#include "s3/sign.h"
#include "s3/transfer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct config;

struct remote {
    const struct config *config; /* borrowed, as all */
    struct transfer *transfer;
    struct credentials *credentials;
    struct sign_cache *signing;
    const _Atomic bool *cancelled; /* ends every request within 100 ms; NULL: never */
    struct metrics *metrics;       /* NULL: nothing is counted */
};

struct remote_request {
    const char *method;
    const char *bucket;            /* NULL: the service itself */
    const char *key;               /* NULL: the bucket itself */
    const struct sign_pair *query; /* raw */
    size_t query_count;
    const struct sign_pair *headers; /* names in lower case; x-amz-* are signed, others sent as they are */
    size_t header_count;
    const void *body; /* NULL: none */
    size_t body_size;
    const char *body_sha256; /* what is signed of the body; NULL: the truth */
    bool body_md5;           /* adds Content-MD5 */
    bool anonymous;          /* not signed at all */
    bool once;               /* no second try */
    bool ours;               /* what is asked for is the server's for sure: a 403 is about its keys */
    const struct lease *as;  /* NULL: the server's own keys */
    const char *sts;         /* not NULL: this is for STS, at this origin */
};

/* 0 whenever the store answered, whatever it said; PAIL_OFFLINE and so on as transfer_perform. 5xx and 429 are tried
 * again a few times; keys that were refused, when the server has others by now. *answer is the caller's in each case.
 */
int remote_perform(struct remote *remote, const struct remote_request *request, struct transfer_answer *answer,
                   struct fault *fault);
/* The same, expecting a 2xx: else *code gets S3's error code ("" if there is none; owned by the caller), and the fault
 * says what was refused. 0, PAIL_DENIED for any other answer, or as above. what: "creating the bucket". */
int remote_expect(struct remote *remote, const struct remote_request *request, const char *what,
                  struct transfer_answer *answer, char **code, struct fault *fault);
/* A pre-signed URL of the server's own, as clients get them, at the endpoint that the server uses. Owned. */
int remote_presign(struct remote *remote, const struct remote_request *request, unsigned expires_s, char **url,
                   struct fault *fault);
/* Sends method and url with these headers and nothing else: as a client would use a grant. */
int remote_send(struct remote *remote, const char *method, const char *url, const struct sign_pair *headers,
                size_t header_count, const void *body, size_t body_size, struct transfer_answer *answer,
                struct fault *fault);

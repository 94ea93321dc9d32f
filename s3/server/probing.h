/* Trying a store out: single requests on a probe bucket, by the server's own keys, told by status and ETag only. One
 * thread. */
#pragma once

#include "base/error.h"
#include "s3/server/remote.h"

#include <stdbool.h>
#include <stddef.h>

#define PROBING_ETAG 100

struct probing {
    struct remote *remote; /* borrowed */
    const char *bucket;    /* borrowed */
    char run[24];          /* what keys of this run begin with */
    unsigned keys;         /* counted, so that each trial has a fresh one */
    bool quoted;           /* ETags in conditions between quotes */
    int error;             /* the first that kept a request from being answered: everything after it is void */
    struct fault *fault;
};

struct probing_answer {
    int status;
    char etag[PROBING_ETAG]; /* "" without */
    char upload[600];        /* of create */
    bool failed;             /* 2xx with an <Error> in its body, or a failed key of a DeleteResult */
};

struct probing_request {
    const char *method, *key;
    struct sign_pair query[3], headers[4]; /* ended by a NULL name */
    const char *body;
    const char *sha256; /* signed in place of the body's own; NULL: its own */
};

void probing_start(struct probing *probing, struct remote *remote, const char *bucket, struct fault *fault);
void probing_key(struct probing *probing, char out[64]);
void probing_ask(struct probing *probing, const struct probing_request *request, struct probing_answer *answer);
/* Shorthands. put gives the status; etag "" when there is no object. */
int probing_put(struct probing *probing, const char *key, const char *body, struct sign_pair header);
void probing_etag(struct probing *probing, const char *key, char etag[PROBING_ETAG]);
/* As a condition holds it: between quotes or not. */
void probing_condition(const struct probing *probing, const char *etag, char out[PROBING_ETAG + 2]);
/* An object that is there, with its ETag as a condition. */
void probing_make(struct probing *probing, const char *body, char key[64], char condition[PROBING_ETAG + 2]);
bool probing_exists(struct probing *probing, const char *key);
void probing_abort(struct probing *probing, const char *key, const char *upload);
/* As x-amz-copy-source names it. */
void probing_source(const struct probing *probing, const char *key, char out[160]);

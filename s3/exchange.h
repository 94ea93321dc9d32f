/* One operation on the object store over all its attempts: a grant, a request, a verdict, and again while that may
 * help and the call's time allows. Used by one thread. */
#pragma once

#include "s3/grants.h"
#include "s3/retry.h"
#include "s3/status.h"
#include "s3/transfer.h"

#define EXCHANGE_EXTRAS 6

struct exchange {
    /* Set by the caller; all borrowed. */
    struct transfer *transfer;
    struct grants *grants;
    const struct store_call *call; /* may be NULL */
    enum status_operation operation;
    const char *verb, *key; /* for people: "read", "folder/file" */
    struct grants_item item;
    size_t url_index;                               /* in a run of parts */
    struct transfer_header extras[EXCHANGE_EXTRAS]; /* sent besides the grant's */
    size_t extra_count;
    const struct store_source *body; /* NULL: the grant's own, or none */
    size_t expect;                   /* bytes that will probably come */
    void *context;
    /* Before each attempt: sets the extras. EXCHANGE_DONE: nothing is left to do. NULL: nothing to set. */
    int (*prepare)(struct exchange *exchange);
    int (*begin)(void *context, const struct transfer_answer *answer); /* of a 2xx; as in transfer.h */
    const struct store_sink *sink;
    /* Of a 2xx that came whole: a status other than {0} is a failure all the same. NULL: it is good. */
    struct status (*judge)(struct exchange *exchange);
    /* The outcome; finished by exchange_finish. */
    struct transfer_answer answer; /* the last */
    uint64_t sunk;                 /* by all attempts */
    struct retry retry;
};

#define EXCHANGE_DONE (-EALREADY)

/* 0 or as in store.h, then with the call's fault set. The answer stays for the caller to look at. */
int exchange_run(struct exchange *exchange);
void exchange_finish(struct exchange *exchange);
/* The verdict on an S3 <Error> with this HTTP status; says it in the call's fault. For judge. */
struct status exchange_blame(struct exchange *exchange, int http, const char *code, const char *message);

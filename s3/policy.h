/* What an account may be granted: each item of POST /v1/grants is checked here, alone, and becomes a plan of the one
 * request that will be signed. Bucket and prefix come from the accounts table, never from the item. The client in
 * credentials mode plans by the same rules, so that both modes do the same. No I/O. Thread-safe. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "s3/sign.h"
#include "s3/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy {
    const char *bucket, *prefix; /* of the account; prefix "" or ending in '/' */
    bool quoted_etag;            /* how this store wants ETags in conditions */
    bool complete_size;          /* whether it honours x-amz-mp-object-size */
    /* Of a copy's source, where the item does not say: this version, or only with this ETag. NULL: any. */
    const char *source_version, *source_etag;
};

#define POLICY_MAX_HEADERS 80u

/* What some stores let only certain keys do: see struct proof. */
enum policy_kind { POLICY_USUAL, POLICY_DELETE_MANY, POLICY_PART_COPY };

/* The request to sign. Texts are borrowed from the item, or owned by `texts`. */
struct policy_plan {
    enum policy_kind kind;
    const char *op; /* of wire.h; static */
    const char *method;
    const char *key; /* NULL: the bucket itself */
    struct sign_pair query[10];
    size_t query_count;
    struct sign_pair signed_headers[POLICY_MAX_HEADERS]; /* signed, and to be sent; without host */
    size_t signed_count;
    struct sign_pair free_headers[8]; /* to be sent, not signed: content-type and its kin */
    size_t free_count;
    char *texts[16]; /* owned */
    size_t text_count;

    /* part: URLs for the part numbers first to first + count - 1 */
    bool is_run;
    unsigned first, count; /* count is 1 for every other operation */
    const char *last_size; /* text; NULL: like all others */
    size_t number_place;   /* of partNumber in query */
    size_t length_place;   /* of content-length in signed_headers */

    /* delete_many */
    char *body; /* owned; NULL: none */
    size_t body_size;
};
void policy_plan_finish(struct policy_plan *plan);

enum policy_result { POLICY_REFUSED = 1 }; /* 422; the fault says why */

/* How many URLs the item asks for, before anything else is known of it: for the limit of a batch. */
size_t policy_count(const struct json *item);
/* 0, POLICY_REFUSED with a fault, or -ENOMEM. item must outlive the plan. */
int policy_plan(const struct policy *policy, const struct json *item, struct policy_plan *plan, struct fault *fault);

/* Permissions to do one S3 request each: asked for in batches, kept until they are near their end, each minted once for
 * all who wait. Pre-signed URLs exist only in s3/ and are never logged. Thread-safe. */
#pragma once

#include "base/json.h"
#include "s3/store.h"
#include "s3/transfer.h"

#include <stdatomic.h>

/* An answered item; immutable, shared, valid until released. */
struct grant {
    const char *method;
    const char *const *urls; /* one; for a run of parts, one for each */
    size_t url_count;
    const struct transfer_header *headers; /* to be sent exactly */
    size_t header_count;
    const struct transfer_header *last_headers; /* of the last URL of a run; NULL: as the others */
    size_t last_header_count;
    const void *body; /* to be sent exactly; NULL: the caller's own */
    size_t body_size;
    int64_t expires_ms, life_ms; /* boot time */
};

/* What is asked for: an item of wire.h as JSON. The same text is the same grant. */
struct grants_item {
    const char *text; /* borrowed for the call */
    unsigned urls;    /* how many URLs it asks for; at least 1 */
    bool keep;        /* may serve later requests too */
};

/* Where grants come from: s3/mapping, or a test. Called by several threads at once. */
struct grants_mint {
    int (*mint)(void *context, const char *body, size_t size, const _Atomic bool *cancelled, struct json **answer,
                struct fault *fault);
    void *context;
    /* The store refused a grant with this URL. NULL: of no interest. */
    void (*refused)(void *context, const char *url);
};

struct grants;
/* most_bytes: of kept grants; 0: 16 MiB. */
int grants_create(struct grants **out, const struct grants_mint *mint, size_t most_bytes);
void grants_destroy(struct grants *grants); /* nobody may be waiting; every grant must have been released */

/* 0 and *out, to be released; or, as in store.h: PAIL_OFFLINE (no answer, or not within the call's stall_ms),
 * PAIL_BUSY, PAIL_LOGIN_REQUIRED, PAIL_DENIED, PAIL_QUOTA, PAIL_TOO_LARGE, PAIL_UNSUPPORTED, PAIL_CANCELLED, ... A kept
 * one that is good is given at once, also when the mapping server is away. */
int grants_get(struct grants *grants, const struct grants_item *item, int64_t wait_ms, const _Atomic bool *cancelled,
               const struct grant **out, struct fault *fault);
void grants_release(struct grants *grants, const struct grant *grant); /* NULL is fine */
/* Asks in the background for those that are not there; only kept ones make sense. */
void grants_want(struct grants *grants, const struct grants_item *items, size_t count);
/* The store refused this grant: it is given to nobody any more. */
void grants_refused(struct grants *grants, const struct grants_item *item, const struct grant *grant);

/* Is this access token good? RFC 7519, 8725, 9068 and Auth0's shapes (login.md). Thread-safe. */
#pragma once

#include "auth/fetch.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verify_result {
    VERIFY_REFUSED = 1, /* 401: the token is not good; the fault says why, for the log */
    VERIFY_UNPROVEN,    /* 503 with Retry-After: its key cannot be looked up right now */
    VERIFY_UNVERIFIED,  /* 403: no email, or email_verified is not true; the fault is for the person */
};

struct verify_options {
    const char *issuer; /* exact, trailing slash included */
    const char *audience;
    const char *const *clients; /* allowed azp/client_id; count 0: any */
    size_t client_count;
    const char *const *email_claims; /* in order; "NAMESPACE/email" has "NAMESPACE/email_verified" beside it */
    size_t email_claim_count;
    struct fetch *fetch; /* borrowed; for discovery, JWKS and /userinfo */
    unsigned refetch_s;  /* an unknown key is asked for at most this often; 0: 30 */
    unsigned cache_s;    /* keys are believed for this long, and longer only while the issuer is down; 0: 600 */
};

struct verify_claims {
    char *subject;
    char *email;         /* as claimed; NULL if the token has none: ask verify_userinfo, or the users table */
    bool email_verified; /* whenever there is an email */
    int64_t expires_s;   /* Unix */
    uint64_t generation; /* of the key set that proved it: see verify_generation */
};
void verify_claims_finish(struct verify_claims *claims);

struct verify;
int verify_create(struct verify **out, const struct verify_options *options, struct fault *fault);
void verify_destroy(struct verify *verify);
/* Fetches discovery and JWKS now: for --check and readiness. 0 or PAIL_OFFLINE, PAIL_DAMAGED with a fault. */
int verify_prepare(struct verify *verify, struct fault *fault);
/* 0 or enum verify_result, or -ENOMEM. token need not be terminated. */
int verify_token(struct verify *verify, const char *token, size_t size, struct verify_claims *claims,
                 struct fault *fault);
/* Asks the issuer's /userinfo with that token for the email; its sub must be the token's. 0 or enum verify_result. */
int verify_userinfo(struct verify *verify, const char *token, struct verify_claims *claims, struct fault *fault);
/* Grows each time the key set changes: a remembered result is good only for the generation that proved it. */
uint64_t verify_generation(struct verify *verify);
int64_t verify_keys_age_s(struct verify *verify); /* -1: none yet */

/* Which bucket is mine: the answer of the mapping server, kept so that a mount can start without it. */
#pragma once

#include "auth/fetch.h"
#include "base/json.h"
#include "s3/store.h"

struct mapping_bucket {
    char *name, *prefix, *region, *endpoint; /* owned; prefix is "" or ends in '/' */
    bool virtual_style;                      /* bucket in the host name */
};

struct mapping_session {
    char *account; /* the server's id of the account */
    char *email;
    struct mapping_bucket bucket;
    int64_t quota_limit, quota_used; /* bytes; limit 0: none */
    struct store_features features;
    int64_t server_time_s;
};
void mapping_session_finish(struct mapping_session *session);
/* As JSON, for the state folder. NULL without memory. */
char *mapping_session_print(const struct mapping_session *session);
/* 0, -ENOMEM, or PAIL_DAMAGED when it is not such an answer. */
int mapping_session_parse(const char *text, size_t size, struct mapping_session *out);

struct mapping;
/* server: the server's base URL. fetch: borrowed, adds the bearer token. */
int mapping_create(struct mapping **out, struct fetch *fetch, const char *server);
void mapping_destroy(struct mapping *mapping);
/* POST /v1/session. Thread-safe. Errors as in store.h; PAIL_BUSY as below, after 5 s at most. The answer also becomes
 * what mapping_known gives. */
int mapping_refresh(struct mapping *mapping, struct mapping_session *out, struct fault *fault);
/* Starts from a kept answer. */
int mapping_restore(struct mapping *mapping, const struct mapping_session *session);
/* The last answer, copied; -ENODATA if there is none yet. */
int mapping_known(struct mapping *mapping, struct mapping_session *out);
/* The features of the last answer; all false if there is none yet. Thread-safe. */
void mapping_features(struct mapping *mapping, struct store_features *out);
/* GET /v1/credentials: temporary keys for this account. */
struct mapping_keys {
    char *access_key, *secret_key, *session_token; /* owned */
    int64_t expires_in_s, server_time_s;
    bool grant_delete_many, grant_part_copy; /* what these keys may not do on this store: grants are asked for */
};
void mapping_keys_finish(struct mapping_keys *keys); /* wipes */
/* Thread-safe. Errors as in store.h; PAIL_UNSUPPORTED: the server lends none, PAIL_QUOTA: not to an account with a
 * quota; then grants serve. cancelled may be NULL. */
int mapping_credentials(struct mapping *mapping, const _Atomic bool *cancelled, struct mapping_keys *out,
                        struct fault *fault);
/* POST /v1/grants with a body in wire.h's form; *answer is owned by the caller. Thread-safe. Errors as in store.h;
 * PAIL_BUSY: too many requests (429), even after waiting as long as the server said, up to 25 s; in the meantime nobody
 * asks it. The answer has its "request_id" where the server names one. cancelled may be NULL. */
int mapping_grants(struct mapping *mapping, const char *body, size_t size, const _Atomic bool *cancelled,
                   struct json **answer, struct fault *fault);

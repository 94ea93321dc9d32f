/* AWS Signature Version 4 (AWS, "Signature Version 4 signing process", S3's variant: the path is encoded once and never
 * normalised), in the query and in the header; and checking one that came in. Used by the server, by the embedded store
 * and by tests. Thread-safe. Errors: 0, -ENOMEM, -EINVAL for what cannot be signed. */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sign_credentials {
    const char *access_key, *secret_key;
    const char *session_token; /* NULL for long-lived keys */
    const char *region;
    const char *service; /* "s3", "sts" */
};

struct sign_pair {
    const char *name;  /* headers: lower case */
    const char *value; /* raw, not encoded; NULL for a query parameter without "=" */
};

struct sign_request {
    const char *method;
    const char *scheme_host; /* "https://bucket.s3.eu-central-1.amazonaws.com" or "http://127.0.0.1:7480" (no slash) */
    const char *path;        /* raw bytes, begins with '/': "/bucket/key" in path style, "/key" in virtual style */
    size_t path_size;
    const struct sign_pair *query; /* raw; any order; without X-Amz-* */
    size_t query_count;
    const struct sign_pair *headers; /* signed besides host */
    size_t header_count;
    int64_t time_s; /* now */
};

/* The derived key, kept for the day; one may be shared by threads. */
struct sign_cache;
int sign_cache_create(struct sign_cache **out);
void sign_cache_destroy(struct sign_cache *cache); /* NULL is fine */

/* The whole pre-signed URL with UNSIGNED-PAYLOAD, good for expires_s (1 to 604,800). *url is owned by the caller.
 * cache may be NULL here and below: the key is then derived anew. */
int sign_url(const struct sign_credentials *credentials, struct sign_cache *cache, const struct sign_request *request,
             unsigned expires_s, char **url);
/* The same behind what out holds already. It is a URL: nothing in it needs escaping in JSON. */
int sign_url_append(const struct sign_credentials *credentials, struct sign_cache *cache,
                    const struct sign_request *request, unsigned expires_s, struct buffer *out);

/* The header form. payload_sha256 is lower-case hex, or "UNSIGNED-PAYLOAD". *url has no signature in it; *authorization
 * and date (x-amz-date) go into headers, as do x-amz-content-sha256 and x-amz-security-token, which are signed with the
 * others. */
int sign_headers(const struct sign_credentials *credentials, struct sign_cache *cache,
                 const struct sign_request *request, const char *payload_sha256, char **url, char **authorization,
                 char date[17]);

/* One piece for tests against AWS's published examples: the canonical request of the header form. */
int sign_canonical(const struct sign_request *request, const char *payload_sha256, char **canonical);

/* Checking a request that came in (embedded store). */
enum sign_verdict {
    SIGN_MISSING = 1,     /* anonymous: no signature at all */
    SIGN_MALFORMED,       /* 400 AuthorizationQueryParametersError / AuthorizationHeaderMalformed */
    SIGN_UNKNOWN_KEY,     /* 403 InvalidAccessKeyId */
    SIGN_MISMATCH,        /* 403 SignatureDoesNotMatch */
    SIGN_EXPIRED,         /* 403 AccessDenied "Request has expired" */
    SIGN_SKEWED,          /* 403 RequestTimeTooSkewed */
    SIGN_UNSIGNED_HEADER, /* 403 AccessDenied: an x-amz-* header that is not signed */
};

struct sign_incoming {
    const char *method;
    const char *raw_path;            /* as it stands in the request line, still encoded */
    const char *raw_query;           /* without '?', still encoded; "" for none */
    const struct sign_pair *headers; /* all of them, names in lower case */
    size_t header_count;
    int64_t now_s;
};

/* What a good signature says. */
struct sign_checked {
    char *payload_sha256; /* owned: "UNSIGNED-PAYLOAD", a hex SHA-256, or "STREAMING-..." */
    /* The start of a chain of chunk signatures (STREAMING-AWS4-HMAC-SHA256-PAYLOAD): */
    char date[17], scope[160], previous[65];
    unsigned char key[32];
};
void sign_checked_finish(struct sign_checked *checked); /* wipes */

/* 0: signed by these credentials; or enum sign_verdict. */
int sign_check(const struct sign_credentials *credentials, struct sign_cache *cache,
               const struct sign_incoming *incoming, struct sign_checked *checked);
/* The next chunk of a STREAMING- body, with the SHA-256 of its bytes (AWS, "Signature calculations ... transferring
 * payload in multiple chunks"); trailer: of the trailing headers' text instead. 0 or SIGN_MISMATCH. */
int sign_check_chunk(struct sign_checked *checked, bool trailer, const char *sha256, const char *signature);

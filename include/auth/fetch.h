/* Small requests over HTTPS: JSON to and from the issuer and the mapping server. curl is used in fetch.c (and
 * s3/transfer.c) only. TLS is verified always; plain http only to loopback addresses; no redirect is followed; answers
 * are bounded. */
#pragma once

#include "base/error.h"
#include "base/json.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch;

/* Where bearer tokens come from. Borrowed by value: context must outlive the fetch. auth/session.h makes one; the
 * server has none, and so needs no vault. */
struct fetch_tokens {
    void *context;
    /* A token that is good now: *token is owned by the caller, who wipes it. refused: NULL, or the token that the
     * server just answered 401 to, so that a newer one is wanted. PAIL_LOGIN_REQUIRED, PAIL_OFFLINE, ... Thread-safe.
     */
    int (*get)(void *context, const char *refused, char **token, struct fault *fault);
};

struct fetch_options {
    const char *ca_file;        /* a private authority; NULL: the system's. Copied */
    const char *user_agent;     /* copied; NULL: "pail" */
    struct fetch_tokens tokens; /* for requests marked authorized; get NULL: none are */
    int timeout_ms;             /* of a whole request; 0: 30,000 */
    size_t max_answer;          /* bytes; 0: 4 MiB */
};

/* Thread-safe: any number of fetch_perform at once, over a pool of warm connections. */
int fetch_create(struct fetch **out, const struct fetch_options *options);
void fetch_destroy(struct fetch *fetch);

struct fetch_request {
    const char *method; /* "GET", "POST" */
    const char *url;
    const char *content_type; /* with a body: "application/json" or "application/x-www-form-urlencoded" */
    const void *body;         /* borrowed; NULL: none */
    size_t body_size;
    bool authorized;               /* with a token of `tokens`; a 401 gets one fresh token and one more try */
    bool secret_answer;            /* wipe buffers that held the answer */
    const char *bearer;            /* a token given by the caller (server: /userinfo); NULL: none */
    const _Atomic bool *cancelled; /* NULL: never */
};

struct fetch_answer {
    int status; /* HTTP */
    char *body; /* owned, NUL-terminated */
    size_t size;
    struct json *json;     /* owned; NULL when the body is not JSON */
    int64_t retry_after_s; /* of a Retry-After header; -1 without */
    int64_t date_s;        /* of Date, with Age on top (RFC 9111 4.2.3); 0 without */
    int64_t max_age_s;     /* of Cache-Control: max-age; -1 without */
    char *request_id;      /* of X-Request-Id; NULL without */
    char *location;        /* of Location, owned; NULL without. Nothing is followed: it may hold a secret */
};
void fetch_answer_finish(struct fetch_answer *answer); /* wipes */
/* How far the clock of who answered is before ours, if the answer has just come; 0 when it does not tell. */
int64_t fetch_clock_ahead_s(const struct fetch_answer *answer);

/* 0 whenever there was an HTTP answer, whatever its status. PAIL_OFFLINE: no answer (the fault says why: name not
 * found, refused, TLS, time out). What tokens.get gave, when it had no token. PAIL_DAMAGED: larger than
 * max_answer. PAIL_DENIED: plain http to an address that is not loopback. PAIL_CANCELLED. */
int fetch_perform(struct fetch *fetch, const struct fetch_request *request, struct fetch_answer *answer,
                  struct fault *fault);

/* Whether the URL is https, or http to 127.0.0.0/8, [::1] or localhost. */
bool fetch_url_allowed(const char *url);
bool fetch_url_is_loopback(const char *url);
/* "https://host[:port]" in lower case without a default port; the caller frees; NULL if it is not such a URL. */
char *fetch_url_origin(const char *url);

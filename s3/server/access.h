/* From a request's bearer token to the account, and whether they ask too often. Thread-safe. */
#pragma once

#include "s3/server/http.h"
#include "s3/server/inside.h"

struct access {
    const char *token; /* borrowed from the request's headers */
    size_t size;
    unsigned char hash[32];
};

struct route;
/* What is known of a request from its headers on: its own. */
struct asked {
    const struct route *route; /* NULL: there is none */
    struct limits_origin origin;
    struct access access; /* token NULL: it brings none */
    char account[40];     /* whose it is, as far as known; for the log */
};

/* On an event thread, before the body. False: answered, since the account or the address asks too often. */
bool access_admit(struct server *server, struct http_request *request, struct asked *asked);
/* Whether the account may have so many URLs now. False: answered. */
bool access_admit_urls(struct server *server, struct http_request *request, int64_t account, size_t urls);

/* Reads the Authorization header. False: there is none; it was answered with 401. */
bool access_read(struct http_request *request, struct access *access);
/* Verifies the token; on refusal it answers, and returns false. May wait for the issuer. */
bool access_verify(struct server *server, struct http_request *request, const struct access *access,
                   struct verify_claims *claims);
/* The account of the request, remembered or found now, held for the caller. On an event thread only what needs no
 * waiting: else NULL and *moved, which is false on entry. NULL without that: answered. The account is
 * ready and not suspended. */
struct known *access_find(struct server *server, struct http_request *request, bool *moved);
/* Answers, and returns false, unless the account may be used. */
bool access_check_user(struct http_request *request, const struct user *user);

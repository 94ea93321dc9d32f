/* What an issuer says of itself (OpenID Connect Discovery 1.0, RFC 8414), and what a Pail server says of its issuer.
 * Thread-safe. */
#pragma once

#include "auth/fetch.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct discovery {
    char *issuer; /* owned, as all of them; exactly as asked for */
    char *authorization_url, *token_url;
    char *keys_url;       /* its public keys */
    char *revocation_url; /* NULL: the issuer has none */
    char *device_url;     /* NULL: it has no device flow (RFC 8628 4) */
    bool names_itself;    /* each authorization response carries iss (RFC 9207) */
};
void discovery_finish(struct discovery *discovery);

/* 0, PAIL_OFFLINE, PAIL_CANCELLED; PAIL_DAMAGED: it is not the issuer it should be, or cannot do what Pail needs. */
int discovery_fetch(struct discovery *out, struct fetch *fetch, const char *issuer, const _Atomic bool *cancelled,
                    struct fault *fault);

/* The document alone, once it has come. 0, -ENOMEM, PAIL_DAMAGED; the caller finishes *out in any case. */
int discovery_read(struct discovery *out, const struct json *json, const char *issuer, struct fault *fault);

/* The server's /.well-known/pail-configuration (s3/wire.h has the contract; auth may not know s3). */
struct configuration {
    char *issuer, *client_id, *audience;
    char *scopes;          /* separated by spaces; always with openid and offline_access */
    unsigned short *ports; /* for the loopback redirect */
    size_t port_count;     /* 1 to 16 */
};
void configuration_finish(struct configuration *configuration);
/* server: base URL without a slash at its end. Errors as above. */
int configuration_fetch(struct configuration *out, struct fetch *fetch, const char *server,
                        const _Atomic bool *cancelled, struct fault *fault);
/* As discovery_read. */
int configuration_read(struct configuration *out, const struct json *json, struct fault *fault);

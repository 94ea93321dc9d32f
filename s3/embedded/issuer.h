/* A login issuer (OpenID provider) for one machine, in the shape of an Auth0 tenant: authorization code with PKCE,
 * rotating refresh tokens. On loopback, answering its own address only. Whoever brings the login secret may be anybody
 * they say: it is the machine's owner, who has the files anyway. */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct issuer;

struct issuer_options {
    const char *folder; /* for its key and sessions; made if needed, 0700 */
    uint16_t port;      /* 0: a free one */
    const char *client_id, *audience;
    const uint16_t *callback_ports; /* of http://127.0.0.1:PORT/callback */
    size_t callback_port_count;
    const char *secret;    /* 32 characters or more */
    unsigned token_life_s; /* of access tokens; 0: 3,600 */
    unsigned overlap_s;    /* a used refresh token is good for so long; 0: 10 */
};

/* 0 or -errno with a fault. */
int issuer_create(struct issuer **out, const struct issuer_options *options, struct fault *fault);
/* "http://127.0.0.1:PORT/", borrowed. */
const char *issuer_url(const struct issuer *issuer);
uint16_t issuer_port(const struct issuer *issuer);
void issuer_destroy(struct issuer *issuer); /* NULL is fine */

/* Who logged in: the ID token that came with the code's exchange (OpenID Connect Core 3.1.3.7). Thread-safe. */
#pragma once

#include "auth/jwks.h"
#include "base/error.h"

#include <stdint.h>

struct id_token_expected {
    const char *issuer, *client_id;
    const char *nonce; /* NULL: it was asked for in a way that has none (RFC 8628) */
    int64_t now_s;     /* Unix */
};

struct id_token {
    char *subject; /* owned */
    char *email;   /* owned; NULL when not told. For showing only: the server decides by its own check */
};
void id_token_finish(struct id_token *id_token);

/* Signature and every claim. 0, -ENOMEM, or PAIL_DENIED with a fault that says what is wrong with it. */
int id_token_check(struct id_token *out, const char *token, const struct jwks *keys,
                   const struct id_token_expected *expected, struct fault *fault);

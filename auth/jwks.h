/* A set of public keys (RFC 7517), as an issuer publishes it. Immutable after parsing, hence thread-safe. */
#pragma once

#include "auth/jwt.h"
#include "base/error.h"
#include "base/json.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#define JWKS_MAX_KEYS 100u

struct jwks_key {
    char *id; /* owned; NULL without kid */
    enum jwt_algorithm algorithm;
    EVP_PKEY *public; /* owned */
};

struct jwks {
    struct jwks_key *keys; /* owned */
    size_t count;
};

/* Keys that cannot be used (other types, RSA below 2,048 bits, curves but P-256, not for signatures) are passed over.
 * 0, -ENOMEM, or PAIL_DAMAGED with a fault when it is no key set, or not one key can be used. */
int jwks_parse(struct jwks **out, const struct json *document, struct fault *fault);
void jwks_destroy(struct jwks *jwks);
bool jwks_equal(const struct jwks *a, const struct jwks *b); /* in the same order */

/* The key for this token, borrowed, or NULL. A token without kid fits only where one key of its algorithm is there. */
const struct jwks_key *jwks_find(const struct jwks *jwks, const struct jwt *jwt);
/* Whether the set has a key of this name, whatever its type. */
bool jwks_has(const struct jwks *jwks, const char *id);

static inline void jwks_destroy_p(struct jwks **jwks) {
    jwks_destroy(*jwks);
}

/* A JSON Web Token in its compact form: taken apart, and its signature checked (RFC 7515, 7518, 8725). Knows nothing of
 * what the claims mean. Thread-safe. */
#pragma once

#include "base/error.h"
#include "base/json.h"

#include <stddef.h>

#define JWT_MAX_SIZE 16384u /* of a token; larger ones are refused unread */

enum jwt_algorithm { JWT_RS256 = 1, JWT_ES256 }; /* all that is allowed: no "none", no HS*, no other hash or padding */

enum jwt_result { JWT_MALFORMED = 1, JWT_FORBIDDEN /* an algorithm or header that is not allowed */, JWT_FORGED };

struct jwt {
    struct json *header, *claims; /* owned */
    enum jwt_algorithm algorithm;
    const char *key_id;       /* borrowed from header; NULL without */
    const char *signed_part;  /* borrowed from the token */
    size_t signed_size;       /* bytes */
    unsigned char *signature; /* owned */
    size_t signature_size;    /* bytes */
};
void jwt_finish(struct jwt *jwt);

/* 0, JWT_MALFORMED or JWT_FORBIDDEN with a fault, -ENOMEM. token must outlive *out. */
int jwt_parse(struct jwt *out, const char *token, size_t size, struct fault *fault);
/* "RS256" and "ES256"; 0 for any other text, and for NULL. */
enum jwt_algorithm jwt_algorithm_of(const char *name);

struct jwks_key;
/* 0 or JWT_FORGED. The key says which algorithm it is for; another one in the token is JWT_FORGED too. */
int jwt_check(const struct jwt *jwt, const struct jwks_key *key);

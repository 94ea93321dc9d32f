/* The issuer's signing key (RSA, RS256), kept in a file, and the tokens that it signs. Thread-safe. */
#pragma once

#include "base/error.h"
#include "base/json.h"

struct issuer_key;

/* Reads the key from path, or makes one and writes it there (0600). */
int issuer_key_open(struct issuer_key **out, const char *path, struct fault *fault);
void issuer_key_close(struct issuer_key *key); /* NULL is fine */
/* {"keys":[...]}; the caller frees. NULL without memory. */
struct json *issuer_key_set(const struct issuer_key *key);
/* A JWT (RFC 7519) with these claims; the caller frees, as a secret. 0, -ENOMEM, -EIO. */
int issuer_key_sign(const struct issuer_key *key, const struct json *claims, char **token);

/* Keys and tokens for tests, made with OpenSSL, good and forged; and an issuer that publishes the keys. Everything
 * aborts on failure: these are tests. Texts are the caller's. */
#pragma once

#include <openssl/types.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

EVP_PKEY *forge_rsa(unsigned bits);
EVP_PKEY *forge_p256(void);

/* A JWK; more: further members, beginning with ',', or "". */
char *forge_jwk(EVP_PKEY *key, const char *kid, const char *more);

/* base64url(header) . base64url(claims), unsigned, with the dot at the end. */
char *forge_unsigned(const char *header, const char *claims);
/* The whole token, signed as RS256 or ES256 by the key's type. */
char *forge_token(EVP_PKEY *key, const char *header, const char *claims);
/* The same with a digest and padding of the test's choice: RS512, PS256, ... */
char *forge_token_as(EVP_PKEY *key, const char *digest, bool pss, const char *header, const char *claims);
/* A signature of text: for EC keys raw as in JWS, or as DER. */
unsigned char *forge_signature(EVP_PKEY *key, const char *text, bool der, size_t *size);

#define FORGE_NO_TIME (-1000000)

/* An issuer on loopback. documents are read under no lock: change them only between requests, or through the atomics.
 */
struct forge_issuer {
    struct http_stub *stub;
    char url[64];                           /* of the issuer, with a slash at the end */
    char *_Atomic keys;                     /* the JWK set; borrowed */
    char *_Atomic userinfo;                 /* its body; borrowed; NULL: 401 */
    char *_Atomic named;                    /* the issuer in the discovery document; NULL: url */
    atomic_int status;                      /* of every answer; 0: 200 */
    atomic_int delay_ms;                    /* of the key set */
    atomic_int clock_ahead_s;               /* before the machine's clock; FORGE_NO_TIME: it does not say */
    atomic_uint discovered, fetched, asked; /* requests of each kind */
    atomic_uint elsewhere;                  /* and of none */
};
void forge_issuer_start(struct forge_issuer *issuer);
void forge_issuer_stop(struct forge_issuer *issuer);

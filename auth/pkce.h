/* Fresh secrets of one attempt to log in (RFC 7636; OpenID Connect Core 3.1.2.1). Thread-safe. */
#pragma once

#include <stddef.h>

#define PKCE_TEXT 44 /* 32 bytes as base64url, and a NUL */

struct pkce {
    char verifier[PKCE_TEXT];  /* stays here until the code is exchanged */
    char challenge[PKCE_TEXT]; /* S256 of the verifier */
    char state[PKCE_TEXT];     /* comes back with the answer; nobody else knows it */
    char nonce[PKCE_TEXT];     /* comes back in the ID token */
};

/* 0 or -ENOMEM. */
int pkce_make(struct pkce *out);
void pkce_wipe(struct pkce *pkce);

/* RFC 7636 4.2. -ENOMEM. */
int pkce_challenge(const char *verifier, char out[PKCE_TEXT]);
/* The first `digits` (64 at most) hex digits of SHA-256, and a NUL. -ENOMEM. */
int pkce_hash_hex(const void *data, size_t size, char *out, size_t digits);

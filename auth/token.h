/* The tokens of one login: asking the issuer for them, and their form in the vault. Thread-safe. */
#pragma once

#include "auth/discovery.h"
#include "auth/fetch.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct token_set {
    char *access, *refresh; /* owned secrets */
    char *id;               /* owned secret; only fresh from a login, never kept */
    int64_t obtained_s;     /* CLOCK_BOOTTIME, which counts sleep */
    int64_t life_s;         /* of the access token */
    char boot[40];          /* the boot that obtained_s counts from */
};
void token_set_finish(struct token_set *set); /* wipes */

/* As JSON for the vault; the caller wipes it. NULL without memory. */
char *token_set_print(const struct token_set *set);
/* 0, -ENOMEM, -EBADMSG. */
int token_set_parse(const char *text, struct token_set *out);

/* Seconds that the access token is still good for: 0 or less when over, unknown, or of another boot. */
int64_t token_set_left_s(const struct token_set *set);
/* Before about 80 % of its life. */
bool token_set_is_young(const struct token_set *set);

struct token_code {
    const char *code, *verifier, *redirect_uri, *client_id;
};
/* RFC 6749 4.1.3 and RFC 7636 4.5. 0, PAIL_OFFLINE, PAIL_CANCELLED, PAIL_DENIED (the issuer refused the code),
 * PAIL_DAMAGED (an answer that Pail cannot use: no refresh token, for one). */
int token_exchange(struct token_set *out, struct fetch *fetch, const char *token_url, const struct token_code *code,
                   const _Atomic bool *cancelled, struct fault *fault);

struct token_poll {
    bool slow_down;        /* ask less often from now on */
    int64_t retry_after_s; /* the issuer's wish; -1 without */
};
/* RFC 8628 3.4 and 3.5: whether the person has typed the code. As token_exchange, and PAIL_BUSY: not yet; -ETIMEDOUT:
 * the code has expired. */
int token_poll(struct token_set *out, struct fetch *fetch, const char *token_url, const char *client_id,
               const char *device_code, const _Atomic bool *cancelled, struct token_poll *poll, struct fault *fault);

/* RFC 6749 6. The old refresh token is kept where the issuer sends no new one. PAIL_LOGIN_REQUIRED for invalid_grant
 * and nothing else; PAIL_OFFLINE for all that may pass: then *retry_after_s is the issuer's wish, or -1. */
int token_refresh(struct token_set *out, struct fetch *fetch, const char *token_url, const char *client_id,
                  const char *refresh, int64_t *retry_after_s, struct fault *fault);

/* RFC 7009. */
int token_revoke(struct fetch *fetch, const char *revocation_url, const char *client_id, const char *refresh,
                 struct fault *fault);

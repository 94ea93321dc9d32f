/* A bearer token that is always fresh: refreshed once for all threads and processes (a lock file beside the vault), the
 * new refresh token stored before the access token is used. Thread-safe. The token itself never leaves auth/: fetch.c
 * takes it. */
#pragma once

#include "auth/account.h"
#include "auth/fetch.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct session;

enum session_state {
    SESSION_FRESH,          /* has a good token, or can get one */
    SESSION_OFFLINE,        /* the issuer does not answer; goes on trying when asked */
    SESSION_LOGIN_REQUIRED, /* refused for good (invalid_grant), or nothing in the vault */
    SESSION_VAULT_CLOSED,   /* the keyring is locked or gone; tried again when asked */
};

/* Looks into the vault; asks nobody. 0 also when a login is needed or the vault is closed: see session_state. account
 * is copied. To be called after the process's last fork: the keyring's library has threads. */
int session_create(struct session **out, const struct account *account, struct fault *fault);
void session_destroy(struct session *session); /* after every fetch that uses it */
/* As the last request for a token left it. Never waits. *fault (NULL: not wanted) says why, when it is not fresh. */
enum session_state session_state(struct session *session, struct fault *fault);
/* For fetch_options.tokens; borrows the session. Its get gives 0, PAIL_LOGIN_REQUIRED, PAIL_OFFLINE (for a closed vault
 * too: the fault tells them apart), PAIL_BUSY (another process renews the token and does not end) or -errno. */
struct fetch_tokens session_tokens(struct session *session);

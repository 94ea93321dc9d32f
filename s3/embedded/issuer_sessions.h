/* What the issuer remembers: logins under way (for minutes, in memory) and sessions with their refresh tokens (on
 * disk, hashes only). Thread-safe. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct issuer_sessions;

/* path: the file that keeps sessions; need not be there yet. */
int issuer_sessions_open(struct issuer_sessions **out, const char *path, unsigned overlap_s, struct fault *fault);
void issuer_sessions_close(struct issuer_sessions *sessions); /* NULL is fine */

/* A ticket lets one login begin within five minutes. */
int issuer_sessions_give_ticket(struct issuer_sessions *sessions, char **ticket); /* owned by the caller, a secret */
bool issuer_sessions_take_ticket(struct issuer_sessions *sessions, const char *ticket); /* it is used up */

/* One authorization request, and then its code. All texts owned; those that were absent are NULL. */
struct issuer_login {
    char *redirect_uri, *state, *nonce, *challenge, *scope, *email;
};
void issuer_login_finish(struct issuer_login *login);

/* Keeps it (taking it over) under a new handle, for ten minutes: the page carries it. */
int issuer_sessions_begin(struct issuer_sessions *sessions, struct issuer_login *login, char **handle);
bool issuer_sessions_knows(struct issuer_sessions *sessions, const char *handle);
/* The person said who they are: the handle is used up; *code is good once, for a minute. *login receives a copy.
 * -ENOENT: too late, or used. */
int issuer_sessions_grant(struct issuer_sessions *sessions, const char *handle, const char *email, char **code,
                          struct issuer_login *login);
/* Redeems a code. -ENOENT: it is none, or used: then the session that came of it ends (RFC 6749, 4.1.2). */
int issuer_sessions_redeem(struct issuer_sessions *sessions, const char *code, struct issuer_login *login);

/* A session as its refresh token's bearer is told. */
struct issuer_session {
    char *email, *scope; /* owned */
    char *refresh_token; /* owned secret; the next one */
};
void issuer_session_finish(struct issuer_session *session);
/* A new session, kept on disk when this returns. code: what it came of. */
int issuer_sessions_start(struct issuer_sessions *sessions, const struct issuer_login *login, const char *code,
                          struct issuer_session *out);
/* Rotates. -ENOENT: unknown or ended; one that was used before, and not just now, ends its session. */
int issuer_sessions_refresh(struct issuer_sessions *sessions, const char *token, struct issuer_session *out);
int issuer_sessions_revoke(struct issuer_sessions *sessions, const char *token);
/* Who logged in last, for the page; the caller frees; NULL: nobody. */
char *issuer_sessions_last_email(struct issuer_sessions *sessions);

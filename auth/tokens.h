/* What session.c and login.c share: an account's tokens in its vault, under the lock that keeps processes apart. */
#pragma once

#include "auth/account.h"
#include "auth/token.h"
#include "auth/vault.h"

/* Takes the lock file beside the vault; closing *fd lets it go. 0, PAIL_BUSY when another process held it all the time,
 * -errno; *fd is -1 then. */
int tokens_lock(const struct account *account, int wait_ms, int *fd, struct fault *fault);
/* 0, -ENOENT, VAULT_CLOSED, -errno. What cannot be understood is -ENOENT too: only a new login helps. */
int tokens_load(struct vault *vault, const struct account *account, struct token_set *out, struct fault *fault);
int tokens_store(struct vault *vault, const struct account *account, const struct token_set *set, struct fault *fault);

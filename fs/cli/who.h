/* Who is logged in and which bucket is theirs: asked of the mapping server, for login and whoami. */
#pragma once

#include "auth/account.h"
#include "auth/session.h"
#include "base/error.h"
#include "fs/cli/command.h"
#include "s3/mapping.h"

/* Asks with the account's login. 0, PAIL_LOGIN_REQUIRED, PAIL_OFFLINE, PAIL_DENIED, ... with a fault; *state (NULL: not
 * wanted) is how the login was found. */
int who_ask(const struct account *account, struct mapping_session *out, enum session_state *state, struct fault *fault);
/* "email at server, bucket". session NULL: without what only the server knows. */
void who_print(struct cli *cli, const struct account *account, const struct mapping_session *session);

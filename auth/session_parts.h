/* Making a session out of parts: for tests, which bring their own vault. */
#pragma once

#include "auth/session.h"
#include "auth/vault.h"

/* vault is the session's from here on, also on failure. */
int session_create_with(struct session **out, const struct account *account, struct vault *vault, struct fault *fault);

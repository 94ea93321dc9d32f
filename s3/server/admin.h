/* `pail-server users ...`: what an administrator asks of the accounts. */
#pragma once

#include "base/error.h"

struct config;
/* arguments: what stands behind "users". Writes to stdout. 0, or an error with a fault. -EINVAL: wrong usage. */
int admin_users(const struct config *config, int count, char **arguments, struct fault *fault);

/* What an administrator does to an account's bucket: by the server's settings, as the server would. */
#pragma once

#include "base/error.h"
#include "s3/server/users.h"

struct config;

/* Removes the account with all its files. confirm: the bucket's name as it was typed ("BUCKET/PREFIX" where the bucket
 * is shared); NULL: it is asked for at the terminal. */
int admin_bucket_remove(const struct config *config, struct users *users, const char *account, const char *confirm,
                        struct fault *fault);
/* Lets the next login make an empty bucket in place of one that is gone. */
int admin_bucket_renew(const struct config *config, struct users *users, const char *account, struct fault *fault);

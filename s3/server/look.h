/* Looking after a bucket that was ready: is it still there, ours, and closed to others? Somebody may have deleted or
 * opened it behind the server's back. Thread-safe. */
#pragma once

#include "base/error.h"
#include "s3/server/provision.h"
#include "s3/server/users.h"

/* Records in the account, and in *user, whether its bucket is gone or somebody else's by now; 0 in each case. An error
 * when that could not be found out: nothing is changed then. */
int look_there(const struct provision_options *options, struct user *user, struct fault *fault);
/* Closes it again if it is open to others. 0, or an error with a fault. */
int look_closed(const struct provision_options *options, const struct user *user, struct fault *fault);

/* The one bucket that accounts share with layout = prefix: each has its own prefix of it. Named by shared_bucket, or
 * made from bucket_prefix. Not thread-safe; idempotent, and several servers of one database may do it at once. */
#pragma once

#include "base/error.h"
#include "s3/server/remote.h"
#include "s3/server/users.h"

#include <stdbool.h>
#include <stdint.h>

struct shared {
    char *bucket;           /* owned */
    char *mark;             /* what its tag says: of this installation, not of a person; owned */
    int64_t attempt;        /* which suffix the name has */
    enum users_state state; /* as an account's bucket: see provision.c */
    int64_t versioned_at_s; /* 0: it keeps no versions */
};
void shared_finish(struct shared *shared);

/* What is recorded of it: 0 or -ENOENT. */
int shared_load(struct users *users, const struct config *config, struct shared *out, struct fault *fault);
/* Makes and arranges it from where it stands, or looks whether it is still there and closed to others. 0, or
 * PAIL_OFFLINE, PAIL_DENIED with a fault that names the setting. *out is filled also with PAIL_OFFLINE if it was ready
 * before. */
int shared_prepare(struct remote *remote, struct users *users, bool block_public_acls, struct shared *out,
                   struct fault *fault);

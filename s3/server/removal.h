/* An account removed together with all that it has in the store, for good. */
#pragma once

#include "base/error.h"
#include "s3/server/remote.h"
#include "s3/server/users.h"

#include <stdint.h>

struct removal_options {
    struct remote *remote; /* borrowed, as all */
    struct users *users;
    /* Now and then; destroyed: versions and uploads so far. */
    void (*tell)(void *context, uint64_t destroyed);
    void *context;
};

/* 0 when the account may be removed with its files: its bucket is there with our tag, or is gone already. PAIL_DENIED
 * with a fault; PAIL_OFFLINE. */
int removal_check(const struct removal_options *options, const struct user *user, struct fault *fault);
/* Cuts the person off, destroys what is below the account's prefix, then the bucket if it is the account's alone, then
 * the account. Killed anywhere, it leaves an account that nobody can log in to, and goes on when it is called again.
 * PAIL_DENIED when the store keeps something; PAIL_BUSY: all is destroyed, but what was signed before may still write
 * to a bucket that others share: call again later; PAIL_CANCELLED: the account was resumed meanwhile; PAIL_OFFLINE. */
int removal_run(const struct removal_options *options, const struct user *user, struct fault *fault);

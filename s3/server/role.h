/* Temporary keys that reach one account's bucket and prefix only: STS AssumeRole with a session policy (AWS,
 * "AssumeRole", "Session policies"). For stores that obey an x-amz-* header added to a grant: such a grant can then do
 * no more than its account may; and for clients that sign by themselves. Kept per account, renewed before their end.
 * Thread-safe. */
#pragma once

#include "base/error.h"
#include "s3/server/credentials.h"
#include "s3/server/remote.h"

#include <stdbool.h>

struct role;
/* How long keys live (AWS: at least 900 s), and how long they must still live to be given out. */
struct role_life {
    int64_t whole_s, least_s;
};
extern const struct role_life role_for_grants;  /* an hour: many grants from one AssumeRole */
extern const struct role_life role_for_lending; /* 15 minutes: who is suspended is cut off within them */
/* remote is borrowed; its config names the role. */
int role_create(struct role **out, struct remote *remote, const struct role_life *life);
void role_destroy(struct role *role);

/* 0, or PAIL_OFFLINE, PAIL_DENIED, PAIL_DAMAGED with a fault. Asks STS when none are at hand: once for all who wait. */
int role_get(struct role *role, const char *bucket, const char *prefix, struct lease *out, struct fault *fault);
/* The same if they are at hand, else -EAGAIN: never waits for the network. */
int role_try(struct role *role, const char *bucket, const char *prefix, struct lease *out);

/* Whether these keys can take on the role anew, at an STS of that origin, and so leave their session policy behind
 * (Ceph 16 lets them, unless the role's trust policy denies the role itself). 0 or PAIL_OFFLINE with a fault. */
int role_is_assumed_by(struct remote *remote, const struct lease *keys, const char *origin, bool *assumed,
                       struct fault *fault);

/* The session policy as JSON, below 2,048 characters; owned by the caller. */
char *role_policy(const char *bucket, const char *prefix);
/* What STS answers: all of a lease, or PAIL_DAMAGED and none of it; -ENOMEM. */
int role_read_answer(const char *body, size_t size, struct lease *out, struct fault *fault);

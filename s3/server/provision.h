/* From a reserved account to a ready bucket: reserved -> created -> configured -> ready. Each step is idempotent and
 * recorded after it was done, so that it can be killed anywhere; it is taken up again by the account's next request, or
 * at start. Thread-safe: however many ask at once for one account, it is done once. */
#pragma once

#include "base/error.h"
#include "s3/server/metrics.h"
#include "s3/server/remote.h"
#include "s3/server/users.h"

#include <stdbool.h>

struct provision;
struct provision_options {
    struct remote *remote; /* borrowed */
    struct users *users;   /* borrowed */
    /* Whether plain puts work with BlockPublicAcls, as the store was proven: asked when a bucket is configured. */
    bool (*block_public_acls)(void *context);
    void *context;           /* borrowed */
    struct metrics *metrics; /* borrowed; NULL: nothing is counted */
    unsigned threads;
};
int provision_create(struct provision **out, const struct provision_options *options);
/* Finishes what is under way. NULL is fine. */
void provision_destroy(struct provision *provision);

/* On one of provision's threads: result 0 and the account, which is ready; or an error with a fault. user is borrowed.
 */
typedef void provision_done(void *context, int result, const struct user *user, const struct fault *fault);
/* Calls done once, later. -EAGAIN when too many accounts are being made: done is not called. */
int provision_start(struct provision *provision, int64_t account, provision_done *done, void *context);
/* The same for an account that is ready: looks first whether its bucket is still there (look.h), which user->missing_s
 * tells, and afterwards whether it is closed to others. A store that does not answer is no error. */
int provision_look(struct provision *provision, int64_t account, provision_done *done, void *context);
/* Takes up every account that is not ready. */
int provision_resume(struct provision *provision, struct fault *fault);

/* The steps from where the account stands, here and now: for the threads, and for tests. */
int provision_account(const struct provision_options *options, int64_t account, struct user *out, struct fault *fault);

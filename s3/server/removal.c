/* Removing an account and its files. The account's row goes last: as long as it is there, it is known what is left to
 * do. */
#include "s3/server/removal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "s3/server/bucket.h"
#include "s3/server/config.h"
#include "s3/server/purge.h"

#define ROUNDS_MOST 100
#define SLACK_S 120      /* remembered tokens, clocks */
#define LEAST_LIFE_S 900 /* of temporary credentials, and of what is signed in headers */

struct removal {
    const struct removal_options *options; /* borrowed, as the next */
    const struct user *user;
    struct fault *fault;
};

/* A bucket that accounts share stays, and what was signed before could still write to it. */
static bool is_shared(const struct user *user) {
    return *user->prefix;
}

int removal_check(const struct removal_options *options, const struct user *user, struct fault *fault) {
    enum bucket_found found = BUCKET_FOREIGN;
    int error = bucket_find(options->remote, user->bucket, user->mark, &found, fault);
    if (error || found == BUCKET_OURS || found == BUCKET_MISSING)
        return error;
    return fault_set(fault, PAIL_DENIED,
                     found == BUCKET_UNTAGGED
                         ? "the bucket %s has no tag that says it is this account's: nothing was deleted"
                         : "the bucket %s is tagged as somebody else's: nothing was deleted",
                     user->bucket);
}

static int go_on(void *context, uint64_t destroyed) {
    struct removal *removal = context;
    CLEANUP(user_finish) struct user user = {0};
    int error = users_find_id(removal->options->users, removal->user->id, &user, removal->fault);
    if (!error && !user.removing_s)
        error =
            fault_set(removal->fault, PAIL_CANCELLED, "the account was resumed meanwhile: what is left of it stays");
    if (!error && removal->options->tell)
        removal->options->tell(removal->options->context, destroyed);
    return error == -ENOENT ? 0 : error;
}

/* What was signed before it was cut off may go on writing: so the bucket is emptied until it can be deleted. */
static int destroy(struct removal *removal) {
    struct remote *remote = removal->options->remote;
    const struct user *user = removal->user;
    struct purge_watch watch = {go_on, removal};
    for (int round = 0; round < ROUNDS_MOST; round++) {
        int error = purge_run(remote, user->bucket, user->prefix, &watch, removal->fault);
        if (error || is_shared(user))
            return error;
        error = bucket_delete(remote, user->bucket, removal->fault);
        if (error != BUCKET_NOT_EMPTY)
            return error;
    }
    return PAIL_BUSY;
}

/* Unix time from which on nothing that was signed before can write any more. */
static int64_t quiet_from_s(const struct removal *removal, const struct user *user) {
    int64_t life_s = removal->options->remote->config->grant_life_s;
    return user->removing_s + (life_s > LEAST_LIFE_S ? life_s : LEAST_LIFE_S) + SLACK_S;
}

static int finish(struct removal *removal) {
    CLEANUP(user_finish) struct user user = {0};
    int error = users_find_id(removal->options->users, removal->user->id, &user, removal->fault);
    if (error)
        return error == -ENOENT ? 0 : error;
    int64_t wait_s = quiet_from_s(removal, &user) - clock_realtime_s();
    if (is_shared(&user) && wait_s > 0)
        return fault_set(removal->fault, PAIL_BUSY,
                         "the files are deleted and nobody can log in to the account, but requests that were signed "
                         "before may still write: say it again in %lld minutes to finish",
                         (long long)(wait_s + 59) / 60);
    return users_remove(removal->options->users, user.name, removal->fault);
}

int removal_run(const struct removal_options *options, const struct user *user, struct fault *fault) {
    struct removal removal = {options, user, fault};
    int error = removal_check(options, user, fault);
    if (!error)
        error = users_begin_removal(options->users, user->name, fault);
    if (!error)
        error = destroy(&removal);
    if (error == PAIL_BUSY)
        return fault_set(fault, error, "the bucket %s is written to while it is emptied: try again", user->bucket);
    return error ? error : finish(&removal);
}

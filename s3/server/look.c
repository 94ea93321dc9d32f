/* Looking after a bucket that was ready. */
#include "s3/server/look.h"

#include "base/clock.h"
#include "base/log.h"
#include "s3/server/bucket.h"

static void count(const struct provision_options *options, enum metrics_event event) {
    if (options->metrics)
        metrics_count(options->metrics, event);
}

static void tell(const struct user *user, enum bucket_found found) {
    if (found == BUCKET_MISSING)
        log_error("The bucket %s of account %s is gone: it was deleted in the store. The account is refused until the "
                  "bucket is there again, or an empty one is wanted: pail users new-bucket %s",
                  user->bucket, user->name, user->name);
    else if (found == BUCKET_FOREIGN)
        log_error(
            "The bucket %s of account %s has another tag than the server gave it. The account is refused until its "
            "tag pail-account is %s again",
            user->bucket, user->name, user->mark);
    else
        log_info("The bucket %s of account %s is there again", user->bucket, user->name);
}

int look_there(const struct provision_options *options, struct user *user, struct fault *fault) {
    enum bucket_found found = BUCKET_MISSING;
    bool changed = false;
    int error = bucket_find(options->remote, user->bucket, user->mark, &found, fault);
    bool gone = found == BUCKET_MISSING || found == BUCKET_FOREIGN;
    if (!error)
        error = users_record_missing(options->users, user->id, gone, &changed, fault);
    if (error)
        return error;
    if (changed) {
        user->missing_s = gone ? clock_realtime_s() : 0;
        tell(user, found);
    }
    if (changed && gone)
        count(options, METRICS_BUCKET_GONE);
    return 0;
}

int look_closed(const struct provision_options *options, const struct user *user, struct fault *fault) {
    struct fault why = {0};
    int error = bucket_check_private(options->remote, user->bucket, &why);
    if (error != BUCKET_OPEN)
        return error ? fault_set(fault, error, "%s", why.text) : 0;
    error = bucket_close(options->remote, user->bucket, options->block_public_acls(options->context), fault);
    count(options, error ? METRICS_BUCKET_OPEN : METRICS_BUCKET_CLOSED);
    if (error)
        log_error("The bucket %s of account %s is open to others, and could not be closed: %s", user->bucket,
                  user->name, fault->text[0] ? fault->text : error_text(error));
    else
        log_warning("The bucket %s of account %s was open to others, and was closed again (%s)", user->bucket,
                    user->name, why.text);
    return error;
}

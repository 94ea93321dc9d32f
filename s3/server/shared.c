/* The shared bucket's way from a recorded name to use: the states of provision.c, recorded as a fact in the database
 * after each step. A name that is set by hand is never changed: who set it is told. */
#include "s3/server/shared.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/bucket.h"
#include "s3/server/config.h"

#include <string.h>

#define ATTEMPTS_MOST 100
#define OWNER "pail-shared" /* in the issuer's place of a mark: no issuer is called so */

void shared_finish(struct shared *shared) {
    free(shared->bucket);
    free(shared->mark);
    *shared = (struct shared){0};
}

/* In the database: one record for each name that was ever set, so that going back to one finds it as it was left. */

static char *fact_name(const struct config *config) {
    return text_format("shared bucket %s", config->shared_bucket ? config->shared_bucket : "");
}

static char *print(const struct shared *shared) {
    AUTO_JSON struct json *object = json_object();
    json_add_text(object, "bucket", shared->bucket);
    json_add_text(object, "mark", shared->mark);
    json_add_integer(object, "attempt", shared->attempt);
    json_add_integer(object, "state", shared->state);
    json_add_integer(object, "versioned_at", shared->versioned_at_s);
    return json_print(object);
}

static int parse(const char *text, struct shared *out, struct fault *fault) {
    AUTO_JSON struct json *object = NULL;
    int error = json_parse(&object, text, strlen(text));
    const char *bucket = json_get_text(object, "bucket"), *mark = json_get_text(object, "mark");
    int64_t state = json_get_integer(object, "state", -1);
    if (error == -EBADMSG || (!error && (!bucket || !mark || state < USERS_RESERVED || state > USERS_READY)))
        return fault_set(fault, PAIL_DAMAGED, "what the accounts' database says of the shared bucket is damaged");
    if (error)
        return error;
    *out = (struct shared){
        .bucket = strdup(bucket),
        .mark = strdup(mark),
        .attempt = json_get_integer(object, "attempt", 0),
        .state = (enum users_state)state,
        .versioned_at_s = json_get_integer(object, "versioned_at", 0),
    };
    if (out->bucket && out->mark)
        return 0;
    shared_finish(out);
    return -ENOMEM;
}

int shared_load(struct users *users, const struct config *config, struct shared *out, struct fault *fault) {
    AUTO_FREE char *name = fact_name(config), *text = NULL;
    *out = (struct shared){0};
    int error = name ? users_get_fact(users, name, &text, NULL, fault) : -ENOMEM;
    return error ? error : parse(text, out, fault);
}

static int save(struct users *users, const struct config *config, const struct shared *shared, struct fault *fault) {
    AUTO_FREE char *name = fact_name(config), *text = print(shared);
    return name && text ? users_put_fact(users, name, text, fault) : -ENOMEM;
}

/* The name and the mark follow from the installation's issuer and audience: an installation that lost its database
 * finds its bucket again, and with it everybody's files. */
static int reserve(struct users *users, const struct config *config, struct shared *out, struct fault *fault) {
    AUTO_FREE char *installation = text_format("%s %s", config->issuer, config->audience);
    AUTO_FREE char *seed = installation ? text_format(OWNER " %s", installation) : NULL;
    CLEANUP(shared_finish) struct shared fresh = {0};
    AUTO_FREE char *name = fact_name(config), *text = NULL, *settled = NULL;
    if (!seed || !name)
        return -ENOMEM;
    fresh.bucket = config->shared_bucket ? strdup(config->shared_bucket)
                                         : bucket_name(config->bucket_prefix, seed, strlen(seed), 0);
    fresh.mark = bucket_mark(OWNER, installation);
    text = fresh.bucket && fresh.mark ? print(&fresh) : NULL;
    int error = text ? users_settle_fact(users, name, text, &settled, fault) : -ENOMEM;
    return error ? error : parse(settled, out, fault);
}

/* Steps. */

struct preparing {
    struct remote *remote;
    struct users *users;
    bool block_public_acls;
    struct fault *fault;
};

static int advance(const struct preparing *preparing, struct shared *shared, enum users_state state) {
    shared->state = state;
    return save(preparing->users, preparing->remote->config, shared, preparing->fault);
}

static int take_next_name(const struct preparing *preparing, struct shared *shared) {
    const struct config *config = preparing->remote->config;
    if (config->shared_bucket)
        return fault_set(preparing->fault, PAIL_DENIED,
                         "[store] shared_bucket = \"%s\" belongs to somebody else, or holds files and not the tag "
                         "pail-account = %s: name an empty one, or one that is not there yet",
                         shared->bucket, shared->mark);
    if (shared->attempt >= ATTEMPTS_MOST)
        return fault_set(preparing->fault, PAIL_DENIED, "no free name was found for the shared bucket");
    char *next = bucket_next_name(shared->bucket, shared->attempt);
    if (!next)
        return -ENOMEM;
    log_info("The bucket %s is somebody else's; the shared one becomes %s", shared->bucket, next);
    free(shared->bucket);
    shared->bucket = next;
    shared->attempt++;
    return save(preparing->users, config, shared, preparing->fault);
}

static int create_step(const struct preparing *preparing, struct shared *shared) {
    int error = bucket_create(preparing->remote, shared->bucket, shared->mark, preparing->fault);
    if (error == BUCKET_TAKEN)
        return take_next_name(preparing, shared);
    return error ? error : advance(preparing, shared, USERS_CREATED);
}

static int configure_step(const struct preparing *preparing, struct shared *shared) {
    struct bucket_wishes wishes = {preparing->block_public_acls, preparing->remote->config->keep_versions_d};
    int error = bucket_configure(preparing->remote, shared->bucket, &wishes, preparing->fault);
    if (error)
        return error;
    shared->versioned_at_s = wishes.keep_versions_d ? clock_realtime_s() : 0;
    return advance(preparing, shared, USERS_CONFIGURED);
}

static int check_step(const struct preparing *preparing, struct shared *shared) {
    int error = bucket_check_private(preparing->remote, shared->bucket, preparing->fault);
    if (error == BUCKET_OPEN)
        return PAIL_DENIED;
    if (!error)
        error = advance(preparing, shared, USERS_READY);
    if (!error)
        log_info("The accounts share the bucket %s", shared->bucket);
    return error;
}

static int step(const struct preparing *preparing, struct shared *shared) {
    switch (shared->state) {
    case USERS_RESERVED:
        return create_step(preparing, shared);
    case USERS_CREATED:
        return configure_step(preparing, shared);
    case USERS_CONFIGURED:
        return check_step(preparing, shared);
    case USERS_READY:
        break;
    }
    return 0;
}

/* It was ready at an earlier start: is it still ours, and closed to others? If not the latter, it is closed. */
static int look_again(const struct preparing *preparing, const struct shared *shared) {
    struct remote *remote = preparing->remote;
    int error = bucket_check_mark(remote, shared->bucket, shared->mark, preparing->fault);
    if (!error)
        error = bucket_check_private(remote, shared->bucket, preparing->fault);
    if (error != BUCKET_OPEN)
        return error;
    log_warning("The shared bucket %s was open to others, and is being closed", shared->bucket);
    error = bucket_close(remote, shared->bucket, preparing->block_public_acls, preparing->fault);
    return error == BUCKET_OPEN ? PAIL_DENIED : error;
}

int shared_prepare(struct remote *remote, struct users *users, bool block_public_acls, struct shared *out,
                   struct fault *fault) {
    struct preparing preparing = {remote, users, block_public_acls, fault};
    CLEANUP(shared_finish) struct shared shared = {0};
    int error = shared_load(users, remote->config, &shared, fault);
    if (error == -ENOENT)
        error = reserve(users, remote->config, &shared, fault);
    if (error)
        return error;
    bool was_ready = shared.state == USERS_READY;
    if (was_ready)
        error = look_again(&preparing, &shared);
    while (!error && shared.state != USERS_READY)
        error = step(&preparing, &shared);
    if (error && !(was_ready && error == PAIL_OFFLINE))
        return error;
    *out = shared;
    shared = (struct shared){0};
    return error;
}

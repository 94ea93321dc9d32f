/* POST /v1/session: who is this, and which bucket is theirs; made at the first login. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/access.h"
#include "s3/server/bucket.h"
#include "s3/server/config.h"
#include "s3/server/inside.h"
#include "s3/server/reply.h"
#include "s3/wire.h"

#include <string.h>

/* A token that was verified. */
struct verified {
    unsigned char hash[32];
    int64_t expires_s;
    uint64_t generation;
};

/* A login that waits for its bucket. */
struct waiting {
    struct server *server;
    struct http_request *request;
    struct verified token;
    bool created;
};

/* So that what follows needs no verification, and counts for the account from now on. */
static void remember(struct server *server, const struct verified *token, int64_t user) {
    struct user copy = {0};
    struct known *known = NULL;
    if (!users_find_id(server->users, user, &copy, NULL) && copy.state == USERS_READY)
        tokens_add(server->tokens, token->hash, token->expires_s, token->generation, &copy, &known);
    known_release(known);
    user_finish(&copy);
}

/* The answer. */

static struct json *describe_bucket(const struct config *config, const struct user *user) {
    struct json *bucket = json_object();
    json_add_text(bucket, "name", user->bucket);
    json_add_text(bucket, "prefix", user->prefix);
    json_add_text(bucket, "region", user->region);
    json_add_text(bucket, "endpoint", config_public_endpoint(config));
    json_add_text(bucket, "style", config->style == CONFIG_VIRTUAL ? "virtual" : "path");
    json_add_boolean(bucket, "versioning", user->versioned_at_s != 0);
    json_add_integer(bucket, "versioned_at", user->versioned_at_s);
    return bucket;
}

static struct json *describe_features(const struct store_features *features) {
    struct json *object = json_object();
    for (size_t i = 0; i < proof_feature_count; i++)
        json_add_boolean(object, proof_features[i].name, proof_holds(features, &proof_features[i]));
    return object;
}

static void answer(struct server *server, struct http_request *request, const struct user *user, bool created) {
    struct proof proof;
    if (!access_check_user(request, user))
        return;
    if (server_proof(server, user->versioned_at_s != 0, &proof)) {
        reply_error(request, &reply_unavailable, "the store is being tried out: try again");
        return;
    }
    struct json *object = json_object(), *quota = json_object();
    json_add_text(object, "account", user->name);
    json_add_text(object, "email", user->email);
    json_add(object, "bucket", describe_bucket(server->config, user));
    json_add_integer(quota, "limit", user->quota);
    json_add_integer(quota, "used", quota_used(server->quota, user));
    json_add(object, "quota", quota);
    json_add(object, "features", describe_features(&proof.features));
    json_add_integer(object, "server_time", clock_realtime_s());
    reply_json(request, created ? 201 : 200, object);
}

static void answer_provisioned(void *context, int result, const struct user *user, const struct fault *fault) {
    struct waiting *waiting = context;
    (void)fault; /* logged where it happened; it is for the operator */
    if (result == PAIL_DENIED || result < 0)
        reply_error(waiting->request, &reply_unavailable, "your bucket cannot be made: tell your administrator");
    else if (result)
        reply_error(waiting->request, &reply_unavailable, "the store does not answer: your bucket will be made later");
    else {
        remember(waiting->server, &waiting->token, user->id);
        answer(waiting->server, waiting->request, user, waiting->created);
    }
    free(waiting);
}

typedef int starter(struct provision *provision, int64_t account, provision_done *done, void *context);

/* The request waits without a thread until the bucket is there, or was looked at. False if that cannot be begun. */
static bool wait_for_bucket(struct server *server, struct http_request *request, const struct verified *token,
                            const struct user *user, bool created, starter *start) {
    struct waiting *waiting = malloc(sizeof *waiting);
    if (!waiting)
        return false;
    *waiting = (struct waiting){server, request, *token, created};
    if (!start(server->provision, user->id, answer_provisioned, waiting))
        return true;
    free(waiting);
    return false;
}

/* The email: from the token, else from the account, else from the issuer, which takes few such questions: one at a time
 * for each person. */

static uint64_t *begin_asking(struct server *server, uint64_t hash) {
    uint64_t *place = NULL;
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < SERVER_ASKING; i++) {
        if (server->asking[i] == hash) {
            place = NULL;
            break;
        }
        if (!server->asking[i] && !place)
            place = &server->asking[i];
    }
    if (place)
        *place = hash;
    pthread_mutex_unlock(&server->lock);
    return place;
}

static void end_asking(struct server *server, uint64_t *place) {
    pthread_mutex_lock(&server->lock);
    *place = 0;
    pthread_mutex_unlock(&server->lock);
}

static bool ask_email(struct server *server, struct http_request *request, const struct access *access,
                      struct verify_claims *claims) {
    uint64_t *place = begin_asking(server, text_hash(claims->subject, strlen(claims->subject)));
    if (!place) {
        reply_error(request, &reply_busy, "your login is being looked at already: try again");
        return false;
    }
    struct fault fault = {0};
    int result = verify_userinfo(server->verify, access->token, claims, &fault);
    end_asking(server, place);
    if (!result)
        return true;
    if (result == VERIFY_UNVERIFIED)
        reply_error(request, &reply_denied, fault.text);
    else if (result == VERIFY_REFUSED)
        reply_error(request, &reply_token, fault.text);
    else
        reply_error(request, &reply_unavailable, fault.text);
    return false;
}

/* Where a new account's files are to be. All owned. */
struct place {
    char *bucket, *prefix, *mark;
};

static void place_finish(struct place *place) {
    free(place->bucket);
    free(place->prefix);
    free(place->mark);
}

/* A bucket of its own, still to be made, or a prefix of the shared one, which is there. */
static int choose_place(const struct server *server, const char *subject, struct place *out) {
    const struct config *config = server->config;
    AUTO_BUFFER struct buffer seed = {0};
    if (buffer_append(&seed, config->issuer, strlen(config->issuer) + 1) || buffer_append_text(&seed, subject))
        return -ENOMEM;
    if (config->layout == CONFIG_SHARED) {
        out->bucket = strdup(server->shared.bucket);
        out->prefix = bucket_account_prefix(seed.data, seed.size);
        out->mark = strdup(server->shared.mark);
    } else {
        out->bucket = bucket_name(config->bucket_prefix, seed.data, seed.size, 0);
        out->prefix = strdup("");
        out->mark = bucket_mark(config->issuer, subject);
    }
    return out->bucket && out->prefix && out->mark ? 0 : -ENOMEM;
}

static int arrive(struct server *server, const struct verify_claims *claims, struct user *user, bool *created,
                  struct fault *fault) {
    const struct config *config = server->config;
    CLEANUP(place_finish) struct place place = {0};
    int error = choose_place(server, claims->subject, &place);
    if (error)
        return error;
    struct users_arrival arrival = {
        .issuer = config->issuer,
        .subject = claims->subject,
        .email = claims->email,
        .link_by_email = config->identity == CONFIG_EMAIL,
        .bucket = place.bucket,
        .prefix = place.prefix,
        .region = config->region,
        .mark = place.mark,
        .state = config->layout == CONFIG_SHARED ? USERS_READY : USERS_RESERVED,
        .versioned_at_s = server->shared.versioned_at_s,
        .quota = config->quota,
    };
    return users_arrive(server->users, &arrival, user, created, fault);
}

static void refuse_arrival(struct server *server, struct http_request *request, int error, const struct fault *fault) {
    if (error == USERS_EMAIL_TAKEN) {
        reply_error(request, &reply_denied, fault->text);
        return;
    }
    metrics_count(server->metrics, METRICS_DATABASE_FAILED);
    log_error("An account cannot be found or made: %s", fault->text[0] ? fault->text : error_text(error));
    reply_error(request, &reply_unavailable, "the accounts cannot be read or written right now");
}

/* The first in ten minutes, and everyone while it is gone; but while the store does not answer, nobody waits for it. */
static bool wants_look(struct server *server, const struct user *user) {
    return !user->suspended && (user->was_away || user->missing_s) && metrics_store_lately(server->metrics).down_s < 0;
}

void session_handle(struct server *server, struct http_request *request) {
    struct access access;
    CLEANUP(verify_claims_finish) struct verify_claims claims = {0};
    CLEANUP(user_finish) struct user user = {0};
    struct fault fault = {0};
    bool created = false;
    if (!access_read(request, &access) || !access_verify(server, request, &access, &claims))
        return;
    int error = arrive(server, &claims, &user, &created, &fault);
    if (error == -ENOENT) {
        if (!ask_email(server, request, &access, &claims))
            return;
        error = arrive(server, &claims, &user, &created, &fault);
    }
    if (error) {
        refuse_arrival(server, request, error, &fault);
        return;
    }
    struct verified token = {.expires_s = claims.expires_s, .generation = claims.generation};
    memcpy(token.hash, access.hash, sizeof token.hash);
    if (created)
        log_info("Account %s was made for %s", user.name, user.email);
    if (user.state != USERS_READY && !user.suspended) {
        if (!wait_for_bucket(server, request, &token, &user, created, provision_start))
            reply_error(request, &reply_busy, "too many buckets are being made right now");
        return;
    }
    if (wants_look(server, &user) && wait_for_bucket(server, request, &token, &user, created, provision_look))
        return;
    remember(server, &token, user.id);
    answer(server, request, &user, created);
}

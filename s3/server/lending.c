/* GET /v1/credentials: temporary keys of the role, narrowed to one account, for a client that signs by itself. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/access.h"
#include "s3/server/config.h"
#include "s3/server/inside.h"
#include "s3/server/reply.h"
#include "s3/wire.h"

/* Whether this account may have keys at all; else it was answered. */
static bool may_have(struct server *server, struct http_request *request, const struct user *user,
                     struct proof *proof) {
    if (!server->lending) {
        reply_error(request, &reply_not_offered, "this server lends no temporary keys: use its grants");
        return false;
    }
    if (user->quota) {
        reply_error(request, &reply_counted,
                    "an account with a quota gets no temporary keys, since nobody would count what it stores: its "
                    "requests are signed by the server");
        return false;
    }
    if (server_proof(server, user->versioned_at_s != 0, proof)) {
        reply_error(request, &reply_unavailable, "the store is being tried out: try again");
        return false;
    }
    if (proof->lending != PROOF_LENDING_SAFE) {
        reply_error(request, &reply_not_offered,
                    "this server lends no temporary keys: its store was not proven to keep them to one account");
        return false;
    }
    return true;
}

static struct json *describe(const struct lease *lease, const struct proof *proof, int64_t now_s) {
    struct json *object = json_object(), *by_grant = json_array();
    if (!proof->lent_delete_many)
        json_push_text(by_grant, WIRE_OP_DELETE_MANY);
    if (!proof->lent_part_copy)
        json_push_text(by_grant, WIRE_OP_PART_COPY);
    json_add_text(object, WIRE_ACCESS_KEY_ID, lease->access_key);
    json_add_text(object, WIRE_SECRET_ACCESS_KEY, lease->secret_key);
    json_add_text(object, WIRE_SESSION_TOKEN, lease->session_token);
    json_add_integer(object, WIRE_EXPIRES_IN, lease->expires_s - now_s);
    json_add(object, WIRE_BY_GRANT, by_grant);
    json_add_integer(object, WIRE_SERVER_TIME, now_s);
    return object;
}

static void lend(struct server *server, struct http_request *request, const struct user *user,
                 const struct proof *proof) {
    CLEANUP(lease_finish) struct lease lease = {0};
    struct fault fault = {0};
    int error = role_get(server->lending, user->bucket, user->prefix, &lease, &fault);
    int64_t now_s = clock_realtime_s();
    if (!error && lease.expires_s <= now_s)
        error = fault_set(&fault, PAIL_DAMAGED, "the store's keys are over when they come: is this clock right?");
    if (error) {
        metrics_count(server->metrics, METRICS_SIGNING_FAILED);
        log_error("Account %s gets no temporary keys: %s", user->name, fault.text[0] ? fault.text : error_text(error));
        reply_error(request, &reply_unavailable, "temporary keys cannot be had right now");
        return;
    }
    metrics_count(server->metrics, METRICS_KEYS_LENT);
    log_debug("Account %s gets temporary keys", user->name);
    reply_json(request, 200, describe(&lease, proof, now_s));
}

void lending_handle(struct server *server, struct http_request *request) {
    struct proof proof;
    bool moved = false; /* stays so: it runs on a worker thread */
    struct known *known = access_find(server, request, &moved);
    if (!known)
        return;
    if (may_have(server, request, &known->user, &proof))
        lend(server, request, &known->user, &proof);
    known_release(known);
}

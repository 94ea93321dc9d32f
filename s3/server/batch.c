/* POST /v1/grants: a batch of items, each granted or refused alone. Worked off a slice at a time, so that single
 * requests pass between the slices of big batches. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/mint.h"
#include "s3/policy.h"
#include "s3/server/access.h"
#include "s3/server/config.h"
#include "s3/server/inside.h"
#include "s3/server/reply.h"
#include "s3/server/spending.h"
#include "s3/wire.h"

#include <string.h>

#define SLICE_URLS 64u
#define OPENING "{\"grants\":["
#define COUNT_PATIENCE_MS 8000 /* how long a batch waits for its account to be counted */
#define AGAIN_BYTES 80u        /* of an "again" error, with its comma */

struct batch {
    struct server *server;
    struct http_request *request;
    struct known *known; /* held */
    struct proof proof;
    struct json *document;   /* owned */
    const struct json *next; /* borrowed from it; NULL at the end */
    size_t left;             /* items from next on */
    size_t urls;             /* of all items */
    struct lease keys;       /* what usual grants are signed with */
    struct lease own;        /* the server's own, where the role may not do everything; else empty */
    int64_t now_s;
    int64_t patient_until_ms; /* for its account to be counted; 0: it has not waited yet */
    struct buffer out;
};

enum { BATCH_WAIT = 1 }; /* the item goes on when its account was counted */

static void batch_destroy(struct batch *batch) {
    known_release(batch->known);
    json_destroy(batch->document);
    lease_finish(&batch->keys);
    lease_finish(&batch->own);
    buffer_finish(&batch->out);
    free(batch);
}

static void fail(struct batch *batch, int error) {
    log_error("A batch of grants failed: %s", error_text(error));
    reply_error(batch->request, &reply_internal, "out of memory");
    batch_destroy(batch);
}

/* One item. */

/* Whose keys sign this plan; NULL: nobody's. */
static const struct lease *keys_for(const struct batch *batch, const struct policy_plan *plan) {
    const struct proof *proof = &batch->proof;
    if (proof->refuses_added || plan->kind == POLICY_USUAL)
        return &batch->keys;
    switch (plan->kind == POLICY_DELETE_MANY ? proof->delete_many : proof->part_copy) {
    case PROOF_ROLE:
        return &batch->keys;
    case PROOF_OWN:
        return &batch->own;
    case PROOF_NOBODY:
        break;
    }
    return NULL;
}

static int refuse_item(struct batch *batch, const char *code, const char *message) {
    metrics_count_refusal(batch->server->metrics, code);
    return reply_write_item_error(&batch->out, code, message);
}

static int write_signed(struct batch *batch, const struct policy_plan *plan) {
    const struct config *config = batch->server->config;
    const struct lease *lease = keys_for(batch, plan);
    size_t before = batch->out.size;
    if (!lease)
        return refuse_item(batch, WIRE_ERROR_DENIED, "this store cannot do it safely");
    struct sign_credentials keys = lease_to_sign(lease, config->region);
    struct mint mint = {
        .endpoint = config_public_endpoint(config),
        .virtual_style = config->style == CONFIG_VIRTUAL,
        .bucket = batch->known->user.bucket,
        .signing = batch->server->signing,
        .keys = &keys,
        .keys_expire_s = lease->expires_s,
        .life_s = config->grant_life_s,
        .now_s = batch->now_s,
    };
    int result = mint_write(&mint, plan, &batch->out);
    if (!result)
        metrics_count_grants(batch->server->metrics, plan->op, plan->count);
    if (result != -EINVAL && result != -ESTALE)
        return result;
    batch->out.size = before;
    return result == -EINVAL ? refuse_item(batch, WIRE_ERROR_BAD_ITEM, "this cannot be signed")
                             : refuse_item(batch, WIRE_ERROR_UNAVAILABLE, "the storage keys are over");
}

/* The quota. */

static void run(void *context);

/* From one of the quota's threads. */
static void go_on(void *context) {
    struct batch *batch = context;
    int error = http_again(batch->request, run, batch);
    if (error)
        fail(batch, error);
}

static bool has_waited(const struct batch *batch) {
    return batch->patient_until_ms && clock_monotonic_ms() >= batch->patient_until_ms;
}

static int wait_for_count(struct batch *batch) {
    if (!batch->patient_until_ms)
        batch->patient_until_ms = clock_monotonic_ms() + COUNT_PATIENCE_MS;
    return quota_wait(batch->server->quota, &batch->known->user, COUNT_PATIENCE_MS, go_on, batch);
}

static int refuse_claim(struct batch *batch, int result, struct fault *fault) {
    switch (result) {
    case QUOTA_COUNT:
        return BATCH_WAIT;
    case QUOTA_FULL:
        return refuse_item(batch, WIRE_ERROR_QUOTA, fault->text);
    case QUOTA_BUSY:
        return refuse_item(batch, WIRE_ERROR_BUSY, fault->text);
    case PAIL_GONE:
        return refuse_item(batch, WIRE_ERROR_NOT_FOUND, "the source is not there");
    default:
        break;
    }
    if (result < 0)
        return result;
    log_warning("What an item takes of the quota of account %s is not known: %s", batch->known->user.name,
                fault->text[0] ? fault->text : error_text(result));
    return refuse_item(batch, WIRE_ERROR_UNAVAILABLE, "what this takes of the quota cannot be found out right now");
}

/* Claims what the item takes, and binds a copy to what was claimed. *refused: the answer was written. */
static int claim(struct batch *batch, struct policy *policy, const struct json *item, struct policy_plan *plan,
                 struct spending_source *source, bool *refused) {
    struct server *server = batch->server;
    struct spending spending = {server->quota, &server->remote, &batch->known->user, item, has_waited(batch)};
    struct fault fault = {0};
    int result = spending_claim(&spending, source, &fault);
    *refused = result != 0;
    if (result)
        return refuse_claim(batch, result, &fault);
    policy->source_version = source->version;
    policy->source_etag = source->etag;
    if (!source->version && !source->etag)
        return 0;
    policy_plan_finish(plan);
    return policy_plan(policy, item, plan, &fault);
}

static int write_grant(struct batch *batch, const struct json *item) {
    const struct user *user = &batch->known->user;
    struct policy policy = {
        .bucket = user->bucket,
        .prefix = user->prefix,
        .quoted_etag = batch->proof.features.quoted_etag,
        .complete_size = batch->proof.features.complete_size,
    };
    CLEANUP(policy_plan_finish) struct policy_plan plan;
    CLEANUP(spending_source_finish) struct spending_source source = {0};
    struct fault fault = {0};
    bool refused = false;
    int result = policy_plan(&policy, item, &plan, &fault);
    if (result == POLICY_REFUSED)
        return refuse_item(batch, WIRE_ERROR_BAD_ITEM, fault.text);
    if (!result && user->quota > 0)
        result = claim(batch, &policy, item, &plan, &source, &refused);
    return result || refused ? result : write_signed(batch, &plan);
}

/* What does not fit is asked for again; but what would not fit alone either is too large. */
static int write_item(struct batch *batch, const struct json *item) {
    const size_t room = WIRE_MAX_ANSWER - WIRE_MAX_URLS * AGAIN_BYTES;
    size_t before = batch->out.size;
    int error = before == strlen(OPENING) ? 0 : buffer_append(&batch->out, ",", 1);
    size_t start = batch->out.size;
    if (!error)
        error = write_grant(batch, item);
    if (error == BATCH_WAIT)
        batch->out.size = before;
    if (error || batch->out.size + batch->left * AGAIN_BYTES + 2 <= WIRE_MAX_ANSWER)
        return error;
    bool never = batch->out.size - start > room;
    batch->out.size = start;
    return never ? refuse_item(batch, WIRE_ERROR_TOO_LARGE, "ask for fewer keys at once")
                 : refuse_item(batch, WIRE_ERROR_AGAIN, "ask again");
}

static void finish(struct batch *batch) {
    if (buffer_append_text(&batch->out, "]}")) {
        fail(batch, -ENOMEM);
        return;
    }
    reply_buffer(batch->request, 200, &batch->out);
    batch_destroy(batch);
}

/* About SLICE_URLS. */
static int run_slice(struct batch *batch) {
    size_t urls = 0;
    while (batch->next && urls < SLICE_URLS) {
        const struct json *item = batch->next;
        urls += policy_count(item);
        batch->left--;
        int error = write_item(batch, item);
        if (error) {
            batch->left++; /* it may be tried again */
            return error;
        }
        batch->next = json_next(item);
    }
    return 0;
}

static void run(void *context) {
    struct batch *batch = context;
    int error = run_slice(batch);
    if (!error && !batch->next) {
        finish(batch);
        return;
    }
    if (error == BATCH_WAIT)
        error = wait_for_count(batch);
    else if (!error)
        error = http_again(batch->request, run, batch);
    if (error)
        fail(batch, error);
}

/* Beginning. */

/* The keys that this account's grants are signed with: the server's own where the store refuses added headers. */
static int try_keys(struct batch *batch) {
    struct server *server = batch->server;
    const struct user *user = &batch->known->user;
    bool usual = batch->proof.refuses_added;
    if (!credentials_at_hand(server->credentials) || (!usual && !server->role))
        return -EAGAIN;
    if (!usual && role_try(server->role, user->bucket, user->prefix, &batch->keys))
        return -EAGAIN;
    return credentials_get(server->credentials, usual ? &batch->keys : &batch->own, NULL);
}

static int get_keys(struct batch *batch, struct fault *fault) {
    struct server *server = batch->server;
    const struct user *user = &batch->known->user;
    lease_finish(&batch->keys);
    if (batch->proof.refuses_added)
        return credentials_get(server->credentials, &batch->keys, fault);
    if (!server->role)
        return fault_set(fault, PAIL_DENIED, "this store obeys added headers and there is no role");
    int error = role_get(server->role, user->bucket, user->prefix, &batch->keys, fault);
    return error ? error : credentials_get(server->credentials, &batch->own, fault);
}

/* Whether the store may have to be asked what it takes. */
static bool may_ask_store(const struct batch *batch) {
    if (batch->known->user.quota <= 0)
        return false;
    const struct json *each = batch->next;
    while (each && !spending_is_write(each))
        each = json_next(each);
    return each != NULL;
}

static bool parse(struct batch *batch) {
    struct http_request *request = batch->request;
    if (json_parse(&batch->document, request->body, request->body_size)) {
        reply_error(request, &reply_bad_item, "the body is not JSON");
        return false;
    }
    const struct json *items = json_get(batch->document, "items");
    if (!json_is_array(items) || json_size(batch->document) != 1) {
        reply_error(request, &reply_bad_item, "the body is {\"items\":[...]} and no more");
        return false;
    }
    for (const struct json *each = json_first(items); each; each = json_next(each), batch->left++)
        batch->urls += policy_count(each);
    if (batch->urls > WIRE_MAX_URLS) {
        reply_error(request, &reply_too_large, "a batch holds 1,000 URLs: split it");
        return false;
    }
    batch->next = json_first(items);
    return true;
}

static bool find_keys(struct batch *batch) {
    struct fault fault = {0};
    int error = get_keys(batch, &fault);
    if (!error)
        return true;
    metrics_count(batch->server->metrics, METRICS_SIGNING_FAILED);
    log_error("Grants for account %s cannot be signed: %s", batch->known->user.name,
              fault.text[0] ? fault.text : error_text(error));
    reply_error(batch->request, &reply_unavailable, "grants cannot be signed right now");
    return false;
}

static struct batch *begin(struct server *server, struct http_request *request, struct known *known) {
    struct batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        known_release(known);
        reply_error(request, &reply_internal, "out of memory");
        return NULL;
    }
    batch->server = server;
    batch->request = request;
    batch->known = known;
    batch->now_s = clock_realtime_s();
    return batch;
}

/* Small batches are done at once on the event thread if everything is at hand; all others on workers, in slices. */
static bool prepare(struct batch *batch, bool *moved) {
    if (server_proof(batch->server, batch->known->user.versioned_at_s != 0, &batch->proof)) {
        reply_error(batch->request, &reply_unavailable, "the store is being tried out: try again");
        return false;
    }
    if (try_keys(batch)) {
        *moved = http_elsewhere(batch->request);
        if (*moved || !find_keys(batch))
            return false;
    }
    return parse(batch);
}

void batch_handle(struct server *server, struct http_request *request) {
    bool moved = false;
    struct known *known = access_find(server, request, &moved);
    struct batch *batch = known ? begin(server, request, known) : NULL;
    if (!batch)
        return;
    if (!prepare(batch, &moved)) {
        batch_destroy(batch);
        return;
    }
    if (((batch->urls > SLICE_URLS || may_ask_store(batch)) && http_elsewhere(request)) ||
        !access_admit_urls(server, request, batch->known->user.id, batch->urls)) {
        batch_destroy(batch);
        return;
    }
    if (buffer_append_text(&batch->out, OPENING))
        fail(batch, -ENOMEM);
    else
        run(batch);
}

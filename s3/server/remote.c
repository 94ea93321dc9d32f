/* Requests of the server's own to the store. */
#include "s3/server/remote.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/address.h"
#include "s3/checksum.h"
#include "s3/listing.h"
#include "s3/server/config.h"

#include <string.h>

#define MOST_HEADERS 24
#define MOST_BODY (16u << 20)
#define TRIES 4
#define FIRST_PAUSE_MS 200
#define STALL_MS 15000
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct memory_body {
    const char *data;
};

static int read_body(void *context, uint64_t offset, void *data, size_t size) {
    const struct memory_body *body = context;
    memcpy(data, body->data + offset, size);
    return 0;
}

static int send_once(struct remote *remote, const char *method, const char *url, const struct transfer_header *headers,
                     size_t count, const void *body, size_t size, struct transfer_answer *answer, struct fault *fault) {
    struct memory_body memory = {body};
    struct store_source source = {.read = read_body, .context = &memory, .size = size};
    bool has_body = body || !strcmp(method, "PUT") || !strcmp(method, "POST");
    struct transfer_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .header_count = count,
        .body = has_body ? &source : NULL,
        .max_body = MOST_BODY,
        .stall_ms = STALL_MS,
        .cancelled = remote->cancelled,
    };
    return transfer_perform(remote->transfer, &request, answer, fault);
}

int remote_send(struct remote *remote, const char *method, const char *url, const struct sign_pair *headers,
                size_t header_count, const void *body, size_t body_size, struct transfer_answer *answer,
                struct fault *fault) {
    struct transfer_header sent[MOST_HEADERS];
    for (size_t i = 0; i < header_count && i < MOST_HEADERS; i++)
        sent[i] = (struct transfer_header){headers[i].name, headers[i].value};
    return send_once(remote, method, url, sent, header_count, body, body_size, answer, fault);
}

/* Signing. */

struct signing {
    struct lease lease;
    struct address address;
    char *payload, *md5, *url, *authorization; /* owned */
    char date[17];
    struct sign_pair pairs[MOST_HEADERS];
    size_t pair_count;
    struct transfer_header sent[MOST_HEADERS];
    size_t sent_count;
};

static void signing_finish(struct signing *signing) {
    lease_finish(&signing->lease);
    address_finish(&signing->address);
    free(signing->payload);
    free(signing->md5);
    free(signing->url);
    secret_free(signing->authorization);
}

static void send_header(struct signing *signing, const char *name, const char *value) {
    if (value)
        signing->sent[signing->sent_count++] = (struct transfer_header){name, value};
}

static int take_lease(struct remote *remote, const struct remote_request *request, struct signing *signing,
                      struct fault *fault) {
    return request->as ? lease_copy(&signing->lease, request->as)
                       : credentials_get(remote->credentials, &signing->lease, fault);
}

static struct sign_credentials keys_of(const struct remote *remote, const struct remote_request *request,
                                       const struct signing *signing) {
    struct sign_credentials keys = lease_to_sign(&signing->lease, remote->config->region);
    if (request->sts)
        keys.service = "sts";
    return keys;
}

static int make_address(const struct remote *remote, const struct remote_request *request, struct signing *signing) {
    const char *origin = request->sts ? request->sts : remote->config->endpoint;
    return address_make(origin, remote->config->style == CONFIG_VIRTUAL, request->bucket, request->key,
                        &signing->address);
}

static struct sign_request to_sign(const struct remote_request *request, const struct signing *signing) {
    return (struct sign_request){
        .method = request->method,
        .scheme_host = signing->address.scheme_host,
        .path = signing->address.path,
        .path_size = strlen(signing->address.path),
        .query = request->query,
        .query_count = request->query_count,
        .headers = signing->pairs,
        .header_count = signing->pair_count,
        .time_s = clock_realtime_s(),
    };
}

static int hash_body(const struct remote_request *request, struct signing *signing) {
    int error = 0;
    if (request->body_sha256)
        signing->payload = strdup(request->body_sha256);
    else if (request->body)
        error = checksum_hex(CHECKSUM_SHA256, request->body, request->body_size, &signing->payload);
    else
        signing->payload = strdup(EMPTY_SHA256);
    if (!error && request->body_md5)
        error = checksum_base64(CHECKSUM_MD5, request->body, request->body_size, &signing->md5);
    return error ? error : signing->payload ? 0 : -ENOMEM;
}

static int sign_request(struct remote *remote, const struct remote_request *request, struct signing *signing,
                        struct fault *fault) {
    int error = take_lease(remote, request, signing, fault);
    if (!error)
        error = hash_body(request, signing);
    if (error)
        return error;
    for (size_t i = 0; i < request->header_count; i++)
        if (text_starts(request->headers[i].name, "x-amz-"))
            signing->pairs[signing->pair_count++] = request->headers[i];
    struct sign_credentials keys = keys_of(remote, request, signing);
    struct sign_request sign = to_sign(request, signing);
    error = sign_headers(&keys, remote->signing, &sign, signing->payload, &signing->url, &signing->authorization,
                         signing->date);
    send_header(signing, "authorization", signing->authorization);
    send_header(signing, "x-amz-date", signing->date);
    send_header(signing, "x-amz-content-sha256", signing->payload);
    send_header(signing, "x-amz-security-token", signing->lease.session_token);
    return error;
}

/* Without a signature, the URL is the one that signing makes, made with keys that are none. */
static int plain_url(struct remote *remote, const struct remote_request *request, struct signing *signing) {
    struct sign_credentials keys = {
        .access_key = "none", .secret_key = "none", .region = remote->config->region, .service = "s3"};
    struct sign_request sign = to_sign(request, signing);
    char *authorization = NULL;
    int error = sign_headers(&keys, NULL, &sign, EMPTY_SHA256, &signing->url, &authorization, signing->date);
    free(authorization);
    return error;
}

static int perform_once(struct remote *remote, const struct remote_request *request, struct transfer_answer *answer,
                        unsigned *generation, struct fault *fault) {
    CLEANUP(signing_finish) struct signing signing = {0};
    int error = make_address(remote, request, &signing);
    if (!error)
        error =
            request->anonymous ? plain_url(remote, request, &signing) : sign_request(remote, request, &signing, fault);
    if (error)
        return error;
    *generation = signing.lease.generation;
    send_header(&signing, "content-md5", signing.md5);
    for (size_t i = 0; i < request->header_count; i++)
        send_header(&signing, request->headers[i].name, request->headers[i].value);
    return send_once(remote, request->method, signing.url, signing.sent, signing.sent_count, request->body,
                     request->body_size, answer, fault);
}

/* Whether the answer is about the keys that signed it, not about what was asked (S3 API Reference, "Error responses";
 * STS, "Common errors"). */
static bool refuses_keys(const struct transfer_answer *answer) {
    static const char *const codes[] = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
                                        "InvalidClientTokenId"};
    CLEANUP(listing_error_finish) struct listing_error refused = {0};
    if ((answer->status != 403 && answer->status != 400) || !answer->body ||
        listing_parse_error(answer->body, answer->body_size, &refused))
        return false;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (text_equal(refused.code, codes[i]))
            return true;
    return false;
}

static bool is_own(const struct remote_request *request) {
    return !request->as && !request->anonymous;
}

static enum metrics_store way_of(const struct remote_request *request, int error,
                                 const struct transfer_answer *answer) {
    if (error)
        return METRICS_STORE_OFFLINE;
    if (answer->status == 429 || answer->status == 503)
        return METRICS_STORE_BUSY;
    if (answer->status >= 500 && answer->status != 501)
        return METRICS_STORE_BROKEN;
    bool refused = is_own(request) && ((request->ours && answer->status == 403) || refuses_keys(answer));
    return refused ? METRICS_STORE_KEYS : METRICS_STORE_ANSWERED;
}

static void count(struct metrics *metrics, const struct remote_request *request, enum metrics_store way,
                  const struct transfer_answer *answer, int64_t took_ms) {
    metrics_count_store(metrics, way, took_ms);
    if (way == METRICS_STORE_ANSWERED && is_own(request) && answer->status / 100 == 2)
        metrics_store_took_keys(metrics);
}

/* One attempt, counted. */
static int attempt(struct remote *remote, const struct remote_request *request, struct transfer_answer *answer,
                   enum metrics_store *way, unsigned *generation, struct fault *fault) {
    int64_t began = clock_monotonic_ms();
    int error = perform_once(remote, request, answer, generation, fault);
    *way = way_of(request, error, answer);
    bool ended = remote->cancelled && atomic_load(remote->cancelled);
    if (remote->metrics && !ended && (!error || error == PAIL_OFFLINE))
        count(remote->metrics, request, *way, answer, clock_monotonic_ms() - began);
    return error;
}

/* Ceph with STS says no more than AccessDenied of a key that is gone. */
static bool has_other_keys(struct remote *remote, const struct remote_request *request, enum metrics_store way,
                           const struct transfer_answer *answer, unsigned generation) {
    if (way == METRICS_STORE_KEYS)
        return credentials_refused(remote->credentials, generation);
    return way == METRICS_STORE_ANSWERED && is_own(request) && answer->status == 403 &&
           credentials_replaced(remote->credentials, generation);
}

static bool may_pass(enum metrics_store way, int error) {
    return way == METRICS_STORE_OFFLINE ? error == PAIL_OFFLINE
                                        : way == METRICS_STORE_BROKEN || way == METRICS_STORE_BUSY;
}

int remote_perform(struct remote *remote, const struct remote_request *request, struct transfer_answer *answer,
                   struct fault *fault) {
    int64_t pause = FIRST_PAUSE_MS;
    for (int try = 1;; try++) {
        enum metrics_store way;
        unsigned generation = 0;
        int error = attempt(remote, request, answer, &way, &generation, fault);
        bool other_keys = !error && has_other_keys(remote, request, way, answer, generation);
        bool again = other_keys || (!request->once && may_pass(way, error));
        if (try == TRIES || !again)
            return error;
        transfer_answer_finish(answer);
        if (!other_keys)
            clock_sleep_ms(pause);
        pause *= 2;
    }
}

int remote_expect(struct remote *remote, const struct remote_request *request, const char *what,
                  struct transfer_answer *answer, char **code, struct fault *fault) {
    *code = NULL;
    int error = remote_perform(remote, request, answer, fault);
    if (error)
        return fault_prefix(fault, error, "%s", what);
    if (answer->status >= 200 && answer->status < 300)
        return 0;
    CLEANUP(listing_error_finish) struct listing_error refused = {0};
    if (answer->body)
        listing_parse_error(answer->body, answer->body_size, &refused);
    *code = refused.code ? TAKE(refused.code) : strdup("");
    if (!*code)
        return -ENOMEM;
    bool down = answer->status >= 500 && answer->status != 501;
    const char *clock = strcmp(*code, "RequestTimeTooSkewed") ? "" : "this machine's clock is not the store's: ";
    return fault_set(fault, down ? PAIL_OFFLINE : PAIL_DENIED, "%s: %sthe store answered HTTP %d %s%s%s", what, clock,
                     answer->status, *code, refused.message ? ": " : "", refused.message ? refused.message : "");
}

int remote_presign(struct remote *remote, const struct remote_request *request, unsigned expires_s, char **url,
                   struct fault *fault) {
    CLEANUP(signing_finish) struct signing signing = {0};
    int error = make_address(remote, request, &signing);
    if (!error)
        error = take_lease(remote, request, &signing, fault);
    if (error)
        return error;
    for (size_t i = 0; i < request->header_count; i++)
        signing.pairs[signing.pair_count++] = request->headers[i];
    struct sign_credentials keys = keys_of(remote, request, &signing);
    struct sign_request sign = to_sign(request, &signing);
    return sign_url(&keys, remote->signing, &sign, expires_s, url);
}

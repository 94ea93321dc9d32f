/* Which bucket is mine: asking the mapping server, and keeping its answer. */
#include "s3/mapping.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/wire.h"

#include <pthread.h>
#include <stddef.h>

#define GRANTS_PATIENCE_MS 25000 /* below what a call may stand still for (store.h) */
#define SESSION_PATIENCE_MS 5000
#define LONGEST_QUIET_S 300
#define LOOK_MS 50

struct mapping {
    struct fetch *fetch;                              /* borrowed */
    char *session_url, *grants_url, *credentials_url; /* owned */
    pthread_mutex_t lock;
    int64_t quiet_until_ms;         /* monotonic: it said 429 and when to ask again. Under lock */
    bool known;                     /* under lock */
    struct mapping_session session; /* under lock */
};

static const struct {
    const char *name;
    size_t at;
} features[] = {
    {WIRE_FEATURE_PUT_IF_ABSENT, offsetof(struct store_features, put_if_absent)},
    {WIRE_FEATURE_PUT_IF_MATCH, offsetof(struct store_features, put_if_match)},
    {WIRE_FEATURE_COMPLETE_IF_ABSENT, offsetof(struct store_features, complete_if_absent)},
    {WIRE_FEATURE_COMPLETE_IF_MATCH, offsetof(struct store_features, complete_if_match)},
    {WIRE_FEATURE_COMPLETE_SIZE, offsetof(struct store_features, complete_size)},
    {WIRE_FEATURE_COPY_IF_ABSENT, offsetof(struct store_features, copy_if_absent)},
    {WIRE_FEATURE_COPY_IF_MATCH, offsetof(struct store_features, copy_if_match)},
    {WIRE_FEATURE_COPY_SOURCE_IF_MATCH, offsetof(struct store_features, copy_source_if_match)},
    {WIRE_FEATURE_PART_COPY_SOURCE_IF_MATCH, offsetof(struct store_features, part_copy_source_if_match)},
    {WIRE_FEATURE_DELETE_IF_MATCH, offsetof(struct store_features, delete_if_match)},
    {WIRE_FEATURE_DELETE_MANY_IF_MATCH, offsetof(struct store_features, delete_many_if_match)},
    {WIRE_FEATURE_CONTENT_MD5, offsetof(struct store_features, content_md5)},
    {WIRE_FEATURE_CRC32C, offsetof(struct store_features, crc32c)},
    {WIRE_FEATURE_SHA256, offsetof(struct store_features, sha256)},
    {WIRE_FEATURE_QUOTED_ETAG, offsetof(struct store_features, quoted_etag)},
};
#define FEATURES (sizeof features / sizeof *features)

/* --- the session as JSON; kept in the form of the wire --- */

void mapping_session_finish(struct mapping_session *session) {
    free(session->account);
    free(session->email);
    free(session->bucket.name);
    free(session->bucket.prefix);
    free(session->bucket.region);
    free(session->bucket.endpoint);
    *session = (struct mapping_session){0};
}

static struct json *features_to_json(const struct store_features *from) {
    struct json *out = json_object();
    for (size_t i = 0; i < FEATURES; i++)
        json_add_boolean(out, features[i].name, *(const bool *)((const char *)from + features[i].at));
    return out;
}

static struct json *bucket_to_json(const struct mapping_session *session) {
    const struct mapping_bucket *bucket = &session->bucket;
    struct json *out = json_object();
    json_add_text(out, "name", bucket->name);
    json_add_text(out, "prefix", bucket->prefix);
    json_add_text(out, "region", bucket->region);
    json_add_text(out, "endpoint", bucket->endpoint);
    json_add_text(out, "style", bucket->virtual_style ? "virtual" : "path");
    json_add_boolean(out, "versioning", session->features.versions);
    json_add_integer(out, "versioned_at", session->features.versioned_at_s);
    return out;
}

char *mapping_session_print(const struct mapping_session *session) {
    AUTO_JSON struct json *out = json_object();
    struct json *quota = json_object();
    json_add_integer(quota, "limit", session->quota_limit);
    int error = json_add_integer(quota, "used", session->quota_used);
    error |= json_add_text(out, "account", session->account);
    error |= json_add_text(out, "email", session->email);
    error |= json_add(out, "bucket", bucket_to_json(session));
    error |= json_add(out, "quota", quota);
    error |= json_add(out, "features", features_to_json(&session->features));
    error |= json_add_integer(out, "server_time", session->server_time_s);
    return error ? NULL : json_print(out);
}

static int take_text(char **out, const struct json *object, const char *name) {
    const char *text = json_get_text(object, name);
    if (!text)
        return PAIL_DAMAGED;
    *out = strdup(text);
    return *out ? 0 : -ENOMEM;
}

static int parse_bucket(const struct json *json, struct mapping_session *out) {
    struct mapping_bucket *bucket = &out->bucket;
    const char *style = json_get_text(json, "style");
    int error = take_text(&bucket->name, json, "name");
    if (!error)
        error = take_text(&bucket->prefix, json, "prefix");
    if (!error)
        error = take_text(&bucket->region, json, "region");
    if (!error)
        error = take_text(&bucket->endpoint, json, "endpoint");
    if (error)
        return error;
    bucket->virtual_style = text_equal(style, "virtual");
    out->features.versions = json_get_boolean(json, "versioning", false);
    out->features.versioned_at_s = json_get_integer(json, "versioned_at", 0);
    bool prefix_ends = !bucket->prefix[0] || text_ends(bucket->prefix, "/");
    bool is_url = text_starts(bucket->endpoint, "https://") || text_starts(bucket->endpoint, "http://");
    return bucket->name[0] && prefix_ends && is_url && style ? 0 : PAIL_DAMAGED;
}

static int parse_session(const struct json *json, struct mapping_session *out) {
    const struct json *quota = json_get(json, "quota"), *flags = json_get(json, "features");
    int error = take_text(&out->account, json, "account");
    if (!error)
        error = take_text(&out->email, json, "email");
    if (!error)
        error = parse_bucket(json_get(json, "bucket"), out);
    out->quota_limit = json_get_integer(quota, "limit", 0);
    out->quota_used = json_get_integer(quota, "used", 0);
    out->server_time_s = json_get_integer(json, "server_time", 0);
    for (size_t i = 0; i < FEATURES; i++)
        *(bool *)((char *)&out->features + features[i].at) = json_get_boolean(flags, features[i].name, false);
    return error;
}

static int parse_whole(const struct json *json, struct mapping_session *out) {
    *out = (struct mapping_session){0};
    int error = parse_session(json, out);
    if (error)
        mapping_session_finish(out);
    return error;
}

int mapping_session_parse(const char *text, size_t size, struct mapping_session *out) {
    AUTO_JSON struct json *json = NULL;
    *out = (struct mapping_session){0};
    int error = json_parse(&json, text, size);
    if (error)
        return error == -ENOMEM ? error : PAIL_DAMAGED;
    return parse_whole(json, out);
}

static int copy_session(struct mapping_session *out, const struct mapping_session *from) {
    AUTO_FREE char *text = mapping_session_print(from);
    return text ? mapping_session_parse(text, strlen(text), out) : -ENOMEM;
}

/* --- the server --- */

DEFINE_CLEANUP(struct mapping *, mapping_destroy)

int mapping_create(struct mapping **out, struct fetch *fetch, const char *server) {
    CLEANUP(mapping_destroy_p) struct mapping *mapping = calloc(1, sizeof *mapping);
    if (!mapping)
        return -ENOMEM;
    pthread_mutex_init(&mapping->lock, NULL);
    size_t size = strlen(server);
    while (size && server[size - 1] == '/')
        size--;
    mapping->fetch = fetch;
    mapping->session_url = text_format("%.*s%s", (int)size, server, WIRE_PATH_SESSION);
    mapping->grants_url = text_format("%.*s%s", (int)size, server, WIRE_PATH_GRANTS);
    mapping->credentials_url = text_format("%.*s%s", (int)size, server, WIRE_PATH_CREDENTIALS);
    if (!mapping->session_url || !mapping->grants_url || !mapping->credentials_url)
        return -ENOMEM;
    *out = TAKE(mapping);
    return 0;
}

void mapping_destroy(struct mapping *mapping) {
    if (!mapping)
        return;
    mapping_session_finish(&mapping->session);
    pthread_mutex_destroy(&mapping->lock);
    free(mapping->session_url);
    free(mapping->grants_url);
    free(mapping->credentials_url);
    free(mapping);
}

/* The server's words for its statuses (wire.h); two codes say more than theirs. */
static int error_of(int status, const char *code) {
    if (text_equal(code, WIRE_ERROR_NOT_OFFERED))
        return PAIL_UNSUPPORTED;
    if (text_equal(code, WIRE_ERROR_QUOTA))
        return PAIL_QUOTA;
    switch (status) {
    case 401:
        return PAIL_LOGIN_REQUIRED;
    case 403:
        return PAIL_DENIED;
    case 404:
        return PAIL_GONE;
    case 409:
        return PAIL_CONFLICT;
    case 413:
        return PAIL_TOO_LARGE;
    case 429:
        return PAIL_BUSY;
    case 507:
        return PAIL_QUOTA;
    default:
        return status >= 500 ? PAIL_OFFLINE : PAIL_UNSUPPORTED;
    }
}

static int refuse(const struct fetch_answer *answer, struct fault *fault) {
    const struct json *error = json_get(answer->json, "error");
    int result = error_of(answer->status, json_get_text(error, "code"));
    const char *message = json_get_text(error, "message"), *id = json_get_text(error, "request_id");
    if (!message)
        message = error_text(result);
    if (!id)
        id = answer->request_id;
    return fault_set(fault, result, "the mapping server answered %d: %s%s%s%s", answer->status, message,
                     id ? " (request " : "", id ? id : "", id ? ")" : "");
}

/* Asking too often: nobody asks before the time that the server named. */

static int64_t quiet_ms(struct mapping *mapping) {
    pthread_mutex_lock(&mapping->lock);
    int64_t left = mapping->quiet_until_ms - clock_monotonic_ms();
    pthread_mutex_unlock(&mapping->lock);
    return left > 0 ? left : 0;
}

/* As long as it said, and up to a quarter more, so that many clients do not come back together. */
static void be_quiet(struct mapping *mapping, int64_t after_s) {
    int64_t ms = after_s < 1 ? 1000 : after_s < LONGEST_QUIET_S ? after_s * 1000 : LONGEST_QUIET_S * 1000;
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    int64_t until = clock_monotonic_ms() + ms + dice % (uint32_t)(ms / 4 + 1);
    pthread_mutex_lock(&mapping->lock);
    if (until > mapping->quiet_until_ms)
        mapping->quiet_until_ms = until;
    pthread_mutex_unlock(&mapping->lock);
}

/* 0: the server may be asked now. */
static int wait_quietly(struct mapping *mapping, const _Atomic bool *cancelled, int64_t until_ms, struct fault *fault) {
    int64_t left;
    while ((left = quiet_ms(mapping)) > 0) {
        if (cancelled && atomic_load(cancelled))
            return fault_set(fault, PAIL_CANCELLED, "cancelled");
        if (clock_monotonic_ms() + left > until_ms)
            return fault_set(fault, PAIL_BUSY,
                             "the mapping server is asked too often: it wants to be left alone for %lld s",
                             (long long)(left + 999) / 1000);
        clock_sleep_ms(left < LOOK_MS ? left : LOOK_MS);
    }
    return 0;
}

static int ask(struct mapping *mapping, const struct fetch_request *request, struct fetch_answer *answer,
               struct fault *fault) {
    bool is_session = request->url == mapping->session_url; /* a person waits for the mount to begin */
    int64_t until_ms = clock_monotonic_ms() + (is_session ? SESSION_PATIENCE_MS : GRANTS_PATIENCE_MS);
    for (;;) {
        int error = wait_quietly(mapping, request->cancelled, until_ms, fault);
        if (!error)
            error = fetch_perform(mapping->fetch, request, answer, fault);
        if (error || answer->status != 429 || answer->retry_after_s < 0)
            return error;
        be_quiet(mapping, answer->retry_after_s);
        if (clock_monotonic_ms() + quiet_ms(mapping) > until_ms)
            return 0; /* the 429 itself says more than we could */
        fetch_answer_finish(answer);
    }
}

/* body NULL: GET. */
static int call(struct mapping *mapping, const char *url, const char *body, size_t size, const _Atomic bool *cancelled,
                struct fetch_answer *answer, struct fault *fault) {
    struct fetch_request request = {
        .method = body ? "POST" : "GET",
        .url = url,
        .content_type = body ? "application/json" : NULL,
        .body = body,
        .body_size = size,
        .authorized = true,
        .secret_answer = true,
        .cancelled = cancelled,
    };
    int error = ask(mapping, &request, answer, fault);
    if (error)
        return error;
    if (answer->status != 200 && answer->status != 201)
        return refuse(answer, fault);
    if (!json_is_object(answer->json))
        return fault_set(fault, PAIL_DAMAGED, "what answers at %s is not a Pail mapping server", url);
    return 0;
}

int mapping_restore(struct mapping *mapping, const struct mapping_session *session) {
    struct mapping_session copy;
    int error = copy_session(&copy, session);
    if (error)
        return error;
    pthread_mutex_lock(&mapping->lock);
    mapping_session_finish(&mapping->session);
    mapping->session = copy;
    mapping->known = true;
    pthread_mutex_unlock(&mapping->lock);
    return 0;
}

int mapping_refresh(struct mapping *mapping, struct mapping_session *out, struct fault *fault) {
    struct fetch_answer answer = {0};
    *out = (struct mapping_session){0};
    int error = call(mapping, mapping->session_url, "{}", 2, NULL, &answer, fault);
    if (!error) {
        error = parse_whole(answer.json, out);
        if (error == PAIL_DAMAGED)
            fault_set(fault, error, "the mapping server's answer to %s is not complete", WIRE_PATH_SESSION);
    }
    fetch_answer_finish(&answer);
    return error ? error : mapping_restore(mapping, out);
}

int mapping_known(struct mapping *mapping, struct mapping_session *out) {
    *out = (struct mapping_session){0};
    pthread_mutex_lock(&mapping->lock);
    int error = mapping->known ? copy_session(out, &mapping->session) : -ENODATA;
    pthread_mutex_unlock(&mapping->lock);
    return error;
}

void mapping_features(struct mapping *mapping, struct store_features *out) {
    pthread_mutex_lock(&mapping->lock);
    *out = mapping->session.features;
    pthread_mutex_unlock(&mapping->lock);
}

void mapping_keys_finish(struct mapping_keys *keys) {
    secret_free(keys->access_key);
    secret_free(keys->secret_key);
    secret_free(keys->session_token);
    *keys = (struct mapping_keys){0};
}

static int parse_by_grant(const struct json *list, struct mapping_keys *out) {
    for (const struct json *op = json_first(list); op; op = json_next(op)) {
        out->grant_delete_many |= text_equal(json_text(op), WIRE_OP_DELETE_MANY);
        out->grant_part_copy |= text_equal(json_text(op), WIRE_OP_PART_COPY);
    }
    return json_is_array(list) ? 0 : PAIL_DAMAGED;
}

static int parse_keys(const struct json *json, struct mapping_keys *out) {
    int error = take_text(&out->access_key, json, WIRE_ACCESS_KEY_ID);
    if (!error)
        error = take_text(&out->secret_key, json, WIRE_SECRET_ACCESS_KEY);
    if (!error)
        error = take_text(&out->session_token, json, WIRE_SESSION_TOKEN);
    if (!error)
        error = parse_by_grant(json_get(json, WIRE_BY_GRANT), out);
    out->expires_in_s = json_get_integer(json, WIRE_EXPIRES_IN, 0);
    out->server_time_s = json_get_integer(json, WIRE_SERVER_TIME, 0);
    if (!error && (out->expires_in_s <= 0 || out->server_time_s <= 0))
        error = PAIL_DAMAGED;
    return error;
}

int mapping_credentials(struct mapping *mapping, const _Atomic bool *cancelled, struct mapping_keys *out,
                        struct fault *fault) {
    struct fetch_answer answer = {0};
    *out = (struct mapping_keys){0};
    int error = call(mapping, mapping->credentials_url, NULL, 0, cancelled, &answer, fault);
    if (!error) {
        error = parse_keys(answer.json, out);
        if (error == PAIL_DAMAGED)
            fault_set(fault, error, "the mapping server's answer to %s is not complete", WIRE_PATH_CREDENTIALS);
    }
    fetch_answer_finish(&answer);
    if (error)
        mapping_keys_finish(out);
    return error;
}

int mapping_grants(struct mapping *mapping, const char *body, size_t size, const _Atomic bool *cancelled,
                   struct json **out, struct fault *fault) {
    struct fetch_answer answer = {0};
    *out = NULL;
    int error = call(mapping, mapping->grants_url, body, size, cancelled, &answer, fault);
    if (!error && answer.request_id)
        error = json_add_text(answer.json, "request_id", answer.request_id);
    if (!error)
        *out = TAKE(answer.json);
    fetch_answer_finish(&answer);
    return error;
}

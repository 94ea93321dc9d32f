/* AssumeRole for single accounts. */
#include "s3/server/role.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/listing.h"
#include "s3/server/config.h"

#include <pthread.h>
#include <string.h>

#define ACCOUNTS_MOST 4096
#define ANSWER "AssumeRoleResponse/AssumeRoleResult/Credentials/"

const struct role_life role_for_grants = {3600, 1500}; /* least: a grant's usual life and a margin */
const struct role_life role_for_lending = {900, 840};  /* least: many mounts of an account share them */

/* ASKING while one thread is at STS; others wait for it. */
struct entry {
    struct entry *next;
    char *bucket, *prefix; /* owned */
    struct lease lease;
    bool asking;
    int64_t used_s; /* boot time */
};

struct role {
    struct remote *remote; /* borrowed */
    struct role_life life;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct entry *entries; /* under lock, as all below */
    size_t count;
};

int role_create(struct role **out, struct remote *remote, const struct role_life *life) {
    struct role *role = calloc(1, sizeof *role);
    if (!role)
        return -ENOMEM;
    role->remote = remote;
    role->life = *life;
    pthread_mutex_init(&role->lock, NULL);
    pthread_cond_init(&role->answered, NULL);
    *out = role;
    return 0;
}

static void entry_destroy(struct entry *entry) {
    free(entry->bucket);
    free(entry->prefix);
    lease_finish(&entry->lease);
    free(entry);
}

void role_destroy(struct role *role) {
    if (!role)
        return;
    while (role->entries) {
        struct entry *next = role->entries->next;
        entry_destroy(role->entries);
        role->entries = next;
    }
    pthread_cond_destroy(&role->answered);
    pthread_mutex_destroy(&role->lock);
    free(role);
}

/* The policy. Names of buckets and prefixes are the server's own and need no escaping in JSON, nor in a policy. */

static bool is_plain(const char *text) {
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-./")] == '\0';
}

char *role_policy(const char *bucket, const char *prefix) {
    if (!is_plain(bucket) || !is_plain(prefix))
        return NULL;
    AUTO_FREE char *condition =
        *prefix ? text_format(",\"Condition\":{\"StringLike\":{\"s3:prefix\":\"%s*\"}}", prefix) : strdup("");
    if (!condition)
        return NULL;
    return text_format("{\"Version\":\"2012-10-17\",\"Statement\":["
                       "{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:GetObjectVersion\",\"s3:PutObject\","
                       "\"s3:DeleteObject\",\"s3:AbortMultipartUpload\",\"s3:ListMultipartUploadParts\"],"
                       "\"Resource\":\"arn:aws:s3:::%s/%s*\"},"
                       "{\"Effect\":\"Allow\",\"Action\":[\"s3:ListBucket\",\"s3:ListBucketVersions\"],"
                       "\"Resource\":\"arn:aws:s3:::%s\"%s}]}",
                       bucket, prefix, bucket, condition);
}

/* Asking STS. */

static int add_field(struct buffer *body, const char *name, const char *value) {
    AUTO_FREE char *encoded = text_percent_encode(value, strlen(value), false);
    return encoded ? buffer_append_format(body, "&%s=%s", name, encoded) : -ENOMEM;
}

/* policy NULL: all that the role may. */
static int make_body(const struct config *config, const char *session, const char *policy, int64_t life_s,
                     struct buffer *body) {
    int error =
        buffer_append_format(body, "Action=AssumeRole&Version=2011-06-15&DurationSeconds=%lld", (long long)life_s);
    if (!error)
        error = add_field(body, "RoleArn", config->role_arn);
    if (!error)
        error = add_field(body, "RoleSessionName", session);
    return error || !policy ? error : add_field(body, "Policy", policy);
}

static const struct sign_pair form = {"content-type", "application/x-www-form-urlencoded"};

int role_read_answer(const char *body, size_t size, struct lease *out, struct fault *fault) {
    static const char *const paths[] = {ANSWER "AccessKeyId", ANSWER "SecretAccessKey", ANSWER "SessionToken"};
    char **fields[] = {&out->access_key, &out->secret_key, &out->session_token};
    AUTO_FREE char *expires = NULL;
    int error = 0;
    for (size_t i = 0; i < 3 && !error; i++)
        error = listing_parse_text(body, size, paths[i], fields[i]);
    if (!error)
        error = listing_parse_text(body, size, ANSWER "Expiration", &expires);
    if (!error && out->access_key && out->secret_key && out->session_token && expires &&
        !clock_parse_iso8601(expires, &out->expires_s) && out->expires_s > 0) /* 0 would be: without an end */
        return 0;
    lease_finish(out);
    return error == -ENOMEM ? error : fault_set(fault, PAIL_DAMAGED, "the answer to AssumeRole is not understood");
}

static struct remote_request request_of(const struct buffer *body, const char *origin) {
    return (struct remote_request){
        .method = "POST",
        .headers = &form,
        .header_count = 1,
        .body = body->data,
        .body_size = body->size,
        .sts = origin,
    };
}

static int assume(struct role *role, const char *bucket, const char *prefix, struct lease *out, struct fault *fault) {
    const struct config *config = role->remote->config;
    AUTO_BUFFER struct buffer body = {0};
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    AUTO_FREE char *code = NULL, *policy = role_policy(bucket, prefix);
    int error = policy ? make_body(config, bucket, policy, role->life.whole_s, &body) : -ENOMEM;
    struct remote_request request = request_of(&body, config->sts_endpoint ? config->sts_endpoint : config->endpoint);
    if (!error)
        error = remote_expect(role->remote, &request, "taking on the role", &answer, &code, fault);
    return error ? error : role_read_answer(answer.body ? answer.body : "", answer.body_size, out, fault);
}

/* Only a clear refusal counts. */
int role_is_assumed_by(struct remote *remote, const struct lease *keys, const char *origin, bool *assumed,
                       struct fault *fault) {
    AUTO_BUFFER struct buffer body = {0};
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    int error = make_body(remote->config, "again", NULL, role_for_lending.whole_s, &body);
    struct remote_request request = request_of(&body, origin);
    request.as = keys;
    if (!error)
        error = remote_perform(remote, &request, &answer, fault);
    *assumed = answer.status < 400 || answer.status >= 500;
    return error;
}

/* The cache. */

static struct entry *find(struct role *role, const char *bucket, const char *prefix) {
    for (struct entry *each = role->entries; each; each = each->next)
        if (!strcmp(each->bucket, bucket) && !strcmp(each->prefix, prefix))
            return each;
    return NULL;
}

static bool is_fresh(const struct role *role, const struct entry *entry) {
    return entry->lease.access_key && entry->lease.expires_s - clock_realtime_s() > role->life.least_s;
}

/* Makes room by forgetting what was used longest ago and is not being asked for. */
static void forget_oldest(struct role *role) {
    struct entry **oldest = NULL;
    for (struct entry **each = &role->entries; *each; each = &(*each)->next)
        if (!(*each)->asking && (!oldest || (*each)->used_s < (*oldest)->used_s))
            oldest = each;
    if (!oldest)
        return;
    struct entry *entry = *oldest;
    *oldest = entry->next;
    entry_destroy(entry);
    role->count--;
}

static struct entry *add(struct role *role, const char *bucket, const char *prefix) {
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->bucket = strdup(bucket);
    entry->prefix = strdup(prefix);
    if (!entry->bucket || !entry->prefix) {
        entry_destroy(entry);
        return NULL;
    }
    if (role->count >= ACCOUNTS_MOST)
        forget_oldest(role);
    entry->next = role->entries;
    role->entries = entry;
    role->count++;
    return entry;
}

static int use(struct entry *entry, struct lease *out) {
    entry->used_s = clock_boottime_s();
    return lease_copy(out, &entry->lease);
}

int role_try(struct role *role, const char *bucket, const char *prefix, struct lease *out) {
    pthread_mutex_lock(&role->lock);
    struct entry *entry = find(role, bucket, prefix);
    int error = entry && is_fresh(role, entry) ? use(entry, out) : -EAGAIN;
    pthread_mutex_unlock(&role->lock);
    return error;
}

/* Under lock, which is let go meanwhile; the entry stays, since it is marked. */
static int renew(struct role *role, struct entry *entry, struct fault *fault) {
    struct lease fresh = {0};
    entry->asking = true;
    pthread_mutex_unlock(&role->lock);
    int error = assume(role, entry->bucket, entry->prefix, &fresh, fault);
    pthread_mutex_lock(&role->lock);
    entry->asking = false;
    pthread_cond_broadcast(&role->answered);
    if (error)
        return error;
    lease_finish(&entry->lease);
    entry->lease = fresh;
    return 0;
}

int role_get(struct role *role, const char *bucket, const char *prefix, struct lease *out, struct fault *fault) {
    int error = 0;
    pthread_mutex_lock(&role->lock);
    struct entry *entry;
    while ((entry = find(role, bucket, prefix)) && entry->asking)
        pthread_cond_wait(&role->answered, &role->lock);
    if (!entry)
        entry = add(role, bucket, prefix);
    if (!entry)
        error = -ENOMEM;
    else if (!is_fresh(role, entry))
        error = renew(role, entry, fault);
    if (error && entry && entry->lease.access_key && entry->lease.expires_s > clock_realtime_s() + 60) {
        log_warning("The role could not be renewed: %s", fault && fault->text[0] ? fault->text : error_text(error));
        error = 0; /* what is left of the old keys still serves */
    }
    if (!error)
        error = use(entry, out);
    pthread_mutex_unlock(&role->lock);
    return error;
}

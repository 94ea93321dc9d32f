/* What a client could do with temporary keys that are lent to it: whatever reaches beyond its account is tried, and
 * must be refused. A session policy alone proves nothing: Ceph 16 lets such keys take on the role anew, without the
 * policy, unless the role's trust policy denies it. */
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/server/config.h"
#include "s3/server/probing.h"
#include "s3/server/proof_parts.h"

#include <stdio.h>
#include <string.h>

#define XMLNS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

enum place { OWN, OTHER, NEW, NOWHERE };
enum name { NONE, INSIDE, BESIDE };

struct trial {
    const char *what; /* "these keys can ..." */
    const char *method;
    enum place place;
    enum name name;
    struct sign_pair query, header;
    const char *body;
};

struct lending {
    struct probing *probing;
    const char *other;
    const struct lease *keys;
    char *strange;                          /* owned: a bucket that nobody has */
    char inside[64], beside[64];            /* keys: below the prefix that the keys are for, and not */
    char *prefix, *source, *policy, *place; /* owned texts */
    struct proof *out;
};

static void lending_finish(struct lending *lending) {
    free(lending->strange);
    free(lending->prefix);
    free(lending->source);
    free(lending->policy);
    free(lending->place);
}

/* 0, with what the store said. */
static int ask(const struct lending *lending, const struct trial *trial, int *status) {
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    const char *const buckets[] = {lending->probing->bucket, lending->other, lending->strange, NULL};
    const char *const keys[] = {NULL, lending->inside, lending->beside};
    struct remote_request request = {
        .method = trial->method,
        .bucket = buckets[trial->place],
        .key = keys[trial->name],
        .query = &trial->query,
        .query_count = trial->query.name ? 1 : 0,
        .headers = &trial->header,
        .header_count = trial->header.name ? 1 : 0,
        .body = trial->body,
        .body_size = trial->body ? strlen(trial->body) : 0,
        .body_md5 = trial->body != NULL,
        .as = lending->keys,
    };
    int error = remote_perform(lending->probing->remote, &request, &answer, lending->probing->fault);
    *status = answer.status;
    return error;
}

/* What the store does not know at all (405, 501) cannot be done either. */
static bool is_refusal(int status) {
    return status == 401 || status == 403 || status == 405 || status == 501;
}

static int unsafe(struct lending *lending, const char *what, int status) {
    lending->out->lending = PROOF_LENDING_REFUSED;
    snprintf(lending->out->lending_why, sizeof lending->out->lending_why, "%s (the store answered %d)", what, status);
    return 0;
}

static bool is_settled(const struct lending *lending) {
    return lending->out->lending == PROOF_LENDING_REFUSED;
}

/* Each must be refused; the first that is not settles it. */
static int try_all(struct lending *lending, const struct trial *trials, size_t count) {
    int error = 0;
    for (size_t i = 0; i < count && !error && !is_settled(lending); i++) {
        int status = 0;
        error = ask(lending, &trials[i], &status);
        if (!error && !is_refusal(status)) {
            AUTO_FREE char *what = text_format("keys that are lent to a client can %s", trials[i].what);
            unsafe(lending, what ? what : trials[i].what, status);
        }
    }
    return error;
}

/* What they are for must work, or the mode is of no use. */
static int try_use(struct lending *lending) {
    const struct trial uses[] = {
        {"write", "PUT", OWN, INSIDE, {0}, {0}, "mine"},
        {"read", "GET", OWN, INSIDE, {0}, {0}, NULL},
        {"list", "GET", OWN, NONE, {"prefix", lending->prefix}, {0}, NULL},
    };
    int error = 0;
    for (size_t i = 0; i < sizeof uses / sizeof *uses && !error && !is_settled(lending); i++) {
        int status = 0;
        error = ask(lending, &uses[i], &status);
        if (!error && status / 100 != 2) {
            AUTO_FREE char *what = text_format("the role's keys cannot %s in an account's own bucket", uses[i].what);
            unsafe(lending, what ? what : uses[i].what, status);
        }
    }
    return error;
}

static int try_other_buckets(struct lending *lending) {
    const struct trial trials[] = {
        {"read in another account's bucket", "GET", OTHER, INSIDE, {0}, {0}, NULL},
        {"write into another account's bucket", "PUT", OTHER, INSIDE, {0}, {0}, "foreign"},
        {"delete in another account's bucket", "DELETE", OTHER, INSIDE, {0}, {0}, NULL},
        {"list another account's bucket", "GET", OTHER, NONE, {"list-type", "2"}, {0}, NULL},
        {"list the versions in another account's bucket", "GET", OTHER, NONE, {"versions", NULL}, {0}, NULL},
        {"copy another account's file", "PUT", OWN, INSIDE, {0}, {"x-amz-copy-source", lending->source}, NULL},
        {"list the buckets", "GET", NOWHERE, NONE, {0}, {0}, NULL},
        {"create a bucket", "PUT", NEW, NONE, {0}, {0}, lending->place},
        {"set another bucket's versions",
         "PUT",
         OTHER,
         NONE,
         {"versioning", NULL},
         {0},
         "<VersioningConfiguration " XMLNS "><Status>Suspended</Status></VersioningConfiguration>"},
    };
    return try_all(lending, trials, sizeof trials / sizeof *trials);
}

static int try_settings(struct lending *lending) {
    const struct trial trials[] = {
        {"set the bucket's access list", "PUT", OWN, NONE, {"acl", NULL}, {"x-amz-acl", "public-read"}, NULL},
        {"set a file's access list", "PUT", OWN, INSIDE, {"acl", NULL}, {"x-amz-acl", "public-read"}, NULL},
        {"set the bucket's policy", "PUT", OWN, NONE, {"policy", NULL}, {0}, lending->policy},
        {"turn versions off",
         "PUT",
         OWN,
         NONE,
         {"versioning", NULL},
         {0},
         "<VersioningConfiguration " XMLNS "><Status>Suspended</Status></VersioningConfiguration>"},
        {"set the bucket's lifecycle",
         "PUT",
         OWN,
         NONE,
         {"lifecycle", NULL},
         {0},
         "<LifecycleConfiguration " XMLNS "><Rule><ID>x</ID><Filter><Prefix>none/</Prefix></Filter><Status>Enabled"
         "</Status><Expiration><Days>3000</Days></Expiration></Rule></LifecycleConfiguration>"},
        {"open the bucket to the public",
         "PUT",
         OWN,
         NONE,
         {"publicAccessBlock", NULL},
         {0},
         "<PublicAccessBlockConfiguration " XMLNS "><BlockPublicAcls>false</BlockPublicAcls><IgnorePublicAcls>false"
         "</IgnorePublicAcls><BlockPublicPolicy>false</BlockPublicPolicy><RestrictPublicBuckets>false"
         "</RestrictPublicBuckets></PublicAccessBlockConfiguration>"},
    };
    return try_all(lending, trials, sizeof trials / sizeof *trials);
}

static int try_beside(struct lending *lending) {
    const struct trial trials[] = {
        {"read beside the account's prefix", "GET", OWN, BESIDE, {0}, {0}, NULL},
        {"write beside the account's prefix", "PUT", OWN, BESIDE, {0}, {0}, "beside"},
        {"delete beside the account's prefix", "DELETE", OWN, BESIDE, {0}, {0}, NULL},
        {"list beside the account's prefix", "GET", OWN, NONE, {"list-type", "2"}, {0}, NULL},
        {"list versions beside the account's prefix", "GET", OWN, NONE, {"versions", NULL}, {0}, NULL},
    };
    return try_all(lending, trials, sizeof trials / sizeof *trials);
}

/* History stays: a version is not theirs to destroy. */
static int try_version(struct lending *lending) {
    CLEANUP(transfer_answer_finish) struct transfer_answer put = {0};
    struct remote_request request = {
        .method = "PUT", .bucket = lending->probing->bucket, .key = lending->inside, .body = "old", .body_size = 3};
    int error = remote_perform(lending->probing->remote, &request, &put, lending->probing->fault);
    const struct trial trial = {"destroy an older version",
                                "DELETE",
                                OWN,
                                INSIDE,
                                {"versionId", put.version ? put.version : "null"},
                                {0},
                                NULL};
    return error ? error : try_all(lending, &trial, 1);
}

/* A public access list may be taken if it opens nothing. */
static int try_public(struct lending *lending) {
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    const struct trial trial = {"", "PUT", OWN, INSIDE, {0}, {"x-amz-acl", "public-read"}, "public"};
    struct remote_request stranger = {
        .method = "GET", .bucket = lending->probing->bucket, .key = lending->inside, .anonymous = true};
    int status = 0, error = ask(lending, &trial, &status);
    if (!error)
        error = remote_perform(lending->probing->remote, &stranger, &answer, lending->probing->fault);
    return error || is_refusal(answer.status)
               ? error
               : unsafe(lending, "keys that are lent to a client can open a file to everybody", answer.status);
}

/* At every address of the store that this server knows. */
static int try_role(struct lending *lending) {
    const struct config *config = lending->probing->remote->config;
    const char *const origins[] = {config->sts_endpoint, config->endpoint, config->public_endpoint};
    int error = 0;
    for (size_t i = 0; i < 3 && !error && !is_settled(lending); i++) {
        bool assumed = false;
        if (origins[i])
            error = role_is_assumed_by(lending->probing->remote, lending->keys, origins[i], &assumed,
                                       lending->probing->fault);
        if (!error && assumed)
            unsafe(lending,
                   "keys that are lent to a client can take on the role anew, with all that it may do: deny "
                   "sts:AssumeRole to the role itself in its trust policy",
                   200);
    }
    return error;
}

static int make_texts(struct lending *lending, const char *prefix) {
    const struct probing *probing = lending->probing;
    const char *region = probing->remote->config->region;
    snprintf(lending->inside, sizeof lending->inside, "%s/in/lent", probing->run);
    snprintf(lending->beside, sizeof lending->beside, "%s/out/lent", probing->run);
    lending->prefix = strdup(*prefix ? prefix : probing->run);
    lending->source = text_format("/%s/%s", lending->other, lending->inside);
    lending->strange = strdup(lending->other);
    lending->policy = text_format("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":"
                                  "\"*\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::%s/*\"}]}",
                                  probing->bucket);
    if (!lending->prefix || !lending->source || !lending->strange || !lending->policy)
        return -ENOMEM;
    memcpy(lending->strange, "zz", 2); /* another name of the same length */
    if (!text_equal(region, "us-east-1"))
        lending->place = text_format("<CreateBucketConfiguration " XMLNS "><LocationConstraint>%s</LocationConstraint>"
                                     "</CreateBucketConfiguration>",
                                     region);
    return lending->place || text_equal(region, "us-east-1") ? 0 : -ENOMEM;
}

/* If it could be created after all. */
static void remove_strange(const struct lending *lending) {
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    struct remote_request request = {.method = "DELETE", .bucket = lending->strange};
    remote_perform(lending->probing->remote, &request, &answer, NULL);
}

/* With keys for this prefix of the probe bucket. */
static int try_prefix(struct probing *probing, const char *other, struct role *role, const char *prefix,
                      struct proof *out) {
    CLEANUP(lease_finish) struct lease keys = {0};
    CLEANUP(lending_finish) struct lending lending = {.probing = probing, .other = other, .keys = &keys, .out = out};
    int (*const trials[])(struct lending *) = {try_use,     try_role,   try_other_buckets, try_settings,
                                               try_version, try_public, try_beside};
    size_t count = sizeof trials / sizeof *trials - (*prefix ? 0 : 1);
    int error = make_texts(&lending, prefix);
    if (!error)
        error = role_get(role, probing->bucket, prefix, &keys, probing->fault);
    if (error == PAIL_DENIED || error == PAIL_DAMAGED) {
        unsafe(&lending, "the role cannot be taken on for 15 minutes", 0);
        return 0;
    }
    struct probing elsewhere = *probing;
    elsewhere.bucket = other;
    if (!error)
        probing_put(&elsewhere, lending.inside, "another account's bytes", no_header);
    if (!error)
        probing_put(probing, lending.beside, "another account's bytes", no_header);
    error = error ? error : elsewhere.error ? elsewhere.error : probing->error;
    for (size_t i = 0; i < count && !error && !is_settled(&lending); i++)
        error = trials[i](&lending);
    if (is_settled(&lending))
        remove_strange(&lending);
    if (!error && !is_settled(&lending) && !*prefix)
        error = proof_deletes_many(probing, &keys, &out->lent_delete_many);
    if (!error && !is_settled(&lending) && !*prefix)
        error = proof_copies_parts(probing, other, &keys, &out->lent_part_copy);
    return error;
}

int proof_lending_run(struct probing *probing, const char *other, struct role *lending, struct proof *out) {
    AUTO_FREE char *prefix = text_format("%s/in/", probing->run);
    int error = prefix ? try_prefix(probing, other, lending, "", out) : -ENOMEM;
    if (!error && out->lending != PROOF_LENDING_REFUSED)
        error = try_prefix(probing, other, lending, prefix, out);
    if (!error && out->lending != PROOF_LENDING_REFUSED)
        out->lending = PROOF_LENDING_SAFE;
    return error;
}

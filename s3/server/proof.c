/* Proving the store: the probe buckets, the whole run, and what is kept of it. */
#include "s3/server/proof.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/server/bucket.h"
#include "s3/server/config.h"
#include "s3/server/proof_parts.h"
#include "s3/server/purge.h"
#include "s3/wire.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PROOF "proof 2" /* counted up when more is proven, so that what is kept of less does not count */
#define FEATURE(wire, member)                                                                                          \
    { wire, offsetof(struct store_features, member) }
const struct proof_feature proof_features[] = {
    FEATURE(WIRE_FEATURE_PUT_IF_ABSENT, put_if_absent),
    FEATURE(WIRE_FEATURE_PUT_IF_MATCH, put_if_match),
    FEATURE(WIRE_FEATURE_COMPLETE_IF_ABSENT, complete_if_absent),
    FEATURE(WIRE_FEATURE_COMPLETE_IF_MATCH, complete_if_match),
    FEATURE(WIRE_FEATURE_COMPLETE_SIZE, complete_size),
    FEATURE(WIRE_FEATURE_COPY_IF_ABSENT, copy_if_absent),
    FEATURE(WIRE_FEATURE_COPY_IF_MATCH, copy_if_match),
    FEATURE(WIRE_FEATURE_COPY_SOURCE_IF_MATCH, copy_source_if_match),
    FEATURE(WIRE_FEATURE_PART_COPY_SOURCE_IF_MATCH, part_copy_source_if_match),
    FEATURE(WIRE_FEATURE_DELETE_IF_MATCH, delete_if_match),
    FEATURE(WIRE_FEATURE_DELETE_MANY_IF_MATCH, delete_many_if_match),
    FEATURE(WIRE_FEATURE_CONTENT_MD5, content_md5),
    FEATURE(WIRE_FEATURE_CRC32C, crc32c),
    FEATURE(WIRE_FEATURE_SHA256, sha256),
    FEATURE(WIRE_FEATURE_QUOTED_ETAG, quoted_etag),
};
const size_t proof_feature_count = sizeof proof_features / sizeof *proof_features;

bool *proof_place(struct store_features *features, const struct proof_feature *feature) {
    return (bool *)((char *)features + feature->place);
}

bool proof_holds(const struct store_features *features, const struct proof_feature *feature) {
    return *(const bool *)((const char *)features + feature->place);
}

bool proof_has_all_conditions(const struct store_features *f) {
    return f->put_if_absent && f->put_if_match && f->complete_if_absent && f->complete_if_match && f->copy_if_absent &&
           f->copy_if_match && f->copy_source_if_match && f->part_copy_source_if_match && f->delete_if_match &&
           f->delete_many_if_match;
}

/* Probe buckets. */

static int probe_name(struct remote *remote, struct users *users, const char *kind, char **name, char **mark,
                      struct fault *fault) {
    char proposed[33];
    AUTO_FREE char *installation = NULL;
    random_hex(proposed, 16);
    int error = users_settle_fact(users, "installation", proposed, &installation, fault);
    if (error)
        return error;
    AUTO_FREE char *seed = text_format("probe %s %s", kind, installation);
    AUTO_FREE char *prefix = text_format("%s-probe", remote->config->bucket_prefix);
    *name = seed && prefix ? bucket_name(prefix, seed, strlen(seed), 0) : NULL;
    *mark = seed ? bucket_mark("probe", seed) : NULL;
    return *name && *mark ? 0 : -ENOMEM;
}

static int probe_bucket(struct remote *remote, struct users *users, const char *kind, char **bucket,
                        struct fault *fault) {
    AUTO_FREE char *name = NULL, *mark = NULL;
    int error = probe_name(remote, users, kind, &name, &mark, fault);
    if (!error)
        error = bucket_create(remote, name, mark, fault);
    if (error == BUCKET_TAKEN)
        return fault_set(fault, PAIL_DENIED, "[store] bucket_prefix = \"%s\": the probe bucket %s is somebody else's",
                         remote->config->bucket_prefix, name);
    if (!error)
        *bucket = TAKE(name);
    return error;
}

static const char *kind_of(bool versioned) {
    return versioned ? "versioned" : "plain";
}

int proof_ask(struct remote *remote, struct users *users, bool versioned, struct fault *fault) {
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    AUTO_FREE char *name = NULL, *mark = NULL;
    int error = probe_name(remote, users, kind_of(versioned), &name, &mark, fault);
    if (error)
        return error;
    struct sign_pair query = {"tagging", NULL}; /* what every policy for the server has to allow */
    struct remote_request request = {
        .method = "GET", .bucket = name, .query = &query, .query_count = 1, .once = true, .ours = true};
    error = remote_perform(remote, &request, &answer, fault);
    return error || answer.status < 500 ? error : fault_set(fault, PAIL_OFFLINE, "it answers HTTP %d", answer.status);
}

/* Ceph 16 refuses every put once BlockPublicAcls is set: that flag is then taken back. */
static int prove_block(struct probing *probing, bool *block) {
    char key[64];
    *block = true;
    int error = bucket_block_public(probing->remote, probing->bucket, true, probing->fault);
    probing_key(probing, key);
    if (!error && probing_put(probing, key, "plain", no_header) == 403) {
        *block = false;
        error = bucket_block_public(probing->remote, probing->bucket, false, probing->fault);
    }
    return error ? error : probing->error;
}

static int prove_bucket(struct probing *probing, const char *other, struct role *role, struct role *lending,
                        bool versioned, struct proof *out) {
    int error = prove_block(probing, &out->block_public_acls);
    struct bucket_wishes wishes = {.block_public_acls = out->block_public_acls, .keep_versions_d = versioned ? 1 : 0};
    if (!error)
        error = bucket_configure(probing->remote, probing->bucket, &wishes, probing->fault);
    if (!error)
        error = proof_added_run(probing, other, role, out);
    if (!error)
        error = proof_trials_run(probing, &out->features);
    return error || !lending ? error : proof_lending_run(probing, other, lending, out);
}

int proof_run(struct remote *remote, struct users *users, struct role *role, struct role *lending, bool versioned,
              struct proof *out, struct fault *fault) {
    *out = (struct proof){0};
    AUTO_FREE char *bucket = NULL, *other = NULL;
    int error = probe_bucket(remote, users, kind_of(versioned), &bucket, fault);
    if (!error)
        error = probe_bucket(remote, users, "other", &other, fault);
    if (error)
        return error;
    struct probing probing;
    probing_start(&probing, remote, bucket, fault);
    int64_t began = clock_monotonic_ms();
    error = prove_bucket(&probing, other, role, lending, versioned, out);
    struct fault ignored;
    purge_run(remote, bucket, probing.run, NULL, &ignored);
    purge_run(remote, other, probing.run, NULL, &ignored);
    if (error)
        return error;
    out->proven_s = clock_realtime_s();
    log_info("The store was proven in %lld ms", (long long)(clock_monotonic_ms() - began));
    return 0;
}

/* In the database. */

static char *fact_name(const struct config *config, bool versioned) {
    return text_format(PROOF " %s %s", config->endpoint, versioned ? "versioned" : "plain");
}

/* It holds for the role that it was proven with. */
static void save_lending(struct json *object, const struct config *config, const struct proof *proof) {
    json_add_text(object, "lending_role", config->role_arn);
    json_add_integer(object, "lending", proof->lending);
    json_add_text(object, "lending_why", proof->lending_why);
    json_add_boolean(object, "lent_delete_many", proof->lent_delete_many);
    json_add_boolean(object, "lent_part_copy", proof->lent_part_copy);
}

static void load_lending(const struct json *object, const struct config *config, struct proof *out) {
    const char *role = json_get_text(object, "lending_role"), *why = json_get_text(object, "lending_why");
    if (!role || !text_equal(role, config->role_arn))
        return;
    out->lending = (enum proof_lending)json_get_integer(object, "lending", PROOF_LENDING_UNTRIED);
    snprintf(out->lending_why, sizeof out->lending_why, "%s", why ? why : "");
    out->lent_delete_many = json_get_boolean(object, "lent_delete_many", false);
    out->lent_part_copy = json_get_boolean(object, "lent_part_copy", false);
}

int proof_save(struct users *users, const struct config *config, bool versioned, const struct proof *proof,
               struct fault *fault) {
    AUTO_JSON struct json *object = json_object();
    for (size_t i = 0; i < proof_feature_count; i++)
        json_add_boolean(object, proof_features[i].name, proof_holds(&proof->features, &proof_features[i]));
    json_add_boolean(object, "block_public_acls", proof->block_public_acls);
    json_add_boolean(object, "refuses_added", proof->refuses_added);
    json_add_integer(object, "delete_many", proof->delete_many);
    json_add_integer(object, "part_copy", proof->part_copy);
    if (proof->lending)
        save_lending(object, config, proof);
    json_add_integer(object, "proven", proof->proven_s);
    AUTO_FREE char *text = json_print(object);
    AUTO_FREE char *name = fact_name(config, versioned);
    return text && name ? users_put_fact(users, name, text, fault) : -ENOMEM;
}

int proof_load(struct users *users, const struct config *config, bool versioned, struct proof *out) {
    AUTO_FREE char *name = fact_name(config, versioned), *text = NULL;
    AUTO_JSON struct json *object = NULL;
    *out = (struct proof){0};
    int error = name ? users_get_fact(users, name, &text, NULL, NULL) : -ENOMEM;
    if (error)
        return error;
    if (json_parse(&object, text, strlen(text)))
        return -ENOENT;
    for (size_t i = 0; i < proof_feature_count; i++)
        *proof_place(&out->features, &proof_features[i]) = json_get_boolean(object, proof_features[i].name, false);
    out->block_public_acls = json_get_boolean(object, "block_public_acls", false);
    out->refuses_added = json_get_boolean(object, "refuses_added", false);
    out->delete_many = (enum proof_signer)json_get_integer(object, "delete_many", PROOF_NOBODY);
    out->part_copy = (enum proof_signer)json_get_integer(object, "part_copy", PROOF_NOBODY);
    load_lending(object, config, out);
    out->proven_s = json_get_integer(object, "proven", 0);
    return 0;
}

/* What a client can add to a grant: proven to be refused, or to reach nothing of another account. */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/listing.h"
#include "s3/server/config.h"
#include "s3/server/probing.h"
#include "s3/server/proof_parts.h"

#include <stdio.h>
#include <string.h>

/* A client that adds x-amz-* headers to a grant: with keys NULL signed by the server's own keys, as grants usually are.
 * other holds an object that the grant must never reach. */

static const char all_users[] = "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"";

static int send_added(struct probing *probing, const char *key, const struct lease *keys, struct sign_pair added,
                      int *status) {
    AUTO_FREE char *url = NULL;
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    struct remote_request request = {.method = "PUT", .bucket = probing->bucket, .key = key, .as = keys};
    int error = remote_presign(probing->remote, &request, 300, &url, probing->fault);
    if (!error)
        error = remote_send(probing->remote, "PUT", url, &added, added.name ? 1 : 0, "", 0, &answer, probing->fault);
    *status = answer.status;
    return error;
}

static int read_as_stranger(struct probing *probing, const char *key, bool *readable) {
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    struct remote_request request = {.method = "GET", .bucket = probing->bucket, .key = key, .anonymous = true};
    int error = remote_perform(probing->remote, &request, &answer, probing->fault);
    *readable = answer.status / 100 == 2;
    return error;
}

/* *held: the header was refused; or, with may_ignore, it opened nothing to strangers although it was taken. */
static int try_header(struct probing *probing, const struct lease *keys, struct sign_pair added, bool may_ignore,
                      bool *held) {
    char key[64];
    int status = 0;
    bool readable = true;
    probing_key(probing, key);
    int error = send_added(probing, key, keys, added, &status);
    *held = status >= 400 && status < 500;
    if (error || *held || !may_ignore)
        return error;
    error = read_as_stranger(probing, key, &readable);
    *held = !readable;
    return error;
}

/* What no grant may reach, as x-amz-copy-source names it: an object of another account's bucket, and one below another
 * account's prefix of the same bucket. */
struct foreign {
    char bucket[160], prefix[160];
};

static int make_foreign(struct probing *probing, const char *other, struct foreign *foreign) {
    char key[64], beside[100];
    probing_key(probing, key);
    snprintf(beside, sizeof beside, "%s-beside/%s", probing->run, key);
    struct probing elsewhere = *probing;
    elsewhere.bucket = other;
    probing_put(&elsewhere, key, "another account's bytes", no_header);
    probing_put(probing, beside, "another account's bytes", no_header);
    probing_source(&elsewhere, key, foreign->bucket);
    probing_source(probing, beside, foreign->prefix);
    return elsewhere.error ? elsewhere.error : probing->error;
}

/* 0 and *held; an error when even the plain grant does not work. */
static int try_added(struct probing *probing, const char *other, const struct lease *keys, bool *held) {
    char plain[64];
    int status = 0;
    struct foreign foreign = {0};
    probing_key(probing, plain);
    int error = make_foreign(probing, other, &foreign);
    const struct sign_pair added[] = {{"x-amz-copy-source", foreign.bucket},
                                      {"x-amz-copy-source", foreign.prefix},
                                      {"x-amz-acl", "public-read"},
                                      {"x-amz-grant-read", all_users}};
    if (!error)
        error = send_added(probing, plain, keys, no_header, &status);
    if (!error && status / 100 != 2)
        return fault_set(probing->fault, PAIL_DENIED, "the store refuses a plain grant%s (HTTP %d)",
                         keys ? " signed with the role's keys" : "", status);
    *held = true;
    for (size_t i = 0; i < sizeof added / sizeof *added && !error; i++) {
        bool this_held = false;
        error = try_header(probing, keys, added[i], keys && i > 1, &this_held);
        *held &= this_held;
        if (!error && !this_held)
            log_info("The store obeys %s when it is added to a grant%s", added[i].name,
                     keys ? " signed with the role's keys" : "");
    }
    return error;
}

/* Where the role signs: what it may not do on this store, and whether the server's own keys can do it safely. */

static void write_deletion(const char *key, char out[300]) {
    snprintf(
        out, 300,
        "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet><Object><Key>%s</Key></Object>"
        "</Delete>",
        key);
}

int proof_deletes_many(struct probing *probing, const struct lease *keys, bool *works) {
    char key[64], body[300];
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    struct sign_pair query = {"delete", NULL};
    probing_key(probing, key);
    probing_put(probing, key, "one", no_header);
    write_deletion(key, body);
    struct remote_request request = {.method = "POST",
                                     .bucket = probing->bucket,
                                     .query = &query,
                                     .query_count = 1,
                                     .body = body,
                                     .body_size = strlen(body),
                                     .body_md5 = true,
                                     .as = keys};
    int error = remote_perform(probing->remote, &request, &answer, probing->fault);
    *works = !error && !probing_exists(probing, key);
    return error ? error : probing->error;
}

/* Whether a body other than the signed one is refused. */
static int body_is_bound(struct probing *probing, bool *bound) {
    char signed_key[64], other_key[64], body[300], other[300];
    struct probing_answer answer;
    AUTO_FREE char *sha256 = NULL;
    probing_key(probing, signed_key);
    probing_key(probing, other_key);
    probing_put(probing, other_key, "one", no_header);
    write_deletion(signed_key, body);
    write_deletion(other_key, other);
    if (checksum_hex(CHECKSUM_SHA256, body, strlen(body), &sha256))
        return -ENOMEM;
    struct probing_request request = {.method = "POST", .query = {{"delete", NULL}}, .body = other, .sha256 = sha256};
    probing_ask(probing, &request, &answer);
    *bound = answer.status >= 400 && answer.status < 500 && probing_exists(probing, other_key);
    return probing->error;
}

struct part_copies {
    char key[64], source[160], foreign[160], upload[600];
};

/* A pre-signed part copy, sent with its signed headers, and one more before or behind them. *etag, owned by the caller:
 * of what was copied; NULL: refused with 4xx; "" for any other answer. */
static int send_part_copy(struct probing *probing, const struct lease *keys, const struct part_copies *copies,
                          struct sign_pair more, bool before, char **etag) {
    AUTO_FREE char *url = NULL;
    CLEANUP(listing_error_finish) struct listing_error refused = {0};
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    struct sign_pair query[] = {{"partNumber", "1"}, {"uploadId", copies->upload}};
    struct sign_pair sent[4] = {
        more, {"x-amz-copy-source", copies->source}, {"x-amz-copy-source-range", "bytes=0-2"}, more};
    struct remote_request request = {.method = "PUT",
                                     .bucket = probing->bucket,
                                     .key = copies->key,
                                     .query = query,
                                     .query_count = 2,
                                     .headers = sent + 1,
                                     .header_count = 2,
                                     .as = keys};
    int error = remote_presign(probing->remote, &request, 300, &url, probing->fault);
    if (!error)
        error = remote_send(probing->remote, "PUT", url, before && more.name ? sent : sent + 1, more.name ? 3 : 2, "",
                            0, &answer, probing->fault);
    if (error || (answer.status >= 400 && answer.status < 500))
        return error;
    if (answer.status / 100 == 2 && answer.body)
        listing_parse_result(answer.body, answer.body_size, etag, &refused);
    if (!*etag)
        *etag = strdup("");
    return *etag ? 0 : -ENOMEM;
}

static void begin_part_copies(struct probing *probing, const char *other, struct part_copies *copies) {
    char source[64], ignored[PROBING_ETAG + 2];
    struct probing_answer answer;
    probing_make(probing, "source", source, ignored);
    probing_source(probing, source, copies->source);
    snprintf(copies->foreign, sizeof copies->foreign, "/%s/%s", other, source);
    struct probing elsewhere = *probing;
    elsewhere.bucket = other;
    probing_put(&elsewhere, source, "another account's bytes", no_header);
    probing_key(probing, copies->key);
    probing_ask(probing, &(struct probing_request){.method = "POST", .key = copies->key, .query = {{"uploads", NULL}}},
                &answer);
    snprintf(copies->upload, sizeof copies->upload, "%s", answer.upload);
}

/* Whether the plain one works, and each with another source or range added to it is refused or copies the same. */
static int own_part_copy_is_safe(struct probing *probing, const struct part_copies *copies, bool *safe) {
    const struct sign_pair added[] = {{"x-amz-copy-source", copies->foreign}, {"x-amz-copy-source-range", "bytes=3-5"}};
    AUTO_FREE char *plain = NULL;
    int error = send_part_copy(probing, NULL, copies, no_header, false, &plain);
    *safe = plain && *plain;
    for (int i = 0; i < 4 && !error && *safe; i++) {
        AUTO_FREE char *etag = NULL;
        error = send_part_copy(probing, NULL, copies, added[i / 2], i % 2, &etag);
        *safe = !etag || !strcmp(etag, plain);
    }
    return error;
}

int proof_copies_parts(struct probing *probing, const char *other, const struct lease *keys, bool *works) {
    AUTO_FREE char *etag = NULL;
    struct part_copies copies = {0};
    begin_part_copies(probing, other, &copies);
    int error = probing->error ? probing->error : send_part_copy(probing, keys, &copies, no_header, false, &etag);
    probing_abort(probing, copies.key, copies.upload);
    *works = etag && *etag;
    return error;
}

static enum proof_signer choose(bool role, bool own) {
    return role ? PROOF_ROLE : own ? PROOF_OWN : PROOF_NOBODY;
}

static int prove_signers(struct probing *probing, const char *other, const struct lease *keys, struct proof *out) {
    bool role = false, own = false;
    AUTO_FREE char *etag = NULL;
    int error = proof_deletes_many(probing, keys, &role);
    if (!error)
        error = body_is_bound(probing, &own);
    if (error)
        return error;
    out->delete_many = choose(role, own);
    struct part_copies copies = {0};
    begin_part_copies(probing, other, &copies);
    error = probing->error ? probing->error : send_part_copy(probing, keys, &copies, no_header, false, &etag);
    if (!error)
        error = own_part_copy_is_safe(probing, &copies, &own);
    probing_abort(probing, copies.key, copies.upload);
    out->part_copy = choose(etag && *etag, own);
    return error;
}

/* A key is taken as it is: were "a/../b" "b", a name could climb out of an account's prefix, or of its bucket. */
static int prove_keys_stay(struct probing *probing) {
    char key[64], copied[64], climbing[100], source[160];
    struct probing_answer answer;
    probing_key(probing, key);
    probing_key(probing, copied);
    snprintf(climbing, sizeof climbing, "%s/below/../%s", probing->run, key + strlen(probing->run) + 1);
    probing_put(probing, climbing, "by way of ..", no_header);
    bool climbed = probing_exists(probing, key);
    probing_ask(probing, &(struct probing_request){.method = "DELETE", .key = climbing}, &answer);
    probing_put(probing, key, "at its own place", no_header);
    probing_source(probing, climbing, source);
    probing_put(probing, copied, "", (struct sign_pair){"x-amz-copy-source", source});
    climbed |= probing_exists(probing, copied);
    if (probing->error || !climbed)
        return probing->error;
    return fault_set(probing->fault, PAIL_DENIED,
                     "[store] endpoint = \"%s\": this store takes the key a/../b for b, so that a name could reach "
                     "other accounts' files: it cannot be used",
                     probing->remote->config->endpoint);
}

int proof_added_run(struct probing *probing, const char *other, struct role *role, struct proof *out) {
    CLEANUP(lease_finish) struct lease keys = {0};
    char prefix[sizeof probing->run + 1];
    bool refused = false;
    int error = prove_keys_stay(probing);
    if (!error)
        error = try_added(probing, other, NULL, &out->refuses_added);
    if (error || out->refuses_added)
        return error;
    if (!role)
        return fault_set(probing->fault, PAIL_DENIED,
                         "[store] role_arn = \"\": this store obeys an x-amz-* header that a client adds to a grant, "
                         "which reaches other accounts' files: name a role that the server may take on (AssumeRole)");
    snprintf(prefix, sizeof prefix, "%s/", probing->run);
    error = role_get(role, probing->bucket, prefix, &keys, probing->fault);
    if (!error)
        error = try_added(probing, other, &keys, &refused);
    if (error)
        return fault_prefix(probing->fault, error, "[store] role_arn = \"%s\"", probing->remote->config->role_arn);
    return refused ? prove_signers(probing, other, &keys, out)
                   : fault_set(probing->fault, PAIL_DENIED,
                               "[store] role_arn = \"%s\": grants signed with this role's keys still reach other "
                               "accounts' files: its session policy must be obeyed by the store",
                               probing->remote->config->role_arn);
}

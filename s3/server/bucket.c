/* One bucket: made, told apart from others by its tag, arranged. */
#include "s3/server/bucket.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/listing.h"
#include "s3/server/config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define XMLNS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define TAG "pail-account"
#define HASH_CHARACTERS 20

/* Names. */

static char *hash_hex(const void *seed, size_t size, unsigned char raw[32]) {
    struct checksum *sum = NULL;
    if (checksum_create(&sum, CHECKSUM_SHA256))
        return NULL;
    int got = checksum_add(sum, seed, size);
    if (!got)
        got = checksum_end(sum, raw);
    checksum_destroy(sum);
    return got == 32 ? text_hex(raw, 32) : NULL;
}

static bool hash_characters(const void *seed, size_t size, char text[HASH_CHARACTERS + 1]) {
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648, base32, in lower case */
    unsigned char raw[32] = {0};
    AUTO_FREE char *hex = hash_hex(seed, size, raw);
    for (unsigned i = 0; i < HASH_CHARACTERS; i++) {
        unsigned bit = i * 5, pair = (unsigned)raw[bit / 8] << 8 | raw[bit / 8 + 1];
        text[i] = digits[pair >> (11 - bit % 8) & 31];
    }
    text[HASH_CHARACTERS] = '\0';
    return hex;
}

char *bucket_name(const char *prefix, const void *seed, size_t seed_size, int64_t attempt) {
    char text[HASH_CHARACTERS + 1];
    if (!hash_characters(seed, seed_size, text))
        return NULL;
    return attempt ? text_format("%s-%s-%lld", prefix, text, (long long)attempt) : text_format("%s-%s", prefix, text);
}

char *bucket_account_prefix(const void *seed, size_t seed_size) {
    char text[HASH_CHARACTERS + 1];
    return hash_characters(seed, seed_size, text) ? text_format("%s/", text) : NULL;
}

char *bucket_next_name(const char *bucket, int64_t attempt) {
    size_t base = attempt ? (size_t)(strrchr(bucket, '-') - bucket) : strlen(bucket);
    return text_format("%.*s-%lld", (int)base, bucket, (long long)attempt + 1);
}

char *bucket_mark(const char *issuer, const char *subject) {
    AUTO_BUFFER struct buffer seed = {0};
    unsigned char raw[32];
    if (buffer_append(&seed, issuer, strlen(issuer) + 1) || buffer_append_text(&seed, subject))
        return NULL;
    return hash_hex(seed.data, seed.size, raw);
}

/* Requests about one bucket. */

struct about {
    struct remote *remote;
    const char *bucket;
    struct fault *fault;
    struct transfer_answer answer;
    char *code; /* S3's, of the last refusal */
};

static void about_finish(struct about *about) {
    transfer_answer_finish(&about->answer);
    free(about->code);
}
#define ABOUT(remote_, bucket_, fault_)                                                                                \
    __attribute__((cleanup(about_finish))) struct about about = {                                                      \
        .remote = (remote_), .bucket = (bucket_), .fault = (fault_)}

static int ask(struct about *about, const char *method, const char *parameter, const char *body, const char *what) {
    about_finish(about);
    about->answer = (struct transfer_answer){0};
    about->code = NULL;
    struct sign_pair query = {parameter, NULL};
    struct remote_request request = {
        .method = method,
        .bucket = about->bucket,
        .query = &query,
        .query_count = parameter ? 1 : 0,
        .body = body,
        .body_size = body ? strlen(body) : 0,
        .body_md5 = body != NULL,
    };
    AUTO_FREE char *doing = text_format("%s %s", what, about->bucket);
    if (!doing)
        return -ENOMEM;
    return remote_expect(about->remote, &request, doing, &about->answer, &about->code, about->fault);
}

/* Creating. */

static int send_create(struct about *about) {
    const char *region = about->remote->config->region;
    AUTO_FREE char *body = text_equal(region, "us-east-1") ? NULL
                                                           : text_format("<CreateBucketConfiguration " XMLNS
                                                                         "><LocationConstraint>%s</LocationConstraint>"
                                                                         "</CreateBucketConfiguration>",
                                                                         region);
    int error = ask(about, "PUT", NULL, body, "creating the bucket");
    if (error != PAIL_DENIED || about->answer.status != 409)
        return error;
    if (text_equal(about->code, "BucketAlreadyOwnedByYou"))
        return 0;
    return text_equal(about->code, "BucketAlreadyExists") ? BUCKET_TAKEN : PAIL_OFFLINE;
}

enum tagged { TAGGED_OURS, TAGGED_NONE, TAGGED_OTHER };

static int read_tag(struct about *about, const char *mark, enum tagged *tagged) {
    int error = ask(about, "GET", "tagging", NULL, "reading the tag of the bucket");
    *tagged = TAGGED_NONE;
    if (error == PAIL_DENIED && (about->answer.status == 404 || about->answer.status == 501))
        return text_equal(about->code, "NoSuchBucket") ? error : 0;
    if (error)
        return error;
    const char *body = about->answer.body ? about->answer.body : "";
    if (strstr(body, mark) && strstr(body, TAG))
        *tagged = TAGGED_OURS;
    else if (strstr(body, "<Key>"))
        *tagged = TAGGED_OTHER;
    return 0;
}

static int write_tag(struct about *about, const char *mark) {
    AUTO_FREE char *body =
        text_format("<Tagging " XMLNS "><TagSet><Tag><Key>" TAG "</Key><Value>%s</Value></Tag></TagSet>"
                    "</Tagging>",
                    mark);
    if (!body)
        return -ENOMEM;
    int error = ask(about, "PUT", "tagging", body, "tagging the bucket");
    return error == PAIL_DENIED && about->answer.status == 501 ? 0 : error;
}

static int list_versions(struct about *about, unsigned most, struct store_page *page) {
    about_finish(about);
    about->answer = (struct transfer_answer){0};
    about->code = NULL;
    char number[12];
    snprintf(number, sizeof number, "%u", most);
    struct sign_pair query[] = {{"versions", NULL}, {"encoding-type", "url"}, {"max-keys", number}};
    struct remote_request request = {.method = "GET", .bucket = about->bucket, .query = query, .query_count = 3};
    int error =
        remote_expect(about->remote, &request, "listing the bucket", &about->answer, &about->code, about->fault);
    if (error)
        return error;
    error = listing_parse_versions(about->answer.body ? about->answer.body : "", about->answer.body_size, page);
    return error > 0 ? fault_set(about->fault, error, "the store's list of versions is not understood") : error;
}

static int check_empty(struct about *about) {
    CLEANUP(store_page_finish) struct store_page page = {0};
    int error = list_versions(about, 1, &page);
    return error ? error : page.count ? BUCKET_TAKEN : 0;
}

int bucket_create(struct remote *remote, const char *bucket, const char *mark, struct fault *fault) {
    ABOUT(remote, bucket, fault);
    enum tagged tagged = TAGGED_OTHER;
    int error = send_create(&about);
    if (!error)
        error = read_tag(&about, mark, &tagged);
    if (error || tagged == TAGGED_OURS)
        return error;
    if (tagged == TAGGED_OTHER)
        return BUCKET_TAKEN;
    error = check_empty(&about);
    return error ? error : write_tag(&about, mark);
}

int bucket_find(struct remote *remote, const char *bucket, const char *mark, enum bucket_found *found,
                struct fault *fault) {
    ABOUT(remote, bucket, fault);
    enum tagged tagged = TAGGED_OTHER;
    int error = read_tag(&about, mark, &tagged);
    *found = tagged == TAGGED_OURS ? BUCKET_OURS : tagged == TAGGED_NONE ? BUCKET_UNTAGGED : BUCKET_FOREIGN;
    if (!text_equal(about.code, "NoSuchBucket"))
        return error;
    *found = BUCKET_MISSING;
    return 0;
}

int bucket_delete(struct remote *remote, const char *bucket, struct fault *fault) {
    ABOUT(remote, bucket, fault);
    int error = ask(&about, "DELETE", NULL, NULL, "deleting the bucket");
    if (text_equal(about.code, "NoSuchBucket"))
        return 0;
    return text_equal(about.code, "BucketNotEmpty") ? BUCKET_NOT_EMPTY : error;
}

int bucket_check_mark(struct remote *remote, const char *bucket, const char *mark, struct fault *fault) {
    enum bucket_found found;
    int error = bucket_find(remote, bucket, mark, &found, fault);
    if (!error && found == BUCKET_MISSING)
        return fault_set(fault, PAIL_DENIED, "the bucket %s is not there any more: restore it, or name another",
                         bucket);
    if (!error && found == BUCKET_FOREIGN)
        return fault_set(fault, PAIL_DENIED, "the bucket %s has somebody else's tag now", bucket);
    return error;
}

/* Arranging. */

/* 400 and 404 too: some stores do not know the parameter and take the request for another. */
static bool is_unknown(const struct about *about) {
    int status = about->answer.status;
    return status == 501 || status == 405 || status == 400 || status == 404;
}

static int wish(struct about *about, const char *parameter, const char *body, const char *what) {
    int error = body ? ask(about, "PUT", parameter, body, what) : -ENOMEM;
    if (error != PAIL_DENIED || !is_unknown(about) || text_equal(about->code, "NoSuchBucket"))
        return error;
    log_debug("The store does not know %s (%s): passed over", parameter, about->code);
    return 0;
}

static int block_public(struct about *about, bool block_public_acls) {
    AUTO_FREE char *body =
        text_format("<PublicAccessBlockConfiguration " XMLNS "><BlockPublicAcls>%s</BlockPublicAcls>"
                    "<IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>"
                    "<RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>",
                    block_public_acls ? "true" : "false");
    return wish(about, "publicAccessBlock", body, "blocking public access to");
}

int bucket_block_public(struct remote *remote, const char *bucket, bool block_public_acls, struct fault *fault) {
    ABOUT(remote, bucket, fault);
    return block_public(&about, block_public_acls);
}

static int enforce_owner(struct about *about) {
    return wish(about, "ownershipControls",
                "<OwnershipControls " XMLNS "><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"
                "</OwnershipControls>",
                "enforcing ownership in");
}

static int encrypt(struct about *about) {
    return wish(about, "encryption",
                "<ServerSideEncryptionConfiguration " XMLNS "><Rule><ApplyServerSideEncryptionByDefault>"
                "<SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>"
                "</ServerSideEncryptionConfiguration>",
                "setting the encryption of");
}

static int keep_versions(struct about *about) {
    return ask(about, "PUT", "versioning",
               "<VersioningConfiguration " XMLNS "><Status>Enabled</Status></VersioningConfiguration>",
               "turning on the versions of");
}

static int set_lifecycle(struct about *about, int64_t keep_versions_d) {
    AUTO_FREE char *versions =
        keep_versions_d
            ? text_format("<Rule><ID>pail-versions</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>"
                          "<NoncurrentVersionExpiration><NoncurrentDays>%lld</NoncurrentDays>"
                          "</NoncurrentVersionExpiration><Expiration><ExpiredObjectDeleteMarker>true"
                          "</ExpiredObjectDeleteMarker></Expiration></Rule>",
                          (long long)keep_versions_d)
            : strdup("");
    AUTO_FREE char *body =
        versions
            ? text_format("<LifecycleConfiguration " XMLNS ">%s<Rule><ID>pail-uploads</ID><Filter><Prefix></Prefix>"
                          "</Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>7"
                          "</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>",
                          versions)
            : NULL;
    return wish(about, "lifecycle", body, "setting the lifecycle of");
}

int bucket_configure(struct remote *remote, const char *bucket, const struct bucket_wishes *wishes,
                     struct fault *fault) {
    ABOUT(remote, bucket, fault);
    int error = block_public(&about, wishes->block_public_acls);
    if (!error)
        error = enforce_owner(&about);
    if (!error)
        error = encrypt(&about);
    if (!error && wishes->keep_versions_d)
        error = keep_versions(&about);
    return error ? error : set_lifecycle(&about, wishes->keep_versions_d);
}

/* Checking. */

static int check_acl(struct about *about) {
    int error = ask(about, "GET", "acl", NULL, "reading the access list of");
    if (error)
        return error == PAIL_DENIED && is_unknown(about) ? 0 : error;
    const char *body = about->answer.body ? about->answer.body : "";
    if (strstr(body, "/groups/global/AllUsers") || strstr(body, "/groups/global/AuthenticatedUsers"))
        return fault_set(about->fault, BUCKET_OPEN, "the bucket %s is open to others: take back its access list",
                         about->bucket);
    return 0;
}

static int check_policy(struct about *about) {
    int error = ask(about, "GET", "policyStatus", NULL, "reading the policy of");
    AUTO_FREE char *is_public = NULL;
    if (error)
        return error == PAIL_DENIED ? 0 : error; /* no policy, or a store without them */
    listing_parse_text(about->answer.body ? about->answer.body : "", about->answer.body_size, "PolicyStatus/IsPublic",
                       &is_public);
    if (is_public && !strcasecmp(is_public, "true"))
        return fault_set(about->fault, BUCKET_OPEN, "the bucket %s is open to others: take back its policy",
                         about->bucket);
    return 0;
}

static int check_stranger(struct about *about) {
    about_finish(about);
    about->answer = (struct transfer_answer){0};
    about->code = NULL;
    struct remote_request request = {.method = "GET", .bucket = about->bucket, .anonymous = true};
    int error = remote_perform(about->remote, &request, &about->answer, about->fault);
    if (error)
        return error;
    return about->answer.status / 100 != 2
               ? 0
               : fault_set(about->fault, BUCKET_OPEN, "the bucket %s can be listed by everybody", about->bucket);
}

int bucket_check_private(struct remote *remote, const char *bucket, struct fault *fault) {
    ABOUT(remote, bucket, fault);
    int error = check_stranger(&about);
    if (!error)
        error = check_acl(&about);
    return error ? error : check_policy(&about);
}

/* The canned list "private". Where lists are turned off (owner enforced) it is refused, and not needed. */
static void take_back_list(struct about *about) {
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    struct sign_pair query = {"acl", NULL}, header = {"x-amz-acl", "private"};
    struct remote_request request = {.method = "PUT",
                                     .bucket = about->bucket,
                                     .query = &query,
                                     .query_count = 1,
                                     .headers = &header,
                                     .header_count = 1};
    remote_perform(about->remote, &request, &answer, NULL);
}

/* Somebody wrote it: the log keeps it for them. */
static int take_back_policy(struct about *about) {
    int error = ask(about, "GET", "policy", NULL, "reading the policy of");
    if (!error && about->answer.body)
        log_warning("The bucket %s was opened by this policy, which is taken back: %.2000s", about->bucket,
                    about->answer.body);
    return ask(about, "DELETE", "policy", NULL, "taking back the policy of");
}

int bucket_close(struct remote *remote, const char *bucket, bool block_public_acls, struct fault *fault) {
    ABOUT(remote, bucket, fault);
    int error = block_public(&about, block_public_acls);
    if (error)
        return error;
    take_back_list(&about);
    error = bucket_check_private(remote, bucket, fault);
    if (error != BUCKET_OPEN)
        return error;
    error = take_back_policy(&about);
    return error ? error : bucket_check_private(remote, bucket, fault);
}

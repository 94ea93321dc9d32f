/* Single requests of a probe. */
#include "s3/server/probing.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/listing.h"

#include <stdio.h>
#include <string.h>

void probing_start(struct probing *probing, struct remote *remote, const char *bucket, struct fault *fault) {
    *probing = (struct probing){.remote = remote, .bucket = bucket, .fault = fault};
    random_hex(probing->run, 8);
}

void probing_key(struct probing *probing, char out[64]) {
    snprintf(out, 64, "%s/%u", probing->run, probing->keys++);
}

void probing_condition(const struct probing *probing, const char *etag, char out[PROBING_ETAG + 2]) {
    const char *quote = probing->quoted ? "\"" : "";
    snprintf(out, PROBING_ETAG + 2, "%s%s%s", quote, etag, quote);
}

static int fail_deleted(void *context, const char *key, const char *code, const char *message) {
    (void)key;
    (void)code;
    (void)message;
    *(bool *)context = true;
    return 0;
}

/* What stands in the body of a 2xx: an upload's id, an ETag, or an error all the same. */
static void read_body(const struct transfer_answer *from, struct probing_answer *answer) {
    AUTO_FREE char *upload = NULL, *etag = NULL;
    CLEANUP(listing_error_finish) struct listing_error refused = {0};
    if (!from->body_size)
        return;
    listing_parse_upload_id(from->body, from->body_size, &upload);
    if (upload)
        snprintf(answer->upload, sizeof answer->upload, "%s", upload);
    else if (strstr(from->body, "DeleteResult"))
        listing_parse_deleted(from->body, from->body_size, fail_deleted, &answer->failed);
    else if (!listing_parse_result(from->body, from->body_size, &etag, &refused) && !etag)
        answer->failed = true;
    if (etag && *etag && !*answer->etag)
        snprintf(answer->etag, sizeof answer->etag, "%s", etag);
}

static size_t count_pairs(const struct sign_pair *pairs, size_t most) {
    size_t count = 0;
    while (count < most && pairs[count].name)
        count++;
    return count;
}

void probing_ask(struct probing *probing, const struct probing_request *request, struct probing_answer *answer) {
    *answer = (struct probing_answer){0};
    if (probing->error)
        return;
    CLEANUP(transfer_answer_finish) struct transfer_answer got = {0};
    struct remote_request remote = {
        .method = request->method,
        .bucket = probing->bucket,
        .key = request->key,
        .query = request->query,
        .query_count = count_pairs(request->query, 3),
        .headers = request->headers,
        .header_count = count_pairs(request->headers, 4),
        .body = request->body,
        .body_size = request->body ? strlen(request->body) : 0,
        .body_sha256 = request->sha256,
    };
    for (size_t i = 0; i < remote.query_count; i++)
        remote.body_md5 |= text_equal(request->query[i].name, "delete");
    probing->error = remote_perform(probing->remote, &remote, &got, probing->fault);
    if (probing->error)
        return;
    answer->status = got.status;
    if (got.etag)
        snprintf(answer->etag, sizeof answer->etag, "%s", got.etag);
    if (got.status / 100 == 2)
        read_body(&got, answer);
}

int probing_put(struct probing *probing, const char *key, const char *body, struct sign_pair header) {
    struct probing_answer answer;
    probing_ask(probing, &(struct probing_request){.method = "PUT", .key = key, .headers = {header}, .body = body},
                &answer);
    return answer.status;
}

void probing_etag(struct probing *probing, const char *key, char etag[PROBING_ETAG]) {
    struct probing_answer answer;
    probing_ask(probing, &(struct probing_request){.method = "HEAD", .key = key}, &answer);
    snprintf(etag, PROBING_ETAG, "%s", answer.status == 200 ? answer.etag : "");
}

/* An object that is there, with its ETag as a condition. */
void probing_make(struct probing *probing, const char *body, char key[64], char condition[PROBING_ETAG + 2]) {
    char etag[PROBING_ETAG];
    probing_key(probing, key);
    probing_put(probing, key, body, (struct sign_pair){NULL, NULL});
    probing_etag(probing, key, etag);
    probing_condition(probing, etag, condition);
}

bool probing_exists(struct probing *probing, const char *key) {
    char etag[PROBING_ETAG];
    probing_etag(probing, key, etag);
    return *etag;
}

void probing_abort(struct probing *probing, const char *key, const char *upload) {
    struct probing_answer answer;
    probing_ask(probing, &(struct probing_request){.method = "DELETE", .key = key, .query = {{"uploadId", upload}}},
                &answer);
}

void probing_source(const struct probing *probing, const char *key, char out[160]) {
    snprintf(out, 160, "/%s/%s", probing->bucket, key);
}

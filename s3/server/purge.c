/* Destroying everything below a prefix: the first page is listed again and again until it is empty. */
#include "s3/server/purge.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/listing.h"

#include <stddef.h>
#include <string.h>

#define PAGE "1000" /* S3's most, for a list and for DeleteObjects */
/* Pages of which nothing was there any more: another run is at it, or the store does not delete. */
#define MOST_IDLE 3

struct purge {
    struct remote *remote;
    const char *bucket, *prefix;
    struct fault *fault;
    uint64_t destroyed;
};

/* One page. kind: the parameter that says what is listed. */
static int list(struct purge *purge, const char *kind, const char *most,
                int (*parse)(const char *xml, size_t size, struct store_page *page), struct store_page *page) {
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    AUTO_FREE char *code = NULL;
    struct sign_pair query[] = {{kind, NULL}, {"encoding-type", "url"}, {most, PAGE}, {"prefix", purge->prefix}};
    struct remote_request request = {.method = "GET", .bucket = purge->bucket, .query = query, .query_count = 4};
    int error = remote_expect(purge->remote, &request, "listing what is to be deleted", &answer, &code, purge->fault);
    if (text_equal(code, "NoSuchBucket"))
        return 0;
    if (error)
        return error;
    error = parse(answer.body ? answer.body : "", answer.body_size, page);
    return error > 0 ? fault_set(purge->fault, error, "the store's list is not understood") : error;
}

/* PAIL_GONE: the store has no such version or upload (another run was faster). */
static int destroy_one(struct purge *purge, const char *key, const char *by, const char *id) {
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    AUTO_FREE char *code = NULL;
    struct sign_pair query = {by, id};
    struct remote_request request = {
        .method = "DELETE", .bucket = purge->bucket, .key = key, .query = &query, .query_count = 1};
    int error = remote_expect(purge->remote, &request, "deleting", &answer, &code, purge->fault);
    purge->destroyed += !error;
    return error == PAIL_DENIED && answer.status == 404 ? PAIL_GONE : error;
}

static int destroy_version(struct purge *purge, const struct store_object *object) {
    int error = destroy_one(purge, object->key, "versionId", object->version ? object->version : "null");
    return error == PAIL_GONE ? 0 : error;
}

static int abort_upload(struct purge *purge, const struct store_object *object) {
    int error = destroy_one(purge, object->key, "uploadId", object->version);
    AUTO_FREE char *plain = error == PAIL_GONE ? listing_decode_upload_key(object->key) : NULL;
    if (plain)
        error = destroy_one(purge, plain, "uploadId", object->version);
    return error == PAIL_GONE ? 0 : error;
}

static int destroy_each(struct purge *purge, const struct store_page *page,
                        int (*destroy)(struct purge *purge, const struct store_object *object)) {
    int error = 0;
    for (size_t i = 0; i < page->count && !error; i++)
        error = destroy(purge, &page->objects[i]);
    return error;
}

/* What DeleteObjects did not do: the first of them says why. */
struct kept {
    size_t count;
    struct fault why;
};

static int note_kept(void *context, const char *key, const char *code, const char *message) {
    (void)key;
    struct kept *kept = context;
    if (!kept->count++)
        fault_set(&kept->why, 0, "%s: %s", code ? code : "", message ? message : "");
    return 0;
}

static int read_kept(struct purge *purge, const struct transfer_answer *answer, size_t asked) {
    struct kept kept = {0};
    int error = listing_parse_deleted(answer->body ? answer->body : "", answer->body_size, note_kept, &kept);
    if (error)
        return error < 0 ? error
                         : fault_set(purge->fault, error, "the store's answer to DeleteObjects is not understood");
    purge->destroyed += asked - (kept.count < asked ? kept.count : asked);
    if (!kept.count)
        return 0;
    return fault_set(purge->fault, PAIL_DENIED, "the store keeps %zu of %zu versions back (%s)", kept.count, asked,
                     kept.why.text);
}

/* Where a key is none that XML can hold, or the store has no such request, one by one. */
static int destroy_versions(struct purge *purge, const struct store_page *page) {
    CLEANUP(transfer_answer_finish) struct transfer_answer answer = {0};
    AUTO_FREE char *body = NULL, *code = NULL;
    struct sign_pair query = {"delete", NULL};
    size_t size = 0;
    int error = listing_write_destroy(page->objects, page->count, &body, &size);
    if (error)
        return error == -EILSEQ ? destroy_each(purge, page, destroy_version) : error;
    struct remote_request request = {.method = "POST",
                                     .bucket = purge->bucket,
                                     .query = &query,
                                     .query_count = 1,
                                     .body = body,
                                     .body_size = size,
                                     .body_md5 = true};
    error = remote_expect(purge->remote, &request, "deleting", &answer, &code, purge->fault);
    if (error == PAIL_DENIED && (answer.status == 405 || answer.status == 501))
        return destroy_each(purge, page, destroy_version);
    return error ? error : read_kept(purge, &answer, page->count);
}

static int destroy_uploads(struct purge *purge, const struct store_page *page) {
    return destroy_each(purge, page, abort_upload);
}

static int purge_kind(struct purge *purge, const char *kind, const char *most,
                      int (*parse)(const char *xml, size_t size, struct store_page *page),
                      int (*destroy)(struct purge *purge, const struct store_page *page),
                      const struct purge_watch *watch) {
    for (unsigned idle = 0;;) {
        CLEANUP(store_page_finish) struct store_page page = {0};
        uint64_t before = purge->destroyed;
        int error = list(purge, kind, most, parse, &page);
        if (error || !page.count)
            return error;
        error = destroy(purge, &page);
        if (error)
            return error;
        idle = purge->destroyed == before ? idle + 1 : 0;
        if (idle > MOST_IDLE)
            return fault_set(purge->fault, PAIL_DENIED, "the store lists %zu %s that it does not delete", page.count,
                             kind);
        error = watch ? watch->go_on(watch->context, purge->destroyed) : 0;
        if (error)
            return error;
    }
}

int purge_run(struct remote *remote, const char *bucket, const char *prefix, const struct purge_watch *watch,
              struct fault *fault) {
    struct purge purge = {.remote = remote, .bucket = bucket, .prefix = prefix, .fault = fault};
    int error = purge_kind(&purge, "uploads", "max-uploads", listing_parse_uploads, destroy_uploads, watch);
    return error ? error : purge_kind(&purge, "versions", "max-keys", listing_parse_versions, destroy_versions, watch);
}

/* Listing what an account's bucket holds. */
#include "s3/server/usage.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/listing.h"

#include <string.h>

#define MOST_QUERY 6

struct asking {
    struct remote *remote;
    const char *bucket;
    struct sign_pair query[MOST_QUERY];
    size_t query_count;
    struct transfer_answer answer;
    char *code; /* owned: S3's, of a refusal */
};

static void asking_finish(struct asking *asking) {
    transfer_answer_finish(&asking->answer);
    free(asking->code);
}

static void add(struct asking *asking, const char *name, const char *value) {
    asking->query[asking->query_count++] = (struct sign_pair){name, value};
}

static int ask(struct asking *asking, const char *method, const char *key, struct fault *fault) {
    struct remote_request request = {
        .method = method,
        .bucket = asking->bucket,
        .key = key,
        .query = asking->query,
        .query_count = asking->query_count,
    };
    int error = remote_expect(asking->remote, &request, "counting what is used", &asking->answer, &asking->code, fault);
    return error == PAIL_DENIED && asking->answer.status == 404 ? PAIL_GONE : error;
}

/* Pages of uploads and of versions, which have the same form. */

typedef int parse_page(const char *xml, size_t size, struct store_page *page);
typedef int take_page(struct remote *remote, const char *bucket, const struct store_page *page,
                      const struct usage_visitor *visitor, struct fault *fault);

struct pages {
    const char *what, *most, *marker;
    parse_page *parse;
    take_page *take;
};

static int get_page(struct remote *remote, const char *bucket, const char *prefix, const struct pages *pages,
                    const struct store_page *before, struct store_page *page, struct fault *fault) {
    CLEANUP(asking_finish) struct asking asking = {.remote = remote, .bucket = bucket};
    add(&asking, pages->what, NULL);
    add(&asking, "encoding-type", "url");
    add(&asking, pages->most, "1000");
    add(&asking, "prefix", prefix);
    if (before->next_key_marker)
        add(&asking, "key-marker", before->next_key_marker);
    if (before->next_version_marker)
        add(&asking, pages->marker, before->next_version_marker);
    int error = ask(&asking, "GET", NULL, fault);
    if (error)
        return error;
    const char *body = asking.answer.body ? asking.answer.body : "";
    error = pages->parse(body, asking.answer.body_size, page);
    if (error > 0)
        return fault_set(fault, error, "the store's list of %s is not understood", pages->what);
    page->date_s = asking.answer.date_s;
    return error;
}

/* A store that names the same place again would be asked for ever. */
static bool goes_on(const struct store_page *before, const struct store_page *page) {
    return !text_equal(before->next_key_marker, page->next_key_marker) ||
           !text_equal(before->next_version_marker, page->next_version_marker);
}

static int walk(struct remote *remote, const char *bucket, const char *prefix, const struct pages *pages,
                const struct usage_visitor *visitor, struct fault *fault) {
    CLEANUP(store_page_finish) struct store_page page = {0};
    do {
        CLEANUP(store_page_finish) struct store_page next = {0};
        int error = get_page(remote, bucket, prefix, pages, &page, &next, fault);
        if (!error && next.next_key_marker && !goes_on(&page, &next))
            error = fault_set(fault, PAIL_DAMAGED, "the store's list of %s does not end", pages->what);
        if (!error)
            error = pages->take(remote, bucket, &next, visitor, fault);
        if (error)
            return error;
        store_page_finish(&page);
        page = next;
        next = (struct store_page){0};
    } while (page.next_key_marker);
    return 0;
}

static int find_parts(struct remote *remote, const char *bucket, struct store_object *upload, uint64_t *size,
                      struct fault *fault) {
    int error = usage_parts(remote, bucket, upload->key, upload->version, size, fault);
    AUTO_FREE char *plain = error == PAIL_GONE ? listing_decode_upload_key(upload->key) : NULL;
    if (!plain)
        return error;
    error = usage_parts(remote, bucket, plain, upload->version, size, fault);
    if (!error) {
        free(upload->key);
        upload->key = TAKE(plain);
    }
    return error;
}

static int take_uploads(struct remote *remote, const char *bucket, const struct store_page *page,
                        const struct usage_visitor *visitor, struct fault *fault) {
    for (size_t i = 0; i < page->count; i++) {
        struct store_object *each = &page->objects[i];
        uint64_t size = 0;
        int error = find_parts(remote, bucket, each, &size, fault);
        if (error && error != PAIL_GONE)
            return error;
        visitor->upload(visitor->context, each->key, each->version, error ? 0 : size);
    }
    return 0;
}

static int take_versions(struct remote *remote, const char *bucket, const struct store_page *page,
                         const struct usage_visitor *visitor, struct fault *fault) {
    (void)remote, (void)bucket, (void)fault;
    int64_t ahead_s = page->date_s ? page->date_s - clock_realtime_s() : 0;
    for (size_t i = 0; i < page->count; i++) {
        const struct store_object *each = &page->objects[i];
        visitor->version(visitor->context, each->key, each->delete_marker ? 0 : each->size,
                         each->is_latest && !each->delete_marker, each->modified_s - ahead_s);
    }
    return 0;
}

int usage_walk(struct remote *remote, const char *bucket, const char *prefix, const struct usage_visitor *visitor,
               struct fault *fault) {
    static const struct pages uploads = {"uploads", "max-uploads", "upload-id-marker", listing_parse_uploads,
                                         take_uploads};
    static const struct pages versions = {"versions", "max-keys", "version-id-marker", listing_parse_versions,
                                          take_versions};
    int error = walk(remote, bucket, prefix, &uploads, visitor, fault);
    return error ? error : walk(remote, bucket, prefix, &versions, visitor, fault);
}

/* One object, one upload. */

void usage_object_finish(struct usage_object *object) {
    free(object->version);
    free(object->etag);
    *object = (struct usage_object){0};
}

int usage_look(struct remote *remote, const char *bucket, const char *key, const char *version,
               struct usage_object *out, struct fault *fault) {
    CLEANUP(asking_finish) struct asking asking = {.remote = remote, .bucket = bucket};
    *out = (struct usage_object){0};
    if (version)
        add(&asking, "versionId", version);
    int error = ask(&asking, "HEAD", key, fault);
    if (error)
        return error;
    if (asking.answer.length < 0 || !asking.answer.etag)
        return fault_set(fault, PAIL_DAMAGED, "the store does not say how large an object is");
    *out = (struct usage_object){
        .size = (uint64_t)asking.answer.length,
        .version = TAKE(asking.answer.version),
        .etag = TAKE(asking.answer.etag),
    };
    return 0;
}

static int get_parts(struct remote *remote, const char *bucket, const char *key, const char *upload, char **marker,
                     uint64_t *size, struct fault *fault) {
    CLEANUP(asking_finish) struct asking asking = {.remote = remote, .bucket = bucket};
    CLEANUP(store_parts_finish) struct store_parts parts = {0};
    add(&asking, "uploadId", upload);
    if (*marker)
        add(&asking, "part-number-marker", *marker);
    int error = ask(&asking, "GET", key, fault);
    free(TAKE(*marker));
    if (error)
        return error;
    error = listing_parse_parts(asking.answer.body ? asking.answer.body : "", asking.answer.body_size, &parts, marker);
    for (size_t i = 0; i < parts.count; i++)
        *size += parts.items[i].size;
    return error > 0 ? fault_set(fault, error, "the store's list of parts is not understood") : error;
}

int usage_parts(struct remote *remote, const char *bucket, const char *key, const char *upload, uint64_t *size,
                struct fault *fault) {
    AUTO_FREE char *marker = NULL;
    int error = 0;
    *size = 0;
    for (unsigned page = 0; !error && page <= STORE_MAX_PARTS && (marker || !page); page++)
        error = get_parts(remote, bucket, key, upload, &marker, size, fault);
    return error;
}

/* Reading objects over grants: bytes, which go on where they were after a cut, and heads. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/http_parts.h"
#include "s3/items.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_UP_TO (64u << 20) /* larger objects are read in ranges, which no ETag covers */

/* --- what the headers say of an object --- */

static bool belongs_to_object(const char *name, const char *value) {
    if (strcmp(name, "x-amz-storage-class") == 0)
        return strcmp(value, "STANDARD") != 0;
    return items_header_allowed(name, false) || strcmp(name, "x-amz-website-redirect-location") == 0 ||
           strcmp(name, "x-amz-tagging-count") == 0;
}

static int take_headers(const struct transfer_answer *answer, struct store_headers *out) {
    struct transfer_header header;
    for (size_t position = 0; transfer_answer_next(answer, &position, &header);)
        if (belongs_to_object(header.name, header.value) && store_headers_set(out, header.name, header.value))
            return -ENOMEM;
    return 0;
}

/* In an archive class, and no restored copy beside it. */
static bool is_archived(const struct transfer_answer *answer) {
    const char *class = transfer_answer_header(answer, "x-amz-storage-class");
    const char *restore = transfer_answer_header(answer, "x-amz-restore");
    bool deep = transfer_answer_header(answer, "x-amz-archive-status") != NULL || text_equal(class, "GLACIER") ||
                text_equal(class, "DEEP_ARCHIVE");
    return deep && !(restore && strstr(restore, "ongoing-request=\"false\""));
}

static int describe(const struct transfer_answer *answer, uint64_t size, struct store_object *object) {
    const char *modified = transfer_answer_header(answer, "last-modified");
    object->size = size;
    object->date_s = answer->date_s;
    object->archived = is_archived(answer);
    if (modified && clock_parse_http(modified, &object->modified_s))
        object->modified_s = 0;
    object->etag = strdup(answer->etag ? answer->etag : "");
    if (!object->etag || (answer->version && !(object->version = strdup(answer->version))))
        return -ENOMEM;
    return take_headers(answer, &object->headers);
}

/* --- get --- */

struct getting {
    struct exchange exchange; /* first */
    struct http_store *store;
    const struct store_get *request;
    struct store_object *object;
    bool described; /* object is filled */
    char range[64];
    char *match;          /* owned: If-Match as it is sent */
    struct checksum *md5; /* owned; NULL: not checked */
    const struct store_sink *sink;
};

/* The bytes that are wanted in all, once the object is known. */
static uint64_t wanted(const struct getting *getting) {
    const struct store_get *request = getting->request;
    uint64_t size = getting->object->size, there = size > request->offset ? size - request->offset : 0;
    return request->length && request->length < there ? request->length : there;
}

static int set_match(struct getting *getting) {
    const char *etag = getting->request->if_match;
    if (!etag && getting->described && getting->object->etag[0])
        etag = getting->object->etag;
    if (!etag)
        return 0;
    if (!getting->match && !(getting->match = http_etag(getting->store, etag)))
        return -ENOMEM;
    http_add_extra(&getting->exchange, "If-Match", getting->match);
    return 0;
}

static int prepare_get(struct exchange *exchange) {
    struct getting *getting = (struct getting *)exchange;
    const struct store_get *request = getting->request;
    uint64_t from = request->offset + exchange->sunk;
    exchange->extra_count = 0;
    if (getting->described && exchange->sunk >= wanted(getting))
        return EXCHANGE_DONE;
    if (request->length)
        snprintf(getting->range, sizeof getting->range, "bytes=%" PRIu64 "-%" PRIu64, from,
                 request->offset + request->length - 1);
    else
        snprintf(getting->range, sizeof getting->range, "bytes=%" PRIu64 "-", from);
    if (from || request->length)
        http_add_extra(exchange, "Range", getting->range);
    return set_match(getting);
}

/* Where the answer's bytes begin and how large the whole is; -1: it does not say. */
static int parse_extent(const struct transfer_answer *answer, uint64_t *from, uint64_t *size) {
    const char *range = transfer_answer_header(answer, "content-range");
    uint64_t last;
    *from = 0;
    if (answer->status == 206)
        return range && sscanf(range, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, from, &last, size) == 3 ? 0 : -1;
    *size = (uint64_t)answer->length;
    return answer->length >= 0 ? 0 : -1;
}

static bool is_encrypted(const struct transfer_answer *answer) {
    const char *how = transfer_answer_header(answer, "x-amz-server-side-encryption");
    return (how && strcmp(how, "AES256") != 0) ||
           transfer_answer_header(answer, "x-amz-server-side-encryption-customer-algorithm");
}

/* Whole objects whose ETag is their MD5 are checked against it. */
static int begin_check(struct getting *getting, const struct transfer_answer *answer) {
    bool whole = !getting->request->offset && wanted(getting) == getting->object->size;
    if (!whole || getting->object->size > CHECK_UP_TO || is_encrypted(answer) || getting->store->etag_is_other ||
        !http_is_md5(getting->object->etag))
        return 0;
    return checksum_create(&getting->md5, CHECKSUM_MD5);
}

/* The rest of a read must be of the same version. */
static int begin_again(struct getting *getting, const struct transfer_answer *answer, uint64_t size) {
    bool same = size == getting->object->size && text_equal(answer->etag ? answer->etag : "", getting->object->etag);
    return same ? 0 : PAIL_CONFLICT;
}

static int begin_get(void *context, const struct transfer_answer *answer) {
    struct getting *getting = context;
    uint64_t from = 0, size = 0, expected = getting->request->offset + getting->exchange.sunk;
    if (parse_extent(answer, &from, &size) || from != expected)
        return fault_set(getting->exchange.call ? getting->exchange.call->fault : NULL, PAIL_DAMAGED,
                         "the store did not answer the range that was asked for");
    if (getting->described)
        return begin_again(getting, answer, size);
    int error = describe(answer, size, getting->object);
    if (error)
        return error;
    getting->described = true;
    return begin_check(getting, answer);
}

/* Never more than was asked for, whatever the store sends. */
static int sink_get(void *context, const void *data, size_t size) {
    struct getting *getting = context;
    uint64_t passed = getting->exchange.sunk + getting->exchange.answer.sunk;
    if (passed + size > wanted(getting))
        return PAIL_DAMAGED;
    if (getting->md5 && checksum_add(getting->md5, data, size))
        return -EIO;
    return getting->sink->write(getting->sink->context, data, size);
}

/* A body that ended early without curl's noticing. */
static struct status judge_get(struct exchange *exchange) {
    struct getting *getting = (struct getting *)exchange;
    bool whole = exchange->sunk >= wanted(getting);
    return (struct status){whole ? 0 : PAIL_OFFLINE, whole ? STATUS_FINAL : STATUS_RETRY};
}

static int end_check(struct getting *getting) {
    unsigned char sum[32];
    if (!getting->md5)
        return 0;
    int size = checksum_end(getting->md5, sum);
    if (size < 0)
        return size;
    AUTO_FREE char *hex = text_hex(sum, (size_t)size);
    if (!hex)
        return -ENOMEM;
    if (strcasecmp(hex, getting->object->etag) == 0)
        return 0;
    return fault_set(getting->exchange.call ? getting->exchange.call->fault : NULL, PAIL_DAMAGED,
                     "the bytes of %s are not those that its ETag names", getting->request->key);
}

/* S3 answers 416 to any range of an empty object. */
static int get_empty(struct getting *getting, int error) {
    const struct store_get *request = getting->request;
    const struct transfer_answer *answer = &getting->exchange.answer;
    if (answer->status != 416 || request->offset || getting->exchange.sunk)
        return error;
    struct store_object object = {0};
    int failed = http_head(&getting->store->base, request->key, request->version, &object, getting->exchange.call);
    if (!failed && (object.size || (request->if_match && strcmp(request->if_match, object.etag) != 0)))
        failed = PAIL_CONFLICT;
    if (failed)
        store_object_finish(&object);
    else
        *getting->object = object;
    return failed;
}

static int run_get(struct getting *getting) {
    int error = exchange_run(&getting->exchange);
    if (error)
        error = getting->described ? error : get_empty(getting, error);
    else
        error = end_check(getting);
    exchange_finish(&getting->exchange);
    checksum_destroy(getting->md5);
    free(getting->match);
    return error;
}

/* A name that the store does not find although we wrote it minutes ago, while versioning is young. */
static int doubt_absence(struct http_store *store, const char *key, const struct store_call *call, int error) {
    if (error != PAIL_GONE || !http_is_young(store, key))
        return error;
    return fault_set(call ? call->fault : NULL, PAIL_OFFLINE,
                     "the store does not find %s yet: versioning was turned on a moment ago", key);
}

int http_get(struct store *base, const struct store_get *request, const struct store_sink *sink,
             struct store_object *object, const struct store_call *call) {
    struct http_store *store = http_of(base);
    AUTO_FREE char *key = NULL;
    *object = (struct store_object){0};
    int error = http_full_key(store, request->key, &key);
    if (error)
        return error;
    struct getting getting = {.store = store, .request = request, .object = object, .sink = sink};
    struct store_sink counted = {sink_get, &getting};
    getting.exchange = http_exchange(store, STATUS_READ, "read", request->key, call);
    getting.exchange.prepare = prepare_get;
    getting.exchange.begin = begin_get;
    getting.exchange.judge = judge_get;
    getting.exchange.sink = &counted;
    getting.exchange.expect = request->length;
    error = items_get(&getting.exchange.item, key, request->version);
    if (!error)
        error = run_get(&getting);
    items_finish(&getting.exchange.item);
    return doubt_absence(store, request->key, call, error);
}

/* --- head --- */

static int head_once(struct http_store *store, const char *key, const char *full, const char *version,
                     struct store_object *object, const struct store_call *call) {
    struct exchange exchange = http_exchange(store, STATUS_READ, "look at", key, call);
    int error = items_head(&exchange.item, full, version);
    if (!error)
        error = exchange_run(&exchange);
    if (!error) {
        int64_t length = exchange.answer.length;
        error = length < 0 ? PAIL_DAMAGED : describe(&exchange.answer, (uint64_t)length, object);
    }
    exchange_finish(&exchange);
    items_finish(&exchange.item);
    return error;
}

/* A store that may list only below a prefix answers 403 to HEAD of a key that is not there (AWS): the list knows. */
static int ask_list(struct http_store *store, const char *key, const struct store_call *call) {
    struct store_list request = {.prefix = key, .max_keys = 1};
    struct store_page page;
    int error = http_list(&store->base, &request, &page, call);
    bool there = !error && page.count && strcmp(page.objects[0].key, key) == 0;
    store_page_finish(&page);
    if (error || there)
        return PAIL_DENIED;
    return fault_set(call ? call->fault : NULL, PAIL_GONE, "%s is not in the bucket", key);
}

int http_head(struct store *base, const char *key, const char *version, struct store_object *object,
              const struct store_call *call) {
    struct http_store *store = http_of(base);
    AUTO_FREE char *full = NULL;
    *object = (struct store_object){0};
    int error = http_full_key(store, key, &full);
    if (error)
        return error;
    store->heads_asked++;
    error = head_once(store, key, full, version, object, call);
    if (error == PAIL_DENIED && !version)
        error = ask_list(store, key, call);
    return doubt_absence(store, key, call, error);
}

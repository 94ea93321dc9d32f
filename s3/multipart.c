/* Uploads in parts, over grants that are asked for in runs. */
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/http_parts.h"
#include "s3/items.h"
#include "s3/listing.h"

#include <stdlib.h>
#include <string.h>

/* --- create, abort --- */

static struct status judge_upload_id(struct exchange *exchange) {
    const struct transfer_answer *answer = &exchange->answer;
    char **upload = exchange->context;
    int error = listing_parse_upload_id(answer->body ? answer->body : "", answer->body_size, upload);
    if (error)
        fault_set(exchange->call ? exchange->call->fault : NULL, error, "the store's answer cannot be read");
    return (struct status){error, error == PAIL_DAMAGED ? STATUS_RETRY : STATUS_FINAL};
}

int http_create_upload(struct store *base, const char *key, const struct store_headers *headers, char **upload,
                       const struct store_call *call) {
    struct http_store *store = http_of(base);
    AUTO_FREE char *full = NULL;
    *upload = NULL;
    int error = http_full_key(store, key, &full);
    if (!error)
        error = store_headers_check(headers, call ? call->fault : NULL);
    if (error)
        return error;
    struct exchange exchange = http_exchange(store, STATUS_WRITE, "begin the upload of", key, call);
    exchange.judge = judge_upload_id;
    exchange.context = upload;
    error = items_create(&exchange.item, full, headers);
    if (!error)
        error = exchange_run(&exchange);
    exchange_finish(&exchange);
    items_finish(&exchange.item);
    return error;
}

int http_abort_upload(struct store *base, const char *key, const char *upload, const struct store_call *call) {
    struct http_store *store = http_of(base);
    AUTO_FREE char *full = NULL;
    int error = http_full_key(store, key, &full);
    if (error)
        return error;
    struct exchange exchange = http_exchange(store, STATUS_DELETE, "abort the upload of", key, call);
    error = items_abort(&exchange.item, full, upload);
    if (!error)
        error = exchange_run(&exchange);
    exchange_finish(&exchange);
    items_finish(&exchange.item);
    return error;
}

/* --- parts --- */

/* Runs grow with the upload, and begin where each part of the run would say: all of them ask for the same text. The
 * server counts what it grants against the quota, so a short upload asks for little. */
static void run_of(unsigned number, unsigned *first, unsigned *count) {
    unsigned length = number <= 8 ? 4 : number <= 64 ? 8 : 32;
    *first = (number - 1) / length * length + 1;
    *count = *first + length - 1 > STORE_MAX_PARTS ? STORE_MAX_PARTS - *first + 1 : length;
}

struct parting {
    struct http_store *store;
    const char *key, *full, *upload;
    unsigned number;
    const struct store_source *source;
    const struct http_digest *digest;
    const struct store_call *call;
};

static int take_part_etag(const struct parting *parting, struct exchange *exchange, char **etag) {
    if (!exchange->answer.etag)
        return fault_set(parting->call ? parting->call->fault : NULL, PAIL_DAMAGED,
                         "the store named no ETag for part %u of %s", parting->number, parting->key);
    int error = http_check_etag(parting->store, exchange, parting->digest);
    if (!error)
        *etag = TAKE(exchange->answer.etag);
    return error;
}

static int send_part(const struct parting *parting, unsigned first, unsigned count, char **etag) {
    struct exchange exchange =
        http_exchange(parting->store, STATUS_WRITE, "send a part of", parting->key, parting->call);
    exchange.body = parting->source;
    exchange.url_index = parting->number - first;
    http_add_extra(&exchange, "Content-MD5", parting->digest->base64);
    int error = items_part(&exchange.item, parting->full, parting->upload, first, count, parting->source->size);
    if (!error)
        error = exchange_run(&exchange);
    if (!error)
        error = take_part_etag(parting, &exchange, etag);
    exchange_finish(&exchange);
    items_finish(&exchange.item);
    return error;
}

int http_put_part(struct store *base, const char *key, const char *upload, unsigned number,
                  const struct store_source *source, char **etag, const struct store_call *call) {
    struct http_store *store = http_of(base);
    AUTO_FREE char *full = NULL;
    struct http_digest digest;
    unsigned first, count;
    *etag = NULL;
    int error = number < 1 || number > STORE_MAX_PARTS ? -EINVAL : http_full_key(store, key, &full);
    if (!error && source->size > STORE_MAX_PART)
        error = PAIL_TOO_LARGE;
    if (!error)
        error = http_digest_source(store, source, call, &digest);
    if (error)
        return error;
    struct parting parting = {store, key, full, upload, number, source, &digest, call};
    run_of(number, &first, &count);
    error = send_part(&parting, first, count, etag);
    if (error == PAIL_QUOTA && count > 1) /* the run may be more than is left, this part not */
        error = send_part(&parting, number, 1, etag);
    return error;
}

/* Ceph 16 decodes the source of a part copy twice, and so would take "a b" for "a%20b". Only a condition on the source
 * makes such names safe. */
static int check_part_source(const struct store_copy *copy, const struct store_features *features,
                             const struct store_call *call) {
    bool bound = features->part_copy_source_if_match && copy->source_if_match;
    if (bound || !strpbrk(copy->source, "%+"))
        return 0;
    return fault_set(call ? call->fault : NULL, PAIL_UNSUPPORTED,
                     "the store was not proven to copy parts of a name with %% or +, as %s", copy->source);
}

/* Ceph 16 denies part copies to a role whatever its policy says. What can be read can be sent instead. */
static int explain_denied(struct store *base, const struct store_copy *copy, const struct store_call *call) {
    struct store_object object;
    int error = http_head(base, copy->source, copy->source_version, &object, call);
    store_object_finish(&object);
    if (error)
        return error == PAIL_GONE ? error : PAIL_DENIED;
    return fault_set(call ? call->fault : NULL, PAIL_UNSUPPORTED, "the store does not let us copy parts of %s",
                     copy->source);
}

int http_copy_part(struct store *base, const char *key, const char *upload, unsigned number,
                   const struct store_copy *copy, uint64_t offset, uint64_t length, char **etag,
                   const struct store_call *call) {
    struct http_store *store = http_of(base);
    struct store_features features;
    AUTO_FREE char *full = NULL, *source = NULL;
    *etag = NULL;
    int error = number < 1 || number > STORE_MAX_PARTS || !length ? -EINVAL : http_full_key(store, key, &full);
    if (!error)
        error = http_full_key(store, copy->source, &source);
    if (error)
        return error;
    store_features(base, &features);
    if ((error = check_part_source(copy, &features, call)))
        return error;
    struct exchange exchange = http_exchange(store, STATUS_COPY, "copy a part to", key, call);
    exchange.judge = http_judge_result;
    exchange.context = etag;
    error = items_part_copy(&exchange.item, full, upload, number, source, copy, offset, length,
                            features.part_copy_source_if_match);
    if (!error)
        error = exchange_run(&exchange);
    exchange_finish(&exchange);
    items_finish(&exchange.item);
    return error == PAIL_DENIED ? explain_denied(base, copy, call) : error;
}

/* --- complete --- */

struct completing {
    struct exchange exchange; /* first */
    struct store *store;
    const char *key, *upload;
    char *xml; /* owned: the body */
};

static int read_xml(void *context, uint64_t offset, void *data, size_t size) {
    memcpy(data, ((const struct completing *)context)->xml + offset, size);
    return 0;
}

/* Ceph answers 500 to a complete whose upload is gone, be it done or aborted: before the next attempt the list of parts
 * says which it is. */
static int prepare_complete(struct exchange *exchange) {
    const struct completing *completing = (struct completing *)exchange;
    struct store_parts parts;
    if (!exchange->retry.attempts || exchange->answer.status < 500)
        return 0;
    int error = http_list_parts(completing->store, completing->key, completing->upload, &parts, exchange->call);
    store_parts_finish(&parts);
    return error == PAIL_GONE ? error : 0;
}

static int run_complete(struct completing *completing, const struct store_when *when, struct store_written *written) {
    struct exchange *exchange = &completing->exchange;
    struct http_store *store = http_of(completing->store);
    struct store_features features;
    AUTO_FREE char *condition = NULL, *etag = NULL;
    store_features(completing->store, &features);
    exchange->prepare = prepare_complete;
    exchange->judge = http_judge_result;
    exchange->context = &etag;
    int error =
        http_add_condition(store, exchange, when, features.complete_if_absent, features.complete_if_match, &condition);
    if (!error)
        error = exchange_run(exchange);
    if (!error)
        error = http_take_written(exchange, etag, written);
    if (!error)
        http_note_written(store, completing->key);
    return error;
}

int http_complete_upload(struct store *base, const char *key, const char *upload, const struct store_parts *parts,
                         uint64_t total, const struct store_when *when, struct store_written *written,
                         const struct store_call *call) {
    struct http_store *store = http_of(base);
    struct completing completing = {.store = base, .key = key, .upload = upload};
    AUTO_FREE char *full = NULL;
    size_t size = 0;
    if (written)
        *written = (struct store_written){0};
    int error = http_full_key(store, key, &full);
    if (!error)
        error = listing_write_complete(parts, &completing.xml, &size);
    if (error)
        return error;
    struct store_source body = {read_xml, &completing, size};
    completing.exchange = http_exchange(store, STATUS_COMPLETE, "complete the upload of", key, call);
    completing.exchange.body = &body;
    error = items_complete(&completing.exchange.item, full, upload, total);
    if (!error)
        error = run_complete(&completing, when, written);
    exchange_finish(&completing.exchange);
    items_finish(&completing.exchange.item);
    free(completing.xml);
    return error;
}

/* --- list parts --- */

struct part_paging {
    struct store_parts page;
    char *next; /* owned */
};

static struct status judge_parts(struct exchange *exchange) {
    const struct transfer_answer *answer = &exchange->answer;
    struct part_paging *paging = exchange->context;
    store_parts_finish(&paging->page);
    int error = listing_parse_parts(answer->body ? answer->body : "", answer->body_size, &paging->page, &paging->next);
    if (error)
        fault_set(exchange->call ? exchange->call->fault : NULL, error, "the store's list of parts cannot be read");
    return (struct status){error, error == PAIL_DAMAGED ? STATUS_RETRY : STATUS_FINAL};
}

/* Moves the page's parts behind those that are known. */
static int append_parts(struct store_parts *parts, struct store_parts *page) {
    if (!page->count)
        return 0;
    if (parts->count + page->count > STORE_MAX_PARTS)
        return PAIL_DAMAGED;
    struct store_part *longer = realloc(parts->items, (parts->count + page->count) * sizeof *longer);
    if (!longer)
        return -ENOMEM;
    memcpy(longer + parts->count, page->items, page->count * sizeof *longer);
    parts->items = longer;
    parts->count += page->count;
    page->count = 0;
    return 0;
}

/* One page from *marker on, which becomes the next page's, or NULL. */
static int list_some_parts(struct http_store *store, const char *key, const char *full, const char *upload,
                           char **marker, struct store_parts *parts, const struct store_call *call) {
    struct part_paging paging = {0};
    struct exchange exchange = http_exchange(store, STATUS_LIST, "list the parts of", key, call);
    exchange.judge = judge_parts;
    exchange.context = &paging;
    int error = items_list_parts(&exchange.item, full, upload, *marker);
    if (!error)
        error = exchange_run(&exchange);
    if (!error)
        error = append_parts(parts, &paging.page);
    free(*marker);
    *marker = error ? NULL : TAKE(paging.next);
    free(paging.next);
    store_parts_finish(&paging.page);
    exchange_finish(&exchange);
    items_finish(&exchange.item);
    return error;
}

int http_list_parts(struct store *base, const char *key, const char *upload, struct store_parts *parts,
                    const struct store_call *call) {
    struct http_store *store = http_of(base);
    AUTO_FREE char *full = NULL, *marker = NULL;
    *parts = (struct store_parts){0};
    int error = http_full_key(store, key, &full);
    if (error)
        return error;
    do
        error = list_some_parts(store, key, full, upload, &marker, parts, call);
    while (!error && marker);
    if (error)
        store_parts_finish(parts);
    return error;
}

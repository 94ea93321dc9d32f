/* The product's store: pre-signed requests over pooled connections. Life and writing; the rest is in http_read.c,
 * http_list.c, http_delete.c, multipart.c and http_shared.c. */
#include "s3/http_store.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "s3/http_parts.h"
#include "s3/items.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_MS 5000

DEFINE_CLEANUP(struct signer *, signer_destroy)

static struct fault *fault_of(const struct store_call *call) {
    return call ? call->fault : NULL;
}

/* --- put, copy --- */

static int run_put(struct http_store *store, struct exchange *exchange, const struct store_put *request,
                   const struct http_digest *digest, struct store_written *written) {
    struct store_features features;
    AUTO_FREE char *condition = NULL;
    store_features(&store->base, &features);
    exchange->body = &request->source;
    http_add_extra(exchange, "Content-MD5", digest->base64);
    int error =
        http_add_condition(store, exchange, &request->when, features.put_if_absent, features.put_if_match, &condition);
    if (!error)
        error = exchange_run(exchange);
    if (!error)
        error = http_check_etag(store, exchange, digest);
    if (!error)
        error = http_take_written(exchange, exchange->answer.etag, written);
    if (!error)
        http_note_written(store, request->key);
    return error;
}

static int http_put(struct store *base, const struct store_put *request, struct store_written *written,
                    const struct store_call *call) {
    struct http_store *store = http_of(base);
    AUTO_FREE char *key = NULL;
    struct http_digest digest;
    if (written)
        *written = (struct store_written){0};
    int error = request->source.size > STORE_MAX_PUT ? PAIL_TOO_LARGE : http_full_key(store, request->key, &key);
    if (!error)
        error = store_headers_check(request->headers, fault_of(call));
    if (!error)
        error = http_digest_source(store, &request->source, call, &digest);
    if (error)
        return error;
    struct exchange exchange = http_exchange(store, STATUS_WRITE, "write", request->key, call);
    error = items_put(&exchange.item, key, request->source.size, request->headers);
    if (!error)
        error = run_put(store, &exchange, request, &digest, written);
    exchange_finish(&exchange);
    items_finish(&exchange.item);
    return error;
}

static int run_copy(struct http_store *store, struct exchange *exchange, const struct store_copy *request,
                    const struct store_features *features, struct store_written *written) {
    AUTO_FREE char *condition = NULL, *etag = NULL;
    exchange->judge = http_judge_result;
    exchange->context = &etag;
    int error = http_add_condition(store, exchange, &request->when, features->copy_if_absent, features->copy_if_match,
                                   &condition);
    if (!error)
        error = exchange_run(exchange);
    if (!error)
        error = http_take_written(exchange, etag, written);
    if (!error)
        http_note_written(store, request->key);
    return error;
}

static int http_copy(struct store *base, const struct store_copy *request, struct store_written *written,
                     const struct store_call *call) {
    struct http_store *store = http_of(base);
    struct store_features features;
    AUTO_FREE char *key = NULL, *source = NULL;
    if (written)
        *written = (struct store_written){0};
    int error = request->size > STORE_MAX_PUT ? PAIL_TOO_LARGE : http_full_key(store, request->key, &key);
    if (!error)
        error = http_full_key(store, request->source, &source);
    if (!error)
        error = store_headers_check(request->headers, fault_of(call));
    if (error)
        return error;
    store_features(base, &features);
    struct exchange exchange = http_exchange(store, STATUS_COPY, "copy to", request->key, call);
    error = items_copy(&exchange.item, source, key, request, features.copy_source_if_match);
    if (!error)
        error = run_copy(store, &exchange, request, &features, written);
    exchange_finish(&exchange);
    items_finish(&exchange.item);
    return error;
}

/* --- hints --- */

void http_store_will_read(struct store *base, const char *const *keys, const char *const *versions, size_t count) {
    struct http_store *store = http_of(base);
    struct grants_item *items = calloc(count ? 2 * count : 1, sizeof *items);
    size_t made = 0;
    for (size_t i = 0; items && i < count; i++) {
        AUTO_FREE char *key = NULL;
        const char *version = versions ? versions[i] : NULL;
        if (http_full_key(store, keys[i], &key))
            continue;
        made += items_get(&items[made], key, version) == 0;
        made += items_head(&items[made], key, version) == 0;
    }
    if (items)
        grants_want(store->grants, items, made);
    for (size_t i = 0; i < made; i++)
        items_finish(&items[i]);
    free(items);
}

/* --- life --- */

static void http_features(struct store *base, struct store_features *out) {
    struct http_store *store = http_of(base);
    store->origin.features(store->origin.context, out);
}

static void http_destroy(struct store *base) {
    struct http_store *store = http_of(base);
    grants_destroy(store->grants);
    signer_destroy(store->signer);
    transfer_destroy(store->transfer);
    map_finish(&store->written);
    pthread_cond_destroy(&store->digested);
    pthread_mutex_destroy(&store->lock);
    free(store->prefix);
    free(store);
}

static const struct store_operations operations = {
    .destroy = http_destroy,
    .features = http_features,
    .get = http_get,
    .head = http_head,
    .put = http_put,
    .copy = http_copy,
    .remove = http_remove,
    .remove_many = http_remove_many,
    .list = http_list,
    .list_versions = http_list_versions,
    .create_upload = http_create_upload,
    .put_part = http_put_part,
    .copy_part = http_copy_part,
    .complete_upload = http_complete_upload,
    .abort_upload = http_abort_upload,
    .list_parts = http_list_parts,
};

static void init_turns(struct http_store *store) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    clock_cond_init(&store->digested);
    store->most_digesting = cores > 2 ? (unsigned)cores / 2 : 1;
}

int http_store_create_from(struct store **out, const struct http_origin *origin,
                           const struct http_store_options *options) {
    struct http_store *store = calloc(1, sizeof *store);
    if (!store)
        return -ENOMEM;
    store->base.operations = &operations;
    store->origin = *origin;
    pthread_mutex_init(&store->lock, NULL);
    init_turns(store);
    struct transfer_options pool = {.ca_file = options->ca_file, .connections = options->connections};
    store->prefix = strdup(origin->prefix);
    int error = store->prefix ? transfer_create(&store->transfer, &pool) : -ENOMEM;
    if (!error)
        error = grants_create(&store->grants, &origin->mint, 0);
    if (error) {
        http_destroy(&store->base);
        return error;
    }
    store->prefix_size = strlen(store->prefix);
    *out = &store->base;
    return 0;
}

static int mint(void *context, const char *body, size_t size, const _Atomic bool *cancelled, struct json **answer,
                struct fault *fault) {
    return mapping_grants(context, body, size, cancelled, answer, fault);
}

static void features_of(void *context, struct store_features *out) {
    mapping_features(context, out);
}

static int ask_keys(void *context, const _Atomic bool *cancelled, struct mapping_keys *out, struct fault *fault) {
    return mapping_credentials(context, cancelled, out, fault);
}

/* A mount must not wait long for a server that is away. */
static int start_signer(struct signer *signer, struct fault *fault) {
    struct fault why = {0};
    int error = signer_start(signer, START_MS, &why);
    if (error == PAIL_UNSUPPORTED)
        return fault_set(fault, error, "this server does not offer --mode=credentials: mount without it (%s)",
                         why.text);
    if (error == PAIL_QUOTA)
        log_warning("the server signs all requests: %s", why.text);
    return 0;
}

static int make_signer(struct mapping *mapping, const struct mapping_bucket *bucket, struct signer **out,
                       struct fault *fault) {
    struct signer_options options = {.grants = {.mint = mint, .context = mapping},
                                     .keys = {ask_keys, mapping},
                                     .features = features_of,
                                     .context = mapping,
                                     .bucket = bucket};
    int error = signer_create(out, &options);
    return error ? error : start_signer(*out, fault);
}

static int create_for(struct store **out, const struct http_store_options *options,
                      const struct mapping_session *session, struct fault *fault) {
    struct mapping *mapping = options->mapping;
    CLEANUP(signer_destroy_p) struct signer *signer = NULL;
    struct http_origin origin = {{.mint = mint, .context = mapping}, features_of, mapping, session->bucket.prefix};
    int error = 0;
    if (options->mode == HTTP_STORE_CREDENTIALS)
        error = make_signer(mapping, &session->bucket, &signer, fault);
    if (!error && signer)
        origin.mint = signer_mint(signer);
    if (!error)
        error = http_store_create_from(out, &origin, options);
    if (!error)
        http_of(*out)->signer = TAKE(signer);
    return error;
}

int http_store_create(struct store **out, const struct http_store_options *options, struct fault *fault) {
    struct mapping_session session = {0};
    int error = mapping_known(options->mapping, &session);
    if (error == -ENODATA)
        error = mapping_refresh(options->mapping, &session, fault);
    if (!error)
        error = create_for(out, options, &session, fault);
    mapping_session_finish(&session);
    return error;
}

enum http_store_mode http_store_mode(struct store *base, struct fault *why) {
    struct signer *signer = http_of(base)->signer;
    why->text[0] = 0;
    int error = signer ? signer_state(signer, why) : PAIL_UNSUPPORTED;
    return error == PAIL_UNSUPPORTED || error == PAIL_QUOTA ? HTTP_STORE_PRESIGNED : HTTP_STORE_CREDENTIALS;
}

/* What the operations of the product's store share: names, conditions, digests, and what was written lately. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/http_parts.h"
#include "s3/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_PIECE (256u << 10)
#define LARGE_BODY (1u << 20)
#define CANCEL_LOOK_MS 100 /* s3/store.h, cancelled */
#define YOUNG_S (15 * 60)

static struct fault *fault_of(const struct store_call *call) {
    return call ? call->fault : NULL;
}

/* --- names, conditions, answers --- */

int http_full_text(const struct http_store *store, const char *text, char **out) {
    *out = NULL;
    if (!text)
        return 0;
    size_t size = strlen(text);
    if (store->prefix_size + size > STORE_MAX_KEY)
        return PAIL_TOO_LARGE;
    if (!text_is_utf8(text, size))
        return -EINVAL;
    *out = text_format("%s%s", store->prefix, text);
    return *out ? 0 : -ENOMEM;
}

int http_full_key(const struct http_store *store, const char *key, char **out) {
    *out = NULL;
    return key && key[0] ? http_full_text(store, key, out) : -EINVAL;
}

struct exchange http_exchange(struct http_store *store, enum status_operation operation, const char *verb,
                              const char *key, const struct store_call *call) {
    return (struct exchange){
        .transfer = store->transfer,
        .grants = store->grants,
        .call = call,
        .operation = operation,
        .verb = verb,
        .key = key && key[0] ? key : "the bucket",
    };
}

void http_add_extra(struct exchange *exchange, const char *name, const char *value) {
    exchange->extras[exchange->extra_count++] = (struct transfer_header){name, value};
}

char *http_etag(struct http_store *store, const char *etag) {
    struct store_features features;
    store_features(&store->base, &features);
    return features.quoted_etag ? text_format("\"%s\"", etag) : strdup(etag);
}

int http_add_condition(struct http_store *store, struct exchange *exchange, const struct store_when *when,
                       bool absent_honoured, bool match_honoured, char **value) {
    if (!when || when->condition == STORE_ANY)
        return 0;
    if (when->condition == STORE_IF_ABSENT) {
        if (absent_honoured)
            http_add_extra(exchange, "If-None-Match", "*");
        return 0;
    }
    if (!match_honoured)
        return 0;
    *value = http_etag(store, when->etag);
    if (!*value)
        return -ENOMEM;
    http_add_extra(exchange, "If-Match", *value);
    return 0;
}

int http_take_written(const struct exchange *exchange, const char *etag, struct store_written *written) {
    const struct transfer_answer *answer = &exchange->answer;
    if (!written)
        return 0;
    written->date_s = answer->date_s;
    written->etag = strdup(etag ? etag : "");
    if (!written->etag || (answer->version && !(written->version = strdup(answer->version)))) {
        store_written_finish(written);
        return -ENOMEM;
    }
    return 0;
}

struct status http_judge_result(struct exchange *exchange) {
    const struct transfer_answer *answer = &exchange->answer;
    struct listing_error said = {0};
    char **etag = exchange->context;
    free(TAKE(*etag));
    int error = listing_parse_result(answer->body ? answer->body : "", answer->body_size, etag, &said);
    struct status status = {0, STATUS_FINAL};
    if (error == PAIL_DAMAGED) /* 200, and then the connection ended: nobody knows */
        status = exchange_blame(exchange, 200, "InternalError", "the answer was cut short");
    else if (error)
        status.error = error;
    else if (!*etag)
        status = exchange_blame(exchange, answer->status, said.code ? said.code : "InternalError", said.message);
    listing_error_finish(&said);
    return status;
}

/* --- digests --- */

static int add_source(struct checksum *md5, const struct store_source *source, const struct store_call *call) {
    AUTO_FREE unsigned char *piece = malloc(DIGEST_PIECE);
    if (!piece)
        return -ENOMEM;
    int error = 0;
    for (uint64_t offset = 0; !error && offset < source->size;) {
        size_t size = source->size - offset < DIGEST_PIECE ? (size_t)(source->size - offset) : DIGEST_PIECE;
        if (call && call->cancelled && atomic_load(call->cancelled))
            return PAIL_CANCELLED;
        error = source->read(source->context, offset, piece, size);
        if (!error)
            error = checksum_add(md5, piece, size);
        offset += size;
    }
    return error;
}

/* Bodies that are all digested at the same time are all sent at the same time, and so on: the wire rests meanwhile, and
 * then the processor. So half of the cores digest, and the others wait, and are out of step from then on. */
static int wait_for_turn(struct http_store *store, const struct store_call *call) {
    int error = 0;
    pthread_mutex_lock(&store->lock);
    while (!error && store->digesting >= store->most_digesting) {
        clock_cond_wait_ms(&store->digested, &store->lock, CANCEL_LOOK_MS);
        if (call && call->cancelled && atomic_load(call->cancelled))
            error = PAIL_CANCELLED;
    }
    if (!error)
        store->digesting++;
    pthread_mutex_unlock(&store->lock);
    return error;
}

static void end_turn(struct http_store *store) {
    pthread_mutex_lock(&store->lock);
    store->digesting--;
    pthread_cond_broadcast(&store->digested); /* one of them may be cancelled, and not take it */
    pthread_mutex_unlock(&store->lock);
}

static int add_in_turn(struct http_store *store, struct checksum *md5, const struct store_source *source,
                       const struct store_call *call) {
    if (source->size < LARGE_BODY)
        return add_source(md5, source, call);
    int error = wait_for_turn(store, call);
    if (error)
        return error;
    error = add_source(md5, source, call);
    end_turn(store);
    return error;
}

int http_digest_source(struct http_store *store, const struct store_source *source, const struct store_call *call,
                       struct http_digest *out) {
    struct checksum *md5 = NULL;
    unsigned char sum[32];
    int error = checksum_create(&md5, CHECKSUM_MD5);
    if (!error)
        error = add_in_turn(store, md5, source, call);
    int size = error ? error : checksum_end(md5, sum);
    checksum_destroy(md5);
    if (size < 0 || error)
        return error ? error : size;
    AUTO_FREE char *hex = text_hex(sum, (size_t)size), *base64 = text_base64(sum, (size_t)size);
    if (!hex || !base64)
        return -ENOMEM;
    snprintf(out->hex, sizeof out->hex, "%s", hex);
    snprintf(out->base64, sizeof out->base64, "%s", base64);
    return 0;
}

bool http_is_md5(const char *etag) {
    return strlen(etag) == 32 && strspn(etag, "0123456789abcdefABCDEF") == 32;
}

int http_check_etag(struct http_store *store, const struct exchange *exchange, const struct http_digest *digest) {
    const char *etag = exchange->answer.etag;
    struct store_features features;
    if (!etag || !http_is_md5(etag) || strcasecmp(etag, digest->hex) == 0)
        return 0;
    store_features(&store->base, &features);
    bool encrypted = transfer_answer_header(&exchange->answer, "x-amz-server-side-encryption") != NULL;
    if (encrypted || features.content_md5) { /* the store has checked the body itself: its ETags mean something else */
        store->etag_is_other = store->etag_is_other || !encrypted;
        return 0;
    }
    return fault_set(fault_of(exchange->call), PAIL_DAMAGED, "%s has arrived at the store with other bytes",
                     exchange->key);
}

/* --- keys written while versioning is young --- */

static bool versioning_is_young(struct http_store *store) {
    struct store_features features;
    store_features(&store->base, &features);
    return features.versioned_at_s && clock_realtime_s() - features.versioned_at_s < YOUNG_S;
}

void http_note_written(struct http_store *store, const char *key) {
    if (!versioning_is_young(store))
        return;
    pthread_mutex_lock(&store->lock);
    if (map_put(&store->written, text_hash(key, strlen(key)), store))
        log_debug("no memory to note what was written");
    pthread_mutex_unlock(&store->lock);
}

void http_note_removed(struct http_store *store, const char *key) {
    pthread_mutex_lock(&store->lock);
    if (store->written.count)
        map_remove(&store->written, text_hash(key, strlen(key)));
    pthread_mutex_unlock(&store->lock);
}

bool http_is_young(struct http_store *store, const char *key) {
    if (!versioning_is_young(store))
        return false;
    pthread_mutex_lock(&store->lock);
    bool ours = map_get(&store->written, text_hash(key, strlen(key))) != NULL;
    pthread_mutex_unlock(&store->lock);
    return ours;
}

/* Deleting over grants: one, many in a request, and many one by one where a store wants it so. */
#include "base/cleanup.h"
#include "s3/http_parts.h"
#include "s3/items.h"
#include "s3/listing.h"
#include "s3/wire.h"

#include <stdlib.h>
#include <string.h>

#define HANDS 15                  /* besides the caller's own */
#define DELETE_BYTES (700u << 10) /* of keys in one delete_many; as JSON it must fit a grants request */

/* --- one --- */

int http_remove(struct store *base, const char *key, const char *etag, const struct store_call *call) {
    struct http_store *store = http_of(base);
    struct store_features features;
    struct store_when when = {etag ? STORE_IF_MATCH : STORE_ANY, etag};
    AUTO_FREE char *full = NULL, *condition = NULL;
    int error = http_full_key(store, key, &full);
    if (error)
        return error;
    store_features(base, &features);
    struct exchange exchange = http_exchange(store, STATUS_DELETE, "delete", key, call);
    error = http_add_condition(store, &exchange, &when, false, features.delete_if_match, &condition);
    if (!error)
        error = items_remove(&exchange.item, full);
    if (!error)
        error = exchange_run(&exchange);
    if (error == PAIL_GONE && !etag)
        error = 0;
    if (!error)
        http_note_removed(store, key);
    exchange_finish(&exchange);
    items_finish(&exchange.item);
    return error;
}

/* One request for some of the items. */
struct deleting {
    struct exchange exchange; /* first */
    struct http_store *store;
    struct store_delete **items; /* those of this request */
    char **keys;                 /* their whole keys, owned */
    size_t count;
};

static int take_failed(void *context, const char *key, const char *code, const char *message) {
    struct deleting *deleting = context;
    for (size_t i = 0; i < deleting->count; i++)
        if (strcmp(deleting->keys[i], key) == 0)
            deleting->items[i]->result = status_of(STATUS_DELETE, 200, code, message, false).error;
    return 0;
}

static struct status judge_deleted(struct exchange *exchange) {
    struct deleting *deleting = (struct deleting *)exchange;
    const struct transfer_answer *answer = &exchange->answer;
    struct listing_error said = {0};
    for (size_t i = 0; i < deleting->count; i++)
        deleting->items[i]->result = 0;
    int error = listing_parse_deleted(answer->body ? answer->body : "", answer->body_size, take_failed, deleting);
    if (!error)
        return (struct status){0, STATUS_FINAL};
    if (listing_parse_error(answer->body ? answer->body : "", answer->body_size, &said))
        said = (struct listing_error){0};
    struct status status = exchange_blame(exchange, 200, said.code ? said.code : "InternalError", said.message);
    listing_error_finish(&said);
    return status;
}

static int run_delete(struct deleting *deleting, const struct store_call *call) {
    struct store_features features;
    store_features(&deleting->store->base, &features);
    deleting->exchange = http_exchange(deleting->store, STATUS_DELETE, "delete", "some files", call);
    deleting->exchange.judge = judge_deleted;
    int error =
        items_remove_many(&deleting->exchange.item, deleting->keys, (const struct store_delete *const *)deleting->items,
                          deleting->count, features.delete_many_if_match);
    if (!error)
        error = exchange_run(&deleting->exchange);
    exchange_finish(&deleting->exchange);
    items_finish(&deleting->exchange.item);
    return error;
}

/* --- one by one, with several hands --- */

struct each {
    struct http_store *store;
    struct store_delete **items;
    size_t count;
    const struct store_call *call;
    _Atomic size_t next;
};

static void *delete_each(void *context) {
    struct each *each = context;
    for (size_t i; (i = each->next++) < each->count;) {
        struct store_call call = each->call ? *each->call : (struct store_call){0};
        call.fault = NULL; /* it belongs to the calling thread */
        struct store_delete *item = each->items[i];
        item->result = http_remove(&each->store->base, item->key, item->etag, &call);
    }
    return NULL;
}

/* One item's trouble that ends the whole call. */
static int worst_of(struct store_delete *const *items, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (items[i]->result < 0 || items[i]->result == PAIL_CANCELLED)
            return items[i]->result;
    return 0;
}

static int delete_singly(struct http_store *store, struct store_delete **items, size_t count,
                         const struct store_call *call) {
    struct each each = {.store = store, .items = items, .count = count, .call = call};
    pthread_t hands[HANDS];
    size_t started = 0;
    while (started < HANDS && started + 1 < count && !pthread_create(&hands[started], NULL, delete_each, &each))
        started++;
    delete_each(&each);
    for (size_t i = 0; i < started; i++)
        pthread_join(hands[i], NULL);
    return worst_of(items, count);
}

/* Moves the items that are worth trying singly to the front: what passes, and what may be refused only in a batch. */
static size_t gather_again(struct deleting *deleting) {
    size_t again = 0;
    for (size_t i = 0; i < deleting->count; i++) {
        struct store_delete *item = deleting->items[i];
        if (item->result == PAIL_GONE && !item->etag)
            item->result = 0;
        if (!item->result)
            http_note_removed(deleting->store, item->key);
        if (item->result == PAIL_OFFLINE || item->result == PAIL_DENIED)
            deleting->items[again++] = item;
    }
    return again;
}

/* What S3 says of single keys: absent is done; what passes, and what is denied, is tried by itself. */
static int settle_deleted(struct deleting *deleting, const struct store_call *call) {
    bool denied = deleting->count && deleting->items[0]->result == PAIL_DENIED;
    size_t again = gather_again(deleting);
    int error = delete_singly(deleting->store, deleting->items, again, call);
    if (denied && !error && again && !deleting->items[0]->result)
        deleting->store->many_is_denied = true;
    return error;
}

/* XML 1.0 has no place for control characters, U+FFFE and U+FFFF. */
static bool fits_xml(const char *key) {
    for (const unsigned char *at = (const unsigned char *)key; *at; at++) {
        bool no_character = at[0] == 0xef && at[1] == 0xbf && (at[2] == 0xbe || at[2] == 0xbf);
        if ((*at < 0x20 && *at != '\t' && *at != '\n' && *at != '\r') || no_character)
            return false;
    }
    return true;
}

static void finish_deleting(struct deleting *deleting) {
    for (size_t i = 0; deleting->keys && i < deleting->count; i++)
        free(deleting->keys[i]);
    free(deleting->keys);
    free(deleting->items);
}

/* Takes items from *next on into one request, as many as fit. The others go one by one here. */
static int gather_deletes(struct deleting *deleting, struct store_delete *items, size_t count, size_t *next,
                          const struct store_call *call) {
    size_t bytes = 0;
    for (; *next < count && bytes < DELETE_BYTES; (*next)++) {
        struct store_delete *item = &items[*next];
        if (!fits_xml(item->key)) {
            item->result = http_remove(&deleting->store->base, item->key, item->etag, call);
            continue;
        }
        int error = http_full_key(deleting->store, item->key, &deleting->keys[deleting->count]);
        if (error)
            return error;
        bytes += strlen(deleting->keys[deleting->count]) + 64;
        deleting->items[deleting->count++] = item;
    }
    return 0;
}

/* Without the batch, from the start. */
static int delete_all_singly(struct http_store *store, struct store_delete *items, size_t count,
                             const struct store_call *call) {
    struct store_delete **all = calloc(count ? count : 1, sizeof *all);
    if (!all)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        all[i] = &items[i];
    int error = delete_singly(store, all, count, call);
    free(all);
    return error;
}

static int delete_some(struct http_store *store, struct store_delete *items, size_t count, size_t *next,
                       const struct store_call *call) {
    struct deleting deleting = {.store = store};
    deleting.items = calloc(count, sizeof *deleting.items);
    deleting.keys = calloc(count, sizeof *deleting.keys);
    int error = deleting.items && deleting.keys ? gather_deletes(&deleting, items, count, next, call) : -ENOMEM;
    if (!error && deleting.count)
        error = run_delete(&deleting, call);
    if (!error && deleting.count)
        error = settle_deleted(&deleting, call);
    finish_deleting(&deleting);
    return error;
}

int http_remove_many(struct store *base, struct store_delete *items, size_t count, const struct store_call *call) {
    if (count > WIRE_MAX_URLS)
        return -EINVAL;
    if (http_of(base)->many_is_denied)
        return delete_all_singly(http_of(base), items, count, call);
    int error = 0;
    for (size_t next = 0; !error && next < count;)
        error = delete_some(http_of(base), items, count, &next, call);
    return error;
}

/* Listings over grants: pages of objects and of versions. */
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/http_parts.h"
#include "s3/items.h"
#include "s3/listing.h"

#include <stdlib.h>
#include <string.h>

/* HEADs are led only as long as about as many are asked for. */
#define LEAD_FREE 1000u

/* --- the account's prefix --- */

static bool cut_prefix(const struct http_store *store, char *key) {
    if (!key)
        return true;
    if (strncmp(key, store->prefix, store->prefix_size) != 0)
        return false;
    memmove(key, key + store->prefix_size, strlen(key + store->prefix_size) + 1);
    return true;
}

/* What lies outside the account's prefix was not asked for. */
static int cut_prefixes(const struct http_store *store, struct store_page *page) {
    bool ours = cut_prefix(store, page->next_key_marker);
    for (size_t i = 0; i < page->count; i++)
        ours = cut_prefix(store, page->objects[i].key) && ours;
    for (size_t i = 0; i < page->prefix_count; i++)
        ours = cut_prefix(store, page->prefixes[i]) && ours;
    return ours ? 0 : PAIL_DAMAGED;
}

/* --- running --- */

struct paging {
    struct exchange exchange; /* first */
    struct store_page *page;
    int (*parse)(const char *xml, size_t size, struct store_page *page);
};

/* A page that does not parse was cut or mangled on its way: worth another try. */
static struct status judge_page(struct exchange *exchange) {
    struct paging *paging = (struct paging *)exchange;
    const struct transfer_answer *answer = &exchange->answer;
    struct listing_error said = {0};
    store_page_finish(paging->page);
    int error = paging->parse(answer->body ? answer->body : "", answer->body_size, paging->page);
    if (!error) {
        paging->page->date_s = answer->date_s;
        return (struct status){0, STATUS_FINAL};
    }
    store_page_finish(paging->page);
    if (error == PAIL_DAMAGED && answer->body_size &&
        listing_parse_error(answer->body, answer->body_size, &said) == 0 && said.code) {
        struct status status = exchange_blame(exchange, answer->status, said.code, said.message);
        listing_error_finish(&said);
        return status;
    }
    listing_error_finish(&said);
    fault_set(exchange->call ? exchange->call->fault : NULL, error, "the store's listing cannot be read");
    return (struct status){error, error == PAIL_DAMAGED ? STATUS_RETRY : STATUS_FINAL};
}

static int run_page(struct http_store *store, struct paging *paging) {
    paging->exchange.judge = judge_page;
    int error = exchange_run(&paging->exchange);
    if (!error)
        error = cut_prefixes(store, paging->page);
    if (error)
        store_page_finish(paging->page);
    exchange_finish(&paging->exchange);
    items_finish(&paging->exchange.item);
    return error;
}

/* --- grants ahead --- */

static size_t want_heads(struct http_store *store, const struct store_page *page, struct grants_item *items) {
    size_t count = 0;
    if (store->heads_led > LEAD_FREE + 4 * store->heads_asked)
        return 0;
    for (size_t i = 0; i < page->count; i++) {
        AUTO_FREE char *key = NULL;
        if (http_full_key(store, page->objects[i].key, &key) == 0 && items_head(&items[count], key, NULL) == 0)
            count++;
    }
    store->heads_led += count;
    return count;
}

/* The grant of the next page and of this page's heads, in one batch. */
static void want_more(struct http_store *store, const char *prefix, const struct store_list *request,
                      const struct store_page *page) {
    struct grants_item *items = calloc(page->count + 1, sizeof *items);
    struct store_list next = *request;
    size_t count = 0;
    if (!items)
        return;
    next.token = page->next_token;
    next.start_after = NULL;
    if (page->next_token && items_list(&items[0], prefix, NULL, &next) == 0)
        count++;
    count += want_heads(store, page, items + count);
    grants_want(store->grants, items, count);
    for (size_t i = 0; i < count; i++)
        items_finish(&items[i]);
    free(items);
}

/* --- the operations --- */

int http_list(struct store *base, const struct store_list *request, struct store_page *page,
              const struct store_call *call) {
    struct http_store *store = http_of(base);
    AUTO_FREE char *prefix = NULL, *after = NULL;
    *page = (struct store_page){0};
    int error = http_full_text(store, request->prefix ? request->prefix : "", &prefix);
    if (!error && !request->token)
        error = http_full_text(store, request->start_after, &after);
    if (error)
        return error;
    struct paging paging = {.page = page, .parse = listing_parse_page};
    paging.exchange = http_exchange(store, STATUS_LIST, "list", request->prefix, call);
    error = items_list(&paging.exchange.item, prefix, after, request);
    if (!error)
        error = run_page(store, &paging);
    if (!error)
        want_more(store, prefix, request, page);
    return error;
}

int http_list_versions(struct store *base, const struct store_list_versions *request, struct store_page *page,
                       const struct store_call *call) {
    struct http_store *store = http_of(base);
    AUTO_FREE char *prefix = NULL, *marker = NULL;
    *page = (struct store_page){0};
    int error = http_full_text(store, request->prefix ? request->prefix : "", &prefix);
    if (!error)
        error = http_full_text(store, request->key_marker, &marker);
    if (error)
        return error;
    struct paging paging = {.page = page, .parse = listing_parse_versions};
    paging.exchange = http_exchange(store, STATUS_LIST, "list the versions of", request->prefix, call);
    error = items_list_versions(&paging.exchange.item, prefix, marker, request);
    return error ? error : run_page(store, &paging);
}

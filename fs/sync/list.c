/* Folders into the tree, a page at a time; the heads of what a page shows start at once. */
#include "base/clock.h"
#include "base/log.h"
#include "fs/sync/private.h"

#define MOST_TRIES 3
#define YOUNG_S (15 * 60)
#define SERVED_MS 60000 /* an old listing is served, while a new one comes, up to this age */

bool young_versions(struct sync *sync) {
    struct store_features features;
    store_features(sync->store, &features);
    int64_t age = clock_realtime_s() - features.versioned_at_s;
    return features.versions && features.versioned_at_s && age < YOUNG_S;
}

static struct tree_entry entry_of(const struct store_object *object) {
    return (struct tree_entry){.key = object->key,
                               .etag = object->etag,
                               .size = object->size,
                               .modified_s = object->modified_s,
                               .archived = object->archived};
}

/* Objects and prefixes of a page, in key order. Owned; keys are the page's. */
static struct tree_entry *merge(const struct store_page *page, size_t *count) {
    size_t o = 0, p = 0;
    *count = page->count + page->prefix_count;
    struct tree_entry *entries = calloc(*count ? *count : 1, sizeof *entries);
    for (size_t i = 0; entries && i < *count; i++) {
        bool object =
            p == page->prefix_count || (o < page->count && strcmp(page->objects[o].key, page->prefixes[p]) <= 0);
        if (object)
            entries[i] = entry_of(&page->objects[o++]);
        else
            entries[i] = (struct tree_entry){.key = page->prefixes[p++], .prefix = true};
    }
    return entries;
}

static int take_page(struct sync *sync, struct tree_listing *listing, const struct store_page *page) {
    size_t count, head_count = 0;
    AUTO_FREE uint64_t *heads = NULL;
    AUTO_FREE struct tree_entry *entries = merge(page, &count);
    if (!entries)
        return -ENOMEM;
    int r = tree_listing_page(listing, entries, count, !page->next_token, &heads, &head_count);
    if (!r && head_count)
        head_soon(sync, heads, head_count);
    return r > 0 ? JOB_AGAIN : r; /* the folder moved meanwhile */
}

/* *token: where to go on; owned by the caller, NULL at the end. */
static int next_page(struct sync *sync, struct tree_listing *listing, const char *prefix, bool flat, char **token,
                     struct fault *fault) {
    AUTO_PAGE struct store_page page = {0};
    struct store_list request = {.prefix = prefix, .delimiter = flat ? NULL : "/", .token = *token};
    int r = call_list(sync, &request, &page, fault);
    if (!r)
        r = take_page(sync, listing, &page);
    free(*token);
    *token = r ? NULL : TAKE(page.next_token);
    return r;
}

static int list_once(struct sync *sync, uint64_t folder, bool flat, struct fault *fault) {
    struct tree_listing *listing = NULL;
    AUTO_FREE char *prefix = NULL, *token = NULL;
    int r = online_error(sync);
    if (r)
        return r;
    r = tree_listing_begin(sync->tree, folder, flat, &listing, &prefix);
    if (r)
        return r > 0 ? PAIL_BUSY : r;
    if (young_versions(sync))
        tree_listing_keep_ours(listing);
    do
        r = next_page(sync, listing, prefix, flat, &token, fault);
    while (!r && token);
    tree_listing_end(listing);
    return r;
}

int list_run(struct sync *sync, uint64_t folder, bool flat, struct fault *fault) {
    int r = JOB_AGAIN;
    for (int tries = 0; r == JOB_AGAIN && tries < MOST_TRIES; tries++)
        r = list_once(sync, folder, flat, fault);
    return r == JOB_AGAIN ? PAIL_BUSY : r;
}

static int list_work(struct sync *sync, uint64_t folder) {
    struct fault fault = {0};
    int r = list_run(sync, folder, false, &fault);
    if (r > 0 && r != PAIL_OFFLINE && r != PAIL_CANCELLED && r != PAIL_LOGIN_REQUIRED)
        log_warning("a folder could not be listed: %s", fault.text[0] ? fault.text : error_text(r));
    return r;
}

void sync_list(struct sync *sync, uint64_t folder, sync_done *done, void *context) {
    struct flight_kind kind = {&sync->lists, list_work};
    int r = online_error(sync);
    if (r)
        sync_answer(sync, done, context, r);
    else
        flight_join(sync, &kind, folder, WORKERS_NOW, done, context);
}

void list_soon(struct sync *sync, uint64_t folder) {
    struct flight_kind kind = {&sync->lists, list_work};
    flight_join(sync, &kind, folder, WORKERS_SOON, NULL, NULL);
}

static int flat_work(struct sync *sync, uint64_t folder) {
    return list_run(sync, folder, true, NULL);
}

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
    int result;
};

static void wake(void *context, int result) {
    struct wait *wait = context;
    pthread_mutex_lock(&wait->lock);
    wait->done = true;
    wait->result = result;
    pthread_cond_signal(&wait->over);
    pthread_mutex_unlock(&wait->lock);
}

int list_flat(struct sync *sync, uint64_t folder, struct fault *fault) {
    struct wait wait = {.lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};
    struct flight_kind kind = {&sync->flats, flat_work};
    flight_join(sync, &kind, folder, WORKERS_SOON, wake, &wait);
    pthread_mutex_lock(&wait.lock);
    while (!wait.done)
        pthread_cond_wait(&wait.over, &wait.lock);
    pthread_mutex_unlock(&wait.lock);
    return wait.result ? fault_set(fault, wait.result, "the folder could not be listed: %s", error_text(wait.result))
                       : 0;
}

/* A folder that only this machine knows needs no listing. */
static bool only_here(struct sync *sync, uint64_t folder) {
    AUTO_NODE struct tree_node node = {0};
    return !tree_get(sync->tree, folder, &node) && node.type == TREE_FOLDER && !node.remote.etag &&
           (node.work & TREE_WORK_CONTENT);
}

bool sync_touch(struct sync *sync, uint64_t folder) {
    struct tree_folder state;
    if (tree_folder_state(sync->tree, folder, &state))
        return true; /* listing it will say what is wrong */
    int64_t age = state.listed_ms ? clock_monotonic_ms() - state.listed_ms : INT64_MAX;
    if (state.complete && (age < sync->options.fresh_ms || sync->options.fresh_ms == INT64_MAX))
        return false;
    if (state.complete && (online_error(sync) || only_here(sync, folder)))
        return false; /* what is known is the best there is */
    if (!state.complete || age > SERVED_MS)
        return true;
    list_soon(sync, folder);
    return false;
}

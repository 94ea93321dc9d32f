/* The store in memory: listings of objects and of versions. */
#include "base/clock.h"
#include "base/text.h"
#include "s3/memory_parts.h"

#define DEFAULT_PAGE 1000u

static int add_object(struct store_page *page, const struct entry *entry, const struct version *version) {
    struct store_object *longer = realloc(page->objects, (page->count + 1) * sizeof *longer);
    if (!longer)
        return -ENOMEM;
    page->objects = longer;
    struct store_object *object = &page->objects[page->count++];
    *object = (struct store_object){.is_latest = version == memory_newest(entry)};
    int error = memory_copy_text(&object->key, entry->key);
    return error ? error : memory_describe(version, object);
}

static int add_prefix(struct store_page *page, const char *key, size_t size) {
    char **longer = realloc(page->prefixes, (page->prefix_count + 1) * sizeof *longer);
    if (!longer)
        return -ENOMEM;
    page->prefixes = longer;
    page->prefixes[page->prefix_count] = strndup(key, size);
    return page->prefixes[page->prefix_count++] ? 0 : -ENOMEM;
}

static size_t page_limit(const struct bucket *bucket, unsigned max_keys) {
    size_t limit = bucket->options.page_size ? bucket->options.page_size : DEFAULT_PAGE;
    return max_keys && max_keys < limit ? max_keys : limit;
}

/* Where a page begins: behind start_after, or behind the key ("k...") or common prefix ("p...") of the token. */
static size_t first_of(const struct bucket *bucket, const struct store_list *request) {
    size_t at = memory_lower_bound(bucket, request->prefix);
    const char *after = request->token ? request->token + 1 : request->start_after;
    if (!after || strcmp(after, request->prefix) < 0)
        return at;
    at = memory_lower_bound(bucket, after);
    bool whole_prefix = request->token && request->token[0] == 'p';
    while (at < bucket->count &&
           (whole_prefix ? text_starts(bucket->entries[at]->key, after) : strcmp(bucket->entries[at]->key, after) == 0))
        at++;
    return at;
}

/* One entry or common prefix; *at moves behind it, *token says where that is. */
static int list_one(const struct bucket *bucket, const struct store_list *request, struct store_page *page, size_t *at,
                    char **token) {
    const struct entry *entry = bucket->entries[*at];
    size_t prefix = strlen(request->prefix);
    const char *cut = request->delimiter ? strstr(entry->key + prefix, request->delimiter) : NULL;
    free(*token);
    if (!cut) {
        (*at)++;
        *token = text_format("k%s", entry->key);
        return *token ? add_object(page, entry, memory_newest(entry)) : -ENOMEM;
    }
    size_t size = (size_t)(cut - entry->key) + strlen(request->delimiter);
    while (*at < bucket->count && strncmp(bucket->entries[*at]->key, entry->key, size) == 0)
        (*at)++;
    *token = text_format("p%.*s", (int)size, entry->key);
    return *token ? add_prefix(page, entry->key, size) : -ENOMEM;
}

static int list_locked(const struct bucket *bucket, const struct store_list *request, struct store_page *page) {
    size_t limit = page_limit(bucket, request->max_keys), at = first_of(bucket, request);
    AUTO_FREE char *token = NULL;
    for (; at < bucket->count && text_starts(bucket->entries[at]->key, request->prefix);) {
        const struct version *version = memory_newest(bucket->entries[at]);
        if (!version || !version->blob) {
            at++;
            continue;
        }
        if (page->count + page->prefix_count == limit) {
            page->next_token = TAKE(token);
            return 0;
        }
        int error = list_one(bucket, request, page, &at, &token);
        if (error)
            return error;
    }
    return 0;
}

int memory_list(struct store *store, const struct store_list *request, struct store_page *page,
                const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    *page = (struct store_page){.date_s = clock_realtime_s()};
    int error = memory_is_cancelled(call);
    if (error)
        return error;
    pthread_mutex_lock(&bucket->lock);
    error = list_locked(bucket, request, page);
    pthread_mutex_unlock(&bucket->lock);
    return error;
}

/* Whether a version comes behind the markers of the page before: versions go from new to old. */
static bool is_behind(const struct entry *entry, size_t index, const struct store_list_versions *request) {
    int order = request->key_marker ? strcmp(entry->key, request->key_marker) : 1;
    if (order || !request->version_marker)
        return order > 0;
    for (size_t i = entry->count; i-- > 0;)
        if (text_equal(entry->versions[i].id, request->version_marker))
            return index < i;
    return false;
}

static int list_versions_locked(const struct bucket *bucket, const struct store_list_versions *request,
                                struct store_page *page) {
    size_t limit = page_limit(bucket, request->max_keys);
    for (size_t at = memory_lower_bound(bucket, request->prefix); at < bucket->count; at++) {
        const struct entry *entry = bucket->entries[at];
        if (!text_starts(entry->key, request->prefix))
            break;
        for (size_t i = entry->count; i-- > 0;) {
            if (!is_behind(entry, i, request))
                continue;
            if (page->count == limit) {
                const struct store_object *last = &page->objects[page->count - 1];
                int error = memory_copy_text(&page->next_key_marker, last->key);
                return error ? error : memory_copy_text(&page->next_version_marker, last->version);
            }
            int error = add_object(page, entry, &entry->versions[i]);
            if (error)
                return error;
        }
    }
    return 0;
}

int memory_list_versions(struct store *store, const struct store_list_versions *request, struct store_page *page,
                         const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    *page = (struct store_page){.date_s = clock_realtime_s()};
    int error = memory_is_cancelled(call);
    if (error)
        return error;
    pthread_mutex_lock(&bucket->lock);
    error = list_versions_locked(bucket, request, page);
    pthread_mutex_unlock(&bucket->lock);
    return error;
}

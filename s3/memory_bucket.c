/* The store in memory: objects, versions and uploads as they are kept, and what is told of them. */
#include "base/clock.h"
#include "base/text.h"
#include "s3/memory_parts.h"

/* --- memory --- */

struct blob *memory_blob_create(uint64_t size) {
    struct blob *blob = malloc(sizeof *blob + size);
    if (blob) {
        blob->uses = 1;
        blob->size = size;
    }
    return blob;
}

struct blob *memory_blob_use(struct blob *blob) {
    blob->uses++;
    return blob;
}

void memory_blob_drop(struct blob *blob) {
    if (blob && --blob->uses == 0)
        free(blob);
}

void memory_version_finish(struct version *version) {
    free(version->id);
    free(version->etag);
    memory_blob_drop(version->blob);
    store_headers_finish(&version->headers);
}

static void entry_destroy(struct entry *entry) {
    for (size_t i = 0; i < entry->count; i++)
        memory_version_finish(&entry->versions[i]);
    free(entry->versions);
    free(entry->key);
    free(entry);
}

void memory_upload_destroy(struct upload *upload) {
    for (size_t i = 0; i < upload->count; i++) {
        free(upload->parts[i].etag);
        memory_blob_drop(upload->parts[i].blob);
    }
    free(upload->parts);
    free(upload->id);
    free(upload->key);
    store_headers_finish(&upload->headers);
    free(upload);
}

void memory_bucket_destroy(struct bucket *bucket) {
    for (size_t i = 0; i < bucket->count; i++)
        entry_destroy(bucket->entries[i]);
    while (bucket->uploads) {
        struct upload *upload = bucket->uploads;
        bucket->uploads = upload->next;
        memory_upload_destroy(upload);
    }
    free(bucket->entries);
    pthread_mutex_destroy(&bucket->lock);
    free(bucket);
}

/* --- finding; under lock --- */

/* The first entry whose key is not below this one. */
size_t memory_lower_bound(const struct bucket *bucket, const char *key) {
    size_t low = 0, high = bucket->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(bucket->entries[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct entry *memory_find_entry(const struct bucket *bucket, const char *key) {
    size_t at = memory_lower_bound(bucket, key);
    return at < bucket->count && strcmp(bucket->entries[at]->key, key) == 0 ? bucket->entries[at] : NULL;
}

const struct version *memory_newest(const struct entry *entry) {
    return entry && entry->count ? &entry->versions[entry->count - 1] : NULL;
}

/* What a GET without a version would find. */
const struct version *memory_current(const struct bucket *bucket, const char *key) {
    const struct version *version = memory_newest(memory_find_entry(bucket, key));
    return version && version->blob ? version : NULL;
}

const struct version *memory_find_version(const struct bucket *bucket, const char *key, const char *id) {
    if (!id)
        return memory_current(bucket, key);
    const struct entry *entry = memory_find_entry(bucket, key);
    for (size_t i = 0; entry && i < entry->count; i++)
        if (text_equal(entry->versions[i].id, id))
            return entry->versions[i].blob ? &entry->versions[i] : NULL;
    return NULL;
}

struct upload *memory_find_upload(const struct bucket *bucket, const char *key, const char *id) {
    for (struct upload *upload = bucket->uploads; upload; upload = upload->next)
        if (strcmp(upload->id, id) == 0 && strcmp(upload->key, key) == 0)
            return upload;
    return NULL;
}

bool memory_is_archived(const struct version *version) {
    const char *class = store_headers_get(&version->headers, "x-amz-storage-class");
    return class && (strcmp(class, "GLACIER") == 0 || strcmp(class, "DEEP_ARCHIVE") == 0);
}

/* --- changing; under lock --- */

static struct entry *insert_entry(struct bucket *bucket, const char *key) {
    if (bucket->count == bucket->capacity) {
        size_t capacity = bucket->capacity ? bucket->capacity * 2 : 64;
        struct entry **longer = realloc(bucket->entries, capacity * sizeof *longer);
        if (!longer)
            return NULL;
        bucket->entries = longer;
        bucket->capacity = capacity;
    }
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry || !(entry->key = strdup(key))) {
        free(entry);
        return NULL;
    }
    size_t at = memory_lower_bound(bucket, key);
    memmove(&bucket->entries[at + 1], &bucket->entries[at], (bucket->count - at) * sizeof *bucket->entries);
    bucket->entries[at] = entry;
    bucket->count++;
    return entry;
}

char *memory_next_id(struct bucket *bucket, const char *kind) {
    char dice[9];
    random_hex(dice, 4);
    return text_format("%s%016llx%s", kind, (unsigned long long)++bucket->serial, dice);
}

/* Takes the version over, also on failure. */
int memory_add_version(struct bucket *bucket, const char *key, struct version *version) {
    struct entry *entry = memory_find_entry(bucket, key);
    if (!entry)
        entry = insert_entry(bucket, key);
    bool keep = bucket->options.versions;
    struct version *longer = entry ? realloc(entry->versions, (entry->count + 1) * sizeof *longer) : NULL;
    if (longer)
        entry->versions = longer;
    if (!longer || (keep && !(version->id = memory_next_id(bucket, "v")))) {
        memory_version_finish(version);
        return -ENOMEM;
    }
    if (!keep && entry->count)
        memory_version_finish(&entry->versions[--entry->count]);
    entry->versions[entry->count++] = *version;
    return 0;
}

void memory_remove_entry(struct bucket *bucket, const char *key) {
    size_t at = memory_lower_bound(bucket, key);
    if (at == bucket->count || strcmp(bucket->entries[at]->key, key) != 0)
        return;
    entry_destroy(bucket->entries[at]);
    bucket->count--;
    memmove(&bucket->entries[at], &bucket->entries[at + 1], (bucket->count - at) * sizeof *bucket->entries);
}

int memory_check_when(const struct bucket *bucket, const char *key, const struct store_when *when, bool absent_honoured,
                      bool match_honoured) {
    const struct version *there = memory_current(bucket, key);
    if (!when || when->condition == STORE_ANY)
        return 0;
    if (when->condition == STORE_IF_ABSENT)
        return absent_honoured && there ? PAIL_CONFLICT : 0;
    if (!match_honoured)
        return 0;
    return !there ? PAIL_GONE : strcmp(there->etag, when->etag) != 0 ? PAIL_CONFLICT : 0;
}

/* --- answers --- */

int memory_is_cancelled(const struct store_call *call) {
    return call && call->cancelled && atomic_load(call->cancelled) ? PAIL_CANCELLED : 0;
}

/* What can be written at all. */
int memory_check_write(const char *key, const struct store_headers *headers, const struct store_call *call) {
    if (!key[0] || !text_is_utf8(key, strlen(key)))
        return -EINVAL;
    if (strlen(key) > STORE_MAX_KEY)
        return PAIL_TOO_LARGE;
    return store_headers_check(headers, call ? call->fault : NULL);
}

int memory_fail(const struct store_call *call, int error, const char *key) {
    return fault_set(call ? call->fault : NULL, error, "%s: %s", key, error_text(error));
}

int memory_copy_text(char **out, const char *text) {
    *out = text ? strdup(text) : NULL;
    return text && !*out ? -ENOMEM : 0;
}

int memory_describe(const struct version *version, struct store_object *object) {
    object->size = version->blob ? version->blob->size : 0;
    object->modified_s = version->modified_s;
    object->date_s = clock_realtime_s();
    object->archived = memory_is_archived(version);
    object->delete_marker = !version->blob;
    int error = memory_copy_text(&object->etag, version->etag ? version->etag : "");
    return error ? error : memory_copy_text(&object->version, version->id);
}

int memory_describe_whole(const struct version *version, struct store_object *object) {
    int error = memory_describe(version, object);
    return error ? error : store_headers_copy(&object->headers, &version->headers);
}

void memory_clear_written(struct store_written *written) {
    if (written)
        *written = (struct store_written){0};
}

int memory_describe_written(const struct version *version, struct store_written *written) {
    if (!written)
        return 0;
    written->date_s = clock_realtime_s();
    int error = memory_copy_text(&written->etag, version->etag);
    return error ? error : memory_copy_text(&written->version, version->id);
}

/* A bucket for the model test. */
#include "bucket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bucket_finish(struct bucket *bucket) {
    free(bucket->now);
    free(bucket->versions);
    *bucket = (struct bucket){0};
}

size_t bucket_find(const struct bucket *bucket, const char *key, bool strictly) {
    size_t low = 0, high = bucket->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(bucket->now[middle].key, key);
        if (order < 0 || (order == 0 && strictly))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct object *bucket_get(const struct bucket *bucket, const char *key) {
    size_t at = bucket_find(bucket, key, false);
    return at < bucket->count && strcmp(bucket->now[at].key, key) == 0 ? &bucket->now[at] : NULL;
}

const struct object *bucket_version(const struct bucket *bucket, const char *key, const char *version) {
    for (size_t i = bucket->version_count; i--;)
        if (strcmp(bucket->versions[i].version, version) == 0 && strcmp(bucket->versions[i].key, key) == 0)
            return &bucket->versions[i];
    return NULL;
}

static void grow(struct object **items, size_t count, size_t *capacity) {
    if (count < *capacity)
        return;
    *capacity = *capacity ? *capacity * 2 : 64;
    *items = realloc(*items, *capacity * sizeof **items);
    if (!*items)
        abort();
}

void bucket_force(struct bucket *bucket, const struct object *object) {
    size_t at = bucket_find(bucket, object->key, false);
    struct object made = *object;
    made.modified_s = bucket->clock_s;
    snprintf(made.version, sizeof made.version, "v%llu", (unsigned long long)++bucket->number);
    if (at == bucket->count || strcmp(bucket->now[at].key, object->key) != 0) {
        grow(&bucket->now, bucket->count, &bucket->capacity);
        memmove(&bucket->now[at + 1], &bucket->now[at], (bucket->count - at) * sizeof *bucket->now);
        bucket->count++;
    }
    bucket->now[at] = made;
    grow(&bucket->versions, bucket->version_count, &bucket->version_capacity);
    bucket->versions[bucket->version_count++] = made;
}

bool bucket_put(struct bucket *bucket, const struct object *object, const char *base_etag, bool new_etag) {
    const struct object *there = bucket_get(bucket, object->key);
    struct object made = *object;
    if (there ? !base_etag || strcmp(there->etag, base_etag) != 0 : base_etag != NULL)
        return false;
    if (new_etag)
        snprintf(made.etag, sizeof made.etag, "e%llu", (unsigned long long)++bucket->number);
    bucket_force(bucket, &made);
    return true;
}

enum bucket_deleted bucket_delete(struct bucket *bucket, const char *key, const char *etag) {
    size_t at = bucket_find(bucket, key, false);
    if (at == bucket->count || strcmp(bucket->now[at].key, key) != 0)
        return BUCKET_ABSENT;
    if (etag && strcmp(bucket->now[at].etag, etag) != 0)
        return BUCKET_OTHER;
    bucket->count--;
    memmove(&bucket->now[at], &bucket->now[at + 1], (bucket->count - at) * sizeof *bucket->now);
    return BUCKET_DELETED;
}

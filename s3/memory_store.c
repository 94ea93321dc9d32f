/* A store in memory, with versions and every condition, for tests: reading, writing, life. */
#include "s3/memory_store.h"

#include "base/clock.h"
#include "s3/checksum.h"
#include "s3/memory_parts.h"

#define PIECE (128u << 10)

/* --- reading --- */

static int find_for_get(struct bucket *bucket, const struct store_get *request, struct store_object *object,
                        struct blob **blob) {
    const struct version *version = memory_find_version(bucket, request->key, request->version);
    if (!version)
        return PAIL_GONE;
    if (request->if_match && strcmp(request->if_match, version->etag) != 0)
        return PAIL_CONFLICT;
    if (memory_is_archived(version))
        return PAIL_ARCHIVED;
    if (request->offset && request->offset >= version->blob->size)
        return PAIL_CONFLICT;
    *blob = memory_blob_use(version->blob);
    return memory_describe_whole(version, object);
}

static int hand_out(const struct blob *blob, uint64_t offset, uint64_t length, const struct store_sink *sink,
                    const struct store_call *call) {
    uint64_t end = blob->size;
    if (length && length < end - offset)
        end = offset + length;
    int error = 0;
    while (!error && offset < end) {
        size_t piece = end - offset < PIECE ? (size_t)(end - offset) : PIECE;
        error = memory_is_cancelled(call);
        if (!error)
            error = sink->write(sink->context, blob->data + offset, piece);
        offset += piece;
    }
    return error;
}

static int memory_get(struct store *store, const struct store_get *request, const struct store_sink *sink,
                      struct store_object *object, const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    AUTO_BLOB struct blob *blob = NULL;
    *object = (struct store_object){0};
    pthread_mutex_lock(&bucket->lock);
    int error = find_for_get(bucket, request, object, &blob);
    pthread_mutex_unlock(&bucket->lock);
    return error ? memory_fail(call, error, request->key)
                 : hand_out(blob, request->offset, request->length, sink, call);
}

static int memory_head(struct store *store, const char *key, const char *version, struct store_object *object,
                       const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    *object = (struct store_object){0};
    pthread_mutex_lock(&bucket->lock);
    const struct version *found = memory_find_version(bucket, key, version);
    int error = found ? memory_describe_whole(found, object) : PAIL_GONE;
    pthread_mutex_unlock(&bucket->lock);
    return error ? memory_fail(call, error, key) : 0;
}

/* --- writing --- */

int memory_read_source(const struct store_source *source, struct blob **out, const struct store_call *call) {
    AUTO_BLOB struct blob *blob = memory_blob_create(source->size);
    if (!blob)
        return -ENOMEM;
    for (uint64_t offset = 0; offset < source->size;) {
        size_t piece = source->size - offset < PIECE ? (size_t)(source->size - offset) : PIECE;
        int error = memory_is_cancelled(call);
        if (!error)
            error = source->read(source->context, offset, blob->data + offset, piece);
        if (error)
            return error;
        offset += piece;
    }
    *out = TAKE(blob);
    return 0;
}

/* A version made of these bytes; blob's use goes into it. */
static int make_version(struct version *version, struct blob *blob, const struct store_headers *headers) {
    *version = (struct version){.blob = blob, .modified_s = clock_realtime_s()};
    int error = checksum_hex(CHECKSUM_MD5, blob->data, blob->size, &version->etag);
    if (!error && headers)
        error = store_headers_copy(&version->headers, headers);
    if (error)
        memory_version_finish(version);
    return error;
}

/* Under lock. Takes the version over. */
int memory_keep_version(struct bucket *bucket, const char *key, struct version *version,
                        struct store_written *written) {
    int error = memory_add_version(bucket, key, version);
    return error ? error : memory_describe_written(memory_newest(memory_find_entry(bucket, key)), written);
}

static int memory_put(struct store *store, const struct store_put *request, struct store_written *written,
                      const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    const struct store_features *features = &bucket->options.features;
    struct blob *blob = NULL;
    struct version version;
    memory_clear_written(written);
    int error = memory_check_write(request->key, request->headers, call);
    if (!error)
        error = memory_is_cancelled(call);
    if (error || (error = memory_read_source(&request->source, &blob, call)))
        return error;
    if ((error = make_version(&version, blob, request->headers)))
        return error;
    pthread_mutex_lock(&bucket->lock);
    error = memory_check_when(bucket, request->key, &request->when, features->put_if_absent, features->put_if_match);
    if (error)
        memory_version_finish(&version);
    else
        error = memory_keep_version(bucket, request->key, &version, written);
    pthread_mutex_unlock(&bucket->lock);
    return error ? memory_fail(call, error, request->key) : 0;
}

/* Under lock: the bytes that a copy takes. */
int memory_find_source(const struct bucket *bucket, const struct store_copy *copy, bool match_honoured,
                       const struct version **out) {
    const struct version *version = memory_find_version(bucket, copy->source, copy->source_version);
    if (!version)
        return PAIL_GONE;
    if (match_honoured && copy->source_if_match && strcmp(copy->source_if_match, version->etag) != 0)
        return PAIL_CONFLICT;
    if (memory_is_archived(version))
        return PAIL_ARCHIVED;
    *out = version;
    return 0;
}

static int copy_locked(struct bucket *bucket, const struct store_copy *request, struct store_written *written) {
    const struct store_features *features = &bucket->options.features;
    const struct version *source = NULL;
    struct version made;
    int error = memory_find_source(bucket, request, features->copy_source_if_match, &source);
    if (!error)
        error =
            memory_check_when(bucket, request->key, &request->when, features->copy_if_absent, features->copy_if_match);
    if (!error)
        error =
            make_version(&made, memory_blob_use(source->blob), request->headers ? request->headers : &source->headers);
    return error ? error : memory_keep_version(bucket, request->key, &made, written);
}

static int memory_copy(struct store *store, const struct store_copy *request, struct store_written *written,
                       const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    memory_clear_written(written);
    int error = request->size > STORE_MAX_PUT ? PAIL_TOO_LARGE : memory_is_cancelled(call);
    if (!error)
        error = memory_check_write(request->key, request->headers, call);
    if (error)
        return memory_fail(call, error, request->key);
    pthread_mutex_lock(&bucket->lock);
    error = copy_locked(bucket, request, written);
    pthread_mutex_unlock(&bucket->lock);
    return error ? memory_fail(call, error, request->key) : 0;
}

static int remove_locked(struct bucket *bucket, const char *key, const char *etag, bool match_honoured) {
    struct store_when when = {etag ? STORE_IF_MATCH : STORE_ANY, etag};
    int error = memory_check_when(bucket, key, &when, true, match_honoured);
    if (error)
        return error;
    if (!bucket->options.versions) {
        memory_remove_entry(bucket, key);
        return 0;
    }
    struct version marker = {.modified_s = clock_realtime_s()};
    return memory_add_version(bucket, key, &marker);
}

static int memory_remove(struct store *store, const char *key, const char *etag, const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    int error = memory_is_cancelled(call);
    if (error)
        return error;
    pthread_mutex_lock(&bucket->lock);
    error = remove_locked(bucket, key, etag, bucket->options.features.delete_if_match);
    pthread_mutex_unlock(&bucket->lock);
    return error ? memory_fail(call, error, key) : 0;
}

static int memory_remove_many(struct store *store, struct store_delete *items, size_t count,
                              const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    int error = memory_is_cancelled(call);
    if (error || count > 1000)
        return error ? error : -EINVAL;
    pthread_mutex_lock(&bucket->lock);
    for (size_t i = 0; i < count; i++)
        items[i].result =
            remove_locked(bucket, items[i].key, items[i].etag, bucket->options.features.delete_many_if_match);
    pthread_mutex_unlock(&bucket->lock);
    return 0;
}

/* --- life --- */

static void memory_features(struct store *store, struct store_features *out) {
    *out = memory_bucket_of(store)->options.features;
    out->versions = memory_bucket_of(store)->options.versions;
}

static void memory_destroy(struct store *store) {
    struct bucket *bucket = memory_bucket_of(store);
    pthread_mutex_lock(&bucket->lock);
    unsigned left = --bucket->shares;
    pthread_mutex_unlock(&bucket->lock);
    if (!left)
        memory_bucket_destroy(bucket);
    free(store);
}

static const struct store_operations operations = {
    .destroy = memory_destroy,
    .features = memory_features,
    .get = memory_get,
    .head = memory_head,
    .put = memory_put,
    .copy = memory_copy,
    .remove = memory_remove,
    .remove_many = memory_remove_many,
    .list = memory_list,
    .list_versions = memory_list_versions,
    .create_upload = memory_create_upload,
    .put_part = memory_put_part,
    .copy_part = memory_copy_part,
    .complete_upload = memory_complete_upload,
    .abort_upload = memory_abort_upload,
    .list_parts = memory_list_parts,
};

static int view(struct bucket *bucket, struct store **out) {
    struct memory_store *store = calloc(1, sizeof *store);
    if (!store)
        return -ENOMEM;
    store->base.operations = &operations;
    store->bucket = bucket;
    pthread_mutex_lock(&bucket->lock);
    bucket->shares++;
    pthread_mutex_unlock(&bucket->lock);
    *out = &store->base;
    return 0;
}

int memory_store_create(struct store **out, const struct memory_store_options *options) {
    struct bucket *bucket = calloc(1, sizeof *bucket);
    if (!bucket)
        return -ENOMEM;
    pthread_mutex_init(&bucket->lock, NULL);
    bucket->options = *options;
    int error = view(bucket, out);
    if (error)
        memory_bucket_destroy(bucket);
    return error;
}

int memory_store_share(struct store *memory, struct store **out) {
    return view(memory_bucket_of(memory), out);
}

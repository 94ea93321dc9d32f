/* The store in memory: uploads in parts. */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/memory_parts.h"

#include <stdio.h>

static int create_upload_locked(struct bucket *bucket, const char *key, const struct store_headers *headers,
                                char **id) {
    struct upload *upload = calloc(1, sizeof *upload);
    if (!upload)
        return -ENOMEM;
    upload->id = memory_next_id(bucket, "u");
    int error = upload->id ? memory_copy_text(&upload->key, key) : -ENOMEM;
    if (!error && headers)
        error = store_headers_copy(&upload->headers, headers);
    if (!error)
        error = memory_copy_text(id, upload->id);
    if (error) {
        memory_upload_destroy(upload);
        return error;
    }
    upload->next = bucket->uploads;
    bucket->uploads = upload;
    return 0;
}

int memory_create_upload(struct store *store, const char *key, const struct store_headers *headers, char **upload,
                         const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    *upload = NULL;
    int error = memory_check_write(key, headers, call);
    if (!error)
        error = memory_is_cancelled(call);
    if (error)
        return error;
    pthread_mutex_lock(&bucket->lock);
    error = create_upload_locked(bucket, key, headers, upload);
    pthread_mutex_unlock(&bucket->lock);
    return error;
}

/* Under lock. Takes blob and etag over, also on failure. */
static int keep_part(struct upload *upload, unsigned number, struct blob *blob, char *etag) {
    size_t at = 0;
    while (at < upload->count && upload->parts[at].number < number)
        at++;
    bool replaces = at < upload->count && upload->parts[at].number == number;
    struct part *longer = replaces ? upload->parts : realloc(upload->parts, (upload->count + 1) * sizeof *longer);
    if (!longer) {
        free(etag);
        memory_blob_drop(blob);
        return -ENOMEM;
    }
    upload->parts = longer;
    struct part *part = &upload->parts[at];
    if (replaces) {
        free(part->etag);
        memory_blob_drop(part->blob);
    } else {
        memmove(part + 1, part, (upload->count++ - at) * sizeof *part);
    }
    *part = (struct part){number, etag, blob};
    return 0;
}

/* Takes the blob over. */
static int add_part(struct bucket *bucket, const char *key, const char *id, unsigned number, struct blob *blob,
                    char **etag) {
    char *kept = NULL;
    int error = number < 1 || number > STORE_MAX_PARTS ? -EINVAL : 0;
    if (!error)
        error = checksum_hex(CHECKSUM_MD5, blob->data, blob->size, etag);
    if (!error)
        error = memory_copy_text(&kept, *etag);
    if (error) {
        memory_blob_drop(blob);
        return error;
    }
    pthread_mutex_lock(&bucket->lock);
    struct upload *upload = memory_find_upload(bucket, key, id);
    if (upload)
        error = keep_part(upload, number, blob, kept);
    pthread_mutex_unlock(&bucket->lock);
    if (!upload) {
        free(kept);
        memory_blob_drop(blob);
        error = PAIL_GONE;
    }
    if (error)
        free(TAKE(*etag));
    return error;
}

int memory_put_part(struct store *store, const char *key, const char *upload, unsigned number,
                    const struct store_source *source, char **etag, const struct store_call *call) {
    struct blob *blob = NULL;
    *etag = NULL;
    int error = memory_is_cancelled(call);
    if (!error)
        error = memory_read_source(source, &blob, call);
    if (!error)
        error = add_part(memory_bucket_of(store), key, upload, number, blob, etag);
    return error ? memory_fail(call, error, key) : 0;
}

int memory_copy_part(struct store *store, const char *key, const char *upload, unsigned number,
                     const struct store_copy *source, uint64_t offset, uint64_t length, char **etag,
                     const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    const struct version *version = NULL;
    AUTO_BLOB struct blob *whole = NULL;
    *etag = NULL;
    pthread_mutex_lock(&bucket->lock);
    int error = memory_find_source(bucket, source, bucket->options.features.part_copy_source_if_match, &version);
    if (!error && (offset >= version->blob->size || length > version->blob->size - offset || !length))
        error = PAIL_CONFLICT;
    if (!error)
        whole = memory_blob_use(version->blob);
    pthread_mutex_unlock(&bucket->lock);
    if (error)
        return memory_fail(call, error, source->source);
    struct blob *piece = memory_blob_create(length);
    if (!piece)
        return -ENOMEM;
    memcpy(piece->data, whole->data + offset, length);
    error = add_part(bucket, key, upload, number, piece, etag);
    return error ? memory_fail(call, error, key) : 0;
}

static const struct part *part_named(const struct upload *upload, const struct store_part *wanted) {
    for (size_t i = 0; i < upload->count; i++)
        if (upload->parts[i].number == wanted->number && text_equal(upload->parts[i].etag, wanted->etag))
            return &upload->parts[i];
    return NULL;
}

/* The parts that the caller names are there, rise, and are large enough; *size is what they make. */
static int check_parts(const struct bucket *bucket, const struct upload *upload, const struct store_parts *parts,
                       uint64_t *size) {
    uint64_t least = bucket->options.min_part ? bucket->options.min_part : STORE_MIN_PART;
    *size = 0;
    for (size_t i = 0; i < parts->count; i++) {
        const struct part *part = part_named(upload, &parts->items[i]);
        if (!part || (i && parts->items[i].number <= parts->items[i - 1].number))
            return PAIL_DAMAGED;
        if (i + 1 < parts->count && part->blob->size < least)
            return PAIL_UNSUPPORTED;
        *size += part->blob->size;
    }
    return parts->count ? 0 : PAIL_UNSUPPORTED;
}

/* S3's form: the MD5 of the parts' MD5s, a dash, their number. */
static int join_etag(const struct store_parts *parts, char **etag) {
    AUTO_BUFFER struct buffer sums = {0};
    AUTO_FREE char *hex = NULL;
    for (size_t i = 0; i < parts->count; i++)
        for (const char *digit = parts->items[i].etag; digit[0] && digit[1]; digit += 2) {
            unsigned byte = 0;
            if (sscanf(digit, "%2x", &byte) != 1 || buffer_append(&sums, &(unsigned char){(unsigned char)byte}, 1))
                return -ENOMEM;
        }
    int error = checksum_hex(CHECKSUM_MD5, sums.data, sums.size, &hex);
    if (!error && !(*etag = text_format("%s-%zu", hex, parts->count)))
        error = -ENOMEM;
    return error;
}

static int join_parts(const struct upload *upload, const struct store_parts *parts, uint64_t size,
                      struct version *version) {
    *version = (struct version){.modified_s = clock_realtime_s(), .blob = memory_blob_create(size)};
    int error = version->blob ? join_etag(parts, &version->etag) : -ENOMEM;
    if (!error)
        error = store_headers_copy(&version->headers, &upload->headers);
    size_t at = 0;
    for (size_t i = 0; !error && i < parts->count; i++) {
        const struct blob *part = part_named(upload, &parts->items[i])->blob;
        memcpy(version->blob->data + at, part->data, part->size);
        at += part->size;
    }
    if (error)
        memory_version_finish(version);
    return error;
}

static void drop_upload(struct bucket *bucket, struct upload *upload) {
    struct upload **link = &bucket->uploads;
    while (*link != upload)
        link = &(*link)->next;
    *link = upload->next;
    memory_upload_destroy(upload);
}

static int complete_locked(struct bucket *bucket, const char *key, const char *id, const struct store_parts *parts,
                           uint64_t total, const struct store_when *when, struct store_written *written) {
    const struct store_features *features = &bucket->options.features;
    struct upload *upload = memory_find_upload(bucket, key, id);
    struct version version;
    uint64_t size = 0;
    if (!upload)
        return PAIL_GONE;
    int error = check_parts(bucket, upload, parts, &size);
    if (!error && features->complete_size && size != total)
        error = PAIL_DAMAGED;
    if (!error)
        error = memory_check_when(bucket, key, when, features->complete_if_absent, features->complete_if_match);
    if (!error)
        error = join_parts(upload, parts, size, &version);
    if (error)
        return error;
    drop_upload(bucket, upload);
    return memory_keep_version(bucket, key, &version, written);
}

int memory_complete_upload(struct store *store, const char *key, const char *upload, const struct store_parts *parts,
                           uint64_t total, const struct store_when *when, struct store_written *written,
                           const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    memory_clear_written(written);
    int error = memory_is_cancelled(call);
    if (error)
        return error;
    pthread_mutex_lock(&bucket->lock);
    error = complete_locked(bucket, key, upload, parts, total, when, written);
    pthread_mutex_unlock(&bucket->lock);
    return error ? memory_fail(call, error, key) : 0;
}

int memory_abort_upload(struct store *store, const char *key, const char *id, const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    int error = memory_is_cancelled(call);
    if (error)
        return error;
    pthread_mutex_lock(&bucket->lock);
    struct upload *upload = memory_find_upload(bucket, key, id);
    if (upload)
        drop_upload(bucket, upload);
    pthread_mutex_unlock(&bucket->lock);
    return upload ? 0 : memory_fail(call, PAIL_GONE, key);
}

static int describe_parts(const struct upload *upload, struct store_parts *parts) {
    parts->items = calloc(upload->count ? upload->count : 1, sizeof *parts->items);
    if (!parts->items)
        return -ENOMEM;
    for (; parts->count < upload->count; parts->count++) {
        const struct part *part = &upload->parts[parts->count];
        struct store_part *item = &parts->items[parts->count];
        item->number = part->number;
        item->size = part->blob->size;
        if (memory_copy_text(&item->etag, part->etag))
            return -ENOMEM;
    }
    return 0;
}

int memory_list_parts(struct store *store, const char *key, const char *id, struct store_parts *parts,
                      const struct store_call *call) {
    struct bucket *bucket = memory_bucket_of(store);
    *parts = (struct store_parts){0};
    int error = memory_is_cancelled(call);
    if (error)
        return error;
    pthread_mutex_lock(&bucket->lock);
    struct upload *upload = memory_find_upload(bucket, key, id);
    error = upload ? describe_parts(upload, parts) : PAIL_GONE;
    pthread_mutex_unlock(&bucket->lock);
    return error ? memory_fail(call, error, key) : 0;
}

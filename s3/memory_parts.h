/* Inside the store in memory: what memory_store.c, memory_bucket.c, memory_list.c and memory_upload.c share. Functions
 * that take a bucket are called under its lock. */
#pragma once

#include "base/cleanup.h"
#include "s3/memory_store.h"

#include <pthread.h>
#include <stdatomic.h>

/* Bytes that several versions and readers share. */
struct blob {
    _Atomic unsigned uses;
    size_t size;
    unsigned char data[];
};

struct version {
    char *id, *etag;   /* owned; id NULL without versions */
    struct blob *blob; /* one use is ours; NULL for a delete marker */
    int64_t modified_s;
    struct store_headers headers;
};

struct entry {
    char *key;                /* owned */
    struct version *versions; /* owned, oldest first */
    size_t count;
};

struct part {
    unsigned number;
    char *etag;        /* owned */
    struct blob *blob; /* one use is ours */
};

struct upload {
    struct upload *next;
    char *id, *key; /* owned */
    struct store_headers headers;
    struct part *parts; /* owned, by number */
    size_t count;
};

struct bucket {
    pthread_mutex_t lock;
    struct memory_store_options options;
    unsigned shares;        /* under lock, as all below */
    struct entry **entries; /* owned, in key order */
    size_t count, capacity;
    struct upload *uploads;
    uint64_t serial; /* of version and upload ids */
};

struct memory_store {
    struct store base;
    struct bucket *bucket; /* one share is ours */
};

static inline struct bucket *memory_bucket_of(struct store *store) {
    return ((struct memory_store *)store)->bucket;
}

/* --- memory_bucket.c --- */

struct blob *memory_blob_create(uint64_t size); /* with one use; NULL without memory */
struct blob *memory_blob_use(struct blob *blob);
void memory_blob_drop(struct blob *blob);
void memory_version_finish(struct version *version);
void memory_upload_destroy(struct upload *upload);
void memory_bucket_destroy(struct bucket *bucket);
size_t memory_lower_bound(const struct bucket *bucket, const char *key);
struct entry *memory_find_entry(const struct bucket *bucket, const char *key);
const struct version *memory_newest(const struct entry *entry);
/* What a GET without a version would find; the newest may be a delete marker. */
const struct version *memory_current(const struct bucket *bucket, const char *key);
const struct version *memory_find_version(const struct bucket *bucket, const char *key, const char *id);
struct upload *memory_find_upload(const struct bucket *bucket, const char *key, const char *id);
/* Owned by the caller. */
char *memory_next_id(struct bucket *bucket, const char *kind);
/* Takes the version over, also on failure. */
int memory_add_version(struct bucket *bucket, const char *key, struct version *version);
void memory_remove_entry(struct bucket *bucket, const char *key);
int memory_check_when(const struct bucket *bucket, const char *key, const struct store_when *when, bool absent_honoured,
                      bool match_honoured);
int memory_is_cancelled(const struct store_call *call);
int memory_check_write(const char *key, const struct store_headers *headers, const struct store_call *call);
int memory_fail(const struct store_call *call, int error, const char *key);
int memory_copy_text(char **out, const char *text);
int memory_describe(const struct version *version, struct store_object *object);
int memory_describe_whole(const struct version *version, struct store_object *object);
void memory_clear_written(struct store_written *written);
int memory_describe_written(const struct version *version, struct store_written *written);
bool memory_is_archived(const struct version *version);
DEFINE_CLEANUP(struct blob *, memory_blob_drop)
#define AUTO_BLOB CLEANUP(memory_blob_drop_p)

/* --- memory_store.c --- */

int memory_read_source(const struct store_source *source, struct blob **out, const struct store_call *call);
int memory_keep_version(struct bucket *bucket, const char *key, struct version *version, struct store_written *written);
int memory_find_source(const struct bucket *bucket, const struct store_copy *copy, bool match_honoured,
                       const struct version **out);

/* --- memory_list.c, memory_upload.c --- */

int memory_list(struct store *store, const struct store_list *request, struct store_page *page,
                const struct store_call *call);
int memory_list_versions(struct store *store, const struct store_list_versions *request, struct store_page *page,
                         const struct store_call *call);
int memory_create_upload(struct store *store, const char *key, const struct store_headers *headers, char **upload,
                         const struct store_call *call);
int memory_put_part(struct store *store, const char *key, const char *upload, unsigned number,
                    const struct store_source *source, char **etag, const struct store_call *call);
int memory_copy_part(struct store *store, const char *key, const char *upload, unsigned number,
                     const struct store_copy *source, uint64_t offset, uint64_t length, char **etag,
                     const struct store_call *call);
int memory_complete_upload(struct store *store, const char *key, const char *upload, const struct store_parts *parts,
                           uint64_t total, const struct store_when *when, struct store_written *written,
                           const struct store_call *call);
int memory_abort_upload(struct store *store, const char *key, const char *id, const struct store_call *call);
int memory_list_parts(struct store *store, const char *key, const char *id, struct store_parts *parts,
                      const struct store_call *call);

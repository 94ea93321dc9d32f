/* The interface to object storage, in S3's own words. One suite (tests/conformance) runs on every implementation:
 * s3/http_store (the product: pre-signed requests), s3/memory_store and s3/failing_store (tests).
 *
 * Every call blocks until it is done or failed; every implementation is thread-safe, so callers bring their own
 * threads. Results: 0, -errno for trouble on this machine, or enum pail_error (base/error.h):
 *
 * - PAIL_OFFLINE: no answer within the call's deadline, after retries (5xx, 429, resets, stalls, short bodies).
 * - PAIL_GONE: no such object, version or upload. To head() only, a bucket that is not there looks the same.
 * - PAIL_NO_BUCKET: the bucket is not there.
 * - PAIL_CONFLICT: a condition did not hold (412, 409 that did not pass). Nothing was changed by the answered attempt;
 *   an earlier one whose answer was lost may have done it: compare x-amz-meta-pail-write.
 * - PAIL_DENIED, PAIL_LOGIN_REQUIRED, PAIL_QUOTA, PAIL_TOO_LARGE, PAIL_ARCHIVED, PAIL_DAMAGED, PAIL_UNSUPPORTED,
 *   PAIL_CANCELLED.
 *
 * Strings in requests are borrowed for the call; strings in answers are owned by the answer and freed by its _finish.
 * ETags are passed and returned without their quotes. Keys are whole S3 keys, UTF-8, without a leading mount prefix
 * added. */
#pragma once

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct store;

/* How a call may end before it is done. NULL means: 30 s without progress, not to be cancelled, no text wanted. */
struct store_call {
    int64_t stall_ms;              /* without any progress for this long it fails as PAIL_OFFLINE; 0: 30,000 */
    const _Atomic bool *cancelled; /* borrowed; looked at often (within 100 ms); NULL: never */
    struct fault *fault;           /* borrowed; filled on failure; may be NULL */
};

struct store_header {
    char *name;  /* lower case; metadata as "x-amz-meta-..." */
    char *value; /* printable ASCII */
};

/* Headers that belong to an object: content-type, cache-control, content-disposition, content-encoding,
 * content-language, expires, x-amz-storage-class (not STANDARD), x-amz-website-redirect-location, x-amz-tagging-count,
 * and all x-amz-meta-. */
struct store_headers {
    struct store_header *items; /* owned */
    size_t count;
};

const char *store_headers_get(const struct store_headers *headers, const char *name); /* borrowed, or NULL */
/* Adds or replaces (value NULL: removes). 0 or -ENOMEM. */
int store_headers_set(struct store_headers *headers, const char *name, const char *value);
int store_headers_copy(struct store_headers *to, const struct store_headers *from);
void store_headers_finish(struct store_headers *headers);
/* What every store refuses before it asks anybody: values that are not printable ASCII (-EINVAL; percent-encode them),
 * and more than 2 KiB of x-amz-meta- names (without that) and values (PAIL_TOO_LARGE; S3's limit). NULL is fine. */
int store_headers_check(const struct store_headers *headers, struct fault *fault);

/* What is known of one object or version. From list: no headers. */
struct store_object {
    char *key;          /* list and list_versions only */
    char *etag;         /* "" when the store did not say */
    char *version;      /* version id; NULL when the bucket has no versions */
    uint64_t size;      /* of the whole object */
    int64_t modified_s; /* Last-Modified; 0 unknown */
    int64_t date_s;     /* the answer's Date; 0 unknown */
    bool archived;      /* get would be refused until it is restored */
    bool is_latest;     /* list_versions only */
    bool delete_marker; /* list_versions only */
    struct store_headers headers;
};
void store_object_finish(struct store_object *object);

struct store_get {
    const char *key;
    const char *version;  /* NULL: the current one */
    const char *if_match; /* ETag; NULL: whatever is there. PAIL_CONFLICT if it is another */
    uint64_t offset;      /* at or behind the end, but for 0: PAIL_CONFLICT, the object is not as the caller knows it */
    uint64_t length;      /* 0: to the end; behind it, the bytes that are there */
};

/* Bytes come once each and in order, also over retries. Non-zero ends the call, which returns that value. The first
 * call comes after *object is filled. */
struct store_sink {
    int (*write)(void *context, const void *data, size_t size);
    void *context;
};

/* The body of an upload. Read at any offset, any number of times (retries, checksums), from the calling thread: exactly
 * size bytes, or -errno, which ends the call. */
struct store_source {
    int (*read)(void *context, uint64_t offset, void *data, size_t size);
    void *context;
    uint64_t size;
};

enum store_condition { STORE_ANY, STORE_IF_ABSENT, STORE_IF_MATCH };

/* The condition on what is at the key now. */
struct store_when {
    enum store_condition condition;
    const char *etag; /* for STORE_IF_MATCH */
};

struct store_written {
    char *etag;     /* "" when the store did not say (Ceph after complete): ask head */
    char *version;  /* NULL when not told */
    int64_t date_s; /* the answer's Date */
};
void store_written_finish(struct store_written *written);

struct store_put {
    const char *key;
    struct store_source source;
    struct store_when when;
    const struct store_headers *headers; /* NULL: none */
};

struct store_copy {
    const char *source;
    const char *source_version;  /* NULL: the current one */
    const char *source_if_match; /* ETag, or NULL */
    const char *key;
    struct store_when when;
    const struct store_headers *headers; /* NULL: the source's are kept (COPY); else they replace all (REPLACE) */
    uint64_t size;                       /* of the source, as known; above 5 GiB is PAIL_TOO_LARGE: use parts */
};

struct store_list {
    const char *prefix;
    const char *delimiter;   /* NULL or "/" */
    const char *start_after; /* NULL or a key */
    const char *token;       /* NULL, or the page before's next_token */
    unsigned max_keys;       /* 0: 1,000 */
};

struct store_page {
    struct store_object *objects; /* owned; in key order */
    size_t count;
    char **prefixes; /* owned; common prefixes, in order */
    size_t prefix_count;
    char *next_token;      /* NULL on the last page */
    char *next_key_marker; /* list_versions */
    char *next_version_marker;
    int64_t date_s;
};
void store_page_finish(struct store_page *page);

struct store_list_versions {
    const char *prefix;
    const char *key_marker, *version_marker; /* NULL, or from the page before */
    unsigned max_keys;
};

struct store_delete {
    const char *key;
    const char *etag; /* delete only this one; NULL: whatever is there */
    int result;       /* of delete_many: 0 (also when it was not there), or as above */
};

struct store_part {
    unsigned number; /* 1 to 10,000 */
    char *etag;
    uint64_t size;
};

struct store_parts {
    struct store_part *items; /* owned, as their etags; by number */
    size_t count;
};
void store_parts_finish(struct store_parts *parts);

/* What the store was proven to honour (server.md, Provisioning). Where one is missing, the caller looks before and
 * after. */
struct store_features {
    bool put_if_absent, put_if_match;
    bool complete_if_absent, complete_if_match, complete_size;
    bool copy_if_absent, copy_if_match; /* the destination */
    bool copy_source_if_match, part_copy_source_if_match;
    bool delete_if_match, delete_many_if_match;
    bool content_md5, crc32c, sha256;
    bool quoted_etag;       /* conditions want the ETag quoted; otherwise they fail on it */
    bool versions;          /* the bucket keeps versions */
    int64_t versioned_at_s; /* since when; 0 unknown */
};

struct store_operations {
    void (*destroy)(struct store *store);
    void (*features)(struct store *store, struct store_features *out);
    int (*get)(struct store *store, const struct store_get *request, const struct store_sink *sink,
               struct store_object *object, const struct store_call *call);
    int (*head)(struct store *store, const char *key, const char *version, struct store_object *object,
                const struct store_call *call);
    int (*put)(struct store *store, const struct store_put *request, struct store_written *written,
               const struct store_call *call);
    int (*copy)(struct store *store, const struct store_copy *request, struct store_written *written,
                const struct store_call *call);
    /* Deleting what is not there is fine without an etag, PAIL_GONE with one. A version is never destroyed. */
    int (*remove)(struct store *store, const char *key, const char *etag, const struct store_call *call);
    /* Up to 1,000. 0 when each item has its own result. */
    int (*remove_many)(struct store *store, struct store_delete *items, size_t count, const struct store_call *call);
    int (*list)(struct store *store, const struct store_list *request, struct store_page *page,
                const struct store_call *call);
    int (*list_versions)(struct store *store, const struct store_list_versions *request, struct store_page *page,
                         const struct store_call *call);
    /* *upload is owned by the caller. */
    int (*create_upload)(struct store *store, const char *key, const struct store_headers *headers, char **upload,
                         const struct store_call *call);
    int (*put_part)(struct store *store, const char *key, const char *upload, unsigned number,
                    const struct store_source *source, char **etag, const struct store_call *call);
    /* PAIL_UNSUPPORTED: the store copies no parts, or might take another source than the named one; send the bytes. */
    int (*copy_part)(struct store *store, const char *key, const char *upload, unsigned number,
                     const struct store_copy *source, uint64_t offset, uint64_t length, char **etag,
                     const struct store_call *call);
    /* total: size of the whole object. PAIL_GONE: no such upload (it may have been completed: head). */
    int (*complete_upload)(struct store *store, const char *key, const char *upload, const struct store_parts *parts,
                           uint64_t total, const struct store_when *when, struct store_written *written,
                           const struct store_call *call);
    int (*abort_upload)(struct store *store, const char *key, const char *upload, const struct store_call *call);
    int (*list_parts)(struct store *store, const char *key, const char *upload, struct store_parts *parts,
                      const struct store_call *call);
};

/* The first member of every implementation. */
struct store {
    const struct store_operations *operations;
};

void store_destroy(struct store *store); /* NULL is fine */
void store_features(struct store *store, struct store_features *out);
int store_get(struct store *store, const struct store_get *request, const struct store_sink *sink,
              struct store_object *object, const struct store_call *call);
int store_head(struct store *store, const char *key, const char *version, struct store_object *object,
               const struct store_call *call);
int store_put(struct store *store, const struct store_put *request, struct store_written *written,
              const struct store_call *call);
int store_copy(struct store *store, const struct store_copy *request, struct store_written *written,
               const struct store_call *call);
int store_remove(struct store *store, const char *key, const char *etag, const struct store_call *call);
int store_remove_many(struct store *store, struct store_delete *items, size_t count, const struct store_call *call);
int store_list(struct store *store, const struct store_list *request, struct store_page *page,
               const struct store_call *call);
int store_list_versions(struct store *store, const struct store_list_versions *request, struct store_page *page,
                        const struct store_call *call);
int store_create_upload(struct store *store, const char *key, const struct store_headers *headers, char **upload,
                        const struct store_call *call);
int store_put_part(struct store *store, const char *key, const char *upload, unsigned number,
                   const struct store_source *source, char **etag, const struct store_call *call);
int store_copy_part(struct store *store, const char *key, const char *upload, unsigned number,
                    const struct store_copy *source, uint64_t offset, uint64_t length, char **etag,
                    const struct store_call *call);
int store_complete_upload(struct store *store, const char *key, const char *upload, const struct store_parts *parts,
                          uint64_t total, const struct store_when *when, struct store_written *written,
                          const struct store_call *call);
int store_abort_upload(struct store *store, const char *key, const char *upload, const struct store_call *call);
int store_list_parts(struct store *store, const char *key, const char *upload, struct store_parts *parts,
                     const struct store_call *call);

/* S3's limits (Amazon S3 User Guide, "Amazon S3 multipart upload limits"; largest object 48.8 TiB since December 2025).
 */
#define STORE_MAX_PARTS 10000u
#define STORE_MIN_PART (5ull << 20)
#define STORE_MAX_PART (5ull << 30)
#define STORE_MAX_PUT (5ull << 30)
#define STORE_MAX_KEY 1024u
#define STORE_MAX_METADATA 2048u

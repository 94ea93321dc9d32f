/* Inside the product's store: what http_store.c, http_shared.c, http_read.c, http_list.c, http_delete.c and
 * multipart.c share. */
#pragma once

#include "base/map.h"
#include "s3/exchange.h"
#include "s3/http_store.h"
#include "s3/signer.h"

#include <pthread.h>

/* Where the store learns what it needs: the mapping, or a test. */
struct http_origin {
    struct grants_mint mint;
    void (*features)(void *context, struct store_features *out);
    void *context;
    const char *prefix; /* of the account: "" or ends in '/'. Copied */
};

struct http_store {
    struct store base;
    struct transfer *transfer; /* owned */
    struct grants *grants;     /* owned */
    struct signer *signer;     /* owned; NULL: the mapping server signs */
    struct http_origin origin; /* context borrowed */
    char *prefix;              /* owned */
    size_t prefix_size;
    _Atomic bool etag_is_other;  /* seen: ETags of whole puts are not their MD5 */
    _Atomic bool many_is_denied; /* seen: keys are deleted one by one, but not many at once (Ceph 16, role) */
    _Atomic uint64_t heads_asked, heads_led; /* HEADs done; HEADs whose grants were asked for ahead */
    pthread_mutex_t lock;
    struct map written;                 /* under lock: hashes of keys that we wrote while versioning is young */
    unsigned digesting, most_digesting; /* under lock: large bodies that are digested right now; how many may be */
    pthread_cond_t digested;
};

int http_store_create_from(struct store **out, const struct http_origin *origin,
                           const struct http_store_options *options);

static inline struct http_store *http_of(struct store *store) {
    return (struct http_store *)store;
}

/* prefix + key, owned by the caller. 0, -ENOMEM, -EINVAL (empty, not UTF-8), PAIL_TOO_LARGE. */
int http_full_key(const struct http_store *store, const char *key, char **out);
/* prefix + text of any kind: a listing's prefix or marker. NULL text gives NULL. */
int http_full_text(const struct http_store *store, const char *text, char **out);
struct exchange http_exchange(struct http_store *store, enum status_operation operation, const char *verb,
                              const char *key, const struct store_call *call);
void http_add_extra(struct exchange *exchange, const char *name, const char *value);
/* Adds If-Match or If-None-Match where the store was proven to honour it. *value is owned by the caller and must live
 * as long as the exchange. */
int http_add_condition(struct http_store *store, struct exchange *exchange, const struct store_when *when,
                       bool absent_honoured, bool match_honoured, char **value);
/* An ETag as this store wants it in conditions; owned by the caller. */
char *http_etag(struct http_store *store, const char *etag);
int http_take_written(const struct exchange *exchange, const char *etag, struct store_written *written);

/* MD5 of a source: hex (to compare with an ETag) and base64 (Content-MD5). Large ones wait for their turn. */
struct http_digest {
    char hex[33], base64[25];
};
int http_digest_source(struct http_store *store, const struct store_source *source, const struct store_call *call,
                       struct http_digest *out);
/* Whether an ETag has the form of an MD5. */
bool http_is_md5(const char *etag);
/* The ETag that a put or part was answered with is its MD5, or the store's ETags are something else. 0 or
 * PAIL_DAMAGED. */
int http_check_etag(struct http_store *store, const struct exchange *exchange, const struct http_digest *digest);
/* Of CopyObjectResult, CopyPartResult, CompleteMultipartUploadResult. context must be char **: the ETag, owned. */
struct status http_judge_result(struct exchange *exchange);

void http_note_written(struct http_store *store, const char *key);
void http_note_removed(struct http_store *store, const char *key);
/* AWS may say 404 for a while after versioning is first turned on: never take that for a delete of a key we wrote. */
bool http_is_young(struct http_store *store, const char *key);

int http_get(struct store *store, const struct store_get *request, const struct store_sink *sink,
             struct store_object *object, const struct store_call *call);
int http_head(struct store *store, const char *key, const char *version, struct store_object *object,
              const struct store_call *call);
int http_remove(struct store *store, const char *key, const char *etag, const struct store_call *call);
int http_remove_many(struct store *store, struct store_delete *items, size_t count, const struct store_call *call);
int http_list(struct store *store, const struct store_list *request, struct store_page *page,
              const struct store_call *call);
int http_list_versions(struct store *store, const struct store_list_versions *request, struct store_page *page,
                       const struct store_call *call);
int http_create_upload(struct store *store, const char *key, const struct store_headers *headers, char **upload,
                       const struct store_call *call);
int http_put_part(struct store *store, const char *key, const char *upload, unsigned number,
                  const struct store_source *source, char **etag, const struct store_call *call);
int http_copy_part(struct store *store, const char *key, const char *upload, unsigned number,
                   const struct store_copy *source, uint64_t offset, uint64_t length, char **etag,
                   const struct store_call *call);
int http_complete_upload(struct store *store, const char *key, const char *upload, const struct store_parts *parts,
                         uint64_t total, const struct store_when *when, struct store_written *written,
                         const struct store_call *call);
int http_abort_upload(struct store *store, const char *key, const char *upload, const struct store_call *call);
int http_list_parts(struct store *store, const char *key, const char *upload, struct store_parts *parts,
                    const struct store_call *call);

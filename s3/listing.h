/* S3's XML documents, by expat: bounded (depth, count, size), never expanding entities, keys decoded from
 * encoding-type=url. All parsers: 0, -ENOMEM, or PAIL_DAMAGED for what is not that document. Thread-safe. */
#pragma once

#include "s3/store.h"

#include <stddef.h>

/* ListObjectsV2 (and ListObjects). */
int listing_parse_page(const char *xml, size_t size, struct store_page *page);
/* ListObjectVersions: versions and delete markers merged in key order, newest first, is_latest set. */
int listing_parse_versions(const char *xml, size_t size, struct store_page *page);
/* ListMultipartUploads: of each object key and version are set, which is the upload's id; likewise next_version_marker.
 */
int listing_parse_uploads(const char *xml, size_t size, struct store_page *page);
/* Ceph 16 encodes the keys of uploads as it was asked to, without saying so: what the key of one is then, if the store
 * has none of the listed key. NULL: nothing else. The caller frees. */
char *listing_decode_upload_key(const char *key);
int listing_parse_parts(const char *xml, size_t size, struct store_parts *parts, char **next_marker);
int listing_parse_upload_id(const char *xml, size_t size, char **upload);

/* <Error>: code and message, owned. Also found in 200 answers to copy and complete. */
struct listing_error {
    char *code, *message;
};
void listing_error_finish(struct listing_error *error);
int listing_parse_error(const char *xml, size_t size, struct listing_error *error);

/* CopyObjectResult, CopyPartResult, CompleteMultipartUploadResult: the ETag without quotes (may be ""), or, if the body
 * is an <Error>, that, with *etag NULL. An empty or cut body is PAIL_DAMAGED. */
int listing_parse_result(const char *xml, size_t size, char **etag, struct listing_error *error);

/* DeleteResult: one call for each key that failed. */
int listing_parse_deleted(const char *xml, size_t size,
                          int (*failed)(void *context, const char *key, const char *code, const char *message),
                          void *context);

/* Any element's text by its path ("AssumeRoleResponse/AssumeRoleResult/Credentials/AccessKeyId"); NULL if absent.
 * Owned. */
int listing_parse_text(const char *xml, size_t size, const char *path, char **text);

/* Bodies for requests; keys are escaped for XML 1.0 (what it cannot hold is -EILSEQ). Owned by the caller. */
int listing_write_complete(const struct store_parts *parts, char **xml, size_t *size);
int listing_write_delete(const struct store_delete *items, size_t count, char **xml, size_t *size);
/* The same for versions, each by its id: destroys what no undelete brings back. */
int listing_write_destroy(const struct store_object *versions, size_t count, char **xml, size_t *size);

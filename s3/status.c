/* From an HTTP status and an S3 error code to our errors. Sources: AWS, "Error responses" and "Conditional requests" in
 * the Amazon S3 documentation; Ceph RGW 16 as measured. */
#include "s3/status.h"

#include "base/error.h"

#include <stddef.h>
#include <string.h>

#define ON(operation) (1u << (operation))
#define ANY 0u
#define READ ON(STATUS_READ)
#define LIST ON(STATUS_LIST)
#define COMPLETE ON(STATUS_COMPLETE)
#define ALL_CODES NULL
#define NO_CODE "" /* an answer without a body, as to HEAD */

/* The first row that fits is taken. */
static const struct row {
    unsigned operations; /* ANY, or bits */
    int from, to;        /* HTTP; 0, 0: whatever came with the code */
    const char *code, *message;
    struct status status;
} rows[] = {
    /* Grants that are over. HEAD says it without a code: 403, on AWS 400 for a token. */
    {ANY, 403, 403, "AccessDenied", "expired", {PAIL_DENIED, STATUS_NEW_GRANT}},
    {ANY, 0, 0, "ExpiredToken", NULL, {PAIL_DENIED, STATUS_NEW_GRANT}},
    {ANY, 0, 0, "InvalidToken", NULL, {PAIL_DENIED, STATUS_NEW_GRANT}},
    {ANY, 0, 0, "TokenRefreshRequired", NULL, {PAIL_DENIED, STATUS_NEW_GRANT}},
    {ANY, 0, 0, "InvalidAccessKeyId", NULL, {PAIL_DENIED, STATUS_NEW_GRANT}},
    {ANY, 0, 0, "RequestTimeTooSkewed", NULL, {PAIL_DENIED, STATUS_NEW_GRANT}},
    {ANY, 403, 403, NO_CODE, NULL, {PAIL_DENIED, STATUS_NEW_GRANT}},
    {ANY, 400, 400, NO_CODE, NULL, {PAIL_UNSUPPORTED, STATUS_NEW_GRANT}},
    /* What passes. */
    {ANY, 0, 0, "RequestTimeout", NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    {ANY, 0, 0, "IncompleteBody", NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    {ANY, 0, 0, "BadDigest", NULL, {PAIL_DAMAGED, STATUS_RETRY}},
    {ANY, 0, 0, "XAmzContentSHA256Mismatch", NULL, {PAIL_DAMAGED, STATUS_RETRY}},
    {ANY, 0, 0, "XAmzContentChecksumMismatch", NULL, {PAIL_DAMAGED, STATUS_RETRY}},
    {ANY, 0, 0, "SlowDown", NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    {ANY, 0, 0, "Busy", NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    {ANY, 0, 0, "ServiceUnavailable", NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    {ANY, 0, 0, "InternalError", NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    /* Conditions. */
    {COMPLETE, 0, 0, "ConditionalRequestConflict", NULL, {PAIL_CONFLICT, STATUS_NEW_UPLOAD}},
    {COMPLETE, 0, 0, "OperationAborted", NULL, {PAIL_CONFLICT, STATUS_NEW_UPLOAD}},
    {ANY, 0, 0, "ConditionalRequestConflict", NULL, {PAIL_CONFLICT, STATUS_RETRY}},
    {ANY, 0, 0, "OperationAborted", NULL, {PAIL_CONFLICT, STATUS_RETRY}},
    {ANY, 0, 0, "PreconditionFailed", NULL, {PAIL_CONFLICT, STATUS_FINAL}},
    /* What has a name of its own. Single keys of a delete, and errors in a 200, come without a status. */
    {ANY, 0, 0, "AccessDenied", NULL, {PAIL_DENIED, STATUS_FINAL}},
    {ANY, 0, 0, "InvalidObjectState", NULL, {PAIL_ARCHIVED, STATUS_FINAL}},
    {ANY, 0, 0, "ObjectNotInActiveTierError", NULL, {PAIL_ARCHIVED, STATUS_FINAL}},
    {ANY, 0, 0, "QuotaExceeded", NULL, {PAIL_QUOTA, STATUS_FINAL}},
    {ANY, 0, 0, "EntityTooLarge", NULL, {PAIL_TOO_LARGE, STATUS_FINAL}},
    {ANY, 0, 0, "KeyTooLongError", NULL, {PAIL_TOO_LARGE, STATUS_FINAL}},
    {ANY, 0, 0, "MetadataTooLarge", NULL, {PAIL_TOO_LARGE, STATUS_FINAL}},
    {ANY, 0, 0, "InvalidPart", NULL, {PAIL_DAMAGED, STATUS_FINAL}},
    {ANY, 0, 0, "InvalidPartOrder", NULL, {PAIL_DAMAGED, STATUS_FINAL}},
    {COMPLETE, 400, 400, "InvalidRequest", NULL, {PAIL_DAMAGED, STATUS_FINAL}}, /* AWS: not of the size that was named
                                                                                 */
    {ANY, 0, 0, "InvalidDigest", NULL, {PAIL_DAMAGED, STATUS_FINAL}},
    {ANY, 0, 0, "NoSuchKey", NULL, {PAIL_GONE, STATUS_FINAL}},
    {ANY, 0, 0, "NoSuchVersion", NULL, {PAIL_GONE, STATUS_FINAL}},
    {ANY, 0, 0, "NoSuchUpload", NULL, {PAIL_GONE, STATUS_FINAL}},
    {ANY, 0, 0, "NoSuchBucket", NULL, {PAIL_NO_BUCKET, STATUS_FINAL}},
    {ANY, 0, 0, "NotImplemented", NULL, {PAIL_UNSUPPORTED, STATUS_FINAL}},
    /* By status alone. 200 with a code that no row knows is a failure too. */
    {ANY, 200, 299, NO_CODE, NULL, {0, STATUS_FINAL}},
    {ANY, 200, 299, ALL_CODES, NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    {ANY, 304, 304, ALL_CODES, NULL, {PAIL_CONFLICT, STATUS_FINAL}},
    {ANY, 401, 403, ALL_CODES, NULL, {PAIL_DENIED, STATUS_FINAL}},
    {LIST, 404, 404, ALL_CODES, NULL, {PAIL_NO_BUCKET, STATUS_FINAL}},
    {ANY, 404, 404, ALL_CODES, NULL, {PAIL_GONE, STATUS_FINAL}},
    {READ, 405, 405, ALL_CODES, NULL, {PAIL_GONE, STATUS_FINAL}}, /* AWS, of a delete marker by its id */
    {ANY, 408, 408, ALL_CODES, NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    {ANY, 409, 409, ALL_CODES, NULL, {PAIL_CONFLICT, STATUS_FINAL}},
    {ANY, 410, 410, ALL_CODES, NULL, {PAIL_GONE, STATUS_FINAL}},
    {ANY, 412, 412, ALL_CODES, NULL, {PAIL_CONFLICT, STATUS_FINAL}},
    {ANY, 413, 413, ALL_CODES, NULL, {PAIL_TOO_LARGE, STATUS_FINAL}},
    {ANY, 416, 416, ALL_CODES, NULL, {PAIL_CONFLICT, STATUS_FINAL}}, /* shorter than the caller knows it */
    {ANY, 429, 429, ALL_CODES, NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    {ANY, 501, 501, ALL_CODES, NULL, {PAIL_UNSUPPORTED, STATUS_FINAL}},
    {ANY, 507, 507, ALL_CODES, NULL, {PAIL_QUOTA, STATUS_FINAL}},
    {ANY, 500, 599, ALL_CODES, NULL, {PAIL_OFFLINE, STATUS_RETRY}},
    {ANY, 0, 999, ALL_CODES, NULL, {PAIL_UNSUPPORTED, STATUS_FINAL}},
};

static bool fits(const struct row *row, enum status_operation operation, int http, const char *code,
                 const char *message) {
    if (row->operations && !(row->operations & ON(operation)))
        return false;
    if ((row->from || row->to) && (http < row->from || http > row->to))
        return false;
    if (row->code && strcmp(row->code, code) != 0)
        return false;
    return !row->message || strstr(message, row->message);
}

struct status status_of(enum status_operation operation, int http, const char *code, const char *message,
                        bool delete_marker) {
    size_t i = 0;
    if (delete_marker && (http == 404 || http == 405))
        return (struct status){PAIL_GONE, STATUS_FINAL};
    while (!fits(&rows[i], operation, http, code ? code : "", message ? message : ""))
        i++; /* the last row fits all */
    return rows[i].status;
}

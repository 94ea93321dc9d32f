/* From HTTP status and S3 code to our errors: every row of the table. */
#include "s3/status.c" /* the rows are private; here each of them must be named */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* One line for each row, in the table's order: an answer that only this row fits, and what must come of it. */
static const struct {
    enum status_operation operation;
    int http;
    const char *code, *message;
    int error;
    enum status_retry retry;
} cases[] = {
    {STATUS_READ, 403, "AccessDenied", "Request has expired", PAIL_DENIED, STATUS_NEW_GRANT},
    {STATUS_WRITE, 400, "ExpiredToken", "The provided token has expired.", PAIL_DENIED, STATUS_NEW_GRANT},
    {STATUS_WRITE, 400, "InvalidToken", NULL, PAIL_DENIED, STATUS_NEW_GRANT},
    {STATUS_WRITE, 400, "TokenRefreshRequired", NULL, PAIL_DENIED, STATUS_NEW_GRANT},
    {STATUS_LIST, 403, "InvalidAccessKeyId", NULL, PAIL_DENIED, STATUS_NEW_GRANT},
    {STATUS_DELETE, 403, "RequestTimeTooSkewed", NULL, PAIL_DENIED, STATUS_NEW_GRANT},
    {STATUS_READ, 403, NULL, NULL, PAIL_DENIED, STATUS_NEW_GRANT},
    {STATUS_READ, 400, NULL, NULL, PAIL_UNSUPPORTED, STATUS_NEW_GRANT},
    {STATUS_WRITE, 400, "RequestTimeout", "socket idle", PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_WRITE, 400, "IncompleteBody", NULL, PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_WRITE, 400, "BadDigest", NULL, PAIL_DAMAGED, STATUS_RETRY},
    {STATUS_WRITE, 400, "XAmzContentSHA256Mismatch", NULL, PAIL_DAMAGED, STATUS_RETRY},
    {STATUS_WRITE, 400, "XAmzContentChecksumMismatch", NULL, PAIL_DAMAGED, STATUS_RETRY},
    {STATUS_LIST, 503, "SlowDown", NULL, PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_LIST, 503, "Busy", NULL, PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_LIST, 503, "ServiceUnavailable", NULL, PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_COPY, 200, "InternalError", NULL, PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_COMPLETE, 409, "ConditionalRequestConflict", NULL, PAIL_CONFLICT, STATUS_NEW_UPLOAD},
    {STATUS_COMPLETE, 409, "OperationAborted", NULL, PAIL_CONFLICT, STATUS_NEW_UPLOAD},
    {STATUS_WRITE, 409, "ConditionalRequestConflict", NULL, PAIL_CONFLICT, STATUS_RETRY},
    {STATUS_COPY, 409, "OperationAborted", NULL, PAIL_CONFLICT, STATUS_RETRY},
    {STATUS_COPY, 200, "PreconditionFailed", NULL, PAIL_CONFLICT, STATUS_FINAL},
    {STATUS_DELETE, 200, "AccessDenied", "Access Denied", PAIL_DENIED, STATUS_FINAL},
    {STATUS_READ, 403, "InvalidObjectState", NULL, PAIL_ARCHIVED, STATUS_FINAL},
    {STATUS_COPY, 403, "ObjectNotInActiveTierError", NULL, PAIL_ARCHIVED, STATUS_FINAL},
    {STATUS_WRITE, 403, "QuotaExceeded", NULL, PAIL_QUOTA, STATUS_FINAL},
    {STATUS_WRITE, 400, "EntityTooLarge", NULL, PAIL_TOO_LARGE, STATUS_FINAL},
    {STATUS_WRITE, 400, "KeyTooLongError", NULL, PAIL_TOO_LARGE, STATUS_FINAL},
    {STATUS_WRITE, 400, "MetadataTooLarge", NULL, PAIL_TOO_LARGE, STATUS_FINAL},
    {STATUS_COMPLETE, 400, "InvalidPart", NULL, PAIL_DAMAGED, STATUS_FINAL},
    {STATUS_COMPLETE, 400, "InvalidPartOrder", NULL, PAIL_DAMAGED, STATUS_FINAL},
    {STATUS_COMPLETE, 400, "InvalidRequest", NULL, PAIL_DAMAGED, STATUS_FINAL},
    {STATUS_WRITE, 400, "InvalidDigest", NULL, PAIL_DAMAGED, STATUS_FINAL},
    {STATUS_READ, 404, "NoSuchKey", NULL, PAIL_GONE, STATUS_FINAL},
    {STATUS_READ, 404, "NoSuchVersion", NULL, PAIL_GONE, STATUS_FINAL},
    {STATUS_COMPLETE, 404, "NoSuchUpload", NULL, PAIL_GONE, STATUS_FINAL},
    {STATUS_LIST, 404, "NoSuchBucket", NULL, PAIL_NO_BUCKET, STATUS_FINAL},
    {STATUS_WRITE, 400, "NotImplemented", NULL, PAIL_UNSUPPORTED, STATUS_FINAL},
    {STATUS_WRITE, 200, NULL, NULL, 0, STATUS_FINAL},
    {STATUS_COPY, 200, "SomethingNew", NULL, PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_READ, 304, NULL, NULL, PAIL_CONFLICT, STATUS_FINAL},
    {STATUS_READ, 403, "SignatureDoesNotMatch", NULL, PAIL_DENIED, STATUS_FINAL},
    {STATUS_LIST, 404, NULL, NULL, PAIL_NO_BUCKET, STATUS_FINAL},
    {STATUS_READ, 404, NULL, NULL, PAIL_GONE, STATUS_FINAL},
    {STATUS_READ, 405, "MethodNotAllowed", NULL, PAIL_GONE, STATUS_FINAL},
    {STATUS_WRITE, 408, NULL, NULL, PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_WRITE, 409, "BucketNotEmpty", NULL, PAIL_CONFLICT, STATUS_FINAL},
    {STATUS_WRITE, 410, NULL, NULL, PAIL_GONE, STATUS_FINAL},
    {STATUS_READ, 412, NULL, NULL, PAIL_CONFLICT, STATUS_FINAL},
    {STATUS_WRITE, 413, NULL, NULL, PAIL_TOO_LARGE, STATUS_FINAL},
    {STATUS_READ, 416, "InvalidRange", NULL, PAIL_CONFLICT, STATUS_FINAL},
    {STATUS_WRITE, 429, NULL, NULL, PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_WRITE, 501, NULL, NULL, PAIL_UNSUPPORTED, STATUS_FINAL},
    {STATUS_WRITE, 507, "XMinioStorageFull", NULL, PAIL_QUOTA, STATUS_FINAL},
    {STATUS_WRITE, 502, NULL, NULL, PAIL_OFFLINE, STATUS_RETRY},
    {STATUS_WRITE, 400, "MalformedXML", NULL, PAIL_UNSUPPORTED, STATUS_FINAL},
};
#define CASES (sizeof cases / sizeof *cases)
#define ROWS (sizeof rows / sizeof *rows)

static void test_every_row(void **state) {
    (void)state;
    assert_int_equal(CASES, ROWS);
    for (size_t i = 0; i < CASES; i++) {
        struct status status = status_of(cases[i].operation, cases[i].http, cases[i].code, cases[i].message, false);
        if (status.error != cases[i].error || status.retry != cases[i].retry)
            fail_msg("case %zu: %d %s", i, cases[i].http, cases[i].code ? cases[i].code : "");
        size_t row = 0;
        while (!fits(&rows[row], cases[i].operation, cases[i].http, cases[i].code ? cases[i].code : "",
                     cases[i].message ? cases[i].message : ""))
            row++;
        assert_int_equal(row, i);
    }
}

static void test_delete_markers(void **state) {
    (void)state;
    struct status aws = status_of(STATUS_READ, 405, "MethodNotAllowed", NULL, true);
    struct status head = status_of(STATUS_READ, 404, NULL, NULL, true);
    struct status other = status_of(STATUS_WRITE, 405, "MethodNotAllowed", NULL, false);
    assert_int_equal(aws.error, PAIL_GONE);
    assert_int_equal(head.error, PAIL_GONE);
    assert_int_equal(other.error, PAIL_UNSUPPORTED);
}

/* No HTTP status is without a verdict, and none but 2xx without a code is fine. */
static void test_every_status(void **state) {
    (void)state;
    for (int http = 100; http < 1000; http++) {
        struct status status = status_of(STATUS_WRITE, http, NULL, NULL, false);
        assert_int_equal(status.error == 0, http >= 200 && http < 300);
        assert_true(status.error >= 0 && status.error < PAIL_ERROR_END);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_delete_markers),
        cmocka_unit_test(test_every_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* From an HTTP status and an S3 error code to our errors, and whether another try may help: the only such table. */
#pragma once

#include <stdbool.h>

enum status_retry {
    STATUS_FINAL,      /* the error stands */
    STATUS_RETRY,      /* the same request again, after a pause */
    STATUS_NEW_GRANT,  /* a fresh grant, once */
    STATUS_NEW_UPLOAD, /* complete: HEAD, then a new upload, as AWS asks (409 ConditionalRequestConflict) */
};

struct status {
    int error; /* 0 or enum pail_error */
    enum status_retry retry;
};

enum status_operation { STATUS_READ, STATUS_WRITE, STATUS_COPY, STATUS_COMPLETE, STATUS_DELETE, STATUS_LIST };

/* code and message may be NULL (HEAD has no body). delete_marker: the answer had x-amz-delete-marker: true. */
struct status status_of(enum status_operation operation, int http, const char *code, const char *message,
                        bool delete_marker);

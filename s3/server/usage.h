/* What lies in an account's bucket, by the server's own requests: for the quota. Memory is bounded by one page of 1,000
 * names. Thread-safe. Errors as in remote.h; PAIL_GONE where said. */
#pragma once

#include "base/error.h"
#include "s3/server/remote.h"

#include <stdbool.h>
#include <stdint.h>

struct usage_visitor {
    /* A version of an object, newest first for each key; delete markers are versions of size 0. modified_s: by the
     * server's clock. */
    void (*version)(void *context, const char *key, uint64_t size, bool is_current, int64_t modified_s);
    /* An upload that is neither complete nor given up, with the bytes of its parts. */
    void (*upload)(void *context, const char *key, const char *upload, uint64_t size);
    void *context;
};
/* Everything below the prefix: first all uploads, then all versions. So an upload that is not among the first was over
 * before the second began, which then have what became of it. */
int usage_walk(struct remote *remote, const char *bucket, const char *prefix, const struct usage_visitor *visitor,
               struct fault *fault);

struct usage_object {
    uint64_t size;
    char *version; /* owned; NULL: without versions, or from before them */
    char *etag;    /* owned, without quotes */
};
void usage_object_finish(struct usage_object *object);
/* version NULL: the current one. PAIL_GONE. */
int usage_look(struct remote *remote, const char *bucket, const char *key, const char *version,
               struct usage_object *out, struct fault *fault);
/* The bytes of an upload's parts. PAIL_GONE: there is no such upload. */
int usage_parts(struct remote *remote, const char *bucket, const char *key, const char *upload, uint64_t *size,
                struct fault *fault);

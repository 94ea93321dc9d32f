/* One grant in memory: made from the mapping server's answer, shared by all who use it. */
#pragma once

#include "base/cleanup.h"
#include "s3/grants.h"

#include <stdatomic.h>

/* A grant and its uses; the texts lie in one piece of memory behind it. */
struct owned_grant {
    struct grant grant; /* first: a grant is released by its address */
    _Atomic unsigned uses;
    size_t bytes;
    char *texts;                     /* owned */
    const char **urls;               /* owned */
    struct transfer_header *headers; /* owned: headers, then last_headers */
};

/* From a GRANT of wire.h that was asked for at asked_ms (boot time), with one use. 0, -ENOMEM, or PAIL_DAMAGED when it
 * is not one that can be used. */
int grant_parse(const struct json *json, int64_t asked_ms, struct owned_grant **out);
void grant_drop(struct owned_grant *grant); /* one use less; NULL is fine */
DEFINE_CLEANUP(struct owned_grant *, grant_drop)

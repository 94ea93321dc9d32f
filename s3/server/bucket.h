/* Making and arranging one bucket, each step idempotent. Used for accounts and for the buckets that the store is probed
 * with. Thread-safe. Errors: 0, PAIL_OFFLINE, PAIL_DENIED with a fault, -errno, or as said. */
#pragma once

#include "base/error.h"
#include "s3/server/remote.h"

#include <stdbool.h>
#include <stddef.h>

enum bucket_result {
    BUCKET_TAKEN = 100, /* it is somebody else's, or holds what nobody can place: take another name */
    BUCKET_NOT_EMPTY,   /* not deleted */
    BUCKET_OPEN,        /* others than its owner can reach it */
};

/* "<prefix>-<20 characters>[-attempt]"; owned by the caller. seed: what the characters are a hash of. */
char *bucket_name(const char *prefix, const void *seed, size_t seed_size, int64_t attempt);
/* The next name after one with this attempt: another suffix behind the same base. Owned by the caller. */
char *bucket_next_name(const char *bucket, int64_t attempt);
/* An account's prefix in a shared bucket: the same 20 characters, each a-z or 2-7, and '/'. Owned by the caller. */
char *bucket_account_prefix(const void *seed, size_t seed_size);
/* What the tag says of an account: 64 hex digits; owned by the caller. */
char *bucket_mark(const char *issuer, const char *subject);

/* Creates it, unless it is there and its tag is `mark`. The caller has recorded the name before, so an untagged, empty
 * one is what an earlier attempt of this row left: it gets the tag. 0 or BUCKET_TAKEN. */
int bucket_create(struct remote *remote, const char *bucket, const char *mark, struct fault *fault);

/* Whose it is, by its tag. A refusal to tell (403) is an error, not an answer. */
enum bucket_found { BUCKET_OURS, BUCKET_UNTAGGED, BUCKET_FOREIGN, BUCKET_MISSING };
int bucket_find(struct remote *remote, const char *bucket, const char *mark, enum bucket_found *found,
                struct fault *fault);
/* 0 also if it is not there; BUCKET_NOT_EMPTY. */
int bucket_delete(struct remote *remote, const char *bucket, struct fault *fault);
/* PAIL_DENIED with a fault if the bucket is gone or its tag is another one. */
int bucket_check_mark(struct remote *remote, const char *bucket, const char *mark, struct fault *fault);

struct bucket_wishes {
    bool block_public_acls;  /* false where that flag breaks plain puts (Ceph 16) */
    int64_t keep_versions_d; /* 0: no versioning */
};
/* Public access blocked, owner enforced, encryption, versioning, lifecycle. What the store does not know is logged once
 * at debug level and passed over, but versioning. */
int bucket_configure(struct remote *remote, const char *bucket, const struct bucket_wishes *wishes,
                     struct fault *fault);
int bucket_block_public(struct remote *remote, const char *bucket, bool block_public_acls, struct fault *fault);
/* BUCKET_OPEN with a fault if anybody but the owner can reach it. */
int bucket_check_private(struct remote *remote, const char *bucket, struct fault *fault);
/* Takes back what opened it: the flags, the access list, and, only if it is still open then, its policy. 0 when it is
 * closed; BUCKET_OPEN with a fault. */
int bucket_close(struct remote *remote, const char *bucket, bool block_public_acls, struct fault *fault);

/* What accounts with a quota use, and whether a grant still fits. Held in memory, corrected by counting the bucket in
 * the background, and recorded in the database now and then; a claim costs neither. Current objects have one limit;
 * older versions and open uploads have a second one of the same size.
 *
 * Several servers on one database would each know its own claims only: between two counts each could grant as much as
 * was left at the last one. Thread-safe. */
#pragma once

#include "base/error.h"
#include "s3/server/remote.h"
#include "s3/server/users.h"

#include <stdbool.h>
#include <stdint.h>

struct quota;
struct quota_options {
    struct remote *remote; /* borrowed; its `cancelled` ends counting */
    struct users *users;   /* borrowed */
    int64_t grant_life_s;
};
int quota_create(struct quota **out, const struct quota_options *options);
/* Records what is used. Nobody may be waiting. NULL is fine. */
void quota_destroy(struct quota *quota);

struct quota_claim {
    const char *key;
    const char *upload; /* NULL: a whole object */
    unsigned first;     /* parts: the first one's number */
    unsigned count;     /* parts: how many; 0: size is that of the whole object, or of all the upload's parts */
    uint64_t size;      /* bytes of each */
    uint64_t last_size; /* of the last part; 0: as the others */
    bool looked;        /* after QUOTA_LOOK: the key has this many bytes now: */
    uint64_t replaces;
    bool has_waited; /* no QUOTA_COUNT: what is known decides */
};

enum quota_result {
    QUOTA_LOOK = 200, /* too much, unless it replaces something: find out how large the key is, and claim again */
    QUOTA_COUNT,      /* too much by what is known, which may be old: quota_wait, and claim again */
    QUOTA_FULL,       /* too much */
    QUOTA_BUSY,       /* not now; try again. The faults of both are for the person */
};
/* 0: it is granted, and counts from now on. -ENOMEM. user->quota is the limit. */
int quota_claim(struct quota *quota, const struct user *user, const struct quota_claim *claim, struct fault *fault);
/* A delete was granted, or (key NULL) an upload given up: room may come. */
void quota_give_up(struct quota *quota, const struct user *user, const char *key);
/* Counts the account soon, and calls resume(context) from another thread when that was done, has failed, or patience_ms
 * are over. -ENOMEM: it is not called. */
int quota_wait(struct quota *quota, const struct user *user, int64_t patience_ms, void (*resume)(void *context),
               void *context);
/* Bytes used, as far as is known now; an account with a quota that is new here is counted soon. */
int64_t quota_used(struct quota *quota, const struct user *user);

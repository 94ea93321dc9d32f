/* What an item of POST /v1/grants takes of its account's quota. Puts and parts say it, and their content-length is
 * signed; a copied part's range is signed; for a copy the source is looked at and the very version that was seen is
 * signed; for the end of an upload its parts are listed. May wait for the store. Thread-safe. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "s3/server/quota.h"

#include <stdbool.h>

/* Whether it may take something. */
bool spending_is_write(const struct json *item);

struct spending {
    struct quota *quota; /* borrowed, as all */
    struct remote *remote;
    const struct user *user;
    const struct json *item; /* one that policy_plan has accepted */
    bool has_waited;         /* no QUOTA_COUNT: what is known decides */
};

/* What a copy must be bound to. */
struct spending_source {
    char *version, *etag; /* owned; NULL: it is not that which binds it */
};
void spending_source_finish(struct spending_source *source);

/* 0: claimed; QUOTA_COUNT, QUOTA_FULL, QUOTA_BUSY as quota_claim; PAIL_GONE (the source is not there) and what remote
 * says, which is far above them; -errno. */
int spending_claim(const struct spending *spending, struct spending_source *source, struct fault *fault);

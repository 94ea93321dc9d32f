/* The temporary keys that the mapping server lends this account: asked for once for all who wait, renewed at four
 * fifths of their life while the old ones still serve, in memory only, wiped with their last use. Thread-safe. */
#pragma once

#include "base/error.h"
#include "s3/mapping.h"
#include "s3/sign.h"

#include <stdatomic.h>

/* Keys in use; immutable. */
struct lent {
    struct mapping_keys keys;
    struct sign_cache *signing;             /* what is derived from them */
    int64_t received_ms, renew_ms, ends_ms; /* boot time */
    _Atomic unsigned uses;
};
/* The server's clock now, by which these keys are judged: this machine's may be wrong. Unix seconds. */
int64_t lent_now_s(const struct lent *lent);
void lent_release(struct lent *lent); /* NULL is fine */

/* Where they come from: s3/mapping, or a test. */
struct lent_source {
    int (*ask)(void *context, const _Atomic bool *cancelled, struct mapping_keys *out, struct fault *fault);
    void *context;
};

struct lent_keys;
int lent_keys_create(struct lent_keys **out, const struct lent_source *source);
void lent_keys_destroy(struct lent_keys *keys); /* nobody may be waiting */

/* 0 and *out, to be released; or what the source said. Waits for the source only when there are none that still serve.
 * PAIL_UNSUPPORTED, PAIL_QUOTA: there are none for this account; it is asked again after some minutes. */
int lent_keys_get(struct lent_keys *keys, int64_t wait_ms, const _Atomic bool *cancelled, struct lent **out,
                  struct fault *fault);
/* The store refused what was signed with these: new ones are asked for, once, unless they have just come. */
void lent_keys_refused(struct lent_keys *keys, const char *url);
/* 0 if there are keys, else what the source said last (PAIL_OFFLINE before it said anything). Does not wait. */
int lent_keys_state(struct lent_keys *keys, struct fault *fault);

/* Who asks too often. Requests with a token that was found good count for its account only, all others for the address
 * they come from: so that a flood from an address takes nothing of its people's share once they are known. Thread-safe.
 */
#pragma once

#include "base/error.h"
#include "s3/server/http.h"
#include "s3/server/peer.h"

#include <stdbool.h>
#include <stdint.h>

struct config;
struct limits;
/* config is borrowed. 0 or -ENOMEM. */
int limits_create(struct limits **out, const struct config *config);
void limits_destroy(struct limits *limits); /* NULL is fine */

/* Where a request comes from, seen through the proxies of the settings. */
struct limits_origin {
    bool unknown; /* a trusted proxy does not say for whom it asks: no limit of addresses holds */
    struct peer peer;
};
void limits_find_origin(const struct limits *limits, const struct http_request *request, struct limits_origin *out);

/* Each: 0, or the seconds after which it may be tried again, at least 1. */
unsigned limits_account(struct limits *limits, int64_t account);
unsigned limits_account_urls(struct limits *limits, int64_t account, size_t urls);
unsigned limits_address(struct limits *limits, const struct limits_origin *origin);
/* Whether tokens that are not known yet are looked at: not after too many bad ones. */
unsigned limits_failures(struct limits *limits, const struct limits_origin *origin);
void limits_count_failure(struct limits *limits, const struct limits_origin *origin);

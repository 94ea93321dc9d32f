/* Test-only: grants signed right here with the store's own keys, so that the client's store can be tried against an S3
 * without a mapping server between. Never part of the product, whose client has no keys that last. */
#pragma once

#include "s3/http_parts.h"
#include "s3/sign.h"

#include <stdatomic.h>

struct own_keys {
    struct sign_credentials credentials;
    const char *endpoint, *bucket, *prefix; /* path style */
    struct store_features features;
    _Atomic unsigned life_s;         /* of each grant */
    _Atomic unsigned batches, items; /* minted so far */
    _Atomic bool away;               /* answer nothing: PAIL_OFFLINE */
};

/* The origin for http_store_create_from; own is borrowed. */
struct http_origin own_keys_origin(struct own_keys *own);
/* Sends one signed request without a body, for making buckets and the like. The HTTP status, or below 0. */
int own_keys_send(struct own_keys *own, const char *method, const char *query, const char *body);

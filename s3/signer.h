/* Credentials mode: grants that this machine signs by itself, with the keys that the mapping server lends, by the same
 * rules (policy.h) and in the same form (wire.h) as the server's. What these keys may not do, and an account that gets
 * none, is granted by the server as ever. Thread-safe. */
#pragma once

#include "s3/grants.h"
#include "s3/lent_keys.h"
#include "s3/mapping.h"

struct signer_options {
    struct grants_mint grants; /* the mapping server's */
    struct lent_source keys;
    void (*features)(void *context, struct store_features *out);
    void *context;                       /* of features */
    const struct mapping_bucket *bucket; /* copied */
};

struct signer;
int signer_create(struct signer **out, const struct signer_options *options);
void signer_destroy(struct signer *signer); /* NULL is fine; nobody may be in signer_mint's mint */
/* Asks for the first keys, for at most wait_ms. As lent_keys_get. */
int signer_start(struct signer *signer, int64_t wait_ms, struct fault *fault);
/* 0: it signs by itself; or why not, with a fault: grants serve then, or nothing does. */
int signer_state(struct signer *signer, struct fault *fault);
/* What grants are made of; borrows the signer. */
struct grants_mint signer_mint(struct signer *signer);

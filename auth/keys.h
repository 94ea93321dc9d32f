/* The issuer's public keys: found by discovery, fetched by one thread, kept, and asked for again when a token names one
 * that is not known, or is not signed by the one that it names. Thread-safe. */
#pragma once

#include "auth/fetch.h"
#include "auth/jwt.h"
#include "base/error.h"

#include <stdint.h>

struct keys_options {
    const char *issuer;  /* exact. Copied */
    struct fetch *fetch; /* borrowed */
    unsigned refetch_s;  /* for tokens that no key proves, not more often than this */
    unsigned cache_s;    /* older keys are asked for again before they are believed, unless the issuer is down */
};

enum keys_result {
    KEYS_FORGED = 1, /* the signature is not that key's, or the issuer has no such key */
    KEYS_UNPROVEN,   /* the key is not known, and cannot or may not be asked for right now */
};

struct keys;
int keys_create(struct keys **out, const struct keys_options *options);
void keys_destroy(struct keys *keys);
/* Waits for the first set of keys. 0, PAIL_OFFLINE or PAIL_DAMAGED with a fault. */
int keys_prepare(struct keys *keys, struct fault *fault);
/* 0, enum keys_result or -errno. *generation: of the set that proved it. */
int keys_check(struct keys *keys, const struct jwt *jwt, uint64_t *generation, struct fault *fault);
uint64_t keys_generation(struct keys *keys);
int64_t keys_age_s(struct keys *keys); /* -1: none yet */
/* How far the issuer's clock was before ours when it last gave its keys; 0: not known. */
int64_t keys_clock_ahead_s(struct keys *keys);
/* The issuer's userinfo_endpoint, owned by the caller; NULL if it names none, or is not known yet. */
char *keys_userinfo_url(struct keys *keys);

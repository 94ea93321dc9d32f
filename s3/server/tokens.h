/* Tokens that were found good, and whose they are, remembered by their hash until they expire, or the keys that proved
 * them change: so that a request costs no signature check and no database. Bounded. Thread-safe. */
#pragma once

#include "s3/server/users.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Immutable while anybody holds it, but for the atomic ones. */
struct known {
    atomic_uint holders;
    atomic_bool outdated; /* other keys prove tokens now: good for tokens_seen only */
    unsigned char hash[32];
    int64_t expires_s; /* Unix */
    uint64_t generation;
    int64_t read_s;   /* boot time: when the account was read from the database */
    struct user user; /* owned */
};
void known_release(struct known *known); /* NULL is fine */

struct tokens;
int tokens_create(struct tokens **out);
void tokens_destroy(struct tokens *tokens);
/* 0 or -errno. */
int tokens_hash(const char *token, size_t size, unsigned char out[32]);
/* Held for the caller, or NULL: unknown, expired, of another generation, or read too long ago, so that a suspended
 * account is noticed. */
struct known *tokens_find(struct tokens *tokens, const unsigned char hash[32], uint64_t generation);
/* Likewise if it was good when it was looked at last, and is not expired: for counting what its account asks, not for
 * access. */
struct known *tokens_seen(struct tokens *tokens, const unsigned char hash[32]);
/* Takes *user over (and leaves it empty); held for the caller. */
int tokens_add(struct tokens *tokens, const unsigned char hash[32], int64_t expires_s, uint64_t generation,
               struct user *user, struct known **out);

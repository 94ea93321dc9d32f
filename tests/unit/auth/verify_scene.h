/* A verifier, its issuer and keys, and good tokens with whatever change a test wants. */
#pragma once

#include "auth/verify.h"
#include "forge.h"

#define AUDIENCE "https://drive.example.com"
#define EMAIL "https://ns.example/email"
#define RS256 "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"r1\"}"
#define ES256 "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"e1\"}"

struct scene {
    struct forge_issuer issuer;
    struct fetch *fetch;
    struct verify *verify;
    EVP_PKEY *rsa, *ec, *stranger; /* the stranger's is of no set */
    char *sets[64];                /* owned: all that were published, since one may be on its way */
    size_t set_count;
};
int scene_set_up(void **state); /* with the usual keys, and times of their own for keys (30 s, 600 s) */
int scene_tear_down(void **state);

/* What the issuer says its keys are from now on. */
void publish(struct scene *scene, const char *keys);
void make_verify(struct scene *scene, unsigned refetch_s, unsigned cache_s);

/* A claim's name and the JSON that stands for it; "" takes the claim out. */
struct change {
    const char *name, *json;
};
/* The good claims with these changes; a token of them, signed with the RSA key. The caller frees. */
char *claims(const struct scene *scene, const struct change *changes, size_t count);
char *token_with(const struct scene *scene, const char *header, const struct change *changes, size_t count);

/* verify_token, and that its fault tells why and repeats nothing of the token. */
int verify_it(struct scene *scene, const char *token, struct verify_claims *out);
int result_of(struct scene *scene, const char *token);

/* Fresh secrets of one attempt to log in. */
#include "auth/pkce.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

static int sha256(const void *data, size_t size, unsigned char out[SHA256_DIGEST_LENGTH]) {
    return EVP_Digest(data, size, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

static int encode(const unsigned char bytes[32], char out[PKCE_TEXT]) {
    AUTO_SECRET char *text = text_base64url(bytes, 32);
    if (!text)
        return -ENOMEM;
    memcpy(out, text, PKCE_TEXT);
    return 0;
}

static int fresh(char out[PKCE_TEXT]) {
    unsigned char bytes[32];
    random_bytes(bytes, sizeof bytes);
    int r = encode(bytes, out);
    explicit_bzero(bytes, sizeof bytes);
    return r;
}

int pkce_challenge(const char *verifier, char out[PKCE_TEXT]) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int r = sha256(verifier, strlen(verifier), digest);
    return r ? r : encode(digest, out);
}

int pkce_make(struct pkce *out) {
    int r = fresh(out->verifier);
    if (!r)
        r = fresh(out->state);
    if (!r)
        r = fresh(out->nonce);
    return r ? r : pkce_challenge(out->verifier, out->challenge);
}

void pkce_wipe(struct pkce *pkce) {
    explicit_bzero(pkce, sizeof *pkce);
}

int pkce_hash_hex(const void *data, size_t size, char *out, size_t digits) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int r = sha256(data, size, digest);
    if (r)
        return r;
    AUTO_FREE char *hex = text_hex(digest, sizeof digest);
    if (!hex)
        return -ENOMEM;
    memcpy(out, hex, digits);
    out[digits] = 0;
    return 0;
}

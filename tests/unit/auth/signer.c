/* An issuer's key for tests. */
#include "signer.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

struct signer {
    EVP_PKEY *key;
    char *keys;
};

static char *number(EVP_PKEY *key, const char *name) {
    BIGNUM *value = NULL;
    unsigned char bytes[512];
    if (!EVP_PKEY_get_bn_param(key, name, &value))
        abort();
    int size = BN_bn2bin(value, bytes);
    BN_free(value);
    return text_base64url(bytes, (size_t)size);
}

struct signer *signer_create(void) {
    struct signer *signer = calloc(1, sizeof *signer);
    if (!signer || !(signer->key = EVP_RSA_gen(2048)))
        abort();
    AUTO_FREE char *n = number(signer->key, OSSL_PKEY_PARAM_RSA_N), *e = number(signer->key, OSSL_PKEY_PARAM_RSA_E);
    signer->keys = text_format("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"k1\",\"use\":\"sig\",\"alg\":\"RS256\","
                               "\"n\":\"%s\",\"e\":\"%s\"}]}",
                               n, e);
    return signer;
}

void signer_destroy(struct signer *signer) {
    EVP_PKEY_free(signer->key);
    free(signer->keys);
    free(signer);
}

const char *signer_keys(const struct signer *signer) {
    return signer->keys;
}

char *signer_sign(const struct signer *signer, const char *header, const char *claims) {
    const char *head = header ? header : "{\"alg\":\"RS256\",\"kid\":\"k1\",\"typ\":\"JWT\"}";
    AUTO_FREE char *first = text_base64url(head, strlen(head)), *second = text_base64url(claims, strlen(claims));
    AUTO_FREE char *text = text_format("%s.%s", first, second);
    unsigned char signature[512];
    size_t size = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!text || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, signer->key) != 1 ||
        EVP_DigestSign(context, signature, &size, (const unsigned char *)text, strlen(text)) != 1)
        abort();
    EVP_MD_CTX_free(context);
    AUTO_FREE char *third = text_base64url(signature, size);
    return text_format("%s.%s", text, third);
}

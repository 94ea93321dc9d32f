/* Keys, tokens and an issuer for tests. */
#include "forge.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "http_stub.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *thing) {
    if (!thing)
        abort();
    return thing;
}

EVP_PKEY *forge_rsa(unsigned bits) {
    return must(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits));
}

EVP_PKEY *forge_p256(void) {
    return must(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
}

static char *member(EVP_PKEY *key, const char *parameter) {
    BIGNUM *number = NULL;
    unsigned char bytes[1024] = {0};
    if (!EVP_PKEY_get_bn_param(key, parameter, &number))
        abort();
    int size = EVP_PKEY_is_a(key, "EC") ? BN_bn2binpad(number, bytes, 32) : BN_bn2bin(number, bytes);
    BN_free(number);
    return must(text_base64url(bytes, (size_t)size));
}

char *forge_jwk(EVP_PKEY *key, const char *kid, const char *more) {
    bool ec = EVP_PKEY_is_a(key, "EC");
    AUTO_FREE char *a = member(key, ec ? OSSL_PKEY_PARAM_EC_PUB_X : OSSL_PKEY_PARAM_RSA_N);
    AUTO_FREE char *b = member(key, ec ? OSSL_PKEY_PARAM_EC_PUB_Y : OSSL_PKEY_PARAM_RSA_E);
    if (ec)
        return must(text_format("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}", kid, a,
                                b, more));
    return must(text_format("{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"%s\",\"e\":\"%s\"%s}", kid, a, b, more));
}

char *forge_unsigned(const char *header, const char *claims) {
    AUTO_FREE char *first = must(text_base64url(header, strlen(header)));
    AUTO_FREE char *second = must(text_base64url(claims, strlen(claims)));
    return must(text_format("%s.%s.", first, second));
}

/* DER to r and s of 32 bytes each. */
static unsigned char *raw_signature(const unsigned char *der, size_t size) {
    unsigned char *raw = must(calloc(1, 64));
    const unsigned char *at = der;
    ECDSA_SIG *pair = must(d2i_ECDSA_SIG(NULL, &at, (long)size));
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + 32, 32);
    ECDSA_SIG_free(pair);
    return raw;
}

unsigned char *forge_signature(EVP_PKEY *key, const char *text, bool der, size_t *size) {
    EVP_MD_CTX *context = must(EVP_MD_CTX_new());
    unsigned char *bytes = must(malloc(1024));
    *size = 1024;
    if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(context, bytes, size, (const unsigned char *)text, strlen(text)) != 1)
        abort();
    EVP_MD_CTX_free(context);
    if (der || !EVP_PKEY_is_a(key, "EC"))
        return bytes;
    unsigned char *raw = raw_signature(bytes, *size);
    free(bytes);
    *size = 64;
    return raw;
}

char *forge_token_as(EVP_PKEY *key, const char *digest, bool pss, const char *header, const char *claims) {
    AUTO_FREE char *text = forge_unsigned(header, claims);
    unsigned char bytes[1024];
    size_t size = sizeof bytes;
    EVP_PKEY_CTX *choice = NULL;
    EVP_MD_CTX *context = must(EVP_MD_CTX_new());
    text[strlen(text) - 1] = '\0'; /* without the second dot */
    if (EVP_DigestSignInit_ex(context, &choice, digest, NULL, NULL, key, NULL) != 1 ||
        (pss && EVP_PKEY_CTX_set_rsa_padding(choice, RSA_PKCS1_PSS_PADDING) != 1) ||
        EVP_DigestSign(context, bytes, &size, (const unsigned char *)text, strlen(text)) != 1)
        abort();
    EVP_MD_CTX_free(context);
    AUTO_FREE char *signature = must(text_base64url(bytes, size));
    return must(text_format("%s.%s", text, signature));
}

char *forge_token(EVP_PKEY *key, const char *header, const char *claims) {
    AUTO_FREE char *text = forge_unsigned(header, claims);
    size_t size = strlen(text);
    text[size - 1] = '\0'; /* without the second dot */
    AUTO_FREE unsigned char *bytes = forge_signature(key, text, false, &size);
    AUTO_FREE char *signature = must(text_base64url(bytes, size));
    return must(text_format("%s.%s", text, signature));
}

/* The issuer. */

static void tell_time(const struct forge_issuer *issuer, struct http_stub_reply *reply) {
    int ahead_s = atomic_load(&issuer->clock_ahead_s);
    char date[30];
    clock_format_http(clock_realtime_s() + ahead_s, date);
    if (ahead_s != FORGE_NO_TIME)
        snprintf(reply->headers, sizeof reply->headers, "Date: %s\r\n", date);
}

static void answer(void *context, const struct http_stub_request *request, struct http_stub_reply *reply) {
    struct forge_issuer *issuer = context;
    char *userinfo = atomic_load(&issuer->userinfo), *named = atomic_load(&issuer->named);
    int status = atomic_load(&issuer->status);
    tell_time(issuer, reply);
    if (text_equal(request->target, "/.well-known/openid-configuration")) {
        atomic_fetch_add(&issuer->discovered, 1);
        snprintf(reply->body, sizeof reply->body,
                 "{\"issuer\":\"%s\",\"jwks_uri\":\"%sjwks\",\"userinfo_endpoint\":\"%suserinfo\"}",
                 named ? named : issuer->url, issuer->url, issuer->url);
    } else if (text_equal(request->target, "/jwks")) {
        atomic_fetch_add(&issuer->fetched, 1);
        reply->delay_ms = atomic_load(&issuer->delay_ms);
        snprintf(reply->body, sizeof reply->body, "%s", atomic_load(&issuer->keys));
    } else if (text_equal(request->target, "/userinfo")) {
        atomic_fetch_add(&issuer->asked, 1);
        if (userinfo)
            snprintf(reply->body, sizeof reply->body, "%s", userinfo);
        else
            reply->status = 401;
    } else {
        atomic_fetch_add(&issuer->elsewhere, 1);
        reply->status = 404;
    }
    if (status)
        reply->status = status;
}

void forge_issuer_start(struct forge_issuer *issuer) {
    *issuer = (struct forge_issuer){.stub = http_stub_bind()};
    snprintf(issuer->url, sizeof issuer->url, "%s/", http_stub_url(issuer->stub));
    atomic_store(&issuer->keys, (char *)(uintptr_t) "{\"keys\":[]}");
    http_stub_run(issuer->stub, answer, issuer);
}

void forge_issuer_stop(struct forge_issuer *issuer) {
    http_stub_stop(issuer->stub);
}

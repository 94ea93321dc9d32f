/* JSON Web Tokens: three base64url pieces, two of them JSON, one a signature. */
#include "auth/jwt.h"

#include "auth/jwks.h"
#include "base/cleanup.h"
#include "base/text.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#define ES256_HALF 32

void jwt_finish(struct jwt *jwt) {
    json_destroy(jwt->header);
    json_destroy(jwt->claims);
    free(jwt->signature);
    *jwt = (struct jwt){0};
}

enum jwt_algorithm jwt_algorithm_of(const char *name) {
    if (text_equal(name, "RS256"))
        return JWT_RS256;
    return text_equal(name, "ES256") ? JWT_ES256 : 0;
}

static int parse_piece(const char *text, size_t size, struct json **out) {
    AUTO_FREE unsigned char *bytes = NULL;
    size_t decoded = 0;
    int error = text_base64url_decode(text, size, &bytes, &decoded);
    if (!error)
        error = json_parse(out, (const char *)bytes, decoded);
    if (error == -ENOMEM)
        return error;
    return error || !json_is_object(*out) ? JWT_MALFORMED : 0;
}

/* The two dots; exactly two. */
static int find_dots(const char *token, size_t size, const char **first, const char **second) {
    *first = memchr(token, '.', size);
    if (!*first)
        return JWT_MALFORMED;
    *second = memchr(*first + 1, '.', size - (size_t)(*first + 1 - token));
    if (!*second)
        return JWT_MALFORMED;
    return memchr(*second + 1, '.', size - (size_t)(*second + 1 - token)) ? JWT_MALFORMED : 0;
}

/* "alg" from the allow-list; no extension that must be understood (RFC 7515, 4.1.11). What else a header may say (jku,
 * x5u, jwk, x5c) is never looked at. */
static int check_header(struct jwt *jwt, struct fault *fault) {
    const char *algorithm = json_get_text(jwt->header, "alg");
    jwt->algorithm = jwt_algorithm_of(algorithm);
    if (!jwt->algorithm)
        return fault_set(fault, JWT_FORBIDDEN, "the token's algorithm is not RS256 or ES256");
    if (json_get(jwt->header, "crit"))
        return fault_set(fault, JWT_FORBIDDEN, "the token has critical extensions");
    const struct json *id = json_get(jwt->header, "kid");
    jwt->key_id = json_text(id);
    if (id && !jwt->key_id)
        return fault_set(fault, JWT_MALFORMED, "the token's kid is not a string");
    return 0;
}

static int parse_pieces(struct jwt *jwt, const char *token, size_t size, struct fault *fault) {
    const char *first, *second;
    if (size > JWT_MAX_SIZE)
        return fault_set(fault, JWT_MALFORMED, "the token is longer than %u bytes", JWT_MAX_SIZE);
    if (find_dots(token, size, &first, &second))
        return fault_set(fault, JWT_MALFORMED, "the token is not a JWT of three pieces");
    int error = parse_piece(token, (size_t)(first - token), &jwt->header);
    if (!error)
        error = check_header(jwt, fault);
    else
        return fault_set(fault, error, "the token's header is not base64url of a JSON object");
    if (error)
        return error;
    error = parse_piece(first + 1, (size_t)(second - first - 1), &jwt->claims);
    if (error)
        return fault_set(fault, error, "the token's claims are not base64url of a JSON object");
    jwt->signed_part = token;
    jwt->signed_size = (size_t)(second - token);
    size_t rest = size - jwt->signed_size - 1;
    error = text_base64url_decode(second + 1, rest, &jwt->signature, &jwt->signature_size);
    if (error == -ENOMEM)
        return error;
    if (error || !jwt->signature_size)
        return fault_set(fault, JWT_MALFORMED, "the token's signature is not base64url");
    return 0;
}

int jwt_parse(struct jwt *out, const char *token, size_t size, struct fault *fault) {
    *out = (struct jwt){0};
    int error = parse_pieces(out, token, size, fault);
    if (error)
        jwt_finish(out);
    return error;
}

/* r and s as RFC 7518, 3.4 sends them (32 bytes each) into the DER that OpenSSL reads. NULL if they are not that. */
static unsigned char *es256_to_der(const unsigned char *raw, size_t size, size_t *der_size) {
    if (size != 2 * ES256_HALF)
        return NULL;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, ES256_HALF, NULL), *s = BN_bin2bn(raw + ES256_HALF, ES256_HALF, NULL);
    unsigned char *der = NULL;
    if (!pair || !r || !s || BN_is_zero(r) || BN_is_zero(s) || !ECDSA_SIG_set0(pair, r, s)) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(pair);
        return NULL;
    }
    int length = i2d_ECDSA_SIG(pair, &der);
    ECDSA_SIG_free(pair);
    *der_size = length > 0 ? (size_t)length : 0;
    return length > 0 ? der : NULL;
}

static int check_bytes(const struct jwt *jwt, EVP_PKEY *key, const unsigned char *signature, size_t size) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int good =
        context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestVerify(context, signature, size, (const unsigned char *)jwt->signed_part, jwt->signed_size) == 1;
    EVP_MD_CTX_free(context);
    return good ? 0 : JWT_FORGED;
}

int jwt_check(const struct jwt *jwt, const struct jwks_key *key) {
    if (jwt->algorithm != key->algorithm)
        return JWT_FORGED;
    if (jwt->algorithm == JWT_RS256)
        return check_bytes(jwt, key->public, jwt->signature, jwt->signature_size);
    size_t size = 0;
    unsigned char *der = es256_to_der(jwt->signature, jwt->signature_size, &size);
    int result = der ? check_bytes(jwt, key->public, der, size) : JWT_FORGED;
    OPENSSL_free(der);
    return result;
}

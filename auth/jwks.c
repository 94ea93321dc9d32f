/* Public keys out of a JWK set: RSA of 2,048 to 8,192 bits for RS256, P-256 for ES256, nothing else. */
#include "auth/jwks.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#define RSA_LEAST_BITS 2048
#define RSA_MOST_BITS 8192
#define P256_COORDINATE 32

static void key_finish(struct jwks_key *key) {
    free(key->id);
    EVP_PKEY_free(key->public);
    *key = (struct jwks_key){0};
}

void jwks_destroy(struct jwks *jwks) {
    if (!jwks)
        return;
    for (size_t i = 0; i < jwks->count; i++)
        key_finish(&jwks->keys[i]);
    free(jwks->keys);
    free(jwks);
}

static EVP_PKEY *build_key(const char *type, OSSL_PARAM_BLD *builder) {
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!parameters || !context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    return key;
}

static BIGNUM *member_number(const struct json *key, const char *name) {
    const char *text = json_get_text(key, name);
    AUTO_FREE unsigned char *bytes = NULL;
    size_t size = 0;
    if (!text || text_base64url_decode(text, strlen(text), &bytes, &size) || size > RSA_MOST_BITS / 8 + 1)
        return NULL;
    return BN_bin2bn(bytes, (int)size, NULL);
}

static EVP_PKEY *read_rsa(const struct json *object) {
    BIGNUM *n = member_number(object, "n"), *e = member_number(object, "e");
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    bool sound = n && e && builder && BN_num_bits(n) >= RSA_LEAST_BITS && BN_num_bits(n) <= RSA_MOST_BITS &&
                 BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= 64;
    if (sound && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e))
        key = build_key("RSA", builder);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    return key;
}

static int read_coordinate(const struct json *object, const char *name, unsigned char out[P256_COORDINATE]) {
    const char *text = json_get_text(object, name);
    AUTO_FREE unsigned char *bytes = NULL;
    size_t size = 0;
    if (!text || text_base64url_decode(text, strlen(text), &bytes, &size) || size != P256_COORDINATE)
        return -EINVAL;
    memcpy(out, bytes, size);
    return 0;
}

static EVP_PKEY *read_p256(const struct json *object) {
    unsigned char point[1 + 2 * P256_COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
    if (!text_equal(json_get_text(object, "crv"), "P-256") || read_coordinate(object, "x", point + 1) ||
        read_coordinate(object, "y", point + 1 + P256_COORDINATE))
        return NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (builder && OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
        key = build_key("EC", builder);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static bool is_for_signatures(const struct json *object) {
    const struct json *use = json_get(object, "use"), *operations = json_get(object, "key_ops");
    if (use && !text_equal(json_text(use), "sig"))
        return false;
    bool verify = !operations;
    for (const struct json *each = json_first(operations); each; each = json_next(each))
        verify |= text_equal(json_text(each), "verify");
    return verify;
}

/* 0 with key->public NULL: not one that can be used. */
static int read_key(const struct json *object, struct jwks_key *key) {
    *key = (struct jwks_key){0};
    const char *type = json_get_text(object, "kty");
    const struct json *named = json_get(object, "alg"), *id = json_get(object, "kid");
    if (!is_for_signatures(object) || (id && !json_text(id)))
        return 0;
    key->algorithm = text_equal(type, "RSA") ? JWT_RS256 : text_equal(type, "EC") ? JWT_ES256 : 0;
    if (!key->algorithm || (named && jwt_algorithm_of(json_text(named)) != key->algorithm))
        return 0;
    if (id) {
        key->id = strdup(json_text(id));
        if (!key->id)
            return -ENOMEM;
    }
    key->public = key->algorithm == JWT_RS256 ? read_rsa(object) : read_p256(object);
    return 0;
}

int jwks_parse(struct jwks **out, const struct json *document, struct fault *fault) {
    const struct json *list = json_get(document, "keys");
    size_t count = json_size(list);
    if (!json_is_array(list) || count > JWKS_MAX_KEYS)
        return fault_set(fault, PAIL_DAMAGED, "it is not a set of at most %u keys", JWKS_MAX_KEYS);
    CLEANUP(jwks_destroy_p) struct jwks *jwks = calloc(1, sizeof *jwks);
    if (!jwks)
        return -ENOMEM;
    jwks->keys = calloc(count + 1, sizeof *jwks->keys);
    if (!jwks->keys)
        return -ENOMEM;
    for (const struct json *each = json_first(list); each; each = json_next(each)) {
        struct jwks_key *key = &jwks->keys[jwks->count];
        int error = read_key(each, key);
        if (error)
            return error;
        if (key->public)
            jwks->count++;
        else
            key_finish(key);
    }
    if (!jwks->count)
        return fault_set(fault, PAIL_DAMAGED, "it has no key for RS256 or ES256");
    *out = TAKE(jwks);
    return 0;
}

static bool key_equal(const struct jwks_key *a, const struct jwks_key *b) {
    return a->algorithm == b->algorithm && text_equal(a->id, b->id) && EVP_PKEY_eq(a->public, b->public) == 1;
}

bool jwks_equal(const struct jwks *a, const struct jwks *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!key_equal(&a->keys[i], &b->keys[i]))
            return false;
    return true;
}

const struct jwks_key *jwks_find(const struct jwks *jwks, const struct jwt *jwt) {
    const struct jwks_key *found = NULL;
    for (size_t i = 0; i < jwks->count; i++) {
        const struct jwks_key *key = &jwks->keys[i];
        if (key->algorithm != jwt->algorithm || (jwt->key_id && !text_equal(key->id, jwt->key_id)))
            continue;
        if (found && !jwt->key_id)
            return NULL;
        if (!found)
            found = key;
    }
    return found;
}

bool jwks_has(const struct jwks *jwks, const char *id) {
    for (size_t i = 0; i < jwks->count; i++)
        if (jwks->keys[i].id && text_equal(jwks->keys[i].id, id))
            return true;
    return false;
}

/* The issuer's signing key, and the tokens that it signs. */
#include "s3/embedded/issuer_key.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "s3/checksum.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

struct issuer_key {
    EVP_PKEY *pair; /* owned */
    char *n, *e;    /* owned: base64url */
    char id[25];    /* kid */
};

DEFINE_CLEANUP(BIO *, BIO_free)
DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)
DEFINE_CLEANUP(BIGNUM *, BN_free)
DEFINE_CLEANUP(struct issuer_key *, issuer_key_close)

void issuer_key_close(struct issuer_key *key) {
    if (!key)
        return;
    EVP_PKEY_free(key->pair);
    free(key->n);
    free(key->e);
    free(key);
}

static int read_pem(struct issuer_key *key, const char *path) {
    AUTO_SECRET char *text = NULL;
    size_t size;
    int r = file_read(path, 64 << 10, &text, &size);
    if (r)
        return r;
    CLEANUP(BIO_free_p) BIO *bio = BIO_new_mem_buf(text, (int)size);
    key->pair = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    return key->pair && EVP_PKEY_is_a(key->pair, "RSA") ? 0 : -EBADMSG;
}

static int make_pem(struct issuer_key *key, const char *path) {
    CLEANUP(BIO_free_p) BIO *bio = BIO_new(BIO_s_secmem());
    key->pair = EVP_RSA_gen(2048);
    if (!bio || !key->pair || PEM_write_bio_PrivateKey(bio, key->pair, NULL, NULL, 0, NULL, NULL) != 1)
        return -EIO;
    char *text;
    long size = BIO_get_mem_data(bio, &text);
    return file_replace(path, 0600, text, (size_t)size);
}

static int number_text(const struct issuer_key *key, const char *name, char **out) {
    BIGNUM *value = NULL;
    if (EVP_PKEY_get_bn_param(key->pair, name, &value) != 1)
        return -EIO;
    CLEANUP(BN_free_p) BIGNUM *number = value;
    unsigned char bytes[1024];
    int size = BN_num_bytes(number);
    if (size > (int)sizeof bytes)
        return -EIO;
    BN_bn2bin(number, bytes);
    *out = text_base64url(bytes, (size_t)size);
    return *out ? 0 : -ENOMEM;
}

static int describe(struct issuer_key *key) {
    int r = number_text(key, OSSL_PKEY_PARAM_RSA_N, &key->n);
    if (!r)
        r = number_text(key, OSSL_PKEY_PARAM_RSA_E, &key->e);
    AUTO_FREE char *hash = NULL;
    if (!r)
        r = checksum_hex(CHECKSUM_SHA256, key->n, strlen(key->n), &hash);
    if (!r)
        memcpy(key->id, hash, sizeof key->id - 1);
    return r;
}

int issuer_key_open(struct issuer_key **out, const char *path, struct fault *fault) {
    CLEANUP(issuer_key_close_p) struct issuer_key *key = calloc(1, sizeof *key);
    if (!key)
        return -ENOMEM;
    int r = read_pem(key, path);
    if (r == -ENOENT)
        r = make_pem(key, path);
    if (!r)
        r = describe(key);
    if (r)
        return fault_set(fault, r, "the issuer's key %s cannot be used: %s", path, error_text(r));
    *out = TAKE(key);
    return 0;
}

struct json *issuer_key_set(const struct issuer_key *key) {
    struct json *item = json_object(), *list = json_array(), *set = json_object();
    json_add_text(item, "kty", "RSA");
    json_add_text(item, "use", "sig");
    json_add_text(item, "alg", "RS256");
    json_add_text(item, "kid", key->id);
    json_add_text(item, "n", key->n);
    json_add_text(item, "e", key->e);
    json_push(list, item);
    json_add(set, "keys", list);
    return set;
}

static int append_base64url(struct buffer *out, const void *data, size_t size) {
    AUTO_FREE char *text = text_base64url(data, size);
    return text ? buffer_append_text(out, text) : -ENOMEM;
}

static int append_json(struct buffer *out, const struct json *json) {
    AUTO_FREE char *text = json_print(json);
    return text ? append_base64url(out, text, strlen(text)) : -ENOMEM;
}

static int append_signature(const struct issuer_key *key, struct buffer *token) {
    unsigned char signature[1024];
    size_t size = sizeof signature, signed_size = token->size;
    CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->pair) != 1 ||
        EVP_DigestSign(context, signature, &size, (unsigned char *)token->data, signed_size) != 1)
        return -EIO;
    int r = buffer_append(token, ".", 1);
    return r ? r : append_base64url(token, signature, size);
}

int issuer_key_sign(const struct issuer_key *key, const struct json *claims, char **token) {
    AUTO_WIPE_BUFFER struct buffer text = {0};
    AUTO_JSON struct json *header = json_object();
    json_add_text(header, "alg", "RS256");
    json_add_text(header, "typ", "JWT");
    json_add_text(header, "kid", key->id);
    int r = append_json(&text, header);
    if (!r)
        r = buffer_append(&text, ".", 1);
    if (!r)
        r = append_json(&text, claims);
    if (!r)
        r = append_signature(key, &text);
    if (!r && !(*token = buffer_take(&text)))
        r = -ENOMEM;
    return r;
}

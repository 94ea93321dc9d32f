/* Checksums and hashes of bodies. */
#include "s3/checksum.h"

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/text.h"
#include "s3/crc.h"

#include <errno.h>
#include <openssl/evp.h>

struct checksum {
    enum checksum_kind kind;
    uint64_t crc;            /* the running state of a CRC */
    EVP_MD_CTX *digest;      /* owned; NULL for CRCs */
    struct crc_table *table; /* owned; of CRC-32 and CRC-64 */
};

static const EVP_MD *digest_of(enum checksum_kind kind) {
    switch (kind) {
    case CHECKSUM_MD5:
        return EVP_md5();
    case CHECKSUM_SHA1:
        return EVP_sha1();
    case CHECKSUM_SHA256:
        return EVP_sha256();
    default:
        return NULL;
    }
}

static int start_digest(struct checksum *checksum) {
    checksum->digest = EVP_MD_CTX_new();
    if (!checksum->digest)
        return -ENOMEM;
    return EVP_DigestInit_ex(checksum->digest, digest_of(checksum->kind), NULL) == 1 ? 0 : -ENOTSUP;
}

static int start_table(struct checksum *checksum) {
    checksum->table = malloc(sizeof *checksum->table);
    if (!checksum->table)
        return -ENOMEM;
    bool wide = checksum->kind == CHECKSUM_CRC64NVME;
    crc_table_fill(checksum->table, wide ? CRC_POLYNOMIAL_64NVME : CRC_POLYNOMIAL_32);
    checksum->crc = wide ? UINT64_MAX : UINT32_MAX;
    return 0;
}

DEFINE_CLEANUP(struct checksum *, checksum_destroy)

int checksum_create(struct checksum **out, enum checksum_kind kind) {
    CLEANUP(checksum_destroy_p) struct checksum *checksum = calloc(1, sizeof *checksum);
    if (!checksum)
        return -ENOMEM;
    checksum->kind = kind;
    int r = 0;
    if (digest_of(kind))
        r = start_digest(checksum);
    else if (kind != CHECKSUM_CRC32C)
        r = start_table(checksum);
    if (!r)
        *out = TAKE(checksum);
    return r;
}

int checksum_add(struct checksum *checksum, const void *data, size_t size) {
    if (checksum->digest)
        return EVP_DigestUpdate(checksum->digest, data, size) == 1 ? 0 : -EIO;
    if (checksum->table)
        checksum->crc = crc_add(checksum->table, checksum->crc, data, size);
    else
        checksum->crc = crc32c((uint32_t)checksum->crc, data, size);
    return 0;
}

static int put_big_endian(uint64_t value, int bytes, unsigned char *out) {
    for (int i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
    return bytes;
}

int checksum_end(struct checksum *checksum, unsigned char out[32]) {
    switch (checksum->kind) {
    case CHECKSUM_CRC32C:
        return put_big_endian(checksum->crc, 4, out);
    case CHECKSUM_CRC32:
        return put_big_endian(~checksum->crc, 4, out);
    case CHECKSUM_CRC64NVME:
        return put_big_endian(~checksum->crc, 8, out);
    default: {
        unsigned size = 0;
        return EVP_DigestFinal_ex(checksum->digest, out, &size) == 1 ? (int)size : -EIO;
    }
    }
}

void checksum_destroy(struct checksum *checksum) {
    if (!checksum)
        return;
    EVP_MD_CTX_free(checksum->digest);
    free(checksum->table);
    free(checksum);
}

/* Raw bytes of one piece: their count, or -errno. */
static int of_piece(enum checksum_kind kind, const void *data, size_t size, unsigned char out[32]) {
    CLEANUP(checksum_destroy_p) struct checksum *checksum = NULL;
    int r = checksum_create(&checksum, kind);
    if (!r)
        r = checksum_add(checksum, data, size);
    return r ? r : checksum_end(checksum, out);
}

int checksum_base64(enum checksum_kind kind, const void *data, size_t size, char **text) {
    unsigned char raw[32];
    int bytes = of_piece(kind, data, size, raw);
    if (bytes < 0)
        return bytes;
    *text = text_base64(raw, (size_t)bytes);
    return *text ? 0 : -ENOMEM;
}

int checksum_hex(enum checksum_kind kind, const void *data, size_t size, char **text) {
    unsigned char raw[32];
    int bytes = of_piece(kind, data, size, raw);
    if (bytes < 0)
        return bytes;
    *text = text_hex(raw, (size_t)bytes);
    return *text ? 0 : -ENOMEM;
}

const char *checksum_header(enum checksum_kind kind) {
    switch (kind) {
    case CHECKSUM_SHA1:
        return "x-amz-checksum-sha1";
    case CHECKSUM_SHA256:
        return "x-amz-checksum-sha256";
    case CHECKSUM_CRC32:
        return "x-amz-checksum-crc32";
    case CHECKSUM_CRC32C:
        return "x-amz-checksum-crc32c";
    case CHECKSUM_CRC64NVME:
        return "x-amz-checksum-crc64nvme";
    case CHECKSUM_MD5:
        break;
    }
    return NULL;
}

/* Checksums and hashes of bodies, by OpenSSL and base/crc32c. A struct checksum is used by one thread at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum checksum_kind {
    CHECKSUM_MD5,
    CHECKSUM_SHA1,
    CHECKSUM_SHA256,
    CHECKSUM_CRC32,
    CHECKSUM_CRC32C,
    CHECKSUM_CRC64NVME,
};

struct checksum; /* a running one */
int checksum_create(struct checksum **out, enum checksum_kind kind);
int checksum_add(struct checksum *checksum, const void *data, size_t size);
/* Raw bytes, CRCs big-endian as S3 sends them; the size is returned (4, 8, 16, 20 or 32) or -errno. Ends it. */
int checksum_end(struct checksum *checksum, unsigned char out[32]);
void checksum_destroy(struct checksum *checksum); /* NULL is fine */

/* Of one piece. The base64 or lower-case hex text is owned by the caller. */
int checksum_base64(enum checksum_kind kind, const void *data, size_t size, char **text);
int checksum_hex(enum checksum_kind kind, const void *data, size_t size, char **text);
/* "x-amz-checksum-crc32c" and so on, or NULL for MD5. */
const char *checksum_header(enum checksum_kind kind);

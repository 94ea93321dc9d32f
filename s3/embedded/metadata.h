/* The headers that are kept with an object: content-type and its kin, storage class, redirect, x-amz-meta-*. In the
 * index they are lines "name:value\n". */
#pragma once

#include "s3/embedded/visit.h"

/* From a request's headers. The caller frees. 0, -ENOMEM or enum problem (too large, a storage class there is not, an
 * ACL). */
int metadata_take(const struct visit *visit, char **lines);
/* Into an answer. */
void metadata_give(struct answer *answer, const char *lines);
/* "crc32c=BASE64" as x-amz-checksum-crc32c, with its type. parts: whether it was made of those of parts. */
void metadata_give_checksum(struct answer *answer, const char *checksum);

/* A store in memory, with versions and every condition: the twin for tests, and the reference that the conformance
 * suite is checked against. An object put with x-amz-storage-class GLACIER is archived: it cannot be read or copied. */
#pragma once

#include "s3/store.h"

struct memory_store_options {
    bool versions;
    struct store_features features; /* a condition that is false here is ignored, as Ceph does */
    size_t page_size;               /* of listings; 0: 1,000 */
    uint64_t min_part;              /* of all parts but the last; 0: S3's 5 MiB */
};

int memory_store_create(struct store **out, const struct memory_store_options *options);
/* Another view of the same objects, as a second machine has. Each is destroyed by itself. */
int memory_store_share(struct store *memory, struct store **out);

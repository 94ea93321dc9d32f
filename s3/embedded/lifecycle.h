/* What a bucket's lifecycle configuration asks to be removed: uploads given up, old versions, delete markers with
 * nothing left below them. */
#pragma once

#include "s3/embedded/blobs.h"
#include "s3/embedded/catalog.h"

#include <stdint.h>

/* One pass over all buckets. Returns 0 or -errno. */
int lifecycle_run(struct catalog *catalog, struct blobs *blobs, int64_t now_ms);

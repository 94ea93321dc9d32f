/* Addresses of buckets and keys. */
#include "s3/address.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void address_finish(struct address *address) {
    free(address->scheme_host);
    free(address->path);
    *address = (struct address){0};
}

/* Path style says "/bucket/" for the bucket itself nowhere: S3 and Ceph take "/bucket". */
static char *make_path(const char *bucket, const char *key) {
    if (!bucket)
        return key ? text_format("/%s", key) : strdup("/");
    return key ? text_format("/%s/%s", bucket, key) : text_format("/%s", bucket);
}

int address_make(const char *origin, bool virtual_style, const char *bucket, const char *key, struct address *out) {
    const char *host = strstr(origin, "://");
    bool in_host = virtual_style && bucket && host;
    if (in_host)
        out->scheme_host = text_format("%.*s%s.%s", (int)(host + 3 - origin), origin, bucket, host + 3);
    else
        out->scheme_host = strdup(origin);
    out->path = make_path(in_host ? NULL : bucket, key);
    if (out->scheme_host && out->path)
        return 0;
    address_finish(out);
    return -ENOMEM;
}

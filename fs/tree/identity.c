/* Which bytes a version of an object stands for. */
#include "base/crc32c.h"
#include "fs/tree/tree.h"

#include <stdio.h>
#include <string.h>

const char *tree_identity(const struct tree_remote *remote, char out[128]) {
    out[0] = 0;
    if (!remote->key || !remote->etag)
        return out;
    if (remote->content)
        snprintf(out, 128, "content/%.64s", remote->content);
    else if (strlen(remote->etag) <= 100)
        snprintf(out, 128, "etag/%s/%llu", remote->etag, (unsigned long long)remote->size);
    else
        snprintf(out, 128, "etag/%.64s/%08x/%llu", remote->etag, crc32c(0, remote->etag, strlen(remote->etag)),
                 (unsigned long long)remote->size);
    return out;
}

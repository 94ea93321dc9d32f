/* Is it the same content? filesystem.md, "Two writers": pail-content and size agree, unless both ETags are plain MD5s
 * and differ (s3fs keeps foreign metadata when it changes bytes; a copy changes the ETag of a multipart object). */
#include "fs/sync/private.h"

static bool plain_md5(const char *etag) {
    return strlen(etag) == 32 && strspn(etag, "0123456789abcdefABCDEF") == 32;
}

bool same_content(const struct version_facts *a, const struct version_facts *b) {
    bool etags = a->etag && b->etag && *a->etag && *b->etag;
    if (a->size != b->size)
        return false;
    if (etags && strcmp(a->etag, b->etag) == 0)
        return true;
    if (!a->content || !b->content || strcmp(a->content, b->content) != 0)
        return false;
    return !etags || !plain_md5(a->etag) || !plain_md5(b->etag);
}

struct version_facts facts_of_object(const struct store_object *object) {
    return (struct version_facts){object->etag, store_headers_get(&object->headers, META_CONTENT), object->size};
}

struct version_facts facts_of_remote(const struct tree_remote *remote) {
    return (struct version_facts){remote->etag, remote->content, remote->size};
}

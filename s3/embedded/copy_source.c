/* x-amz-copy-source and its conditions. */
#include "s3/embedded/copy_source.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#include <errno.h>

void copy_source_finish(struct copy_source *source) {
    free(source->bucket);
    free(source->key);
    free(source->version);
    *source = (struct copy_source){0};
}

static int decode(const char *text, size_t size, char **out) {
    size_t length;
    *out = text_percent_decode(text, size, false, &length);
    if (!*out)
        return errno == EINVAL ? PROBLEM_INVALID_ARGUMENT : -ENOMEM;
    return strlen(*out) == length && length ? 0 : PROBLEM_INVALID_ARGUMENT;
}

/* "[/]bucket/key[?versionId=id]", percent-encoded: the version is cut off before decoding, so that a key may hold '?'.
 */
int copy_source_read(const struct visit *visit, struct copy_source *source) {
    static const char mark[] = "?versionId=";
    const char *text = visit_header(visit, "x-amz-copy-source");
    if (!text)
        return PROBLEM_INVALID_ARGUMENT;
    text += *text == '/';
    size_t bucket = strcspn(text, "/");
    if (text[bucket] != '/') {
        const char *encoded = strcasestr(text, "%2F"); /* some clients encode all of it */
        if (!encoded)
            return PROBLEM_INVALID_ARGUMENT;
        bucket = (size_t)(encoded - text);
    }
    const char *key = text + bucket + (text[bucket] == '/' ? 1 : 3), *version = strstr(key, mark);
    int r = decode(text, bucket, &source->bucket);
    if (!r)
        r = decode(key, version ? (size_t)(version - key) : strlen(key), &source->key);
    if (!r && version)
        r = decode(version + strlen(mark), strlen(version + strlen(mark)), &source->version);
    return r;
}

static int check(const struct visit *visit, const struct objects_row *row) {
    const char *match = visit_header(visit, "x-amz-copy-source-if-match");
    const char *none = visit_header(visit, "x-amz-copy-source-if-none-match");
    const char *since = visit_header(visit, "x-amz-copy-source-if-modified-since");
    const char *unchanged = visit_header(visit, "x-amz-copy-source-if-unmodified-since");
    int64_t time_s, modified_s = row->modified_ms / 1000;
    bool fine = true;
    if (match)
        fine = objects_etag_matches(match, row->etag);
    else if (unchanged && !clock_parse_http(unchanged, &time_s))
        fine = modified_s <= time_s;
    if (none)
        fine = fine && !objects_etag_matches(none, row->etag);
    else if (since && !clock_parse_http(since, &time_s))
        fine = fine && modified_s > time_s;
    return fine ? 0 : PROBLEM_PRECONDITION_FAILED;
}

int copy_source_find(struct catalog_session *session, const struct visit *visit, const struct copy_source *source,
                     struct objects_row *row) {
    struct objects_bucket bucket;
    int r = objects_find_bucket(session, source->bucket, &bucket);
    if (!r)
        r = objects_find(session, bucket.id, source->key, source->version, row);
    if (!r && row->marker)
        r = source->version ? PROBLEM_INVALID_REQUEST : PROBLEM_NO_SUCH_KEY;
    return r ? r : check(visit, row);
}

/* The source's bytes are first held by an owner of no object, so that replacing the source itself does not lose them.
 */
#define NOBODY INT64_MAX

static int hand_pieces(struct catalog_session *session, int64_t owner) {
    struct catalog_query query = {0};
    catalog_start(session, &query, "UPDATE piece SET owner = ? WHERE owner = ?");
    catalog_bind(&query, 1, owner);
    catalog_bind(&query, 2, NOBODY);
    return catalog_run(&query);
}

int copy_source_add(struct catalog_session *session, const struct objects_bucket *bucket, const char *key,
                    const struct objects_new *object, int64_t from, char version[33], struct objects_dead *dead) {
    int64_t id;
    int r = objects_share(session, NOBODY, from, 0, object->size);
    if (!r)
        r = objects_add(session, bucket, key, object, &id, version, dead);
    return r ? r : hand_pieces(session, id);
}

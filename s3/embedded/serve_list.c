/* ListObjectsV2 and ListObjects. With a delimiter the walk jumps over each folder instead of reading
 * through it. */
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/embedded/list_walk.h"
#include "s3/embedded/objects.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/xml.h"

#include <errno.h>

struct list_work {
    struct visit *visit;
    const char *prefix, *delimiter; /* "" for none */
    uint64_t max_keys;
    bool url_encoded, second; /* second: list-type=2 */
    char *after;              /* owned; keys up to this one were sent; NULL: from the start */
    bool past_folder;         /* and so were all that begin with it */
    uint64_t count;
    bool truncated;
    char *last; /* owned; the last key or common prefix that was sent */
    bool last_is_folder;
    struct buffer contents, prefixes;
};

static void list_work_finish(struct list_work *work) {
    free(work->after);
    free(work->last);
    buffer_finish(&work->contents);
    buffer_finish(&work->prefixes);
}

static void place_first(struct list_place *place, const struct list_work *work) {
    list_place_at(place, work->prefix, strlen(work->prefix));
    if (!work->after || strcmp(work->after, work->prefix) < 0)
        return;
    if (work->past_folder)
        list_place_past(place, work->after, strlen(work->after));
    else
        list_place_behind(place, work->after, strlen(work->after));
}

static int remember(struct list_work *work, const char *key, size_t size, bool folder) {
    free(work->last);
    work->last = strndup(key, size);
    work->last_is_folder = folder;
    work->count++;
    return work->last ? 0 : -ENOMEM;
}

static int write_folder(struct list_work *work, const char *key, size_t size) {
    int r = remember(work, key, size, true);
    if (!r)
        r = xml_open(&work->prefixes, "CommonPrefixes");
    if (!r)
        r = xml_key(&work->prefixes, "Prefix", work->last, work->url_encoded);
    return r ? r : xml_close(&work->prefixes, "CommonPrefixes");
}

static int write_object(struct list_work *work, const char *key, const struct catalog_query *query) {
    struct buffer *xml = &work->contents;
    const char *headers = catalog_text(query, 4), *class = headers ? strstr(headers, "x-amz-storage-class:") : NULL;
    int r = remember(work, key, strlen(key), false);
    if (!r)
        r = xml_open(xml, "Contents");
    if (!r)
        r = xml_key(xml, "Key", key, work->url_encoded);
    if (!r)
        r = xml_time(xml, "LastModified", catalog_integer(query, 3));
    if (!r)
        r = xml_etag(xml, catalog_text(query, 1));
    if (!r)
        r = xml_integer(xml, "Size", catalog_integer(query, 2));
    AUTO_FREE char *name = class ? strndup(strchr(class, ':') + 1, strcspn(strchr(class, ':') + 1, "\n")) : NULL;
    if (!r)
        r = xml_text(xml, "StorageClass", name ? name : "STANDARD");
    return r ? r : xml_close(xml, "Contents");
}

/* One key of the walk: 0 to go on with the next, 1 when *place was moved, 2 at the end. */
static int take_key(struct list_work *work, struct list_place *place, const struct catalog_query *query) {
    size_t size;
    const char *bytes = catalog_bytes(query, 0, &size);
    char key[1025];
    if (size >= sizeof key)
        return -EIO;
    memcpy(key, bytes, size);
    key[size] = 0;
    if (!text_starts(key, work->prefix))
        return 2;
    if (work->count == work->max_keys) {
        work->truncated = true;
        return 2;
    }
    size_t folder = list_folder_size(key, work->prefix, work->delimiter);
    if (!folder)
        return write_object(work, key, query);
    int r = write_folder(work, key, folder);
    list_place_past(place, key, folder);
    return r ? r : 1;
}

/* Reads on from place until it is moved (1) or the page is done (0). */
static int walk_from(struct catalog_query *query, struct list_work *work, struct list_place *place) {
    catalog_again(query);
    catalog_bind_bytes(query, 2, place->key, place->size);
    int r;
    while ((r = catalog_step(query)) == 1) {
        r = take_key(work, place, query);
        if (r)
            return r == 2 ? 0 : r;
    }
    return r;
}

static int list(struct catalog_session *session, void *context) {
    struct list_work *work = context;
    struct objects_bucket bucket;
    struct list_place place;
    int r = objects_find_bucket(session, work->visit->bucket, &bucket);
    if (r || !work->max_keys)
        return r;
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query,
                  "SELECT key, etag, size, modified_ms, headers FROM object"
                  " WHERE bucket = ? AND key >= ? AND latest = 1 AND marker = 0 ORDER BY key");
    catalog_bind(&query, 1, bucket.id);
    place_first(&place, work);
    do
        r = place.end ? 0 : walk_from(&query, work, &place);
    while (r == 1);
    return r;
}

/* What a continuation token says: "k" and the key, or "f" and the folder, that was sent last; so that nothing has to be
 * kept here. */
static int read_token(struct list_work *work, const char *token) {
    size_t size;
    unsigned char *bytes = NULL;
    int r = text_base64url_decode(token, strlen(token), &bytes, &size);
    AUTO_FREE char *text = (char *)bytes;
    if (r == -ENOMEM)
        return r;
    if (r || size < 2 || strlen(text) != size || (*text != 'k' && *text != 'f'))
        return PROBLEM_INVALID_ARGUMENT;
    work->past_folder = *text == 'f';
    work->after = strdup(text + 1);
    return work->after ? 0 : -ENOMEM;
}

static char *make_token(const struct list_work *work) {
    AUTO_FREE char *text = text_format("%c%s", work->last_is_folder ? 'f' : 'k', work->last);
    return text ? text_base64url(text, strlen(text)) : NULL;
}

/* start-after and marker may name a folder that an earlier page ended with: then it is not sent again. */
static int read_start(struct list_work *work, const char *start) {
    if (!start || !*start)
        return 0;
    work->after = strdup(start);
    work->past_folder = *work->delimiter && text_ends(start, work->delimiter) && text_starts(start, work->prefix) &&
                        strlen(start) > strlen(work->prefix);
    return work->after ? 0 : -ENOMEM;
}

static const char *parameter_or_empty(const struct visit *visit, const char *name) {
    const char *value = visit_parameter(visit, name);
    return value ? value : "";
}

static int read_encoding(const struct visit *visit, bool *url_encoded) {
    const char *type = visit_parameter(visit, "encoding-type");
    *url_encoded = type && strcmp(type, "url") == 0;
    return !type || *url_encoded ? 0 : PROBLEM_INVALID_ARGUMENT;
}

static int read_list(struct list_work *work) {
    struct visit *visit = work->visit;
    const char *token = visit_parameter(visit, "continuation-token");
    work->prefix = parameter_or_empty(visit, "prefix");
    work->delimiter = parameter_or_empty(visit, "delimiter");
    work->second = text_equal(visit_parameter(visit, "list-type"), "2");
    int r = visit_number(visit, "max-keys", 1000, 1000, &work->max_keys);
    if (!r)
        r = read_encoding(visit, &work->url_encoded);
    if (r)
        return r;
    if (!work->second)
        return read_start(work, visit_parameter(visit, "marker"));
    return token ? read_token(work, token) : read_start(work, visit_parameter(visit, "start-after"));
}

static int write_second(struct buffer *xml, const struct list_work *work) {
    const struct visit *visit = work->visit;
    const char *start = visit_parameter(visit, "start-after");
    const char *token = visit_parameter(visit, "continuation-token");
    int r = xml_integer(xml, "KeyCount", (int64_t)work->count);
    if (!r && start)
        r = xml_key(xml, "StartAfter", start, work->url_encoded);
    if (!r && token)
        r = xml_text(xml, "ContinuationToken", token);
    if (r || !work->truncated)
        return r;
    AUTO_FREE char *next = make_token(work);
    return next ? xml_text(xml, "NextContinuationToken", next) : -ENOMEM;
}

static int write_first(struct buffer *xml, const struct list_work *work) {
    int r = xml_key(xml, "Marker", parameter_or_empty(work->visit, "marker"), work->url_encoded);
    if (!r && work->truncated && *work->delimiter)
        r = xml_key(xml, "NextMarker", work->last, work->url_encoded);
    return r;
}

static int write_page(struct buffer *xml, const struct list_work *work) {
    int r = xml_start(xml, "ListBucketResult");
    if (!r)
        r = xml_text(xml, "Name", work->visit->bucket);
    if (!r)
        r = xml_key(xml, "Prefix", work->prefix, work->url_encoded);
    if (!r && *work->delimiter)
        r = xml_key(xml, "Delimiter", work->delimiter, work->url_encoded);
    if (!r)
        r = xml_integer(xml, "MaxKeys", (int64_t)work->max_keys);
    if (!r && work->url_encoded)
        r = xml_text(xml, "EncodingType", "url");
    if (!r)
        r = xml_boolean(xml, "IsTruncated", work->truncated);
    if (!r)
        r = work->second ? write_second(xml, work) : write_first(xml, work);
    if (!r)
        r = buffer_append(xml, work->contents.data, work->contents.size);
    if (!r)
        r = buffer_append(xml, work->prefixes.data, work->prefixes.size);
    return r ? r : xml_close(xml, "ListBucketResult");
}

void serve_list_objects(struct visit *visit) {
    CLEANUP(list_work_finish) struct list_work work = {.visit = visit};
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = read_list(&work);
    if (!r)
        r = catalog_read(visit->catalog, list, &work);
    if (!r)
        r = write_page(&xml, &work);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &xml);
}

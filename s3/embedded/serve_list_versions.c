/* ListObjectVersions: keys in byte order, of each the newest version first. */
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/embedded/list_walk.h"
#include "s3/embedded/objects.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/xml.h"

#include <errno.h>

struct versions_work {
    struct visit *visit;
    const char *prefix, *delimiter, *key_marker, *version_marker; /* "" for none */
    uint64_t max_keys, count;
    bool url_encoded, truncated;
    int64_t before_id;         /* of key_marker's versions: only those older than this; 0: none */
    char *last, *last_version; /* owned; last_version NULL: last is a folder */
    struct buffer contents, prefixes;
};

static void versions_work_finish(struct versions_work *work) {
    free(work->last);
    free(work->last_version);
    buffer_finish(&work->contents);
    buffer_finish(&work->prefixes);
}

static int remember(struct versions_work *work, const char *key, size_t size, const char *version) {
    free(work->last);
    free(work->last_version);
    work->last = strndup(key, size);
    work->last_version = version ? strdup(version) : NULL;
    work->count++;
    return work->last && (!version || work->last_version) ? 0 : -ENOMEM;
}

static int write_version(struct versions_work *work, const char *key, const struct objects_row *row) {
    struct buffer *xml = &work->contents;
    const char *name = row->marker ? "DeleteMarker" : "Version";
    int r = remember(work, key, strlen(key), row->version);
    if (!r)
        r = xml_open(xml, name);
    if (!r)
        r = xml_key(xml, "Key", key, work->url_encoded);
    if (!r)
        r = xml_text(xml, "VersionId", row->version);
    if (!r)
        r = xml_boolean(xml, "IsLatest", row->latest);
    if (!r)
        r = xml_time(xml, "LastModified", row->modified_ms);
    if (!r && !row->marker)
        r = xml_etag(xml, row->etag);
    if (!r && !row->marker)
        r = xml_integer(xml, "Size", (int64_t)row->size);
    if (!r && !row->marker)
        r = xml_text(xml, "StorageClass", "STANDARD");
    return r ? r : xml_close(xml, name);
}

static int write_folder(struct versions_work *work, const char *key, size_t size) {
    int r = remember(work, key, size, NULL);
    if (!r)
        r = xml_open(&work->prefixes, "CommonPrefixes");
    if (!r)
        r = xml_key(&work->prefixes, "Prefix", work->last, work->url_encoded);
    return r ? r : xml_close(&work->prefixes, "CommonPrefixes");
}

/* 0 to go on, 1 when *place was moved, 2 at the end. */
static int take_row(struct versions_work *work, struct list_place *place, const struct catalog_query *query) {
    size_t size;
    char key[1025];
    const char *bytes = catalog_bytes(query, 10, &size);
    if (size >= sizeof key)
        return -EIO;
    memcpy(key, bytes, size);
    key[size] = 0;
    if (!text_starts(key, work->prefix))
        return 2;
    if (work->before_id && strcmp(key, work->key_marker) == 0 && catalog_integer(query, 0) >= work->before_id)
        return 0;
    if (work->count == work->max_keys) {
        work->truncated = true;
        return 2;
    }
    size_t folder = list_folder_size(key, work->prefix, work->delimiter);
    if (folder) {
        int r = write_folder(work, key, folder);
        list_place_past(place, key, folder);
        return r ? r : 1;
    }
    CLEANUP(objects_row_finish) struct objects_row row = {0};
    int r = objects_row_read(query, &row);
    return r ? r : write_version(work, key, &row);
}

static int walk_from(struct catalog_query *query, struct versions_work *work, struct list_place *place) {
    catalog_again(query);
    catalog_bind_bytes(query, 2, place->key, place->size);
    int r;
    while ((r = catalog_step(query)) == 1) {
        r = take_row(work, place, query);
        if (r)
            return r == 2 ? 0 : r;
    }
    return r;
}

/* With a version marker the walk goes on inside that key, behind that version. */
static int place_first(struct catalog_session *session, struct versions_work *work, int64_t bucket,
                       struct list_place *place) {
    const char *marker = work->key_marker;
    size_t size = strlen(marker);
    bool is_folder = *work->delimiter && text_ends(marker, work->delimiter) && text_starts(marker, work->prefix) &&
                     size > strlen(work->prefix);
    list_place_at(place, work->prefix, strlen(work->prefix));
    if (!size || strcmp(marker, work->prefix) < 0)
        return 0;
    if (*work->version_marker) {
        CLEANUP(objects_row_finish) struct objects_row row = {0};
        int r = objects_find(session, bucket, marker, work->version_marker, &row);
        if (r < 0)
            return r;
        work->before_id = r ? 0 : row.id;
    }
    if (work->before_id)
        list_place_at(place, marker, size);
    else if (is_folder)
        list_place_past(place, marker, size);
    else
        list_place_behind(place, marker, size);
    return 0;
}

static int list(struct catalog_session *session, void *context) {
    struct versions_work *work = context;
    struct objects_bucket bucket;
    struct list_place place;
    int r = objects_find_bucket(session, work->visit->bucket, &bucket);
    if (!r)
        r = place_first(session, work, bucket.id, &place);
    if (r || !work->max_keys)
        return r;
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query,
                  "SELECT " OBJECTS_COLUMNS ", key FROM object WHERE bucket = ? AND key >= ?"
                  " ORDER BY key, id DESC");
    catalog_bind(&query, 1, bucket.id);
    do
        r = place.end ? 0 : walk_from(&query, work, &place);
    while (r == 1);
    return r;
}

static const char *parameter_or_empty(const struct visit *visit, const char *name) {
    const char *value = visit_parameter(visit, name);
    return value ? value : "";
}

static int read_list(struct versions_work *work) {
    const struct visit *visit = work->visit;
    const char *type = visit_parameter(visit, "encoding-type");
    work->prefix = parameter_or_empty(visit, "prefix");
    work->delimiter = parameter_or_empty(visit, "delimiter");
    work->key_marker = parameter_or_empty(visit, "key-marker");
    work->version_marker = parameter_or_empty(visit, "version-id-marker");
    work->url_encoded = type && strcmp(type, "url") == 0;
    if ((type && !work->url_encoded) || (*work->version_marker && !*work->key_marker))
        return PROBLEM_INVALID_ARGUMENT;
    return visit_number(visit, "max-keys", 1000, 1000, &work->max_keys);
}

static int write_next(struct buffer *xml, const struct versions_work *work) {
    int r = xml_key(xml, "NextKeyMarker", work->last, work->url_encoded);
    return r || !work->last_version ? r : xml_text(xml, "NextVersionIdMarker", work->last_version);
}

static int write_page(struct buffer *xml, const struct versions_work *work) {
    int r = xml_start(xml, "ListVersionsResult");
    if (!r)
        r = xml_text(xml, "Name", work->visit->bucket);
    if (!r)
        r = xml_key(xml, "Prefix", work->prefix, work->url_encoded);
    if (!r && *work->delimiter)
        r = xml_key(xml, "Delimiter", work->delimiter, work->url_encoded);
    if (!r)
        r = xml_key(xml, "KeyMarker", work->key_marker, work->url_encoded);
    if (!r)
        r = xml_text(xml, "VersionIdMarker", work->version_marker);
    if (!r)
        r = xml_integer(xml, "MaxKeys", (int64_t)work->max_keys);
    if (!r && work->url_encoded)
        r = xml_text(xml, "EncodingType", "url");
    if (!r)
        r = xml_boolean(xml, "IsTruncated", work->truncated);
    if (!r && work->truncated)
        r = write_next(xml, work);
    if (!r)
        r = buffer_append(xml, work->contents.data, work->contents.size);
    if (!r)
        r = buffer_append(xml, work->prefixes.data, work->prefixes.size);
    return r ? r : xml_close(xml, "ListVersionsResult");
}

void serve_list_versions(struct visit *visit) {
    CLEANUP(versions_work_finish) struct versions_work work = {.visit = visit};
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

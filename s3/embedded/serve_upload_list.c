/* ListParts and ListMultipartUploads. */
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/embedded/list_walk.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/uploads.h"
#include "s3/embedded/xml.h"

#include <errno.h>

struct parts_work {
    struct visit *visit;
    uint64_t marker, max_parts, count, last;
    bool truncated;
    struct buffer items;
};

static int write_part(struct parts_work *work, const struct catalog_query *query) {
    struct buffer *xml = &work->items;
    work->last = (uint64_t)catalog_integer(query, 0);
    work->count++;
    int r = xml_open(xml, "Part");
    if (!r)
        r = xml_integer(xml, "PartNumber", catalog_integer(query, 0));
    if (!r)
        r = xml_time(xml, "LastModified", catalog_integer(query, 3));
    if (!r)
        r = xml_etag(xml, catalog_text(query, 1));
    if (!r)
        r = xml_integer(xml, "Size", catalog_integer(query, 2));
    return r ? r : xml_close(xml, "Part");
}

static int list_parts(struct catalog_session *session, void *context) {
    struct parts_work *work = context;
    const struct visit *visit = work->visit;
    const char *id = visit_parameter(visit, "uploadId");
    CLEANUP(uploads_row_finish) struct uploads_row row = {0};
    int r = uploads_find(session, visit->bucket, visit->key, id, &row);
    if (r)
        return r;
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query,
                  "SELECT number, etag, size, modified_ms FROM part WHERE upload = ? AND number > ? ORDER BY number");
    catalog_bind_text(&query, 1, id);
    catalog_bind(&query, 2, (int64_t)work->marker);
    while ((r = catalog_step(&query)) == 1) {
        if (work->count == work->max_parts) {
            work->truncated = true;
            return 0;
        }
        if ((r = write_part(work, &query)))
            return r;
    }
    return r;
}

static int write_parts(struct buffer *xml, const struct parts_work *work) {
    const struct visit *visit = work->visit;
    int r = xml_start(xml, "ListPartsResult");
    if (!r)
        r = xml_text(xml, "Bucket", visit->bucket);
    if (!r)
        r = xml_text(xml, "Key", visit->key);
    if (!r)
        r = xml_text(xml, "UploadId", visit_parameter(visit, "uploadId"));
    if (!r)
        r = buffer_append_text(xml, "<Initiator><ID>pail</ID></Initiator><Owner><ID>pail</ID></Owner>"
                                    "<StorageClass>STANDARD</StorageClass>");
    if (!r)
        r = xml_integer(xml, "PartNumberMarker", (int64_t)work->marker);
    if (!r)
        r = xml_integer(xml, "NextPartNumberMarker", (int64_t)work->last);
    if (!r)
        r = xml_integer(xml, "MaxParts", (int64_t)work->max_parts);
    if (!r)
        r = xml_boolean(xml, "IsTruncated", work->truncated);
    if (!r)
        r = buffer_append(xml, work->items.data, work->items.size);
    return r ? r : xml_close(xml, "ListPartsResult");
}

void serve_upload_parts(struct visit *visit) {
    struct parts_work work = {.visit = visit};
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = visit_number(visit, "part-number-marker", 0, 10000, &work.marker);
    if (!r)
        r = visit_number(visit, "max-parts", 1000, 1000, &work.max_parts);
    if (!r)
        r = catalog_read(visit->catalog, list_parts, &work);
    if (!r)
        r = write_parts(&xml, &work);
    buffer_finish(&work.items);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &xml);
}

struct uploads_work {
    struct visit *visit;
    const char *prefix, *delimiter, *key_marker, *upload_marker; /* "" for none */
    uint64_t max_uploads, count;
    bool url_encoded, truncated;
    char *last_key, *last_id, *folder; /* owned; folder: the common prefix that was written last */
    struct buffer items, prefixes;
};

static void uploads_work_finish(struct uploads_work *work) {
    free(work->last_key);
    free(work->last_id);
    free(work->folder);
    buffer_finish(&work->items);
    buffer_finish(&work->prefixes);
}

static int remember(struct uploads_work *work, const char *key, const char *id) {
    free(work->last_key);
    free(work->last_id);
    work->last_key = strdup(key);
    work->last_id = strdup(id);
    work->count++;
    return work->last_key && work->last_id ? 0 : -ENOMEM;
}

static int write_folder(struct uploads_work *work, const char *key, size_t size) {
    free(work->folder);
    work->folder = strndup(key, size);
    int r = work->folder ? remember(work, work->folder, "") : -ENOMEM;
    if (!r)
        r = xml_open(&work->prefixes, "CommonPrefixes");
    if (!r)
        r = xml_key(&work->prefixes, "Prefix", work->folder, work->url_encoded);
    return r ? r : xml_close(&work->prefixes, "CommonPrefixes");
}

static int write_upload(struct uploads_work *work, const char *key, const struct catalog_query *query) {
    struct buffer *xml = &work->items;
    int r = remember(work, key, catalog_text(query, 1));
    if (!r)
        r = xml_open(xml, "Upload");
    if (!r)
        r = xml_key(xml, "Key", key, work->url_encoded);
    if (!r)
        r = xml_text(xml, "UploadId", work->last_id);
    if (!r)
        r = buffer_append_text(xml, "<Initiator><ID>pail</ID></Initiator><Owner><ID>pail</ID></Owner>"
                                    "<StorageClass>STANDARD</StorageClass>");
    if (!r)
        r = xml_time(xml, "Initiated", catalog_integer(query, 2));
    return r ? r : xml_close(xml, "Upload");
}

/* 0 to go on, 1 at the end. */
static int take_upload(struct uploads_work *work, const struct catalog_query *query) {
    size_t size;
    char key[1025];
    const char *bytes = catalog_bytes(query, 0, &size);
    if (size >= sizeof key)
        return -EIO;
    memcpy(key, bytes, size);
    key[size] = 0;
    if (!text_starts(key, work->prefix))
        return strcmp(key, work->prefix) > 0;
    if (work->folder && text_starts(key, work->folder))
        return 0;
    if (work->count == work->max_uploads) {
        work->truncated = true;
        return 1;
    }
    size_t folder = list_folder_size(key, work->prefix, work->delimiter);
    return folder ? write_folder(work, key, folder) : write_upload(work, key, query);
}

static int list_uploads(struct catalog_session *session, void *context) {
    struct uploads_work *work = context;
    struct objects_bucket bucket;
    int r = objects_find_bucket(session, work->visit->bucket, &bucket);
    if (r)
        return r;
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query,
                  "SELECT key, id, begun_ms FROM upload WHERE bucket = ?1 AND"
                  " (key > ?2 OR (key = ?2 AND ?3 <> '' AND id > ?3)) ORDER BY key, id");
    catalog_bind(&query, 1, bucket.id);
    catalog_bind_bytes(&query, 2, work->key_marker, strlen(work->key_marker));
    catalog_bind_text(&query, 3, work->upload_marker);
    while ((r = catalog_step(&query)) == 1)
        if ((r = take_upload(work, &query)))
            return r < 0 ? r : 0;
    return r;
}

static const char *parameter_or_empty(const struct visit *visit, const char *name) {
    const char *value = visit_parameter(visit, name);
    return value ? value : "";
}

static int read_uploads(struct uploads_work *work) {
    const struct visit *visit = work->visit;
    const char *type = visit_parameter(visit, "encoding-type");
    work->prefix = parameter_or_empty(visit, "prefix");
    work->delimiter = parameter_or_empty(visit, "delimiter");
    work->key_marker = parameter_or_empty(visit, "key-marker");
    work->upload_marker = parameter_or_empty(visit, "upload-id-marker");
    work->url_encoded = type && strcmp(type, "url") == 0;
    if (*work->delimiter && text_ends(work->key_marker, work->delimiter)) { /* a folder that was sent already */
        work->folder = strdup(work->key_marker);
        if (!work->folder)
            return -ENOMEM;
    }
    return visit_number(visit, "max-uploads", 1000, 1000, &work->max_uploads);
}

static int write_uploads(struct buffer *xml, const struct uploads_work *work) {
    int r = xml_start(xml, "ListMultipartUploadsResult");
    if (!r)
        r = xml_text(xml, "Bucket", work->visit->bucket);
    if (!r)
        r = xml_key(xml, "KeyMarker", work->key_marker, work->url_encoded);
    if (!r)
        r = xml_text(xml, "UploadIdMarker", work->upload_marker);
    if (!r && work->truncated)
        r = xml_key(xml, "NextKeyMarker", work->last_key, work->url_encoded);
    if (!r && work->truncated)
        r = xml_text(xml, "NextUploadIdMarker", work->last_id);
    if (!r)
        r = xml_key(xml, "Prefix", work->prefix, work->url_encoded);
    if (!r && *work->delimiter)
        r = xml_key(xml, "Delimiter", work->delimiter, work->url_encoded);
    if (!r && work->url_encoded)
        r = xml_text(xml, "EncodingType", "url");
    if (!r)
        r = xml_integer(xml, "MaxUploads", (int64_t)work->max_uploads);
    if (!r)
        r = xml_boolean(xml, "IsTruncated", work->truncated);
    if (!r)
        r = buffer_append(xml, work->items.data, work->items.size);
    if (!r)
        r = buffer_append(xml, work->prefixes.data, work->prefixes.size);
    return r ? r : xml_close(xml, "ListMultipartUploadsResult");
}

void serve_upload_all(struct visit *visit) {
    CLEANUP(uploads_work_finish) struct uploads_work work = {.visit = visit};
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = read_uploads(&work);
    if (!r)
        r = catalog_read(visit->catalog, list_uploads, &work);
    if (!r)
        r = write_uploads(&xml, &work);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &xml);
}

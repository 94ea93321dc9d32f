/* DELETE of an object or version, and DeleteObjects. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/embedded/objects.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/xml.h"
#include "s3/listing_walk.h"

#include <errno.h>
#include <stdio.h>

#define MOST 1000u

/* One key to delete, and what came of it. */
struct deletion {
    char *key, *version, *etag; /* owned; version, etag: NULL if not told */
    int result;
    bool marker;   /* a delete marker was made or removed */
    char made[33]; /* the version that was made or removed; "" for none */
};

static void deletion_finish(struct deletion *deletion) {
    free(deletion->key);
    free(deletion->version);
    free(deletion->etag);
}

static int delete_version(struct catalog_session *session, const struct objects_bucket *bucket,
                          struct deletion *deletion, struct objects_dead *dead) {
    CLEANUP(objects_row_finish) struct objects_row row = {0};
    int r = objects_find(session, bucket->id, deletion->key, deletion->version, &row);
    if (r == PROBLEM_NO_SUCH_VERSION)
        return deletion->etag ? PROBLEM_NO_SUCH_KEY : 0;
    if (r)
        return r;
    if (deletion->etag && (row.marker || !objects_etag_matches(deletion->etag, row.etag)))
        return PROBLEM_PRECONDITION_FAILED;
    deletion->marker = row.marker;
    snprintf(deletion->made, sizeof deletion->made, "%s", row.version);
    return objects_destroy(session, bucket->id, deletion->key, &row, dead);
}

static int add_marker(struct catalog_session *session, const struct objects_bucket *bucket, struct deletion *deletion,
                      struct objects_dead *dead) {
    int64_t id;
    struct objects_new marker = {.modified_ms = clock_realtime_ns() / 1000000};
    deletion->marker = true;
    return objects_add(session, bucket, deletion->key, &marker, &id, deletion->made, dead);
}

static int delete_current(struct catalog_session *session, const struct objects_bucket *bucket,
                          struct deletion *deletion, struct objects_dead *dead) {
    struct objects_condition condition = {.if_match = deletion->etag};
    int r = objects_check(session, bucket->id, deletion->key, &condition);
    if (r)
        return r;
    if (bucket->versioning != VERSIONING_NEVER)
        return add_marker(session, bucket, deletion, dead);
    CLEANUP(objects_row_finish) struct objects_row row = {0};
    r = objects_find(session, bucket->id, deletion->key, NULL, &row);
    if (r)
        return r == PROBLEM_NO_SUCH_KEY ? 0 : r;
    return objects_destroy(session, bucket->id, deletion->key, &row, dead);
}

static int delete_any(struct catalog_session *session, const struct objects_bucket *bucket, struct deletion *deletion,
                      struct objects_dead *dead) {
    return deletion->version ? delete_version(session, bucket, deletion, dead)
                             : delete_current(session, bucket, deletion, dead);
}

struct delete_work {
    struct visit *visit;
    struct deletion *items; /* owned */
    size_t count;
    bool quiet;
    struct objects_dead dead;
};

static void delete_work_finish(struct delete_work *work) {
    for (size_t i = 0; i < work->count; i++)
        deletion_finish(&work->items[i]);
    free(work->items);
    objects_dead_finish(&work->dead);
}

static int delete_one(struct catalog_session *session, void *context) {
    struct delete_work *work = context;
    struct objects_bucket bucket;
    int r = objects_find_bucket(session, work->visit->bucket, &bucket);
    return r ? r : delete_any(session, &bucket, &work->items[0], &work->dead);
}

static char *copy_or_null(const char *text) {
    return text ? strdup(text) : NULL;
}

void serve_delete_one(struct visit *visit) {
    CLEANUP(delete_work_finish) struct delete_work work = {.visit = visit};
    struct answer answer = {.status = 204};
    work.items = calloc(1, sizeof *work.items);
    if (!work.items) {
        answer_problem(visit, -ENOMEM);
        return;
    }
    work.count = 1;
    struct deletion *item = &work.items[0];
    item->key = strdup(visit->key);
    item->version = copy_or_null(visit_parameter(visit, "versionId"));
    item->etag = copy_or_null(visit_header(visit, "if-match"));
    int r = item->key ? catalog_write(visit->catalog, delete_one, &work) : -ENOMEM;
    if (r) {
        answer_problem(visit, r);
        return;
    }
    objects_dead_remove(&work.dead, visit->blobs);
    if (item->marker)
        answer_set(&answer, "x-amz-delete-marker", "true");
    if (item->made[0] && strcmp(item->made, "null") != 0)
        answer_set(&answer, "x-amz-version-id", "%s", item->made);
    answer_send_empty(visit, &answer);
}

static int body_start(void *context, const char *path) {
    struct delete_work *work = context;
    if (strcmp(path, "Delete/Object") != 0)
        return strncmp(path, "Delete", 6) == 0 ? 0 : PROBLEM_MALFORMED_XML;
    return work->count++ < MOST ? 0 : PROBLEM_MALFORMED_XML;
}

static int set(char **field, const char *text) {
    free(*field);
    *field = strdup(text);
    return *field ? 0 : -ENOMEM;
}

static int body_end(void *context, const char *path, const char *text, size_t size) {
    struct delete_work *work = context;
    if (strcmp(path, "Delete/Quiet") == 0) {
        work->quiet = strcmp(text, "true") == 0;
        return 0;
    }
    if (!text_starts(path, "Delete/Object/"))
        return 0;
    struct deletion *item = &work->items[work->count - 1];
    const char *name = path + strlen("Delete/Object/");
    if (strcmp(name, "Key") == 0)
        return !size || size > 1024 ? PROBLEM_KEY_TOO_LONG : set(&item->key, text);
    if (strcmp(name, "VersionId") == 0 && size)
        return set(&item->version, text);
    return strcmp(name, "ETag") == 0 ? set(&item->etag, text) : 0;
}

static int read_body(struct delete_work *work) {
    const struct http_request *request = work->visit->request;
    work->items = calloc(MOST + 1, sizeof *work->items);
    if (!work->items)
        return -ENOMEM;
    if (!request->body_size)
        return PROBLEM_MALFORMED_XML;
    struct listing_walker walker = {body_start, body_end, work};
    int r = listing_walk(request->body, request->body_size, &walker);
    if (r)
        return r < 0 || r == PROBLEM_KEY_TOO_LONG ? r : PROBLEM_MALFORMED_XML;
    for (size_t i = 0; i < work->count; i++)
        if (!work->items[i].key)
            return PROBLEM_MALFORMED_XML;
    return work->count ? 0 : PROBLEM_MALFORMED_XML;
}

/* Each key stands or falls by itself: only this machine's own trouble undoes them all. */
static int delete_many(struct catalog_session *session, void *context) {
    struct delete_work *work = context;
    struct objects_bucket bucket;
    int r = objects_find_bucket(session, work->visit->bucket, &bucket);
    for (size_t i = 0; i < work->count && !r; i++) {
        work->items[i].result = delete_any(session, &bucket, &work->items[i], &work->dead);
        if (work->items[i].result < 0)
            r = work->items[i].result;
    }
    return r;
}

static int write_deleted(struct buffer *xml, const struct deletion *item) {
    bool made = item->marker && !item->version;
    int r = xml_open(xml, "Deleted");
    if (!r)
        r = xml_text(xml, "Key", item->key);
    if (!r && item->version)
        r = xml_text(xml, "VersionId", item->version);
    if (!r && item->marker)
        r = xml_boolean(xml, "DeleteMarker", true);
    if (!r && item->marker)
        r = xml_text(xml, "DeleteMarkerVersionId", made ? item->made : item->version);
    return r ? r : xml_close(xml, "Deleted");
}

static int write_error(struct buffer *xml, const struct deletion *item) {
    const struct problem_text *text = problem_text(item->result);
    int r = xml_open(xml, "Error");
    if (!r)
        r = xml_text(xml, "Key", item->key);
    if (!r && item->version)
        r = xml_text(xml, "VersionId", item->version);
    if (!r)
        r = xml_text(xml, "Code", text->code);
    if (!r)
        r = xml_text(xml, "Message", text->message);
    return r ? r : xml_close(xml, "Error");
}

static int write_results(struct buffer *xml, const struct delete_work *work) {
    int r = xml_start(xml, "DeleteResult");
    for (size_t i = 0; i < work->count && !r; i++) {
        if (work->items[i].result)
            r = write_error(xml, &work->items[i]);
        else if (!work->quiet)
            r = write_deleted(xml, &work->items[i]);
    }
    return r ? r : xml_close(xml, "DeleteResult");
}

void serve_delete_many(struct visit *visit) {
    CLEANUP(delete_work_finish) struct delete_work work = {.visit = visit};
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = 0;
    /* S3 asks for one of them, since the body says what is destroyed. */
    if (!visit_header(visit, "content-md5") && !intake_checksum(visit->intake))
        r = PROBLEM_INVALID_REQUEST;
    if (!r)
        r = read_body(&work);
    if (!r)
        r = catalog_write(visit->catalog, delete_many, &work);
    if (!r)
        objects_dead_remove(&work.dead, visit->blobs);
    if (!r)
        r = write_results(&xml, &work);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &xml);
}

/* PUT of an object, and copies of one. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/embedded/copy_source.h"
#include "s3/embedded/metadata.h"
#include "s3/embedded/objects.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/xml.h"

#include <errno.h>

struct put_work {
    struct visit *visit;
    char *headers; /* owned */
    char version[33];
    struct objects_dead dead;
};

static void put_work_finish(struct put_work *work) {
    free(work->headers);
    objects_dead_finish(&work->dead);
}

static struct objects_condition condition_of(const struct visit *visit) {
    return (struct objects_condition){visit_header(visit, "if-match"), visit_header(visit, "if-none-match")};
}

/* The condition and the write are one transaction: of two that race, one sees the other. */
static int put(struct catalog_session *session, void *context) {
    struct put_work *work = context;
    struct visit *visit = work->visit;
    struct objects_bucket bucket;
    struct objects_condition condition = condition_of(visit);
    struct blob_writer *blob = intake_blob(visit->intake);
    struct objects_new object = {.etag = intake_md5(visit->intake),
                                 .headers = work->headers,
                                 .checksum = intake_checksum(visit->intake),
                                 .size = blobs_size(blob),
                                 .modified_ms = clock_realtime_ns() / 1000000};
    int64_t id;
    int r = objects_find_bucket(session, visit->bucket, &bucket);
    if (!r)
        r = objects_check(session, bucket.id, visit->key, &condition);
    if (!r)
        r = objects_add(session, &bucket, visit->key, &object, &id, work->version, &work->dead);
    return r ? r : objects_add_blob(session, id, blob);
}

static void set_version(struct answer *answer, const char *version) {
    if (strcmp(version, "null") != 0)
        answer_set(answer, "x-amz-version-id", "%s", version);
}

void serve_write_put(struct visit *visit) {
    CLEANUP(put_work_finish) struct put_work work = {.visit = visit};
    struct answer answer = {0};
    int r = intake_finish(visit->intake);
    if (!r)
        r = metadata_take(visit, &work.headers);
    if (!r)
        r = blobs_settle(intake_blob(visit->intake), visit->bucket, visit->key);
    if (!r)
        r = catalog_write(visit->catalog, put, &work);
    if (r) {
        answer_problem(visit, r);
        return;
    }
    blobs_keep(intake_blob(visit->intake));
    objects_dead_remove(&work.dead, visit->blobs);
    answer_set(&answer, "etag", "\"%s\"", intake_md5(visit->intake));
    set_version(&answer, work.version);
    metadata_give_checksum(&answer, intake_checksum(visit->intake));
    answer_send_empty(visit, &answer);
}

struct copy_work {
    struct visit *visit;
    struct copy_source source;
    struct objects_row row; /* of the source */
    char *headers;          /* owned; NULL: the source's */
    char version[33];
    int64_t modified_ms;
    struct objects_dead dead;
};

static void copy_work_finish(struct copy_work *work) {
    copy_source_finish(&work->source);
    objects_row_finish(&work->row);
    free(work->headers);
    objects_dead_finish(&work->dead);
}

static bool onto_itself(const struct copy_work *work) {
    return !work->headers && !work->source.version && strcmp(work->source.bucket, work->visit->bucket) == 0 &&
           strcmp(work->source.key, work->visit->key) == 0;
}

/* Multipart and single sources alike become one object with the source's ETag only if it was made in one piece; S3
 * gives a copy the MD5 of its bytes. A multipart source keeps its "-N" ETag here, as its bytes are not read. */
static int copy(struct catalog_session *session, void *context) {
    struct copy_work *work = context;
    struct visit *visit = work->visit;
    struct objects_bucket bucket;
    struct objects_condition condition = condition_of(visit);
    int r = copy_source_find(session, visit, &work->source, &work->row);
    if (!r && work->row.size > (uint64_t)5 << 30)
        r = PROBLEM_INVALID_REQUEST;
    if (!r)
        r = objects_find_bucket(session, visit->bucket, &bucket);
    if (!r)
        r = objects_check(session, bucket.id, visit->key, &condition);
    if (r)
        return r;
    struct objects_new object = {.etag = work->row.etag,
                                 .headers = work->headers ? work->headers : work->row.headers,
                                 .parts = work->row.parts,
                                 .checksum = work->row.checksum,
                                 .size = work->row.size,
                                 .modified_ms = work->modified_ms};
    return copy_source_add(session, &bucket, visit->key, &object, work->row.id, work->version, &work->dead);
}

static int prepare_copy(struct copy_work *work) {
    const char *directive = visit_header(work->visit, "x-amz-metadata-directive");
    int r = copy_source_read(work->visit, &work->source);
    if (r)
        return r;
    if (directive && strcmp(directive, "REPLACE") == 0)
        r = metadata_take(work->visit, &work->headers);
    else if (directive && strcmp(directive, "COPY") != 0)
        r = PROBLEM_INVALID_ARGUMENT;
    return !r && onto_itself(work) ? PROBLEM_COPY_ONTO_ITSELF : r;
}

static int write_result(struct buffer *xml, const struct copy_work *work) {
    int r = xml_start(xml, "CopyObjectResult");
    if (!r)
        r = xml_time(xml, "LastModified", work->modified_ms);
    if (!r)
        r = xml_etag(xml, work->row.etag);
    return r ? r : xml_close(xml, "CopyObjectResult");
}

void serve_write_copy(struct visit *visit) {
    CLEANUP(copy_work_finish)
    struct copy_work work = {.visit = visit, .modified_ms = clock_realtime_ns() / 1000000};
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = prepare_copy(&work);
    if (!r)
        r = catalog_write(visit->catalog, copy, &work);
    if (!r)
        objects_dead_remove(&work.dead, visit->blobs);
    if (!r)
        r = write_result(&xml, &work);
    if (r) {
        answer_problem(visit, r);
        return;
    }
    set_version(&answer, work.version);
    if (strcmp(work.row.version, "null") != 0)
        answer_set(&answer, "x-amz-copy-source-version-id", "%s", work.row.version);
    answer_send_xml(visit, &answer, &xml);
}

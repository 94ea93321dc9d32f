/* Multipart uploads: begun, parts put or copied, given up. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/embedded/copy_source.h"
#include "s3/embedded/metadata.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/uploads.h"
#include "s3/embedded/xml.h"

#include <errno.h>
#include <stdio.h>

struct create_work {
    struct visit *visit;
    char *headers, *checksum; /* owned */
    char id[33];
};

static void create_work_finish(struct create_work *work) {
    free(work->headers);
    free(work->checksum);
}

static int create(struct catalog_session *session, void *context) {
    struct create_work *work = context;
    struct visit *visit = work->visit;
    struct objects_bucket bucket;
    int r = objects_find_bucket(session, visit->bucket, &bucket);
    if (r)
        return r;
    struct catalog_query query = {0};
    catalog_start(session, &query,
                  "INSERT INTO upload (id, bucket, key, headers, checksum, begun_ms) VALUES (?, ?, ?, ?, ?, ?)");
    catalog_bind_text(&query, 1, work->id);
    catalog_bind(&query, 2, bucket.id);
    catalog_bind_bytes(&query, 3, visit->key, strlen(visit->key));
    catalog_bind_text(&query, 4, work->headers);
    catalog_bind_text(&query, 5, work->checksum);
    catalog_bind(&query, 6, clock_realtime_ns() / 1000000);
    return catalog_run(&query);
}

static int write_created(struct buffer *xml, const struct create_work *work) {
    int r = xml_start(xml, "InitiateMultipartUploadResult");
    if (!r)
        r = xml_text(xml, "Bucket", work->visit->bucket);
    if (!r)
        r = xml_text(xml, "Key", work->visit->key);
    if (!r)
        r = xml_text(xml, "UploadId", work->id);
    return r ? r : xml_close(xml, "InitiateMultipartUploadResult");
}

/* What create says of checksums: the algorithm, and whether the whole will have one of all its bytes. */
static int take_checksum(struct create_work *work) {
    const char *algorithm = visit_header(work->visit, "x-amz-checksum-algorithm");
    const char *type = visit_header(work->visit, "x-amz-checksum-type");
    if (!algorithm)
        return 0;
    bool full = (type && strcmp(type, "FULL_OBJECT") == 0) || strcasecmp(algorithm, "CRC64NVME") == 0;
    work->checksum = text_format("%s%s", algorithm, full ? " FULL_OBJECT" : "");
    return work->checksum ? 0 : -ENOMEM;
}

void serve_upload_create(struct visit *visit) {
    CLEANUP(create_work_finish) struct create_work work = {.visit = visit};
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    random_hex(work.id, 16);
    int r = metadata_take(visit, &work.headers);
    if (!r)
        r = take_checksum(&work);
    if (!r)
        r = catalog_write(visit->catalog, create, &work);
    if (!r)
        r = write_created(&xml, &work);
    if (r) {
        answer_problem(visit, r);
        return;
    }
    if (work.checksum) {
        size_t size = strcspn(work.checksum, " ");
        answer_set(&answer, "x-amz-checksum-algorithm", "%.*s", (int)size, work.checksum);
        answer_set(&answer, "x-amz-checksum-type", "%s", work.checksum[size] ? "FULL_OBJECT" : "COMPOSITE");
    }
    answer_send_xml(visit, &answer, &xml);
}

struct part_work {
    struct visit *visit;
    unsigned number;
    int64_t modified_ms;
    struct copy_source source; /* of a copied part */
    struct objects_row row;    /* of the source */
    uint64_t offset, length;
    struct objects_dead dead;
};

static void part_work_finish(struct part_work *work) {
    copy_source_finish(&work->source);
    objects_row_finish(&work->row);
    objects_dead_finish(&work->dead);
}

static int read_number(struct part_work *work) {
    uint64_t number;
    int r = visit_number(work->visit, "partNumber", 0, UINT32_MAX, &number);
    if (r || !number || number > 10000)
        return PROBLEM_INVALID_ARGUMENT;
    work->number = (unsigned)number;
    work->modified_ms = clock_realtime_ns() / 1000000;
    return 0;
}

static int add_part(struct catalog_session *session, struct part_work *work, const char *etag, const char *checksum,
                    uint64_t size, int64_t *id) {
    struct visit *visit = work->visit;
    const char *upload = visit_parameter(visit, "uploadId");
    CLEANUP(uploads_row_finish) struct uploads_row row = {0};
    int r = uploads_find(session, visit->bucket, visit->key, upload, &row);
    struct uploads_part part = {.number = work->number,
                                .etag = (char *)etag,
                                .checksum = (char *)checksum,
                                .size = size,
                                .modified_ms = work->modified_ms};
    return r ? r : uploads_add_part(session, upload, &part, id, &work->dead);
}

static int put_part(struct catalog_session *session, void *context) {
    struct part_work *work = context;
    struct intake *intake = work->visit->intake;
    int64_t id;
    int r = add_part(session, work, intake_md5(intake), intake_checksum(intake), blobs_size(intake_blob(intake)), &id);
    return r ? r : objects_add_blob(session, -id, intake_blob(intake));
}

void serve_upload_part(struct visit *visit) {
    CLEANUP(part_work_finish) struct part_work work = {.visit = visit};
    struct answer answer = {0};
    int r = read_number(&work);
    if (!r)
        r = intake_finish(visit->intake);
    if (!r)
        r = blobs_settle(intake_blob(visit->intake), visit->bucket, visit->key);
    if (!r)
        r = catalog_write(visit->catalog, put_part, &work);
    if (r) {
        answer_problem(visit, r);
        return;
    }
    blobs_keep(intake_blob(visit->intake));
    objects_dead_remove(&work.dead, visit->blobs);
    answer_set(&answer, "etag", "\"%s\"", intake_md5(visit->intake));
    metadata_give_checksum(&answer, intake_checksum(visit->intake));
    answer_send_empty(visit, &answer);
}

/* "bytes=a-b", both given, inside the source. */
static int read_copy_range(struct part_work *work) {
    const char *range = visit_header(work->visit, "x-amz-copy-source-range");
    unsigned long long first, last;
    int used = 0;
    work->offset = 0;
    work->length = work->row.size;
    if (!range)
        return 0;
    if (sscanf(range, "bytes=%llu-%llu%n", &first, &last, &used) != 2 || range[used] || last < first)
        return PROBLEM_INVALID_ARGUMENT;
    if (last >= work->row.size)
        return PROBLEM_INVALID_ARGUMENT;
    work->offset = first;
    work->length = last - first + 1;
    return 0;
}

/* The source's MD5 where the part is all of it. Otherwise the bytes are not read: an ETag that is like no other's, in
 * MD5's form, so that complete can make its own of it. */
static void make_etag(const struct part_work *work, char etag[33]) {
    bool all = work->length == work->row.size && strlen(work->row.etag) == 32;
    if (all)
        memcpy(etag, work->row.etag, 33);
    else
        random_hex(etag, 16);
}

struct part_copy_work {
    struct part_work part;
    char etag[33];
};

static int copy_part(struct catalog_session *session, void *context) {
    struct part_copy_work *copy = context;
    struct part_work *work = &copy->part;
    int64_t id;
    int r = copy_source_find(session, work->visit, &work->source, &work->row);
    if (!r)
        r = read_copy_range(work);
    if (!r && work->length > (uint64_t)5 << 30)
        r = PROBLEM_INVALID_REQUEST;
    if (!r)
        make_etag(work, copy->etag);
    if (!r)
        r = add_part(session, work, copy->etag, NULL, work->length, &id);
    return r ? r : objects_share(session, -id, work->row.id, work->offset, work->length);
}

static int write_copied(struct buffer *xml, const struct part_copy_work *copy) {
    int r = xml_start(xml, "CopyPartResult");
    if (!r)
        r = xml_time(xml, "LastModified", copy->part.modified_ms);
    if (!r)
        r = xml_etag(xml, copy->etag);
    return r ? r : xml_close(xml, "CopyPartResult");
}

static void part_copy_work_finish(struct part_copy_work *copy) {
    part_work_finish(&copy->part);
}

void serve_upload_part_copy(struct visit *visit) {
    CLEANUP(part_copy_work_finish) struct part_copy_work copy = {.part = {.visit = visit}};
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = read_number(&copy.part);
    if (!r)
        r = copy_source_read(visit, &copy.part.source);
    if (!r)
        r = catalog_write(visit->catalog, copy_part, &copy);
    if (!r)
        objects_dead_remove(&copy.part.dead, visit->blobs);
    if (!r)
        r = write_copied(&xml, &copy);
    if (r) {
        answer_problem(visit, r);
        return;
    }
    if (strcmp(copy.part.row.version, "null") != 0)
        answer_set(&answer, "x-amz-copy-source-version-id", "%s", copy.part.row.version);
    answer_send_xml(visit, &answer, &xml);
}

struct abort_work {
    struct visit *visit;
    struct objects_dead dead;
};

static int abort_upload(struct catalog_session *session, void *context) {
    struct abort_work *work = context;
    const char *id = visit_parameter(work->visit, "uploadId");
    CLEANUP(uploads_row_finish) struct uploads_row row = {0};
    int r = uploads_find(session, work->visit->bucket, work->visit->key, id, &row);
    return r ? r : uploads_remove(session, id, &work->dead);
}

void serve_upload_abort(struct visit *visit) {
    struct abort_work work = {.visit = visit};
    struct answer answer = {.status = 204};
    int r = catalog_write(visit->catalog, abort_upload, &work);
    if (!r)
        objects_dead_remove(&work.dead, visit->blobs);
    objects_dead_finish(&work.dead);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_empty(visit, &answer);
}

/* Buckets: made, listed, removed; where they are; whether they keep versions. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/embedded/objects.h"
#include "s3/embedded/serve.h"
#include "s3/embedded/xml.h"
#include "s3/listing.h"

#include <errno.h>

static int write_buckets(struct catalog_session *session, void *context) {
    struct buffer *xml = context;
    CLEANUP(catalog_end) struct catalog_query query = {0};
    int r = xml_start(xml, "ListAllMyBucketsResult");
    if (!r)
        r = buffer_append_text(xml, "<Owner><ID>pail</ID><DisplayName>pail</DisplayName></Owner><Buckets>");
    catalog_start(session, &query, "SELECT name, created_ms FROM bucket ORDER BY name");
    while (!r && (r = catalog_step(&query)) == 1) {
        r = xml_open(xml, "Bucket");
        if (!r)
            r = xml_text(xml, "Name", catalog_text(&query, 0));
        if (!r)
            r = xml_time(xml, "CreationDate", catalog_integer(&query, 1));
        if (!r)
            r = xml_close(xml, "Bucket");
    }
    return r ? r : buffer_append_text(xml, "</Buckets></ListAllMyBucketsResult>");
}

void serve_bucket_all(struct visit *visit) {
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    int r = catalog_read(visit->catalog, write_buckets, &xml);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &xml);
}

/* S3's rules for general purpose buckets. */
static bool is_bucket_name(const char *name) {
    size_t size = strlen(name);
    if (size < 3 || size > 63 || strstr(name, ".."))
        return false;
    for (size_t i = 0; i < size; i++) {
        bool letter = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9');
        if (!letter && (i == 0 || i + 1 == size || (name[i] != '-' && name[i] != '.')))
            return false;
    }
    return true;
}

static int check_location(const struct visit *visit) {
    AUTO_FREE char *region = NULL;
    if (!visit->request->body_size)
        return 0;
    int r = listing_parse_text(visit->request->body, visit->request->body_size,
                               "CreateBucketConfiguration/LocationConstraint", &region);
    if (r)
        return r < 0 ? r : PROBLEM_MALFORMED_XML;
    return !region || !*region || strcmp(region, visit->region) == 0 ? 0 : PROBLEM_LOCATION;
}

static int insert_bucket(struct catalog_session *session, void *context) {
    const struct visit *visit = context;
    struct catalog_query query = {0};
    catalog_start(session, &query, "INSERT INTO bucket (name, created_ms) VALUES (?, ?)");
    catalog_bind_text(&query, 1, visit->bucket);
    catalog_bind(&query, 2, clock_realtime_ns() / 1000000);
    return catalog_run(&query);
}

void serve_bucket_create(struct visit *visit) {
    struct answer answer = {0};
    int r = is_bucket_name(visit->bucket) ? check_location(visit) : PROBLEM_INVALID_BUCKET_NAME;
    if (!r)
        r = catalog_write(visit->catalog, insert_bucket, visit);
    if (r == -EEXIST) /* us-east-1 says 200 to the owner, as the real one does */
        r = strcmp(visit->region, "us-east-1") == 0 ? 0 : PROBLEM_BUCKET_ALREADY_OWNED;
    if (r) {
        answer_problem(visit, r);
        return;
    }
    answer_set(&answer, "location", "/%s", visit->bucket);
    answer_send_empty(visit, &answer);
}

struct looking {
    const char *name;
    struct objects_bucket bucket;
};

static int look_up(struct catalog_session *session, void *context) {
    struct looking *looking = context;
    return objects_find_bucket(session, looking->name, &looking->bucket);
}

static int find_bucket(struct visit *visit, struct objects_bucket *bucket) {
    struct looking looking = {.name = visit->bucket};
    int r = catalog_read(visit->catalog, look_up, &looking);
    *bucket = looking.bucket;
    return r;
}

void serve_bucket_head(struct visit *visit) {
    struct answer answer = {0};
    struct objects_bucket bucket;
    int r = find_bucket(visit, &bucket);
    if (r) {
        answer_problem(visit, r);
        return;
    }
    answer_set(&answer, "x-amz-bucket-region", "%s", visit->region);
    answer_send_empty(visit, &answer);
}

static int has_rows(struct catalog_session *session, const char *sql, int64_t bucket) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, sql);
    catalog_bind(&query, 1, bucket);
    int r = catalog_step(&query);
    return r == 1 ? PROBLEM_BUCKET_NOT_EMPTY : r;
}

static int delete_bucket(struct catalog_session *session, void *context) {
    const struct visit *visit = context;
    struct objects_bucket bucket;
    int r = objects_find_bucket(session, visit->bucket, &bucket);
    if (!r)
        r = has_rows(session, "SELECT 1 FROM object WHERE bucket = ? LIMIT 1", bucket.id);
    if (!r)
        r = has_rows(session, "SELECT 1 FROM upload WHERE bucket = ? LIMIT 1", bucket.id);
    if (r)
        return r;
    struct catalog_query query = {0};
    catalog_start(session, &query, "DELETE FROM bucket WHERE id = ?");
    catalog_bind(&query, 1, bucket.id);
    return catalog_run(&query);
}

void serve_bucket_delete(struct visit *visit) {
    struct answer answer = {.status = 204};
    int r = catalog_write(visit->catalog, delete_bucket, visit);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_empty(visit, &answer);
}

void serve_bucket_location(struct visit *visit) {
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    struct objects_bucket bucket;
    int r = find_bucket(visit, &bucket);
    if (!r)
        r = xml_start(&xml, "LocationConstraint");
    if (!r && strcmp(visit->region, "us-east-1") != 0) /* which S3 writes as nothing */
        r = buffer_append_text(&xml, visit->region);
    if (!r)
        r = xml_close(&xml, "LocationConstraint");
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &xml);
}

void serve_bucket_versioning(struct visit *visit) {
    AUTO_BUFFER struct buffer xml = {0};
    struct answer answer = {0};
    struct objects_bucket bucket;
    int r = find_bucket(visit, &bucket);
    if (!r)
        r = xml_start(&xml, "VersioningConfiguration");
    if (!r && bucket.versioning != VERSIONING_NEVER)
        r = xml_text(&xml, "Status", bucket.versioning == VERSIONING_ON ? "Enabled" : "Suspended");
    if (!r)
        r = xml_close(&xml, "VersioningConfiguration");
    if (r)
        answer_problem(visit, r);
    else
        answer_send_xml(visit, &answer, &xml);
}

struct versioning_change {
    const char *bucket;
    enum objects_versioning versioning;
};

static int change_versioning(struct catalog_session *session, void *context) {
    const struct versioning_change *change = context;
    struct catalog_query query = {0};
    catalog_start(session, &query, "UPDATE bucket SET versioning = ? WHERE name = ?");
    catalog_bind(&query, 1, change->versioning);
    catalog_bind_text(&query, 2, change->bucket);
    int r = catalog_run(&query);
    return !r && !catalog_changed(session) ? PROBLEM_NO_SUCH_BUCKET : r;
}

void serve_bucket_set_versioning(struct visit *visit) {
    AUTO_FREE char *status = NULL;
    struct answer answer = {0};
    struct versioning_change change = {.bucket = visit->bucket};
    int r = listing_parse_text(visit->request->body ? visit->request->body : "", visit->request->body_size,
                               "VersioningConfiguration/Status", &status);
    if (r > 0)
        r = PROBLEM_MALFORMED_XML;
    if (!r && text_equal(status, "Enabled"))
        change.versioning = VERSIONING_ON;
    else if (!r && text_equal(status, "Suspended"))
        change.versioning = VERSIONING_SUSPENDED;
    else if (!r)
        r = PROBLEM_MALFORMED_XML;
    if (!r)
        r = catalog_write(visit->catalog, change_versioning, &change);
    if (r)
        answer_problem(visit, r);
    else
        answer_send_empty(visit, &answer);
}

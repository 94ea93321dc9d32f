/* s3/embedded/objects, uploads and lifecycle: versions, conditions, shared bytes and what goes by itself. */
#include "s3/embedded/objects.h"

#include "folder.h"
#include "s3/embedded/lifecycle.h"
#include "s3/embedded/problem.h"
#include "s3/embedded/uploads.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define DAY_MS 86400000ll

struct objects_test {
    char *folder;
    struct catalog *catalog;
    struct blobs *blobs;
    struct objects_bucket bucket;
    int64_t now_ms;
};

static int make_bucket(struct catalog_session *session, void *context) {
    struct objects_test *test = context;
    struct catalog_query query = {0};
    catalog_start(session, &query, "INSERT INTO bucket (name, created_ms) VALUES ('bucket', 0)");
    int r = catalog_run(&query);
    return r ? r : objects_find_bucket(session, "bucket", &test->bucket);
}

static int set_up(void **state) {
    struct objects_test *test = calloc(1, sizeof *test);
    struct fault fault = {{0}};
    test->folder = folder_make();
    AUTO_FREE char *path = folder_path(test->folder, "index.db");
    assert_int_equal(catalog_open(&test->catalog, path, &fault), 0);
    assert_int_equal(blobs_open(&test->blobs, test->folder, &fault), 0);
    assert_int_equal(catalog_write(test->catalog, make_bucket, test), 0);
    *state = test;
    return 0;
}

static int tear_down(void **state) {
    struct objects_test *test = *state;
    catalog_close(test->catalog);
    blobs_close(test->blobs);
    folder_remove(test->folder);
    free(test);
    return 0;
}

struct put {
    struct objects_test *test;
    const char *key, *etag; /* etag NULL: a delete marker */
    char version[33];
    struct objects_dead dead;
};

static int put(struct catalog_session *session, void *context) {
    struct put *work = context;
    struct objects_new object = {.etag = work->etag, .headers = "", .size = 3, .modified_ms = work->test->now_ms};
    int64_t id;
    int r = objects_add(session, &work->test->bucket, work->key, &object, &id, work->version, &work->dead);
    if (r || !work->etag)
        return r;
    struct blob_writer *blob = NULL;
    r = blobs_begin(work->test->blobs, &blob);
    if (!r)
        r = blobs_write(blob, "abc", 3);
    if (!r)
        r = objects_add_blob(session, id, blob);
    blobs_end(blob);
    return r;
}

/* A version's id. */
struct version {
    char id[33];
};

static struct version put_object(struct objects_test *test, const char *key, const char *etag) {
    struct put work = {.test = test, .key = key, .etag = etag};
    assert_int_equal(catalog_write(test->catalog, put, &work), 0);
    objects_dead_finish(&work.dead);
    struct version version;
    memcpy(version.id, work.version, sizeof version.id);
    return version;
}

struct find {
    struct objects_test *test;
    const char *key, *version;
    struct objects_row row;
};

static int find(struct catalog_session *session, void *context) {
    struct find *work = context;
    return objects_find(session, work->test->bucket.id, work->key, work->version, &work->row);
}

/* The ETag that is found, "marker", or "none"; static texts and the row's own are told apart by the caller's buffer. */
static const char *etag_of(struct objects_test *test, const char *key, const char *version, char out[64]) {
    struct find work = {.test = test, .key = key, .version = version};
    int r = catalog_read(test->catalog, find, &work);
    snprintf(out, 64, "%s", r ? "none" : work.row.marker ? "marker" : work.row.etag);
    objects_row_finish(&work.row);
    return out;
}

static int64_t count_rows(struct catalog_session *session, const char *sql) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, sql);
    return catalog_step(&query) == 1 ? catalog_integer(&query, 0) : -1;
}

struct counts {
    int64_t objects, pieces, blobs, uploads;
};

static int count(struct catalog_session *session, void *context) {
    struct counts *counts = context;
    counts->objects = count_rows(session, "SELECT count(*) FROM object");
    counts->pieces = count_rows(session, "SELECT count(*) FROM piece");
    counts->blobs = count_rows(session, "SELECT count(*) FROM blob");
    counts->uploads = count_rows(session, "SELECT count(*) FROM upload");
    return 0;
}

static struct counts counts_of(struct objects_test *test) {
    struct counts counts;
    catalog_read(test->catalog, count, &counts);
    return counts;
}

static void an_unversioned_write_replaces(void **state) {
    struct objects_test *test = *state;
    char etag[64];
    struct version one = put_object(test, "k", "e1"), two = put_object(test, "k", "e2");
    assert_string_equal(one.id, "null");
    assert_string_equal(two.id, "null");
    assert_string_equal(etag_of(test, "k", NULL, etag), "e2");
    struct counts counts = counts_of(test);
    assert_int_equal(counts.objects, 1);
    assert_int_equal(counts.pieces, 1);
    assert_int_equal(counts.blobs, 1);
}

static int destroy(struct catalog_session *session, void *context) {
    struct find *work = context;
    struct objects_dead dead = {0};
    int r = objects_find(session, work->test->bucket.id, work->key, work->version, &work->row);
    if (!r)
        r = objects_destroy(session, work->test->bucket.id, work->key, &work->row, &dead);
    objects_row_finish(&work->row);
    objects_dead_finish(&dead);
    return r;
}

static void versions_are_kept_and_the_next_becomes_current(void **state) {
    struct objects_test *test = *state;
    char etag[64];
    struct version zero = put_object(test, "k", "e0");
    test->bucket.versioning = VERSIONING_ON;
    struct version one = put_object(test, "k", "e1"), two = put_object(test, "k", "e2");
    struct version mark = put_object(test, "k", NULL);
    assert_string_equal(etag_of(test, "k", NULL, etag), "marker");
    assert_string_equal(etag_of(test, "k", one.id, etag), "e1");
    assert_string_equal(etag_of(test, "k", zero.id, etag), "e0");
    assert_string_equal(etag_of(test, "k", "unknown", etag), "none");
    const char *order[] = {mark.id, two.id, one.id};
    const char *then[] = {"e2", "e1", "e0"};
    for (size_t i = 0; i < 3; i++) {
        struct find work = {.test = test, .key = "k", .version = order[i]};
        assert_int_equal(catalog_write(test->catalog, destroy, &work), 0);
        assert_string_equal(etag_of(test, "k", NULL, etag), then[i]);
    }
    assert_int_equal(counts_of(test).blobs, 1);
}

struct check {
    struct objects_test *test;
    struct objects_condition condition;
    const char *key;
};

static int check(struct catalog_session *session, void *context) {
    struct check *work = context;
    return objects_check(session, work->test->bucket.id, work->key, &work->condition);
}

static int check_of(struct objects_test *test, const char *key, const char *match, const char *none) {
    struct check work = {test, {match, none}, key};
    return catalog_read(test->catalog, check, &work);
}

static void conditions_of_writing(void **state) {
    struct objects_test *test = *state;
    put_object(test, "k", "e1");
    assert_int_equal(check_of(test, "k", NULL, NULL), 0);
    assert_int_equal(check_of(test, "k", "\"e1\"", NULL), 0);
    assert_int_equal(check_of(test, "k", "*", NULL), 0);
    assert_int_equal(check_of(test, "k", "\"e2\"", NULL), PROBLEM_PRECONDITION_FAILED);
    assert_int_equal(check_of(test, "k", NULL, "*"), PROBLEM_PRECONDITION_FAILED);
    assert_int_equal(check_of(test, "k", NULL, "\"e2\""), 0);
    assert_int_equal(check_of(test, "none", NULL, "*"), 0);
    assert_int_equal(check_of(test, "none", "*", NULL), PROBLEM_NO_SUCH_KEY);
    test->bucket.versioning = VERSIONING_ON;
    put_object(test, "k", NULL); /* as if it were not there */
    assert_int_equal(check_of(test, "k", NULL, "*"), 0);
    assert_int_equal(check_of(test, "k", "\"e1\"", NULL), PROBLEM_NO_SUCH_KEY);
}

static void etags_match(void **state) {
    (void)state;
    assert_true(objects_etag_matches("\"a\"", "a"));
    assert_true(objects_etag_matches("a", "a"));
    assert_true(objects_etag_matches("*", "a"));
    assert_true(objects_etag_matches("\"b\", W/\"a\" ,c", "a"));
    assert_false(objects_etag_matches("\"ab\"", "a"));
    assert_false(objects_etag_matches("\"a", "a"));
    assert_false(objects_etag_matches("", "a"));
    assert_false(objects_etag_matches("\"A\"", "a"));
}

struct shared {
    struct objects_test *test;
    int64_t owner, other;
    uint64_t skip, size;
    struct objects_pieces pieces;
};

static int share(struct catalog_session *session, void *context) {
    struct shared *work = context;
    return objects_share(session, work->owner, work->other, work->skip, work->size);
}

static int locate(struct catalog_session *session, void *context) {
    struct shared *work = context;
    return objects_locate(session, work->owner, work->skip, work->size, &work->pieces);
}

static void stretches_of_shared_bytes_are_found(void **state) {
    struct objects_test *test = *state;
    put_object(test, "a", "e");
    struct shared first = {.test = test, .owner = 1000, .other = 1, .skip = 1, .size = 2}; /* "bc" */
    struct shared again = {.test = test, .owner = 1000, .other = 1, .skip = 0, .size = 3}; /* and "abc" */
    assert_int_equal(catalog_write(test->catalog, share, &first), 0);
    assert_int_equal(catalog_write(test->catalog, share, &again), 0);
    struct shared whole = {.owner = 1000, .skip = 1, .size = 3}; /* of "bcabc": "cab" */
    assert_int_equal(catalog_read(test->catalog, locate, &whole), 0);
    assert_int_equal(whole.pieces.count, 2);
    assert_memory_equal(whole.pieces.items[0].bytes, "c", 1);
    assert_memory_equal(whole.pieces.items[1].bytes, "ab", 2);
    objects_pieces_finish(&whole.pieces);
    struct shared beyond = {.owner = 1000, .skip = 3, .size = 3};
    assert_int_equal(catalog_read(test->catalog, locate, &beyond), -EIO);
    objects_pieces_finish(&beyond.pieces);
    struct shared more = {.test = test, .owner = 1001, .other = 1, .skip = 1, .size = 3};
    assert_int_equal(catalog_write(test->catalog, share, &more), -EIO);
}

/* The lifecycle. */

static int set_lifecycle(struct catalog_session *session, void *context) {
    struct catalog_query query = {0};
    catalog_start(session, &query, "INSERT OR REPLACE INTO setting (bucket, name, body) VALUES (1, 'lifecycle', ?)");
    catalog_bind_bytes(&query, 1, context, strlen(context));
    return catalog_run(&query);
}

static void old_versions_and_their_markers_go(void **state) {
    struct objects_test *test = *state;
    char etag[64];
    const char *rules =
        "<LifecycleConfiguration><Rule><ID>a</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>"
        "<NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration>"
        "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule>"
        "</LifecycleConfiguration>";
    assert_int_equal(catalog_write(test->catalog, set_lifecycle, (void *)rules), 0);
    test->bucket.versioning = VERSIONING_ON;
    test->now_ms = 100 * DAY_MS;
    struct version first = put_object(test, "k", "e1");
    put_object(test, "gone", "g1");
    test->now_ms = 110 * DAY_MS;
    put_object(test, "k", "e2");
    struct version mark = put_object(test, "gone", NULL);
    /* e1 and g1 are old since day 110, however long before they were written. */
    assert_int_equal(lifecycle_run(test->catalog, test->blobs, 139 * DAY_MS), 0);
    assert_int_equal(counts_of(test).objects, 4);
    assert_int_equal(lifecycle_run(test->catalog, test->blobs, 141 * DAY_MS), 0);
    assert_string_equal(etag_of(test, "k", NULL, etag), "e2");
    assert_string_equal(etag_of(test, "k", first.id, etag), "none");
    assert_string_equal(etag_of(test, "gone", mark.id, etag), "none");
    assert_int_equal(counts_of(test).objects, 1);
    assert_int_equal(counts_of(test).blobs, 1);
}

static int begin_upload(struct catalog_session *session, void *context) {
    struct objects_test *test = context;
    struct catalog_query query = {0};
    catalog_start(session, &query,
                  "INSERT INTO upload (id, bucket, key, begun_ms) VALUES (hex(randomblob(8)), 1, ?, ?)");
    catalog_bind_bytes(&query, 1, "logs/k", 6);
    catalog_bind(&query, 2, test->now_ms);
    return catalog_run(&query);
}

static void uploads_are_given_up(void **state) {
    struct objects_test *test = *state;
    static const char format[] =
        "<LifecycleConfiguration><Rule><Status>%s</Status><Prefix>%s</Prefix><AbortIncompleteMultipartUpload>"
        "<DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>"
        "</LifecycleConfiguration>";
    for (int i = 0; i < 450; i++) { /* more than one transaction's worth */
        test->now_ms = 100 * DAY_MS;
        assert_int_equal(catalog_write(test->catalog, begin_upload, test), 0);
    }
    static const struct {
        const char *status, *prefix;
        int64_t day;
        int left;
    } cases[] = {{"Disabled", "", 200, 450},
                 {"Enabled", "other/", 200, 450},
                 {"Enabled", "logs/", 106, 450},
                 {"Enabled", "logs/", 108, 0}};
    for (size_t i = 0; i < 4; i++) {
        AUTO_FREE char *rules = text_format(format, cases[i].status, cases[i].prefix);
        assert_int_equal(catalog_write(test->catalog, set_lifecycle, rules), 0);
        assert_int_equal(lifecycle_run(test->catalog, test->blobs, cases[i].day * DAY_MS), 0);
        assert_int_equal(counts_of(test).uploads, cases[i].left);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unversioned_write_replaces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(versions_are_kept_and_the_next_becomes_current, set_up, tear_down),
        cmocka_unit_test_setup_teardown(conditions_of_writing, set_up, tear_down),
        cmocka_unit_test(etags_match),
        cmocka_unit_test_setup_teardown(stretches_of_shared_bytes_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_versions_and_their_markers_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(uploads_are_given_up, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

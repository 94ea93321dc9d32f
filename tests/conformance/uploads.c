/* Conformance: uploads in parts. */
#include "support.h"

#define PART STORE_MIN_PART
#define WRONG "00000000000000000000000000000000"

static char *create(const struct conformance *run, const char *key) {
    char *upload = NULL;
    assert_ok(store_create_upload(run->store, key, NULL, &upload, &call));
    assert_non_null(upload);
    return upload;
}

/* Part `number` of an object whose bytes follow from the seed. */
static void send(const struct conformance *run, const char *key, const char *upload, uint64_t seed, unsigned number,
                 uint64_t size, struct store_part *part) {
    struct store_source source = support_source(&seed, size);
    *part = (struct store_part){.number = number, .size = size};
    assert_ok(store_put_part(run->store, key, upload, number, &source, &part->etag, &call));
    assert_int_equal(strlen(part->etag), 32);
}

static int complete(const struct conformance *run, const char *key, const char *upload, struct store_part *parts,
                    size_t count, uint64_t total, struct store_when when) {
    struct store_parts list = {parts, count};
    struct store_written written;
    int error = store_complete_upload(run->store, key, upload, &list, total, &when, &written, NULL);
    if (!error)
        assert_non_null(written.etag);
    store_written_finish(&written);
    return error;
}

static void drop(struct store_part *parts, size_t count, char *upload) {
    for (size_t i = 0; i < count; i++)
        free(parts[i].etag);
    free(upload);
}

static void assert_range(const struct conformance *run, const char *key, uint64_t offset, uint64_t length,
                         uint64_t seed) {
    struct store_get get = {.key = key, .offset = offset, .length = length};
    struct support_bytes bytes;
    struct store_sink sink = support_sink(&bytes);
    struct store_object object;
    assert_ok(store_get(run->store, &get, &sink, &object, &call));
    support_assert_bytes(&bytes, seed, 0, length);
    support_free(&bytes);
    store_object_finish(&object);
}

static void test_upload(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "upload of parts");
    struct store_headers headers = {0};
    struct store_part parts[3], old;
    struct store_object object;
    char *upload = NULL;
    store_headers_set(&headers, "content-type", "video/x-test");
    store_headers_set(&headers, "x-amz-meta-pail-write", "abc");
    assert_ok(store_create_upload(run->store, key, &headers, &upload, &call));
    send(run, key, upload, 12, 2, PART, &parts[1]);
    send(run, key, upload, 99, 1, PART, &old); /* replaced below */
    send(run, key, upload, 13, 3, 1000, &parts[2]);
    send(run, key, upload, 11, 1, PART + 1, &parts[0]);
    assert_int_equal(complete(run, key, upload, parts, 3, 2 * PART + 1001, (struct store_when){0}), 0);
    assert_ok(store_head(run->store, key, NULL, &object, &call));
    assert_int_equal(object.size, 2 * PART + 1001);
    assert_string_equal(store_headers_get(&object.headers, "content-type"), "video/x-test");
    assert_string_equal(store_headers_get(&object.headers, "x-amz-meta-pail-write"), "abc");
    assert_true(object.etag[0] && strlen(object.etag) > 32);
    store_object_finish(&object);
    assert_range(run, key, 0, PART + 1, 11);
    assert_range(run, key, PART + 1, PART, 12);
    assert_range(run, key, 2 * PART + 1, 1000, 13);
    int again = complete(run, key, upload, parts, 3, 2 * PART + 1001, (struct store_when){0});
    assert_true(again == 0 || again == PAIL_GONE); /* AWS answers a repeated one as the first */
    free(old.etag);
    drop(parts, 3, upload);
    store_headers_finish(&headers);
}

static void test_list_parts(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "upload listed");
    struct store_part parts[3];
    struct store_parts listed;
    char *upload = create(run, key);
    assert_ok(store_list_parts(run->store, key, upload, &listed, &call));
    assert_int_equal(listed.count, 0);
    store_parts_finish(&listed);
    send(run, key, upload, 1, 7, 300, &parts[2]);
    send(run, key, upload, 2, 1, 100, &parts[0]);
    send(run, key, upload, 3, 3, 200, &parts[1]);
    assert_ok(store_list_parts(run->store, key, upload, &listed, &call));
    assert_int_equal(listed.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(listed.items[i].number, parts[i].number);
        assert_int_equal(listed.items[i].size, parts[i].size);
        assert_string_equal(listed.items[i].etag, parts[i].etag);
    }
    store_parts_finish(&listed);
    assert_ok(store_abort_upload(run->store, key, upload, &call));
    drop(parts, 3, upload);
}

static void test_abort(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "upload aborted");
    struct store_part part;
    struct store_parts listed;
    char *upload = create(run, key), *etag = NULL;
    uint64_t seed = 1;
    struct store_source source = support_source(&seed, 100);
    send(run, key, upload, 1, 1, 100, &part);
    assert_ok(store_abort_upload(run->store, key, upload, &call));
    assert_result(store_abort_upload(run->store, key, upload, &call), PAIL_GONE);
    assert_result(store_list_parts(run->store, key, upload, &listed, &call), PAIL_GONE);
    assert_result(store_put_part(run->store, key, upload, 2, &source, &etag, &call), PAIL_GONE);
    assert_int_equal(complete(run, key, upload, &part, 1, 100, (struct store_when){0}), PAIL_GONE);
    support_assert_gone(run, key);
    drop(&part, 1, upload);
}

static void test_wrong_parts(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "upload of wrong parts");
    struct store_part part, wrong = {.number = 1, .etag = (char[]){WRONG}, .size = 100};
    char *upload = create(run, key);
    send(run, key, upload, 1, 1, 100, &part);
    int result = complete(run, key, upload, &wrong, 1, 100, (struct store_when){0});
    assert_int_equal(result, PAIL_DAMAGED);
    wrong.number = 2;
    assert_int_equal(complete(run, key, upload, &wrong, 1, 100, (struct store_when){0}), PAIL_DAMAGED);
    support_assert_gone(run, key);
    assert_int_equal(complete(run, key, upload, &part, 1, 100, (struct store_when){0}), 0);
    support_assert_object(run, key, 1, 100);
    drop(&part, 1, upload);
}

static void test_wrong_total(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "upload of wrong size");
    struct store_part part;
    needs(complete_size);
    char *upload = create(run, key);
    send(run, key, upload, 1, 1, 100, &part);
    assert_int_equal(complete(run, key, upload, &part, 1, 101, (struct store_when){0}), PAIL_DAMAGED);
    support_assert_gone(run, key);
    assert_int_equal(complete(run, key, upload, &part, 1, 100, (struct store_when){0}), 0);
    drop(&part, 1, upload);
}

static void test_copy_part(void **state) {
    const struct conformance *run = *state;
    const char *from = support_key(run, "part source"), *key = support_key(run, "upload with a copied part");
    struct store_part parts[2] = {{.number = 1}};
    char *etag = NULL, *upload = create(run, key);
    support_put(run, from, 5, PART + 5000, &etag, NULL);
    struct store_copy copy = {.source = from, .source_if_match = etag, .key = key};
    int result = store_copy_part(run->store, key, upload, 1, &copy, 0, PART, &parts[0].etag, NULL);
    if (result == PAIL_UNSUPPORTED) {
        print_message("skipped: this store copies no parts\n");
        assert_ok(store_abort_upload(run->store, key, upload, &call));
        free(etag);
        free(upload);
        skip();
    }
    assert_int_equal(result, 0);
    send(run, key, upload, 6, 2, 77, &parts[1]);
    assert_int_equal(complete(run, key, upload, parts, 2, PART + 77, (struct store_when){0}), 0);
    assert_range(run, key, 0, PART, 5);
    assert_range(run, key, PART, 77, 6);
    free(etag);
    drop(parts, 2, upload);
}

/* A name that decodes to another one: its bytes, or nothing, but never those of the other. */
static void test_copy_part_of_awkward_name(void **state) {
    const struct conformance *run = *state;
    const char *from = support_key(run, "part%20source+"), *decoy = support_key(run, "part source ");
    const char *key = support_key(run, "upload with an awkward part");
    struct store_part part = {.number = 1};
    char *etag = NULL, *upload = create(run, key);
    support_put(run, decoy, 8, 1000, NULL, NULL);
    support_put(run, from, 9, 1000, &etag, NULL);
    struct store_copy copy = {.source = from, .source_if_match = etag, .key = key};
    int result = store_copy_part(run->store, key, upload, 1, &copy, 0, 1000, &part.etag, NULL);
    if (result) {
        assert_int_equal(result, PAIL_UNSUPPORTED);
        assert_ok(store_abort_upload(run->store, key, upload, &call));
    } else {
        assert_int_equal(complete(run, key, upload, &part, 1, 1000, (struct store_when){0}), 0);
        support_assert_object(run, key, 9, 1000);
    }
    free(etag);
    drop(&part, 1, upload);
}

static void test_copy_part_refused(void **state) {
    const struct conformance *run = *state;
    const char *from = support_key(run, "part source"), *key = support_key(run, "upload without a copied part");
    char *etag = NULL, *upload = create(run, key);
    support_put(run, from, 5, 1000, NULL, NULL);
    struct store_copy copy = {.source = support_key(run, "never"), .key = key};
    assert_result(store_copy_part(run->store, key, upload, 1, &copy, 0, 10, &etag, &call), PAIL_GONE);
    if (run->features.part_copy_source_if_match) {
        copy = (struct store_copy){.source = from, .source_if_match = WRONG, .key = key};
        assert_result(store_copy_part(run->store, key, upload, 1, &copy, 0, 10, &etag, &call), PAIL_CONFLICT);
    }
    assert_ok(store_abort_upload(run->store, key, upload, &call));
    free(upload);
}

static void test_complete_if_absent(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "complete if absent");
    struct store_part part;
    needs(complete_if_absent);
    char *upload = create(run, key);
    send(run, key, upload, 1, 1, 100, &part);
    assert_int_equal(complete(run, key, upload, &part, 1, 100, (struct store_when){STORE_IF_ABSENT, NULL}), 0);
    drop(&part, 1, upload);
    upload = create(run, key);
    send(run, key, upload, 2, 1, 200, &part);
    assert_int_equal(complete(run, key, upload, &part, 1, 200, (struct store_when){STORE_IF_ABSENT, NULL}),
                     PAIL_CONFLICT);
    support_assert_object(run, key, 1, 100);
    drop(&part, 1, upload);
}

static void test_complete_if_match(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "complete if match");
    struct store_part part;
    char *etag = NULL;
    needs(complete_if_match);
    support_put(run, key, 1, 10, &etag, NULL);
    char *upload = create(run, key);
    send(run, key, upload, 2, 1, 200, &part);
    assert_int_equal(complete(run, key, upload, &part, 1, 200, (struct store_when){STORE_IF_MATCH, WRONG}),
                     PAIL_CONFLICT);
    support_assert_object(run, key, 1, 10);
    drop(&part, 1, upload);
    upload = create(run, key);
    send(run, key, upload, 2, 1, 200, &part);
    assert_int_equal(complete(run, key, upload, &part, 1, 200, (struct store_when){STORE_IF_MATCH, etag}), 0);
    support_assert_object(run, key, 2, 200);
    drop(&part, 1, upload);
    free(etag);
}

const struct CMUnitTest *conformance_uploads(size_t *count) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload),
        cmocka_unit_test(test_list_parts),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_wrong_parts),
        cmocka_unit_test(test_wrong_total),
        cmocka_unit_test(test_copy_part),
        cmocka_unit_test(test_copy_part_of_awkward_name),
        cmocka_unit_test(test_copy_part_refused),
        cmocka_unit_test(test_complete_if_absent),
        cmocka_unit_test(test_complete_if_match),
    };
    *count = sizeof tests / sizeof *tests;
    return tests;
}

/* Conformance: whole objects, ranges, versions, copies, deleting. */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

static void test_put_get(void **state) {
    const struct conformance *run = *state;
    static const uint64_t sizes[] = {0, 1, 4096, (1 << 20) + 1, (8 << 20) + 3};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *etag = NULL;
        const char *key = support_key(run, "sizes");
        support_put(run, key, i, sizes[i], &etag, NULL);
        support_assert_object(run, key, i, sizes[i]);
        struct store_object object;
        assert_ok(store_head(run->store, key, NULL, &object, &call));
        assert_int_equal(object.size, sizes[i]);
        assert_string_equal(object.etag, etag);
        assert_int_equal(strlen(etag), 32);
        assert_false(object.archived);
        assert_true(object.modified_s > 1700000000 && object.date_s >= object.modified_s - 2);
        assert_int_equal(object.version != NULL, run->features.versions);
        store_object_finish(&object);
        free(etag);
    }
}

static void set(struct store_headers *headers, const char *name, const char *value) {
    assert_int_equal(store_headers_set(headers, name, value), 0);
}

static void test_headers(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "headers");
    struct store_headers headers = {0};
    struct store_object object;
    uint64_t seed = 1;
    set(&headers, "content-type", "text/x-test; charset=utf-8");
    set(&headers, "cache-control", "max-age=60");
    set(&headers, "content-disposition", "attachment; filename=\"a b.txt\"");
    set(&headers, "content-language", "de");
    set(&headers, "x-amz-meta-mode", "33188");
    set(&headers, "x-amz-meta-pail-write", "0123456789abcdef%20/+=&?;:,'\"()");
    struct store_put request = {.key = key, .source = support_source(&seed, 10), .headers = &headers};
    assert_ok(store_put(run->store, &request, NULL, &call));
    assert_ok(store_head(run->store, key, NULL, &object, &call));
    for (size_t i = 0; i < headers.count; i++) {
        const char *value = store_headers_get(&object.headers, headers.items[i].name);
        assert_non_null(value);
        assert_string_equal(value, headers.items[i].value);
    }
    assert_null(store_headers_get(&object.headers, "etag"));
    assert_null(store_headers_get(&object.headers, "content-length"));
    store_object_finish(&object);
    store_headers_finish(&headers);
}

static void test_metadata_limits(void **state) {
    const struct conformance *run = *state;
    struct store_headers headers = {0};
    uint64_t seed = 1;
    char value[2048 - 4 + 1];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    set(&headers, "x-amz-meta-long", value);
    struct store_put request = {
        .key = support_key(run, "limits"), .source = support_source(&seed, 1), .headers = &headers};
    assert_ok(store_put(run->store, &request, NULL, &call));
    set(&headers, "x-amz-meta-a", "");
    assert_result(store_put(run->store, &request, NULL, &call), PAIL_TOO_LARGE);
    set(&headers, "x-amz-meta-a", NULL);
    set(&headers, "x-amz-meta-long", "gr\xc3\xbc\xc3\x9f");
    assert_result(store_put(run->store, &request, NULL, &call), -EINVAL);
    store_headers_finish(&headers);
}

static void get_range(const struct conformance *run, const char *key, uint64_t offset, uint64_t length,
                      uint64_t expected) {
    struct store_get request = {.key = key, .offset = offset, .length = length};
    struct support_bytes bytes;
    struct store_sink sink = support_sink(&bytes);
    struct store_object object;
    assert_ok(store_get(run->store, &request, &sink, &object, &call));
    assert_int_equal(object.size, 100000);
    support_assert_bytes(&bytes, 7, offset, expected);
    support_free(&bytes);
    store_object_finish(&object);
}

static void test_ranges(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "ranges");
    support_put(run, key, 7, 100000, NULL, NULL);
    get_range(run, key, 0, 1, 1);
    get_range(run, key, 0, 100000, 100000);
    get_range(run, key, 99999, 1, 1);
    get_range(run, key, 500, 70000, 70000);
    get_range(run, key, 500, 0, 99500);
    get_range(run, key, 99990, 1000, 10);
    get_range(run, key, 0, 1 << 30, 100000);
}

static int get_into(const struct conformance *run, const struct store_get *request, struct support_bytes *bytes) {
    struct store_sink sink = support_sink(bytes);
    struct store_object object;
    int result = store_get(run->store, request, &sink, &object, NULL);
    store_object_finish(&object);
    support_free(bytes);
    return result;
}

static void test_ranges_at_the_end(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "end"), *empty = support_key(run, "empty");
    struct support_bytes bytes;
    support_put(run, key, 7, 100, NULL, NULL);
    support_put(run, empty, 7, 0, NULL, NULL);
    assert_int_equal(get_into(run, &(struct store_get){.key = key, .offset = 100, .length = 1}, &bytes), PAIL_CONFLICT);
    assert_int_equal(get_into(run, &(struct store_get){.key = key, .offset = 5000}, &bytes), PAIL_CONFLICT);
    struct store_get whole = {.key = empty, .length = 4096};
    struct store_sink sink = support_sink(&bytes);
    struct store_object object;
    assert_ok(store_get(run->store, &whole, &sink, &object, &call));
    assert_int_equal(bytes.size, 0);
    assert_int_equal(object.size, 0);
    assert_int_equal(strlen(object.etag), 32);
    store_object_finish(&object);
}

static void test_get_if_match(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "match");
    struct support_bytes bytes;
    char *etag = NULL, *newer = NULL;
    support_put(run, key, 1, 100, &etag, NULL);
    struct store_get request = {.key = key, .if_match = etag};
    assert_int_equal(get_into(run, &request, &bytes), 0);
    support_put(run, key, 2, 100, &newer, NULL);
    assert_int_equal(get_into(run, &request, &bytes), PAIL_CONFLICT);
    request.if_match = newer;
    request.offset = 10;
    request.length = 20;
    assert_int_equal(get_into(run, &request, &bytes), 0);
    free(etag);
    free(newer);
}

static void test_absent(void **state) {
    const struct conformance *run = *state;
    struct support_bytes bytes;
    support_assert_gone(run, support_key(run, "never"));
    assert_int_equal(get_into(run, &(struct store_get){.key = support_key(run, "never")}, &bytes), PAIL_GONE);
    struct store_get range = {.key = support_key(run, "never"), .offset = 5, .length = 5, .if_match = "abc"};
    int result = get_into(run, &range, &bytes);
    assert_true(result == PAIL_GONE || result == PAIL_CONFLICT);
}

static void test_versions(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "versions");
    char *first = NULL, *second = NULL;
    struct store_object object;
    struct support_bytes bytes;
    needs(versions);
    support_put(run, key, 1, 100, NULL, &first);
    support_put(run, key, 2, 200, NULL, &second);
    assert_non_null(first);
    assert_string_not_equal(first, second);
    assert_ok(store_remove(run->store, key, NULL, &call));
    support_assert_gone(run, key);
    assert_ok(store_head(run->store, key, first, &object, &call));
    assert_int_equal(object.size, 100);
    assert_string_equal(object.version, first);
    store_object_finish(&object);
    assert_int_equal(get_into(run, &(struct store_get){.key = key, .version = second}, &bytes), 0);
    free(first);
    free(second);
}

static void test_delete_marker_by_id(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "marked");
    struct store_list_versions request = {.prefix = key};
    struct store_page page;
    struct store_object object;
    needs(versions);
    support_put(run, key, 1, 100, NULL, NULL);
    assert_ok(store_remove(run->store, key, NULL, &call));
    assert_ok(store_list_versions(run->store, &request, &page, &call));
    assert_int_equal(page.count, 2);
    assert_true(page.objects[0].delete_marker && page.objects[0].is_latest);
    assert_false(page.objects[1].delete_marker || page.objects[1].is_latest);
    assert_result(store_head(run->store, key, page.objects[0].version, &object, &call), PAIL_GONE);
    store_object_finish(&object);
    struct support_bytes bytes;
    struct store_get get = {.key = key, .version = page.objects[0].version};
    assert_int_equal(get_into(run, &get, &bytes), PAIL_GONE);
    store_page_finish(&page);
}

static void test_copy(void **state) {
    const struct conformance *run = *state;
    const char *from = support_key(run, "copy from"), *to = support_key(run, "copy to?&#+%");
    struct store_headers headers = {0}, other = {0};
    struct store_object object;
    struct store_written written;
    uint64_t seed = 3;
    set(&headers, "content-type", "text/one");
    set(&headers, "x-amz-meta-a", "1");
    set(&other, "content-type", "text/two");
    set(&other, "x-amz-meta-b", "2");
    struct store_put put = {.key = from, .source = support_source(&seed, 5000), .headers = &headers};
    assert_ok(store_put(run->store, &put, NULL, &call));
    struct store_copy copy = {.source = from, .key = to, .size = 5000};
    assert_ok(store_copy(run->store, &copy, &written, &call));
    assert_int_equal(strlen(written.etag), 32);
    store_written_finish(&written);
    support_assert_object(run, to, 3, 5000);
    assert_ok(store_head(run->store, to, NULL, &object, &call));
    assert_string_equal(store_headers_get(&object.headers, "content-type"), "text/one");
    assert_string_equal(store_headers_get(&object.headers, "x-amz-meta-a"), "1");
    store_object_finish(&object);
    copy = (struct store_copy){.source = to, .key = to, .size = 5000, .headers = &other}; /* onto itself */
    assert_ok(store_copy(run->store, &copy, NULL, &call));
    assert_ok(store_head(run->store, to, NULL, &object, &call));
    assert_string_equal(store_headers_get(&object.headers, "content-type"), "text/two");
    assert_null(store_headers_get(&object.headers, "x-amz-meta-a"));
    assert_string_equal(store_headers_get(&object.headers, "x-amz-meta-b"), "2");
    store_object_finish(&object);
    support_assert_object(run, to, 3, 5000);
    store_headers_finish(&headers);
    store_headers_finish(&other);
}

static void test_copy_refused(void **state) {
    const struct conformance *run = *state;
    const char *from = support_key(run, "copy source"), *to = support_key(run, "copy target");
    struct store_copy copy = {.source = support_key(run, "never"), .key = to, .size = 1};
    assert_result(store_copy(run->store, &copy, NULL, &call), PAIL_GONE);
    copy = (struct store_copy){.source = from, .key = to, .size = (5ull << 30) + 1};
    assert_result(store_copy(run->store, &copy, NULL, &call), PAIL_TOO_LARGE);
    support_assert_gone(run, to);
}

static void test_copy_version(void **state) {
    const struct conformance *run = *state;
    const char *from = support_key(run, "old ones"), *to = support_key(run, "brought back");
    char *version = NULL;
    needs(versions);
    support_put(run, from, 1, 111, NULL, &version);
    support_put(run, from, 2, 222, NULL, NULL);
    struct store_copy copy = {.source = from, .source_version = version, .key = to, .size = 111};
    assert_ok(store_copy(run->store, &copy, NULL, &call));
    support_assert_object(run, to, 1, 111);
    free(version);
}

static void test_remove(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "removed");
    support_put(run, key, 1, 10, NULL, NULL);
    assert_ok(store_remove(run->store, key, NULL, &call));
    support_assert_gone(run, key);
    assert_ok(store_remove(run->store, key, NULL, &call));
    support_put(run, key, 2, 20, NULL, NULL);
    support_assert_object(run, key, 2, 20);
}

static void test_remove_many(void **state) {
    const struct conformance *run = *state;
    enum { COUNT = 30 };
    struct store_delete items[COUNT];
    char keys[COUNT][200];
    for (int i = 0; i < COUNT; i++) {
        const char *kind = i == 3 ? "<&>\"' +%2F" : i == 4 ? "\xc3\xa4\xe2\x82\xac" : i == 5 ? "a//b/../c" : "plain";
        snprintf(keys[i], sizeof keys[i], "%smany/%d %s", run->folder, i, kind);
        items[i] = (struct store_delete){.key = keys[i], .result = 99};
        if (i % 7) /* some were never there */
            support_put(run, keys[i], 1, 3, NULL, NULL);
    }
    assert_ok(store_remove_many(run->store, items, COUNT, &call));
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(items[i].result, 0);
        support_assert_gone(run, keys[i]);
    }
}

/* Keys that S3 takes although a path or a URL would not leave them alone. */
static const char *const awkward[] = {
    "space in name",
    "plus+plus",
    "percent%2Fpercent%",
    "double//slash",
    "dots/../up",
    "./here/.",
    "question?mark",
    "hash#mark",
    "amp&ersand=1",
    "quote\"'`",
    "semi;colon,x",
    "star*[x]{y}|z",
    "back\\slash",
    "gr\xc3\xbc\xc3\x9f!",
    "\xe6\x97\xa5\xe6\x9c\xac",
    "\xf0\x9f\x8c\x8d",
    "e\xcc\x81 combining",
    "tilde~!$@:()-_.",
    "/leading",
    "trailing/",
    "tab\there",
    "<xml>&amp;",
    "X-Amz-Signature=1&x=y",
    "%",
    "end with space ",
};

static void test_awkward_keys(void **state) {
    const struct conformance *run = *state;
    for (size_t i = 0; i < sizeof awkward / sizeof *awkward; i++) {
        char name[200];
        snprintf(name, sizeof name, "awkward/%s", awkward[i]);
        const char *key = support_key(run, name), *copied = support_key(run, "awkward copy");
        support_put(run, key, i, 50 + i, NULL, NULL);
        support_assert_object(run, key, i, 50 + i);
        struct store_copy copy = {.source = key, .key = copied, .size = 50 + i};
        assert_ok(store_copy(run->store, &copy, NULL, &call));
        support_assert_object(run, copied, i, 50 + i);
        struct store_list list = {.prefix = key};
        struct store_page page;
        assert_ok(store_list(run->store, &list, &page, &call));
        assert_true(page.count >= 1);
        assert_string_equal(page.objects[0].key, key);
        store_page_finish(&page);
        assert_ok(store_remove(run->store, key, NULL, &call));
        support_assert_gone(run, key);
    }
}

static void test_long_key(void **state) {
    const struct conformance *run = *state;
    char name[700];
    memset(name, 'k', sizeof name);
    for (size_t i = 100; i < sizeof name; i += 100)
        name[i] = '/';
    name[sizeof name - 1] = 0;
    const char *key = support_key(run, name);
    support_put(run, key, 1, 9, NULL, NULL);
    support_assert_object(run, key, 1, 9);
    assert_ok(store_remove(run->store, key, NULL, &call));
    char too_long[STORE_MAX_KEY + 2];
    uint64_t seed = 1;
    memset(too_long, 'k', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = 0;
    struct store_put put = {.key = too_long, .source = support_source(&seed, 1)};
    assert_result(store_put(run->store, &put, NULL, &call), PAIL_TOO_LARGE);
}

static int broken_read(void *context, uint64_t offset, void *data, size_t size) {
    (void)context;
    support_fill(1, offset, data, size);
    return offset + size > 100000 ? -EIO : 0;
}

static void test_source_fails(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "broken source");
    support_put(run, key, 4, 44, NULL, NULL);
    struct store_put put = {.key = key, .source = {broken_read, NULL, 3 << 20}};
    assert_result(store_put(run->store, &put, NULL, &call), -EIO);
    support_assert_object(run, key, 4, 44);
}

static int full_write(void *context, const void *data, size_t size) {
    (void)data, (void)size;
    return ++*(int *)context < 3 ? 0 : -ENOSPC;
}

static void test_sink_ends_it(void **state) {
    const struct conformance *run = *state;
    const char *key = support_key(run, "big");
    int writes = 0;
    struct store_get get = {.key = key};
    struct store_sink sink = {full_write, &writes};
    struct store_object object;
    support_put(run, key, 4, 4 << 20, NULL, NULL);
    assert_result(store_get(run->store, &get, &sink, &object, &call), -ENOSPC);
    assert_int_equal(writes, 3);
    store_object_finish(&object);
}

static void test_cancelled(void **state) {
    const struct conformance *run = *state;
    _Atomic bool cancelled = true;
    struct store_call call = {.cancelled = &cancelled};
    struct store_put put = {.key = support_key(run, "cancelled")};
    uint64_t seed = 1;
    put.source = support_source(&seed, 100);
    assert_int_equal(store_put(run->store, &put, NULL, &call), PAIL_CANCELLED);
    assert_int_equal(store_remove(run->store, put.key, NULL, &call), PAIL_CANCELLED);
    struct store_page page;
    assert_int_equal(store_list(run->store, &(struct store_list){.prefix = ""}, &page, &call), PAIL_CANCELLED);
    support_assert_gone(run, put.key);
}

struct worker {
    const struct conformance *run;
    unsigned number;
    int error;
};

static int work(const struct worker *worker, unsigned round) {
    char key[200];
    uint64_t seed = worker->number * 1000 + round;
    snprintf(key, sizeof key, "%sparallel/%u", worker->run->folder, worker->number);
    struct store_put put = {.key = key, .source = support_source(&seed, 1000 + seed)};
    struct store_get get = {.key = key};
    struct support_bytes bytes;
    struct store_sink sink = support_sink(&bytes);
    struct store_object object;
    int error = store_put(worker->run->store, &put, NULL, NULL);
    if (error)
        return error;
    error = store_get(worker->run->store, &get, &sink, &object, NULL);
    store_object_finish(&object);
    if (!error && bytes.size != 1000 + seed)
        error = -EIO;
    support_free(&bytes);
    return error;
}

static void *work_all(void *context) {
    struct worker *worker = context;
    for (unsigned round = 0; round < 10 && !worker->error; round++)
        worker->error = work(worker, round);
    return NULL;
}

static void test_parallel(void **state) {
    enum { THREADS = 16 };
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.run = *state, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work_all, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].error, 0);
    }
}

const struct CMUnitTest *conformance_objects(size_t *count) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_metadata_limits),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_ranges_at_the_end),
        cmocka_unit_test(test_get_if_match),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_delete_marker_by_id),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_copy_refused),
        cmocka_unit_test(test_copy_version),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_remove_many),
        cmocka_unit_test(test_awkward_keys),
        cmocka_unit_test(test_long_key),
        cmocka_unit_test(test_source_fails),
        cmocka_unit_test(test_sink_ends_it),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_parallel),
    };
    *count = sizeof tests / sizeof *tests;
    return tests;
}

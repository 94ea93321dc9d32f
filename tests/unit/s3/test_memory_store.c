/* The store in memory, beyond what the conformance suite asks of every store. */
#include "s3/memory_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int read_text(void *context, uint64_t offset, void *data, size_t size) {
    memcpy(data, (const char *)context + offset, size);
    return 0;
}

static struct store_source text(const char *text) {
    return (struct store_source){read_text, (void *)(uintptr_t)text, strlen(text)};
}

static int drop(void *context, const void *data, size_t size) {
    (void)context, (void)data, (void)size;
    return 0;
}

static void put(struct store *store, const char *key, const char *content) {
    struct store_put request = {.key = key, .source = text(content)};
    assert_int_equal(store_put(store, &request, NULL, NULL), 0);
}

static void test_shared(void **state) {
    struct store *first, *second;
    struct store_object object;
    (void)state;
    assert_int_equal(memory_store_create(&first, &(struct memory_store_options){0}), 0);
    assert_int_equal(memory_store_share(first, &second), 0);
    put(first, "k", "12345");
    assert_int_equal(store_head(second, "k", NULL, &object, NULL), 0);
    assert_int_equal(object.size, 5);
    store_object_finish(&object);
    store_destroy(first);
    assert_int_equal(store_head(second, "k", NULL, &object, NULL), 0); /* lives as long as any view */
    store_object_finish(&object);
    store_destroy(second);
}

static void test_archived(void **state) {
    struct store *store;
    struct store_headers headers = {0};
    struct store_object object;
    struct store_sink sink = {drop, NULL};
    (void)state;
    assert_int_equal(memory_store_create(&store, &(struct memory_store_options){0}), 0);
    store_headers_set(&headers, "x-amz-storage-class", "GLACIER");
    struct store_put request = {.key = "cold", .source = text("x"), .headers = &headers};
    assert_int_equal(store_put(store, &request, NULL, NULL), 0);
    assert_int_equal(store_head(store, "cold", NULL, &object, NULL), 0);
    assert_true(object.archived);
    store_object_finish(&object);
    assert_int_equal(store_get(store, &(struct store_get){.key = "cold"}, &sink, &object, NULL), PAIL_ARCHIVED);
    store_object_finish(&object);
    struct store_copy copy = {.source = "cold", .key = "warm", .size = 1};
    assert_int_equal(store_copy(store, &copy, NULL, NULL), PAIL_ARCHIVED);
    store_headers_finish(&headers);
    store_destroy(store);
}

static void test_page_size(void **state) {
    struct store *store;
    struct store_page page;
    char key[16];
    (void)state;
    assert_int_equal(memory_store_create(&store, &(struct memory_store_options){.page_size = 4}), 0);
    for (int i = 0; i < 9; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(store, key, "x");
    }
    assert_int_equal(store_list(store, &(struct store_list){.prefix = ""}, &page, NULL), 0);
    assert_int_equal(page.count, 4);
    assert_non_null(page.next_token);
    struct store_list next = {.prefix = "", .token = page.next_token};
    struct store_page second;
    assert_int_equal(store_list(store, &next, &second, NULL), 0);
    assert_string_equal(second.objects[0].key, "k4");
    store_page_finish(&page);
    store_page_finish(&second);
    store_destroy(store);
}

/* What is not among the features is ignored, as Ceph does. */
static void test_ignored_conditions(void **state) {
    struct store *store;
    struct store_features features;
    (void)state;
    assert_int_equal(memory_store_create(&store, &(struct memory_store_options){.versions = true}), 0);
    store_features(store, &features);
    assert_true(features.versions && !features.put_if_match);
    put(store, "k", "1");
    struct store_put request = {.key = "k", .source = text("2"), .when = {STORE_IF_MATCH, "wrong"}};
    assert_int_equal(store_put(store, &request, NULL, NULL), 0);
    request.when = (struct store_when){STORE_IF_ABSENT, NULL};
    assert_int_equal(store_put(store, &request, NULL, NULL), 0);
    assert_int_equal(store_remove(store, "k", "wrong", NULL), 0);
    store_destroy(store);
}

static void test_small_parts(void **state) {
    struct store *store;
    struct store_source a = text("aaa"), b = text("b");
    struct store_part parts[2] = {{.number = 1}, {.number = 2}};
    struct store_parts list = {parts, 2};
    char *upload;
    (void)state;
    for (uint64_t least = 0; least < 5; least += 3) {
        assert_int_equal(memory_store_create(&store, &(struct memory_store_options){.min_part = least}), 0);
        assert_int_equal(store_create_upload(store, "k", NULL, &upload, NULL), 0);
        assert_int_equal(store_put_part(store, "k", upload, 1, &a, &parts[0].etag, NULL), 0);
        assert_int_equal(store_put_part(store, "k", upload, 2, &b, &parts[1].etag, NULL), 0);
        int expected = least ? 0 : PAIL_UNSUPPORTED; /* S3's own least is 5 MiB */
        assert_int_equal(store_complete_upload(store, "k", upload, &list, 4, NULL, NULL, NULL), expected);
        free(parts[0].etag);
        free(parts[1].etag);
        free(upload);
        store_destroy(store);
    }
}

/* S3's form: the MD5 of the parts' MD5s, a dash, their number. */
static void test_multipart_etag(void **state) {
    struct store *store;
    struct store_source a = text("a"), b = text("b");
    struct store_part parts[2] = {{.number = 1}, {.number = 2}};
    struct store_parts list = {parts, 2};
    struct store_written written;
    char *upload;
    (void)state;
    assert_int_equal(memory_store_create(&store, &(struct memory_store_options){.min_part = 1}), 0);
    assert_int_equal(store_create_upload(store, "k", NULL, &upload, NULL), 0);
    assert_int_equal(store_put_part(store, "k", upload, 1, &a, &parts[0].etag, NULL), 0);
    assert_int_equal(store_put_part(store, "k", upload, 2, &b, &parts[1].etag, NULL), 0);
    assert_int_equal(store_complete_upload(store, "k", upload, &list, 2, NULL, &written, NULL), 0);
    /* printf 0cc175b9c0f1b6a831c399e26977266192eb5ffee6ae2fec3ad71c777531578f | xxd -r -p | md5sum */
    assert_string_equal(written.etag, "96e024ba2074fe77e8e965ba43a704be-2");
    store_written_finish(&written);
    free(parts[0].etag);
    free(parts[1].etag);
    free(upload);
    store_destroy(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared),      cmocka_unit_test(test_archived),
        cmocka_unit_test(test_page_size),   cmocka_unit_test(test_ignored_conditions),
        cmocka_unit_test(test_small_parts), cmocka_unit_test(test_multipart_etag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

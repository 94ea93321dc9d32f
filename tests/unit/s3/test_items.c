/* Items of a grants request: the JSON of each. */
#include "s3/items.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void expect(struct grants_item *item, int result, const char *text, unsigned urls, bool keep) {
    assert_int_equal(result, 0);
    assert_string_equal(item->text, text);
    assert_int_equal(item->urls, urls);
    assert_int_equal(item->keep, keep);
    items_finish(item);
    assert_null(item->text);
}

static void test_objects(void **state) {
    struct grants_item item;
    (void)state;
    expect(&item, items_get(&item, "k\"\\/\n", NULL), "{\"op\":\"get\",\"key\":\"k\\\"\\\\/\\n\"}", 1, true);
    expect(&item, items_get(&item, "k", "v"), "{\"op\":\"get\",\"key\":\"k\",\"version\":\"v\"}", 1, true);
    expect(&item, items_head(&item, "k", NULL), "{\"op\":\"head\",\"key\":\"k\"}", 1, true);
    expect(&item, items_put(&item, "k", 5ull << 30, NULL), "{\"op\":\"put\",\"key\":\"k\",\"size\":5368709120}", 1,
           false);
    expect(&item, items_remove(&item, "k"), "{\"op\":\"delete\",\"key\":\"k\"}", 1, true);
}

static void test_headers(void **state) {
    struct store_header list[] = {{(char[]){"content-type"}, (char[]){"a/b"}},
                                  {(char[]){"x-amz-meta-a"}, (char[]){"1"}},
                                  {(char[]){"x-amz-storage-class"}, (char[]){"STANDARD_IA"}},
                                  {(char[]){"x-amz-tagging-count"}, (char[]){"2"}},
                                  {(char[]){"x-amz-acl"}, (char[]){"public-read"}}};
    struct store_headers headers = {list, 5};
    struct grants_item item;
    (void)state;
    expect(&item, items_put(&item, "k", 1, &headers),
           "{\"op\":\"put\",\"key\":\"k\",\"size\":1,\"headers\":{\"content-type\":\"a/b\",\"x-amz-meta-a\":\"1\"}}", 1,
           false);
    expect(&item, items_create(&item, "k", &headers),
           "{\"op\":\"create\",\"key\":\"k\",\"headers\":{\"content-type\":\"a/b\",\"x-amz-meta-a\":\"1\","
           "\"x-amz-storage-class\":\"STANDARD_IA\"}}",
           1, false);
}

static void test_copies(void **state) {
    struct store_headers none = {0};
    struct store_copy copy = {.source_version = "v", .source_if_match = "e"};
    struct grants_item item;
    (void)state;
    expect(&item, items_copy(&item, "a", "b", &copy, true),
           "{\"op\":\"copy\",\"key\":\"b\",\"source\":\"a\",\"source_version\":\"v\",\"source_if_match\":\"e\","
           "\"directive\":\"COPY\"}",
           1, false);
    copy.headers = &none; /* replaced by nothing is not kept */
    expect(&item, items_copy(&item, "a", "b", &copy, false),
           "{\"op\":\"copy\",\"key\":\"b\",\"source\":\"a\",\"source_version\":\"v\",\"directive\":\"REPLACE\"}", 1,
           false);
    expect(
        &item, items_part_copy(&item, "b", "u", 3, "a", &copy, 10, 5, true),
        "{\"op\":\"part_copy\",\"key\":\"b\",\"upload\":\"u\",\"number\":3,\"source\":\"a\",\"source_version\":\"v\","
        "\"source_if_match\":\"e\",\"range\":\"bytes=10-14\"}",
        1, false);
}

static void test_lists(void **state) {
    struct store_list list = {.delimiter = "/", .token = "t", .max_keys = 7};
    struct store_list_versions versions = {.version_marker = "v"};
    struct grants_item item;
    (void)state;
    expect(&item, items_list(&item, "p/", "p/a", &list),
           "{\"op\":\"list\",\"prefix\":\"p/\",\"delimiter\":\"/\",\"start_after\":\"p/"
           "a\",\"token\":\"t\",\"max_keys\":7}",
           1, true);
    expect(&item, items_list_versions(&item, "p/", "p/k", &versions),
           "{\"op\":\"list_versions\",\"prefix\":\"p/\",\"key_marker\":\"p/k\",\"version_marker\":\"v\"}", 1, true);
}

static void test_uploads(void **state) {
    struct grants_item item;
    (void)state;
    expect(&item, items_part(&item, "k", "u", 5, 4, 100),
           "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":5,\"count\":4,\"size\":100}", 4, true);
    expect(&item, items_complete(&item, "k", "u", 300),
           "{\"op\":\"complete\",\"key\":\"k\",\"upload\":\"u\",\"total\":300}", 1, false);
    expect(&item, items_abort(&item, "k", "u"), "{\"op\":\"abort\",\"key\":\"k\",\"upload\":\"u\"}", 1, false);
    expect(&item, items_list_parts(&item, "k", "u", "9"),
           "{\"op\":\"list_parts\",\"key\":\"k\",\"upload\":\"u\",\"marker\":\"9\"}", 1, false);
}

static void test_remove_many(void **state) {
    char *keys[] = {(char[]){"p/a"}, (char[]){"p/b"}};
    struct store_delete a = {.key = "a", .etag = "e"}, b = {.key = "b"};
    const struct store_delete *items[] = {&a, &b};
    struct grants_item item;
    (void)state;
    expect(&item, items_remove_many(&item, keys, items, 2, true),
           "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"p/a\",\"etag\":\"e\"},{\"key\":\"p/b\"}]}", 1, false);
    expect(&item, items_remove_many(&item, keys, items, 2, false),
           "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"p/a\"},{\"key\":\"p/b\"}]}", 1, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects), cmocka_unit_test(test_headers), cmocka_unit_test(test_copies),
        cmocka_unit_test(test_lists),   cmocka_unit_test(test_uploads), cmocka_unit_test(test_remove_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

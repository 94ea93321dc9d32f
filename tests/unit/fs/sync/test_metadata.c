/* Attributes in s3fs's form, both ways. */
#include "fixture.h"

#include "base/text.h"
#include "fs/sync/private.h"

#include <sys/stat.h>

static void set(struct store_object *object, const char *name, const char *value) {
    assert_int_equal(store_headers_set(&object->headers, name, value), 0);
}

static void what_s3fs_wrote(void **state) {
    (void)state;
    struct store_object object = {.size = 5, .modified_s = 100, .date_s = 103};
    struct metadata metadata;
    object.etag = strdup("e");
    set(&object, "x-amz-meta-mode", "33188");
    set(&object, "x-amz-meta-uid", "1001");
    set(&object, "x-amz-meta-gid", "1002");
    set(&object, "x-amz-meta-mtime", "1700000000.000000012");
    set(&object, "x-amz-meta-xattr", "%7B%22user.color%22%3A%22cmVk%22%2C%22security.x%22%3A%22eA%3D%3D%22%7D");
    assert_int_equal(metadata_read(&object, "k", &metadata), 0);
    const struct tree_head *head = &metadata.head;
    assert_true(head->has_mode && head->has_uid && head->has_gid && head->has_mtime && head->settled);
    assert_int_equal(head->mode, S_IFREG | 0644);
    assert_int_equal(head->uid, 1001);
    assert_int_equal(head->gid, 1002);
    assert_int_equal(head->mtime_ns, 1700000000000000012);
    assert_int_equal(head->xattr_count, 1);
    assert_string_equal(head->xattr_names[0], "color");
    assert_int_equal(head->xattr_sizes[0], 3);
    assert_memory_equal(head->xattr_values[0], "red", 3);
    assert_null(head->content);
    metadata_finish(&metadata);
    store_object_finish(&object);
}

static const struct {
    const char *text;
    bool fine;
    int64_t ns;
} times[] = {
    {"0", true, 0},
    {"1700000000", true, 1700000000000000000},
    {"1700000000.5", true, 1700000000500000000},
    {"1700000000.123456789", true, 1700000000123456789},
    {"1700000000.1234567891", true, 1700000000123456789},
    {"-1.500000000", true, -500000000},
    {"-2", true, -2000000000},
    {"", false, 0},
    {"x", false, 0},
    {"1.x", false, 0},
    {"99999999999999999999", false, 0},
    {"18446744073709551615", false, 0},
};

static void times_of_many_programs(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct store_object object = {0};
        struct metadata metadata;
        set(&object, "x-amz-meta-mtime", times[i].text);
        assert_int_equal(metadata_read(&object, "k", &metadata), 0);
        assert_int_equal(metadata.head.has_mtime, times[i].fine);
        if (times[i].fine)
            assert_int_equal(metadata.head.mtime_ns, times[i].ns);
        metadata_finish(&metadata);
        store_object_finish(&object);
    }
}

static void damaged_values_are_left_out(void **state) {
    (void)state;
    static const char *const xattrs[] = {"%7B", "%", "[]", "%7B%22user.a%22%3A1%7D", "%7B%22user.a%22%3A%22*%22%7D"};
    for (size_t i = 0; i < sizeof xattrs / sizeof *xattrs; i++) {
        struct store_object object = {0};
        struct metadata metadata;
        set(&object, "x-amz-meta-xattr", xattrs[i]);
        set(&object, "x-amz-meta-mode", "99999999999");
        assert_int_equal(metadata_read(&object, "k", &metadata), 0);
        assert_int_equal(metadata.head.xattr_count, 0);
        assert_false(metadata.head.has_mode);
        metadata_finish(&metadata);
        store_object_finish(&object);
    }
}

static void an_unsettled_answer_is_told(void **state) {
    (void)state;
    assert_false(head_settled(&(struct store_object){.modified_s = 100, .date_s = 101}));
    assert_true(head_settled(&(struct store_object){.modified_s = 100, .date_s = 102}));
}

static void written_and_read_again(void **state) {
    (void)state;
    struct machine m;
    struct store *store = shop_open(SHOP_ALL);
    machine_init(&m, store, "one");
    machine_start(&m);
    machine_write_text(&m, "f.txt", "x");
    uint64_t ino = machine_find(&m, "f.txt");
    assert_int_equal(tree_xattr_set(m.tree, ino, "user.color", "r\0d", 3, 0), 0);
    struct tree_node values = {.mode = 0640, .mtime_ns = -1500000000};
    assert_int_equal(tree_set_attributes(m.tree, ino, TREE_MODE | TREE_MTIME, &values), 0);
    struct tree_node node;
    machine_node(&m, "f.txt", &node);
    struct store_object object = {.etag = strdup("e")};
    set(&object, "x-amz-meta-xattr", "%7B%22security.x%22%3A%22eA%3D%3D%22%2C%22user.old%22%3A%22eA%3D%3D%22%7D");
    set(&object, "cache-control", "no-store");
    set(&object, "x-amz-meta-theirs", "gr\xc3\xbc\xc3\x9f");
    assert_int_equal(metadata_write(m.sync, &node, "text/plain", &object.headers), 0);
    assert_string_equal(store_headers_get(&object.headers, "content-type"), "text/plain");
    assert_string_equal(store_headers_get(&object.headers, "cache-control"), "no-store");
    assert_string_equal(store_headers_get(&object.headers, "x-amz-meta-mtime"), "-2.500000000");
    assert_string_equal(store_headers_get(&object.headers, "x-amz-meta-theirs"), "gr%C3%BC%C3%9F");
    assert_non_null(strstr(store_headers_get(&object.headers, "x-amz-meta-xattr"), "security.x"));
    assert_null(strstr(store_headers_get(&object.headers, "x-amz-meta-xattr"), "user.old"));
    struct metadata metadata;
    assert_int_equal(metadata_read(&object, "f.txt", &metadata), 0);
    assert_int_equal(metadata.head.mode, S_IFREG | 0640);
    assert_int_equal(metadata.head.mtime_ns, -1500000000);
    assert_int_equal(metadata.head.xattr_count, 1);
    assert_string_equal(metadata.head.xattr_names[0], "color");
    assert_int_equal(metadata.head.xattr_sizes[0], 3);
    assert_memory_equal(metadata.head.xattr_values[0], "r\0d", 3);
    metadata_finish(&metadata);
    store_object_finish(&object);
    tree_node_finish(&node);
    machine_finish(&m);
    store_destroy(store);
}

static void too_much_metadata(void **state) {
    (void)state;
    struct store_headers headers = {0};
    AUTO_FREE char *value = calloc(1, 2100);
    memset(value, 'x', 2040);
    assert_int_equal(store_headers_set(&headers, "x-amz-meta-a", value), 0);
    assert_int_equal(metadata_check_size(&headers), 0);
    assert_int_equal(store_headers_set(&headers, "content-type", "application/octet-stream"), 0);
    assert_int_equal(metadata_check_size(&headers), 0);
    assert_int_equal(store_headers_set(&headers, "x-amz-meta-b", "1234567"), 0);
    assert_int_equal(metadata_check_size(&headers), PAIL_TOO_LARGE);
    store_headers_finish(&headers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_s3fs_wrote),
        cmocka_unit_test(times_of_many_programs),
        cmocka_unit_test(damaged_values_are_left_out),
        cmocka_unit_test(an_unsettled_answer_is_told),
        cmocka_unit_test(written_and_read_again),
        cmocka_unit_test(too_much_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Changes of metadata: a copy onto itself with only ours changed. */
#include "fixture.h"

#include "base/text.h"

static struct store *store;
static struct machine m;

static void open_on(enum shop shop) {
    store = shop_open(shop);
    machine_init(&m, store, "one");
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
}

static void close_all(void) {
    machine_finish(&m);
    store_destroy(store);
}

static void only_ours_changes(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        bucket_put_meta(store, "f", "bytes", "cache-control", "no-store");
        assert_int_equal(machine_list(&m, ""), 0);
        machine_chmod(&m, "f", 0600);
        assert_int_equal(tree_xattr_set(m.tree, machine_find(&m, "f"), "user.a", "b", 1, 0), 0);
        assert_int_equal(machine_flush(&m), 0);
        AUTO_FREE char *cache = bucket_header(store, "f", "cache-control");
        AUTO_FREE char *mode = bucket_header(store, "f", "x-amz-meta-mode");
        AUTO_FREE char *xattr = bucket_header(store, "f", "x-amz-meta-xattr");
        assert_string_equal(cache, "no-store");
        assert_string_equal(mode, "33152");
        assert_non_null(xattr);
        assert_true(bucket_has_text(store, "f", "bytes"));
        assert_true(machine_has_text(&m, "f", "bytes"));
        assert_int_equal(m.conflicts, 0);
        close_all();
    }
}

static void folders_and_links(void **state) {
    (void)state;
    open_on(SHOP_ALL);
    bucket_put(store, "d/x", "x");
    bucket_put(store, "marked/", "");
    bucket_put_meta(store, "l", "target", "x-amz-meta-mode", "41471");
    assert_int_equal(machine_list(&m, ""), 0);
    machine_chmod(&m, "d", 0700);
    machine_chmod(&m, "marked", 0711);
    struct tree_node values = {.mtime_ns = 5000000000};
    assert_int_equal(tree_set_attributes(m.tree, machine_find(&m, "l"), TREE_MTIME, &values), 0);
    assert_int_equal(machine_flush(&m), 0);
    AUTO_FREE char *d = bucket_header(store, "d/", "x-amz-meta-mode");
    AUTO_FREE char *marked = bucket_header(store, "marked/", "x-amz-meta-mode");
    AUTO_FREE char *mtime = bucket_header(store, "l", "x-amz-meta-mtime");
    assert_string_equal(d, "16832");
    assert_string_equal(marked, "16841");
    assert_string_equal(mtime, "5.000000000");
    assert_true(bucket_has_text(store, "l", "target"));
    close_all();
}

static void a_redirect_keeps_its_metadata(void **state) {
    (void)state;
    open_on(SHOP_ALL);
    bucket_put_meta(store, "f", "bytes", "x-amz-website-redirect-location", "/there");
    assert_int_equal(machine_list(&m, ""), 0);
    machine_chmod(&m, "f", 0600);
    assert_int_equal(machine_flush(&m), PAIL_UNSUPPORTED);
    AUTO_FREE char *redirect = bucket_header(store, "f", "x-amz-website-redirect-location");
    assert_string_equal(redirect, "/there");
    struct tree_node node;
    machine_node(&m, "f", &node);
    assert_int_equal(node.mode, 0600);
    assert_non_null(node.problem);
    tree_node_finish(&node);
    assert_int_equal(m.news, 1);
    close_all();
}

static void ten_changes_are_one_request(void **state) {
    (void)state;
    struct store *failing;
    open_on(SHOP_ALL);
    machine_write_text(&m, "f", "x");
    assert_int_equal(machine_flush(&m), 0);
    machine_stop(&m);
    assert_int_equal(failing_store_create(&failing, store), 0);
    m.store = failing;
    machine_start(&m);
    failing_store_arm(failing, 1, 100, FAILING_BEFORE, PAIL_OFFLINE);
    machine_flush(&m); /* offline now, or nothing to do */
    for (uint32_t i = 0; i < 10; i++)
        machine_chmod(&m, "f", 0600 + i);
    machine_flush(&m);
    machine_flush(&m);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    machine_flush_through(&m);
    assert_true(failing_store_calls(failing) <= 4); /* probe, perhaps a resolving head, head, copy */
    AUTO_FREE char *mode = bucket_header(store, "f", "x-amz-meta-mode");
    assert_string_equal(mode, "33161");
    machine_stop(&m);
    store_destroy(failing);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_ours_changes),
        cmocka_unit_test(folders_and_links),
        cmocka_unit_test(a_redirect_keeps_its_metadata),
        cmocka_unit_test(ten_changes_are_one_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

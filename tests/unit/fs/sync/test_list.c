/* Folders and attributes into the tree. */
#include "fixture.h"

#include "base/clock.h"
#include "fs/sync/private.h"
#include "patience.h"

#include <stdio.h>
#include <sys/stat.h>

static struct store *store;
static struct machine m;

static int setup(void **state) {
    (void)state;
    store = shop_open(SHOP_ALL);
    machine_init(&m, store, "one");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    machine_finish(&m);
    store_destroy(store);
    return 0;
}

static void a_folder_of_several_pages(void **state) {
    (void)state;
    char key[40];
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "d%d/f%d", i % 10, i);
        bucket_put(store, key, "x");
        snprintf(key, sizeof key, "f%d", i);
        bucket_put(store, key, "x");
    }
    bucket_put(store, "marked/", "");
    machine_start(&m);
    assert_int_equal(machine_names(&m, "", ""), 51);
    assert_int_equal(machine_names(&m, "d3", ""), 4);
    assert_int_equal(machine_names(&m, "marked", ""), 0);
    assert_int_equal(machine_find(&m, "d3/nothing"), 0);
    struct tree_node node;
    machine_node(&m, "marked", &node);
    assert_int_equal(node.type, TREE_FOLDER);
    tree_node_finish(&node);
}

static unsigned mode_of(const char *key) {
    AUTO_NODE struct tree_node node = {0};
    assert_int_equal(tree_lookup(m.tree, TREE_ROOT, key, &node), 0);
    return node.mode;
}

static void heads_start_by_themselves(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        char key[20];
        snprintf(key, sizeof key, "f%d", i);
        bucket_put_meta(store, key, "x", "x-amz-meta-mode", "33152");
    }
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    for (int i = 0; i < 20; i++) {
        char key[20];
        snprintf(key, sizeof key, "f%d", i);
        WAIT_UNTIL(mode_of(key) == 0600);
        assert_int_equal(mode_of(key), 0600);
    }
}

static void a_link_has_its_target(void **state) {
    (void)state;
    bucket_put_meta(store, "l", "over/there", "x-amz-meta-mode", "41471");
    machine_start(&m);
    struct tree_node node;
    machine_node(&m, "l", &node);
    assert_int_equal(node.type, TREE_LINK);
    assert_string_equal(node.target, "over/there");
    tree_node_finish(&node);
}

static void what_vanished_is_gone(void **state) {
    (void)state;
    bucket_put(store, "a", "1");
    bucket_put(store, "b", "2");
    machine_start(&m);
    assert_int_not_equal(machine_find(&m, "a"), 0);
    bucket_remove(store, "a");
    assert_int_equal(machine_list(&m, ""), 0);
    assert_int_equal(machine_find(&m, "a"), 0);
    assert_int_not_equal(machine_find(&m, "b"), 0);
}

static void new_content_is_a_new_file(void **state) {
    (void)state;
    bucket_put(store, "a", "old");
    machine_start(&m);
    uint64_t before = machine_find(&m, "a");
    assert_true(machine_has_text(&m, "a", "old"));
    bucket_put(store, "a", "newer");
    assert_int_equal(machine_list(&m, ""), 0);
    assert_int_not_equal(machine_find(&m, "a"), before);
    assert_true(machine_has_text(&m, "a", "newer"));
}

struct many {
    _Atomic unsigned called, failed;
};

static void count(void *context, int result) {
    struct many *many = context;
    many->failed += result != 0;
    many->called++;
}

static void many_askers_share_one_request(void **state) {
    (void)state;
    struct store *failing;
    assert_int_equal(failing_store_create(&failing, store), 0);
    m.store = failing;
    bucket_put(store, "a", "1");
    machine_start(&m);
    struct many many = {0};
    failing_store_arm(failing, 1, 1, FAILING_BEFORE, PAIL_DENIED);
    for (int i = 0; i < 200; i++)
        sync_list(m.sync, TREE_ROOT, count, &many);
    WAIT_UNTIL(many.called >= 200);
    assert_int_equal(many.called, 200);
    assert_true(failing_store_calls(failing) < 100);
    machine_stop(&m);
    store_destroy(failing);
}

static void touch_tells_how_old_it_is(void **state) {
    (void)state;
    bucket_put(store, "d/a", "1");
    machine_start(&m);
    assert_true(sync_touch(m.sync, TREE_ROOT)); /* unknown */
    assert_int_equal(machine_list(&m, ""), 0);
    assert_false(sync_touch(m.sync, TREE_ROOT));
    assert_true(sync_touch(m.sync, machine_find(&m, "d")));
    machine_mkdir(&m, "own");
    assert_false(sync_touch(m.sync, machine_find(&m, "own")));
}

static void after_a_restart_an_old_listing_is_asked_again(void **state) {
    (void)state;
    bucket_put(store, "a", "1");
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    machine_stop(&m);
    machine_start(&m);
    assert_true(sync_touch(m.sync, TREE_ROOT));
    struct tree_node node;
    assert_int_equal(tree_lookup(m.tree, TREE_ROOT, "a", &node), 0);
    tree_node_finish(&node);
}

static void the_head_of_what_is_gone(void **state) {
    (void)state;
    bucket_put(store, "a", "1");
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    struct tree_node node;
    for (bool known = false; !known; clock_sleep_ms(5)) { /* the head that the listing has started is over */
        assert_int_equal(tree_lookup(m.tree, TREE_ROOT, "a", &node), 0);
        known = node.remote.head_known;
        tree_node_finish(&node);
    }
    bucket_remove(store, "a");
    assert_int_equal(tree_lookup(m.tree, TREE_ROOT, "a", &node), 0);
    assert_int_equal(head_run(m.sync, node.ino), PAIL_GONE);
    tree_node_finish(&node);
    assert_int_equal(tree_lookup(m.tree, TREE_ROOT, "a", &node), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_of_several_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(heads_start_by_themselves, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_has_its_target, setup, teardown),
        cmocka_unit_test_setup_teardown(what_vanished_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(new_content_is_a_new_file, setup, teardown),
        cmocka_unit_test_setup_teardown(many_askers_share_one_request, setup, teardown),
        cmocka_unit_test_setup_teardown(touch_tells_how_old_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_restart_an_old_listing_is_asked_again, setup, teardown),
        cmocka_unit_test_setup_teardown(the_head_of_what_is_gone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

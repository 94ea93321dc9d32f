/* Small files, links and folders into the bucket, and back on another machine. */
#include "fixture.h"

#include "base/clock.h"
#include "base/text.h"
#include "fs/sync/private.h"
#include "patience.h"

#include <stdio.h>

static struct store *store;
static struct machine m;

static int setup(void **state) {
    (void)state;
    store = shop_open(SHOP_ALL);
    machine_init(&m, store, "one");
    machine_start(&m);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(m.conflicts, 0);
    machine_finish(&m);
    store_destroy(store);
    return 0;
}

static void a_file(void **state) {
    (void)state;
    machine_write_text(&m, "a.txt", "hello");
    assert_int_equal(machine_flush(&m), 0);
    assert_true(bucket_has_text(store, "a.txt", "hello"));
    AUTO_FREE char *type = bucket_header(store, "a.txt", "content-type");
    AUTO_FREE char *mode = bucket_header(store, "a.txt", "x-amz-meta-mode");
    AUTO_FREE char *content = bucket_header(store, "a.txt", META_CONTENT),
                   *id = bucket_header(store, "a.txt", META_WRITE);
    assert_string_equal(type, "text/plain");
    assert_string_equal(mode, "33188");
    assert_int_equal(strlen(content), 32);
    assert_int_equal(strlen(id), 32);
    struct tree_node node;
    machine_node(&m, "a.txt", &node);
    assert_int_equal(node.work, 0);
    assert_int_equal(node.spool, 0);
    assert_string_equal(node.remote.content, content);
    tree_node_finish(&node);
    assert_true(machine_has_text(&m, "a.txt", "hello"));
}

static void again_and_again(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) {
        char text[20];
        snprintf(text, sizeof text, "version %d", i);
        machine_write_text(&m, "a", text);
        if (i % 3 == 0)
            assert_int_equal(machine_flush(&m), 0);
    }
    assert_int_equal(machine_flush(&m), 0);
    assert_true(bucket_has_text(store, "a", "version 9"));
    assert_int_equal(bucket_count(store, ""), 1);
}

static void an_empty_file(void **state) {
    (void)state;
    machine_write_text(&m, "empty", "");
    assert_int_equal(machine_flush(&m), 0);
    assert_true(bucket_has_text(store, "empty", ""));
    assert_true(machine_has_text(&m, "empty", ""));
}

static void folders_and_links(void **state) {
    (void)state;
    machine_mkdir(&m, "d");
    machine_mkdir(&m, "d/e");
    machine_link(&m, "d/l", "../target");
    machine_write_text(&m, "d/e/f", "x");
    assert_int_equal(machine_flush(&m), 0);
    assert_true(bucket_has_text(store, "d/", ""));
    assert_true(bucket_has_text(store, "d/e/", ""));
    assert_true(bucket_has_text(store, "d/l", "../target"));
    struct machine other;
    machine_init(&other, store, "two");
    machine_start(&other);
    struct tree_node node;
    machine_node(&other, "d/l", &node);
    assert_int_equal(node.type, TREE_LINK);
    assert_string_equal(node.target, "../target");
    tree_node_finish(&node);
    assert_true(machine_has_text(&other, "d/e/f", "x"));
    machine_finish(&other);
}

static void many_small_files(void **state) {
    (void)state;
    char name[20], text[20];
    machine_mkdir(&m, "d");
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "d/f%d", i);
        snprintf(text, sizeof text, "text %d", i);
        machine_write_text(&m, name, text);
    }
    assert_int_equal(machine_flush(&m), 0);
    assert_int_equal(bucket_count(store, "d/f"), 300);
    assert_true(bucket_has_text(store, "d/f299", "text 299"));
}

static void made_and_removed_costs_nothing(void **state) {
    (void)state;
    machine_write_text(&m, "a", "x");
    machine_unlink(&m, "a");
    assert_int_equal(machine_flush(&m), 0);
    assert_int_equal(bucket_count(store, ""), 0);
}

static void removed(void **state) {
    (void)state;
    machine_write_text(&m, "a", "x");
    machine_write_text(&m, "b", "y");
    assert_int_equal(machine_flush(&m), 0);
    machine_unlink(&m, "a");
    assert_int_equal(machine_flush(&m), 0);
    assert_int_equal(bucket_count(store, ""), 1);
    assert_int_equal(machine_list(&m, ""), 0);
    assert_int_equal(machine_find(&m, "a"), 0);
}

/* gedit, LibreOffice: write beside, rename over. */
static void saved_by_renaming_over(void **state) {
    (void)state;
    machine_write_text(&m, "doc", "one");
    assert_int_equal(machine_flush(&m), 0);
    machine_write_text(&m, "doc.tmp", "two");
    machine_rename(&m, "doc.tmp", "doc", 0);
    assert_int_equal(machine_flush(&m), 0);
    assert_true(bucket_has_text(store, "doc", "two"));
    assert_int_equal(bucket_count(store, ""), 1);
}

/* vim: away, new, old one removed. */
static void saved_as_vim_does(void **state) {
    (void)state;
    machine_write_text(&m, "doc", "one");
    assert_int_equal(machine_flush(&m), 0);
    machine_rename(&m, "doc", "doc~", 0);
    machine_write_text(&m, "doc", "two");
    machine_unlink(&m, "doc~");
    assert_int_equal(machine_flush(&m), 0);
    assert_true(bucket_has_text(store, "doc", "two"));
    assert_int_equal(bucket_count(store, ""), 1);
    machine_rename(&m, "doc", "doc~", 0);
    machine_write_text(&m, "doc", "three");
    assert_int_equal(machine_flush(&m), 0); /* the copy is kept */
    assert_true(bucket_has_text(store, "doc", "three"));
    assert_true(bucket_has_text(store, "doc~", "two"));
}

static void a_part_of_a_file_from_the_bucket(void **state) {
    (void)state;
    AUTO_FREE char *bytes = bytes_make(60000, 1);
    for (int i = 0; i < 60000; i++)
        bytes[i] = (char)('a' + (unsigned char)bytes[i] % 26);
    bytes[59999] = 0;
    bucket_put(store, "a", bytes);
    machine_patch(&m, "a", "HERE", 30000);
    assert_int_equal(machine_flush(&m), 0);
    memcpy(bytes + 30000, "HERE", 4);
    assert_true(bucket_has_text(store, "a", bytes));
    assert_true(machine_has_text(&m, "a", bytes));
}

static void after_a_restart_it_goes_on(void **state) {
    (void)state;
    struct store *failing;
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_stop(&m);
    m.store = failing;
    failing_store_arm(failing, 1, 1000000, FAILING_BEFORE, PAIL_OFFLINE);
    machine_start(&m);
    struct tree_folder folder;
    assert_int_equal(tree_folder_state(m.tree, TREE_ROOT, &folder), 0);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    assert_int_equal(machine_list(&m, ""), 0);
    failing_store_arm(failing, 1, 1000000, FAILING_BEFORE, PAIL_OFFLINE);
    machine_write_text(&m, "a", "kept");
    assert_int_equal(machine_flush(&m), PAIL_OFFLINE);
    machine_stop(&m);
    assert_int_equal(bucket_count(store, ""), 0);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    machine_start(&m);
    assert_true(machine_has_text(&m, "a", "kept"));
    machine_flush_through(&m);
    assert_true(bucket_has_text(store, "a", "kept"));
    machine_stop(&m);
    store_destroy(failing);
}

static void what_cannot_be_done_is_told_once(void **state) {
    (void)state;
    struct store *failing;
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_stop(&m);
    m.store = failing;
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    failing_store_arm(failing, 1, 1000000, FAILING_BEFORE, PAIL_QUOTA);
    machine_write_text(&m, "a", "too much");
    assert_int_equal(machine_flush(&m), PAIL_QUOTA);
    assert_int_equal(machine_flush(&m), PAIL_QUOTA);
    assert_int_equal(m.news, 1);
    struct tree_node node;
    machine_node(&m, "a", &node);
    assert_non_null(node.problem);
    tree_node_finish(&node);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    machine_flush_through(&m);
    machine_node(&m, "a", &node);
    assert_null(node.problem);
    tree_node_finish(&node);
    assert_true(bucket_has_text(store, "a", "too much"));
    machine_stop(&m);
    store_destroy(failing);
}

static void flushed(void *context, int result) {
    (void)result;
    atomic_store((atomic_bool *)context, true);
}

/* One word for all that wait; what fits goes up, and what was refused is tried again when something went up. */
static void a_used_up_quota_is_told_once_for_all(void **state) {
    (void)state;
    struct store *failing;
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_stop(&m);
    m.store = failing;
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    assert_false(sync_over_quota(m.sync));
    failing_store_arm(failing, 1, 1000000, FAILING_BEFORE, PAIL_QUOTA);
    unsigned before = m.news;
    for (const char *name = "abcdefgh"; *name; name++)
        machine_write_text(&m, (const char[]){*name, 0}, "too much");
    for (int tries = 0; tries < 4; tries++)
        assert_int_equal(machine_flush(&m), PAIL_QUOTA);
    assert_true(sync_over_quota(m.sync));
    assert_int_equal(m.news - before, 1);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    machine_write_text(&m, "small", "fits"); /* the others rest for some minutes */
    atomic_bool over = false;
    sync_flush(m.sync, machine_find(&m, "small"), flushed, &over);
    WAIT_UNTIL(bucket_count(store, "") == 9 && over);
    assert_int_equal(bucket_count(store, ""), 9);
    machine_stop(&m);
    store_destroy(failing);
}

static void user_xattrs_travel(void **state) {
    (void)state;
    machine_write_text(&m, "a", "x");
    assert_int_equal(tree_xattr_set(m.tree, machine_find(&m, "a"), "user.color", "red", 3, 0), 0);
    assert_int_equal(machine_flush(&m), 0);
    struct machine other;
    machine_init(&other, store, "two");
    machine_start(&other);
    AUTO_FREE char *value = NULL;
    size_t size;
    assert_int_equal(tree_xattr_get(other.tree, machine_find(&other, "a"), "user.color", &value, &size), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(value, "red", 3);
    machine_finish(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_file, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_and_links, setup, teardown),
        cmocka_unit_test_setup_teardown(many_small_files, setup, teardown),
        cmocka_unit_test_setup_teardown(made_and_removed_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(removed, setup, teardown),
        cmocka_unit_test_setup_teardown(saved_by_renaming_over, setup, teardown),
        cmocka_unit_test_setup_teardown(saved_as_vim_does, setup, teardown),
        cmocka_unit_test_setup_teardown(a_part_of_a_file_from_the_bucket, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_restart_it_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_done_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_used_up_quota_is_told_once_for_all, setup, teardown),
        cmocka_unit_test_setup_teardown(user_xattrs_travel, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

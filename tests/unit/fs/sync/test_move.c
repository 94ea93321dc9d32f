/* Renames: files, cycles, folders, and folders interrupted at every step. */
#include "fixture.h"

#include "base/text.h"

#include <linux/fs.h>
#include <stdio.h>

static struct store *store, *failing;
static struct machine m;

static void open_on(enum shop shop) {
    store = shop_open(shop);
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_init(&m, failing, "one");
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
}

static void close_any(void) {
    machine_finish(&m);
    store_destroy(failing);
    store_destroy(store);
}

/* One machine, and so no conflict. */
static void close_all(void) {
    struct tree_totals totals;
    assert_int_equal(tree_totals(m.tree, &totals), 0);
    assert_int_equal(totals.conflicts, 0);
    assert_int_equal(m.conflicts, 0);
    close_any();
}

static void a_file_keeps_what_others_gave_it(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        bucket_put_meta(store, "a.txt", "x", "cache-control", "no-store");
        assert_int_equal(machine_list(&m, ""), 0);
        machine_rename(&m, "a.txt", "b.txt", 0);
        assert_true(machine_has_text(&m, "b.txt", "x"));
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, "b.txt", "x"));
        assert_int_equal(bucket_count(store, ""), 1);
        AUTO_FREE char *cache = bucket_header(store, "b.txt", "cache-control");
        assert_string_equal(cache, "no-store");
        close_all();
    }
}

static void the_type_follows_the_name(void **state) {
    (void)state;
    open_on(SHOP_ALL);
    machine_write_text(&m, "a.txt", "<p>");
    assert_int_equal(machine_flush(&m), 0);
    machine_rename(&m, "a.txt", "a.html", 0);
    assert_int_equal(machine_flush(&m), 0);
    AUTO_FREE char *type = bucket_header(store, "a.html", "content-type");
    assert_string_equal(type, "text/html");
    close_all();
}

static void exchanged(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        machine_write_text(&m, "a", "was a");
        machine_write_text(&m, "b", "was b");
        assert_int_equal(machine_flush(&m), 0);
        machine_rename(&m, "a", "b", RENAME_EXCHANGE);
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, "a", "was b"));
        assert_true(bucket_has_text(store, "b", "was a"));
        assert_int_equal(bucket_count(store, ""), 2);
        assert_true(machine_has_text(&m, "a", "was b"));
        assert_true(machine_has_text(&m, "b", "was a"));
        close_all();
    }
}

static void round_in_a_ring(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        machine_write_text(&m, "1", "one");
        machine_write_text(&m, "2", "two");
        machine_write_text(&m, "3", "");
        assert_int_equal(machine_flush(&m), 0);
        machine_rename(&m, "1", "t", 0);
        machine_rename(&m, "3", "1", 0);
        machine_rename(&m, "2", "3", 0);
        machine_rename(&m, "t", "2", 0);
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, "1", ""));
        assert_true(bucket_has_text(store, "2", "one"));
        assert_true(bucket_has_text(store, "3", "two"));
        assert_int_equal(bucket_count(store, ""), 3);
        close_all();
    }
}

static void exchange_interrupted(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++)
        for (unsigned long n = 1; n < 14; n++) {
            open_on(shop);
            machine_write_text(&m, "a", "was a");
            machine_write_text(&m, "b", "was b");
            assert_int_equal(machine_flush(&m), 0);
            assert_int_equal(machine_list(&m, ""), 0);
            failing_store_arm(failing, n, 1, n % 2 ? FAILING_AFTER : FAILING_BEFORE, PAIL_OFFLINE);
            machine_rename(&m, "a", "b", RENAME_EXCHANGE);
            if (machine_flush(&m)) {
                machine_stop(&m);
                machine_start(&m);
            }
            machine_flush_through(&m);
            assert_true(bucket_has_text(store, "a", "was b"));
            assert_true(bucket_has_text(store, "b", "was a"));
            assert_int_equal(bucket_count(store, ""), 2);
            close_all();
        }
}

static void make_two(bool ours) {
    if (ours) {
        machine_write_text(&m, "a", "was a");
        machine_write_text(&m, "b", "was b");
        assert_int_equal(machine_flush(&m), 0);
    } else {
        bucket_put(store, "a", "was a");
        bucket_put(store, "b", "was b");
    }
    assert_int_equal(machine_list(&m, ""), 0);
}

/* Somebody changes one of two that change their names: it goes along, or clashes; nothing is lost or stuck. */
static void exchanged_and_changed(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++)
        for (int kind = 0; kind < 4; kind++) {
            uint64_t replaced;
            bool second = kind % 2;
            open_on(shop);
            make_two(kind / 2);
            bucket_put(store, second ? "b" : "a", "theirs, longer");
            assert_int_equal(tree_rename(m.tree, TREE_ROOT, "a", TREE_ROOT, "b", RENAME_EXCHANGE, &replaced), 0);
            machine_flush_through(&m);
            assert_true(bucket_holds(store, "theirs, longer"));
            assert_true(bucket_holds(store, second ? "was a" : "was b"));
            close_any();
        }
}

/* The copy arrived, its answer did not, and before the next start somebody changed what was copied. */
static void moved_interrupted_and_changed(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++)
        for (unsigned long n = 1; n < 8; n++) {
            uint64_t replaced;
            open_on(shop);
            bucket_put(store, "a", "was a");
            assert_int_equal(machine_list(&m, ""), 0);
            assert_int_equal(tree_rename(m.tree, TREE_ROOT, "a", TREE_ROOT, "b", 0, &replaced), 0);
            failing_store_arm(failing, n, 1, FAILING_AFTER, PAIL_OFFLINE);
            machine_flush(&m);
            machine_stop(&m);
            failing_store_arm(failing, 0, 0, FAILING_AFTER, 0);
            bool left = bucket_count(store, "a") == 1;
            if (left)
                bucket_put(store, "a", "theirs, longer");
            machine_start(&m);
            struct answer looked = {0};
            sync_head(m.sync, machine_find(&m, "b"), answer_take, &looked);
            answer_wait(&looked);
            machine_flush_through(&m);
            assert_true(bucket_holds(store, left ? "theirs, longer" : "was a"));
            AUTO_FREE char *there = bucket_get(store, "b");
            assert_true(machine_has_text(&m, "b", there));
            close_any();
        }
}

#define FILES 12

static void fill_folder(void) {
    char key[40];
    bucket_put(store, "from/", "");
    bucket_put(store, "from/sub/marked/", "");
    for (int i = 0; i < FILES; i++) {
        snprintf(key, sizeof key, i % 2 ? "from/%d" : "from/sub/%d", i);
        bucket_put(store, key, key);
    }
}

static void check_folder(const char *to) {
    for (int i = 0; i < FILES; i++) {
        AUTO_FREE char *old = text_format(i % 2 ? "from/%d" : "from/sub/%d", i);
        AUTO_FREE char *key = text_format(i % 2 ? "%s/%d" : "%s/sub/%d", to, i);
        assert_true(bucket_has_text(store, key, old));
    }
    assert_int_equal(bucket_count(store, "from"), 0);
    assert_int_equal(bucket_count(store, ""), FILES + 2);
}

static void a_folder_of_others(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        fill_folder();
        assert_int_equal(machine_list(&m, ""), 0);
        machine_rename(&m, "from", "to", 0);
        assert_true(machine_has_text(&m, "to/sub/2", "from/sub/2")); /* readable before it has moved */
        assert_int_equal(machine_flush(&m), 0);
        check_folder("to");
        assert_true(machine_has_text(&m, "to/1", "from/1"));
        close_all();
    }
}

static void a_folder_interrupted(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++)
        for (unsigned long n = 1; n < 60; n += 1 + shop) {
            open_on(shop);
            fill_folder();
            assert_int_equal(machine_list(&m, ""), 0);
            assert_int_not_equal(machine_find(&m, "from"), 0);
            failing_store_arm(failing, n, 1, n % 2 ? FAILING_AFTER : FAILING_BEFORE, PAIL_OFFLINE);
            machine_rename(&m, "from", "to", 0);
            if (machine_flush(&m)) {
                machine_stop(&m);
                machine_start(&m);
            }
            machine_flush_through(&m);
            check_folder("to");
            close_all();
        }
}

static void a_folder_moved_twice_and_a_new_one_in_its_place(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        fill_folder();
        assert_int_equal(machine_list(&m, ""), 0);
        machine_rename(&m, "from", "between", 0);
        machine_rename(&m, "between", "to", 0);
        machine_mkdir(&m, "between");
        machine_write_text(&m, "between/1", "new");
        machine_rename(&m, "between/1", "to/new", 0);
        machine_rename(&m, "to/3", "to/three", 0);
        machine_unlink(&m, "to/5");
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, "to/new", "new"));
        assert_true(bucket_has_text(store, "to/three", "from/3"));
        assert_true(bucket_has_text(store, "to/1", "from/1"));
        assert_int_equal(bucket_count(store, "to/5"), 0);
        assert_int_equal(bucket_count(store, "from"), 0);
        assert_int_equal(bucket_count(store, "between"), 1);
        close_all();
    }
}

/* The old name is taken by a new folder with the same names in it, before anything has moved. */
static void a_new_folder_under_the_old_name(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        machine_mkdir(&m, "from");
        machine_write_text(&m, "from/f", "old");
        assert_int_equal(machine_flush(&m), 0);
        machine_rename(&m, "from", "to", 0);
        machine_mkdir(&m, "from");
        machine_write_text(&m, "from/f", "new");
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, "to/f", "old"));
        assert_true(bucket_has_text(store, "from/f", "new"));
        assert_int_equal(bucket_count(store, ""), 4);
        close_all();
    }
}

static void written_and_renamed(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        machine_write_text(&m, "a", "1");
        assert_int_equal(machine_flush(&m), 0);
        machine_write_text(&m, "a", "2");
        machine_rename(&m, "a", "b", 0);
        machine_chmod(&m, "b", 0600);
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, "b", "2"));
        assert_int_equal(bucket_count(store, ""), 1);
        close_all();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_keeps_what_others_gave_it),
        cmocka_unit_test(the_type_follows_the_name),
        cmocka_unit_test(exchanged),
        cmocka_unit_test(round_in_a_ring),
        cmocka_unit_test(exchange_interrupted),
        cmocka_unit_test(exchanged_and_changed),
        cmocka_unit_test(moved_interrupted_and_changed),
        cmocka_unit_test(a_folder_of_others),
        cmocka_unit_test(a_folder_interrupted),
        cmocka_unit_test(a_folder_moved_twice_and_a_new_one_in_its_place),
        cmocka_unit_test(a_new_folder_under_the_old_name),
        cmocka_unit_test(written_and_renamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

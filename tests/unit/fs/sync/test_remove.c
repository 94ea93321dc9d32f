/* Deletes in the bucket: a thousand a request, each only if it is still what was removed. */
#include "fixture.h"

#include "base/clock.h"
#include "base/text.h"

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

static void close_all(void) {
    machine_finish(&m);
    store_destroy(failing);
    store_destroy(store);
}

static void fill(int count) {
    char key[40];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "d/s%d/f%d", i % 5, i);
        bucket_put(store, key, "x");
    }
    bucket_put(store, "d!", "near");
    bucket_put(store, "d0", "near");
    bucket_put(store, "d/s00", "near");
}

static void remove_all(int count) {
    char path[40];
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "d/s%d/f%d", i % 5, i);
        machine_unlink(&m, path);
    }
}

static void many_at_once(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        fill(200);
        assert_int_equal(machine_list(&m, ""), 0);
        assert_int_equal(machine_list(&m, "d"), 0);
        remove_all(200);
        assert_int_equal(machine_flush(&m), 0);
        assert_int_equal(bucket_count(store, "/f"), 0);
        assert_int_equal(bucket_count(store, "near"), 0);
        assert_true(bucket_has_text(store, "d!", "near"));
        assert_true(bucket_has_text(store, "d/s00", "near"));
        assert_int_equal(machine_names(&m, "d/s1", ""), 0); /* the folder stays */
        close_all();
    }
}

static void a_whole_tree(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        char path[20];
        open_on(shop);
        machine_mkdir(&m, "d");
        for (int i = 0; i < 5; i++) {
            snprintf(path, sizeof path, "d/s%d", i);
            machine_mkdir(&m, path);
            snprintf(path, sizeof path, "d/s%d/f", i);
            machine_write_text(&m, path, "x");
        }
        assert_int_equal(machine_flush(&m), 0);
        assert_int_equal(bucket_count(store, ""), 11);
        for (int i = 0; i < 5; i++) {
            snprintf(path, sizeof path, "d/s%d/f", i);
            machine_unlink(&m, path);
            snprintf(path, sizeof path, "d/s%d", i);
            machine_rmdir(&m, path);
        }
        machine_rmdir(&m, "d");
        assert_int_equal(machine_flush(&m), 0);
        assert_int_equal(bucket_count(store, ""), 0);
        close_all();
    }
}

static void keys_that_xml_cannot_hold(void **state) {
    (void)state;
    open_on(SHOP_ALL);
    bucket_put(store, "bell\a1", "x");
    bucket_put(store, "bell\a2", "x");
    bucket_put(store, "fine", "x");
    assert_int_equal(machine_list(&m, ""), 0);
    machine_unlink(&m, "bell\a1");
    machine_unlink(&m, "bell\a2");
    machine_unlink(&m, "fine");
    assert_int_equal(machine_flush(&m), 0);
    assert_int_equal(bucket_count(store, ""), 0);
    close_all();
}

static void interrupted(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++)
        for (unsigned long n = 1; n < 12; n++) {
            open_on(shop);
            fill(10);
            assert_int_equal(machine_list(&m, ""), 0);
            assert_int_equal(machine_list(&m, "d"), 0);
            for (int i = 0; i < 5; i++) {
                AUTO_FREE char *folder = text_format("d/s%d", i);
                assert_int_equal(machine_list(&m, folder), 0);
            }
            clock_sleep_ms(20);
            for (int i = 0; i < 10; i++) {
                AUTO_FREE char *path = text_format("d/s%d/f%d", i % 5, i);
                assert_int_not_equal(machine_find(&m, path), 0);
            }
            failing_store_arm(failing, n, 1, n % 2 ? FAILING_AFTER : FAILING_BEFORE, PAIL_OFFLINE);
            remove_all(10);
            if (machine_flush(&m)) {
                machine_stop(&m);
                machine_start(&m);
            }
            machine_flush_through(&m);
            assert_int_equal(bucket_count(store, "/f"), 0);
            struct tree_totals totals;
            assert_int_equal(tree_totals(m.tree, &totals), 0);
            assert_int_equal(totals.conflicts, 0);
            close_all();
        }
}

static void made_again(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        machine_write_text(&m, "f", "one");
        assert_int_equal(machine_flush(&m), 0);
        machine_unlink(&m, "f");
        machine_write_text(&m, "f", "two");
        machine_unlink(&m, "f");
        machine_write_text(&m, "f", "three");
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, "f", "three"));
        assert_int_equal(m.conflicts, 0);
        close_all();
    }
}

static void an_old_listing_brings_nothing_back(void **state) {
    (void)state;
    open_on(SHOP_ALL);
    machine_write_text(&m, "f", "one");
    assert_int_equal(machine_flush(&m), 0);
    machine_unlink(&m, "f");
    assert_int_equal(machine_list(&m, ""), 0); /* the bucket has it still */
    assert_int_equal(machine_find(&m, "f"), 0);
    assert_int_equal(machine_flush(&m), 0);
    assert_int_equal(bucket_count(store, ""), 0);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(a_whole_tree),
        cmocka_unit_test(keys_that_xml_cannot_hold),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(made_again),
        cmocka_unit_test(an_old_listing_brings_nothing_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

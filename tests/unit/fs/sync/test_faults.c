/* The nth call to the store fails, for every n, in each way: nothing is lost, and one machine never makes a conflict
 * copy. Then the same with a restart right after the failure. */
#include "fixture.h"

#include "base/clock.h"
#include "base/text.h"

#include <linux/fs.h>
#include <stdio.h>

static struct store *store, *failing;
static struct machine m;
static char *large;
static unsigned late_by = 1; /* calls, for FAILING_LATE */

#define LARGE ((size_t)200000)

static void prepare(void) {
    machine_mkdir(&m, "d");
    machine_write_text(&m, "d/1", "one");
    machine_write_text(&m, "d/2", "two");
    machine_write_text(&m, "a", "a");
    machine_write_text(&m, "b", "b");
    machine_write_text(&m, "gone", "x");
    machine_write_text(&m, "gone too", "x");
    assert_int_equal(machine_flush(&m), 0);
    machine_list(&m, "");
    machine_list(&m, "d");
}

/* Everything a journal can hold. */
static void change(void) {
    machine_write_text(&m, "a", "new a");
    machine_write_text(&m, "fresh", "fresh");
    machine_write(&m, "large", large, LARGE);
    machine_chmod(&m, "b", 0600);
    machine_rename(&m, "b", "c", 0);
    machine_unlink(&m, "gone");
    machine_unlink(&m, "gone too");
    machine_rename(&m, "d", "e", 0);
    machine_link(&m, "l", "a");
}

static bool bucket_has(const char *key, const char *bytes, size_t size) {
    struct store_object object = {0};
    assert_int_equal(store_head(store, key, NULL, &object, NULL), 0);
    bool same = object.size == size;
    store_object_finish(&object);
    AUTO_FREE char *there = bucket_get(store, key);
    return same && memcmp(there, bytes, size) == 0;
}

static void check(unsigned long n) {
    struct tree_totals totals;
    assert_int_equal(tree_totals(m.tree, &totals), 0);
    if (m.conflicts || totals.conflicts || bucket_count(store, "") != 8)
        print_message("call %lu: %u conflicts, %u keys\n", n, m.conflicts, bucket_count(store, ""));
    assert_int_equal(m.conflicts, 0);
    assert_int_equal(totals.conflicts, 0);
    assert_true(bucket_has_text(store, "a", "new a"));
    assert_true(bucket_has_text(store, "c", "b"));
    assert_true(bucket_has_text(store, "fresh", "fresh"));
    assert_true(bucket_has_text(store, "e/1", "one"));
    assert_true(bucket_has_text(store, "e/2", "two"));
    assert_true(bucket_has_text(store, "e/", ""));
    assert_true(bucket_has_text(store, "l", "a"));
    assert_true(bucket_has("large", large, LARGE));
    AUTO_FREE char *mode = bucket_header(store, "c", "x-amz-meta-mode");
    assert_string_equal(mode, "33152");
    assert_int_equal(bucket_count(store, ""), 8);
}

static void open_on(enum shop shop) {
    store = shop_open(shop);
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_init(&m, failing, "one");
    machine_start(&m);
}

static void close_all(void) {
    machine_finish(&m);
    store_destroy(failing);
    store_destroy(store);
}

/* Until all of it is in the bucket; after a failure in another life of the mount, if so wished. */
static void bring_up(bool restart) {
    int r = machine_flush(&m);
    if (restart && r) {
        machine_stop(&m);
        machine_start(&m);
    }
    machine_flush_through(&m);
}

/* False: that many calls are not made at all. */
static bool round_of(enum shop shop, unsigned long n, unsigned long count, enum failing_way way, int error,
                     bool restart) {
    open_on(shop);
    prepare();
    failing_store_delay(failing, late_by);
    failing_store_arm(failing, n, count, way, error);
    change();
    bring_up(restart);
    bool reached = failing_store_calls(failing) >= n;
    check(n);
    close_all();
    return reached;
}

/* On two kinds of store each call; on the other two some, for the sake of time. */
static void every_call(enum shop shop, enum failing_way way, int error, bool restart) {
    unsigned long step = shop == SHOP_ALL || shop == SHOP_CEPH ? 1 : 5;
    for (unsigned long n = 1; round_of(shop, n, 1, way, error, restart); n += step)
        ;
}

static int setup(void **state) {
    (void)state;
    large = bytes_make(LARGE, 7);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(large);
    return 0;
}

static void nothing_arrives(void **state) {
    (void)state;
    every_call(SHOP_ALL, FAILING_BEFORE, PAIL_OFFLINE, false);
    every_call(SHOP_CEPH, FAILING_BEFORE, PAIL_OFFLINE, false);
}

static void the_answer_is_lost(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++)
        every_call(shop, FAILING_AFTER, PAIL_OFFLINE, false);
}

static void the_answer_is_lost_and_a_restart(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++)
        every_call(shop, FAILING_AFTER, PAIL_OFFLINE, true);
}

/* The store's own retry sent it twice. */
static void the_second_try_meets_the_first(void **state) {
    (void)state;
    every_call(SHOP_ALL, FAILING_AFTER, PAIL_CONFLICT, false);
    every_call(SHOP_ALL_UNVERSIONED, FAILING_AFTER, PAIL_CONFLICT, false);
}

/* Cut off, or killed, while it is on its way: it arrives when others have looked already. */
static void it_arrives_late(void **state) {
    (void)state;
    for (late_by = 1; late_by <= 3; late_by++) {
        every_call(SHOP_ALL, FAILING_LATE, PAIL_OFFLINE, late_by % 2);
        every_call(SHOP_CEPH, FAILING_LATE, PAIL_OFFLINE, late_by % 2 == 0);
    }
}

/* The nth call is the put of a file that is written over; nothing else is under way. */
static void write_over(enum shop shop, unsigned long n, bool restart) {
    open_on(shop);
    machine_write_text(&m, "a", "old");
    assert_int_equal(machine_flush(&m), 0);
    machine_write_text(&m, "a", "new");
    failing_store_delay(failing, late_by);
    failing_store_arm(failing, n, 1, FAILING_LATE, PAIL_OFFLINE);
    bring_up(restart);
    assert_int_equal(m.conflicts, 0);
    assert_int_equal(bucket_count(store, ""), 1);
    assert_true(bucket_has_text(store, "a", "new"));
    close_all();
}

static void a_late_write_is_no_conflict(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++)
        for (late_by = 1; late_by <= 8; late_by++)
            for (unsigned long n = 1; n <= 3; n++) {
                write_over(shop, n, false);
                write_over(shop, n, true);
            }
}

static void a_refusal_that_passes(void **state) {
    (void)state;
    every_call(SHOP_ALL, FAILING_BEFORE, PAIL_BUSY, false);
    every_call(SHOP_CEPH, FAILING_AFTER, PAIL_BUSY, true);
}

static void a_long_outage(void **state) {
    (void)state;
    for (unsigned long n = 1; n < 40; n += 3)
        round_of(SHOP_CEPH, n, 25, FAILING_AFTER, PAIL_OFFLINE, n % 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_arrives),
        cmocka_unit_test(the_answer_is_lost),
        cmocka_unit_test(the_answer_is_lost_and_a_restart),
        cmocka_unit_test(the_second_try_meets_the_first),
        cmocka_unit_test(it_arrives_late),
        cmocka_unit_test(a_late_write_is_no_conflict),
        cmocka_unit_test(a_refusal_that_passes),
        cmocka_unit_test(a_long_outage),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

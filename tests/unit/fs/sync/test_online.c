/* Offline at the first failure, nothing hangs, and back by itself. */
#include "fixture.h"

#include "base/clock.h"
#include "fs/sync/private.h"
#include "patience.h"

static struct store *store, *failing;
static struct machine m;

static int setup(void **state) {
    (void)state;
    store = shop_open(SHOP_ALL);
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_init(&m, failing, "one");
    machine_start(&m);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    machine_finish(&m);
    store_destroy(failing);
    store_destroy(store);
    return 0;
}

static enum sync_online state_now(void) {
    struct sync_status status;
    sync_status(m.sync, &status);
    return status.online;
}

static void wait_for_state(enum sync_online wanted) {
    WAIT_UNTIL(state_now() == wanted);
    assert_int_equal(state_now(), wanted);
}

static void offline_and_back_by_itself(void **state) {
    (void)state;
    failing_store_arm(failing, 1, 2, FAILING_BEFORE, PAIL_OFFLINE); /* the listing and the first probe */
    assert_int_equal(machine_list(&m, ""), PAIL_OFFLINE);
    struct sync_status status;
    sync_status(m.sync, &status);
    assert_int_equal(status.online, SYNC_OFFLINE);
    assert_true(status.why[0] && status.offline_since_s > 0);
    int64_t before = clock_monotonic_ms();
    assert_int_equal(machine_list(&m, ""), PAIL_OFFLINE);
    wait_for_state(SYNC_ONLINE); /* the second probe, after 1 and 2 s; had the listing asked, it were the first */
    assert_true(clock_monotonic_ms() - before > 1500);
    assert_int_equal(machine_list(&m, ""), 0);
}

static void retry_probes_at_once(void **state) {
    (void)state;
    bool soon = false; /* before the first probe that comes by itself; a machine that stands still may spoil a try */
    for (int tries = 0; tries < 5 && !soon; tries++) {
        failing_store_arm(failing, 1, 1, FAILING_BEFORE, PAIL_OFFLINE);
        assert_int_equal(machine_list(&m, ""), PAIL_OFFLINE);
        int64_t before = clock_monotonic_ms();
        sync_retry(m.sync);
        wait_for_state(SYNC_ONLINE);
        soon = clock_monotonic_ms() - before < 900;
    }
    assert_true(soon);
}

struct many {
    _Atomic unsigned called, offline;
    _Atomic int64_t first_ms, last_ms;
};

static void count(void *context, int result) {
    struct many *many = context;
    many->offline += result == PAIL_OFFLINE;
    many->last_ms = clock_monotonic_ms();
    if (!many->called)
        many->first_ms = many->last_ms;
    many->called++;
}

static void one_stall_cuts_all(void **state) {
    (void)state;
    char key[8] = "d0/x";
    for (char c = '0'; c < '4'; c++) {
        key[1] = c;
        bucket_put(store, key, "x");
    }
    assert_int_equal(machine_list(&m, ""), 0);
    struct many many = {0};
    failing_store_arm(failing, 1, 100, FAILING_STALL, PAIL_OFFLINE);
    for (char c = '0'; c < '4'; c++) {
        struct tree_node node;
        key[1] = c;
        key[2] = 0;
        assert_int_equal(tree_lookup(m.tree, TREE_ROOT, key, &node), 0);
        sync_list(m.sync, node.ino, count, &many);
        tree_node_finish(&node);
        clock_sleep_ms(400);
    }
    while (many.called < 4)
        clock_sleep_ms(5);
    assert_int_equal(many.offline, 4);
    assert_true(many.last_ms - many.first_ms < 1000); /* the first stalled for 2 s; the others were cut with it */
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    sync_retry(m.sync);
    wait_for_state(SYNC_ONLINE);
}

static void work_waits_without_counting(void **state) {
    (void)state;
    assert_int_equal(machine_list(&m, ""), 0);
    failing_store_arm(failing, 1, 5, FAILING_BEFORE, PAIL_OFFLINE);
    machine_write_text(&m, "a", "x");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(machine_flush(&m), PAIL_OFFLINE);
        sync_retry(m.sync);
        clock_sleep_ms(20);
    }
    struct tree_work work;
    if (!tree_work_get(m.tree, machine_find(&m, "a"), &work)) {
        assert_int_equal(work.attempts, 0);
        tree_work_finish(&work);
    }
    machine_flush_through(&m);
    assert_true(bucket_has_text(store, "a", "x"));
}

static void the_login_has_ended(void **state) {
    (void)state;
    failing_store_arm(failing, 1, 2, FAILING_BEFORE, PAIL_LOGIN_REQUIRED);
    assert_int_equal(machine_list(&m, ""), PAIL_LOGIN_REQUIRED);
    assert_int_equal(state_now(), SYNC_LOGIN_REQUIRED);
    assert_int_equal(machine_list(&m, ""), PAIL_LOGIN_REQUIRED);
    assert_int_equal(m.news, 1);
    wait_for_state(SYNC_ONLINE);
    assert_int_equal(m.news, 1);
    assert_int_equal(machine_list(&m, ""), 0);
}

static void the_login_has_ended_is_told_once(void **state) {
    (void)state;
    static const int errors[] = {PAIL_LOGIN_REQUIRED, PAIL_OFFLINE, PAIL_LOGIN_REQUIRED};
    static const enum sync_online states[] = {SYNC_LOGIN_REQUIRED, SYNC_OFFLINE, SYNC_LOGIN_REQUIRED};
    for (size_t i = 0; i < 3; i++) {
        failing_store_arm(failing, 1, 1000, FAILING_BEFORE, errors[i]);
        if (!i)
            assert_int_equal(machine_list(&m, ""), PAIL_LOGIN_REQUIRED);
        sync_retry(m.sync);
        wait_for_state(states[i]);
    }
    assert_int_equal(m.news, 1);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    sync_retry(m.sync);
    wait_for_state(SYNC_ONLINE);
    failing_store_arm(failing, 1, 1, FAILING_BEFORE, PAIL_LOGIN_REQUIRED);
    assert_int_equal(machine_list(&m, ""), PAIL_LOGIN_REQUIRED);
    assert_int_equal(m.news, 2); /* another time, another note */
    wait_for_state(SYNC_ONLINE);
}

static void stopping_is_quick(void **state) {
    (void)state;
    machine_stop(&m);
    m.stall_ms = 2 * PATIENCE_MS;
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    failing_store_arm(failing, 1, 1000, FAILING_STALL, PAIL_OFFLINE);
    machine_write_text(&m, "a", "x");
    machine_write_text(&m, "b", "x");
    struct many many = {0};
    sync_list(m.sync, TREE_ROOT, count, &many);
    sync_flush(m.sync, TREE_ROOT, count, &many);
    clock_sleep_ms(100);
    int64_t before = clock_monotonic_ms();
    machine_stop(&m);
    assert_true(clock_monotonic_ms() - before < SOON_MS);
    assert_int_equal(many.called, 2);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    machine_start(&m);
    machine_flush_through(&m);
    assert_int_equal(bucket_count(store, ""), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(offline_and_back_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(retry_probes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(one_stall_cuts_all, setup, teardown),
        cmocka_unit_test_setup_teardown(work_waits_without_counting, setup, teardown),
        cmocka_unit_test_setup_teardown(the_login_has_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(the_login_has_ended_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_is_quick, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

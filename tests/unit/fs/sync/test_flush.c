/* Waiting for the bucket. */
#include "fixture.h"

#include "base/clock.h"
#include "base/text.h"
#include "patience.h"

#include <pthread.h>
#include <stdio.h>

static struct store *store, *failing;
static struct machine m;

static int setup(void **state) {
    (void)state;
    store = shop_open(SHOP_ALL);
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_init(&m, failing, "one");
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    machine_finish(&m);
    store_destroy(failing);
    store_destroy(store);
    return 0;
}

static void an_empty_journal(void **state) {
    (void)state;
    assert_int_equal(machine_flush(&m), 0);
    assert_int_equal(machine_flush(&m), 0);
}

struct writer {
    _Atomic bool end;
    unsigned count;
};

static void *write_on(void *context) {
    struct writer *writer = context;
    while (!writer->end) {
        AUTO_FREE char *name = text_format("w%u", writer->count % 20);
        AUTO_FREE char *text = text_format("text %u", writer->count++);
        machine_write_text(&m, name, text);
        clock_sleep_ms(1);
    }
    return NULL;
}

/* Only what was there when it was asked is waited for. */
static void it_ends_while_others_go_on_writing(void **state) {
    (void)state;
    struct writer writer = {0};
    pthread_t thread;
    machine_stop(&m);
    m.rest_ms = 1;
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
    for (int i = 0; i < 5; i++) {
        AUTO_FREE char *name = text_format("mine%d", i);
        machine_write_text(&m, name, "x");
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, name, "x"));
    }
    writer.end = true;
    pthread_join(thread, NULL);
    assert_int_equal(machine_flush(&m), 0);
    AUTO_FREE char *name = text_format("w%u", (writer.count - 1) % 20);
    AUTO_FREE char *text = text_format("text %u", writer.count - 1);
    assert_true(bucket_has_text(store, name, text));
    assert_int_equal(m.conflicts, 0);
}

static void without_anybody_waiting(void **state) {
    (void)state;
    machine_stop(&m);
    m.rest_ms = 100;
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    machine_write_text(&m, "a", "x");
    machine_write_text(&m, "b", "x");
    WAIT_UNTIL(bucket_count(store, "") >= 2);
    assert_int_equal(bucket_count(store, ""), 2);
    machine_unlink(&m, "b");
    WAIT_UNTIL(bucket_count(store, "") <= 1);
    assert_true(bucket_has_text(store, "a", "x"));
    assert_int_equal(bucket_count(store, ""), 1);
}

static void one_file_only(void **state) {
    (void)state;
    machine_write_text(&m, "a", "x");
    struct answer answer = {0};
    sync_flush(m.sync, machine_find(&m, "a"), answer_take, &answer);
    assert_int_equal(answer_wait(&answer), 0);
    assert_true(bucket_has_text(store, "a", "x"));
}

static void the_old_names_are_gone_too(void **state) {
    (void)state;
    machine_mkdir(&m, "d");
    machine_write_text(&m, "d/f", "x");
    assert_int_equal(machine_flush(&m), 0);
    machine_rename(&m, "d", "e", 0);
    assert_int_equal(machine_flush(&m), 0);
    assert_int_equal(bucket_count(store, "d/"), 0);
    assert_int_equal(bucket_count(store, "e/"), 2);
}

static void offline_it_says_so_at_once(void **state) {
    (void)state;
    failing_store_arm(failing, 1, 1000, FAILING_BEFORE, PAIL_OFFLINE);
    machine_write_text(&m, "a", "x");
    assert_int_equal(machine_flush(&m), PAIL_OFFLINE);
    assert_int_equal(machine_flush(&m), PAIL_OFFLINE);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    machine_flush_through(&m);
    assert_true(bucket_has_text(store, "a", "x"));
}

static void *drain(void *context) {
    static const _Atomic bool never = false;
    *(int *)context = sync_drain(m.sync, &never);
    return NULL;
}

static void draining_survives_being_offline(void **state) {
    (void)state;
    failing_store_arm(failing, 1, 3, FAILING_BEFORE, PAIL_OFFLINE);
    machine_write_text(&m, "a", "x");
    int result = -1;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drain, &result), 0);
    for (int i = 0; i < 10; i++) {
        clock_sleep_ms(30);
        sync_retry(m.sync);
    }
    pthread_join(thread, NULL);
    assert_int_equal(result, 0);
    assert_true(bucket_has_text(store, "a", "x"));
    _Atomic bool now = true;
    failing_store_arm(failing, 1, 1000, FAILING_BEFORE, PAIL_OFFLINE);
    machine_write_text(&m, "a", "y");
    assert_int_equal(sync_drain(m.sync, &now), PAIL_CANCELLED);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_journal, setup, teardown),
        cmocka_unit_test_setup_teardown(it_ends_while_others_go_on_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(without_anybody_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(one_file_only, setup, teardown),
        cmocka_unit_test_setup_teardown(the_old_names_are_gone_too, setup, teardown),
        cmocka_unit_test_setup_teardown(offline_it_says_so_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(draining_survives_being_offline, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* fs/core: a write is refused for a full quota only while that is sure. The server's word is the test's. */
#include "fixture.h"

#include "base/clock.h"
#include "fs/core/core.h"
#include "patience.h"

#include <fcntl.h>

enum { LIMIT = 1000 };

static struct store *store, *failing;
static struct machine m;
static struct core *core;
static struct core_quota told;
static struct core_handle *file;
static uint64_t file_end;

static void tell(void *context, struct core_quota *out) {
    (void)context;
    *out = told;
}

static void tell_full(void) {
    clock_sleep_ms(2); /* after all that was */
    told = (struct core_quota){.limit = LIMIT, .used = LIMIT, .asked_ms = clock_monotonic_ms()};
}

static int append(void) {
    int r = core_file_write(file, "x", 1, file_end);
    file_end += !r;
    return r;
}

/* Something waits here that the server refused, and the account holds all that it may. */
static int setup(void **state) {
    (void)state;
    struct fault fault = {0};
    struct core_wait wait;
    store = shop_open(SHOP_ALL);
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_init(&m, failing, "one");
    machine_start(&m);
    machine_write_text(&m, "file", "x");
    machine_write_text(&m, "other", "x");
    assert_int_equal(machine_flush(&m), 0);
    told = (struct core_quota){0};
    struct core_options options = {
        .tree = m.tree, .content = m.content, .sync = m.sync, .fresh_ms = INT64_MAX, .quota = tell};
    assert_int_equal(core_create(&core, &options, &fault), 0);
    assert_int_equal(core_file_open(core, 1, machine_find(&m, "file"), O_WRONLY, &file, &wait), 0);
    file_end = 1;
    failing_store_arm(failing, 1, 1000, FAILING_BEFORE, PAIL_QUOTA);
    machine_write_text(&m, "waits", "too much");
    assert_int_equal(machine_flush(&m), PAIL_QUOTA);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    core_file_close(core, file);
    sync_stop(m.sync);
    core_destroy(core);
    machine_finish(&m);
    store_destroy(failing);
    store_destroy(store);
    return 0;
}

static void a_full_quota_refuses_a_longer_file(void **state) {
    (void)state;
    assert_int_equal(append(), 0); /* nobody knows yet how much there is */
    tell_full();
    assert_true(core_is_full(core));
    WAIT_UNTIL(append() == PAIL_QUOTA);
    assert_int_equal(append(), PAIL_QUOTA);
    assert_int_equal(core_file_write(file, "y", 1, 0), 0); /* in place of what it was */
    told.limit = 0;                                        /* none any more */
    assert_false(core_is_full(core));
    WAIT_UNTIL(append() == 0);
    assert_int_equal(append(), 0);
}

/* The server made room, which it has told nobody yet. */
static void an_upload_makes_it_doubtful(void **state) {
    (void)state;
    tell_full();
    WAIT_UNTIL(append() == PAIL_QUOTA);
    assert_int_equal(append(), PAIL_QUOTA);
    machine_flush_through(&m);
    assert_int_equal(append(), 0);
    tell_full();
    WAIT_UNTIL(append() == PAIL_QUOTA);
    assert_int_equal(append(), PAIL_QUOTA);
}

static void a_delete_makes_it_doubtful(void **state) {
    (void)state;
    tell_full();
    WAIT_UNTIL(append() == PAIL_QUOTA);
    failing_store_arm(failing, 1, 1000, FAILING_BEFORE, PAIL_BUSY);
    struct core_wait wait;
    assert_int_equal(append(), PAIL_QUOTA); /* found out a moment ago */
    assert_int_equal(core_unlink(core, TREE_ROOT, "other", &wait), 0);
    assert_int_equal(append(), 0);
    assert_int_equal(bucket_count(store, "other"), 1);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    machine_flush_through(&m);
    assert_int_equal(bucket_count(store, "other"), 0);
    assert_int_equal(append(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_quota_refuses_a_longer_file, setup, teardown),
        cmocka_unit_test_setup_teardown(an_upload_makes_it_doubtful, setup, teardown),
        cmocka_unit_test_setup_teardown(a_delete_makes_it_doubtful, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

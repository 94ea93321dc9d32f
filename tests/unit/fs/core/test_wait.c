/* fs/core: waits for freshness have patience, others have not. The store is frozen, and nobody knows it yet. */
#include "fixture.h"

#include "base/clock.h"
#include "fs/core/core.h"
#include "patience.h"

static struct store *store, *failing;
static struct machine m;
static struct core *core;

static int setup_with(int64_t patience_ms) {
    struct fault fault = {0};
    store = shop_open(SHOP_ALL);
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_init(&m, failing, "one");
    m.stall_ms = 600000;
    machine_start(&m);
    machine_write_text(&m, "file", "x");
    assert_int_equal(machine_flush(&m), 0);
    struct core_options options = {
        .tree = m.tree, .content = m.content, .sync = m.sync, .fresh_ms = 1000, .patience_ms = patience_ms};
    assert_int_equal(core_create(&core, &options, &fault), 0);
    return 0;
}

static int setup(void **state) {
    (void)state;
    return setup_with(100);
}

static int setup_patient(void **state) {
    (void)state;
    return setup_with(PATIENCE_MS);
}

static void freeze(void) {
    failing_store_arm(failing, 1, 1000, FAILING_STALL, 0);
}

/* Ends what is frozen, as unmounting does. */
static int teardown(void **state) {
    (void)state;
    sync_stop(m.sync);
    core_destroy(core);
    machine_finish(&m);
    store_destroy(failing);
    store_destroy(store);
    return 0;
}

static void begin(enum core_wait_kind kind, bool optional, struct answer *answer) {
    uint64_t ino = kind == CORE_WAIT_LIST ? TREE_ROOT : machine_find(&m, "file");
    struct core_wait wait = {.kind = kind, .ino = ino, .optional = optional, .brief = optional};
    core_wait_for(core, &wait, answer_take, answer);
}

static void what_comes_is_told(void **state) {
    (void)state;
    struct answer list = {0}, head = {0};
    begin(CORE_WAIT_LIST, true, &list);
    begin(CORE_WAIT_HEAD, true, &head);
    assert_int_equal(answer_wait(&list), 0);
    assert_int_equal(answer_wait(&head), 0);
}

static void a_frozen_store_ends_a_wait_for_freshness(void **state) {
    (void)state;
    struct answer first = {0}, second = {0};
    struct sync_status status;
    freeze();
    begin(CORE_WAIT_LIST, true, &first);
    assert_int_equal(answer_wait(&first), PAIL_OFFLINE);
    begin(CORE_WAIT_HEAD, true, &second);
    assert_true(second.done); /* nobody waits once more for what is known to take long */
    assert_int_equal(second.result, PAIL_OFFLINE);
    sync_status(m.sync, &status);
    assert_int_equal(status.online, SYNC_ONLINE);
}

static void other_waits_go_on(void **state) {
    (void)state;
    struct answer needed = {0}, optional = {0};
    freeze();
    begin(CORE_WAIT_LIST, false, &needed);
    begin(CORE_WAIT_LIST, true, &optional); /* of the same listing */
    answer_wait(&optional);
    assert_false(needed.done);
    sync_stop(m.sync);
    assert_true(needed.done);
    assert_int_not_equal(needed.result, 0);
}

static void patience_is_back_with_the_answer(void **state) {
    (void)state;
    struct answer first = {0}, later = {0};
    failing_store_arm(failing, 1, 1, FAILING_STALL, 0);
    begin(CORE_WAIT_LIST, true, &first);
    answer_wait(&first);
    sync_stop(m.sync); /* its answer comes: cancelled */
    begin(CORE_WAIT_HEAD, true, &later);
    answer_wait(&later);
    assert_int_not_equal(later.result, PAIL_OFFLINE); /* asked, not passed over */
}

/* A listing tells that others have changed the attributes of a file, and then the network goes. */
static void what_was_known_once_serves_without_a_network(void **state) {
    (void)state;
    struct core_wait wait;
    struct core_entry entry;
    struct stat st;
    bucket_put(store, "theirs", "x");
    assert_int_equal(machine_list(&m, ""), 0);
    uint64_t ino = machine_find(&m, "theirs");
    clock_sleep_ms(1100); /* a listing shows whole seconds */
    bucket_put_meta(store, "theirs", "x", "mode", "33152");
    bucket_put(store, "new", "x");
    failing_store_arm(failing, 2, 1000, FAILING_BEFORE, PAIL_OFFLINE); /* after the listing */
    machine_list(&m, "");
    assert_int_equal(core_lookup(core, 1, TREE_ROOT, "theirs", &entry, &wait), CORE_WAIT);
    assert_true(wait.kind == CORE_WAIT_HEAD && wait.optional && !wait.brief);
    assert_int_equal(core_lookup(core, 2, TREE_ROOT, "theirs", &entry, &wait), 0);
    assert_int_equal(entry.st.st_ino, ino);
    core_forget(core, ino, 1);
    assert_int_equal(core_get(core, 0, ino, &st, &wait), CORE_WAIT);
    assert_true(wait.optional);
    assert_int_equal(core_get(core, 1, ino, &st, &wait), 0);
    assert_int_equal(core_lookup(core, 1, TREE_ROOT, "new", &entry, &wait), CORE_WAIT);
    assert_true(wait.kind == CORE_WAIT_HEAD && !wait.optional); /* it may be a link, or anything */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_comes_is_told, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(a_frozen_store_ends_a_wait_for_freshness, setup, teardown),
        cmocka_unit_test_setup_teardown(other_waits_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_known_once_serves_without_a_network, setup, teardown),
        cmocka_unit_test_setup_teardown(patience_is_back_with_the_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* fs/core: what a process that is killed between a write and its record leaves in the spool. */
#include "fixture.h"

#include "base/clock.h"
#include "fs/core/core.h"

enum { PART = 64 << 10, SIZE = 5 * PART };

static struct store *store, *failing;
static struct machine m;

static int setup(void **state) {
    (void)state;
    store = shop_open(SHOP_ALL);
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_init(&m, failing, "one");
    m.part_size = PART;
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

static void begin_another_life(void) {
    machine_stop(&m);
    machine_start(&m);
    assert_int_equal(core_recover(m.tree, m.content), 0);
}

/* Writes that no record knows of: the last thing before the process is killed. */
static void write_unrecorded(const char *path, const char *text, uint64_t offset, uint64_t size) {
    struct content_handle *handle = machine_open(&m, machine_find(&m, path));
    assert_int_equal(content_truncate(handle, size), 0);
    assert_int_equal(content_write(handle, text, strlen(text), offset), 0);
    content_close(handle);
}

static void what_is_recorded_stays_as_it_is(void **state) {
    (void)state;
    struct tree_node before, after;
    machine_write_text(&m, "file", "recorded");
    machine_node(&m, "file", &before);
    begin_another_life();
    machine_node(&m, "file", &after);
    assert_int_equal(after.generation, before.generation);
    assert_string_equal(after.content, before.content);
    tree_node_finish(&before);
    tree_node_finish(&after);
}

static void size_and_generation_are_those_of_the_bytes(void **state) {
    (void)state;
    struct tree_node before, after, again;
    machine_write_text(&m, "file", "four");
    machine_node(&m, "file", &before);
    int64_t now_ns = clock_realtime_ns();
    write_unrecorded("file", "now it is longer", 0, 0);
    begin_another_life();
    machine_node(&m, "file", &after);
    assert_int_equal(after.size, 16);
    assert_true(after.generation > before.generation);
    assert_string_not_equal(after.content, before.content);
    assert_true(after.mtime_ns > now_ns - 1000000000);
    begin_another_life(); /* once */
    machine_node(&m, "file", &again);
    assert_int_equal(again.generation, after.generation);
    assert_int_equal(machine_flush(&m), 0);
    assert_true(bucket_has_text(store, "file", "now it is longer"));
    assert_true(machine_has_text(&m, "file", "now it is longer"));
    tree_node_finish(&before);
    tree_node_finish(&after);
    tree_node_finish(&again);
}

/* The first parts were sent, then they were written over in place. */
static void an_upload_does_not_go_on_with_other_bytes(void **state) {
    (void)state;
    AUTO_FREE char *bytes = bytes_make(SIZE, 1), *sent = NULL;
    machine_write(&m, "big", bytes, SIZE);
    failing_store_arm(failing, 6, 1000, FAILING_BEFORE, PAIL_OFFLINE); /* head, create, some of the parts */
    assert_int_equal(machine_flush(&m), PAIL_OFFLINE);
    memcpy(bytes + 100, "changed", 7);
    memcpy(bytes + PART + 100, "changed", 7);
    memcpy(bytes + 2 * PART + 100, "changed", 7);
    for (uint64_t part = 0; part < 3; part++)
        write_unrecorded("big", "changed", part * PART + 100, SIZE);
    begin_another_life();
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0); /* not before: the first life would go on with the upload */
    machine_flush_through(&m);
    sent = bucket_get(store, "big");
    assert_memory_equal(sent, bytes, SIZE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_recorded_stays_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(size_and_generation_are_those_of_the_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(an_upload_does_not_go_on_with_other_bytes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* fs/core: small files that are read in the order of their folder are fetched ahead; others are not. */
#include "fixture.h"

#include "base/clock.h"
#include "base/text.h"
#include "fs/core/core.h"

#include <fcntl.h>

#define FILES 100

static struct store *store;
static struct machine m;
static struct core *core;

static int setup(void **state) {
    (void)state;
    struct fault fault = {0};
    store = shop_open(SHOP_ALL);
    for (int i = 0; i < FILES; i++) {
        AUTO_FREE char *key = text_format("f%03d", i);
        bucket_put(store, key, key);
    }
    machine_init(&m, store, "one");
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    for (int i = 0; i < FILES; i++) { /* all heads */
        AUTO_FREE char *key = text_format("f%03d", i);
        assert_int_not_equal(machine_find(&m, key), 0);
    }
    struct core_options options = {.tree = m.tree, .content = m.content, .sync = m.sync, .fresh_ms = INT64_MAX};
    assert_int_equal(core_create(&core, &options, &fault), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sync_stop(m.sync);
    core_destroy(core);
    machine_finish(&m);
    store_destroy(store);
    return 0;
}

static void open_file(int number) {
    AUTO_FREE char *name = text_format("f%03d", number);
    struct core_handle *handle;
    struct core_wait wait;
    assert_int_equal(core_file_open(core, 1, machine_find(&m, name), O_RDONLY, &handle, &wait), 0);
    core_file_close(core, handle);
}

static bool is_here(int number) {
    AUTO_FREE char *name = text_format("f%03d", number);
    struct tree_node node;
    char identity[128];
    machine_node(&m, name, &node);
    struct content_version version = {tree_identity(&node.remote, identity), node.remote.size};
    bool here = content_present(m.content, node.ino, &version) == node.remote.size;
    tree_node_finish(&node);
    return here;
}

static void until_here(int number) {
    while (!is_here(number)) /* the test's time limit ends it */
        clock_sleep_ms(2);
}

static int count_here(void) {
    int count = 0;
    for (int i = 0; i < FILES; i++)
        count += is_here(i);
    return count;
}

static void in_order(void **state) {
    (void)state;
    open_file(0);
    open_file(1);
    clock_sleep_ms(50);
    assert_int_equal(count_here(), 0); /* two are no order yet */
    open_file(2);
    for (int i = 3; i < 3 + 32; i++)
        until_here(i);
    clock_sleep_ms(50);
    assert_false(is_here(60)); /* not the whole folder */
    for (int i = 3; i < 40; i++)
        open_file(i);
    until_here(60);
}

static void out_of_order(void **state) {
    (void)state;
    for (int i = FILES - 1; i >= 0; i--)
        open_file(i);
    clock_sleep_ms(100);
    assert_int_equal(count_here(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(out_of_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

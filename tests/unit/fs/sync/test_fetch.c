/* Bytes for content: of one version only, wherever it is by now. */
#include "fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/sync/private.h"

#include <stdio.h>

static struct store *store, *failing;
static struct machine m;

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

struct reading {
    _Atomic bool done;
    int result;
    size_t size;
    char first;
};

static void take(void *context, const struct content_answer *answer) {
    struct reading *reading = context;
    reading->result = answer->result;
    reading->size = answer->size;
    if (!answer->result && answer->size && answer->data)
        reading->first = *(const char *)answer->data;
    else if (!answer->result && answer->size)
        file_pread_all(answer->fd, &reading->first, 1, answer->fd_offset);
    reading->done = true;
}

static int read_at(struct content_handle *handle, uint64_t offset, char *first) {
    struct reading reading = {0};
    content_read(handle, offset, 4096, take, &reading);
    while (!reading.done)
        clock_sleep_ms(1);
    *first = reading.first;
    return reading.result;
}

static struct content_handle *open_file(const char *path) {
    struct tree_node node;
    struct content_handle *handle;
    char identity[128];
    machine_node(&m, path, &node);
    struct content_version version = {tree_identity(&node.remote, identity), node.remote.size};
    assert_int_equal(
        content_open(m.content, node.ino, &version, node.spool, content_moment(m.content, node.ino), &handle), 0);
    tree_node_finish(&node);
    return handle;
}

#define SIZE ((size_t)4 << 20)

static void put_large(char fill) {
    AUTO_FREE char *text = malloc(SIZE + 1);
    memset(text, fill, SIZE);
    text[SIZE] = 0;
    bucket_put(store, "f", text);
}

/* An open file goes on with the version it opened: by its id, or not at all. */
static void replaced_while_open(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        char first;
        open_on(shop);
        put_large('a');
        struct content_handle *handle = open_file("f");
        put_large('b');
        int r = read_at(handle, SIZE - 4096, &first);
        if (shop == SHOP_ALL || shop == SHOP_CEPH) {
            assert_int_equal(r, 0);
            assert_int_equal(first, 'a');
        } else {
            assert_int_equal(r, PAIL_GONE);
        }
        content_close(handle);
        close_all();
    }
}

static void moved_while_open(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        char first;
        open_on(shop);
        put_large('a');
        struct content_handle *handle = open_file("f");
        machine_rename(&m, "f", "g", 0);
        assert_int_equal(machine_flush(&m), 0);
        assert_int_equal(bucket_count(store, "f"), 0);
        assert_int_equal(read_at(handle, SIZE - 4096, &first), 0);
        assert_int_equal(first, 'a');
        content_close(handle);
        close_all();
    }
}

static void chmod_by_another_while_open(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        char first;
        open_on(shop);
        machine_write_text(&m, "f", "mine");
        assert_int_equal(machine_flush(&m), 0);
        content_evict(m.content, 0);
        struct content_handle *handle = open_file("f");
        struct machine other;
        machine_init(&other, store, "two");
        machine_start(&other);
        machine_chmod(&other, "f", 0600);
        assert_int_equal(machine_flush(&other), 0);
        machine_finish(&other);
        assert_int_equal(read_at(handle, 0, &first), 0);
        assert_int_equal(first, 'm');
        content_close(handle);
        close_all();
    }
}

static void half_an_answer(void **state) {
    (void)state;
    char first;
    open_on(SHOP_ALL);
    put_large('a');
    struct content_handle *handle = open_file("f");
    failing_store_arm(failing, 1, 1, FAILING_HALF, PAIL_OFFLINE);
    read_at(handle, SIZE / 2, &first);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    sync_retry(m.sync);
    struct sync_status status;
    do {
        clock_sleep_ms(1);
        sync_status(m.sync, &status);
    } while (status.online != SYNC_ONLINE);
    assert_int_equal(read_at(handle, SIZE - 4096, &first), 0);
    assert_int_equal(first, 'a');
    content_close(handle);
    close_all();
}

static void a_get_counts_as_a_head(void **state) {
    (void)state;
    open_on(SHOP_ALL);
    bucket_put_meta(store, "f", "x", "x-amz-meta-mode", "33152");
    failing_store_arm(failing, 2, 1, FAILING_BEFORE, PAIL_DENIED); /* the listing, then the head of the page */
    assert_int_equal(machine_list(&m, ""), 0);
    while (failing_store_calls(failing) < 2)
        clock_sleep_ms(1);
    struct tree_node node;
    assert_int_equal(tree_lookup(m.tree, TREE_ROOT, "f", &node), 0);
    assert_false(node.remote.head_known);
    char identity[128];
    struct content_handle *handle;
    struct content_version version = {tree_identity(&node.remote, identity), node.remote.size};
    assert_int_equal(content_open(m.content, node.ino, &version, 0, content_moment(m.content, node.ino), &handle), 0);
    char first;
    assert_int_equal(read_at(handle, 0, &first), 0);
    content_close(handle);
    tree_node_finish(&node);
    assert_int_equal(tree_lookup(m.tree, TREE_ROOT, "f", &node), 0);
    assert_int_equal(node.mode, 0600);
    tree_node_finish(&node);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaced_while_open),         cmocka_unit_test(moved_while_open),
        cmocka_unit_test(chmod_by_another_while_open), cmocka_unit_test(half_an_answer),
        cmocka_unit_test(a_get_counts_as_a_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

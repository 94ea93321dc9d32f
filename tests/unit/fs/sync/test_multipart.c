/* Large files in parts: resumed, changed while they are sent, lost on the way. */
#include "fixture.h"

#include "base/clock.h"
#include "base/text.h"
#include "fs/sync/private.h"

#include <stdio.h>

#define PART ((size_t)64 << 10)
#define SIZE (10 * PART + 1234)

static struct store *store, *failing;
static struct machine m;
static char *bytes;

static void open_on(enum shop shop) {
    store = shop_open(shop);
    assert_int_equal(failing_store_create(&failing, store), 0);
    machine_init(&m, failing, "one");
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    bytes = bytes_make(SIZE, 3);
}

static void close_all(void) {
    assert_int_equal(m.conflicts, 0);
    machine_finish(&m);
    store_destroy(failing);
    store_destroy(store);
    free(bytes);
}

static void check_whole(void) {
    struct store_object object = {0};
    assert_int_equal(store_head(store, "big", NULL, &object, NULL), 0);
    assert_int_equal(object.size, SIZE);
    store_object_finish(&object);
    AUTO_FREE char *there = bucket_get(store, "big");
    assert_memory_equal(there, bytes, SIZE);
    struct tree_node node;
    machine_node(&m, "big", &node);
    assert_int_equal(node.work, 0);
    assert_int_equal(node.spool, 0);
    tree_node_finish(&node);
    AUTO_BUFFER struct buffer read = {0};
    assert_int_equal(machine_read(&m, "big", &read), 0);
    assert_int_equal(read.size, SIZE);
    assert_memory_equal(read.data, bytes, SIZE);
}

static void in_parts(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_on(shop);
        machine_write(&m, "big", bytes, SIZE);
        assert_int_equal(machine_flush(&m), 0);
        check_whole();
        memcpy(bytes + 100, "changed", 7);
        machine_patch(&m, "big", "changed", 100);
        assert_int_equal(machine_flush(&m), 0);
        check_whole();
        assert_int_equal(bucket_count(store, ""), 1);
        close_all();
    }
}

/* After a failure of each call, with and without a restart, it goes on; parts that arrived are not sent again. */
static void it_goes_on_where_it_was(void **state) {
    (void)state;
    for (unsigned long n = 2; n <= 14; n++) {
        open_on(SHOP_ALL);
        failing_store_arm(failing, n, 1, n % 2 ? FAILING_BEFORE : FAILING_AFTER, PAIL_OFFLINE);
        machine_write(&m, "big", bytes, SIZE);
        int r = machine_flush(&m);
        if (r) {
            machine_stop(&m);
            machine_start(&m);
        }
        machine_flush_through(&m);
        check_whole();
        close_all();
    }
}

static void few_calls_after_a_restart(void **state) {
    (void)state;
    open_on(SHOP_ALL);
    machine_stop(&m);
    m.part_size = PART;
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    failing_store_arm(failing, 13, 1000, FAILING_BEFORE, PAIL_OFFLINE); /* head, create, 11 parts | complete */
    failing_store_arm(failing, 14, 1000, FAILING_BEFORE, PAIL_OFFLINE);
    machine_write(&m, "big", bytes, SIZE);
    assert_int_equal(machine_flush(&m), PAIL_OFFLINE);
    machine_stop(&m);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    machine_start(&m);
    assert_int_equal(machine_flush(&m), 0);
    assert_true(failing_store_calls(failing) < 8); /* head, list_parts, complete, and what few were cut */
    check_whole();
    close_all();
}

static void an_upload_that_is_gone(void **state) {
    (void)state;
    open_on(SHOP_ALL);
    failing_store_arm(failing, 8, 1000, FAILING_BEFORE, PAIL_OFFLINE);
    machine_write(&m, "big", bytes, SIZE);
    assert_int_equal(machine_flush(&m), PAIL_OFFLINE);
    uint64_t ino = machine_find(&m, "big");
    struct tree_work work;
    assert_int_equal(tree_work_get(m.tree, ino, &work), 0);
    assert_non_null(work.upload);
    assert_int_equal(store_abort_upload(store, "big", work.upload, NULL), 0);
    tree_work_finish(&work);
    failing_store_arm(failing, 0, 0, FAILING_BEFORE, 0);
    machine_flush_through(&m);
    check_whole();
    close_all();
}

/* A store that calls us in the middle of an upload. */
struct spy {
    struct store base;
    struct store_operations operations;
    struct store *inner;
    void (*act)(void);
    _Atomic int at; /* which part's arrival calls it */
};
static struct spy spy;

static int spy_put_part(struct store *base, const char *key, const char *upload, unsigned number,
                        const struct store_source *source, char **etag, const struct store_call *call) {
    int r = store_put_part(spy.inner, key, upload, number, source, etag, call);
    (void)base;
    if (atomic_fetch_sub(&spy.at, 1) == 1)
        spy.act();
    return r;
}

#define PASS(name, parameters, arguments)                                                                              \
    static int pass_##name parameters {                                                                                \
        (void)s;                                                                                                       \
        return store_##name arguments;                                                                                 \
    }
PASS(get,
     (struct store * s, const struct store_get *r, const struct store_sink *k, struct store_object *o,
      const struct store_call *c),
     (spy.inner, r, k, o, c))
PASS(head, (struct store * s, const char *k, const char *v, struct store_object *o, const struct store_call *c),
     (spy.inner, k, v, o, c))
PASS(put, (struct store * s, const struct store_put *r, struct store_written *w, const struct store_call *c),
     (spy.inner, r, w, c))
PASS(copy, (struct store * s, const struct store_copy *r, struct store_written *w, const struct store_call *c),
     (spy.inner, r, w, c))
PASS(remove, (struct store * s, const char *k, const char *e, const struct store_call *c), (spy.inner, k, e, c))
PASS(list, (struct store * s, const struct store_list *r, struct store_page *p, const struct store_call *c),
     (spy.inner, r, p, c))
PASS(list_versions,
     (struct store * s, const struct store_list_versions *r, struct store_page *p, const struct store_call *c),
     (spy.inner, r, p, c))
PASS(create_upload,
     (struct store * s, const char *k, const struct store_headers *h, char **u, const struct store_call *c),
     (spy.inner, k, h, u, c))
PASS(complete_upload,
     (struct store * s, const char *k, const char *u, const struct store_parts *p, uint64_t t,
      const struct store_when *w, struct store_written *o, const struct store_call *c),
     (spy.inner, k, u, p, t, w, o, c))
PASS(abort_upload, (struct store * s, const char *k, const char *u, const struct store_call *c), (spy.inner, k, u, c))
PASS(list_parts, (struct store * s, const char *k, const char *u, struct store_parts *p, const struct store_call *c),
     (spy.inner, k, u, p, c))

static void pass_features(struct store *s, struct store_features *out) {
    (void)s;
    store_features(spy.inner, out);
}

static void open_spied(enum shop shop, void (*act)(void)) {
    store = shop_open(shop);
    assert_int_equal(failing_store_create(&failing, store), 0);
    spy = (struct spy){.inner = store, .act = act};
    spy.operations = (struct store_operations){.features = pass_features,
                                               .get = pass_get,
                                               .head = pass_head,
                                               .put = pass_put,
                                               .copy = pass_copy,
                                               .remove = pass_remove,
                                               .list = pass_list,
                                               .list_versions = pass_list_versions,
                                               .create_upload = pass_create_upload,
                                               .put_part = spy_put_part,
                                               .complete_upload = pass_complete_upload,
                                               .abort_upload = pass_abort_upload,
                                               .list_parts = pass_list_parts};
    spy.base.operations = &spy.operations;
    machine_init(&m, &spy.base, "one");
    machine_start(&m);
    assert_int_equal(machine_list(&m, ""), 0);
    bytes = bytes_make(SIZE, 3);
}

static void patch_it(void) {
    memcpy(bytes + 5, "in the middle", 13);
    machine_patch(&m, "big", "in the middle", 5);
}

static void changed_while_it_is_sent(void **state) {
    (void)state;
    for (int at = 1; at <= 11; at += 5) {
        open_spied(SHOP_ALL, patch_it);
        spy.at = at;
        machine_write(&m, "big", bytes, SIZE);
        assert_int_equal(machine_flush(&m), 0);
        machine_flush_through(&m);
        check_whole();
        struct machine other;
        machine_init(&other, store, "two");
        machine_start(&other);
        AUTO_BUFFER struct buffer read = {0};
        struct tree_node ours, theirs;
        assert_int_equal(machine_read(&other, "big", &read), 0);
        assert_int_equal(read.size, SIZE);
        assert_memory_equal(read.data, bytes, SIZE);
        machine_node(&m, "big", &ours);
        machine_node(&other, "big", &theirs);
        assert_int_equal(ours.mtime_ns, theirs.mtime_ns);
        assert_string_equal(ours.content, theirs.content);
        tree_node_finish(&ours);
        tree_node_finish(&theirs);
        machine_finish(&other);
        close_all();
    }
}

static void remove_it(void) {
    machine_unlink(&m, "big");
}

static void removed_while_it_is_sent(void **state) {
    (void)state;
    open_spied(SHOP_ALL, remove_it);
    spy.at = 4;
    machine_write(&m, "big", bytes, SIZE);
    machine_flush(&m);
    machine_flush_through(&m);
    assert_int_equal(bucket_count(store, ""), 0);
    close_all();
}

static void rename_it(void) {
    machine_rename(&m, "big", "bigger", 0);
}

static void renamed_while_it_is_sent(void **state) {
    (void)state;
    open_spied(SHOP_ALL, rename_it);
    spy.at = 4;
    machine_write(&m, "big", bytes, SIZE);
    machine_flush(&m);
    machine_flush_through(&m);
    assert_int_equal(bucket_count(store, ""), 1);
    assert_int_equal(bucket_count(store, "bigger"), 1);
    AUTO_FREE char *there = bucket_get(store, "bigger");
    assert_memory_equal(there, bytes, SIZE);
    close_all();
}

static void write_theirs(void) {
    bucket_put(store, "big", "theirs");
}

static void overtaken_while_it_is_sent(void **state) {
    (void)state;
    for (enum shop shop = 0; shop < SHOP_END; shop++) {
        open_spied(shop, write_theirs);
        spy.at = 4;
        machine_write(&m, "big", bytes, SIZE);
        machine_flush(&m);
        machine_flush_through(&m);
        assert_true(bucket_has_text(store, "big", "theirs"));
        assert_int_equal(bucket_count(store, "big (conflict one"), 1);
        assert_int_equal(m.conflicts, 1);
        m.conflicts = 0;
        close_all();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_parts),
        cmocka_unit_test(it_goes_on_where_it_was),
        cmocka_unit_test(few_calls_after_a_restart),
        cmocka_unit_test(an_upload_that_is_gone),
        cmocka_unit_test(changed_while_it_is_sent),
        cmocka_unit_test(removed_while_it_is_sent),
        cmocka_unit_test(renamed_while_it_is_sent),
        cmocka_unit_test(overtaken_while_it_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

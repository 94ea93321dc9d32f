/* Two writers: every row of filesystem.md's table, on every kind of store. */
#include "fixture.h"

#include "base/clock.h"
#include "base/text.h"
#include "fs/sync/private.h"
#include "patience.h"

#include <stdio.h>

static struct store *store, *view_a, *view_b;
static struct machine a, b;
static enum shop shop;

static void open_both(enum shop kind) {
    shop = kind;
    store = shop_open(kind);
    assert_int_equal(memory_store_share(store, &view_a), 0);
    assert_int_equal(memory_store_share(store, &view_b), 0);
    machine_init(&a, view_a, "anna");
    machine_init(&b, view_b, "bert");
    machine_start(&a);
    machine_start(&b);
}

static void close_both(void) {
    machine_finish(&a);
    machine_finish(&b);
    store_destroy(view_a);
    store_destroy(view_b);
    store_destroy(store);
}

/* Both know f, with content "base". */
static void both_know(const char *path) {
    machine_write_text(&a, path, "base");
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_list(&b, ""), 0);
    assert_true(machine_has_text(&b, path, "base"));
}

static void content_content(void) {
    both_know("f.txt");
    machine_write_text(&a, "f.txt", "anna's");
    machine_write_text(&b, "f.txt", "bert's");
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_true(bucket_has_text(store, "f.txt", "anna's"));
    assert_int_equal(bucket_count(store, "f (conflict bert"), 1);
    assert_int_equal(bucket_count(store, ".txt"), 2);
    assert_int_equal(a.conflicts, 0);
    assert_int_equal(b.conflicts, 1);
    assert_int_equal(machine_names(&b, "", "conflict"), 1);
    assert_true(machine_has_text(&b, "f.txt", "anna's"));
    assert_int_equal(machine_names(&a, "", "conflict"), 1);
}

static void created_created(void) {
    assert_int_equal(machine_list(&a, ""), 0);
    assert_int_equal(machine_list(&b, ""), 0);
    machine_write_text(&a, "f", "anna's");
    machine_write_text(&b, "f", "bert's");
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_true(bucket_has_text(store, "f", "anna's"));
    assert_int_equal(bucket_count(store, "f (conflict bert"), 1);
    assert_int_equal(bucket_count(store, "f"), 2);
}

static void equal_content(void) {
    both_know("f");
    machine_write_text(&a, "f", "the same");
    machine_write_text(&b, "f", "the same");
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_int_equal(bucket_count(store, ""), 1);
    assert_int_equal(b.conflicts, 0);
    assert_true(machine_has_text(&b, "f", "the same"));
}

static void metadata_content(void) {
    both_know("f");
    machine_write_text(&a, "f", "anna's");
    assert_int_equal(machine_flush(&a), 0);
    machine_chmod(&b, "f", 0600);
    assert_int_equal(machine_flush(&b), 0);
    assert_true(bucket_has_text(store, "f", "anna's"));
    AUTO_FREE char *mode = bucket_header(store, "f", "x-amz-meta-mode");
    assert_string_equal(mode, "33152");
    assert_int_equal(bucket_count(store, ""), 1);
    assert_int_equal(b.conflicts, 0);
    assert_true(machine_has_text(&b, "f", "anna's"));
}

static void metadata_metadata(void) {
    both_know("f");
    machine_chmod(&a, "f", 0640);
    machine_chmod(&b, "f", 0600);
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_flush(&b), 0);
    AUTO_FREE char *mode = bucket_header(store, "f", "x-amz-meta-mode");
    assert_string_equal(mode, "33152");
    assert_int_equal(bucket_count(store, ""), 1);
    assert_int_equal(a.conflicts + b.conflicts, 0);
}

static void content_metadata(void) {
    both_know("f");
    machine_chmod(&a, "f", 0640);
    machine_write_text(&b, "f", "bert's");
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_true(bucket_has_text(store, "f", "bert's"));
    assert_int_equal(bucket_count(store, ""), 1);
    assert_int_equal(b.conflicts, 0);
}

static void content_deleted(void) {
    both_know("f");
    machine_unlink(&a, "f");
    machine_write_text(&b, "f", "bert's");
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_true(bucket_has_text(store, "f", "bert's"));
    assert_int_equal(bucket_count(store, ""), 1);
    assert_int_equal(b.conflicts, 0);
}

static void deleted_content(void) {
    both_know("f");
    both_know("g");
    machine_write_text(&a, "f", "anna's");
    assert_int_equal(machine_flush(&a), 0);
    machine_unlink(&b, "f");
    machine_unlink(&b, "g");
    assert_int_equal(machine_flush(&b), 0);
    assert_true(bucket_has_text(store, "f", "anna's"));
    assert_int_equal(bucket_count(store, "g"), 0);
    assert_int_equal(machine_list(&b, ""), 0);
    assert_true(machine_has_text(&b, "f", "anna's"));
    struct tree_totals totals;
    assert_int_equal(tree_totals(b.tree, &totals), 0);
    assert_int_equal(totals.conflicts, 1);
}

static void deleted_metadata(void) {
    both_know("f");
    machine_chmod(&a, "f", 0600);
    assert_int_equal(machine_flush(&a), 0);
    machine_unlink(&b, "f");
    assert_int_equal(machine_flush(&b), 0);
    assert_int_equal(bucket_count(store, ""), 0);
}

static void renamed_changed(void) {
    both_know("f");
    machine_write_text(&a, "f", "anna's");
    assert_int_equal(machine_flush(&a), 0);
    machine_rename(&b, "f", "g", 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_true(bucket_has_text(store, "g", "anna's"));
    assert_int_equal(bucket_count(store, ""), 1);
    assert_int_equal(b.conflicts, 0);
    assert_true(machine_has_text(&b, "g", "anna's"));
}

static void renamed_created(void) {
    both_know("f");
    assert_int_equal(machine_list(&b, ""), 0);
    machine_write_text(&a, "g", "anna's");
    assert_int_equal(machine_flush(&a), 0);
    struct tree_node node;
    assert_int_equal(tree_lookup(b.tree, TREE_ROOT, "g", &node), -ENOENT);
    uint64_t replaced;
    assert_int_equal(tree_rename(b.tree, TREE_ROOT, "f", TREE_ROOT, "g", 0, &replaced), 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_true(bucket_has_text(store, "g", "anna's"));
    assert_int_equal(bucket_count(store, "g (conflict bert"), 1);
    assert_int_equal(bucket_count(store, ""), 2);
    assert_int_equal(machine_list(&b, ""), 0);
    assert_true(machine_has_text(&b, "g", "anna's"));
}

static void renamed_deleted(void) {
    both_know("f");
    machine_unlink(&a, "f");
    assert_int_equal(machine_flush(&a), 0);
    machine_rename(&b, "f", "g", 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_int_equal(bucket_count(store, "f"), 0);
    struct tree_totals totals;
    assert_int_equal(tree_totals(b.tree, &totals), 0);
    assert_int_equal(totals.unsent, 0);
}

static void folder_moved_key_added(void) {
    machine_mkdir(&a, "old");
    machine_write_text(&a, "old/1", "one");
    assert_int_equal(machine_flush(&a), 0);
    assert_true(machine_has_text(&b, "old/1", "one"));
    machine_rename(&b, "old", "new", 0);
    assert_int_equal(machine_flush(&b), 0);
    machine_write_text(&a, "old/2", "two"); /* anna has not seen it yet */
    assert_int_equal(machine_flush(&a), 0);
    assert_true(bucket_has_text(store, "new/1", "one"));
    assert_true(bucket_has_text(store, "old/2", "two"));
    assert_int_equal(bucket_count(store, "old/1"), 0);
    assert_int_equal(machine_list(&b, ""), 0);
    assert_true(machine_has_text(&b, "old/2", "two"));
    assert_true(machine_has_text(&b, "new/1", "one"));
}

static void mkdir_mkdir(void) {
    assert_int_equal(machine_list(&a, ""), 0);
    assert_int_equal(machine_list(&b, ""), 0);
    machine_mkdir(&a, "d");
    machine_mkdir(&b, "d");
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_int_equal(bucket_count(store, ""), 1);
    assert_int_equal(b.conflicts, 0);
}

static void hundred_clashes(void) {
    char name[20], text[40];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "f%03d", i);
        machine_write_text(&a, name, "base");
    }
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_list(&b, ""), 0);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "f%03d", i);
        snprintf(text, sizeof text, "anna's %d", i);
        machine_write_text(&a, name, text);
        snprintf(text, sizeof text, "bert's %d", i);
        machine_write_text(&b, name, text);
    }
    assert_int_equal(machine_flush(&a), 0);
    assert_int_equal(machine_flush(&b), 0);
    assert_int_equal(bucket_count(store, ""), 200);
    assert_int_equal(bucket_count(store, "conflict bert"), 100);
    assert_true(bucket_has_text(store, "f042", "anna's 42"));
}

static const struct {
    const char *name;
    void (*run)(void);
} rows[] = {
    {"content | content", content_content},
    {"created | created", created_created},
    {"equal content", equal_content},
    {"metadata | content", metadata_content},
    {"metadata | metadata", metadata_metadata},
    {"content | metadata", content_metadata},
    {"content | deleted", content_deleted},
    {"deleted | content", deleted_content},
    {"deleted | metadata", deleted_metadata},
    {"renamed | changed", renamed_changed},
    {"renamed | created", renamed_created},
    {"renamed | deleted", renamed_deleted},
    {"folder moved | key added", folder_moved_key_added},
    {"mkdir | mkdir", mkdir_mkdir},
    {"100 clashes", hundred_clashes},
};

static void the_table(void **state) {
    (void)state;
    for (enum shop kind = 0; kind < SHOP_END; kind++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            print_message("  %s: %s\n", shop_names[kind], rows[i].name);
            open_both(kind);
            rows[i].run();
            close_both();
        }
}

/* ---- Between the look and the act, on stores that take no condition ---- */

/* Passes calls on; right before (or after) a put or delete of this key, somebody else writes there. */
struct meddler {
    struct store base;
    struct store_operations operations;
    struct store *inner;
    const char *key, *text;
    _Atomic bool armed;
};

static void meddle(struct meddler *meddler, const char *key) {
    if (strcmp(key, meddler->key) == 0 && atomic_exchange(&meddler->armed, false))
        bucket_put(meddler->inner, key, meddler->text);
}

static int meddling_put(struct store *base, const struct store_put *request, struct store_written *written,
                        const struct store_call *call) {
    struct meddler *meddler = (struct meddler *)base;
    meddle(meddler, request->key);
    return store_put(meddler->inner, request, written, call);
}

static int meddling_copy(struct store *base, const struct store_copy *request, struct store_written *written,
                         const struct store_call *call) {
    struct meddler *meddler = (struct meddler *)base;
    meddle(meddler, request->key);
    int r = store_copy(meddler->inner, request, written, call);
    if (!r) { /* Ceph tells no version id of a copy */
        free(written->version);
        written->version = NULL;
    }
    return r;
}

static int meddling_remove(struct store *base, const char *key, const char *etag, const struct store_call *call) {
    struct meddler *meddler = (struct meddler *)base;
    meddle(meddler, key);
    return store_remove(meddler->inner, key, etag, call);
}

static int meddling_remove_many(struct store *base, struct store_delete *items, size_t count,
                                const struct store_call *call) {
    struct meddler *meddler = (struct meddler *)base;
    for (size_t i = 0; i < count; i++)
        meddle(meddler, items[i].key);
    return store_remove_many(meddler->inner, items, count, call);
}

#define PASS(name, parameters, arguments)                                                                              \
    static int pass_##name parameters {                                                                                \
        return store_##name arguments;                                                                                 \
    }
#define INNER ((struct meddler *)s)->inner
PASS(get,
     (struct store * s, const struct store_get *r, const struct store_sink *k, struct store_object *o,
      const struct store_call *c),
     (INNER, r, k, o, c))
PASS(head, (struct store * s, const char *k, const char *v, struct store_object *o, const struct store_call *c),
     (INNER, k, v, o, c))
PASS(list, (struct store * s, const struct store_list *r, struct store_page *p, const struct store_call *c),
     (INNER, r, p, c))
PASS(list_versions,
     (struct store * s, const struct store_list_versions *r, struct store_page *p, const struct store_call *c),
     (INNER, r, p, c))

static void pass_features(struct store *s, struct store_features *out) {
    store_features(INNER, out);
}

static void meddler_init(struct meddler *meddler, struct store *inner, const char *key, const char *text) {
    *meddler = (struct meddler){.inner = inner, .key = key, .text = text};
    meddler->operations = (struct store_operations){.features = pass_features,
                                                    .get = pass_get,
                                                    .head = pass_head,
                                                    .list = pass_list,
                                                    .list_versions = pass_list_versions,
                                                    .put = meddling_put,
                                                    .copy = meddling_copy,
                                                    .remove = meddling_remove,
                                                    .remove_many = meddling_remove_many};
    meddler->base.operations = &meddler->operations;
}

static struct meddler meddler;
static struct machine m;

static void open_meddled(enum shop kind) {
    store = shop_open(kind);
    meddler_init(&meddler, store, "f", "theirs");
    machine_init(&m, &meddler.base, "one");
    machine_start(&m);
    machine_write_text(&m, "f", "base");
    machine_write_text(&m, "other", "other");
    assert_int_equal(machine_flush(&m), 0);
}

static void close_meddled(void) {
    machine_finish(&m);
    store_destroy(store);
}

/* ---- Seen by two at once ---- */

/* Whoever looks at f first waits until somebody else has seen theirs, and that one tarries before it tells. */
static struct {
    _Atomic int heads;
    _Atomic bool taken_over;
} watched;

static int tarrying_head(struct store *base, const char *key, const char *version, struct store_object *object,
                         const struct store_call *call) {
    bool first = strcmp(key, "f") == 0 && meddler.armed && atomic_fetch_add(&watched.heads, 1) == 0;
    if (first)
        WAIT_UNTIL(watched.taken_over);
    return pass_head(base, key, version, object, call);
}

static int tarrying_copy(struct store *base, const struct store_copy *request, struct store_written *written,
                         const struct store_call *call) {
    clock_sleep_ms(500);
    return meddling_copy(base, request, written, call);
}

static void tarry(void *context, uint64_t from, uint64_t to) {
    (void)context, (void)from, (void)to;
    watched.taken_over = true;
    clock_sleep_ms(100); /* for the job of the old node to end meanwhile */
}

static void taken_over_while_flushing(void **state) {
    (void)state;
    open_meddled(SHOP_CEPH);
    meddler.operations.head = tarrying_head;
    meddler.operations.copy = tarrying_copy;
    meddler.key = "nothing";
    struct tree_watch watch = {.work_taken_over = tarry};
    machine_stop(&m);
    machine_start_watched(&m, &watch);
    uint64_t ino = machine_find(&m, "f");
    machine_chmod(&m, "f", 0600);
    bucket_put(store, "f", "theirs");
    struct answer flushed = {0}, looked = {0};
    meddler.armed = true;
    sync_flush(m.sync, TREE_ROOT, answer_take, &flushed);
    WAIT_UNTIL(watched.heads);
    sync_head(m.sync, ino, answer_take, &looked);
    assert_int_equal(answer_wait(&flushed), 0);
    AUTO_FREE char *mode = bucket_header(store, "f", "x-amz-meta-mode");
    answer_wait(&looked);
    assert_non_null(mode);
    assert_string_equal(mode, "33152");
    assert_true(bucket_has_text(store, "f", "theirs"));
    close_meddled();
}

static void overwritten_blindly(void **state) {
    (void)state;
    for (enum shop kind = 0; kind < SHOP_END; kind++) {
        if (kind == SHOP_CEPH_UNVERSIONED)
            continue; /* promise 4 does not hold for what lies between the look and the act: it is said at mount */
        open_meddled(kind);
        machine_write_text(&m, "f", "ours");
        meddler.armed = true;
        assert_int_equal(machine_flush(&m), 0);
        AUTO_FREE char *there = bucket_get(store, "f");
        bool ours = strcmp(there, "ours") == 0;
        assert_true(ours || strcmp(there, "theirs") == 0);
        assert_int_equal(bucket_count(store, "conflict"), 1);
        assert_int_equal(m.conflicts, 1);
        assert_int_equal(machine_names(&m, "", "conflict"), 1);
        assert_true(machine_has_text(&m, "f", there));
        close_meddled();
    }
}

static void overwritten_with_the_same(void **state) {
    (void)state;
    for (enum shop kind = 0; kind < SHOP_END; kind++) {
        open_meddled(kind);
        meddler.text = "ours";
        machine_write_text(&m, "f", "ours");
        meddler.armed = true;
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, "f", "ours"));
        assert_int_equal(bucket_count(store, "conflict"), 0);
        assert_int_equal(m.conflicts, 0);
        close_meddled();
    }
}

static void created_blindly(void **state) {
    (void)state;
    for (enum shop kind = 0; kind < SHOP_END; kind++) {
        if (kind == SHOP_CEPH_UNVERSIONED)
            continue;
        open_meddled(kind);
        meddler.key = "new";
        machine_write_text(&m, "new", "ours");
        meddler.armed = true;
        assert_int_equal(machine_flush(&m), 0);
        assert_int_equal(bucket_count(store, "conflict"), 1);
        assert_int_equal(bucket_count(store, "new"), 2);
        close_meddled();
    }
}

static void renamed_over_blindly(void **state) {
    (void)state;
    for (enum shop kind = 0; kind < SHOP_END; kind++) {
        if (kind == SHOP_CEPH_UNVERSIONED)
            continue;
        open_meddled(kind);
        meddler.key = "new";
        machine_rename(&m, "f", "new", 0);
        meddler.armed = true;
        assert_int_equal(machine_flush(&m), 0);
        assert_int_equal(bucket_count(store, "new"), 2);
        assert_int_equal(bucket_count(store, "conflict"), 1);
        close_meddled();
    }
}

static void deleted_blindly(void **state) {
    (void)state;
    for (enum shop kind = 0; kind < SHOP_END; kind++) {
        if (kind == SHOP_CEPH_UNVERSIONED)
            continue;
        open_meddled(kind);
        machine_unlink(&m, "f");
        machine_unlink(&m, "other");
        meddler.armed = true;
        assert_int_equal(machine_flush(&m), 0);
        assert_true(bucket_has_text(store, "f", "theirs"));
        assert_int_equal(bucket_count(store, ""), 1);
        assert_true(machine_names(&m, "", "f") == 1);
        assert_true(machine_has_text(&m, "f", "theirs"));
        close_meddled();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table),           cmocka_unit_test(taken_over_while_flushing),
        cmocka_unit_test(overwritten_blindly), cmocka_unit_test(overwritten_with_the_same),
        cmocka_unit_test(created_blindly),     cmocka_unit_test(renamed_over_blindly),
        cmocka_unit_test(deleted_blindly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

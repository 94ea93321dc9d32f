/* fs/tree: listings merged with what is known. */
#include "fixture.h"

static uint64_t ino_of(struct fixture *fixture, const char *path) {
    AUTO_NODE struct tree_node node = {0};
    return tree_find(fixture->tree, path, &node) ? 0 : node.ino;
}

static void head_of(struct fixture *fixture, uint64_t ino, bool settled) {
    AUTO_NODE struct tree_node node = {0};
    uint64_t now;
    assert_int_equal(tree_get(fixture->tree, ino, &node), 0);
    struct tree_head head = {.key = node.remote.key,
                             .etag = node.remote.etag,
                             .size = node.remote.size,
                             .modified_s = node.remote.modified_s,
                             .settled = settled,
                             .has_mode = true,
                             .mode = 0100600};
    assert_int_equal(tree_apply_head(fixture->tree, ino, tree_change_number(fixture->tree), &head, &now), 0);
    assert_int_equal(now, ino);
}

static bool known(struct fixture *fixture, uint64_t ino) {
    AUTO_NODE struct tree_node node = {0};
    assert_int_equal(tree_get(fixture->tree, ino, &node), 0);
    return node.remote.head_known;
}

static void test_first_listing(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", prefix("a/"), object("b", "e1", 7, 100), object("c", "e2", 8, 200));
    assert_children(fixture, TREE_ROOT, "a,b,c");
    AUTO_NODE struct tree_node a = {0}, b = {0};
    assert_int_equal(tree_lookup(fixture->tree, TREE_ROOT, "a", &a), 0);
    assert_int_equal(a.type, TREE_FOLDER);
    assert_string_equal(a.remote.key, "a/");
    assert_string_equal(a.remote.etag, ""); /* whether there is a marker is not known */
    assert_int_equal(tree_lookup(fixture->tree, TREE_ROOT, "b", &b), 0);
    assert_int_equal(b.size, 7);
    assert_true(b.mtime_ns == 100 * 1000000000ll);
    assert_int_equal(b.mode, 0644);
    assert_false(b.remote.head_known);
    assert_int_equal(fixture->seen.changed, 0); /* nobody was told that they are not there */
}

static void test_unchanged_is_no_news(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", prefix("a/"), object("b", "e1", 7, 100));
    uint64_t b = ino_of(fixture, "b");
    head_of(fixture, b, true);
    assert_true(known(fixture, b));
    LIST(fixture, TREE_ROOT, "", prefix("a/"), object("b", "e1", 7, 100));
    assert_true(known(fixture, b));
    assert_int_equal(ino_of(fixture, "b"), b);
    assert_int_equal(fixture->seen.changed + fixture->seen.gone, 0);
}

static void test_new_content_is_a_new_node(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("b", "e1", 7, 100));
    uint64_t b = ino_of(fixture, "b");
    LIST(fixture, TREE_ROOT, "", object("b", "e2", 7, 100));
    assert_true(ino_of(fixture, "b") > b);
    assert_int_equal(fixture->seen.changed, 1);
    AUTO_NODE struct tree_node old = {0};
    assert_int_equal(tree_get(fixture->tree, b, &old), 0);
    assert_int_equal(old.parent, 0);
    assert_string_equal(old.remote.etag, "e1"); /* for those who read it */
}

/* Who waits for the work of the old node has to wait for the new one. */
static void test_new_content_takes_the_work_over(void **state) {
    struct fixture *fixture = *state;
    struct tree_head head = {.key = "b", .etag = "e2", .size = 7, .modified_s = 100};
    uint64_t now = 0;
    LIST(fixture, TREE_ROOT, "", object("b", "e1", 7, 100));
    uint64_t b = ino_of(fixture, "b");
    assert_int_equal(tree_set_attributes(fixture->tree, b, TREE_MODE, &(struct tree_node){.mode = 0600}), 0);
    assert_int_equal(tree_apply_head(fixture->tree, b, tree_change_number(fixture->tree), &head, &now), 0);
    assert_int_equal(ino_of(fixture, "b"), now);
    assert_int_equal(fixture->seen.taken_from, b);
    assert_int_equal(fixture->seen.taken_to, now);
    AUTO_NODE struct tree_node node = {0};
    assert_int_equal(tree_get(fixture->tree, now, &node), 0);
    assert_int_equal(node.mode, 0600);
    assert_int_equal(node.work, TREE_WORK_META);
}

static void test_other_metadata(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("b", "e1", 7, 100));
    uint64_t b = ino_of(fixture, "b");
    head_of(fixture, b, true);
    LIST(fixture, TREE_ROOT, "", object("b", "e1", 7, 101));
    assert_int_equal(ino_of(fixture, "b"), b);
    assert_false(known(fixture, b));
}

static void test_unsettled_head(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("b", "e1", 7, 100));
    uint64_t b = ino_of(fixture, "b");
    head_of(fixture, b, false);
    assert_true(known(fixture, b)); /* for now */
    LIST(fixture, TREE_ROOT, "", object("b", "e1", 7, 100));
    assert_false(known(fixture, b));
}

static void test_our_own_write(void **state) {
    struct fixture *fixture = *state;
    list_empty(fixture, TREE_ROOT, "");
    uint64_t x = make(fixture, TREE_ROOT, "x", TREE_FILE);
    assert_true(upload(fixture, x, "e1"));
    assert_true(known(fixture, x));
    LIST(fixture, TREE_ROOT, "", object("x", "e1", 0, 500)); /* its time is taken over */
    assert_true(known(fixture, x));
    LIST(fixture, TREE_ROOT, "", object("x", "e1", 0, 501)); /* this is somebody else's */
    assert_false(known(fixture, x));
    assert_int_equal(ino_of(fixture, "x"), x);
}

static void test_gone(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("a", "e1", 7, 100), object("b", "e2", 7, 100));
    uint64_t b = ino_of(fixture, "b");
    LIST(fixture, TREE_ROOT, "", object("a", "e1", 7, 100));
    assert_int_equal(ino_of(fixture, "b"), 0);
    assert_int_equal(fixture->seen.gone, 1);
    assert_string_equal(fixture->seen.last_gone, "b");
    AUTO_NODE struct tree_node node = {0};
    assert_int_equal(tree_get(fixture->tree, b, &node), 0);
    ASSERT_GONE(fixture, ""); /* nothing is to be deleted */
}

static void test_gone_only_where_covered(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("a", "e1", 7, 100), object("b", "e2", 7, 100), object("c", "e3", 7, 100));
    struct tree_listing *listing = begin_listing(fixture, TREE_ROOT, false, "");
    page(listing, (struct tree_entry[]){object("b", "e2", 7, 100)}, 1, false);
    assert_children(fixture, TREE_ROOT, "b,c"); /* "c" may still come */
    page(listing, NULL, 0, true);
    assert_children(fixture, TREE_ROOT, "b");
    tree_listing_end(listing);
}

static void test_local_changes_stay(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("a", "e1", 7, 100), object("b", "e2", 7, 100));
    uint64_t a = ino_of(fixture, "a"), x = make(fixture, TREE_ROOT, "x", TREE_FILE);
    assert_int_equal(tree_wrote(fixture->tree, a, 99, 3, 5, true), 0);
    LIST(fixture, TREE_ROOT, "", object("b", "e2", 7, 100), object("x", "e9", 1, 100));
    assert_int_equal(ino_of(fixture, "a"), a);
    assert_int_equal(ino_of(fixture, "x"), x);
    assert_target(fixture, a, "a", "e1"); /* the upload meets what was done there */
    assert_target(fixture, x, "x", NULL);
}

static void test_upload_during_a_listing(void **state) {
    struct fixture *fixture = *state;
    list_empty(fixture, TREE_ROOT, "");
    uint64_t x = make(fixture, TREE_ROOT, "x", TREE_FILE);
    struct tree_listing *listing = begin_listing(fixture, TREE_ROOT, false, "");
    upload(fixture, x, "e1");
    page(listing, NULL, 0, true); /* asked for before it arrived */
    tree_listing_end(listing);
    assert_int_equal(ino_of(fixture, "x"), x);
    list_empty(fixture, TREE_ROOT, "");
    assert_int_equal(ino_of(fixture, "x"), 0);
}

static void test_flat(void **state) {
    struct fixture *fixture = *state;
    LIST_FLAT(fixture, TREE_ROOT, "", object("a/b/c", "e1", 1, 1), object("a/d/", "m", 0, 1), object("e", "e2", 1, 1));
    struct tree_folder folder;
    uint64_t b = ino_of(fixture, "a/b");
    assert_true(ino_of(fixture, "a/b/c"));
    assert_true(ino_of(fixture, "a/d"));
    assert_int_equal(tree_folder_state(fixture->tree, b, &folder), 0);
    assert_true(folder.complete);
    assert_true(folder.listed_ms > 0);
    AUTO_NODE struct tree_node node = {0}, marked = {0};
    assert_int_equal(tree_get(fixture->tree, b, &node), 0);
    assert_null(node.remote.etag); /* it has no marker, and that is known */
    assert_true(node.remote.head_known);
    assert_int_equal(tree_find(fixture->tree, "a/d", &marked), 0);
    assert_string_equal(marked.remote.etag, "m");
    LIST_FLAT(fixture, TREE_ROOT, "", object("a/d/", "m", 0, 1));
    assert_int_equal(ino_of(fixture, "a/b"), 0);
    assert_children(fixture, TREE_ROOT, "a");
}

static void test_folder_gone_with_local_work_below(void **state) {
    struct fixture *fixture = *state;
    LIST_FLAT(fixture, TREE_ROOT, "", object("a/x", "e1", 1, 1), object("b/x", "e1", 1, 1));
    uint64_t a = ino_of(fixture, "a");
    make(fixture, a, "new", TREE_FILE);
    list_empty(fixture, TREE_ROOT, "");
    assert_children(fixture, TREE_ROOT, "a");
    assert_children(fixture, a, "x,new"); /* its own listing says more */
    list_empty(fixture, a, "a/");
    assert_children(fixture, a, "new");
}

static void test_marker(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", prefix("a/"));
    uint64_t a = ino_of(fixture, "a");
    LIST(fixture, a, "a/", object("a/", "m", 0, 1), object("a/x", "e", 1, 1));
    AUTO_NODE struct tree_node with = {0}, without = {0};
    assert_int_equal(tree_get(fixture->tree, a, &with), 0);
    assert_string_equal(with.remote.etag, "m");
    assert_children(fixture, a, "x");
    LIST(fixture, a, "a/", object("a/x", "e", 1, 1));
    assert_int_equal(tree_get(fixture->tree, a, &without), 0);
    assert_null(without.remote.etag);
    assert_true(without.remote.head_known);
}

static void test_file_beside_folder(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("x", "e", 1, 1));
    uint64_t x = ino_of(fixture, "x"), replaced;
    LIST(fixture, TREE_ROOT, "", object("x", "e", 1, 1), prefix("x/"));
    assert_int_equal(ino_of(fixture, "x (object)"), x);
    AUTO_NODE struct tree_node folder = {0};
    assert_int_equal(tree_find(fixture->tree, "x", &folder), 0);
    assert_int_equal(folder.type, TREE_FOLDER);
    assert_int_equal(work_of(fixture, x), 0); /* it stays where it is */
    assert_int_equal(tree_wrote(fixture->tree, x, 77, 1, 1, true), 0);
    assert_target(fixture, x, "x", "e");
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "x (object)", TREE_ROOT, "y", 0, &replaced), 0);
    assert_target(fixture, x, "y", NULL);
}

static void test_made_up_name_goes(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("x", "e", 1, 1), prefix("x/"));
    LIST(fixture, TREE_ROOT, "", object("x", "e", 1, 1));
    LIST(fixture, TREE_ROOT, "", object("x", "e", 1, 1));
    assert_children(fixture, TREE_ROOT, "x");
}

static void test_folder_moves_off_under_a_made_up_name(void **state) {
    struct fixture *fixture = *state;
    LIST_FLAT(fixture, TREE_ROOT, "", object("x", "e", 1, 1), object("x/y", "e", 1, 1));
    uint64_t object_ino = ino_of(fixture, "x (object)"), replaced;
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "x", TREE_ROOT, "z", 0, &replaced), 0);
    uint64_t file = make(fixture, TREE_ROOT, "x", TREE_FILE);
    AUTO_WORK struct tree_work work = {0};
    assert_int_equal(tree_work_get(fixture->tree, file, &work), 0);
    assert_int_equal(work.blocked_by, object_ino);
    assert_target(fixture, object_ino, "x (object)", NULL); /* it makes way */
}

static int join_key(void *context, const char *key) {
    char *text = context;
    snprintf(text + strlen(text), 4096 - strlen(text), "%s%s", *text ? " " : "", key);
    return 0;
}

static void test_hidden_keys(void **state) {
    struct fixture *fixture = *state;
    struct tree_totals totals;
    char text[4096] = "", again[4096] = "", longest[300];
    uint64_t ino;
    memset(longest, 'n', sizeof longest);
    memcpy(longest, "a/", 2);
    longest[2 + 256] = 0;
    LIST_FLAT(fixture, TREE_ROOT, "", object("a/./x", "e", 1, 1), object("a//b", "e", 1, 1),
              object(longest, "e", 1, 1));
    uint64_t a = ino_of(fixture, "a");
    assert_children(fixture, a, "");
    assert_int_equal(tree_totals(fixture->tree, &totals), 0);
    assert_int_equal(totals.hidden, 3);
    assert_int_equal(tree_hidden(fixture->tree, 2, join_key, text), 0);
    assert_string_equal(text, "a/./x a//b");
    assert_int_equal(tree_rmdir(fixture->tree, TREE_ROOT, "a", &ino), -ENOTEMPTY);
    LIST(fixture, a, "a/", prefix("a//")); /* its keys are known in whole already */
    assert_int_equal(tree_hidden(fixture->tree, 9, join_key, again), 0);
    assert_string_equal(again, "a//b");
    list_empty(fixture, a, "a/");
    assert_int_equal(tree_totals(fixture->tree, &totals), 0);
    assert_int_equal(totals.hidden, 0);
}

static void test_prefix_of_what_was_removed(void **state) {
    struct fixture *fixture = *state;
    LIST_FLAT(fixture, TREE_ROOT, "", object("a/x", "e", 1, 1));
    uint64_t ino, a = ino_of(fixture, "a");
    assert_int_equal(tree_unlink(fixture->tree, a, "x", &ino), 0);
    assert_int_equal(tree_rmdir(fixture->tree, TREE_ROOT, "a", &ino), 0);
    LIST(fixture, TREE_ROOT, "", prefix("a/")); /* not yet deleted there */
    assert_children(fixture, TREE_ROOT, "");
    ASSERT_GONE(fixture, "a/x e");
    LIST(fixture, TREE_ROOT, "", prefix("a/")); /* somebody else made something there */
    assert_children(fixture, TREE_ROOT, "a");
}

static void test_page_out_of_order(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("a", "e", 1, 1), object("b", "e", 1, 1));
    struct tree_listing *listing = begin_listing(fixture, TREE_ROOT, false, "");
    struct tree_entry entries[] = {object("b", "e", 1, 1), object("a", "e", 1, 1)};
    assert_true(tree_listing_page(listing, entries, 2, true, NULL, NULL) < 0);
    tree_listing_end(listing);
    assert_children(fixture, TREE_ROOT, "a,b"); /* nothing is believed of such a page */
}

static void test_heads_to_ask(void **state) {
    struct fixture *fixture = *state;
    struct tree_listing *listing = begin_listing(fixture, TREE_ROOT, false, "");
    struct tree_entry entries[] = {prefix("a/"), object("b", "e", 1, 1), object("c//", "e", 1, 1)};
    entries[2] = prefix("c/");
    uint64_t *heads;
    size_t count;
    assert_int_equal(tree_listing_page(listing, entries, 3, true, &heads, &count), 0);
    tree_listing_end(listing);
    assert_int_equal(count, 3);
    free(heads);
    head_of(fixture, ino_of(fixture, "b"), true);
    listing = begin_listing(fixture, TREE_ROOT, false, "");
    assert_int_equal(tree_listing_page(listing, entries + 1, 1, false, &heads, &count), 0);
    tree_listing_end(listing);
    assert_int_equal(count, 0);
    free(heads);
}

static void test_keep_ours(void **state) {
    struct fixture *fixture = *state;
    list_empty(fixture, TREE_ROOT, "");
    uint64_t x = make(fixture, TREE_ROOT, "x", TREE_FILE);
    upload(fixture, x, "e1");
    struct tree_listing *listing = begin_listing(fixture, TREE_ROOT, false, "");
    tree_listing_keep_ours(listing);
    page(listing, NULL, 0, true);
    tree_listing_end(listing);
    assert_int_equal(ino_of(fixture, "x"), x);
}

static void test_survives_a_restart(void **state) {
    struct fixture *fixture = *state;
    LIST_FLAT(fixture, TREE_ROOT, "", object("a/b", "e1", 1, 1), object("c", "e2", 2, 2));
    uint64_t b = ino_of(fixture, "a/b");
    head_of(fixture, b, true);
    fixture_reopen(fixture);
    assert_int_equal(ino_of(fixture, "a/b"), b);
    assert_true(known(fixture, b));
    AUTO_NODE struct tree_node none = {0};
    assert_int_equal(tree_find(fixture->tree, "a/x", &none), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_first_listing),
        TREE_TEST(test_unchanged_is_no_news),
        TREE_TEST(test_new_content_is_a_new_node),
        TREE_TEST(test_new_content_takes_the_work_over),
        TREE_TEST(test_other_metadata),
        TREE_TEST(test_unsettled_head),
        TREE_TEST(test_our_own_write),
        TREE_TEST(test_gone),
        TREE_TEST(test_gone_only_where_covered),
        TREE_TEST(test_local_changes_stay),
        TREE_TEST(test_upload_during_a_listing),
        TREE_TEST(test_flat),
        TREE_TEST(test_folder_gone_with_local_work_below),
        TREE_TEST(test_marker),
        TREE_TEST(test_file_beside_folder),
        TREE_TEST(test_made_up_name_goes),
        TREE_TEST(test_folder_moves_off_under_a_made_up_name),
        TREE_TEST(test_hidden_keys),
        TREE_TEST(test_prefix_of_what_was_removed),
        TREE_TEST(test_page_out_of_order),
        TREE_TEST(test_heads_to_ask),
        TREE_TEST(test_keep_ours),
        TREE_TEST(test_survives_a_restart),
    };
    return cmocka_run_group_tests_name("fs/tree listing", tests, NULL, NULL);
}

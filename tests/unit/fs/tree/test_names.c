/* fs/tree: names, as programs make, remove and move them. */
#include "fixture.h"

#include "base/clock.h"

static void complete_root(struct fixture *fixture) {
    list_empty(fixture, TREE_ROOT, "");
}

static void test_unknown_until_listed(void **state) {
    struct fixture *fixture = *state;
    AUTO_NODE struct tree_node node = {0};
    uint64_t ino;
    assert_int_equal(tree_lookup(fixture->tree, TREE_ROOT, "a", &node), TREE_UNKNOWN);
    assert_int_equal(tree_unlink(fixture->tree, TREE_ROOT, "a", &ino), TREE_UNKNOWN);
    assert_int_equal(tree_create_node(fixture->tree, TREE_ROOT, "a", TREE_FILE, 0644, NULL, NULL, 1, &node),
                     TREE_UNKNOWN);
    complete_root(fixture);
    assert_int_equal(tree_lookup(fixture->tree, TREE_ROOT, "a", &node), -ENOENT);
    struct tree_folder folder;
    assert_int_equal(tree_folder_state(fixture->tree, TREE_ROOT, &folder), 0);
    assert_true(folder.complete);
    assert_true(folder.listed_ms > 0 && folder.listed_ms <= clock_monotonic_ms());
    fixture_reopen(fixture);
    assert_int_equal(tree_lookup(fixture->tree, TREE_ROOT, "a", &node), -ENOENT);
    assert_int_equal(tree_folder_state(fixture->tree, TREE_ROOT, &folder), 0);
    assert_true(folder.complete);
    assert_int_equal(folder.listed_ms, 0);
}

static void test_create(void **state) {
    struct fixture *fixture = *state;
    complete_root(fixture);
    uint64_t folder = make(fixture, TREE_ROOT, "f", TREE_FOLDER), file = make(fixture, folder, "x", TREE_FILE);
    uint64_t link = make(fixture, folder, "l", TREE_LINK);
    AUTO_NODE struct tree_node node = {0}, root = {0}, again = {0};
    assert_int_equal(tree_get(fixture->tree, file, &node), 0);
    assert_int_equal(node.parent, folder);
    assert_string_equal(node.name, "x");
    assert_int_equal(node.uid, 1000);
    assert_int_equal(node.work, TREE_WORK_CONTENT);
    assert_int_equal(strlen(node.content), 32);
    assert_true(node.spool > 0);
    assert_null(node.remote.key);
    assert_int_equal(tree_create_node(fixture->tree, folder, "x", TREE_FILE, 0644, NULL, NULL, 9, &again), -EEXIST);
    assert_int_equal(tree_get(fixture->tree, TREE_ROOT, &root), 0);
    assert_int_equal(root.links, 3);
    assert_true(link > file && file > folder);
    assert_children(fixture, folder, "x,l");
    AUTO_FREE char *path = NULL;
    assert_int_equal(tree_path(fixture->tree, file, &path), 0);
    assert_string_equal(path, "f/x");
    AUTO_NODE struct tree_node found = {0}, none = {0};
    assert_int_equal(tree_find(fixture->tree, "/f//./x", &found), 0);
    assert_int_equal(found.ino, file);
    assert_int_equal(tree_find(fixture->tree, "f/y", &none), -ENOENT);
    assert_int_equal(tree_find(fixture->tree, "f/x/y", &none), -ENOTDIR);
}

static void test_bad_names(void **state) {
    struct fixture *fixture = *state;
    complete_root(fixture);
    char longest[258];
    memset(longest, 'n', sizeof longest);
    longest[256] = 0;
    AUTO_NODE struct tree_node node = {0};
    struct tree *tree = fixture->tree;
    assert_int_equal(tree_create_node(tree, TREE_ROOT, longest, TREE_FILE, 0644, NULL, NULL, 1, &node), -ENAMETOOLONG);
    assert_int_equal(tree_create_node(tree, TREE_ROOT, "\xff", TREE_FILE, 0644, NULL, NULL, 1, &node), -EILSEQ);
    assert_int_equal(tree_create_node(tree, TREE_ROOT, "..", TREE_FILE, 0644, NULL, NULL, 1, &node), -EINVAL);
    assert_int_equal(tree_create_node(tree, TREE_ROOT, "a/b", TREE_FILE, 0644, NULL, NULL, 1, &node), -EINVAL);
    longest[255] = 0;
    uint64_t at = TREE_ROOT;
    for (int i = 0; i < 3; i++)
        at = make(fixture, at, longest, TREE_FOLDER);
    longest[254] = 0; /* 3 * 256 + 254 = 1,022; a folder has a slash behind it */
    uint64_t deep = make(fixture, at, longest, TREE_FOLDER);
    assert_int_equal(tree_create_node(tree, deep, "y", TREE_FILE, 0644, NULL, NULL, 1, &node), 0);
    tree_node_finish(&node);
    assert_int_equal(tree_create_node(tree, deep, "yy", TREE_FILE, 0644, NULL, NULL, 1, &node), -ENAMETOOLONG);
}

/* Below a prefix of the bucket a key has less room. */
static void test_names_below_a_prefix(void **state) {
    struct fixture *fixture = *state;
    uint64_t replaced;
    tree_limit_keys(fixture->tree, 10);
    complete_root(fixture);
    AUTO_NODE struct tree_node node = {0};
    struct tree *tree = fixture->tree;
    uint64_t folder = make(fixture, TREE_ROOT, "folder", TREE_FOLDER);
    make(fixture, folder, "abc", TREE_FILE);
    assert_int_equal(tree_create_node(tree, folder, "abcd", TREE_FILE, 0644, NULL, NULL, 1, &node), -ENAMETOOLONG);
    assert_int_equal(tree_rename(tree, TREE_ROOT, "folder", TREE_ROOT, "folders", 0, &replaced), -ENAMETOOLONG);
}

static void test_unlink_of_what_was_never_sent(void **state) {
    struct fixture *fixture = *state;
    complete_root(fixture);
    uint64_t ino, file = make(fixture, TREE_ROOT, "x", TREE_FILE), spool;
    assert_int_equal(tree_unlink(fixture->tree, TREE_ROOT, "x", &ino), 0);
    assert_int_equal(ino, file);
    assert_int_equal(work_of(fixture, file), 0);
    ASSERT_GONE(fixture, "");
    AUTO_NODE struct tree_node node = {0};
    assert_int_equal(tree_get(fixture->tree, file, &node), 0);
    assert_int_equal(node.parent, 0);
    assert_int_equal(tree_forget(fixture->tree, file, &spool), 0);
    assert_int_equal(spool, 1);
    assert_int_equal(tree_get(fixture->tree, file, &node), -ENOENT);
}

static void test_unlink_and_listing(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("x", "e1", 5, 100));
    uint64_t ino;
    struct tree_listing *old = begin_listing(fixture, TREE_ROOT, false, "");
    assert_int_equal(tree_unlink(fixture->tree, TREE_ROOT, "x", &ino), 0);
    LIST(fixture, TREE_ROOT, "", object("x", "e1", 5, 100)); /* not deleted there yet */
    assert_int_equal(look(fixture, TREE_ROOT, "x"), 0);
    ASSERT_GONE(fixture, "x e1");
    ASSERT_GONE(fixture, "");
    page(old, (struct tree_entry[]){object("x", "e1", 5, 100)}, 1, true); /* asked for before it was deleted */
    assert_int_equal(look(fixture, TREE_ROOT, "x"), 0);
    tree_listing_end(old);
    LIST(fixture, TREE_ROOT, "", object("x", "e2", 6, 200)); /* made again by somebody else */
    assert_true(look(fixture, TREE_ROOT, "x") > ino);
}

static void test_unlink_create_is_one_replace(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("x", "e1", 5, 100));
    uint64_t ino;
    assert_int_equal(tree_unlink(fixture->tree, TREE_ROOT, "x", &ino), 0);
    uint64_t file = make(fixture, TREE_ROOT, "x", TREE_FILE);
    assert_target(fixture, file, "x", "e1");
    ASSERT_GONE(fixture, ""); /* a node is about to take the key over */
    assert_true(upload(fixture, file, "e2"));
    ASSERT_GONE(fixture, "");
    assert_int_equal(work_of(fixture, file), 0);
}

static void test_rename_over(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("x", "e1", 5, 100));
    uint64_t temporary = make(fixture, TREE_ROOT, "x~", TREE_FILE), replaced, old = look(fixture, TREE_ROOT, "x");
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "x~", TREE_ROOT, "x", RENAME_NOREPLACE, &replaced), -EEXIST);
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "x~", TREE_ROOT, "x", 0, &replaced), 0);
    assert_int_equal(replaced, old);
    assert_target(fixture, temporary, "x", "e1");
    assert_true(upload(fixture, temporary, "e2"));
    ASSERT_GONE(fixture, "");
    assert_children(fixture, TREE_ROOT, "x");
}

static void test_rename_and_back(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("a", "e1", 5, 100));
    uint64_t replaced, file = look(fixture, TREE_ROOT, "a");
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "a", TREE_ROOT, "b", 0, &replaced), 0);
    assert_int_equal(work_of(fixture, file), TREE_WORK_NAME);
    assert_target(fixture, file, "b", NULL);
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "b", TREE_ROOT, "a", 0, &replaced), 0);
    assert_int_equal(work_of(fixture, file), 0);
    struct tree_totals totals;
    assert_int_equal(tree_totals(fixture->tree, &totals), 0);
    assert_int_equal(totals.unsent + totals.deletes, 0);
}

static void test_rename_frees_the_old_key(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("a", "e1", 5, 100));
    uint64_t replaced, file = look(fixture, TREE_ROOT, "a");
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "a", TREE_ROOT, "b", 0, &replaced), 0);
    uint64_t next = make(fixture, TREE_ROOT, "a", TREE_FILE);
    AUTO_WORK struct tree_work work = {0};
    assert_int_equal(tree_work_get(fixture->tree, next, &work), 0);
    assert_int_equal(work.blocked_by, file);
    upload(fixture, file, "e2");
    assert_target(fixture, next, "a", "e1"); /* the old object, which nobody needs any more */
    ASSERT_GONE(fixture, "");
    upload(fixture, next, "e3");
    ASSERT_GONE(fixture, "");
    assert_children(fixture, TREE_ROOT, "b,a");
}

static void test_exchange(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", object("a", "e1", 5, 100), object("b", "e2", 5, 100));
    uint64_t replaced, a = look(fixture, TREE_ROOT, "a"), b = look(fixture, TREE_ROOT, "b");
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "a", TREE_ROOT, "b", RENAME_EXCHANGE, &replaced), 0);
    assert_int_equal(look(fixture, TREE_ROOT, "b"), a);
    AUTO_WORK struct tree_work first = {0}, second = {0}, third = {0};
    assert_int_equal(tree_work_get(fixture->tree, a, &first), 0);
    assert_int_equal(tree_work_get(fixture->tree, b, &second), 0);
    assert_int_equal(first.blocked_by, b);
    assert_int_equal(second.blocked_by, a);
    assert_string_equal(first.base_etag, "e2");
    upload(fixture, a, "e3");
    assert_int_equal(tree_work_get(fixture->tree, b, &third), 0);
    assert_true(third.overtaken);
    assert_string_equal(third.target_key, "a");
    assert_string_equal(third.base_etag, "e1");
    upload(fixture, b, "e4");
    ASSERT_GONE(fixture, "");
    assert_int_equal(work_of(fixture, a) + work_of(fixture, b), 0);
}

static void test_rename_types(void **state) {
    struct fixture *fixture = *state;
    complete_root(fixture);
    uint64_t folder = make(fixture, TREE_ROOT, "d", TREE_FOLDER), inner = make(fixture, folder, "i", TREE_FOLDER);
    uint64_t replaced;
    struct tree *tree = fixture->tree;
    make(fixture, TREE_ROOT, "x", TREE_FILE);
    assert_int_equal(tree_rename(tree, TREE_ROOT, "x", TREE_ROOT, "d", 0, &replaced), -EISDIR);
    assert_int_equal(tree_rename(tree, TREE_ROOT, "d", TREE_ROOT, "x", 0, &replaced), -ENOTDIR);
    assert_int_equal(tree_rename(tree, TREE_ROOT, "d", inner, "d", 0, &replaced), -EINVAL);
    make(fixture, TREE_ROOT, "e", TREE_FOLDER);
    assert_int_equal(tree_rename(tree, TREE_ROOT, "e", TREE_ROOT, "d", 0, &replaced), -ENOTEMPTY);
    assert_int_equal(tree_rename(tree, TREE_ROOT, "d", TREE_ROOT, "e", 0, &replaced), 0);
    assert_int_equal(look(fixture, TREE_ROOT, "e"), folder);
    assert_int_equal(tree_rename(tree, TREE_ROOT, "none", TREE_ROOT, "e", 0, &replaced), -ENOENT);
    assert_int_equal(tree_rename(tree, TREE_ROOT, "x", TREE_ROOT, "none", RENAME_EXCHANGE, &replaced), -ENOENT);
    assert_int_equal(tree_rename(tree, TREE_ROOT, "x", TREE_ROOT, "y", 8, &replaced), -EINVAL);
}

static void test_rmdir(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", prefix("a/"), object("f", "e", 1, 1));
    uint64_t ino, a = look(fixture, TREE_ROOT, "a");
    struct tree *tree = fixture->tree;
    assert_int_equal(tree_rmdir(tree, TREE_ROOT, "f", &ino), -ENOTDIR);
    assert_int_equal(tree_unlink(tree, TREE_ROOT, "a", &ino), -EISDIR);
    assert_int_equal(tree_rmdir(tree, TREE_ROOT, "a", &ino), TREE_UNKNOWN);
    LIST(fixture, a, "a/", object("a/", "m", 0, 1), object("a/x", "e", 1, 1));
    assert_int_equal(tree_rmdir(tree, TREE_ROOT, "a", &ino), -ENOTEMPTY);
    assert_int_equal(tree_unlink(tree, a, "x", &ino), 0);
    assert_int_equal(work_of(fixture, a), 0); /* it has a marker */
    assert_int_equal(tree_rmdir(tree, TREE_ROOT, "a", &ino), 0);
    ASSERT_GONE(fixture, "a/ m,a/x e");
}

static void test_last_file_leaves_a_marker(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", prefix("a/"));
    uint64_t ino, a = look(fixture, TREE_ROOT, "a");
    LIST(fixture, a, "a/", object("a/x", "e", 1, 1));
    assert_int_equal(tree_unlink(fixture->tree, a, "x", &ino), 0);
    assert_int_equal(work_of(fixture, a), TREE_WORK_CONTENT);
    assert_target(fixture, a, "a/", NULL);
    list_empty(fixture, TREE_ROOT, ""); /* the delete came first: the folder stays all the same */
    assert_int_equal(look(fixture, TREE_ROOT, "a"), a);
    assert_int_equal(tree_rmdir(fixture->tree, TREE_ROOT, "a", &ino), 0);
    assert_int_equal(work_of(fixture, a), 0);
    ASSERT_GONE(fixture, "a/x e");
}

static void test_marker_with_bytes(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", prefix("a/"));
    uint64_t ino, a = look(fixture, TREE_ROOT, "a");
    LIST(fixture, a, "a/", object("a/", "m", 3, 1));
    assert_int_equal(tree_rmdir(fixture->tree, TREE_ROOT, "a", &ino), -ENOTEMPTY);
}

static void test_archived(void **state) {
    struct fixture *fixture = *state;
    struct tree_entry cold = object("a/x", "e", 1, 1);
    uint64_t replaced;
    cold.archived = true;
    LIST_FLAT(fixture, TREE_ROOT, "", cold, object("y", "e", 1, 1));
    uint64_t a = look(fixture, TREE_ROOT, "a");
    assert_int_equal(tree_rename(fixture->tree, a, "x", TREE_ROOT, "z", 0, &replaced), -EXDEV);
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "a", TREE_ROOT, "b", 0, &replaced), -EXDEV);
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "y", TREE_ROOT, "z", 0, &replaced), 0);
}

static void test_rename_makes_keys_too_long(void **state) {
    struct fixture *fixture = *state;
    complete_root(fixture);
    char name[256];
    memset(name, 'n', sizeof name);
    name[250] = 0;
    uint64_t top = make(fixture, TREE_ROOT, "d", TREE_FOLDER), at = top, replaced;
    for (int i = 0; i < 3; i++)
        at = make(fixture, at, name, TREE_FOLDER);
    name[100] = 0;
    make(fixture, at, name, TREE_FILE); /* 2 + 3 * 251 + 100 = 855 */
    name[100] = 'n';
    name[180] = 0;
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "d", TREE_ROOT, name, 0, &replaced), -ENAMETOOLONG);
    name[170] = 0; /* 171 + 753 + 100 = 1,024 */
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "d", TREE_ROOT, name, 0, &replaced), 0);
}

static void test_numbers_are_never_reused(void **state) {
    struct fixture *fixture = *state;
    complete_root(fixture);
    uint64_t ino, spool, file = make(fixture, TREE_ROOT, "x", TREE_FILE);
    assert_int_equal(tree_unlink(fixture->tree, TREE_ROOT, "x", &ino), 0);
    assert_int_equal(tree_forget(fixture->tree, file, &spool), 0);
    uint64_t change = tree_change_number(fixture->tree);
    fixture_reopen(fixture);
    assert_true(make(fixture, TREE_ROOT, "y", TREE_FILE) > file);
    assert_true(tree_change_number(fixture->tree) > change);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_unknown_until_listed),
        TREE_TEST(test_create),
        TREE_TEST(test_bad_names),
        TREE_TEST(test_names_below_a_prefix),
        TREE_TEST(test_unlink_of_what_was_never_sent),
        TREE_TEST(test_unlink_and_listing),
        TREE_TEST(test_unlink_create_is_one_replace),
        TREE_TEST(test_rename_over),
        TREE_TEST(test_rename_and_back),
        TREE_TEST(test_rename_frees_the_old_key),
        TREE_TEST(test_exchange),
        TREE_TEST(test_rename_types),
        TREE_TEST(test_rmdir),
        TREE_TEST(test_last_file_leaves_a_marker),
        TREE_TEST(test_marker_with_bytes),
        TREE_TEST(test_archived),
        TREE_TEST(test_rename_makes_keys_too_long),
        TREE_TEST(test_numbers_are_never_reused),
    };
    return cmocka_run_group_tests_name("fs/tree names", tests, NULL, NULL);
}

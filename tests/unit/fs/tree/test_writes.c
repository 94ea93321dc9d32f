/* Writes under way, and what programs, deletions and restarts do beside them. */
#include "fixture.h"

static const char write_id[] = "0123456789abcdef0123456789abcdef";

/* A file was saved over an old name and renamed at once: the old object is taken for deleting while the upload, whose
 * work was described before, is about to begin at the same key. */
static void test_no_write_to_a_key_that_is_being_deleted(void **state) {
    struct fixture *fixture = *state;
    list_empty(fixture, TREE_ROOT, "");
    uint64_t ino, spool, old = make(fixture, TREE_ROOT, "tmp", TREE_FILE);
    upload(fixture, old, "e1");
    assert_int_equal(tree_unlink(fixture->tree, TREE_ROOT, "tmp", &ino), 0);
    assert_int_equal(tree_forget(fixture->tree, old, &spool), 0);
    uint64_t fresh = make(fixture, TREE_ROOT, "tmp", TREE_FILE), replaced;
    AUTO_WORK struct tree_work work = {0};
    assert_int_equal(tree_work_get(fixture->tree, fresh, &work), 0);
    assert_string_equal(work.target_key, "tmp");
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "tmp", TREE_ROOT, "kept", 0, &replaced), 0);
    struct tree_gone *gone;
    size_t count;
    int64_t next;
    assert_int_equal(tree_gone_claim(fixture->tree, INT64_MAX, 100, &gone, &count, &next), 0);
    assert_int_equal(count, 1);
    assert_string_equal(gone[0].key, "tmp");
    assert_int_equal(tree_write_begin(fixture->tree, fresh, "tmp", write_id), TREE_STALE);
    assert_int_equal(tree_gone_end(fixture->tree, "tmp", TREE_GONE_DONE, 0), 0);
    assert_int_equal(tree_write_begin(fixture->tree, fresh, "tmp", write_id), 0);
    tree_gone_free(gone, count);
}

/* The removal knew of no attempt: a write that began after it would leave an object that nobody deletes. */
static void test_no_write_of_what_was_removed(void **state) {
    struct fixture *fixture = *state;
    list_empty(fixture, TREE_ROOT, "");
    uint64_t ino, file = make(fixture, TREE_ROOT, "x", TREE_FILE);
    AUTO_WORK struct tree_work work = {0};
    assert_int_equal(tree_work_get(fixture->tree, file, &work), 0);
    assert_int_equal(tree_unlink(fixture->tree, TREE_ROOT, "x", &ino), 0);
    assert_int_equal(tree_write_begin(fixture->tree, file, work.target_key, write_id), TREE_STALE);
    ASSERT_GONE(fixture, "");
}

/* The other order: killed before the answer, the next life deletes what may have arrived. */
static void test_removed_while_it_was_written(void **state) {
    struct fixture *fixture = *state;
    list_empty(fixture, TREE_ROOT, "");
    uint64_t ino, file = make(fixture, TREE_ROOT, "x", TREE_FILE);
    assert_int_equal(tree_write_begin(fixture->tree, file, "x", write_id), 0);
    assert_int_equal(tree_unlink(fixture->tree, TREE_ROOT, "x", &ino), 0);
    fixture_reopen(fixture);
    LIST(fixture, TREE_ROOT, "", object("x", "e1", 0, 100));
    assert_children(fixture, TREE_ROOT, "");
    ASSERT_GONE(fixture, "x -");
}

/* A write to the old name may have arrived; it is not adopted while it is being deleted. */
static void test_an_attempt_that_is_being_deleted(void **state) {
    struct fixture *fixture = *state;
    list_empty(fixture, TREE_ROOT, "");
    uint64_t replaced, file = make(fixture, TREE_ROOT, "a", TREE_FILE);
    assert_int_equal(tree_write_begin(fixture->tree, file, "a", write_id), 0);
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "a", TREE_ROOT, "b", 0, &replaced), 0);
    fixture_reopen(fixture);
    struct tree_gone *gone;
    size_t count;
    int64_t next;
    assert_int_equal(tree_gone_claim(fixture->tree, INT64_MAX, 100, &gone, &count, &next), 0);
    assert_int_equal(count, 1);
    assert_string_equal(gone[0].write_id, write_id);
    AUTO_WORK struct tree_work work = {0};
    assert_int_equal(tree_work_get(fixture->tree, file, &work), TREE_STALE);
    assert_int_equal(tree_gone_end(fixture->tree, "a", TREE_GONE_DONE, 0), 0);
    tree_gone_free(gone, count);
    assert_int_equal(tree_work_get(fixture->tree, file, &work), 0);
    assert_string_equal(work.target_key, "b");
}

static uint64_t make_sent_folder(struct fixture *fixture, const char *name, int files) {
    uint64_t folder = make(fixture, TREE_ROOT, name, TREE_FOLDER);
    upload(fixture, folder, "m1");
    for (int i = 0; i < files; i++) {
        char file[16];
        snprintf(file, sizeof file, "f%d", i);
        upload(fixture, make(fixture, folder, file, TREE_FILE), file);
    }
    return folder;
}

/* What fails for a program is taken back, and nothing of the folder's move with it. */
static void test_a_move_gets_on_while_programs_fail(void **state) {
    struct fixture *fixture = *state;
    list_empty(fixture, TREE_ROOT, "");
    uint64_t replaced, folder = make_sent_folder(fixture, "d", 20);
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "d", TREE_ROOT, "e", 0, &replaced), 0);
    bool left = true;
    int steps = 0;
    for (; left && steps < 60; steps++) {
        uint64_t ino;
        assert_int_equal(tree_move_expand(fixture->tree, folder, 1, &left), 0);
        assert_int_equal(tree_unlink(fixture->tree, TREE_ROOT, "not there", &ino), -ENOENT);
    }
    assert_false(left);
}

/* The marker's move was under way when the folder was removed: both its keys go. */
static void test_removed_while_its_marker_moved(void **state) {
    struct fixture *fixture = *state;
    LIST(fixture, TREE_ROOT, "", prefix("d/"));
    uint64_t ino, replaced, folder = look(fixture, TREE_ROOT, "d");
    LIST(fixture, folder, "d/", object("d/", "m1", 0, 100)); /* nobody has looked at it: copied as it is */
    assert_int_equal(tree_rename(fixture->tree, TREE_ROOT, "d", TREE_ROOT, "e", 0, &replaced), 0);
    bool left = true;
    while (left)
        assert_int_equal(tree_move_expand(fixture->tree, folder, 10, &left), 0);
    uint64_t *inos;
    size_t count;
    int64_t next;
    assert_int_equal(tree_work_claim(fixture->tree, INT64_MAX, 10, &inos, &count, &next), 0);
    assert_int_equal(count, 1);
    AUTO_WORK struct tree_work work = {0};
    assert_int_equal(tree_work_get(fixture->tree, inos[0], &work), 0);
    assert_string_equal(work.target_key, "e/");
    assert_int_equal(tree_write_begin(fixture->tree, inos[0], "e/", write_id), 0);
    free(inos);
    fixture_reopen(fixture); /* killed, and the answer not seen */
    assert_int_equal(tree_rmdir(fixture->tree, TREE_ROOT, "e", &ino), 0);
    ASSERT_GONE(fixture, "d/ m1,e/ -");
    fixture_reopen(fixture);
    LIST(fixture, TREE_ROOT, "", object("somebody", "s", 1, 100), prefix("z/"));
    assert_children(fixture, TREE_ROOT, "somebody,z");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_no_write_to_a_key_that_is_being_deleted),
        TREE_TEST(test_no_write_of_what_was_removed),
        TREE_TEST(test_removed_while_it_was_written),
        TREE_TEST(test_an_attempt_that_is_being_deleted),
        TREE_TEST(test_a_move_gets_on_while_programs_fail),
        TREE_TEST(test_removed_while_its_marker_moved),
    };
    return cmocka_run_group_tests_name("fs/tree writes", tests, NULL, NULL);
}

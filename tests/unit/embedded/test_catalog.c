/* s3/embedded/catalog: jobs stand or fall alone, readers see whole commits, many writers at once. */
#include "s3/embedded/catalog.h"

#include "folder.h"

#include <pthread.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct catalog_test {
    char *folder;
    struct catalog *catalog;
};

static int set_up(void **state) {
    struct catalog_test *test = calloc(1, sizeof *test);
    struct fault fault = {{0}};
    test->folder = folder_make();
    AUTO_FREE char *path = folder_path(test->folder, "index.db");
    assert_int_equal(catalog_open(&test->catalog, path, &fault), 0);
    *state = test;
    return 0;
}

static int tear_down(void **state) {
    struct catalog_test *test = *state;
    catalog_close(test->catalog);
    folder_remove(test->folder);
    free(test);
    return 0;
}

static int insert(struct catalog_session *session, const char *name) {
    struct catalog_query query = {0};
    catalog_start(session, &query, "INSERT INTO bucket (name, created_ms) VALUES (?, 0)");
    catalog_bind_text(&query, 1, name);
    return catalog_run(&query);
}

static int insert_job(struct catalog_session *session, void *context) {
    return insert(session, context);
}

static int insert_then_fail(struct catalog_session *session, void *context) {
    int r = insert(session, context);
    return r ? r : 77;
}

static int count(struct catalog_session *session, void *context) {
    CLEANUP(catalog_end) struct catalog_query query = {0};
    catalog_start(session, &query, "SELECT count(*) FROM bucket");
    int r = catalog_step(&query);
    *(int64_t *)context = r == 1 ? catalog_integer(&query, 0) : -1;
    return r < 0 ? r : 0;
}

static int64_t count_of(struct catalog *catalog) {
    int64_t rows = -1;
    assert_int_equal(catalog_read(catalog, count, &rows), 0);
    return rows;
}

static void a_job_that_fails_leaves_nothing(void **state) {
    struct catalog_test *test = *state;
    assert_int_equal(catalog_write(test->catalog, insert_job, (void *)"one"), 0);
    assert_int_equal(catalog_write(test->catalog, insert_then_fail, (void *)"two"), 77);
    assert_int_equal(catalog_write(test->catalog, insert_job, (void *)"one"), -EEXIST);
    assert_int_equal(catalog_write(test->catalog, insert_job, (void *)"three"), 0);
    assert_int_equal(count_of(test->catalog), 2);
}

struct writer {
    struct catalog *catalog;
    int number, failed;
};

static void *write_many(void *context) {
    struct writer *writer = context;
    for (int i = 0; i < 50; i++) {
        AUTO_FREE char *name = text_format("b%d-%d", writer->number, i);
        bool fail = i % 5 == 4;
        int r = catalog_write(writer->catalog, fail ? insert_then_fail : insert_job, name);
        writer->failed += r != (fail ? 77 : 0);
        writer->failed += count_of(writer->catalog) < i * 4 / 5;
    }
    return NULL;
}

static void many_write_at_once(void **state) {
    struct catalog_test *test = *state;
    struct writer writers[8];
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        writers[i] = (struct writer){test->catalog, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].failed, 0);
    }
    assert_int_equal(count_of(test->catalog), 8 * 40);
}

static void it_is_there_after_opening_again(void **state) {
    struct catalog_test *test = *state;
    struct fault fault = {{0}};
    assert_int_equal(catalog_write(test->catalog, insert_job, (void *)"kept"), 0);
    catalog_close(test->catalog);
    AUTO_FREE char *path = folder_path(test->folder, "index.db");
    assert_int_equal(catalog_open(&test->catalog, path, &fault), 0);
    assert_int_equal(count_of(test->catalog), 1);
}

static int set_version(struct catalog_session *session, void *context) {
    (void)context;
    struct catalog_query query = {0};
    catalog_start(session, &query, "PRAGMA user_version = 99");
    return catalog_run(&query);
}

static void a_newer_schema_is_refused(void **state) {
    struct catalog_test *test = *state;
    struct fault fault = {{0}};
    assert_int_equal(catalog_write(test->catalog, set_version, NULL), 0);
    catalog_close(TAKE(test->catalog));
    AUTO_FREE char *path = folder_path(test->folder, "index.db");
    assert_int_equal(catalog_open(&test->catalog, path, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "newer"));
}

static void what_is_no_database_is_refused(void **state) {
    struct catalog_test *test = *state;
    struct fault fault = {{0}};
    struct catalog *other = NULL;
    AUTO_FREE char *path = folder_path(test->folder, "other.db");
    assert_int_equal(file_replace(path, 0600, "this is not a database, not even nearly one", 43), 0);
    assert_true(catalog_open(&other, path, &fault) < 0);
    assert_null(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_that_fails_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_write_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_there_after_opening_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_newer_schema_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_database_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* fs/content: what a file's bytes are, from opening to being in the bucket and back. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture_init(fixture);
    fixture_start(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    fixture_finish(*state);
    free(*state);
    return 0;
}

static void assert_bytes(struct content_handle *handle, uint64_t offset, size_t size, const char *expected,
                         size_t expected_size) {
    AUTO_FREE char *data = NULL;
    size_t got;
    assert_int_equal(read_now(handle, offset, size, &data, &got), 0);
    assert_int_equal(got, expected_size);
    assert_memory_equal(data, expected, expected_size);
}

static void a_clean_file_reads_the_origins_bytes(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 7, "v1", 3000000, 0);
    assert_int_equal(origin_fetches(&fixture->origin), 0); /* opening reads nothing */
    assert_origin(handle, 7, "v1", 0, 3000000);
    assert_origin(handle, 7, "v1", 1234567, 4321);
    assert_origin(handle, 7, "v1", 2999999, 1);
    assert_bytes(handle, 3000000, 10, "", 0);
    assert_bytes(handle, UINT64_MAX - 10, 10, "", 0);
    content_close(handle);
}

static void an_empty_file_asks_nobody(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 7, "", 0, 0);
    assert_bytes(handle, 0, 100, "", 0);
    assert_int_equal(origin_fetches(&fixture->origin), 0);
    content_close(handle);
}

static void a_new_file_is_what_was_written(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    assert_int_equal(content_new_spool(fixture->content, &spool), 0);
    struct content_handle *handle = fixture_open(fixture, 8, "", 0, spool);
    struct content_state now;
    content_state(handle, &now);
    assert_int_equal(now.spool, spool);
    assert_false(now.uncommitted);
    assert_false(now.partial);
    assert_int_equal(content_write(handle, "hello", 5, 0), 0);
    assert_int_equal(content_write(handle, "world", 5, 10), 0);
    assert_bytes(handle, 0, 100, "hello\0\0\0\0\0world", 15);
    content_state(handle, &now);
    assert_true(now.uncommitted);
    assert_int_equal(now.size, 15);
    assert_true(now.mtime_ns > 0);
    assert_int_equal(content_commit(handle, true, &now), 0);
    assert_int_equal(now.size, 15);
    content_state(handle, &now);
    assert_false(now.uncommitted);
    content_close(handle);
    handle = fixture_open(fixture, 8, "", 0, spool);
    assert_bytes(handle, 0, 100, "hello\0\0\0\0\0world", 15);
    content_close(handle);
}

static void an_edit_lies_over_the_origins_version(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 9, "v1", 2000000, 0);
    assert_int_equal(content_write(handle, "EDIT", 4, 1000001), 0);
    assert_int_equal(content_write(handle, "tail", 4, 2000000), 0);
    struct content_state now;
    content_state(handle, &now);
    assert_true(now.partial);
    assert_true(now.spool);
    assert_int_equal(now.size, 2000004);
    assert_origin(handle, 9, "v1", 0, 1000001);
    assert_bytes(handle, 1000001, 4, "EDIT", 4);
    assert_origin(handle, 9, "v1", 1000005, 2000000 - 1000005);
    assert_bytes(handle, 2000000, 10, "tail", 4);
    assert_int_equal(content_commit(handle, false, &now), 0);
    content_close(handle);
    fixture_stop(fixture); /* another life */
    fixture_start(fixture);
    handle = fixture_open(fixture, 9, "v1", 2000000, now.spool);
    content_state(handle, &now);
    assert_true(now.partial);
    assert_int_equal(now.size, 2000004);
    assert_bytes(handle, 1000001, 4, "EDIT", 4);
    assert_origin(handle, 9, "v1", 900000, 100001);
    assert_origin(handle, 9, "v1", 1000005, 1000);
    assert_bytes(handle, 2000000, 10, "tail", 4);
    content_close(handle);
}

static void what_was_cut_off_does_not_come_back(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 9, "v1", 100000, 0);
    struct content_state now;
    char zeros[60000] = {0};
    assert_int_equal(content_write(handle, "x", 1, 10), 0);
    assert_int_equal(content_commit(handle, false, &now), 0);
    assert_int_equal(content_truncate(handle, 40000), 0);
    assert_int_equal(content_truncate(handle, 100000), 0);
    assert_origin(handle, 9, "v1", 11, 40000 - 11);
    assert_bytes(handle, 40000, 60000, zeros, 60000);
    content_close(handle);
    fixture_stop(fixture);
    fixture_start(fixture);
    handle = fixture_open(fixture, 9, "v1", 100000, now.spool);
    assert_origin(handle, 9, "v1", 11, 40000 - 11);
    assert_bytes(handle, 40000, 60000, zeros, 60000);
    assert_int_equal(content_truncate(handle, 0), 0);
    content_state(handle, &now);
    assert_false(now.partial);
    assert_bytes(handle, 0, 10, "", 0);
    content_close(handle);
}

static void an_upload_makes_it_clean(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 9, "v1", 300000, 0);
    struct content_state now;
    char data[1000];
    assert_int_equal(content_write(handle, "EDIT", 4, 100000), 0);
    assert_int_equal(content_commit(handle, false, &now), 0);
    struct content_upload *upload;
    uint64_t size, spool = now.spool;
    assert_int_equal(
        content_upload_open(fixture->content, 9, spool, &(struct content_version){"v1", 300000}, &upload, &size), 0);
    assert_int_equal(size, 300000);
    uint64_t mark = content_upload_mark(upload);
    assert_int_equal(content_upload_read(upload, 0, data, 10), -ENODATA);
    assert_int_equal(content_fill(upload, NULL), 0);
    content_state(handle, &now);
    assert_false(now.partial);
    assert_int_equal(content_upload_read(upload, 99990, data, 20), 0);
    assert_memory_equal(data + 10, "EDIT", 4);
    assert_int_equal((unsigned char)data[9], origin_byte(9, "v1", 99999));
    assert_int_equal(content_upload_read(upload, 299990, data, 20), -ESTALE);
    assert_int_equal(content_upload_mark(upload), mark); /* filling changes nothing */
    assert_false(content_upload_changed(upload, mark, 0, 300000));
    assert_int_equal(content_write(handle, "more", 4, 200000), 0);
    assert_true(content_upload_changed(upload, mark, 0, 300000));
    assert_true(content_upload_changed(upload, mark, 200003, 1));
    assert_false(content_upload_changed(upload, mark, 0, 200000));
    assert_false(content_upload_changed(upload, mark, 200004, 99996));
    struct content_version v2 = {"v2", 300000};
    assert_false(content_uploaded(upload, mark, &v2));
    mark = content_upload_mark(upload);
    assert_false(content_upload_changed(upload, mark, 0, 300000));
    assert_true(content_uploaded(upload, mark, &v2));
    content_upload_close(upload);
    content_state(handle, &now);
    assert_int_equal(now.spool, 0);
    assert_false(now.uncommitted);
    unsigned before = origin_fetches(&fixture->origin);
    assert_bytes(handle, 100000, 4, "EDIT", 4);
    assert_bytes(handle, 200000, 4, "more", 4);
    assert_origin(handle, 9, "v1", 100004, 90000);
    assert_int_equal(origin_fetches(&fixture->origin), before); /* the spool is the cache now */
    content_close(handle);
    struct content_totals totals;
    content_totals(fixture->content, &totals);
    assert_int_equal(totals.spool_bytes, 0);
    assert_int_equal(totals.cache_files, 1);
    fixture_stop(fixture); /* and in the next life */
    fixture_start(fixture);
    handle = fixture_open(fixture, 9, "v2", 300000, 0);
    assert_bytes(handle, 100000, 4, "EDIT", 4);
    assert_origin(handle, 9, "v1", 100004, 90000);
    assert_int_equal(origin_fetches(&fixture->origin), before);
    content_close(handle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_clean_file_reads_the_origins_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_file_asks_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_file_is_what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(an_edit_lies_over_the_origins_version, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_cut_off_does_not_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(an_upload_makes_it_clean, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

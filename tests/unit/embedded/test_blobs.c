/* s3/embedded/blobs: small and large bodies, what is kept and what goes. */
#include "s3/embedded/blobs.h"

#include "folder.h"

#include <glob.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct blobs_test {
    char *folder;
    struct blobs *blobs;
};

static int set_up(void **state) {
    struct blobs_test *test = calloc(1, sizeof *test);
    struct fault fault = {{0}};
    test->folder = folder_make();
    assert_int_equal(blobs_open(&test->blobs, test->folder, &fault), 0);
    *state = test;
    return 0;
}

static int tear_down(void **state) {
    struct blobs_test *test = *state;
    blobs_close(test->blobs);
    folder_remove(test->folder);
    free(test);
    return 0;
}

static size_t files_in(const struct blobs_test *test, const char *pattern) {
    AUTO_FREE char *path = folder_path(test->folder, pattern);
    glob_t found;
    size_t count = glob(path, 0, NULL, &found) ? 0 : found.gl_pathc;
    if (count)
        globfree(&found);
    return count;
}

static struct blob_writer *write_blob(struct blobs_test *test, size_t size) {
    struct blob_writer *writer = NULL;
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    assert_int_equal(blobs_begin(test->blobs, &writer), 0);
    for (size_t done = 0; done < size; done += sizeof piece)
        assert_int_equal(blobs_write(writer, piece, size - done < sizeof piece ? size - done : sizeof piece), 0);
    return writer;
}

static void small_ones_stay_in_memory(void **state) {
    struct blobs_test *test = *state;
    struct blob_writer *writer = write_blob(test, BLOBS_SMALL);
    assert_int_equal(blobs_settle(writer, "b", "k"), 0);
    assert_null(blobs_name(writer));
    assert_int_equal(blobs_size(writer), BLOBS_SMALL);
    assert_int_equal(*(const char *)blobs_bytes(writer), 'x');
    assert_int_equal(files_in(test, "new/*") + files_in(test, "objects/*/*"), 0);
    blobs_end(writer);
}

static void large_ones_become_files(void **state) {
    struct blobs_test *test = *state;
    struct blob_writer *writer = write_blob(test, BLOBS_SMALL + 1);
    assert_int_equal(files_in(test, "new/*"), 1);
    assert_int_equal(blobs_settle(writer, "b", "../../etc/passwd"), 0);
    AUTO_FREE char *name = strdup(blobs_name(writer));
    assert_null(strpbrk(name, "/.%"));
    assert_int_equal(files_in(test, "new/*"), 0);
    assert_int_equal(files_in(test, "objects/*/*"), 1);
    blobs_keep(writer);
    blobs_end(writer);
    AUTO_CLOSE int fd = blobs_read(test->blobs, name);
    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), BLOBS_SMALL + 1);
    blobs_remove(test->blobs, name);
    assert_int_equal(files_in(test, "objects/*/*"), 0);
    assert_int_equal(blobs_read(test->blobs, name), -ENOENT);
}

static void what_nobody_keeps_goes(void **state) {
    struct blobs_test *test = *state;
    struct blob_writer *cut = write_blob(test, 100000), *settled = write_blob(test, 100000);
    assert_int_equal(blobs_settle(settled, "b", "k"), 0);
    blobs_end(cut);
    blobs_end(settled);
    assert_int_equal(files_in(test, "new/*") + files_in(test, "objects/*/*"), 0);
}

static void nothing_goes_while_somebody_holds(void **state) {
    struct blobs_test *test = *state;
    struct blob_writer *writer = write_blob(test, 100000);
    assert_int_equal(blobs_settle(writer, "b", "k"), 0);
    AUTO_FREE char *name = strdup(blobs_name(writer));
    blobs_keep(writer);
    blobs_end(writer);
    blobs_hold(test->blobs);
    blobs_hold(test->blobs);
    blobs_remove(test->blobs, name);
    blobs_release(test->blobs);
    assert_int_equal(files_in(test, "objects/*/*"), 1);
    blobs_release(test->blobs);
    assert_int_equal(files_in(test, "objects/*/*"), 0);
}

static int knows_one(void *context, const char *name) {
    return strcmp(context, name) == 0;
}

static void the_sweep_spares_what_is_known_and_what_is_new(void **state) {
    struct blobs_test *test = *state;
    AUTO_FREE char *known = folder_path(test->folder, "objects/aa/known");
    AUTO_FREE char *half = folder_path(test->folder, "new/half");
    struct blob_writer *writer = write_blob(test, 100000);
    assert_int_equal(blobs_settle(writer, "b", "k"), 0);
    blobs_keep(writer);
    blobs_end(writer);
    assert_int_equal(file_replace(known, 0600, "1", 1), 0);
    assert_int_equal(file_replace(half, 0600, "1", 1), 0);
    assert_int_equal(blobs_sweep(test->blobs, knows_one, (void *)"known"), 0);
    assert_int_equal(files_in(test, "objects/*/*"), 2); /* the other one may be on its way into the index */
    blobs_close(test->blobs);
    struct fault fault = {{0}};
    assert_int_equal(blobs_open(&test->blobs, test->folder, &fault), 0);
    assert_int_equal(files_in(test, "new/*"), 0);
    assert_int_equal(blobs_sweep(test->blobs, knows_one, (void *)"known"), 0);
    assert_int_equal(files_in(test, "objects/*/*"), 1);
    assert_int_equal(access(known, F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_ones_stay_in_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_ones_become_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_keeps_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_goes_while_somebody_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_sweep_spares_what_is_known_and_what_is_new, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

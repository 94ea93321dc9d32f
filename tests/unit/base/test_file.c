/* Tests of base/file: folders, whole files, replacing, locks, removing trees, XDG folders. */
#include "base/file.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/pail-test-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return file_remove_tree(folder);
}

static char *below(const char *name) {
    return text_format("%s/%s", folder, name);
}

static void folders_are_made_once_and_again(void **state) {
    (void)state;
    AUTO_FREE char *deep = below("a/b/c");
    assert_int_equal(file_make_folders(deep, 0700), 0);
    assert_int_equal(file_make_folders(deep, 0700), 0);
    struct stat st;
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    AUTO_FREE char *file = below("a/file");
    assert_int_equal(file_replace(file, 0600, "x", 1), 0);
    assert_int_equal(file_make_folders(file, 0700), -ENOTDIR);
    AUTO_FREE char *under = below("a/file/b");
    assert_int_equal(file_make_folders(under, 0700), -ENOTDIR);
}

static void a_file_is_replaced_whole(void **state) {
    (void)state;
    AUTO_FREE char *path = below("settings");
    AUTO_FREE char *data = NULL;
    size_t size;
    assert_int_equal(file_replace(path, 0600, "first", 5), 0);
    assert_int_equal(file_replace(path, 0640, "second\0half", 11), 0);
    assert_int_equal(file_read(path, 100, &data, &size), 0);
    assert_int_equal(size, 11);
    assert_memory_equal(data, "second\0half", 12);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void a_replace_that_fails_leaves_the_old_one_and_no_rest(void **state) {
    (void)state;
    AUTO_FREE char *path = below("sub/target"), *inner = below("sub/target/inner"), *sub = below("sub");
    assert_int_equal(file_make_folders(inner, 0700), 0);
    assert_true(file_replace(path, 0600, "x", 1) < 0); /* a file does not replace a folder */
    assert_int_equal(rmdir(inner), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(sub), 0); /* empty: nothing was left beside */
    assert_int_equal(file_replace(path, 0600, "x", 1), -ENOENT);
}

static void reading_is_bounded(void **state) {
    (void)state;
    AUTO_FREE char *path = below("ten");
    char *data = NULL;
    size_t size;
    assert_int_equal(file_replace(path, 0600, "0123456789", 10), 0);
    assert_int_equal(file_read(path, 9, &data, &size), -EFBIG);
    assert_int_equal(file_read(path, 10, &data, &size), 0);
    free(data);
    assert_int_equal(file_read("/dev/zero", 4096, &data, &size), -EFBIG);
    assert_int_equal(file_read("/proc/self/stat", 1 << 16, &data, &size), 0);
    assert_true(size > 0);
    free(data);
    AUTO_FREE char *none = below("none");
    assert_int_equal(file_read(none, 10, &data, &size), -ENOENT);
    assert_true(file_read(folder, 10, &data, &size) < 0);
}

static void reads_end_at_the_end_of_the_file(void **state) {
    (void)state;
    AUTO_FREE char *path = below("pieces");
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char data[16] = {0};
    assert_int_equal(file_write_all(fd, "abcdef", 6), 0);
    assert_int_equal(file_pwrite_all(fd, "XY", 2, 8), 0);
    assert_int_equal(file_pread_all(fd, data, sizeof data, 4), 6);
    assert_memory_equal(data, "ef\0\0XY", 6);
    assert_int_equal(file_pread_all(fd, data, sizeof data, 100), 0);
    assert_int_equal(file_pread_all(-1, data, 1, 0), -EBADF);
    assert_int_equal(file_write_all(-1, data, 1), -EBADF);
    assert_int_equal(file_pwrite_all(-1, data, 1, 0), -EBADF);
}

static void a_lock_is_exclusive_between_processes(void **state) {
    (void)state;
    AUTO_FREE char *path = below("lock");
    int held = file_lock(path, 0);
    assert_true(held >= 0);
    assert_int_equal(file_lock(path, 0), -EWOULDBLOCK);
    pid_t child = fork();
    if (child == 0)
        _exit(file_lock(path, 0) == -EWOULDBLOCK ? 42 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    close(held);
    AUTO_CLOSE int again = file_lock(path, 1);
    assert_true(again >= 0);
}

static void removing_a_tree_follows_no_link(void **state) {
    (void)state;
    AUTO_FREE char *kept = below("kept"), *tree = below("tree"), *deep = below("tree/x/y"),
                   *link = below("tree/x/link");
    assert_int_equal(file_make_folders(deep, 0700), 0);
    assert_int_equal(file_make_folders(kept, 0700), 0);
    AUTO_FREE char *inside = below("kept/file");
    assert_int_equal(file_replace(inside, 0600, "x", 1), 0);
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(file_remove_tree(tree), 0);
    assert_int_equal(access(tree, F_OK), -1);
    assert_int_equal(access(inside, F_OK), 0);
    assert_int_equal(file_remove_tree(tree), 0);
}

static void xdg_folders(void **state) {
    (void)state;
    setenv("HOME", "/people/ann", 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_RUNTIME_DIR");
    setenv("XDG_CACHE_HOME", "relative", 1); /* to be ignored, says the specification */
    setenv("XDG_DATA_HOME", "/data", 1);
    static const char *const rows[][3] = {
        {"state", NULL, "/people/ann/.local/state/pail"}, {"state", "acc", "/people/ann/.local/state/pail/acc"},
        {"cache", "", "/people/ann/.cache/pail"},         {"data", "demo", "/data/pail/demo"},
        {"config", NULL, "/people/ann/.config/pail"},     {"runtime", "s", "/people/ann/.local/state/pail/s"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *path = NULL;
        assert_int_equal(file_xdg(rows[i][0], rows[i][1], &path), 0);
        assert_string_equal(path, rows[i][2]);
    }
    char *path = NULL;
    unsetenv("HOME");
    assert_int_equal(file_xdg("state", NULL, &path), -EINVAL);
    assert_int_equal(file_xdg("nonsense", NULL, &path), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_made_once_and_again),
        cmocka_unit_test(a_file_is_replaced_whole),
        cmocka_unit_test(a_replace_that_fails_leaves_the_old_one_and_no_rest),
        cmocka_unit_test(reading_is_bounded),
        cmocka_unit_test(reads_end_at_the_end_of_the_file),
        cmocka_unit_test(a_lock_is_exclusive_between_processes),
        cmocka_unit_test(removing_a_tree_follows_no_link),
        cmocka_unit_test(xdg_folders),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

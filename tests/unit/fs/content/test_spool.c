/* fs/content/spool: numbers, maps that survive, sweeping, and the disk's room. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fs/content/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

struct here {
    char folder[64];
    struct spool *spool;
};

static int setup(void **state) {
    struct here *here = calloc(1, sizeof *here);
    snprintf(here->folder, sizeof here->folder, "/tmp/pail-spool-XXXXXX");
    assert_non_null(mkdtemp(here->folder));
    assert_int_equal(spool_create(&here->spool, here->folder, 1 << 20), 0);
    *state = here;
    return 0;
}

static int teardown(void **state) {
    struct here *here = *state;
    spool_destroy(here->spool);
    file_remove_tree(here->folder);
    free(here);
    return 0;
}

static bool exists(const struct here *here, uint64_t number, const char *suffix) {
    AUTO_FREE char *path = text_format("%s/%llu%s", here->folder, (unsigned long long)number, suffix);
    return !access(path, F_OK);
}

static uint64_t make(struct here *here) {
    uint64_t number;
    int fd;
    assert_int_equal(spool_new(here->spool, &number, &fd), 0);
    assert_int_equal(file_pwrite_all(fd, "some bytes", 10, 0), 0);
    close(fd);
    return number;
}

static void begin_another_life(struct here *here) {
    spool_destroy(here->spool);
    assert_int_equal(spool_create(&here->spool, here->folder, 1 << 20), 0);
}

static void numbers_are_never_given_twice(void **state) {
    struct here *here = *state;
    uint64_t a = make(here), b = make(here);
    assert_true(a && b > a);
    spool_remove(here->spool, b, false);
    begin_another_life(here);
    assert_true(make(here) > b); /* somebody's record may still say b */
    assert_true(a < 1ull << 53); /* fits into JSON and SQLite */
}

static void a_map_survives(void **state) {
    struct here *here = *state;
    uint64_t number = make(here);
    struct spool_map map = {.limit = 1000000}, found;
    assert_int_equal(spool_map_read(here->spool, number, &found), -ENOENT);
    ranges_set(&map.ranges, 5, 10, 1);
    ranges_set(&map.ranges, 500, 999999, 1);
    for (int durable = 0; durable < 2; durable++) {
        assert_int_equal(spool_map_write(here->spool, number, &map, durable), 0);
        begin_another_life(here);
        assert_int_equal(spool_map_read(here->spool, number, &found), 0);
        assert_int_equal(found.limit, 1000000);
        assert_int_equal(found.ranges.count, 2);
        assert_true(ranges_cover(&found.ranges, 5, 10));
        assert_true(ranges_cover(&found.ranges, 500, 999999));
        assert_int_equal(found.ranges.bytes, 5 + 999499);
        ranges_finish(&found.ranges);
    }
    ranges_finish(&map.ranges);
    assert_int_equal(spool_map_remove(here->spool, number), 0);
    assert_int_equal(spool_map_remove(here->spool, number), 0);
    assert_int_equal(spool_map_read(here->spool, number, &found), -ENOENT);
}

static void a_damaged_map_is_not_believed(void **state) {
    struct here *here = *state;
    uint64_t number = make(here);
    struct spool_map map = {.limit = 100}, found;
    ranges_set(&map.ranges, 5, 10, 1);
    assert_int_equal(spool_map_write(here->spool, number, &map, false), 0);
    ranges_finish(&map.ranges);
    AUTO_FREE char *path = text_format("%s/%llu.map", here->folder, (unsigned long long)number);
    AUTO_FREE char *bytes = NULL;
    size_t size;
    assert_int_equal(file_read(path, 10000, &bytes, &size), 0);
    for (size_t i = 0; i < size; i++) {
        if (i >= 28 && i < 32)
            continue; /* padding */
        bytes[i] ^= 4;
        assert_int_equal(file_replace(path, 0600, bytes, size), 0);
        assert_int_equal(spool_map_read(here->spool, number, &found), -EBADMSG);
        bytes[i] ^= 4;
    }
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(file_replace(path, 0600, bytes, cut), 0);
        assert_int_equal(spool_map_read(here->spool, number, &found), -EBADMSG);
    }
}

static void sweeping_keeps_what_is_known(void **state) {
    struct here *here = *state;
    uint64_t a = make(here), b = make(here), c = make(here);
    struct spool_map map = {.limit = 100};
    assert_int_equal(spool_map_write(here->spool, a, &map, false), 0);
    assert_int_equal(spool_map_write(here->spool, b, &map, false), 0);
    AUTO_FREE char *half = text_format("%s/%llu.map~", here->folder, (unsigned long long)a);
    AUTO_FREE char *foreign = text_format("%s/notes.txt", here->folder);
    assert_int_equal(file_replace(half, 0600, "x", 1), 0);
    assert_int_equal(file_replace(foreign, 0600, "x", 1), 0);
    begin_another_life(here);
    uint64_t young = make(here);
    uint64_t known[] = {c, a};
    assert_int_equal(spool_sweep(here->spool, known, 2), 0);
    assert_true(exists(here, a, "") && exists(here, a, ".map") && exists(here, c, ""));
    assert_false(exists(here, a, ".map~"));
    assert_false(exists(here, b, "") || exists(here, b, ".map"));
    assert_true(exists(here, young, "")); /* made in this life */
    assert_int_equal(access(foreign, F_OK), 0);
    assert_int_equal(spool_sweep(here->spool, NULL, 0), 0);
    assert_false(exists(here, a, ""));
}

static void bytes_are_counted(void **state) {
    struct here *here = *state;
    uint64_t number, counted = 0;
    struct spool_file there;
    int fd;
    AUTO_FREE char *data = calloc(1, 1 << 20);
    memset(data, 'x', 1 << 20);
    assert_int_equal(spool_new(here->spool, &number, &fd), 0);
    assert_int_equal(file_pwrite_all(fd, data, 1 << 20, 0), 0);
    fsync(fd);
    spool_count(here->spool, fd, &counted);
    assert_true(counted >= 1 << 20);
    assert_int_equal(spool_bytes(here->spool), counted);
    close(fd);
    begin_another_life(here);
    assert_int_equal(spool_bytes(here->spool), counted);
    assert_int_equal(spool_open(here->spool, number, &there), 0);
    assert_int_equal(there.size, 1 << 20);
    assert_int_equal(there.counted, counted);
    close(there.fd);
    spool_remove(here->spool, number, true);
    assert_int_equal(spool_bytes(here->spool), 0);
    assert_int_equal(spool_open(here->spool, number, &there), -ENOENT);
}

static void a_mark_outlives_the_process(void **state) {
    struct here *here = *state;
    uint64_t number, size;
    int64_t mtime_ns, before_ns = clock_realtime_ns() - 1000000000;
    struct spool_file there;
    int fd;
    assert_int_equal(spool_new(here->spool, &number, &fd), 0);
    assert_int_equal(file_pwrite_all(fd, "seven..", 7, 0), 0);
    close(fd);
    begin_another_life(here);
    assert_int_equal(spool_marked(here->spool, number, &size, &mtime_ns), 1);
    assert_int_equal(size, 7);
    assert_in_range(mtime_ns, before_ns, clock_realtime_ns());
    spool_unmark(here->spool, number);
    assert_int_equal(spool_marked(here->spool, number, &size, &mtime_ns), 0);
    assert_int_equal(spool_open(here->spool, number, &there), 0);
    assert_false(there.marked);
    spool_mark(there.fd, true);
    close(there.fd);
    begin_another_life(here);
    assert_int_equal(spool_open(here->spool, number, &there), 0);
    assert_true(there.marked);
    spool_mark(there.fd, false);
    close(there.fd);
    assert_int_equal(spool_marked(here->spool, number, &size, &mtime_ns), 0);
    assert_int_equal(spool_marked(here->spool, number + 1, &size, &mtime_ns), -ENOENT);
}

static void the_reserve_is_kept(void **state) {
    struct here *here = *state;
    int64_t delay_ms;
    assert_int_equal(spool_admit(here->spool, 1000, &delay_ms), 0);
    assert_int_equal(delay_ms, 0);
    assert_true(spool_spare(here->spool, 1000, 1 << 20));
    assert_int_equal(spool_admit(here->spool, 1ull << 60, &delay_ms), -ENOSPC);
    assert_false(spool_spare(here->spool, 1000, 1ull << 60));
    assert_int_equal(spool_admit(here->spool, 1000, &delay_ms), 0); /* what was refused took nothing */
}

/* 1 TiB that is not sent, on paper. */
static void who_outruns_the_wire_is_slowed(void **state) {
    struct here *here = *state;
    int64_t delay_ms;
    uint64_t number, counted = -(1ull << 50);
    int fd;
    assert_int_equal(spool_new(here->spool, &number, &fd), 0);
    spool_count(here->spool, fd, &counted);
    close(fd);
    assert_int_equal(spool_admit(here->spool, 1000, &delay_ms), 0);
    assert_int_equal(delay_ms, 100);
}

static void giving_away_moves_the_file(void **state) {
    struct here *here = *state;
    uint64_t number = make(here);
    struct spool_map map = {.limit = 100};
    assert_int_equal(spool_map_write(here->spool, number, &map, false), 0);
    AUTO_FREE char *path = text_format("%s/given", here->folder);
    assert_int_equal(spool_give(here->spool, number, path), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_false(exists(here, number, "") || exists(here, number, ".map"));
    assert_int_equal(spool_give(here->spool, number, path), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_are_never_given_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(a_map_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_map_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(sweeping_keeps_what_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mark_outlives_the_process, setup, teardown),
        cmocka_unit_test_setup_teardown(the_reserve_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(who_outruns_the_wire_is_slowed, setup, teardown),
        cmocka_unit_test_setup_teardown(giving_away_moves_the_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

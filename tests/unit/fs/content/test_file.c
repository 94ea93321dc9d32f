/* fs/content/file: writing, cutting, allocating, committing; their limits, and order between threads. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "origin.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { KIB = 1 << 10, MIB = 1 << 20 };

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

static void assert_bytes(struct content_handle *handle, uint64_t offset, const char *expected, size_t size) {
    AUTO_FREE char *data = NULL;
    size_t got;
    assert_int_equal(read_now(handle, offset, size, &data, &got), 0);
    assert_int_equal(got, size);
    assert_memory_equal(data, expected, size);
}

static struct content_handle *new_file(struct fixture *fixture, uint64_t ino, uint64_t *spool) {
    assert_int_equal(content_new_spool(fixture->content, spool), 0);
    return fixture_open(fixture, ino, "", 0, *spool);
}

static void a_hundred_sparse_gigabytes(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool, size = 100ull << 30;
    struct content_state now;
    struct content_handle *handle = new_file(fixture, 5, &spool);
    assert_int_equal(content_truncate(handle, size), 0);
    for (uint64_t at = 0; at < size; at += 10ull << 30)
        assert_int_equal(content_write(handle, "here", 4, at + 12345), 0);
    assert_int_equal(content_commit(handle, true, &now), 0);
    content_close(handle);
    fixture_stop(fixture);
    fixture_start(fixture);
    handle = fixture_open(fixture, 5, "", 0, spool);
    assert_bytes(handle, (70ull << 30) + 12344, "\0here\0", 6);
    assert_bytes(handle, size - 5, "\0\0\0\0\0", 5);
    struct content_totals totals;
    content_totals(fixture->content, &totals);
    assert_true(totals.spool_bytes < MIB);
    content_close(handle);
    handle = fixture_open(fixture, 6, "v", size, 0); /* and edits of a big object */
    for (uint64_t i = 0; i < 2000; i++)
        assert_int_equal(content_write(handle, "edit", 4, i * 7919 * 4099 % size), 0);
    assert_int_equal(content_commit(handle, false, &now), 0);
    content_close(handle);
    handle = fixture_open(fixture, 6, "v", size, now.spool);
    assert_bytes(handle, 1999ull * 7919 * 4099 % size, "edit", 4);
    assert_origin(handle, 6, "v", 50ull << 30, 1000);
    content_close(handle);
}

static void allocating_as_fallocate_does(void **state) {
    struct fixture *fixture = *state;
    struct content_state now;
    struct content_handle *handle = fixture_open(fixture, 5, "v", 100 * KIB, 0);
    assert_int_equal(content_allocate(handle, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
    assert_int_equal(content_allocate(handle, FALLOC_FL_PUNCH_HOLE, 0, 4096), -EOPNOTSUPP);
    assert_int_equal(content_allocate(handle, 0, 0, 0), -EINVAL);
    assert_int_equal(content_allocate(handle, 0, INT64_MAX - 5, 10), -EFBIG);
    assert_int_equal(content_allocate(handle, 0, 0, 50 * KIB), 0);
    content_state(handle, &now);
    assert_int_equal(now.spool, 0); /* nothing changed */
    assert_int_equal(content_allocate(handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 20), 0);
    char zeros[100] = {0};
    assert_bytes(handle, 10, zeros, 20);
    assert_origin(handle, 5, "v", 0, 10);
    assert_origin(handle, 5, "v", 30, 1000);
    assert_int_equal(content_allocate(handle, FALLOC_FL_ZERO_RANGE, 100 * KIB - 10, 20), 0);
    content_state(handle, &now);
    assert_int_equal(now.size, 100 * KIB + 10);
    assert_bytes(handle, 100 * KIB - 10, zeros, 20);
    assert_int_equal(content_allocate(handle, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 100 * KIB + 5, MIB), 0);
    assert_int_equal(content_allocate(handle, FALLOC_FL_KEEP_SIZE, 200 * KIB, MIB), 0);
    content_state(handle, &now);
    assert_int_equal(now.size, 100 * KIB + 10);
    assert_int_equal(content_allocate(handle, 0, 200 * KIB, MIB), 0);
    content_state(handle, &now);
    assert_int_equal(now.size, 200 * KIB + MIB);
    assert_bytes(handle, 150 * KIB, zeros, 100);
    content_close(handle);
}

static void what_is_too_big_is_refused(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 5, "v", 100, 0);
    struct content_state now;
    assert_int_equal(content_write(handle, "x", 1, INT64_MAX), -EFBIG);
    assert_int_equal(content_write(handle, "x", 1, UINT64_MAX), -EFBIG);
    assert_int_equal(content_truncate(handle, UINT64_MAX), -EFBIG);
    assert_int_equal(content_write(handle, "x", 0, 5), 0);
    content_state(handle, &now);
    assert_int_equal(now.spool, 0);
    content_close(handle);
}

static void a_failing_write_leaves_the_file_as_it_was(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    struct content_handle *handle = new_file(fixture, 5, &spool);
    assert_int_equal(content_write(handle, "good", 4, 0), 0);
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){100 * KIB, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    AUTO_FREE char *data = calloc(1, 200 * KIB);
    assert_int_equal(content_write(handle, data, 200 * KIB, 2), -EFBIG);
    assert_int_equal(content_truncate(handle, MIB), -EFBIG);
    setrlimit(RLIMIT_FSIZE, &before);
    struct content_state now;
    assert_int_equal(content_commit(handle, false, &now), 0);
    assert_int_equal(now.size, 4);
    content_close(handle);
    handle = fixture_open(fixture, 5, "", 0, spool);
    content_state(handle, &now);
    assert_int_equal(now.size, 4);
    assert_bytes(handle, 0, "go", 2); /* what of a failed write is there is unknown, as on any disk */
    content_close(handle);
}

static void the_reserve_of_the_disk_is_kept(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 5, "v", 100 * KIB, 0);
    assert_origin(handle, 5, "v", 0, 100 * KIB);
    for (int i = 0; i < 300; i++) {
        struct content_totals totals;
        content_totals(fixture->content, &totals);
        if (totals.cache_files)
            break;
        clock_sleep_ms(10);
    }
    content_close(handle);
    fixture_stop(fixture);
    fixture->options.disk_reserve = 1ull << 60;
    fixture_start(fixture);
    uint64_t spool;
    assert_int_equal(content_new_spool(fixture->content, &spool), -ENOSPC);
    handle = fixture_open(fixture, 5, "v", 100 * KIB, 0);
    assert_int_equal(content_write(handle, "x", 1, 0), -ENOSPC);
    assert_int_equal(content_allocate(handle, 0, 0, MIB), -ENOSPC);
    assert_int_equal(content_truncate(handle, 0), 0); /* to make room must be possible */
    struct content_totals totals;
    content_totals(fixture->content, &totals);
    assert_int_equal(totals.cache_bytes, 0); /* was given up first */
    content_close(handle);
}

/* A real full disk, when we may mount one. */
static void a_full_disk_loses_nothing(void **state) {
    struct fixture *fixture = *state;
    fixture_stop(fixture);
    mkdir(fixture->spool, 0700);
    if (mount("none", fixture->spool, "tmpfs", 0, "size=4m")) {
        print_message("skipped: only root can mount a small disk to fill (%s)\n", strerror(errno));
        fixture_start(fixture);
        skip();
    }
    fixture->options.disk_reserve = 1;
    fixture_start(fixture);
    uint64_t spool, written = 0;
    struct content_handle *handle = new_file(fixture, 5, &spool);
    struct content_state now;
    AUTO_FREE char *data = malloc(64 * KIB);
    memset(data, 'd', 64 * KIB);
    int r = 0;
    for (; !r && written < 100 * MIB; written += r ? 0 : 64 * KIB)
        r = content_write(handle, data, 64 * KIB, written);
    assert_int_equal(r, -ENOSPC);
    assert_true(written > 2 * MIB && written < 5 * MIB);
    assert_int_equal(content_commit(handle, true, &now), 0);
    assert_int_equal(now.size, written);
    for (uint64_t at = 0; at < written; at += 64 * KIB)
        assert_bytes(handle, at, data, 64 * KIB);
    assert_int_equal(content_truncate(handle, MIB), 0);
    clock_sleep_ms(600); /* the disk is looked at again */
    assert_int_equal(content_write(handle, data, 64 * KIB, MIB), 0);
    content_close(handle);
    fixture_stop(fixture);
    fixture_start(fixture);
    handle = fixture_open(fixture, 5, "", 0, spool);
    assert_bytes(handle, MIB - 10, data, 64 * KIB);
    content_close(handle);
    fixture_stop(fixture);
    umount2(fixture->spool, MNT_DETACH);
}

static void times_are_told(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 5, "v", 100, 0);
    struct content_state now;
    content_state(handle, &now);
    assert_int_equal(now.mtime_ns, 0);
    int64_t before_ms = clock_monotonic_ms();
    assert_int_equal(content_write(handle, "a", 1, 0), 0);
    clock_sleep_ms(20);
    assert_int_equal(content_write(handle, "b", 1, 0), 0);
    content_state(handle, &now);
    assert_true(now.first_written_ms >= before_ms && now.written_ms >= now.first_written_ms + 20);
    assert_true(now.mtime_ns / 1000000000 >= clock_realtime_s() - 5);
    content_touch(handle);
    content_state(handle, &now);
    assert_int_equal(now.mtime_ns, 0);
    assert_true(now.uncommitted);
    assert_int_equal(content_commit(handle, false, &now), 0);
    clock_sleep_ms(20);
    assert_int_equal(content_write(handle, "c", 1, 0), 0);
    content_state(handle, &now);
    assert_int_equal(now.first_written_ms, now.written_ms);
    struct content_state seen;
    assert_true(content_peek(fixture->content, 5, &seen));
    assert_int_equal(seen.spool, now.spool);
    content_close(handle);
    assert_false(content_peek(fixture->content, 5, &seen));
}

/* A caller whose record was read before another's write. */
static void an_old_record_does_not_bring_old_bytes_back(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 5, "v", 100 * KIB, 0);
    struct content_state now;
    assert_int_equal(content_write(handle, "new", 3, 0), 0);
    assert_int_equal(content_commit(handle, false, &now), 0);
    content_close(handle);
    handle = fixture_open(fixture, 5, "v", 100 * KIB, 0);
    assert_bytes(handle, 0, "new", 3);
    content_close(handle);
    content_drop(fixture->content, 5, now.spool);
    for (int i = 0; i < 500; i++) {
        struct content_handle *gone = NULL;
        int r = content_open(fixture->content, 5, &(struct content_version){"v", 100 * KIB}, now.spool,
                             content_moment(fixture->content, 5), &gone);
        content_close(gone);
        if (r) {
            assert_int_equal(r, -ESTALE);
            return;
        }
        clock_sleep_ms(10);
    }
    fail_msg("the spool file of a dropped node stays");
}

static void dropping_removes_the_bytes_when_nobody_reads(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    struct content_handle *handle = new_file(fixture, 5, &spool);
    AUTO_FREE char *data = calloc(1, MIB);
    memset(data, 'x', MIB);
    struct content_state now;
    assert_int_equal(content_write(handle, data, MIB, 0), 0);
    assert_int_equal(content_commit(handle, true, &now), 0);
    content_drop(fixture->content, 5, spool);
    assert_int_equal(content_write(handle, "more", 4, MIB), 0);
    assert_bytes(handle, MIB - 4, "xxxxmore", 8);
    assert_int_equal(content_truncate(handle, 10), 0);
    assert_int_equal(content_commit(handle, true, &now), 0);
    content_close(handle);
    fixture_stop(fixture);
    AUTO_FREE char *path = text_format("%s/%llu", fixture->spool, (unsigned long long)spool);
    assert_int_equal(access(path, F_OK), -1);
    fixture_start(fixture);
    struct content_totals totals;
    content_totals(fixture->content, &totals);
    assert_int_equal(totals.spool_bytes, 0);
}

/* ---- Order. One thread writes a record full of one number, then of the next; no reader may see two numbers, nor an
 * older one than was there when it began. */

enum { NUMBERS = 5000, RECORD = NUMBERS * 4, AT = 30000, ROUNDS = 400 };

struct ordered {
    struct content_handle *handle;
    _Atomic uint32_t written;
    _Atomic bool ending, broken;
};

static void *read_records(void *context) {
    struct ordered *ordered = context;
    while (!ordered->ending && !ordered->broken) {
        uint32_t before = ordered->written, numbers[NUMBERS];
        AUTO_FREE char *data = NULL;
        size_t got = 0;
        int r = read_now(ordered->handle, AT, RECORD, &data, &got);
        if (r || got != RECORD) {
            ordered->broken = true;
            break;
        }
        memcpy(numbers, data, RECORD);
        for (size_t i = 0; i < NUMBERS; i++)
            if (numbers[i] != numbers[0] || numbers[i] < before)
                ordered->broken = true;
    }
    return NULL;
}

static void write_record(struct ordered *ordered, uint32_t number) {
    uint32_t record[NUMBERS];
    for (size_t i = 0; i < NUMBERS; i++)
        record[i] = number;
    assert_int_equal(content_write(ordered->handle, record, RECORD, AT), 0);
    ordered->written = number;
}

static void writes_and_reads_keep_their_order(void **state) {
    struct fixture *fixture = *state;
    struct ordered ordered = {.handle = fixture_open(fixture, 5, "v", 100000, 0)};
    pthread_t readers[3];
    write_record(&ordered, 1);
    for (int i = 0; i < 3; i++)
        pthread_create(&readers[i], NULL, read_records, &ordered);
    for (uint32_t i = 2; i < ROUNDS; i++) {
        struct content_state now;
        write_record(&ordered, i);
        if (i % 50 == 0)
            assert_int_equal(content_commit(ordered.handle, i % 100 == 0, &now), 0);
    }
    ordered.ending = true;
    for (int i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
    assert_false(ordered.broken);
    assert_origin(ordered.handle, 5, "v", 0, AT);
    content_close(ordered.handle);
}

struct appender {
    struct content_handle *handle;
    char letter;
    uint64_t start;
};

static void *write_stripes(void *context) {
    struct appender *appender = context;
    char stripe[512];
    memset(stripe, appender->letter, sizeof stripe);
    for (uint64_t i = 0; i < 500; i++)
        if (content_write(appender->handle, stripe, sizeof stripe, (i * 4 + appender->start) * sizeof stripe))
            return appender;
    return NULL;
}

static void writers_of_different_parts_do_not_disturb_each_other(void **state) {
    struct fixture *fixture = *state;
    struct appender appenders[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        appenders[i] = (struct appender){fixture_open(fixture, 5, "v", 300000, 0), (char)('a' + i), (uint64_t)i};
        pthread_create(&threads[i], NULL, write_stripes, &appenders[i]);
    }
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    AUTO_FREE char *data = NULL;
    size_t got;
    assert_int_equal(read_now(appenders[0].handle, 0, 2000 * 512, &data, &got), 0);
    assert_int_equal(got, 2000 * 512);
    for (size_t i = 0; i < got; i++)
        assert_int_equal(data[i], 'a' + i / 512 % 4);
    for (int i = 0; i < 4; i++)
        content_close(appenders[i].handle);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_hundred_sparse_gigabytes),
        TEST(allocating_as_fallocate_does),
        TEST(what_is_too_big_is_refused),
        TEST(a_failing_write_leaves_the_file_as_it_was),
        TEST(the_reserve_of_the_disk_is_kept),
        TEST(a_full_disk_loses_nothing),
        TEST(times_are_told),
        TEST(an_old_record_does_not_bring_old_bytes_back),
        TEST(dropping_removes_the_bytes_when_nobody_reads),
        TEST(writes_and_reads_keep_their_order),
        TEST(writers_of_different_parts_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

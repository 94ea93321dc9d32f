/* fs/content/upload: filling, marks, and being clean, while programs go on. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "origin.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { KIB = 1 << 10, MIB = 1 << 20, SIZE = 20 << 20 };

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

static const struct content_version v1 = {"v1", SIZE};

/* A file of the bucket with an edit in the middle, committed. */
static struct content_handle *edited(struct fixture *fixture, uint64_t *spool) {
    struct content_handle *handle = fixture_open(fixture, 5, "v1", SIZE, 0);
    struct content_state now;
    assert_int_equal(content_write(handle, "EDITED", 6, 9 * MIB + 7), 0);
    assert_int_equal(content_commit(handle, false, &now), 0);
    *spool = now.spool;
    return handle;
}

static struct content_upload *begin(struct fixture *fixture, uint64_t spool) {
    struct content_upload *upload = NULL;
    uint64_t size;
    int r = content_upload_open(fixture->content, 5, spool, &v1, &upload, &size);
    if (r)
        fail_msg("content_upload_open: %d", r);
    return upload;
}

/* The edited file is in the bucket, as v2. The caller frees its bytes. */
static char *arrive(struct fixture *fixture) {
    char *object = malloc(SIZE);
    assert_non_null(object);
    origin_fill(5, "v1", 0, object, SIZE);
    memcpy(object + 9 * MIB + 7, "EDITED", 6);
    origin_put(&fixture->origin, "v2", object, SIZE);
    return object;
}

static void filling_brings_the_rest(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    content_close(edited(fixture, &spool));
    struct content_upload *upload = begin(fixture, spool); /* nobody has it open */
    assert_int_equal(content_fill(upload, NULL), 0);
    assert_true(origin_bytes(&fixture->origin) <= SIZE);
    AUTO_FREE char *data = malloc(SIZE);
    AUTO_FREE char *expected = malloc(SIZE);
    assert_int_equal(content_upload_read(upload, 0, data, SIZE), 0);
    origin_fill(5, "v1", 0, expected, SIZE);
    memcpy(expected + 9 * MIB + 7, "EDITED", 6);
    assert_memory_equal(data, expected, SIZE);
    content_upload_close(upload);
    fixture_stop(fixture); /* and is not to be done again in the next life */
    fixture_start(fixture);
    unsigned before = origin_fetches(&fixture->origin);
    upload = begin(fixture, spool);
    assert_int_equal(content_fill(upload, NULL), 0);
    assert_int_equal(origin_fetches(&fixture->origin), before);
    content_upload_close(upload);
}

struct filling {
    struct content_upload *upload;
    int result;
};

static void *fill_it(void *context) {
    struct filling *filling = context;
    filling->result = content_fill(filling->upload, NULL);
    return NULL;
}

static void filling_leaves_what_is_written_meanwhile(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    struct content_handle *handle = edited(fixture, &spool);
    struct content_upload *upload = begin(fixture, spool);
    fixture->origin.delay_ms = 30;
    pthread_t filler;
    struct filling fill = {upload, -1};
    pthread_create(&filler, NULL, fill_it, &fill);
    for (uint64_t at = 0; at < SIZE; at += 64 * KIB)
        assert_int_equal(content_write(handle, "meanwhile", 9, at), 0);
    pthread_join(filler, NULL);
    assert_int_equal(fill.result, 0);
    for (uint64_t at = 0; at < SIZE; at += 64 * KIB) {
        assert_bytes(handle, at, "meanwhile", 9);
        assert_origin(handle, 5, "v1", at + 13, 100); /* beyond the edit, where there is one */
    }
    content_upload_close(upload);
    content_close(handle);
}

static void *cancel_soon(void *context) {
    clock_sleep_ms(150);
    *(_Atomic bool *)context = true;
    return NULL;
}

static void filling_can_be_cancelled(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    content_close(edited(fixture, &spool));
    struct content_upload *upload = begin(fixture, spool);
    origin_hold(&fixture->origin, true);
    _Atomic bool cancelled = true;
    assert_int_equal(content_fill(upload, &cancelled), PAIL_CANCELLED);
    cancelled = false;
    pthread_t canceller;
    pthread_create(&canceller, NULL, cancel_soon, &cancelled);
    assert_int_equal(content_fill(upload, &cancelled), PAIL_CANCELLED); /* in the middle of waiting */
    pthread_join(canceller, NULL);
    origin_hold(&fixture->origin, false);
    cancelled = false;
    assert_int_equal(content_fill(upload, &cancelled), 0);
    content_upload_close(upload);
}

static void filling_tells_what_failed(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    content_close(edited(fixture, &spool));
    struct content_upload *upload = begin(fixture, spool);
    static const int errors[] = {PAIL_GONE, PAIL_OFFLINE, PAIL_DAMAGED};
    for (size_t i = 0; i < 3; i++) {
        fixture->origin.fail = errors[i];
        fixture->origin.fail_count = 100;
        assert_int_equal(content_fill(upload, NULL), errors[i]);
        origin_wait_idle(&fixture->origin);
    }
    fixture->origin.fail_count = 0;
    assert_int_equal(content_fill(upload, NULL), 0);
    content_upload_close(upload);
}

static void marks_see_each_change(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    struct content_handle *handle = edited(fixture, &spool);
    struct content_upload *upload = begin(fixture, spool);
    uint64_t a = content_upload_mark(upload);
    assert_int_equal(content_upload_mark(upload), a);
    assert_int_equal(content_write(handle, "x", 1, MIB), 0);
    uint64_t b = content_upload_mark(upload);
    assert_true(b > a);
    assert_int_equal(content_write(handle, "y", 1, 3 * MIB), 0);
    assert_true(content_upload_changed(upload, a, 0, MIB + 1));
    assert_false(content_upload_changed(upload, b, 0, 2 * MIB));
    assert_true(content_upload_changed(upload, b, 2 * MIB, 2 * MIB));
    uint64_t c = content_upload_mark(upload);
    assert_false(content_upload_changed(upload, c, 0, UINT64_MAX));
    assert_int_equal(content_allocate(handle, 3 /* punch a hole */, 5 * MIB, 10), 0);
    assert_true(content_upload_changed(upload, c, 5 * MIB + 9, 1));
    assert_false(content_upload_changed(upload, c, 5 * MIB + 10, SIZE));
    uint64_t d = content_upload_mark(upload);
    assert_int_equal(content_truncate(handle, SIZE + 1), 0);
    assert_true(content_upload_changed(upload, d, 0, 1)); /* the size counts for all */
    uint64_t e = content_upload_mark(upload);
    assert_int_equal(content_truncate(handle, SIZE), 0);
    assert_int_equal(content_truncate(handle, SIZE + 1), 0);
    assert_true(content_upload_changed(upload, e, 0, 1));
    content_upload_close(upload);
    content_close(handle);
}

/* An attempt failed; the next one has an older mark at hand. */
static void marks_outlive_an_upload(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    struct content_handle *handle = edited(fixture, &spool);
    struct content_upload *upload = begin(fixture, spool);
    uint64_t mark = content_upload_mark(upload);
    content_upload_close(upload);
    upload = begin(fixture, spool);
    assert_false(content_upload_changed(upload, mark, 0, SIZE));
    content_upload_close(upload);
    assert_int_equal(content_write(handle, "x", 1, 0), 0); /* while nobody notes where */
    upload = begin(fixture, spool);
    assert_true(content_upload_changed(upload, mark, 0, SIZE));
    assert_false(content_upload_changed(upload, content_upload_mark(upload), 0, SIZE));
    mark = content_upload_mark(upload);
    content_upload_close(upload);
    struct content_state now;
    assert_int_equal(content_write(handle, "y", 1, 0), 0);
    assert_int_equal(content_commit(handle, false, &now), 0);
    content_close(handle); /* nothing holds the file now */
    upload = begin(fixture, spool);
    assert_true(content_upload_changed(upload, mark, 0, 1));
    content_upload_close(upload);
}

static void many_changes_are_not_missed(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    struct content_handle *handle = edited(fixture, &spool);
    struct content_upload *upload = begin(fixture, spool);
    uint64_t mark = content_upload_mark(upload);
    for (uint64_t i = 0; i < 6000; i++) {
        assert_int_equal(content_write(handle, "z", 1, i * 2), 0);
        content_upload_mark(upload); /* each change has a number of its own */
    }
    for (uint64_t i = 0; i < 6000; i++)
        assert_true(content_upload_changed(upload, mark, i * 2, 1));
    assert_false(content_upload_changed(upload, mark, 12000, SIZE));
    content_upload_close(upload);
    content_close(handle);
}

static void a_change_during_the_upload_keeps_it_dirty(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    struct content_handle *handle = edited(fixture, &spool);
    struct content_upload *upload = begin(fixture, spool);
    uint64_t mark = content_upload_mark(upload);
    AUTO_FREE char *sent = malloc(SIZE);
    assert_int_equal(content_fill(upload, NULL), 0);
    assert_int_equal(content_upload_read(upload, 0, sent, SIZE), 0);
    assert_int_equal(content_write(handle, "late", 4, 100), 0);
    origin_put(&fixture->origin, "v2", sent, SIZE);
    assert_false(content_uploaded(upload, mark, &(struct content_version){"v2", SIZE}));
    content_upload_close(upload);
    struct content_state now;
    content_state(handle, &now);
    assert_int_equal(now.spool, spool);
    assert_bytes(handle, 100, "late", 4);
    content_close(handle);
}

/* Who read the record before the upload ended would open, or bring, what the file was before. */
static void a_record_from_before_the_upload_opens_nothing(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool, old = content_moment(fixture->content, 5);
    struct content_handle *handle = NULL;
    struct content_state now;
    content_close(edited(fixture, &spool));
    struct content_upload *upload = begin(fixture, spool);
    uint64_t mark = content_upload_mark(upload);
    AUTO_FREE char *object = arrive(fixture);
    assert_int_equal(content_open(fixture->content, 5, &v1, 0, old, &handle), 0); /* it is what it is here */
    content_state(handle, &now);
    assert_int_equal(now.spool, spool);
    content_close(handle);
    assert_true(content_uploaded(upload, mark, &(struct content_version){"v2", SIZE}));
    content_upload_close(upload);
    assert_int_equal(content_open(fixture->content, 5, &v1, 0, old, &handle), -ESTALE);
    assert_int_equal(content_prefetch(fixture->content, 5, &v1, old), -ESTALE);
    content_present(fixture->content, 5, &v1); /* a look, and nothing stays of it */
    handle = fixture_open(fixture, 5, "v2", SIZE, 0);
    assert_bytes(handle, 9 * MIB, object + 9 * MIB, 100);
    content_close(handle);
}

/* Big objects are changed by copying inside the bucket what was not written: the spool may never be whole. */
static void a_partial_upload_makes_it_clean_as_well(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    struct content_handle *handle = edited(fixture, &spool);
    struct content_upload *upload = begin(fixture, spool);
    uint64_t mark = content_upload_mark(upload);
    AUTO_FREE char *object = arrive(fixture);
    assert_true(content_uploaded(upload, mark, &(struct content_version){"v2", SIZE}));
    content_upload_close(upload);
    struct content_state now;
    content_state(handle, &now);
    assert_int_equal(now.spool, 0);
    assert_bytes(handle, 9 * MIB, object + 9 * MIB, 100);
    assert_bytes(handle, 0, object, 100);
    AUTO_FREE char *path = text_format("%s/%llu", fixture->spool, (unsigned long long)spool);
    assert_int_equal(access(path, F_OK), -1);
    content_close(handle);
}

static void a_late_change_of_a_partial_file_goes_on_from_the_new_version(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool;
    struct content_handle *handle = edited(fixture, &spool);
    struct content_upload *upload = begin(fixture, spool);
    uint64_t mark = content_upload_mark(upload);
    AUTO_FREE char *object = arrive(fixture);
    assert_int_equal(content_write(handle, "late", 4, 100), 0);
    assert_false(content_uploaded(upload, mark, &(struct content_version){"v2", SIZE}));
    content_upload_close(upload);
    assert_bytes(handle, 100, "late", 4);
    unsigned before = origin_fetches(&fixture->origin);
    assert_bytes(handle, 15 * MIB, object + 15 * MIB, 1000);
    assert_true(origin_fetches(&fixture->origin) > before);
    pthread_mutex_lock(&fixture->origin.lock);
    assert_string_equal(fixture->origin.log[before].identity, "v2"); /* v1 may be gone by now */
    pthread_mutex_unlock(&fixture->origin.lock);
    content_close(handle);
}

struct reading_on {
    struct content_handle *handle;
    _Atomic bool ending, broken;
    _Atomic unsigned reads;
};

static void *read_on(void *context) {
    struct reading_on *reading = context;
    AUTO_FREE char *expected = malloc(SIZE);
    origin_fill(5, "v1", 0, expected, SIZE);
    for (uint64_t at = 0; !reading->ending && !reading->broken; at = (at + 300 * KIB) % SIZE) {
        AUTO_FREE char *data = NULL;
        size_t got = 0, size = SIZE - at < 300 * KIB ? SIZE - at : 300 * KIB;
        int r = read_now(reading->handle, at, size, &data, &got);
        if (r || got != size || memcmp(data, expected + at, size) != 0)
            reading->broken = true;
        reading->reads++;
    }
    return NULL;
}

static void readers_notice_nothing(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 5, "v1", SIZE, 0);
    struct reading_on reading = {.handle = handle};
    pthread_t reader;
    pthread_create(&reader, NULL, read_on, &reading);
    char identity[32] = "v1";
    for (int i = 0; i < 30; i++) {
        struct content_state now;
        struct content_upload *upload;
        uint64_t size;
        char byte = (char)origin_byte(5, "v1", 77); /* a write that changes nothing */
        assert_int_equal(content_write(handle, &byte, 1, 77), 0);
        assert_int_equal(content_commit(handle, false, &now), 0);
        struct content_version base = {identity, SIZE};
        assert_int_equal(content_upload_open(fixture->content, 5, now.spool, &base, &upload, &size), 0);
        uint64_t mark = content_upload_mark(upload);
        assert_int_equal(content_fill(upload, NULL), 0);
        snprintf(identity, sizeof identity, "round %d", i);
        AUTO_FREE char *object = malloc(SIZE);
        assert_int_equal(content_upload_read(upload, 0, object, SIZE), 0);
        origin_put(&fixture->origin, identity, object, SIZE);
        assert_true(content_uploaded(upload, mark, &(struct content_version){identity, SIZE}));
        content_upload_close(upload);
        if (i % 7 == 3)
            content_evict(fixture->content, 0);
    }
    reading.ending = true;
    pthread_join(reader, NULL);
    assert_false(reading.broken);
    assert_true(reading.reads > 10);
    content_close(handle);
}

static void what_is_gone_is_not_sent(void **state) {
    struct fixture *fixture = *state;
    uint64_t spool, size;
    struct content_handle *handle = edited(fixture, &spool);
    struct content_upload *upload = begin(fixture, spool), *other;
    content_drop(fixture->content, 5, spool);
    uint64_t mark = content_upload_mark(upload);
    assert_int_equal(content_fill(upload, NULL), 0); /* harmless */
    assert_true(content_uploaded(upload, mark, &(struct content_version){"v2", SIZE}));
    assert_int_equal(content_upload_open(fixture->content, 5, spool, &v1, &other, &size), -ESTALE);
    content_upload_close(upload);
    assert_bytes(handle, 9 * MIB + 7, "EDITED", 6);
    content_close(handle);
    fixture_stop(fixture);
    fixture_start(fixture);
    struct content_totals totals;
    content_totals(fixture->content, &totals);
    assert_int_equal(totals.spool_bytes, 0);
    assert_int_equal(content_present(fixture->content, 5, &(struct content_version){"v2", SIZE}), 0);
}

static void a_cache_on_another_disk(void **state) {
    struct fixture *fixture = *state;
    char elsewhere[] = "/dev/shm/pail-content-XXXXXX";
    struct stat here, there;
    if (!mkdtemp(elsewhere) || stat(elsewhere, &there) || stat(fixture->spool, &here) || here.st_dev == there.st_dev) {
        print_message("skipped: there is no second file system at /dev/shm\n");
        skip();
    }
    fixture_stop(fixture);
    fixture->options.cache_folder = elsewhere;
    fixture_start(fixture);
    uint64_t spool;
    struct content_handle *handle = edited(fixture, &spool);
    struct content_upload *upload = begin(fixture, spool);
    uint64_t mark = content_upload_mark(upload);
    AUTO_FREE char *sent = malloc(SIZE);
    assert_int_equal(content_fill(upload, NULL), 0);
    assert_int_equal(content_upload_read(upload, 0, sent, SIZE), 0);
    origin_put(&fixture->origin, "v2", sent, SIZE);
    assert_true(content_uploaded(upload, mark, &(struct content_version){"v2", SIZE}));
    content_upload_close(upload);
    assert_bytes(handle, 9 * MIB + 7, "EDITED", 6);
    AUTO_FREE char *path = text_format("%s/%llu", fixture->spool, (unsigned long long)spool);
    assert_int_equal(access(path, F_OK), -1);
    content_close(handle);
    fixture_stop(fixture);
    file_remove_tree(elsewhere);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(filling_brings_the_rest),
        TEST(filling_leaves_what_is_written_meanwhile),
        TEST(filling_can_be_cancelled),
        TEST(filling_tells_what_failed),
        TEST(marks_see_each_change),
        TEST(marks_outlive_an_upload),
        TEST(many_changes_are_not_missed),
        TEST(a_change_during_the_upload_keeps_it_dirty),
        TEST(a_record_from_before_the_upload_opens_nothing),
        TEST(a_partial_upload_makes_it_clean_as_well),
        TEST(a_late_change_of_a_partial_file_goes_on_from_the_new_version),
        TEST(readers_notice_nothing),
        TEST(what_is_gone_is_not_sent),
        TEST(a_cache_on_another_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

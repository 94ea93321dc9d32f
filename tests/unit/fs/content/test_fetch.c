/* fs/content/fetch and read: what is asked of the origin, who waits for what, and what happens when it fails. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "origin.h"
#include "patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { KIB = 1 << 10, MIB = 1 << 20, BIG = 64 << 20 };

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

/* The fetches as they were asked for. */
static struct asked asked_at(struct fixture *fixture, unsigned i) {
    pthread_mutex_lock(&fixture->origin.lock);
    assert_true(i < fixture->origin.fetches);
    struct asked asked = fixture->origin.log[i];
    pthread_mutex_unlock(&fixture->origin.lock);
    return asked;
}

static void wait_cached(struct fixture *fixture, uint64_t bytes) {
    struct content_totals totals = {0};
    WAIT_UNTIL((content_totals(fixture->content, &totals), totals.cache_bytes >= bytes));
    assert_true(totals.cache_bytes >= bytes);
}

static void a_small_file_is_one_request(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", 900 * KIB, 0);
    assert_origin(handle, 3, "v", 500 * KIB, 4 * KIB); /* wherever one begins */
    assert_origin(handle, 3, "v", 0, 900 * KIB);
    assert_int_equal(origin_fetches(&fixture->origin), 1);
    struct asked asked = asked_at(fixture, 0);
    assert_int_equal(asked.offset, 0);
    assert_int_equal(asked.length, 900 * KIB);
    assert_true(asked.urgent);
    assert_string_equal(asked.identity, "v");
    content_close(handle);
}

static void a_look_at_the_start_fetches_only_that(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", BIG, 0);
    assert_origin(handle, 3, "v", 0, 300);
    assert_int_equal(origin_fetches(&fixture->origin), 1);
    assert_int_equal(asked_at(fixture, 0).length, 16 * KIB);
    assert_origin(handle, 3, "v", 16 * KIB - 1, 1);
    assert_int_equal(origin_fetches(&fixture->origin), 1);
    content_close(handle);
}

static void random_reads_fetch_little(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", BIG, 0);
    for (uint64_t i = 0; i < 100; i++)
        assert_origin(handle, 3, "v", (i * 7919 + 1000) * 4096 % (BIG - 4096), 4096);
    assert_true(origin_bytes(&fixture->origin) <= 100 * 32 * KIB);
    content_close(handle);
}

static void sequential_reads_grow_to_parallel_ranges(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", BIG, 0);
    for (uint64_t at = 0; at < BIG; at += 128 * KIB)
        assert_origin(handle, 3, "v", at, 128 * KIB);
    assert_int_equal(origin_bytes(&fixture->origin), BIG); /* nothing twice, nothing too much */
    assert_true(fixture->origin.largest >= 4 * MIB && fixture->origin.largest <= 8 * MIB);
    assert_true(origin_fetches(&fixture->origin) < 60);
    content_close(handle);
}

static void a_read_waits_for_its_own_bytes_only(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", BIG, 0);
    origin_set_stop(&fixture->origin, 6 * MIB + 300 * KIB); /* nothing beyond comes for now */
    struct pending near, far;
    pending_read(&near, handle, 6 * MIB, 200 * KIB);
    assert_int_equal(pending_wait(&near), 0);
    struct pending all;
    pending_read(&all, handle, 6 * MIB, MIB);
    pending_read(&far, handle, 6 * MIB + 200 * KIB, 200 * KIB);
    clock_sleep_ms(50);
    assert_false(pending_is_done(&far));
    assert_false(pending_is_done(&all));
    assert_origin(handle, 3, "v", 6 * MIB + 100 * KIB, 90 * KIB);
    origin_set_stop(&fixture->origin, 0);
    assert_int_equal(pending_wait(&far), 0);
    assert_int_equal(pending_wait(&all), 0);
    assert_int_equal(all.size, MIB);
    pending_finish(&near);
    pending_finish(&far);
    pending_finish(&all);
    content_close(handle);
}

static void bytes_under_way_are_not_asked_for_again(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", BIG, 0), *other;
    origin_hold(&fixture->origin, true);
    struct pending reads[40];
    other = fixture_open(fixture, 3, "v", BIG, 0);
    for (unsigned i = 0; i < 40; i++)
        pending_read(&reads[i], i % 2 ? handle : other, 20 * MIB + 1000, 3000);
    assert_int_equal(origin_fetches(&fixture->origin), 1);
    origin_hold(&fixture->origin, false);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(pending_wait(&reads[i]), 0);
        assert_int_equal(reads[i].size, 3000);
        pending_finish(&reads[i]);
    }
    content_close(handle);
    content_close(other);
}

static void stalled_reads_hold_nobody_up(void **state) {
    struct fixture *fixture = *state;
    enum { STALLED = 200 };
    struct content_handle *stalled = fixture_open(fixture, 3, "v", 1ull << 40, 0);
    struct content_handle *other = fixture_open(fixture, 4, "v", BIG, 0);
    fixture->origin.held_ino = 3;
    struct pending *reads = calloc(STALLED, sizeof *reads);
    for (uint64_t i = 0; i < STALLED; i++)
        pending_read(&reads[i], stalled, i << 30, 128 * KIB);
    for (uint64_t i = 0; i < 20; i++)
        assert_origin(other, 4, "v", i * 3 * MIB, 128 * KIB);
    struct content_state now;
    content_state(stalled, &now);
    assert_int_equal(now.size, 1ull << 40);
    for (unsigned i = 0; i < STALLED; i++)
        assert_false(pending_is_done(&reads[i]));
    pthread_mutex_lock(&fixture->origin.lock);
    fixture->origin.held_ino = 0;
    pthread_cond_broadcast(&fixture->origin.changed);
    pthread_mutex_unlock(&fixture->origin.lock);
    for (unsigned i = 0; i < STALLED; i++) {
        assert_int_equal(pending_wait(&reads[i]), 0);
        assert_int_equal((unsigned char)reads[i].data[5], origin_byte(3, "v", ((uint64_t)i << 30) + 5));
        pending_finish(&reads[i]);
    }
    free(reads);
    content_close(stalled);
    content_close(other);
}

static void fail_next(struct fixture *fixture, int error, int count) {
    pthread_mutex_lock(&fixture->origin.lock);
    fixture->origin.fail = error;
    fixture->origin.fail_count = count;
    pthread_mutex_unlock(&fixture->origin.lock);
}

static void a_failure_is_told_once_and_the_next_read_asks_again(void **state) {
    struct fixture *fixture = *state;
    static const int errors[] = {PAIL_OFFLINE, PAIL_GONE, PAIL_DENIED, -EIO, PAIL_DAMAGED};
    struct content_handle *handle = fixture_open(fixture, 3, "v", 1ull << 30, 0);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        AUTO_FREE char *data = NULL;
        size_t got;
        fail_next(fixture, errors[i], 1);
        uint64_t at = (i + 1) * 50 * MIB;
        assert_int_equal(read_now(handle, at, 100 * KIB, &data, &got), errors[i]);
        assert_origin(handle, 3, "v", at, 100 * KIB);
    }
    content_close(handle);
}

static void a_refusal_is_told_at_once(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", BIG, 0);
    AUTO_FREE char *data = NULL;
    size_t got;
    fixture->origin.refuse = true;
    assert_int_equal(read_now(handle, 0, 100, &data, &got), PAIL_OFFLINE);
    assert_int_equal(read_now(handle, 5 * MIB, 100, &data, &got), PAIL_OFFLINE);
    fixture->origin.refuse = false;
    assert_origin(handle, 3, "v", 5 * MIB, 100);
    content_close(handle);
}

static void an_early_end_is_damage(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", BIG, 0);
    AUTO_FREE char *data = NULL;
    size_t got;
    fixture->origin.early = true;
    assert_int_equal(read_now(handle, 5 * MIB, 100 * KIB, &data, &got), PAIL_DAMAGED);
    fixture->origin.early = false;
    assert_origin(handle, 3, "v", 5 * MIB, 100 * KIB);
    content_close(handle);
}

static void cached_files_need_no_origin(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", 5 * MIB, 0);
    for (uint64_t at = 0; at < 5 * MIB; at += 128 * KIB)
        assert_origin(handle, 3, "v", at, 128 * KIB);
    content_close(handle);
    wait_cached(fixture, 5 * MIB);
    fixture_stop(fixture);
    fixture_start(fixture);
    unsigned before = origin_fetches(&fixture->origin);
    handle = fixture_open(fixture, 3, "v", 5 * MIB, 0);
    assert_origin(handle, 3, "v", 100, 5 * MIB - 100);
    struct pending again;
    pending_read(&again, handle, MIB, 128 * KIB);
    assert_int_equal(pending_wait(&again), 0);
    assert_true(again.spliced);
    assert_int_equal((unsigned char)again.data[77], origin_byte(3, "v", MIB + 77));
    pending_finish(&again);
    assert_int_equal(content_present(fixture->content, 3, &(struct content_version){"v", 5 * MIB}), 5 * MIB);
    assert_int_equal(origin_fetches(&fixture->origin), before);
    content_close(handle);
    assert_int_equal(content_present(fixture->content, 4, &(struct content_version){"v", 5 * MIB}), 0);
}

static void flip_in_cache(struct fixture *fixture, uint64_t ino, off_t at) {
    AUTO_FREE char *path =
        text_format("%s/%02x/%016llx", fixture->cache, (unsigned)(ino & 255), (unsigned long long)ino);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(byte ^ 0x10, file);
    fclose(file);
}

static void bit_rot_is_fetched_anew(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", 500 * KIB, 0);
    assert_origin(handle, 3, "v", 0, 500 * KIB);
    content_close(handle);
    wait_cached(fixture, 500 * KIB);
    fixture_stop(fixture);
    flip_in_cache(fixture, 3, 200 * KIB);
    fixture_start(fixture);
    handle = fixture_open(fixture, 3, "v", 500 * KIB, 0);
    unsigned before = origin_fetches(&fixture->origin);
    assert_origin(handle, 3, "v", 0, 500 * KIB);
    assert_int_equal(origin_fetches(&fixture->origin), before + 1);
    assert_int_equal(asked_at(fixture, before).offset, 192 * KIB);
    assert_int_equal(asked_at(fixture, before).length, 16 * KIB);
    struct content_totals totals;
    content_totals(fixture->content, &totals);
    assert_int_equal(totals.damaged, 1);
    content_close(handle);
}

static void memory_stays_within_its_budget(void **state) {
    struct fixture *fixture = *state;
    fixture_stop(fixture);
    fixture->options.memory_budget = 8 * MIB;
    fixture_start(fixture);
    struct content_handle *handles[4];
    for (uint64_t i = 0; i < 4; i++)
        handles[i] = fixture_open(fixture, 10 + i, "v", 48 * MIB, 0);
    uint64_t most = 0;
    for (uint64_t at = 0; at < 24 * MIB; at += 256 * KIB)
        for (uint64_t i = 0; i < 4; i++) {
            struct content_totals totals;
            assert_origin(handles[i], 10 + i, "v", at, 256 * KIB);
            content_totals(fixture->content, &totals);
            most = totals.memory_bytes > most ? totals.memory_bytes : most;
        }
    for (uint64_t i = 0; i < 4; i++)
        content_close(handles[i]);
    assert_true(most <= 9 * MIB); /* what a reader waits for may pass it by a little */
    assert_true(most >= 4 * MIB);
}

static void memory_is_let_go_when_nothing_is_read(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", 10 * MIB, 0);
    assert_origin(handle, 3, "v", 0, MIB / 2);
    struct content_totals totals;
    WAIT_UNTIL((content_totals(fixture->content, &totals), !totals.memory_bytes));
    assert_int_equal(totals.memory_bytes, 0);
    content_close(handle);
}

static int prefetch(struct fixture *fixture, uint64_t ino, uint64_t size) {
    struct content *content = fixture->content;
    return content_prefetch(content, ino, &(struct content_version){"v", size}, content_moment(content, ino));
}

static void prefetching_needs_no_handle(void **state) {
    struct fixture *fixture = *state;
    for (uint64_t ino = 100; ino < 120; ino++) {
        assert_int_equal(prefetch(fixture, ino, 50 * KIB), 0);
        assert_false(content_peek(fixture->content, ino, &(struct content_state){0}));
    }
    origin_wait_idle(&fixture->origin);
    assert_int_equal(origin_fetches(&fixture->origin), 20);
    assert_false(asked_at(fixture, 0).urgent);
    for (uint64_t ino = 100; ino < 120; ino++) {
        struct content_handle *handle = fixture_open(fixture, ino, "v", 50 * KIB, 0);
        assert_origin(handle, ino, "v", 0, 50 * KIB);
        content_close(handle);
    }
    assert_int_equal(origin_fetches(&fixture->origin), 20);
    assert_false(content_peek(fixture->content, 100, &(struct content_state){0})); /* kept, but not open */
}

static void prefetching_goes_on_after_closing(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", 5 * MIB, 0);
    origin_hold(&fixture->origin, true);
    assert_int_equal(prefetch(fixture, 3, 5 * MIB), 0);
    content_close(handle);
    origin_hold(&fixture->origin, false);
    origin_wait_idle(&fixture->origin);
    assert_int_equal(origin_bytes(&fixture->origin), 5 * MIB);
    assert_int_equal(fixture->origin.cut, 0);
}

static void a_large_prefetch_goes_through_a_small_memory(void **state) {
    struct fixture *fixture = *state;
    fixture_stop(fixture);
    fixture->options.memory_budget = 24 * MIB;
    fixture_start(fixture);
    assert_int_equal(prefetch(fixture, 3, BIG + 5), 0);
    wait_cached(fixture, BIG + 5);
    assert_int_equal(origin_bytes(&fixture->origin), BIG + 5);
}

static void what_nobody_needs_is_given_up(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", 1ull << 30, 0);
    origin_set_stop(&fixture->origin, 216 * MIB); /* the read-ahead stalls there */
    for (uint64_t at = 200 * MIB; at < 208 * MIB; at += 128 * KIB)
        assert_origin(handle, 3, "v", at, 128 * KIB);
    uint64_t asked = 0;
    for (unsigned i = 0; i < origin_fetches(&fixture->origin); i++)
        asked += asked_at(fixture, i).length;
    assert_true(asked >= 40 * MIB);
    assert_origin(handle, 3, "v", 1 * MIB, 4 * KIB); /* not sequential any more */
    origin_set_stop(&fixture->origin, 0);
    origin_wait_idle(&fixture->origin);
    assert_true(fixture->origin.cut >= 3);
    assert_true(origin_bytes(&fixture->origin) <= 20 * MIB);
    assert_origin(handle, 3, "v", 216 * MIB - 500, 3 * MIB); /* what was given up is asked for again */
    content_close(handle);
}

/* A reading of the old bytes is under way when a program changes them. */
static void a_late_fetch_never_covers_what_was_written(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", 4 * MIB, 0);
    origin_hold(&fixture->origin, true);
    struct pending read;
    pending_read(&read, handle, MIB, 64 * KIB);
    assert_int_equal(content_write(handle, "WRITTEN", 7, MIB + 10), 0);
    origin_hold(&fixture->origin, false);
    assert_int_equal(pending_wait(&read), 0);
    assert_memory_equal(read.data + 10, "WRITTEN", 7); /* it is answered after the write: it may and does see it */
    assert_int_equal((unsigned char)read.data[9], origin_byte(3, "v", MIB + 9));
    pending_finish(&read);
    origin_hold(&fixture->origin, true);
    pending_read(&read, handle, 2 * MIB, 64 * KIB);
    assert_int_equal(content_truncate(handle, 2 * MIB + 100), 0);
    assert_int_equal(content_truncate(handle, 4 * MIB), 0);
    origin_hold(&fixture->origin, false);
    assert_int_equal(pending_wait(&read), 0);
    assert_int_equal(read.size, 64 * KIB);
    for (size_t i = 0; i < read.size; i++)
        assert_int_equal((unsigned char)read.data[i], i < 100 ? origin_byte(3, "v", 2 * MIB + i) : 0);
    pending_finish(&read);
    content_close(handle);
}

static void a_parked_read_sees_a_shorter_file(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", 4 * MIB, 0);
    origin_hold(&fixture->origin, true);
    struct pending read;
    pending_read(&read, handle, 3 * MIB, 64 * KIB);
    assert_int_equal(content_truncate(handle, MIB), 0);
    origin_hold(&fixture->origin, false);
    assert_int_equal(pending_wait(&read), 0);
    assert_int_equal(read.size, 0);
    pending_finish(&read);
    content_close(handle);
}

static void another_version_under_the_same_number_is_read_anew(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v1", 100 * KIB, 0);
    assert_origin(handle, 3, "v1", 0, 100 * KIB);
    content_close(handle);
    handle = fixture_open(fixture, 3, "v2", 100 * KIB, 0);
    assert_origin(handle, 3, "v2", 0, 100 * KIB);
    content_close(handle);
}

static void a_dropped_file_is_read_to_the_end(void **state) {
    struct fixture *fixture = *state;
    struct content_handle *handle = fixture_open(fixture, 3, "v", 4 * MIB, 0);
    assert_origin(handle, 3, "v", 0, MIB);
    content_drop(fixture->content, 3, 0);
    assert_origin(handle, 3, "v", MIB, 3 * MIB);
    assert_int_equal(content_write(handle, "still", 5, 0), 0);
    struct content_state now;
    assert_int_equal(content_commit(handle, true, &now), 0);
    content_close(handle);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_small_file_is_one_request),
        TEST(a_look_at_the_start_fetches_only_that),
        TEST(random_reads_fetch_little),
        TEST(sequential_reads_grow_to_parallel_ranges),
        TEST(a_read_waits_for_its_own_bytes_only),
        TEST(bytes_under_way_are_not_asked_for_again),
        TEST(stalled_reads_hold_nobody_up),
        TEST(a_failure_is_told_once_and_the_next_read_asks_again),
        TEST(a_refusal_is_told_at_once),
        TEST(an_early_end_is_damage),
        TEST(cached_files_need_no_origin),
        TEST(bit_rot_is_fetched_anew),
        TEST(memory_stays_within_its_budget),
        TEST(memory_is_let_go_when_nothing_is_read),
        TEST(prefetching_needs_no_handle),
        TEST(prefetching_goes_on_after_closing),
        TEST(a_large_prefetch_goes_through_a_small_memory),
        TEST(what_nobody_needs_is_given_up),
        TEST(a_late_fetch_never_covers_what_was_written),
        TEST(a_parked_read_sees_a_shorter_file),
        TEST(another_version_under_the_same_number_is_read_anew),
        TEST(a_dropped_file_is_read_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

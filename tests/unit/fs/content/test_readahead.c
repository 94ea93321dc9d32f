/* fs/content/readahead: what is guessed from reads. */
#include "fs/content/readahead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { KIB = 1 << 10, MIB = 1 << 20, READ = 128 << 10 };
#define GIB (1ull << 30)
#define MOST (64ull << 20)

static struct readahead_plan read_at(struct readahead *ahead, uint64_t offset, uint64_t size) {
    return readahead_read(ahead, offset, size, GIB, MOST);
}

static void small_files_are_asked_for_whole(void **state) {
    (void)state;
    struct readahead ahead = {0};
    struct readahead_plan plan = readahead_read(&ahead, 5000, 10, MIB, MOST);
    assert_int_equal(plan.from, 0);
    assert_int_equal(plan.until, MIB);
    assert_true(plan.piece >= MIB);
}

static void a_look_at_the_start_adds_nothing(void **state) {
    (void)state;
    for (uint64_t size = 4 * KIB; size <= READ; size *= 2) {
        struct readahead ahead = {0};
        struct readahead_plan plan = read_at(&ahead, 0, size);
        assert_int_equal(plan.from, plan.until);
    }
    struct readahead ahead = {0};
    struct readahead_plan plan = read_at(&ahead, 0, MIB); /* nobody looks so closely */
    assert_true(plan.until > MIB);
}

static void sequential_reads_double_the_window(void **state) {
    (void)state;
    struct readahead ahead = {0};
    uint64_t before = 0, reached = 0;
    read_at(&ahead, 0, READ);
    for (uint64_t at = READ; at < 40 * MIB; at += READ) {
        struct readahead_plan plan = read_at(&ahead, at, READ);
        if (at == READ)
            assert_int_equal(ahead.window, READAHEAD_FIRST);
        assert_true(ahead.window <= MOST && (!before || ahead.window <= 2 * before));
        if (plan.until > plan.from) {
            assert_true(plan.from <= at + READ || plan.from == reached); /* nothing left out */
            reached = plan.until;
        }
        assert_true(reached >= at + READ);
        before = ahead.window;
    }
    assert_int_equal(ahead.window, MOST);
    assert_true(reached >= 40 * MIB + MOST / 2);
    assert_true(reached <= 40 * MIB + MOST);
}

static void the_window_ends_with_the_file(void **state) {
    (void)state;
    struct readahead ahead = {0};
    uint64_t most = 0;
    for (uint64_t at = 0; at < 10 * MIB; at += READ) {
        struct readahead_plan plan = readahead_read(&ahead, at, READ, 10 * MIB + 77, MOST);
        if (plan.until > most)
            most = plan.until;
    }
    assert_int_equal(most, 10 * MIB + 77);
}

static void random_reads_add_nothing(void **state) {
    (void)state;
    struct readahead ahead = {0};
    srand(7);
    uint64_t added = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t at = ((uint64_t)rand() << 8 | 3) % (GIB / 4096) * 4096;
        struct readahead_plan plan = read_at(&ahead, at, 4096);
        added += plan.until - plan.from;
    }
    assert_true(added < MIB); /* by chance two are neighbours */
}

static void random_access_ends_it_at_once(void **state) {
    (void)state;
    struct readahead ahead = {0};
    for (uint64_t at = 0; at < 20 * MIB; at += READ)
        read_at(&ahead, at, READ);
    struct readahead_plan plan = read_at(&ahead, 500 * MIB, 4096);
    assert_true(plan.lost);
    assert_int_equal(plan.from, plan.until);
    assert_int_equal(ahead.window, 0);
    plan = read_at(&ahead, 100 * MIB, 4096);
    assert_false(plan.lost);
    assert_int_equal(plan.from, plan.until);
}

/* Eight requests of the kernel at once, in any order, are one sequential reader. */
static void overtaking_requests_are_sequential(void **state) {
    (void)state;
    static const int orders[][8] = {{7, 6, 5, 4, 3, 2, 1, 0}, {1, 0, 3, 2, 5, 4, 7, 6}, {3, 1, 7, 0, 5, 2, 6, 4}};
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        struct readahead ahead = {0};
        for (uint64_t group = 0; group < 32; group++)
            for (int i = 0; i < 8; i++) {
                struct readahead_plan plan = read_at(&ahead, (group * 8 + (uint64_t)orders[o][i]) * READ, READ);
                assert_false(plan.lost);
            }
        assert_int_equal(ahead.window, MOST);
    }
}

static void a_second_pass_is_read_ahead_as_well(void **state) {
    (void)state;
    struct readahead ahead = {0};
    for (uint64_t at = 0; at < 100 * MIB; at += READ)
        readahead_read(&ahead, at, READ, 100 * MIB, MOST);
    for (uint64_t at = 0; at < 10 * MIB; at += READ)
        readahead_read(&ahead, at, READ, 100 * MIB, MOST);
    assert_true(ahead.reached > 20 * MIB && ahead.reached <= 10 * MIB + MOST);
}

static void what_could_not_be_asked_for_is_asked_for_later(void **state) {
    (void)state;
    struct readahead ahead = {0};
    for (uint64_t at = 0; at < 20 * MIB; at += READ)
        read_at(&ahead, at, READ);
    readahead_stopped(&ahead, 21 * MIB);
    struct readahead_plan plan = read_at(&ahead, 20 * MIB, READ);
    assert_int_equal(plan.from, 21 * MIB);
    assert_true(plan.until > 60 * MIB);
    readahead_stopped(&ahead, 0); /* no room at all: from the reader's own position */
    plan = read_at(&ahead, 20 * MIB + READ, READ);
    assert_true(plan.from <= 20 * MIB + 2 * READ);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_files_are_asked_for_whole),
        cmocka_unit_test(a_look_at_the_start_adds_nothing),
        cmocka_unit_test(sequential_reads_double_the_window),
        cmocka_unit_test(the_window_ends_with_the_file),
        cmocka_unit_test(random_reads_add_nothing),
        cmocka_unit_test(random_access_ends_it_at_once),
        cmocka_unit_test(overtaking_requests_are_sequential),
        cmocka_unit_test(a_second_pass_is_read_ahead_as_well),
        cmocka_unit_test(what_could_not_be_asked_for_is_asked_for_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

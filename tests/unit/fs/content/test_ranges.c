/* fs/content/ranges: against a plain array, and at scale. */
#include "fs/content/ranges.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 300 };

static void assert_same(const struct ranges *ranges, const unsigned char *model) {
    struct range range, before = {0};
    size_t count = 0, bytes = 0;
    unsigned char found[SIZE] = {0};
    for (uint64_t at = 0; ranges_next(ranges, at, &range); at = range.end) {
        assert_true(range.start < range.end && range.end <= SIZE);
        assert_true(range.start >= before.end);
        assert_false(count && range.start == before.end && range.value == before.value); /* else they were one */
        memset(found + range.start, (int)range.value, range.end - range.start);
        bytes += range.end - range.start;
        count++;
        before = range;
    }
    assert_memory_equal(found, model, SIZE);
    assert_int_equal(ranges->count, count);
    assert_int_equal(ranges->bytes, bytes);
}

static void matches_a_plain_array(void **state) {
    (void)state;
    srand(4711);
    for (int round = 0; round < 300; round++) {
        struct ranges ranges = {0};
        unsigned char model[SIZE] = {0};
        for (int i = 0; i < 60; i++) {
            uint64_t start = (uint64_t)rand() % SIZE, end = start + (uint64_t)rand() % (SIZE - start + 1);
            unsigned char value = (unsigned char)(1 + rand() % 3);
            if (rand() % 10 == 0) {
                ranges_cut(&ranges, start);
                memset(model + start, 0, SIZE - start);
            } else {
                assert_int_equal(ranges_set(&ranges, start, end, value), 0);
                memset(model + start, value, end - start);
            }
            assert_same(&ranges, model);
        }
        ranges_finish(&ranges);
        assert_int_equal(ranges.count, 0);
    }
}

static void finds_holes(void **state) {
    (void)state;
    struct ranges ranges = {0};
    uint64_t end;
    assert_int_equal(ranges_hole(&ranges, 5, &end), 5);
    assert_int_equal(end, UINT64_MAX);
    ranges_set(&ranges, 10, 20, 1);
    ranges_set(&ranges, 20, 30, 2);
    ranges_set(&ranges, 40, 50, 1);
    assert_int_equal(ranges_hole(&ranges, 0, &end), 0);
    assert_int_equal(end, 10);
    assert_int_equal(ranges_hole(&ranges, 10, &end), 30);
    assert_int_equal(end, 40);
    assert_int_equal(ranges_hole(&ranges, 45, &end), 50);
    assert_int_equal(end, UINT64_MAX);
    assert_true(ranges_cover(&ranges, 10, 30));
    assert_true(ranges_cover(&ranges, 35, 35));
    assert_false(ranges_cover(&ranges, 10, 31));
    assert_false(ranges_cover(&ranges, 9, 30));
    ranges_finish(&ranges);
}

/* A 100 GB file written at random: no bitmap, and no quadratic cost. */
static void many_scattered_writes_are_cheap(void **state) {
    (void)state;
    struct ranges ranges = {0};
    uint64_t seed = 1, size = 100ull << 30;
    for (int i = 0; i < 200000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t at = (seed >> 20) % (size / 4096) * 4096;
        assert_int_equal(ranges_set(&ranges, at, at + 4096, 1), 0);
    }
    assert_true(ranges.count > 190000);
    for (uint64_t at = 0; at < size; at += 512ull << 20) /* and whole again */
        assert_int_equal(ranges_set(&ranges, at, at + (512ull << 20), 1), 0);
    assert_int_equal(ranges.count, 1);
    assert_int_equal(ranges.bytes, size);
    ranges_finish(&ranges);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_a_plain_array),
        cmocka_unit_test(finds_holes),
        cmocka_unit_test(many_scattered_writes_are_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

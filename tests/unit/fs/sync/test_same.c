/* What counts as the same content. */
#include "fixture.h"

#include "fs/sync/private.h"

#define MD5_A "0cc175b9c0f1b6a831c399e269772661"
#define MD5_B "92eb5ffee6ae2fec3ad71c777531578f"
#define MULTI "0cc175b9c0f1b6a831c399e269772661-3"
#define ID_1 "11111111111111111111111111111111"
#define ID_2 "22222222222222222222222222222222"

static const struct {
    struct version_facts a, b;
    bool same;
} rows[] = {
    {{MD5_A, NULL, 1}, {MD5_A, NULL, 1}, true},
    {{MD5_A, NULL, 1}, {MD5_B, NULL, 1}, false},
    {{MD5_A, NULL, 1}, {MD5_A, NULL, 2}, false},
    {{MD5_A, ID_1, 1}, {MULTI, ID_1, 1}, true}, /* a copy of a multipart object */
    {{MD5_A, ID_1, 1}, {MULTI, ID_2, 1}, false},
    {{MD5_A, ID_1, 1}, {MD5_B, ID_1, 1}, false}, /* s3fs wrote other bytes under our metadata */
    {{NULL, ID_1, 1}, {MD5_B, ID_1, 1}, true},
    {{NULL, NULL, 1}, {NULL, NULL, 1}, false},
    {{"", ID_1, 1}, {MD5_A, ID_1, 1}, true},
    {{"", NULL, 1}, {"", NULL, 1}, false},
    {{MD5_A, NULL, 1}, {MD5_B, ID_1, 1}, false},
};

static void the_table(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(same_content(&rows[i].a, &rows[i].b), rows[i].same);
        assert_int_equal(same_content(&rows[i].b, &rows[i].a), rows[i].same);
    }
}

static void part_sizes(void **state) {
    (void)state;
    const uint64_t mib = 1 << 20, tib = 1ull << 40;
    assert_int_equal(parts_size(17 * mib, 16 * mib), 16 * mib);
    assert_int_equal(parts_size(10000 * 16 * mib, 16 * mib), 16 * mib);
    assert_int_equal(parts_size(10000 * 16 * mib + 1, 16 * mib), 17 * mib);
    uint64_t largest = 488ull * tib / 10; /* 48.8 TiB */
    uint64_t size = parts_size(largest, 16 * mib);
    assert_true(size && size <= STORE_MAX_PART && (largest + size - 1) / size <= STORE_MAX_PARTS);
    assert_int_equal(parts_size(60 * tib, 16 * mib), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_table), cmocka_unit_test(part_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of base/crc32c: published values, and both implementations against each other. */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* RFC 3720, B.4, and the check value of the CRC catalogue for "123456789". */
static void published_values(void **state) {
    (void)state;
    unsigned char zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) {
        up[i] = (unsigned char)i;
        down[i] = (unsigned char)(31 - i);
    }
    const struct {
        const void *data;
        size_t size;
        uint32_t crc;
    } values[] = {
        {zeros, 32, 0x8a9136aau}, {ones, 32, 0x62a8ab43u},       {up, 32, 0x46dd794eu},
        {down, 32, 0x113fdb5cu},  {"123456789", 9, 0xe3069283u}, {"", 0, 0},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_int_equal(crc32c(0, values[i].data, values[i].size), values[i].crc);
        assert_int_equal(crc32c_portable(0, values[i].data, values[i].size), values[i].crc);
    }
}

static void both_agree_at_every_length_and_alignment(void **state) {
    (void)state;
    unsigned char data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 131 + 7);
    for (size_t start = 0; start < 9; start++)
        for (size_t size = 0; size + start <= sizeof data; size++)
            assert_int_equal(crc32c(0, data + start, size), crc32c_portable(0, data + start, size));
}

static void a_result_goes_on_where_it_ended(void **state) {
    (void)state;
    const char *text = "the same bytes in pieces of any length";
    size_t size = strlen(text);
    for (size_t cut = 0; cut <= size; cut++) {
        assert_int_equal(crc32c(crc32c(0, text, cut), text + cut, size - cut), crc32c(0, text, size));
        assert_int_equal(crc32c_portable(crc32c(0, text, cut), text + cut, size - cut), crc32c(0, text, size));
    }
}

static void blocks_side_by_side_are_as_alone(void **state) {
    (void)state;
    unsigned char data[8 * 40];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37 + i / 7);
    for (size_t size = 1; size <= 40; size++)
        for (size_t count = 0; count <= 8; count++) {
            uint32_t out[9] = {0};
            crc32c_blocks(data, size, count, out);
            for (size_t i = 0; i < count; i++)
                assert_int_equal(out[i], crc32c_portable(0, data + i * size, size));
            assert_int_equal(out[count], 0);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_values),
        cmocka_unit_test(blocks_side_by_side_are_as_alone),
        cmocka_unit_test(both_agree_at_every_length_and_alignment),
        cmocka_unit_test(a_result_goes_on_where_it_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

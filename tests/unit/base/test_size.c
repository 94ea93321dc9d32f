/* Tests of base/size. */
#include "base/size.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void sizes_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        {"0", 0},
        {"65536", 65536},
        {"12 B", 12},
        {"3K", 3072},
        {"1t", 1ull << 40},
        {"10 GiB", 10ull << 30},
        {"10gib", 10ull << 30},
        {"10 GB", 10000000000},
        {"5 kb", 5000},
        {"7 P", 7ull << 50},
        {"9223372036854775807", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t bytes = 1;
        assert_int_equal(size_parse(rows[i].text, &bytes), 0);
        assert_true(bytes == rows[i].bytes);
    }
}

static void what_is_no_size_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int error;
    } rows[] = {
        {"", -EINVAL},
        {"K", -EINVAL},
        {"1KK", -EINVAL},
        {"-1", -EINVAL},
        {"1 ", -EINVAL},
        {" 1", -EINVAL},
        {"1.5G", -EINVAL},
        {"10 G i", -EINVAL},
        {"10  G", -EINVAL},
        {"1Gi", -EINVAL},
        {"99999999999T", -ERANGE},
        {"9223372036854775808", -ERANGE},
        {"100000000000000000000000000", -ERANGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t bytes = 77;
        assert_int_equal(size_parse(rows[i].text, &bytes), rows[i].error);
        assert_true(bytes == 77);
    }
}

static void sizes_are_written(void **state) {
    (void)state;
    char out[16];
    assert_string_equal(size_format(0, out), "0 B");
    assert_string_equal(size_format(1023, out), "1023 B");
    assert_string_equal(size_format(1024, out), "1.0 KiB");
    assert_string_equal(size_format(1048575, out), "1.0 MiB");
    assert_string_equal(size_format(1610612736, out), "1.5 GiB");
    assert_string_equal(size_format(UINT64_MAX, out), "16.0 EiB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(what_is_no_size_is_refused),
        cmocka_unit_test(sizes_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

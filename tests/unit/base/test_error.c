/* Tests of base/error: every error has a text, and faults stay within their room. */
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void every_error_has_its_own_text(void **state) {
    (void)state;
    for (int i = 1; i < PAIL_ERROR_END; i++) {
        assert_string_not_equal(error_text(i), "unknown error");
        assert_true(error_text(i)[0] >= 'a' && error_text(i)[0] <= 'z');
        for (int j = 1; j < i; j++)
            assert_string_not_equal(error_text(i), error_text(j));
    }
    assert_string_equal(error_text(-ENOENT), "No such file or directory");
    assert_string_equal(error_text(PAIL_ERROR_END), "unknown error");
    assert_string_equal(error_text(-100000), "unknown error");
}

static void a_fault_is_set_and_gets_a_prefix(void **state) {
    (void)state;
    struct fault fault = {{0}};
    assert_int_equal(fault_set(&fault, PAIL_GONE, "bucket %s is gone", "b"), PAIL_GONE);
    assert_int_equal(fault_prefix(&fault, -EIO, "mount %d", 7), -EIO);
    assert_string_equal(fault.text, "mount 7: bucket b is gone");
    struct fault empty = {{0}};
    assert_int_equal(fault_prefix(&empty, -EIO, "alone"), -EIO);
    assert_string_equal(empty.text, "alone");
}

static void a_fault_never_overflows(void **state) {
    (void)state;
    char longest[2 * sizeof(struct fault)];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    struct fault fault;
    fault_set(&fault, -EIO, "%s", longest);
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
    fault_prefix(&fault, -EIO, "before");
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
    assert_memory_equal(fault.text, "before: xxx", 11);
    fault_prefix(&fault, -EIO, "%s", longest);
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
}

static void without_a_fault_the_error_passes(void **state) {
    (void)state;
    assert_int_equal(fault_set(NULL, -EPERM, "nobody reads this"), -EPERM);
    assert_int_equal(fault_prefix(NULL, PAIL_BUSY, "nor this"), PAIL_BUSY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_own_text),
        cmocka_unit_test(a_fault_is_set_and_gets_a_prefix),
        cmocka_unit_test(a_fault_never_overflows),
        cmocka_unit_test(without_a_fault_the_error_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

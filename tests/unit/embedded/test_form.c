/* s3/embedded/form: queries and forms. */
#include "base/cleanup.h"
#include "s3/embedded/form.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void reads_names_and_values(void **state) {
    (void)state;
    CLEANUP(form_finish) struct form form = {0};
    assert_int_equal(form_parse(&form, "a=1&b=&c&&d=x%26y+z%3D&a=2&=e"), 0);
    assert_int_equal(form.count, 6);
    assert_string_equal(form_get(&form, "a"), "1");
    assert_string_equal(form_get(&form, "b"), "");
    assert_string_equal(form_get(&form, "c"), "");
    assert_string_equal(form_get(&form, "d"), "x&y z=");
    assert_string_equal(form_get(&form, ""), "e");
    assert_null(form_get(&form, "none"));
}

static void refuses_bad_escapes_and_nul(void **state) {
    (void)state;
    static const char *const bad[] = {"a=%", "a=%2", "a=%zz", "%00=1", "a=b%00c"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CLEANUP(form_finish) struct form form = {0};
        assert_int_equal(form_parse(&form, bad[i]), -EINVAL);
    }
    CLEANUP(form_finish) struct form empty = {0};
    assert_int_equal(form_parse(&empty, ""), 0);
    assert_int_equal(empty.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_names_and_values),
        cmocka_unit_test(refuses_bad_escapes_and_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

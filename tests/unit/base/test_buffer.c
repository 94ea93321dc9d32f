/* Tests of base/buffer: growth, termination, handing over. */
#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void appended_pieces_stand_one_after_another(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer b = {0};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buffer_append_format(&b, "%d,", i), 0);
    assert_int_equal(b.size, 3890);
    assert_memory_equal(b.data + b.size - 8, "998,999,", 8);
    assert_int_equal(b.data[b.size], 0);
}

static void bytes_with_nul_are_kept(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer b = {0};
    assert_int_equal(buffer_append(&b, "a\0b", 3), 0);
    assert_int_equal(buffer_append_text(&b, "c"), 0);
    assert_int_equal(b.size, 4);
    assert_memory_equal(b.data, "a\0bc", 5);
}

static void nothing_appended_is_an_empty_text(void **state) {
    (void)state;
    struct buffer b = {0};
    assert_int_equal(buffer_append(&b, NULL, 0), 0);
    char *text = buffer_take(&b);
    assert_string_equal(text, "");
    free(text);
    text = buffer_take(&b);
    assert_string_equal(text, "");
    free(text);
    assert_null(b.data);
}

static void too_much_is_refused_and_changes_nothing(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer b = {0};
    assert_int_equal(buffer_append_text(&b, "kept"), 0);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX), -ENOMEM);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX / 2), -ENOMEM);
    assert_string_equal(b.data, "kept");
    assert_int_equal(b.size, 4);
}

static void clear_keeps_the_memory_and_wipe_does_not(void **state) {
    (void)state;
    struct buffer b = {0};
    assert_int_equal(buffer_append_text(&b, "secret"), 0);
    char *data = b.data;
    buffer_clear(&b);
    assert_ptr_equal(b.data, data);
    assert_int_equal(b.size, 0);
    assert_string_equal(b.data, "");
    buffer_wipe(&b);
    assert_null(b.data);
    assert_int_equal(b.capacity, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_pieces_stand_one_after_another),
        cmocka_unit_test(bytes_with_nul_are_kept),
        cmocka_unit_test(nothing_appended_is_an_empty_text),
        cmocka_unit_test(too_much_is_refused_and_changes_nothing),
        cmocka_unit_test(clear_keeps_the_memory_and_wipe_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

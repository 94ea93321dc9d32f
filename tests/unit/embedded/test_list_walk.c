/* s3/embedded/list_walk: where a walk goes on. */
#include "s3/embedded/list_walk.h"

#include <string.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void behind_is_the_very_next_key(void **state) {
    (void)state;
    struct list_place place;
    list_place_behind(&place, "ab", 2);
    assert_int_equal(place.size, 3);
    assert_memory_equal(place.key, "ab", 3);
    list_place_at(&place, "ab", 2);
    assert_int_equal(place.size, 2);
}

static void past_is_behind_all_that_begin_so(void **state) {
    (void)state;
    struct list_place place;
    list_place_past(&place, "a/", 2);
    assert_int_equal(place.size, 2);
    assert_memory_equal(place.key, "a0", 2);
    list_place_past(&place, "a\xff\xff", 3);
    assert_int_equal(place.size, 1);
    assert_memory_equal(place.key, "b", 1);
    list_place_past(&place, "\xff", 1);
    assert_true(place.end);
}

static void long_keys_are_cut(void **state) {
    (void)state;
    static char key[3000];
    struct list_place place;
    memset(key, 'k', sizeof key);
    list_place_behind(&place, key, sizeof key);
    assert_true(place.size < sizeof place.key);
    assert_memory_equal(place.key, key, place.size);
}

static void finds_folders(void **state) {
    (void)state;
    assert_int_equal(list_folder_size("a/b/c", "", "/"), 2);
    assert_int_equal(list_folder_size("a/b/c", "a/", "/"), 4);
    assert_int_equal(list_folder_size("a/b", "a/", "/"), 0);
    assert_int_equal(list_folder_size("a--b", "", "--"), 3);
    assert_int_equal(list_folder_size("a/b", "", ""), 0);
    assert_int_equal(list_folder_size("/a", "", "/"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behind_is_the_very_next_key),
        cmocka_unit_test(past_is_behind_all_that_begin_so),
        cmocka_unit_test(long_keys_are_cut),
        cmocka_unit_test(finds_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

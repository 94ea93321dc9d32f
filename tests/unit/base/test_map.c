/* Tests of base/map: against a plain array, with colliding keys and removals. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static void put_get_replace_remove(void **state) {
    (void)state;
    struct map map = {0};
    int a, b;
    assert_null(map_get(&map, 1));
    assert_null(map_remove(&map, 1));
    assert_int_equal(map_put(&map, 1, &a), 0);
    assert_ptr_equal(map_get(&map, 1), &a);
    assert_int_equal(map_put(&map, 1, &b), 0);
    assert_int_equal(map.count, 1);
    assert_ptr_equal(map_get(&map, 1), &b);
    assert_ptr_equal(map_remove(&map, 1), &b);
    assert_null(map_get(&map, 1));
    assert_int_equal(map.count, 0);
    map_finish(&map);
}

enum { KEYS = 400 };

/* Few keys and many steps, so that chains collide, wrap round the end and are torn open in the middle. */
static void agrees_with_an_array_over_many_steps(void **state) {
    (void)state;
    struct map map = {0};
    char values[KEYS], *model[KEYS] = {0};
    size_t count = 0;
    uint32_t random = 12345;
    for (int step = 0; step < 200000; step++) {
        random = random * 1664525u + 1013904223u;
        size_t i = (random >> 8) % KEYS;
        uint64_t key = (i + 1) * 0x100000001ull;
        if (random >> 31) {
            assert_int_equal(map_put(&map, key, &values[i]), 0);
            count += model[i] == NULL;
            model[i] = &values[i];
        } else {
            assert_ptr_equal(map_remove(&map, key), model[i]);
            count -= model[i] != NULL;
            model[i] = NULL;
        }
        assert_int_equal(map.count, count);
        size_t other = (random >> 4) % KEYS;
        assert_ptr_equal(map_get(&map, (other + 1) * 0x100000001ull), model[other]);
    }
    map_finish(&map);
}

static void a_walk_meets_everything_once(void **state) {
    (void)state;
    struct map map = {0};
    char values[KEYS], seen[KEYS] = {0};
    for (size_t i = 0; i < KEYS; i++)
        assert_int_equal(map_put(&map, i + 1, &values[i]), 0);
    size_t position = 0, met = 0;
    uint64_t key;
    for (char *value; (value = map_next(&map, &position, &key)); met++) {
        assert_ptr_equal(value, &values[key - 1]);
        assert_int_equal(seen[key - 1]++, 0);
    }
    assert_int_equal(met, KEYS);
    map_finish(&map);
    position = 0;
    assert_null(map_next(&map, &position, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_replace_remove),
        cmocka_unit_test(agrees_with_an_array_over_many_steps),
        cmocka_unit_test(a_walk_meets_everything_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

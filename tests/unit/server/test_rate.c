/* Tests of s3/server/rate: buckets fill and empty, names do not disturb each other, memory is bounded, threads lose
 * nothing. */
#include "s3/server/rate.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* So slow that nothing is gained while a test runs. */
static const struct rate_limit ten_an_hour = {.gain = 10, .over_ms = 3600000, .most = 10};

static int set_up(void **state) {
    return rates_create((struct rates **)state, 1000);
}

static int tear_down(void **state) {
    rates_destroy(*state);
    return 0;
}

static struct rate_name name_of(uint64_t number) {
    struct rate_name name = {{1}};
    memcpy(name.bytes + 8, &number, sizeof number);
    return name;
}

static void a_bucket_holds_what_it_holds_and_says_when_there_is_more(void **state) {
    struct rate_name ann = name_of(1), bob = name_of(2);
    for (int i = 0; i < 10; i++)
        assert_int_equal(rates_take(*state, &ann, 0, &ten_an_hour, 1), 0);
    assert_in_range(rates_take(*state, &ann, 0, &ten_an_hour, 1), 350000, 360000); /* a tenth of an hour */
    assert_in_range(rates_take(*state, &ann, 0, &ten_an_hour, 5), 1790000, 1800000);
    assert_in_range(rates_look(*state, &ann, 0, &ten_an_hour), 350000, 360000);
    assert_int_equal(rates_take(*state, &ann, 1, &ten_an_hour, 1), 0);  /* another limit */
    assert_int_equal(rates_take(*state, &bob, 0, &ten_an_hour, 10), 0); /* somebody else */
    assert_true(rates_take(*state, &bob, 0, &ten_an_hour, 1) > 0);
}

static void what_is_refused_or_only_looked_at_takes_nothing(void **state) {
    struct rate_name ann = name_of(1);
    assert_int_equal(rates_take(*state, &ann, 0, &ten_an_hour, 6), 0);
    for (int i = 0; i < 100; i++) {
        assert_true(rates_take(*state, &ann, 0, &ten_an_hour, 5) > 0);
        assert_int_equal(rates_look(*state, &ann, 0, &ten_an_hour), 0);
    }
    assert_int_equal(rates_take(*state, &ann, 0, &ten_an_hour, 4), 0);
}

static void a_bucket_fills_again(void **state) {
    struct rate_limit fast = {.gain = 5, .over_ms = 1000, .most = 5};
    struct rate_name ann = name_of(1);
    assert_int_equal(rates_take(*state, &ann, 0, &fast, 5), 0);
    int64_t ms = rates_take(*state, &ann, 0, &fast, 5);
    assert_in_range(ms, 1, 1000);
    clock_sleep_ms(ms);
    assert_int_equal(rates_take(*state, &ann, 0, &fast, 5), 0); /* so what it said was true */
    clock_sleep_ms(1200);
    assert_int_equal(rates_take(*state, &ann, 0, &fast, 5), 0);
    assert_true(rates_take(*state, &ann, 0, &ten_an_hour, 10) > 0); /* no more than it holds */
}

static void more_than_it_holds_is_as_much_as_it_holds(void **state) {
    struct rate_name ann = name_of(1);
    assert_int_equal(rates_take(*state, &ann, 0, &ten_an_hour, INT32_MAX), 0);
    assert_in_range(rates_take(*state, &ann, 0, &ten_an_hour, INT32_MAX), 3590000, 3600000);
}

static void no_limit_is_none(void **state) {
    struct rate_limit none = {.gain = 0, .over_ms = 1000, .most = 1};
    struct rate_name ann = name_of(1);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rates_take(*state, &ann, 0, &none, 1000), 0);
}

/* A million names pass by: the one that is held back stays held back. */
static void many_names_do_not_push_out_who_is_held_back(void **state) {
    struct rate_name bad = name_of(0);
    assert_int_equal(rates_take(*state, &bad, 0, &ten_an_hour, 10), 0);
    for (uint64_t i = 1; i < 1000000; i++) {
        struct rate_name each = name_of(i);
        assert_int_equal(rates_take(*state, &each, 0, &ten_an_hour, 1), 0);
    }
    assert_true(rates_take(*state, &bad, 0, &ten_an_hour, 1) > 0);
}

struct taking {
    struct rates *rates;
    atomic_uint *got;
};

static void *take_some(void *context) {
    struct taking *taking = context;
    struct rate_name ann = name_of(1);
    struct rate_limit limit = {.gain = 1, .over_ms = 3600000, .most = 5000};
    for (int i = 0; i < 10000; i++)
        if (!rates_take(taking->rates, &ann, 0, &limit, 1))
            atomic_fetch_add(taking->got, 1);
    return NULL;
}

static void threads_get_no_more_and_no_less(void **state) {
    pthread_t threads[4];
    atomic_uint got = 0;
    struct taking taking = {*state, &got};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_some, &taking), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(got, 5000);
}

/* Told, not judged: this machine has other things to do. */
static void what_it_costs(void **state) {
    int64_t began = clock_monotonic_ns();
    for (uint64_t i = 0; i < 1000000; i++) {
        struct rate_name each = name_of(i % 700);
        rates_take(*state, &each, 0, &ten_an_hour, 1);
    }
    printf("a check takes %lld ns\n", (long long)(clock_monotonic_ns() - began) / 1000000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_bucket_holds_what_it_holds_and_says_when_there_is_more),
        TEST(what_is_refused_or_only_looked_at_takes_nothing),
        TEST(a_bucket_fills_again),
        TEST(more_than_it_holds_is_as_much_as_it_holds),
        TEST(no_limit_is_none),
        TEST(many_names_do_not_push_out_who_is_held_back),
        TEST(threads_get_no_more_and_no_less),
        TEST(what_it_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

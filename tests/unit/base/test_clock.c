/* Tests of base/clock: dates of HTTP and S3, and clocks that go forward. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

static const struct {
    const char *http, *iso;
    int64_t seconds;
} dates[] = {
    {"Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00.000Z", 0},
    {"Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z", 784111777},
    {"Tue, 29 Feb 2000 12:00:00 GMT", "2000-02-29T12:00:00.000Z", 951825600},
    {"Mon, 23 Nov 2026 14:05:12 GMT", "2026-11-23T14:05:12.000Z", 1795442712},
    {"Tue, 19 Jan 2038 03:14:08 GMT", "2038-01-19T03:14:08.000Z", 2147483648},
};

static void dates_are_read_and_written_alike(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        int64_t seconds = -1;
        char http[30], iso[25];
        assert_int_equal(clock_parse_http(dates[i].http, &seconds), 0);
        assert_int_equal(seconds, dates[i].seconds);
        assert_int_equal(clock_parse_iso8601(dates[i].iso, &seconds), 0);
        assert_int_equal(seconds, dates[i].seconds);
        clock_format_http(seconds, http);
        clock_format_iso8601(seconds, iso);
        assert_string_equal(http, dates[i].http);
        assert_string_equal(iso, dates[i].iso);
    }
}

static void iso_dates_of_several_makers_are_read(void **state) {
    (void)state;
    static const char *const same[] = {"2026-11-23T14:05:12Z", "2026-11-23T14:05:12.3Z", "2026-11-23T14:05:12.345678Z",
                                       "2026-11-23T14:05:12+00:00"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        int64_t seconds = -1;
        assert_int_equal(clock_parse_iso8601(same[i], &seconds), 0);
        assert_int_equal(seconds, 1795442712);
    }
}

static void wrong_dates_are_refused(void **state) {
    (void)state;
    static const char *const wrong_http[] = {"",
                                             "Mon",
                                             "Mon, 23 Nov 2026 14:05:12",
                                             "Mon, 23 Nov 2026 14:05:12 CET",
                                             "Mon, 23 Foo 2026 14:05:12 GMT",
                                             "Mon, 23 anF 2026 14:05:12 GMT",
                                             "Mon, 32 Jan 2026 14:05:12 GMT",
                                             "Mon, 23 Nov 2026 24:05:12 GMT",
                                             "Mon, 23 Nov 2026 14:05:12 GMT and more"};
    static const char *const wrong_iso[] = {"",
                                            "2026-11-23",
                                            "2026-11-23T14:05:12",
                                            "2026-11-23T14:05:12+01:00",
                                            "2026-13-23T14:05:12Z",
                                            "2026-11-00T14:05:12Z",
                                            "2026-11-23T14:61:12Z",
                                            "2026-11-23T14:05:12Zx"};
    int64_t seconds;
    for (size_t i = 0; i < sizeof wrong_http / sizeof *wrong_http; i++)
        assert_int_equal(clock_parse_http(wrong_http[i], &seconds), -EINVAL);
    for (size_t i = 0; i < sizeof wrong_iso / sizeof *wrong_iso; i++)
        assert_int_equal(clock_parse_iso8601(wrong_iso[i], &seconds), -EINVAL);
}

static void minutes_are_rounded(void **state) {
    (void)state;
    assert_int_equal(clock_minutes(3599), 60);
    assert_int_equal(clock_minutes(-3601), 60);
    assert_int_equal(clock_minutes(89), 1);
    assert_int_equal(clock_minutes(-90), 2);
}

static void sleeping_takes_as_long_as_asked(void **state) {
    (void)state;
    int64_t before_ms = clock_monotonic_ms(), before_ns = clock_monotonic_ns(), boot = clock_boottime_s();
    int64_t boot_ms = clock_boottime_ms();
    clock_sleep_ms(30);
    assert_true(clock_monotonic_ms() - before_ms >= 29);
    assert_true(clock_monotonic_ns() - before_ns >= 30000000);
    assert_true(clock_boottime_s() >= boot);
    assert_in_range(clock_boottime_ms() - boot_ms, 29, 30000);
    assert_true(clock_realtime_s() > 1700000000);
    assert_true(clock_realtime_ns() / 1000000000 >= 1700000000);
}

static void a_wait_ends_with_its_time(void **state) {
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition;
    clock_cond_init(&condition);
    pthread_mutex_lock(&lock);
    int64_t began = clock_monotonic_ms();
    while (!clock_cond_wait_ms(&condition, &lock, 1100)) /* over a second, and its parts */
        began = clock_monotonic_ms();
    assert_in_range(clock_monotonic_ms() - began, 1100, 60000);
    assert_true(clock_cond_wait_ms(&condition, &lock, 0));
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&condition);
}

struct waking {
    pthread_mutex_t lock;
    pthread_cond_t condition;
    bool told;
};

static void *wake(void *context) {
    struct waking *waking = context;
    pthread_mutex_lock(&waking->lock);
    waking->told = true;
    pthread_cond_signal(&waking->condition);
    pthread_mutex_unlock(&waking->lock);
    return NULL;
}

static void a_wait_ends_with_its_signal(void **state) {
    (void)state;
    struct waking waking = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    clock_cond_init(&waking.condition);
    pthread_mutex_lock(&waking.lock);
    assert_int_equal(pthread_create(&thread, NULL, wake, &waking), 0);
    while (!waking.told)
        assert_false(clock_cond_wait_ms(&waking.condition, &waking.lock, 60000));
    pthread_mutex_unlock(&waking.lock);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&waking.condition);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read_and_written_alike), cmocka_unit_test(iso_dates_of_several_makers_are_read),
        cmocka_unit_test(wrong_dates_are_refused),          cmocka_unit_test(minutes_are_rounded),
        cmocka_unit_test(sleeping_takes_as_long_as_asked),  cmocka_unit_test(a_wait_ends_with_its_time),
        cmocka_unit_test(a_wait_ends_with_its_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* When to try again. */
#include "s3/retry.h"

#include "base/clock.h"
#include "patience.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static void test_pauses_end_in_time(void **state) {
    struct store_call call = {.stall_ms = 1000};
    struct retry retry;
    int result, pauses = 0;
    (void)state;
    retry_init(&retry, &call);
    int64_t began = clock_monotonic_ms();
    while ((result = retry_pause(&retry, -1)) == 0) {
        assert_true(retry_left_ms(&retry) >= 250);
        pauses++;
    }
    int64_t took = clock_monotonic_ms() - began;
    assert_int_equal(result, PAIL_OFFLINE);
    assert_in_range(pauses, 2, 5);
    assert_in_range(took, 200, SOON_MS);
    assert_true(retry_left_ms(&retry) > 0);
}

static void test_idle_counts(void **state) {
    struct store_call call = {.stall_ms = 1000};
    struct retry retry;
    (void)state;
    retry_init(&retry, &call);
    assert_int_equal(retry_left_ms(&retry), 1000);
    retry_idle(&retry, 400);
    assert_int_equal(retry_left_ms(&retry), 600);
    retry_idle(&retry, 600); /* one attempt that stood still for as long as it may */
    assert_int_equal(retry_pause(&retry, -1), PAIL_OFFLINE);
    retry_progress(&retry);
    assert_int_equal(retry_left_ms(&retry), 1000);
    assert_int_equal(retry_pause(&retry, -1), 0);
}

static void test_attempts_are_counted(void **state) {
    struct store_call call = {.stall_ms = 10000000};
    struct retry retry = {.call = &call, .attempts = 11};
    (void)state;
    assert_int_equal(retry_pause(&retry, -1), PAIL_OFFLINE);
}

static void test_retry_after(void **state) {
    struct store_call call = {.stall_ms = 3000};
    struct retry retry;
    (void)state;
    retry_init(&retry, &call);
    int64_t began = clock_monotonic_ms();
    assert_int_equal(retry_pause(&retry, 1), 0);
    assert_true(clock_monotonic_ms() - began >= 1000);
    assert_int_equal(retry_pause(&retry, 3600), PAIL_OFFLINE); /* told to wait longer than the call may */
}

static void test_new_grants_once(void **state) {
    struct retry retry;
    (void)state;
    retry_init(&retry, NULL);
    assert_true(retry_renew(&retry));
    assert_false(retry_renew(&retry));
    retry_progress(&retry);
    assert_true(retry_renew(&retry));
}

static void *set_later(void *context) {
    usleep(150000);
    *(_Atomic bool *)context = true;
    return NULL;
}

static void test_cancel(void **state) {
    _Atomic bool cancelled = false;
    struct store_call call = {.cancelled = &cancelled, .stall_ms = 10 * PATIENCE_MS};
    struct retry retry;
    pthread_t thread;
    (void)state;
    retry_init(&retry, &call);
    pthread_create(&thread, NULL, set_later, &cancelled);
    int64_t began = clock_monotonic_ms();
    assert_int_equal(retry_pause(&retry, 600), PAIL_CANCELLED);
    assert_true(clock_monotonic_ms() - began < SOON_MS);
    pthread_join(thread, NULL);
    assert_int_equal(retry_pause(&retry, -1), PAIL_CANCELLED);
}

/* Many clients that failed together do not come back together. */
static void test_jitter(void **state) {
    struct store_call call = {.stall_ms = 100000};
    int64_t least = INT64_MAX, most = 0;
    (void)state;
    for (int i = 0; i < 12; i++) {
        struct retry retry;
        retry_init(&retry, &call);
        assert_int_equal(retry_pause(&retry, -1), 0);
        least = retry.idle_ms < least ? retry.idle_ms : least;
        most = retry.idle_ms > most ? retry.idle_ms : most;
    }
    assert_true(least >= 50 && most <= 100 && most > least);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses_end_in_time),
        cmocka_unit_test(test_idle_counts),
        cmocka_unit_test(test_attempts_are_counted),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_new_grants_once),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_jitter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

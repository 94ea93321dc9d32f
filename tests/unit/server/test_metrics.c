/* Tests of s3/server/metrics.c: what is counted is what is written, in the form that Prometheus reads. */
#include "s3/server/metrics.h"

#include "base/cleanup.h"
#include "s3/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

static const struct metrics_now nothing = {.keys_age_s = -1, .proof_age_s = -1, .cut_connections = 3};

static int set_up(void **state) {
    struct metrics *metrics;
    int r = metrics_create(&metrics);
    *state = metrics;
    return r;
}

static int tear_down(void **state) {
    metrics_destroy(*state);
    return 0;
}

static void assert_has(struct metrics *metrics, const char *line) {
    AUTO_BUFFER struct buffer out = {0};
    assert_int_equal(metrics_write(metrics, &nothing, &out), 0);
    assert_int_equal(buffer_append(&out, "", 1), 0);
    if (!strstr(out.data, line))
        fail_msg("no %s in %s", line, out.data);
}

static void requests_by_path_and_status(void **state) {
    struct metrics *metrics = *state;
    metrics_count_request(metrics, METRICS_SESSION, 201, 3);
    metrics_count_request(metrics, METRICS_SESSION, 201, 70000);
    metrics_count_request(metrics, METRICS_GRANTS, 418, 0);
    metrics_count_request(metrics, METRICS_GRANTS, 0, 20);
    assert_has(metrics, "\npail_requests_total{path=\"session\",status=\"201\"} 2\n");
    assert_has(metrics, "\npail_requests_total{path=\"grants\",status=\"other\"} 1\n");
    assert_has(metrics, "\npail_requests_total{path=\"grants\",status=\"0\"} 1\n");
    assert_has(metrics, "\npail_requests_total{path=\"other\",status=\"200\"} 0\n");
}

static void who_is_held_back_and_cut_off(void **state) {
    struct metrics *metrics = *state;
    metrics_count_refusal(metrics, METRICS_LIMITED_ACCOUNT);
    metrics_count_refusal(metrics, METRICS_LIMITED_FAILURES);
    metrics_count_refusal(metrics, METRICS_LIMITED_FAILURES);
    assert_has(metrics, "\npail_refusals_total{code=\"account_requests\"} 1\n");
    assert_has(metrics, "\npail_refusals_total{code=\"account_grants\"} 0\n");
    assert_has(metrics, "\npail_refusals_total{code=\"address_requests\"} 0\n");
    assert_has(metrics, "\npail_refusals_total{code=\"address_failures\"} 2\n");
    assert_has(metrics, "\npail_connections_closed_total{reason=\"slow\"} 3\n");
    assert_has(metrics, "\npail_connections_closed_total{reason=\"address\"} 0\n");
}

/* Each bucket holds those below it too. */
static void latencies_add_up(void **state) {
    struct metrics *metrics = *state;
    metrics_count_request(metrics, METRICS_SESSION, 200, 1);
    metrics_count_request(metrics, METRICS_SESSION, 200, 4);
    metrics_count_request(metrics, METRICS_SESSION, 200, 1500);
    metrics_count_request(metrics, METRICS_SESSION, 200, 70000);
    assert_has(metrics, "\npail_request_seconds_bucket{path=\"session\",le=\"0.001\"} 1\n");
    assert_has(metrics, "\npail_request_seconds_bucket{path=\"session\",le=\"0.5\"} 2\n");
    assert_has(metrics, "\npail_request_seconds_bucket{path=\"session\",le=\"2\"} 3\n");
    assert_has(metrics, "\npail_request_seconds_bucket{path=\"session\",le=\"10\"} 3\n");
    assert_has(metrics, "\npail_request_seconds_bucket{path=\"session\",le=\"+Inf\"} 4\n");
    assert_has(metrics, "\npail_request_seconds_sum{path=\"session\"} 71.505\n");
    assert_has(metrics, "\npail_request_seconds_count{path=\"session\"} 4\n");
}

static void grants_refusals_and_events(void **state) {
    struct metrics *metrics = *state;
    metrics_count_grants(metrics, WIRE_OP_PART, 64);
    metrics_count_grants(metrics, WIRE_OP_PART, 1);
    metrics_count_grants(metrics, "of a later version", 1);
    metrics_count_refusal(metrics, WIRE_ERROR_DENIED);
    metrics_count_refusal(metrics, "of a later version");
    metrics_count(metrics, METRICS_BUCKET_MADE);
    assert_has(metrics, "\npail_grants_total{op=\"part\"} 65\n");
    assert_has(metrics, "\npail_grants_total{op=\"other\"} 1\n");
    assert_has(metrics, "\npail_grants_total{op=\"get\"} 0\n");
    assert_has(metrics, "\npail_refusals_total{code=\"denied\"} 1\n");
    assert_has(metrics, "\npail_refusals_total{code=\"other\"} 1\n");
    assert_has(metrics, "\npail_buckets_made_total 1\n");
    assert_has(metrics, "\npail_store_proof_failures_total 0\n");
    assert_has(metrics, "\npail_jwks_age_seconds -1\n");
    assert_has(metrics, "\npail_ready 0\n");
}

static void the_store_lately(void **state) {
    struct metrics *metrics = *state;
    assert_has(metrics, "\npail_store_up 1\n");
    assert_has(metrics, "\npail_storage_keys_refused 0\n");
    metrics_count_store(metrics, METRICS_STORE_OFFLINE, 15000);
    assert_has(metrics, "\npail_store_up 0\n");
    assert_true(metrics_store_lately(metrics).down_s >= 0);
    metrics_count_store(metrics, METRICS_STORE_KEYS, 3); /* an answer, but no help */
    assert_has(metrics, "\npail_store_up 1\n");
    assert_has(metrics, "\npail_storage_keys_refused 1\n");
    metrics_count_store(metrics, METRICS_STORE_BUSY, 3);
    metrics_count_store(metrics, METRICS_STORE_ANSWERED, 3); /* may have been a refusal of another kind */
    assert_has(metrics, "\npail_storage_keys_refused 1\n");
    metrics_store_took_keys(metrics);
    assert_int_equal(metrics_store_lately(metrics).down_s, -1);
    assert_int_equal(metrics_store_lately(metrics).refused_s, -1);
    assert_has(metrics, "\npail_store_requests_total{outcome=\"keys\"} 1\n");
    assert_has(metrics, "\npail_store_request_seconds_bucket{le=\"0.005\"} 3\n");
    assert_has(metrics, "\npail_store_request_seconds_count 4\n");
}

static void buckets_made_and_how_long_it_took(void **state) {
    struct metrics *metrics = *state;
    metrics_count_provision(metrics, 300);
    assert_has(metrics, "\npail_provision_seconds_bucket{le=\"0.1\"} 0\n");
    assert_has(metrics, "\npail_provision_seconds_bucket{le=\"0.5\"} 1\n");
    assert_has(metrics, "\npail_provision_seconds_sum 0.300\n");
}

static void *count_much(void *metrics) {
    for (int i = 0; i < 10000; i++) {
        metrics_count_request(metrics, METRICS_GRANTS, 200, i);
        metrics_count_grants(metrics, WIRE_OP_GET, 2);
    }
    return NULL;
}

static void nothing_is_lost_between_threads(void **state) {
    struct metrics *metrics = *state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_much, metrics), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_has(metrics, "\npail_requests_total{path=\"grants\",status=\"200\"} 40000\n");
    assert_has(metrics, "\npail_request_seconds_count{path=\"grants\"} 40000\n");
    assert_has(metrics, "\npail_grants_total{op=\"get\"} 80000\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_held_back_and_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_by_path_and_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(latencies_add_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(grants_refusals_and_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_store_lately, set_up, tear_down),
        cmocka_unit_test_setup_teardown(buckets_made_and_how_long_it_took, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_lost_between_threads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One grant in memory: what the mapping server says is checked before it is used. */
#include "s3/grant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct owned_grant **out) {
    struct json *json;
    *out = NULL;
    assert_int_equal(json_parse(&json, text, strlen(text)), 0);
    int result = grant_parse(json, 1000, out);
    json_destroy(json);
    return result;
}

static void test_one(void **state) {
    struct owned_grant *owned;
    (void)state;
    assert_int_equal(parse("{\"method\":\"PUT\",\"url\":\"https://s/k\",\"headers\":{\"a\":\"1\",\"b\":\"\"},"
                           "\"expires_in\":60,\"body\":\"xy\"}",
                           &owned),
                     0);
    const struct grant *grant = &owned->grant;
    assert_string_equal(grant->method, "PUT");
    assert_int_equal(grant->url_count, 1);
    assert_string_equal(grant->urls[0], "https://s/k");
    assert_int_equal(grant->header_count, 2);
    assert_string_equal(grant->headers[1].name, "b");
    assert_string_equal(grant->headers[1].value, "");
    assert_null(grant->last_headers);
    assert_int_equal(grant->expires_ms, 61000);
    assert_int_equal(grant->life_ms, 60000);
    assert_int_equal(grant->body_size, 2);
    assert_memory_equal(grant->body, "xy", 2);
    grant_drop(owned);
    grant_drop(NULL);
}

static void test_run(void **state) {
    struct owned_grant *owned;
    (void)state;
    assert_int_equal(parse("{\"method\":\"PUT\",\"urls\":[\"http://s/1\",\"http://s/2\"],\"headers\":{\"l\":\"5\"},"
                           "\"last_headers\":{\"l\":\"2\"},\"expires_in\":99999999999}",
                           &owned),
                     0);
    assert_int_equal(owned->grant.url_count, 2);
    assert_string_equal(owned->grant.urls[1], "http://s/2");
    assert_string_equal(owned->grant.headers[0].value, "5");
    assert_string_equal(owned->grant.last_headers[0].value, "2");
    assert_null(owned->grant.body);
    assert_int_equal(owned->grant.life_ms, 604800000); /* S3 signs for no longer */
    grant_drop(owned);
}

static void test_refused(void **state) {
    static const char *const texts[] = {
        "{}",
        "{\"url\":\"https://s/k\",\"headers\":{},\"expires_in\":60}",
        "{\"method\":\"GET\",\"headers\":{},\"expires_in\":60}",
        "{\"method\":\"GET\",\"url\":\"https://s/k\",\"headers\":{}}",
        "{\"method\":\"GET\",\"url\":\"https://s/k\",\"headers\":{},\"expires_in\":0}",
        "{\"method\":\"GET\",\"url\":\"ftp://s/k\",\"headers\":{},\"expires_in\":60}",
        "{\"method\":\"GET\",\"url\":5,\"headers\":{},\"expires_in\":60}",
        "{\"method\":\"GET\",\"urls\":[],\"headers\":{},\"expires_in\":60}",
        "{\"method\":\"GET\",\"urls\":[\"https://s\",\"file:///k\"],\"headers\":{},\"expires_in\":60}",
        "{\"method\":\"GET\",\"url\":\"https://s/k\",\"headers\":{\"a\":1},\"expires_in\":60}",
    };
    struct owned_grant *owned;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(parse(texts[i], &owned), PAIL_DAMAGED);
        assert_null(owned);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

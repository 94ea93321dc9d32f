/* Tests of s3/server/limits: the settings become limits, and each holds for whom it is meant. Tokens that were seen to
 * be good stay known to be. */
#include "s3/server/limits.h"

#include "s3/server/config.h"
#include "s3/server/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
    struct config config;
    struct config_problems problems;
    struct limits *limits;
};

static void start(struct scene *scene, const char *const (*settings)[2], size_t count) {
    assert_int_equal(config_init(&scene->config), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(config_set(&scene->config, settings[i][0], settings[i][1], "test", &scene->problems), 0);
    assert_int_equal(scene->problems.errors, 0);
    assert_int_equal(limits_create(&scene->limits, &scene->config), 0);
}

static void stop(struct scene *scene) {
    limits_destroy(scene->limits);
    config_finish(&scene->config);
    config_problems_finish(&scene->problems);
}

static const char *const tight[][2] = {{"requests_per_account", "1"},
                                       {"grants_per_account", "1"},
                                       {"requests_per_address", "1"},
                                       {"failures_per_address", "2"},
                                       {"trusted_proxies", "127.0.0.1"}};
#define TIGHT (sizeof tight / sizeof *tight)

static struct limits_origin origin_of(const struct limits *limits, const char *peer, const char *forwarded) {
    struct http_header header = {"x-forwarded-for", forwarded};
    struct http_request request = {.headers = &header, .header_count = forwarded != NULL};
    struct limits_origin origin;
    snprintf(request.peer, sizeof request.peer, "%s", peer);
    limits_find_origin(limits, &request, &origin);
    return origin;
}

static void accounts_have_ten_seconds_worth_at_once(void **state) {
    (void)state;
    struct scene scene = {0};
    start(&scene, tight, TIGHT);
    for (int i = 0; i < 10; i++)
        assert_int_equal(limits_account(scene.limits, 1), 0);
    assert_int_equal(limits_account(scene.limits, 1), 1);
    assert_int_equal(limits_account(scene.limits, 2), 0);
    assert_int_equal(limits_account_urls(scene.limits, 1, 1000), 0); /* one whole batch always passes */
    assert_in_range(limits_account_urls(scene.limits, 1, 100), 99, 100);
    assert_int_equal(limits_account_urls(scene.limits, 1, 0), 0);
    stop(&scene);
}

static void addresses_count_for_whom_a_proxy_asks(void **state) {
    (void)state;
    struct scene scene = {0};
    start(&scene, tight, TIGHT);
    struct limits_origin ann = origin_of(scene.limits, "127.0.0.1", "203.0.113.1"),
                         bob = origin_of(scene.limits, "127.0.0.1", "203.0.113.2"),
                         direct = origin_of(scene.limits, "203.0.113.1", "203.0.113.9"),
                         silent = origin_of(scene.limits, "127.0.0.1", NULL),
                         six = origin_of(scene.limits, "2001:db8::1", NULL),
                         sixth = origin_of(scene.limits, "2001:db8::2", NULL);
    for (int i = 0; i < 10; i++)
        assert_int_equal(limits_address(scene.limits, &ann), 0);
    assert_int_equal(limits_address(scene.limits, &ann), 1);
    assert_int_equal(limits_address(scene.limits, &direct), 1); /* the same address, without a proxy */
    assert_int_equal(limits_address(scene.limits, &bob), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(limits_address(scene.limits, &silent), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(limits_address(scene.limits, i % 2 ? &six : &sixth), 0);
    assert_int_equal(limits_address(scene.limits, &sixth), 1);
    stop(&scene);
}

static void failures_are_looked_at_and_counted(void **state) {
    (void)state;
    struct scene scene = {0};
    start(&scene, tight, TIGHT);
    struct limits_origin eve = origin_of(scene.limits, "203.0.113.1", NULL),
                         bob = origin_of(scene.limits, "203.0.113.2", NULL);
    for (int i = 0; i < 10; i++)
        assert_int_equal(limits_failures(scene.limits, &eve), 0);
    limits_count_failure(scene.limits, &eve);
    assert_int_equal(limits_failures(scene.limits, &eve), 0);
    limits_count_failure(scene.limits, &eve);
    assert_in_range(limits_failures(scene.limits, &eve), 29, 30);
    assert_int_equal(limits_failures(scene.limits, &bob), 0);
    assert_int_equal(limits_address(scene.limits, &eve), 0); /* another limit */
    stop(&scene);
}

static void zero_is_no_limit(void **state) {
    (void)state;
    static const char *const none[][2] = {{"requests_per_account", "0"},
                                          {"grants_per_account", "0"},
                                          {"requests_per_address", "0"},
                                          {"failures_per_address", "0"}};
    struct scene scene = {0};
    start(&scene, none, 4);
    struct limits_origin eve = origin_of(scene.limits, "203.0.113.1", NULL);
    for (int i = 0; i < 100000; i++) {
        limits_count_failure(scene.limits, &eve);
        assert_int_equal(limits_account(scene.limits, 1) + limits_account_urls(scene.limits, 1, 1000) +
                             limits_address(scene.limits, &eve) + limits_failures(scene.limits, &eve),
                         0);
    }
    stop(&scene);
}

/* When the account has to be read again, or the keys have changed, it is still no stranger's. */
static void a_token_that_was_good_is_seen_until_it_expires(void **state) {
    (void)state;
    struct tokens *tokens = NULL;
    struct user user = {.id = 7};
    struct known *known = NULL;
    unsigned char hash[32] = {1}, expired[32] = {2};
    assert_int_equal(tokens_create(&tokens), 0);
    assert_null(tokens_seen(tokens, hash));
    assert_int_equal(tokens_add(tokens, hash, INT64_MAX, 1, &user, &known), 0);
    known_release(known);
    assert_null(tokens_find(tokens, hash, 2)); /* other keys */
    known = tokens_seen(tokens, hash);
    assert_non_null(known);
    assert_int_equal(known->user.id, 7);
    known_release(known);
    assert_int_equal(tokens_add(tokens, expired, 1, 1, &user, &known), 0);
    known_release(known);
    assert_null(tokens_seen(tokens, expired));
    tokens_destroy(tokens);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounts_have_ten_seconds_worth_at_once),
        cmocka_unit_test(addresses_count_for_whom_a_proxy_asks),
        cmocka_unit_test(failures_are_looked_at_and_counted),
        cmocka_unit_test(zero_is_no_limit),
        cmocka_unit_test(a_token_that_was_good_is_seen_until_it_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of auth/fetch.c against a server that answers as told. */
#include "auth/fetch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "http_stub.h"
#include "patience.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct told {
    struct http_stub_reply reply;
    _Atomic int requests;
    pthread_mutex_t lock;
    char method[16], target[512], body[512], authorization[128];
};

static void answer(void *context, const struct http_stub_request *request, struct http_stub_reply *reply) {
    struct told *told = context;
    atomic_fetch_add(&told->requests, 1);
    pthread_mutex_lock(&told->lock);
    *reply = told->reply;
    snprintf(told->method, sizeof told->method, "%s", request->method);
    snprintf(told->target, sizeof told->target, "%s", request->target);
    snprintf(told->body, sizeof told->body, "%s", request->body);
    const char *found = strcasestr(request->head, "\r\nauthorization:");
    told->authorization[0] = 0;
    if (found)
        sscanf(found + 16, " %127[^\r]", told->authorization);
    if (http_stub_has(request, "Authorization", "Bearer stale"))
        reply->status = 401;
    pthread_mutex_unlock(&told->lock);
}

struct fixture {
    struct http_stub *stub;
    struct told told;
    struct fetch *fetch;
    struct fetch_answer answer;
    struct fault fault;
    char url[128];
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    pthread_mutex_init(&f->told.lock, NULL);
    f->told.reply.status = 200;
    strcpy(f->told.reply.body, "{\"a\":1}");
    f->stub = http_stub_bind();
    http_stub_run(f->stub, answer, &f->told);
    snprintf(f->url, sizeof f->url, "%s/x?y=z", http_stub_url(f->stub));
    *state = f;
    return fetch_create(&f->fetch, &(struct fetch_options){.timeout_ms = PATIENCE_MS});
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    fetch_answer_finish(&f->answer);
    fetch_destroy(f->fetch);
    http_stub_stop(f->stub);
    pthread_mutex_destroy(&f->told.lock);
    free(f);
    return 0;
}

static int get(struct fixture *f) {
    fetch_answer_finish(&f->answer);
    struct fetch_request request = {.method = "GET", .url = f->url};
    return fetch_perform(f->fetch, &request, &f->answer, &f->fault);
}

static void use(struct fixture *f, const struct fetch_options *options) {
    fetch_destroy(f->fetch);
    assert_int_equal(fetch_create(&f->fetch, options), 0);
}

static void json_and_headers_come_back(void **state) {
    struct fixture *f = *state;
    strcpy(f->told.reply.headers, "X-Request-Id:  r-17 \r\nRetry-After: 9\r\nCache-Control: public, max-age=77\r\n"
                                  "Date: Mon, 23 Nov 2026 14:05:12 GMT\r\n");
    assert_int_equal(get(f), 0);
    assert_int_equal(f->answer.status, 200);
    assert_int_equal(json_get_integer(f->answer.json, "a", 0), 1);
    assert_string_equal(f->answer.body, "{\"a\":1}");
    assert_int_equal(f->answer.size, 7);
    assert_string_equal(f->answer.request_id, "r-17");
    assert_int_equal(f->answer.retry_after_s, 9);
    assert_int_equal(f->answer.max_age_s, 77);
    assert_int_equal(f->answer.date_s, 1795442712);
    assert_string_equal(f->told.target, "/x?y=z");
    assert_string_equal(f->told.method, "GET");
}

static void absent_headers_are_told_as_absent(void **state) {
    struct fixture *f = *state;
    strcpy(f->told.reply.body, "not json");
    f->told.reply.status = 503;
    assert_int_equal(get(f), 0);
    assert_int_equal(f->answer.status, 503);
    assert_null(f->answer.json);
    assert_null(f->answer.request_id);
    assert_int_equal(f->answer.retry_after_s, -1);
    assert_int_equal(f->answer.max_age_s, -1);
    assert_int_equal(f->answer.date_s, 0);
}

static void a_date_to_retry_after_is_seconds_from_now(void **state) {
    struct fixture *f = *state;
    char date[30];
    clock_format_http(clock_realtime_s() + 100, date);
    snprintf(f->told.reply.headers, sizeof f->told.reply.headers, "Retry-After: %s\r\n", date);
    assert_int_equal(get(f), 0);
    assert_in_range(f->answer.retry_after_s, 95, 100);
}

static void a_body_is_posted(void **state) {
    struct fixture *f = *state;
    struct fetch_request request = {
        .method = "POST", .url = f->url, .content_type = "application/json", .body = "{\"b\":2}", .body_size = 7};
    assert_int_equal(fetch_perform(f->fetch, &request, &f->answer, &f->fault), 0);
    assert_string_equal(f->told.method, "POST");
    assert_string_equal(f->told.body, "{\"b\":2}");
}

static void a_given_token_is_sent(void **state) {
    struct fixture *f = *state;
    struct fetch_request request = {.method = "GET", .url = f->url, .bearer = "abc"};
    assert_int_equal(fetch_perform(f->fetch, &request, &f->answer, &f->fault), 0);
    assert_string_equal(f->told.authorization, "Bearer abc");
}

struct source {
    int calls, refusals;
    bool never_better;
};

static int source_get(void *context, const char *refused, char **token, struct fault *fault) {
    (void)fault;
    struct source *source = context;
    source->calls++;
    source->refusals += refused && !strcmp(refused, "stale");
    *token = strdup(refused && !source->never_better ? "fresh" : "stale");
    return 0;
}

static void a_401_gets_one_fresh_token_and_one_more_try(void **state) {
    struct fixture *f = *state;
    struct source source = {0};
    use(f, &(struct fetch_options){.tokens = {&source, source_get}});
    struct fetch_request request = {.method = "GET", .url = f->url, .authorized = true};
    assert_int_equal(fetch_perform(f->fetch, &request, &f->answer, &f->fault), 0);
    assert_int_equal(f->answer.status, 200);
    assert_string_equal(f->told.authorization, "Bearer fresh");
    assert_int_equal(source.calls, 2);
    assert_int_equal(source.refusals, 1);
    assert_int_equal(f->told.requests, 2);
}

static void a_second_401_is_the_answer(void **state) {
    struct fixture *f = *state;
    struct source source = {.never_better = true};
    use(f, &(struct fetch_options){.tokens = {&source, source_get}});
    struct fetch_request request = {.method = "GET", .url = f->url, .authorized = true};
    assert_int_equal(fetch_perform(f->fetch, &request, &f->answer, &f->fault), 0);
    assert_int_equal(f->answer.status, 401);
    assert_int_equal(f->told.requests, 2);
}

static int no_token(void *context, const char *refused, char **token, struct fault *fault) {
    (void)context, (void)refused, (void)token;
    return fault_set(fault, PAIL_LOGIN_REQUIRED, "log in");
}

static void without_a_token_nothing_is_sent(void **state) {
    struct fixture *f = *state;
    struct fetch_request request = {.method = "GET", .url = f->url, .authorized = true};
    assert_int_equal(fetch_perform(f->fetch, &request, &f->answer, &f->fault), PAIL_LOGIN_REQUIRED);
    use(f, &(struct fetch_options){.tokens = {NULL, no_token}});
    assert_int_equal(fetch_perform(f->fetch, &request, &f->answer, &f->fault), PAIL_LOGIN_REQUIRED);
    assert_string_equal(f->fault.text, "log in");
    assert_int_equal(f->told.requests, 0);
}

static void a_large_answer_is_damaged(void **state) {
    struct fixture *f = *state;
    memset(f->told.reply.body, 'x', 5000);
    use(f, &(struct fetch_options){.max_answer = 5000});
    assert_int_equal(get(f), 0);
    assert_int_equal(f->answer.size, 5000);
    use(f, &(struct fetch_options){.max_answer = 4999});
    assert_int_equal(get(f), PAIL_DAMAGED);
    assert_null(f->answer.body);
}

static void no_redirect_is_followed(void **state) {
    struct fixture *f = *state;
    f->told.reply.status = 302;
    snprintf(f->told.reply.headers, sizeof f->told.reply.headers, "Location: %s/elsewhere\r\n", http_stub_url(f->stub));
    assert_int_equal(get(f), 0);
    assert_int_equal(f->answer.status, 302);
    assert_int_equal(f->told.requests, 1);
}

static void no_answer_is_offline_and_says_why(void **state) {
    struct fixture *f = *state;
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u/", http_stub_free_port());
    assert_int_equal(get(f), PAIL_OFFLINE);
    assert_non_null(strstr(f->fault.text, "127.0.0.1"));
    snprintf(f->url, sizeof f->url, "https://no-such-host.invalid/");
    assert_int_equal(get(f), PAIL_OFFLINE);
    assert_non_null(strstr(f->fault.text, "name"));
}

static void a_cut_or_short_answer_is_offline(void **state) {
    struct fixture *f = *state;
    f->told.reply.promised = 100;
    assert_int_equal(get(f), PAIL_OFFLINE);
    f->told.reply.status = 0;
    assert_int_equal(get(f), PAIL_OFFLINE);
}

static void a_late_answer_is_offline(void **state) {
    struct fixture *f = *state;
    use(f, &(struct fetch_options){.timeout_ms = 150});
    f->told.reply.delay_ms = 2 * PATIENCE_MS;
    int64_t before = clock_monotonic_ms();
    assert_int_equal(get(f), PAIL_OFFLINE);
    assert_in_range(clock_monotonic_ms() - before, 100, SOON_MS);
    assert_non_null(strstr(f->fault.text, "in time"));
}

static void *cancel_soon(void *context) {
    clock_sleep_ms(100);
    atomic_store((_Atomic bool *)context, true);
    return NULL;
}

static void a_request_can_be_cancelled(void **state) {
    struct fixture *f = *state;
    f->told.reply.delay_ms = 2 * PATIENCE_MS;
    _Atomic bool cancelled = false;
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, &cancelled);
    struct fetch_request request = {.method = "GET", .url = f->url, .cancelled = &cancelled};
    assert_int_equal(fetch_perform(f->fetch, &request, &f->answer, &f->fault), PAIL_CANCELLED);
    pthread_join(thread, NULL);
}

static void plain_http_is_for_loopback_only(void **state) {
    struct fixture *f = *state;
    static const char *const refused[] = {
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://user@127.0.0.1/",
        "http://127.0.0.1@evil.test/",
        "gopher://127.0.0.1/",
        "",
        "http://[::2]/",
        "https://user:pw@example.com/",
        "http://localhost.example.com/",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct fetch_request request = {.method = "GET", .url = refused[i], .bearer = "secret"};
        if (fetch_perform(f->fetch, &request, &f->answer, &f->fault) != PAIL_DENIED)
            fail_msg("%s was not refused", refused[i]);
    }
    static const char *const allowed[] = {"https://example.com/", "http://127.0.0.1:9/", "http://127.9.9.9/",
                                          "http://[::1]:80/",     "http://localhost/x",  "HTTPS://EXAMPLE.COM"};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (!fetch_url_allowed(allowed[i]))
            fail_msg("%s was refused", allowed[i]);
    assert_false(fetch_url_is_loopback("https://example.com/"));
    assert_true(fetch_url_is_loopback("https://127.0.0.1/"));
}

static void origins_are_compared_in_one_form(void **state) {
    (void)state;
    static const struct {
        const char *url, *origin;
    } table[] = {
        {"https://Drive.Example.com/x?y", "https://drive.example.com"},
        {"https://drive.example.com:443", "https://drive.example.com"},
        {"https://drive.example.com:8443/", "https://drive.example.com:8443"},
        {"http://127.0.0.1:80/a", "http://127.0.0.1"},
        {"http://127.0.0.1:4000", "http://127.0.0.1:4000"},
        {"urn:example:api", NULL},
        {"pail-api", NULL},
        {"ftp://example.com", NULL},
        {"https://a@example.com", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        AUTO_FREE char *origin = fetch_url_origin(table[i].url);
        if (table[i].origin)
            assert_string_equal(origin, table[i].origin);
        else
            assert_null(origin);
    }
}

static void proxies_and_netrc_do_not_meet_loopback(void **state) {
    struct fixture *f = *state;
    char home[] = "/tmp/pail-test-fetch-XXXXXX", path[64];
    assert_non_null(mkdtemp(home));
    snprintf(path, sizeof path, "%s/.netrc", home);
    FILE *netrc = fopen(path, "w");
    fputs("machine 127.0.0.1 login ann password secret\n", netrc);
    fclose(netrc);
    AUTO_FREE char *before = strdup(getenv("HOME") ? getenv("HOME") : "/");
    setenv("HOME", home, 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    int r = get(f);
    setenv("HOME", before, 1);
    unsetenv("http_proxy");
    unlink(path);
    rmdir(home);
    assert_int_equal(r, 0);
    assert_string_equal(f->told.authorization, "");
}

static void *get_many(void *context) {
    struct fixture *f = context;
    intptr_t good = 0;
    for (int i = 0; i < 8; i++) {
        struct fetch_answer got;
        struct fetch_request request = {.method = "GET", .url = f->url};
        good += fetch_perform(f->fetch, &request, &got, NULL) == 0 && got.status == 200 && got.json;
        fetch_answer_finish(&got);
    }
    return (void *)good;
}

static void many_threads_share_it(void **state) {
    struct fixture *f = *state;
    pthread_t threads[16];
    for (size_t i = 0; i < 16; i++)
        pthread_create(&threads[i], NULL, get_many, f);
    for (size_t i = 0; i < 16; i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_int_equal((intptr_t)good, 8);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(json_and_headers_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(absent_headers_are_told_as_absent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_date_to_retry_after_is_seconds_from_now, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_body_is_posted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_given_token_is_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_401_gets_one_fresh_token_and_one_more_try, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_401_is_the_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_token_nothing_is_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_answer_is_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_redirect_is_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_answer_is_offline_and_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cut_or_short_answer_is_offline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_late_answer_is_offline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_can_be_cancelled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plain_http_is_for_loopback_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(proxies_and_netrc_do_not_meet_loopback, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_threads_share_it, set_up, tear_down),
        cmocka_unit_test(origins_are_compared_in_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

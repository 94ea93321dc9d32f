/* Tests of auth/device.c: the code, and asking for its tokens as often as the issuer allows. */
#include "auth/device.h"

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

#define TOKENS "{\"token_type\":\"Bearer\",\"access_token\":\"a1\",\"refresh_token\":\"r1\"}"
#define CODE "{\"device_code\":\"d&1\",\"user_code\":\"ABCD\",\"verification_uri\":\"https://x.example/go\""

struct step {
    int status;
    const char *body;
    const char *headers;
};

struct fixture {
    struct http_stub *stub;
    struct fetch *fetch;
    pthread_mutex_t lock;
    const struct step *steps; /* under lock, as the two below; the last one stays */
    size_t count, asked;
    char body[1024];
    struct device device;
    struct token_set got;
    struct fault fault;
    _Atomic bool cancelled;
};

static void answer(void *context, const struct http_stub_request *request, struct http_stub_reply *reply) {
    struct fixture *f = context;
    pthread_mutex_lock(&f->lock);
    const struct step *step = &f->steps[f->asked < f->count ? f->asked : f->count - 1];
    f->asked++;
    reply->status = step->status;
    snprintf(reply->body, sizeof reply->body, "%s", step->body);
    snprintf(reply->headers, sizeof reply->headers, "%s", step->headers ? step->headers : "");
    snprintf(f->body, sizeof f->body, "%s", request->body);
    pthread_mutex_unlock(&f->lock);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    f->stub = http_stub_bind();
    http_stub_run(f->stub, answer, f);
    *state = f;
    return fetch_create(&f->fetch, &(struct fetch_options){.timeout_ms = PATIENCE_MS});
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    device_finish(&f->device);
    token_set_finish(&f->got);
    fetch_destroy(f->fetch);
    http_stub_stop(f->stub);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static void script(struct fixture *f, const struct step *steps, size_t count) {
    pthread_mutex_lock(&f->lock);
    f->steps = steps;
    f->count = count;
    f->asked = 0;
    pthread_mutex_unlock(&f->lock);
}

static size_t asked(struct fixture *f) {
    pthread_mutex_lock(&f->lock);
    size_t count = f->asked;
    pthread_mutex_unlock(&f->lock);
    return count;
}

static int begin(struct fixture *f, int status, const char *body) {
    const struct step step = {status, body, NULL};
    const struct device_request request = {"pail", "openid email", "https://api"};
    script(f, &step, 1);
    device_finish(&f->device);
    f->fault.text[0] = 0;
    return device_begin(&f->device, f->fetch, http_stub_url(f->stub), &request, &f->cancelled, &f->fault);
}

/* A code that may be asked for at once, then each second. */
static void begin_quick(struct fixture *f) {
    assert_int_equal(begin(f, 200, CODE ",\"interval\":1,\"expires_in\":30}"), 0);
    f->device.due_ms = 0;
    token_set_finish(&f->got);
    f->fault.text[0] = 0;
}

static int wait_s(struct fixture *f, int timeout_s) {
    return device_wait(&f->device, &f->got, f->fetch, http_stub_url(f->stub), "pail", timeout_s, &f->cancelled,
                       &f->fault);
}

static void a_code_is_read(void **state) {
    struct fixture *f = *state;
    int64_t before_ms = clock_monotonic_ms();
    assert_int_equal(begin(f, 200, CODE ",\"verification_uri_complete\":\"https://x.example/go?c=ABCD\"}"), 0);
    assert_string_equal(f->body, "client_id=pail&scope=openid%20email&audience=https%3A%2F%2Fapi");
    assert_string_equal(f->device.code, "d&1");
    assert_string_equal(f->device.user_code, "ABCD");
    assert_string_equal(f->device.url, "https://x.example/go");
    assert_string_equal(f->device.url_whole, "https://x.example/go?c=ABCD");
    assert_int_equal(f->device.interval_ms, 5000); /* the answer names none */
    assert_true(f->device.due_ms > before_ms + 5000);
    assert_int_equal(begin(f, 200, CODE ",\"verification_uri_complete\":\"http://x.example/\"}"), 0);
    assert_null(f->device.url_whole); /* not over https: not shown */
}

static void answers_without_a_code(void **state) {
    struct fixture *f = *state;
    static const struct {
        int status;
        const char *body;
        int expected;
    } table[] = {
        {400, "{\"error\":\"unauthorized_client\"}", PAIL_DENIED},
        {403, "{\"error\":\"invalid_scope\"}", PAIL_DENIED},
        {404, "", PAIL_DENIED},
        {429, "{}", PAIL_OFFLINE},
        {503, "{}", PAIL_OFFLINE},
        {0, "", PAIL_OFFLINE},
        {200, "<html>", PAIL_DAMAGED},
        {200, "{\"device_code\":\"d\",\"user_code\":\"A\"}", PAIL_DAMAGED},
        {200, "{\"user_code\":\"A\",\"verification_uri\":\"https://x/\"}", PAIL_DAMAGED},
        {200, "{\"device_code\":\"d\",\"user_code\":\"A\",\"verification_uri\":\"http://x/\"}", PAIL_DAMAGED},
        {200, "{\"device_code\":\"d\",\"user_code\":\"A\\u001b[2J\",\"verification_uri\":\"https://x/\"}",
         PAIL_DAMAGED},
        {200, "{\"device_code\":\"d\",\"user_code\":\"A\",\"verification_uri\":\"https://x/ y\"}", PAIL_DAMAGED},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int r = begin(f, table[i].status, table[i].body);
        if (r != table[i].expected)
            fail_msg("row %zu: %d %s", i, r, f->fault.text);
        assert_null(f->device.code);
        assert_string_not_equal(f->fault.text, "");
    }
}

static void asked_until_it_is_typed(void **state) {
    struct fixture *f = *state;
    static const struct step steps[] = {
        {400, "{\"error\":\"authorization_pending\"}", NULL},
        {0, "", NULL}, /* the network is away for a moment */
        {200, TOKENS, NULL},
    };
    begin_quick(f);
    script(f, steps, 3);
    int64_t before_ms = clock_monotonic_ms();
    assert_int_equal(wait_s(f, 0), 0);
    assert_true(clock_monotonic_ms() - before_ms >= 3000); /* one second, then two: RFC 8628 3.5 */
    assert_string_equal(f->got.access, "a1");
    assert_string_equal(f->fault.text, "");
    assert_string_equal(f->body, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&client_id=pail&"
                                 "device_code=d%261");
    assert_int_equal(asked(f), 3);
}

static void asked_less_often_when_told(void **state) {
    struct fixture *f = *state;
    static const struct step rows[] = {
        {400, "{\"error\":\"slow_down\"}", NULL},
        {429, "{\"error\":\"slow_down\"}", NULL}, /* Auth0 */
        {429, "", NULL},
        {400, "{\"error\":\"authorization_pending\"}", "Retry-After: 20\r\n"},
        {503, "", "Retry-After: 20\r\n"},
    };
    static const int64_t next_ms[] = {6000, 6000, 6000, 20000, 20000};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin_quick(f);
        script(f, &rows[i], 1);
        int64_t before_ms = clock_monotonic_ms();
        assert_int_equal(wait_s(f, 1), -ETIMEDOUT);
        assert_int_equal(asked(f), 1);
        if (f->device.due_ms < before_ms + next_ms[i])
            fail_msg("row %zu: asked again after %lld ms", i, (long long)(f->device.due_ms - before_ms));
    }
}

static void what_ends_it(void **state) {
    struct fixture *f = *state;
    static const struct {
        struct step step;
        int expected;
        const char *says;
    } table[] = {
        {{400, "{\"error\":\"access_denied\"}", NULL}, PAIL_DENIED, "declined"},
        {{403, "{\"error\":\"access_denied\",\"error_description\":\"no\"}", NULL},
         PAIL_DENIED,
         "declined (access_denied: no)"},
        {{400, "{\"error\":\"expired_token\"}", NULL}, -ETIMEDOUT, "in time"},
        {{400, "{\"error\":\"invalid_grant\"}", NULL}, PAIL_DENIED, "refused"},
        {{401, "", NULL}, PAIL_DENIED, "refused"},
        {{200, "{\"token_type\":\"Bearer\",\"access_token\":\"a1\"}", NULL}, PAIL_DAMAGED, "offline access"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        begin_quick(f);
        script(f, &table[i].step, 1);
        int r = wait_s(f, 0);
        if (r != table[i].expected || !strstr(f->fault.text, table[i].says))
            fail_msg("row %zu: %d %s", i, r, f->fault.text);
        assert_int_equal(asked(f), 1);
        assert_null(f->got.access);
    }
}

static void it_ends_on_time_and_when_cancelled(void **state) {
    struct fixture *f = *state;
    static const struct step pending = {400, "{\"error\":\"authorization_pending\"}", NULL};
    assert_int_equal(begin(f, 200, CODE ",\"interval\":1,\"expires_in\":2}"), 0);
    script(f, &pending, 1);
    int64_t before_ms = clock_monotonic_ms();
    assert_int_equal(wait_s(f, 0), -ETIMEDOUT); /* the code's own life */
    assert_in_range(clock_monotonic_ms() - before_ms, 1500, SOON_MS);
    begin_quick(f);
    f->cancelled = true;
    assert_int_equal(wait_s(f, 0), PAIL_CANCELLED);
    f->cancelled = false;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_code_is_read),
        TEST(answers_without_a_code),
        TEST(asked_until_it_is_typed),
        TEST(asked_less_often_when_told),
        TEST(what_ends_it),
        TEST(it_ends_on_time_and_when_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

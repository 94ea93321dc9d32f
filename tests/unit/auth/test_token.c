/* Tests of auth/token.c: the token endpoint's answers, and the form in the vault. */
#include "auth/token.h"

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

struct fixture {
    struct http_stub *stub;
    struct fetch *fetch;
    pthread_mutex_t lock;
    struct http_stub_reply reply; /* protected by lock, as body */
    char body[1024];
    struct token_set got;
    struct fault fault;
};

static void answer(void *context, const struct http_stub_request *request, struct http_stub_reply *reply) {
    struct fixture *f = context;
    pthread_mutex_lock(&f->lock);
    *reply = f->reply;
    snprintf(f->body, sizeof f->body, "%s", request->body);
    if (!http_stub_has(request, "Content-Type", "application/x-www-form-urlencoded"))
        reply->status = 415;
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
    token_set_finish(&f->got);
    fetch_destroy(f->fetch);
    http_stub_stop(f->stub);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static void tell(struct fixture *f, int status, const char *body) {
    pthread_mutex_lock(&f->lock);
    f->reply.status = status;
    snprintf(f->reply.body, sizeof f->reply.body, "%s", body);
    pthread_mutex_unlock(&f->lock);
}

static const struct token_code code = {
    .code = "c+d/e&f", .verifier = "ver", .redirect_uri = "http://127.0.0.1:1/callback", .client_id = "pail"};

static int exchange(struct fixture *f) {
    token_set_finish(&f->got);
    return token_exchange(&f->got, f->fetch, http_stub_url(f->stub), &code, NULL, &f->fault);
}

static int refresh(struct fixture *f, int64_t *retry_after_s) {
    token_set_finish(&f->got);
    return token_refresh(&f->got, f->fetch, http_stub_url(f->stub), "pail", "r1", retry_after_s, &f->fault);
}

static void a_code_becomes_tokens(void **state) {
    struct fixture *f = *state;
    tell(f, 200,
         "{\"token_type\":\"bearer\",\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"id_token\":\"i.d.t\","
         "\"expires_in\":100}");
    assert_int_equal(exchange(f), 0);
    assert_string_equal(f->body, "grant_type=authorization_code&client_id=pail&code=c%2Bd%2Fe%26f&code_verifier=ver&"
                                 "redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback");
    assert_string_equal(f->got.access, "a1");
    assert_string_equal(f->got.refresh, "r1");
    assert_string_equal(f->got.id, "i.d.t");
    assert_in_range(token_set_left_s(&f->got), 98, 100);
    assert_true(token_set_is_young(&f->got));
}

static void answers_to_a_code_that_help_nobody(void **state) {
    struct fixture *f = *state;
    static const struct {
        int status;
        const char *body;
        int expected;
    } table[] = {
        {400, "{\"error\":\"invalid_grant\",\"error_description\":\"used\"}", PAIL_DENIED},
        {403, "{\"error\":\"unauthorized_client\"}", PAIL_DENIED},
        {404, "", PAIL_DENIED},
        {500, "{}", PAIL_OFFLINE},
        {503, "{\"error\":\"invalid_grant\"}", PAIL_OFFLINE},
        {429, "{}", PAIL_OFFLINE},
        {200, "<html>", PAIL_DAMAGED},
        {200, "{\"token_type\":\"Bearer\",\"access_token\":\"a\"}", PAIL_DAMAGED}, /* no refresh token */
        {200, "{\"token_type\":\"mac\",\"access_token\":\"a\",\"refresh_token\":\"r\"}", PAIL_DAMAGED},
        {200, "{\"access_token\":\"a\",\"refresh_token\":\"r\"}", PAIL_DAMAGED},
        {200, "{\"token_type\":\"Bearer\",\"access_token\":\"\",\"refresh_token\":\"r\"}", PAIL_DAMAGED},
        {200, "{\"token_type\":\"Bearer\",\"access_token\":\"a\\r\\nX: y\",\"refresh_token\":\"r\"}", PAIL_DAMAGED},
        {200, "{\"token_type\":\"Bearer\",\"access_token\":\"a b\",\"refresh_token\":\"r\"}", PAIL_DAMAGED},
        {200, "{\"token_type\":\"Bearer\",\"access_token\":\"a\",\"refresh_token\":\"r\\n\"}", PAIL_DAMAGED},
        {0, "", PAIL_OFFLINE},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        tell(f, table[i].status, table[i].body);
        int r = exchange(f);
        if (r != table[i].expected)
            fail_msg("row %zu: %d %s", i, r, f->fault.text);
        assert_null(f->got.access);
        assert_string_not_equal(f->fault.text, "");
    }
}

static void a_refresh_rotates_or_keeps(void **state) {
    struct fixture *f = *state;
    int64_t retry;
    tell(f, 200, "{\"token_type\":\"Bearer\",\"access_token\":\"a2\",\"refresh_token\":\"r2\",\"expires_in\":60}");
    assert_int_equal(refresh(f, &retry), 0);
    assert_string_equal(f->body, "grant_type=refresh_token&client_id=pail&refresh_token=r1");
    assert_string_equal(f->got.access, "a2");
    assert_string_equal(f->got.refresh, "r2");
    tell(f, 200, "{\"token_type\":\"Bearer\",\"access_token\":\"a3\",\"expires_in\":60}");
    assert_int_equal(refresh(f, &retry), 0);
    assert_string_equal(f->got.refresh, "r1");
}

static void only_invalid_grant_ends_the_login(void **state) {
    struct fixture *f = *state;
    static const struct {
        int status;
        const char *body;
        int expected;
    } table[] = {
        {400, "{\"error\":\"invalid_grant\"}", PAIL_LOGIN_REQUIRED},
        {403, "{\"error\":\"invalid_grant\",\"error_description\":\"Unknown or invalid refresh token.\"}",
         PAIL_LOGIN_REQUIRED},
        {400, "{\"error\":\"invalid_request\"}", PAIL_OFFLINE},
        {401, "{\"error\":\"invalid_client\"}", PAIL_OFFLINE},
        {403, "denied by a proxy", PAIL_OFFLINE},
        {404, "{}", PAIL_OFFLINE},
        {500, "{\"error\":\"invalid_grant\"}", PAIL_OFFLINE},
        {429, "{\"error\":\"too_many\"}", PAIL_OFFLINE},
        {200, "{\"error\":\"invalid_grant\"}", PAIL_OFFLINE},
        {200, "<html>Welcome to the hotel's network", PAIL_OFFLINE},
        {302, "", PAIL_OFFLINE},
        {0, "", PAIL_OFFLINE},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int64_t retry;
        tell(f, table[i].status, table[i].body);
        int r = refresh(f, &retry);
        if (r != table[i].expected)
            fail_msg("row %zu: %d %s", i, r, f->fault.text);
        assert_int_equal(retry, -1);
    }
    int64_t retry;
    tell(f, 429, "{}");
    strcpy(f->reply.headers, "Retry-After: 7\r\n");
    assert_int_equal(refresh(f, &retry), PAIL_OFFLINE);
    assert_int_equal(retry, 7);
}

static void an_issuers_words_cannot_drive_the_terminal(void **state) {
    struct fixture *f = *state;
    tell(f, 400, "{\"error\":\"invalid_grant\",\"error_description\":\"\\u001b[31mred\\u0007\"}");
    assert_int_equal(exchange(f), PAIL_DENIED);
    assert_null(strchr(f->fault.text, 0x1b));
    assert_null(strchr(f->fault.text, 7));
    assert_non_null(strstr(f->fault.text, "red"));
}

static void a_life_that_makes_no_sense_is_short(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *life;
        int64_t expected;
    } table[] = {{"0", 300}, {"-5", 300}, {"\"60\"", 300}, {"null", 300}, {"60", 60}, {"9007199254740991", 30 * 86400}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"token_type\":\"Bearer\",\"access_token\":\"a\",\"refresh_token\":\"r\",\"expires_in\":%s}",
                 table[i].life);
        tell(f, 200, body);
        assert_int_equal(exchange(f), 0);
        assert_int_equal(f->got.life_s, table[i].expected);
    }
}

static void a_token_is_revoked(void **state) {
    struct fixture *f = *state;
    tell(f, 200, "");
    assert_int_equal(token_revoke(f->fetch, http_stub_url(f->stub), "pail", "r1", &f->fault), 0);
    assert_string_equal(f->body, "client_id=pail&token=r1&token_type_hint=refresh_token");
    tell(f, 400, "{\"error\":\"unsupported_token_type\"}");
    assert_int_equal(token_revoke(f->fetch, http_stub_url(f->stub), "pail", "r1", &f->fault), PAIL_DENIED);
}

static void the_vaults_form_can_be_read_again(void **state) {
    struct fixture *f = *state;
    tell(f, 200,
         "{\"token_type\":\"Bearer\",\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"id_token\":\"i\","
         "\"expires_in\":100}");
    assert_int_equal(exchange(f), 0);
    AUTO_SECRET char *text = token_set_print(&f->got);
    CLEANUP(token_set_finish) struct token_set again = {0};
    assert_int_equal(token_set_parse(text, &again), 0);
    assert_string_equal(again.access, "a1");
    assert_string_equal(again.refresh, "r1");
    assert_null(again.id);
    assert_true(token_set_is_young(&again));
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "x",
                                      "{\"version\":1}",
                                      "{\"version\":2,\"refresh_token\":\"r\"}",
                                      "{\"version\":1,\"refresh_token\":5}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct token_set none;
        assert_int_equal(token_set_parse(bad[i], &none), -EBADMSG);
    }
}

static void age_counts_from_this_boot_only(void **state) {
    struct fixture *f = *state;
    tell(f, 200, "{\"token_type\":\"Bearer\",\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"expires_in\":100}");
    assert_int_equal(exchange(f), 0);
    int64_t now = clock_boottime_s();
    f->got.obtained_s = now - 79;
    assert_true(token_set_is_young(&f->got));
    f->got.obtained_s = now - 81;
    assert_false(token_set_is_young(&f->got));
    assert_in_range(token_set_left_s(&f->got), 18, 19);
    f->got.obtained_s = now - 100;
    assert_true(token_set_left_s(&f->got) <= 0);
    f->got.obtained_s = now + 5; /* not possible in this boot */
    assert_true(token_set_left_s(&f->got) <= 0);
    f->got.obtained_s = now;
    f->got.boot[0] = f->got.boot[0] == 'a' ? 'b' : 'a';
    assert_true(token_set_left_s(&f->got) <= 0);
    assert_false(token_set_is_young(&f->got));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_code_becomes_tokens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_to_a_code_that_help_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refresh_rotates_or_keeps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_invalid_grant_ends_the_login, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_issuers_words_cannot_drive_the_terminal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_life_that_makes_no_sense_is_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_is_revoked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_vaults_form_can_be_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(age_counts_from_this_boot_only, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

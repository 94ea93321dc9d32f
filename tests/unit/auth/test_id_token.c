/* Tests of auth/id_token.c: every claim, wrong. */
#include "auth/id_token.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "signer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1800000000 };

struct fixture {
    struct signer *signer, *stranger;
    struct jwks *keys;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    f->signer = signer_create();
    f->stranger = signer_create();
    AUTO_JSON struct json *json = NULL;
    struct fault fault;
    *state = f;
    int r = json_parse(&json, signer_keys(f->signer), strlen(signer_keys(f->signer)));
    return r ? r : jwks_parse(&f->keys, json, &fault);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    signer_destroy(f->signer);
    signer_destroy(f->stranger);
    jwks_destroy(f->keys);
    free(f);
    return 0;
}

static const struct id_token_expected expected = {
    .issuer = "https://t.auth0.com/", .client_id = "pail", .nonce = "n-1", .now_s = NOW};

static const char good[] = "{\"iss\":\"https://t.auth0.com/\",\"aud\":\"pail\",\"sub\":\"auth0|7\",\"nonce\":\"n-1\","
                           "\"exp\":1800000300,\"iat\":1799999990,\"email\":\"ann@example.com\"}";

static char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    assert_non_null(at);
    return text_format("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static int check(const struct fixture *f, const struct signer *signer, const char *header, const char *claims,
                 struct id_token *out, struct fault *fault) {
    AUTO_FREE char *token = signer_sign(signer, header, claims);
    return id_token_check(out, token, f->keys, &expected, fault);
}

static void a_good_one_says_who(void **state) {
    struct fixture *f = *state;
    struct fault fault;
    CLEANUP(id_token_finish) struct id_token got = {0};
    assert_int_equal(check(f, f->signer, NULL, good, &got, &fault), 0);
    assert_string_equal(got.subject, "auth0|7");
    assert_string_equal(got.email, "ann@example.com");
}

static void these_variants_are_good_too(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *from, *to;
    } table[] = {
        {"\"aud\":\"pail\"", "\"aud\":[\"pail\"]"},
        {"\"aud\":\"pail\"", "\"aud\":[\"other\",\"pail\"],\"azp\":\"pail\""},
        {"\"exp\":1800000300", "\"exp\":1799999900"}, /* within the leeway */
        {"\"iat\":1799999990", "\"iat\":1800000200"},
        {",\"email\":\"ann@example.com\"", ""},
        {"\"email\":\"ann@example.com\"", "\"email\":null"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fault fault = {{0}};
        struct id_token got;
        AUTO_FREE char *claims = replaced(good, table[i].from, table[i].to);
        int r = check(f, f->signer, NULL, claims, &got, &fault);
        if (r)
            fail_msg("row %zu: %s", i, fault.text);
        id_token_finish(&got);
    }
}

static void anything_wrong_is_refused(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *from, *to, *says;
    } table[] = {
        {"https://t.auth0.com/", "https://t.auth0.com", "another issuer"},
        {"https://t.auth0.com/", "https://evil.test/", "another issuer"},
        {"\"iss\"", "\"iss2\"", "another issuer"},
        {"\"aud\":\"pail\"", "\"aud\":\"other\"", "another application"},
        {"\"aud\":\"pail\"", "\"aud\":[\"other\"]", "another application"},
        {"\"aud\":\"pail\"", "\"aud\":{\"x\":\"pail\"}", "another application"},
        {"\"aud\":\"pail\",", "", "another application"},
        {"\"aud\":\"pail\"", "\"aud\":[\"other\",\"pail\"]", "another application"}, /* several, without azp */
        {"\"aud\":\"pail\"", "\"aud\":\"pail\",\"azp\":\"other\"", "another application"},
        {"\"aud\":\"pail\"", "\"aud\":\"pail\",\"azp\":7", "another application"},
        {"n-1", "n-2", "another login"},
        {"n-1", "n-11", "another login"},
        {"\"nonce\":\"n-1\",", "", "another login"},
        {"\"exp\":1800000300", "\"exp\":1799990000", "clock"},
        {"\"exp\":1800000300,", "", "when it"},
        {"\"exp\":1800000300", "\"exp\":\"1800000300\"", "when it"},
        {"\"iat\":1799999990", "\"iat\":1800003600", "clock"},
        {"\"iat\":1799999990,", "", "when it"},
        {"\"sub\":\"auth0|7\",", "", "who logged in"},
        {"auth0|7", "", "who logged in"},
        {"\"sub\":\"auth0|7\"", "\"sub\":7", "who logged in"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fault fault = {{0}};
        struct id_token got;
        AUTO_FREE char *claims = replaced(good, table[i].from, table[i].to);
        int r = check(f, f->signer, NULL, claims, &got, &fault);
        if (r != PAIL_DENIED || !strstr(fault.text, table[i].says))
            fail_msg("row %zu: %d %s", i, r, fault.text);
        assert_null(got.subject);
    }
}

static void a_clock_that_is_wrong_is_named(void **state) {
    struct fixture *f = *state;
    struct fault fault = {{0}};
    struct id_token got;
    AUTO_FREE char *later = replaced(good, "\"iat\":1799999990", "\"iat\":1800003600");
    assert_int_equal(check(f, f->signer, NULL, later, &got, &fault), PAIL_DENIED);
    assert_non_null(strstr(fault.text, "60 minutes behind"));
    AUTO_FREE char *earlier =
        replaced(good, "\"exp\":1800000300,\"iat\":1799999990", "\"exp\":1799996700,\"iat\":1799996400");
    assert_int_equal(check(f, f->signer, NULL, earlier, &got, &fault), PAIL_DENIED);
    assert_non_null(strstr(fault.text, "60 minutes ahead"));
}

static void a_signature_of_somebody_else_is_refused(void **state) {
    struct fixture *f = *state;
    struct fault fault = {{0}};
    struct id_token got;
    assert_int_equal(check(f, f->stranger, NULL, good, &got, &fault), PAIL_DENIED);
    assert_non_null(strstr(fault.text, "signature"));
    assert_int_equal(check(f, f->signer, "{\"alg\":\"RS256\",\"kid\":\"other\"}", good, &got, &fault), PAIL_DENIED);
    assert_int_equal(check(f, f->signer, "{\"alg\":\"none\"}", good, &got, &fault), PAIL_DENIED);
    assert_int_equal(check(f, f->signer, "{\"alg\":\"HS256\",\"kid\":\"k1\"}", good, &got, &fault), PAIL_DENIED);
    static const char *const broken[] = {"", "a", "a.b", "a.b.c", "..", "a.b.c.d", "eyJhbGciOiJub25lIn0.e30."};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_int_equal(id_token_check(&got, broken[i], f->keys, &expected, &fault), PAIL_DENIED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one_says_who),
        cmocka_unit_test(these_variants_are_good_too),
        cmocka_unit_test(anything_wrong_is_refused),
        cmocka_unit_test(a_clock_that_is_wrong_is_named),
        cmocka_unit_test(a_signature_of_somebody_else_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

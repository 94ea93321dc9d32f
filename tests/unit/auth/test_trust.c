/* Tests of auth/trust.c. */
#include "auth/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_token_goes_only_where_its_audience_says(void **state) {
    (void)state;
    static const struct {
        const char *server, *issuer, *audience, *allowed;
        int expected;
    } table[] = {
        {"https://drive.example.com", "https://t.auth0.com/", "https://drive.example.com", NULL, 0},
        {"https://drive.example.com", "https://t.auth0.com/", "https://DRIVE.example.com:443/api", NULL, 0},
        {"https://drive.example.com/pail", "https://t.auth0.com/", "https://drive.example.com/other", NULL, 0},
        {"https://drive.example.com", "https://t.auth0.com/", "https://bank.example.com", NULL, PAIL_DENIED},
        {"https://drive.example.com", "https://t.auth0.com/", "https://drive.example.com:8443", NULL, PAIL_DENIED},
        {"https://drive.example.com", "https://t.auth0.com/", "http://drive.example.com", NULL, PAIL_DENIED},
        {"https://drive.example.com", "https://t.auth0.com/", "https://drive.example.com.evil.test", NULL, PAIL_DENIED},
        {"https://drive.example.com", "https://t.auth0.com/", "urn:pail", NULL, PAIL_DENIED},
        {"https://drive.example.com", "https://t.auth0.com/", "", NULL, PAIL_DENIED},
        {"https://drive.example.com", "https://t.auth0.com/", "urn:pail", "urn:pail", 0},
        {"https://drive.example.com", "https://t.auth0.com/", "urn:pail", "urn:other", PAIL_DENIED},
        {"https://drive.example.com", "http://127.0.0.1:4000/", "urn:pail", NULL, PAIL_DENIED},
        {"http://127.0.0.1:4000", "https://t.auth0.com/", "urn:pail", NULL, PAIL_DENIED},
        {"http://127.0.0.1:4000", "https://t.auth0.com/", "http://127.0.0.1:4000", NULL, PAIL_DENIED},
        {"http://127.0.0.1:4000", "http://127.0.0.1:4001/", "urn:pail", NULL, 0},
        {"http://127.0.0.1:4000", "http://127.0.0.1.evil.test/", "urn:pail", NULL, PAIL_DENIED},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct fault fault = {{0}};
        int r = trust_audience(table[i].server, table[i].issuer, table[i].audience, table[i].allowed, &fault);
        if (r != table[i].expected)
            fail_msg("row %zu: %d", i, r);
        if (r)
            assert_non_null(strstr(fault.text, "token meant for"));
    }
}

static void another_issuer_must_be_confirmed(void **state) {
    (void)state;
    struct fault fault = {{0}};
    assert_int_equal(trust_issuer("https://d.example.com", NULL, "https://a/", &fault), 0);
    assert_int_equal(trust_issuer("https://d.example.com", "https://a/", "https://a/", &fault), 0);
    assert_int_equal(trust_issuer("https://d.example.com", "https://a/", "https://b/", &fault), PAIL_DENIED);
    assert_non_null(strstr(fault.text, "https://b/"));
    assert_int_equal(trust_issuer("https://d.example.com", "https://a/", "https://a", &fault), PAIL_DENIED);
    assert_int_equal(trust_issuer("https://d.example.com", "http://127.0.0.1:1/", "http://127.0.0.1:2/", &fault),
                     PAIL_DENIED);
    assert_int_equal(trust_issuer("http://127.0.0.1:9", "http://127.0.0.1:1/", "http://127.0.0.1:2/", &fault), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_goes_only_where_its_audience_says),
        cmocka_unit_test(another_issuer_must_be_confirmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

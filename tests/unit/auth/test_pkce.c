/* Tests of auth/pkce.c. */
#include "auth/pkce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* RFC 7636, appendix B. */
static void the_published_example_comes_out(void **state) {
    (void)state;
    char challenge[PKCE_TEXT];
    assert_int_equal(pkce_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", challenge), 0);
    assert_string_equal(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

static void everything_is_fresh_each_time(void **state) {
    (void)state;
    struct pkce a, b;
    assert_int_equal(pkce_make(&a), 0);
    assert_int_equal(pkce_make(&b), 0);
    const char *texts[] = {a.verifier, a.challenge, a.state, a.nonce, b.verifier, b.challenge, b.state, b.nonce};
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(strlen(texts[i]), 43);
        assert_int_equal(strspn(texts[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(texts[i], texts[j]);
    }
    char challenge[PKCE_TEXT];
    assert_int_equal(pkce_challenge(a.verifier, challenge), 0);
    assert_string_equal(challenge, a.challenge);
}

static void wiping_leaves_nothing(void **state) {
    (void)state;
    struct pkce pkce;
    static const struct pkce zero;
    assert_int_equal(pkce_make(&pkce), 0);
    pkce_wipe(&pkce);
    assert_memory_equal(&pkce, &zero, sizeof pkce);
}

static void hashes_are_cut_as_asked(void **state) {
    (void)state;
    char hex[65];
    assert_int_equal(pkce_hash_hex("abc", 3, hex, 12), 0);
    assert_string_equal(hex, "ba7816bf8f01");
    assert_int_equal(pkce_hash_hex("", 0, hex, 64), 0);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_example_comes_out),
        cmocka_unit_test(everything_is_fresh_each_time),
        cmocka_unit_test(wiping_leaves_nothing),
        cmocka_unit_test(hashes_are_cut_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

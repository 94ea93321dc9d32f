/* Tests of auth/jwt: the compact form, the allow-list of algorithms, signatures. */
#include "auth/jwt.h"

#include "auth/jwks.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <string.h>

#define RS256 "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k\"}"
#define ES256 "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k\"}"

static int parse(const char *token) {
    CLEANUP(jwt_finish) struct jwt jwt = {0};
    struct fault fault = {0};
    int result = jwt_parse(&jwt, token, strlen(token), &fault);
    assert_int_equal(result != 0, fault.text[0] != '\0');
    return result;
}

static void a_token_is_taken_apart(void **state) {
    (void)state;
    EVP_PKEY *key = forge_rsa(2048);
    AUTO_FREE char *token = forge_token(key, RS256, "{\"sub\":\"ann\"}");
    CLEANUP(jwt_finish) struct jwt jwt = {0};
    assert_int_equal(jwt_parse(&jwt, token, strlen(token), NULL), 0);
    assert_int_equal(jwt.algorithm, JWT_RS256);
    assert_string_equal(jwt.key_id, "k");
    assert_string_equal(json_get_text(jwt.claims, "sub"), "ann");
    assert_int_equal(jwt.signature_size, 256);
    assert_ptr_equal(jwt.signed_part, token);
    assert_int_equal(jwt.signed_size, strrchr(token, '.') - token);
    EVP_PKEY_free(key);
}

static void what_is_not_three_pieces_of_base64url_is_malformed(void **state) {
    (void)state;
    static const char *const tokens[] = {
        "",
        ".",
        "..",
        "a.b.c",
        "opaque-token-of-another-kind",
        "e30.e30",
        "e30.e30.e30.e30",
        "eyJhbGciOiJSUzI1NiJ9.e30=.AAAA",               /* padding */
        "eyJhbGciOiJSUzI1NiJ9.e31.AAAA",                /* loose last bits */
        "eyJhbGciOiJSUzI1NiJ9.e3 0.AAAA",               /* white space */
        "eyJhbGciOiJSUzI1NiJ9.W10.AAAA",                /* an array */
        "eyJhbGciOiJSUzI1NiJ9.e30.",                    /* no signature */
        "eyJhbGciOiJSUzI1NiJ9.e30.A+//",                /* base64, not base64url */
        "eyJhbGciOiJSUzI1NiIsImtpZCI6MX0.e30.AAAA",     /* kid is a number */
        "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxLCJhIjoyfQ.AAAA", /* a member twice */
    };
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        assert_int_equal(parse(tokens[i]), JWT_MALFORMED);
}

static void deep_and_large_ones_are_malformed(void **state) {
    (void)state;
    char deep[400] = "{\"a\":";
    for (size_t i = 0; i < 100; i++)
        strcat(deep, "[");
    for (size_t i = 0; i < 100; i++)
        strcat(deep, "]");
    strcat(deep, "}");
    AUTO_FREE char *start = forge_unsigned(RS256, deep);
    AUTO_FREE char *token = text_format("%sAAAA", start);
    assert_int_equal(parse(token), JWT_MALFORMED);
    AUTO_FREE char *large = malloc((10u << 20) + 1);
    assert_non_null(large);
    memset(large, 'A', 10u << 20);
    large[10u << 20] = '\0';
    large[10] = large[1 << 20] = '.';
    assert_int_equal(parse(large), JWT_MALFORMED);
}

static void only_two_algorithms_are_allowed(void **state) {
    (void)state;
    static const char *const names[] = {"none",  "None",  "NONE",  "HS256", "HS512", "RS384",  "RS512",
                                        "PS256", "ES384", "ES512", "EdDSA", "rs256", "RS256 ", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        AUTO_FREE char *header = text_format("{\"alg\":\"%s\",\"kid\":\"k\"}", names[i]);
        AUTO_FREE char *start = forge_unsigned(header, "{}");
        AUTO_FREE char *token = text_format("%sAAAA", start);
        assert_int_equal(parse(token), JWT_FORBIDDEN);
    }
    AUTO_FREE char *missing = forge_unsigned("{\"kid\":\"k\"}", "{}");
    AUTO_FREE char *token = text_format("%sAAAA", missing);
    assert_int_equal(parse(token), JWT_FORBIDDEN);
    AUTO_FREE char *critical = forge_unsigned("{\"alg\":\"RS256\",\"crit\":[\"b64\"],\"b64\":false}", "{}");
    AUTO_FREE char *other = text_format("%sAAAA", critical);
    assert_int_equal(parse(other), JWT_FORBIDDEN);
}

/* Parses and checks; the signature's last byte is changed when spoil. */
static int check(const char *token, const struct jwks_key *key, bool spoil) {
    CLEANUP(jwt_finish) struct jwt jwt = {0};
    assert_int_equal(jwt_parse(&jwt, token, strlen(token), NULL), 0);
    if (spoil)
        jwt.signature[jwt.signature_size - 1] ^= 1;
    return jwt_check(&jwt, key);
}

static void rs256_signatures(void **state) {
    (void)state;
    EVP_PKEY *mine = forge_rsa(2048), *other = forge_rsa(2048);
    struct jwks_key key = {.algorithm = JWT_RS256, .public = mine}, wrong = {.algorithm = JWT_RS256, .public = other};
    AUTO_FREE char *token = forge_token(mine, RS256, "{\"sub\":\"ann\"}");
    assert_int_equal(check(token, &key, false), 0);
    assert_int_equal(check(token, &key, true), JWT_FORGED);
    assert_int_equal(check(token, &wrong, false), JWT_FORGED);
    token[strlen(token) - 20] = '\0'; /* cut: 20 characters of base64url are 15 bytes; what is left is base64url too */
    CLEANUP(jwt_finish) struct jwt jwt = {0};
    if (!jwt_parse(&jwt, token, strlen(token), NULL))
        assert_int_equal(jwt_check(&jwt, &key), JWT_FORGED);
    EVP_PKEY_free(mine);
    EVP_PKEY_free(other);
}

static void the_key_says_which_algorithm(void **state) {
    (void)state;
    EVP_PKEY *rsa = forge_rsa(2048), *ec = forge_p256();
    struct jwks_key key = {.algorithm = JWT_ES256, .public = ec};
    AUTO_FREE char *token = forge_token(rsa, RS256, "{}");
    assert_int_equal(check(token, &key, false), JWT_FORGED);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

static char *with_signature(const unsigned char *bytes, size_t size) {
    AUTO_FREE char *start = forge_unsigned(ES256, "{}");
    AUTO_FREE char *signature = text_base64url(bytes, size);
    return text_format("%s%s", start, signature);
}

static void es256_signatures_are_raw(void **state) {
    (void)state;
    EVP_PKEY *ec = forge_p256();
    struct jwks_key key = {.algorithm = JWT_ES256, .public = ec};
    AUTO_FREE char *start = forge_unsigned(ES256, "{}");
    start[strlen(start) - 1] = '\0';
    size_t size = 0, der_size = 0;
    AUTO_FREE unsigned char *raw = forge_signature(ec, start, false, &size);
    AUTO_FREE unsigned char *der = forge_signature(ec, start, true, &der_size);
    AUTO_FREE char *good = with_signature(raw, 64), *as_der = with_signature(der, der_size);
    AUTO_FREE char *cut = with_signature(raw, 63);
    assert_int_equal(check(good, &key, false), 0);
    assert_int_equal(check(good, &key, true), JWT_FORGED);
    assert_int_equal(check(as_der, &key, false), JWT_FORGED);
    assert_int_equal(check(cut, &key, false), JWT_FORGED);
    unsigned char zero[64];
    memcpy(zero, raw, 64);
    memset(zero, 0, 32);
    AUTO_FREE char *r_zero = with_signature(zero, 64);
    memcpy(zero, raw, 64);
    memset(zero + 32, 0, 32);
    AUTO_FREE char *s_zero = with_signature(zero, 64);
    assert_int_equal(check(r_zero, &key, false), JWT_FORGED);
    assert_int_equal(check(s_zero, &key, false), JWT_FORGED);
    EVP_PKEY_free(ec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_taken_apart),
        cmocka_unit_test(what_is_not_three_pieces_of_base64url_is_malformed),
        cmocka_unit_test(deep_and_large_ones_are_malformed),
        cmocka_unit_test(only_two_algorithms_are_allowed),
        cmocka_unit_test(rs256_signatures),
        cmocka_unit_test(the_key_says_which_algorithm),
        cmocka_unit_test(es256_signatures_are_raw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

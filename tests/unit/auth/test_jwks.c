/* Tests of auth/jwks: which keys of a set are used, and which of them a token gets. */
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

static int parse(const char *text, struct jwks **out) {
    AUTO_JSON struct json *document = NULL;
    struct fault fault = {0};
    assert_int_equal(json_parse(&document, text, strlen(text)), 0);
    int result = jwks_parse(out, document, &fault);
    assert_int_equal(result != 0, fault.text[0] != '\0');
    return result;
}

/* How many keys of a set of this one are used. */
static size_t usable(const char *jwk) {
    AUTO_FREE char *text = text_format("{\"keys\":[%s]}", jwk);
    CLEANUP(jwks_destroy_p) struct jwks *set = NULL;
    if (parse(text, &set))
        return 0;
    return set->count;
}

static size_t usable_rsa(EVP_PKEY *key, const char *more) {
    AUTO_FREE char *jwk = forge_jwk(key, "k", more);
    return usable(jwk);
}

static void keys_for_other_things_are_passed_over(void **state) {
    (void)state;
    EVP_PKEY *rsa = forge_rsa(2048), *ec = forge_p256();
    assert_int_equal(usable_rsa(rsa, ""), 1);
    assert_int_equal(usable_rsa(ec, ""), 1);
    assert_int_equal(usable_rsa(rsa, ",\"use\":\"sig\",\"alg\":\"RS256\""), 1);
    assert_int_equal(usable_rsa(ec, ",\"use\":\"sig\",\"alg\":\"ES256\",\"key_ops\":[\"verify\"]"), 1);
    assert_int_equal(usable_rsa(rsa, ",\"use\":\"enc\""), 0);
    assert_int_equal(usable_rsa(rsa, ",\"alg\":\"RS512\""), 0);
    assert_int_equal(usable_rsa(rsa, ",\"alg\":\"ES256\""), 0);
    assert_int_equal(usable_rsa(ec, ",\"alg\":\"RS256\""), 0);
    assert_int_equal(usable_rsa(rsa, ",\"key_ops\":[\"encrypt\"]"), 0);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

static void weak_and_broken_keys_are_passed_over(void **state) {
    (void)state;
    EVP_PKEY *weak = forge_rsa(512), *short_one = forge_rsa(1024);
    assert_int_equal(usable_rsa(weak, ""), 0);
    assert_int_equal(usable_rsa(short_one, ""), 0);
    assert_int_equal(usable("{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"AAAA\"}"), 0);
    assert_int_equal(usable("{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\"}"), 0);
    assert_int_equal(usable("{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}"), 0);
    /* not on the curve */
    assert_int_equal(usable("{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"P-256\","
                            "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
                            "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}"),
                     0);
    EVP_PKEY_free(weak);
    EVP_PKEY_free(short_one);
}

static void what_is_no_set_is_damaged(void **state) {
    (void)state;
    static const char *const texts[] = {"{}", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[1,\"a\",null]}", "[]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CLEANUP(jwks_destroy_p) struct jwks *set = NULL;
        assert_int_equal(parse(texts[i], &set), PAIL_DAMAGED);
    }
}

static void too_many_keys_are_damaged(void **state) {
    (void)state;
    struct json *object = json_object(), *list = json_array();
    for (unsigned i = 0; i <= JWKS_MAX_KEYS; i++)
        json_push(list, json_object());
    json_add(object, "keys", list);
    CLEANUP(jwks_destroy_p) struct jwks *set = NULL;
    assert_int_equal(jwks_parse(&set, object, NULL), PAIL_DAMAGED);
    json_destroy(object);
}

static void a_token_gets_the_key_of_its_name_and_algorithm(void **state) {
    (void)state;
    EVP_PKEY *rsa = forge_rsa(2048), *ec = forge_p256(), *second = forge_rsa(2048);
    AUTO_FREE char *a = forge_jwk(rsa, "same", ""), *b = forge_jwk(ec, "same", ""), *c = forge_jwk(second, "other", "");
    AUTO_FREE char *text = text_format("{\"keys\":[%s,%s,%s]}", a, b, c);
    CLEANUP(jwks_destroy_p) struct jwks *set = NULL;
    assert_int_equal(parse(text, &set), 0);
    assert_int_equal(set->count, 3);
    struct jwt jwt = {.algorithm = JWT_RS256, .key_id = "same"};
    assert_ptr_equal(jwks_find(set, &jwt), &set->keys[0]);
    jwt.algorithm = JWT_ES256;
    assert_ptr_equal(jwks_find(set, &jwt), &set->keys[1]);
    jwt.key_id = "other";
    assert_null(jwks_find(set, &jwt));
    assert_true(jwks_has(set, "other"));
    assert_false(jwks_has(set, "strange"));
    jwt.key_id = NULL; /* one ES256 key fits, two RS256 ones do not */
    assert_ptr_equal(jwks_find(set, &jwt), &set->keys[1]);
    jwt.algorithm = JWT_RS256;
    assert_null(jwks_find(set, &jwt));
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(second);
}

static void sets_are_compared_by_name_and_key(void **state) {
    (void)state;
    EVP_PKEY *one = forge_rsa(2048), *two = forge_rsa(2048);
    AUTO_FREE char *a = forge_jwk(one, "k", ""), *b = forge_jwk(two, "k", ""), *c = forge_jwk(one, "l", "");
    AUTO_FREE char *first = text_format("{\"keys\":[%s]}", a), *other = text_format("{\"keys\":[%s]}", b);
    AUTO_FREE char *renamed = text_format("{\"keys\":[%s]}", c), *both = text_format("{\"keys\":[%s,%s]}", a, b);
    CLEANUP(jwks_destroy_p) struct jwks *x = NULL, *same = NULL, *y = NULL, *z = NULL, *w = NULL;
    assert_int_equal(parse(first, &x) || parse(first, &same) || parse(other, &y) || parse(renamed, &z), 0);
    assert_int_equal(parse(both, &w), 0);
    assert_true(jwks_equal(x, same));
    assert_false(jwks_equal(x, y));
    assert_false(jwks_equal(x, z));
    assert_false(jwks_equal(x, w));
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_for_other_things_are_passed_over),
        cmocka_unit_test(weak_and_broken_keys_are_passed_over),
        cmocka_unit_test(what_is_no_set_is_damaged),
        cmocka_unit_test(too_many_keys_are_damaged),
        cmocka_unit_test(a_token_gets_the_key_of_its_name_and_algorithm),
        cmocka_unit_test(sets_are_compared_by_name_and_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

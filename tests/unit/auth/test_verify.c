/* Tests of auth/verify: claims and headers that are not good, a row for each; keys that come and go; the email. Tokens
 * that somebody forged are in test_verify_forged.c, keys while time passes in test_verify_keys.c. */
#include "auth/verify.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "verify_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static void a_good_token_says_who_it_is(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *token = token_with(scene, RS256, NULL, 0);
    CLEANUP(verify_claims_finish) struct verify_claims out = {0};
    assert_int_equal(verify_it(scene, token, &out), 0);
    assert_string_equal(out.subject, "auth0|ann");
    assert_string_equal(out.email, "Ann@Example.com");
    assert_true(out.email_verified);
    assert_true(out.expires_s > clock_realtime_s());
    assert_int_equal(out.generation, verify_generation(scene->verify));
    assert_true(verify_keys_age_s(scene->verify) >= 0);
}

static void es256_and_at_jwt_are_good_too(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *text = claims(scene, NULL, 0);
    AUTO_FREE char *token = forge_token(scene->ec, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"e1\"}", text);
    assert_int_equal(result_of(scene, token), 0);
    AUTO_FREE char *repeated = forge_token(scene->ec, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"r1\"}", text);
    assert_int_equal(result_of(scene, repeated), 0); /* kid stands twice, once for each type */
}

/* Rows: claims. */

static char seconds[8][24];

static const char *from_now(int slot, int64_t offset_s) {
    snprintf(seconds[slot], sizeof seconds[slot], "%lld", (long long)(clock_realtime_s() + offset_s));
    return seconds[slot];
}

static void claims_row_by_row(void **state) {
    struct scene *scene = *state;
    char no_slash[80], long_subject[300], longer_subject[5000];
    snprintf(no_slash, sizeof no_slash, "\"%.*s\"", (int)strlen(scene->issuer.url) - 1, scene->issuer.url);
    memset(long_subject, 'x', sizeof long_subject);
    memcpy(long_subject + 256, "\"", 2);
    long_subject[0] = '"';
    memset(longer_subject, 'x', sizeof longer_subject);
    memcpy(longer_subject + 4097, "\"", 2);
    longer_subject[0] = '"';
    const struct {
        const char *what;
        struct change changes[2];
        int result;
    } rows[] = {
        {"exp in the past, inside the leeway", {{"exp", from_now(0, -50)}}, 0},
        {"exp in the past, at the end of the leeway", {{"exp", from_now(1, -60)}}, VERIFY_REFUSED},
        {"exp in the past by an hour", {{"exp", from_now(6, -3600)}}, VERIFY_REFUSED},
        {"exp zero", {{"exp", "0"}}, VERIFY_REFUSED},
        {"exp missing", {{"exp", ""}}, VERIFY_REFUSED},
        {"exp as a string", {{"exp", "\"9999999999\""}}, VERIFY_REFUSED},
        {"exp infinite", {{"exp", "1e400"}}, VERIFY_REFUSED},
        {"exp beyond 2^53", {{"exp", "1e300"}}, VERIFY_REFUSED},
        {"exp negative", {{"exp", "-1"}}, VERIFY_REFUSED},
        {"exp null", {{"exp", "null"}}, VERIFY_REFUSED},
        {"exp with a fraction", {{"exp", "9999999999.5"}}, 0},
        {"nbf in the future, inside the leeway", {{"nbf", from_now(2, 50)}}, 0},
        {"nbf in the future", {{"nbf", from_now(3, 70)}}, VERIFY_REFUSED},
        {"nbf no number", {{"nbf", "true"}}, VERIFY_REFUSED},
        {"iat in the future, inside the leeway", {{"iat", from_now(4, 50)}}, 0},
        {"iat in the future", {{"iat", from_now(5, 70)}}, VERIFY_REFUSED},
        {"iat in the future by an hour", {{"iat", from_now(7, 3600)}}, VERIFY_REFUSED},
        {"iat as a string", {{"iat", "\"1\""}}, VERIFY_REFUSED},
        {"iat missing", {{"iat", ""}}, 0},
        {"aud missing", {{"aud", ""}}, VERIFY_REFUSED},
        {"aud another", {{"aud", "\"https://other.example.com\""}}, VERIFY_REFUSED},
        {"aud ours as a text", {{"aud", "\"" AUDIENCE "\""}}, 0},
        {"aud ours with a slash", {{"aud", "\"" AUDIENCE "/\""}}, VERIFY_REFUSED},
        {"aud an empty array", {{"aud", "[]"}}, VERIFY_REFUSED},
        {"aud an array of others", {{"aud", "[\"a\",1,null]"}}, VERIFY_REFUSED},
        {"aud an object", {{"aud", "{\"" AUDIENCE "\":\"" AUDIENCE "\"}"}}, VERIFY_REFUSED},
        {"iss without its slash", {{"iss", no_slash}}, VERIFY_REFUSED},
        {"iss another", {{"iss", "\"https://evil.example/\""}}, VERIFY_REFUSED},
        {"iss missing", {{"iss", ""}}, VERIFY_REFUSED},
        {"sub missing", {{"sub", ""}}, VERIFY_REFUSED},
        {"sub empty", {{"sub", "\"\""}}, VERIFY_REFUSED},
        {"sub a number", {{"sub", "7"}}, VERIFY_REFUSED},
        {"sub of 255 bytes", {{"sub", long_subject}}, 0},
        {"sub of 4 KiB", {{"sub", longer_subject}}, VERIFY_REFUSED},
        {"sub with a line end", {{"sub", "\"a\\nb\""}}, VERIFY_REFUSED},
        {"sub with NUL", {{"sub", "\"a\\u0000b\""}}, VERIFY_REFUSED},
        {"azp of a foreign client", {{"azp", "\"evil\""}}, VERIFY_REFUSED},
        {"azp missing", {{"azp", ""}}, VERIFY_REFUSED},
        {"azp of the other allowed client", {{"azp", "\"other-app\""}}, 0},
        {"client_id in its place", {{"azp", ""}, {"client_id", "\"pail\""}}, 0},
        {"client_id of a foreign client beside azp", {{"client_id", "\"evil\""}}, VERIFY_REFUSED},
        {"azp no text", {{"azp", "[\"pail\"]"}}, VERIFY_REFUSED},
        {"an ID token by its nonce", {{"nonce", "\"n\""}}, VERIFY_REFUSED},
        {"an ID token by its at_hash", {{"at_hash", "\"h\""}}, VERIFY_REFUSED},
        {"an ID token by its audience", {{"aud", "\"pail\""}}, VERIFY_REFUSED},
        {"an ID token by token_use", {{"token_use", "\"id\""}}, VERIFY_REFUSED},
        {"email not verified", {{EMAIL "_verified", "false"}}, VERIFY_UNVERIFIED},
        {"email verified missing", {{EMAIL "_verified", ""}}, VERIFY_UNVERIFIED},
        {"email verified as a text", {{EMAIL "_verified", "\"true\""}}, VERIFY_UNVERIFIED},
        {"email verified as a number", {{EMAIL "_verified", "1"}}, VERIFY_UNVERIFIED},
        {"email verified by the other claim's word",
         {{EMAIL "_verified", ""}, {"email_verified", "true"}},
         VERIFY_UNVERIFIED},
        {"email that is none", {{EMAIL, "\"ann\""}}, VERIFY_UNVERIFIED},
        {"email with a line end", {{EMAIL, "\"a@b\\nBcc: c@d\""}}, VERIFY_UNVERIFIED},
        {"email no text: like none", {{EMAIL, "7"}}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *token = token_with(scene, RS256, rows[i].changes, 2);
        int result = result_of(scene, token);
        if (result != rows[i].result)
            fail_msg("%s: %d instead of %d", rows[i].what, result, rows[i].result);
    }
}

static void headers_row_by_row(void **state) {
    struct scene *scene = *state;
    const struct {
        const char *what, *header;
        int result;
    } rows[] = {
        {"typ missing", "{\"alg\":\"RS256\",\"kid\":\"r1\"}", VERIFY_REFUSED},
        {"typ wrong", "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"id+jwt\"}", VERIFY_REFUSED},
        {"typ a logout token", "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"logout+jwt\"}", VERIFY_REFUSED},
        {"typ in full", "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"application/at+jwt\"}", 0},
        {"jku ignored", "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"JWT\",\"jku\":\"https://evil.example/k\"}", 0},
        {"x5u ignored", "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"JWT\",\"x5u\":\"https://evil.example/k\"}", 0},
        {"kid missing, and one key for RS256", "{\"alg\":\"RS256\",\"typ\":\"JWT\"}", 0},
        {"kid of a key of another type", "{\"alg\":\"RS256\",\"kid\":\"e1\",\"typ\":\"JWT\"}", VERIFY_REFUSED},
        {"alg RS512", "{\"alg\":\"RS512\",\"kid\":\"r1\",\"typ\":\"JWT\"}", VERIFY_REFUSED},
        {"alg PS256", "{\"alg\":\"PS256\",\"kid\":\"r1\",\"typ\":\"JWT\"}", VERIFY_REFUSED},
        {"critical extensions", "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"JWT\",\"crit\":[\"exp\"]}",
         VERIFY_REFUSED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *token = token_with(scene, rows[i].header, NULL, 0);
        int result = result_of(scene, token);
        if (result != rows[i].result)
            fail_msg("%s: %d instead of %d", rows[i].what, result, rows[i].result);
    }
    assert_int_equal(atomic_load(&scene->issuer.fetched), 1);
}

static void the_second_email_claim_counts_when_the_first_is_missing(void **state) {
    struct scene *scene = *state;
    const struct change changes[] = {
        {EMAIL, ""}, {EMAIL "_verified", ""}, {"email", "\"bob@example.com\""}, {"email_verified", "true"}};
    AUTO_FREE char *token = token_with(scene, RS256, changes, 4);
    CLEANUP(verify_claims_finish) struct verify_claims out = {0};
    assert_int_equal(verify_it(scene, token, &out), 0);
    assert_string_equal(out.email, "bob@example.com");
}

/* Keys that come and go. */

static void a_flood_of_strange_keys_makes_one_request(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *good = token_with(scene, RS256, NULL, 0);
    AUTO_FREE char *text = claims(scene, NULL, 0);
    AUTO_FREE char *strange =
        forge_token(scene->stranger, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"strange\"}", text);
    make_verify(scene, 1, 0);
    assert_int_equal(result_of(scene, good), 0);
    clock_sleep_ms(2100);
    unsigned before = atomic_load(&scene->issuer.fetched), unproven = 0;
    assert_int_equal(result_of(scene, strange), VERIFY_REFUSED); /* asked, and there is no such key */
    for (int i = 0; i < 1000; i++)
        unproven += result_of(scene, strange) == VERIFY_UNPROVEN;
    assert_in_range(atomic_load(&scene->issuer.fetched) - before, 1, 2); /* 2: when the second went over meanwhile */
    assert_in_range(unproven, 990, 1000);
    assert_int_equal(result_of(scene, good), 0);
}

static void a_new_key_is_found_at_its_first_token(void **state) {
    struct scene *scene = *state;
    make_verify(scene, 1, 0);
    assert_int_equal(verify_prepare(scene->verify, NULL), 0);
    uint64_t before = verify_generation(scene->verify);
    AUTO_FREE char *old = token_with(scene, RS256, NULL, 0);
    AUTO_FREE char *jwk = forge_jwk(scene->stranger, "r2", "");
    AUTO_FREE char *set = text_format("{\"keys\":[%s]}", jwk);
    publish(scene, set);
    clock_sleep_ms(2100);
    AUTO_FREE char *text = claims(scene, NULL, 0);
    AUTO_FREE char *fresh = forge_token(scene->stranger, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"r2\"}", text);
    assert_int_equal(result_of(scene, fresh), 0);
    assert_true(verify_generation(scene->verify) > before);
    assert_int_not_equal(result_of(scene, old), 0); /* withdrawn */
}

/* An issuer that names its new key as it named the old one. */
static void a_new_key_with_the_name_of_the_old_is_found(void **state) {
    struct scene *scene = *state;
    EVP_PKEY *const successors[] = {scene->stranger, scene->ec};
    static const char *const headers[] = {RS256, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"r1\"}"};
    for (size_t i = 0; i < 2; i++) {
        AUTO_FREE char *first = forge_jwk(scene->rsa, "r1", ""), *second = forge_jwk(successors[i], "r1", "");
        AUTO_FREE char *before = text_format("{\"keys\":[%s]}", first), *after = text_format("{\"keys\":[%s]}", second);
        publish(scene, before);
        make_verify(scene, 1, 0);
        AUTO_FREE char *old = token_with(scene, RS256, NULL, 0), *text = claims(scene, NULL, 0);
        AUTO_FREE char *fresh = forge_token(successors[i], headers[i], text);
        assert_int_equal(result_of(scene, old), 0);
        publish(scene, after);
        clock_sleep_ms(2100);
        assert_int_equal(result_of(scene, fresh), 0);
        assert_int_equal(result_of(scene, old), VERIFY_REFUSED);
    }
}

static void forgeries_under_a_known_name_make_one_request_and_stay_refused(void **state) {
    struct scene *scene = *state;
    AUTO_FREE char *good = token_with(scene, RS256, NULL, 0), *text = claims(scene, NULL, 0);
    AUTO_FREE char *forged = forge_token(scene->stranger, RS256, text);
    AUTO_FREE char *of_no_name = forge_token(scene->stranger, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}", text);
    assert_int_equal(result_of(scene, good), 0); /* fetches; the next may come after 30 s */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(result_of(scene, i % 2 ? forged : of_no_name), VERIFY_REFUSED);
    assert_int_equal(atomic_load(&scene->issuer.fetched), 1);
    make_verify(scene, 1, 0);
    assert_int_equal(result_of(scene, good), 0);
    clock_sleep_ms(2100);
    atomic_store(&scene->issuer.status, 500); /* what cannot be asked for is no reason to try again */
    for (int i = 0; i < 100; i++)
        assert_int_equal(result_of(scene, forged), VERIFY_REFUSED);
    atomic_store(&scene->issuer.status, 0);
    assert_int_equal(result_of(scene, good), 0);
}

static void a_withdrawn_key_is_refused_after_the_cache_time(void **state) {
    struct scene *scene = *state;
    make_verify(scene, 1, 2);
    AUTO_FREE char *old = token_with(scene, RS256, NULL, 0);
    assert_int_equal(result_of(scene, old), 0);
    AUTO_FREE char *jwk = forge_jwk(scene->stranger, "r2", "");
    AUTO_FREE char *set = text_format("{\"keys\":[%s]}", jwk);
    publish(scene, set);
    clock_sleep_ms(4200);
    assert_int_not_equal(result_of(scene, old), 0);
}

static void known_keys_go_on_while_the_issuer_is_down(void **state) {
    struct scene *scene = *state;
    make_verify(scene, 1, 1);
    AUTO_FREE char *good = token_with(scene, RS256, NULL, 0);
    assert_int_equal(result_of(scene, good), 0);
    atomic_store(&scene->issuer.status, 500);
    clock_sleep_ms(3200);
    assert_int_equal(result_of(scene, good), 0);
    AUTO_FREE char *text = claims(scene, NULL, 0);
    AUTO_FREE char *strange = forge_token(scene->stranger, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"x\"}", text);
    assert_int_equal(result_of(scene, strange), VERIFY_UNPROVEN);
}

static void without_any_keys_nothing_is_proven_until_they_come(void **state) {
    struct scene *scene = *state;
    atomic_store(&scene->issuer.status, 503);
    make_verify(scene, 0, 0);
    struct fault fault = {0};
    assert_int_equal(verify_prepare(scene->verify, &fault), PAIL_OFFLINE);
    assert_non_null(strstr(fault.text, "503"));
    assert_int_equal(verify_keys_age_s(scene->verify), -1);
    AUTO_FREE char *good = token_with(scene, RS256, NULL, 0);
    assert_int_equal(result_of(scene, good), VERIFY_UNPROVEN);
    atomic_store(&scene->issuer.status, 0);
    assert_int_equal(result_of(scene, good), 0);
}

static void a_discovery_document_of_somebody_else_is_damaged(void **state) {
    struct scene *scene = *state;
    atomic_store(&scene->issuer.named, (char *)(uintptr_t) "https://evil.example/");
    make_verify(scene, 0, 0);
    struct fault fault = {0};
    assert_int_equal(verify_prepare(scene->verify, &fault), PAIL_DAMAGED);
    assert_non_null(strstr(fault.text, "evil.example"));
}

/* /userinfo. */

static int ask_userinfo(struct scene *scene, const char *answer, struct verify_claims *out) {
    const struct change changes[] = {{EMAIL, ""}, {EMAIL "_verified", ""}};
    AUTO_FREE char *token = token_with(scene, RS256, changes, 2);
    struct fault fault = {0};
    verify_claims_finish(out);
    assert_int_equal(verify_it(scene, token, out), 0);
    assert_null(out->email);
    atomic_store(&scene->issuer.userinfo, (char *)(uintptr_t)answer);
    int result = verify_userinfo(scene->verify, token, out, &fault);
    assert_null(strstr(fault.text, token));
    return result;
}

static void userinfo_tells_the_email_of_the_same_person_only(void **state) {
    struct scene *scene = *state;
    CLEANUP(verify_claims_finish) struct verify_claims out = {0};
#define SUB "\"sub\":\"auth0|ann\""
    assert_int_equal(ask_userinfo(scene, "{" SUB ",\"email\":\"a@b.c\",\"email_verified\":true}", &out), 0);
    assert_string_equal(out.email, "a@b.c");
    assert_int_equal(ask_userinfo(scene, "{" SUB ",\"email\":\"a@b.c\",\"email_verified\":false}", &out),
                     VERIFY_UNVERIFIED);
    assert_int_equal(ask_userinfo(scene, "{" SUB ",\"email\":\"a@b.c\",\"email_verified\":\"true\"}", &out),
                     VERIFY_UNVERIFIED);
    assert_int_equal(ask_userinfo(scene, "{" SUB ",\"email\":\"a@b.c\"}", &out), VERIFY_UNVERIFIED);
    assert_int_equal(ask_userinfo(scene, "{" SUB "}", &out), VERIFY_UNVERIFIED);
    assert_int_equal(ask_userinfo(scene, "{\"sub\":\"eve\",\"email\":\"a@b.c\",\"email_verified\":true}", &out),
                     VERIFY_REFUSED);
    assert_int_equal(ask_userinfo(scene, "{\"email\":\"a@b.c\",\"email_verified\":true}", &out), VERIFY_REFUSED);
    assert_int_equal(ask_userinfo(scene, NULL, &out), VERIFY_REFUSED);
    assert_int_equal(ask_userinfo(scene, "no JSON", &out), VERIFY_UNVERIFIED);
    AUTO_FREE char *token = token_with(scene, RS256, NULL, 0);
    atomic_store(&scene->issuer.status, 429);
    assert_int_equal(verify_userinfo(scene->verify, token, &out, NULL), VERIFY_UNPROVEN);
}

static void an_issuer_over_plain_http_is_refused(void **state) {
    struct scene *scene = *state;
    struct verify_options options = {
        .issuer = "http://login.example.com/", .audience = AUDIENCE, .fetch = scene->fetch};
    struct verify *verify = NULL;
    struct fault fault = {0};
    assert_int_equal(verify_create(&verify, &options, &fault), -EINVAL);
    assert_non_null(strstr(fault.text, "https"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_good_token_says_who_it_is),
        TEST(es256_and_at_jwt_are_good_too),
        TEST(claims_row_by_row),
        TEST(headers_row_by_row),
        TEST(the_second_email_claim_counts_when_the_first_is_missing),
        TEST(a_flood_of_strange_keys_makes_one_request),
        TEST(a_new_key_is_found_at_its_first_token),
        TEST(a_new_key_with_the_name_of_the_old_is_found),
        TEST(forgeries_under_a_known_name_make_one_request_and_stay_refused),
        TEST(a_withdrawn_key_is_refused_after_the_cache_time),
        TEST(known_keys_go_on_while_the_issuer_is_down),
        TEST(without_any_keys_nothing_is_proven_until_they_come),
        TEST(a_discovery_document_of_somebody_else_is_damaged),
        TEST(userinfo_tells_the_email_of_the_same_person_only),
        TEST(an_issuer_over_plain_http_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

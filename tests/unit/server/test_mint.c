/* Tests of s3/mint and address, and of s3/server: role's policy, tokens, and profile: small parts without a network. */
#include "s3/mint.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "s3/address.h"
#include "s3/checksum.h"
#include "s3/server/profile.h"
#include "s3/server/role.h"
#include "s3/server/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const struct policy policy = {.bucket = "pail-b", .prefix = ""};
static char access_key[] = "AKIDEXAMPLE", secret_key[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
static char session_token[] = "token/with+signs=";

struct scene {
    struct sign_cache *signing;
    struct sign_credentials keys;
    struct mint mint;
};

static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    assert_int_equal(sign_cache_create(&scene->signing), 0);
    scene->keys = (struct sign_credentials){
        .access_key = access_key, .secret_key = secret_key, .region = "us-east-1", .service = "s3"};
    scene->mint = (struct mint){.endpoint = "https://s3.example.com",
                                .bucket = "pail-b",
                                .signing = scene->signing,
                                .keys = &scene->keys,
                                .life_s = 900,
                                .now_s = 1795000000};
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    sign_cache_destroy(scene->signing);
    free(scene);
    return 0;
}

/* The grant as the client reads it. */
static struct json *grant(const struct scene *scene, const char *text) {
    AUTO_JSON struct json *item = NULL;
    AUTO_BUFFER struct buffer out = {0};
    struct policy_plan plan;
    struct json *result = NULL;
    assert_int_equal(json_parse(&item, text, strlen(text)), 0);
    assert_int_equal(policy_plan(&policy, item, &plan, NULL), 0);
    assert_int_equal(mint_write(&scene->mint, &plan, &out), 0);
    policy_plan_finish(&plan);
    assert_int_equal(json_parse(&result, out.data, out.size), 0);
    return result;
}

static void a_grant_is_json_with_everything_to_send(void **state) {
    struct scene *scene = *state;
    AUTO_JSON struct json *put =
        grant(scene, "{\"op\":\"put\",\"key\":\"a b/\\u00fc\",\"size\":5,\"headers\":{"
                     "\"x-amz-meta-q\":\"say \\\"hi\\\" \\\\o/\",\"content-type\":\"text/plain\"}}");
    const char *url = json_get_text(put, "url");
    const struct json *headers = json_get(put, "headers");
    assert_string_equal(json_get_text(put, "method"), "PUT");
    assert_true(text_starts(url, "https://s3.example.com/pail-b/a%20b/%C3%BC?X-Amz-Algorithm=AWS4-HMAC-SHA256&"));
    assert_non_null(strstr(url, "X-Amz-Expires=900"));
    assert_non_null(strstr(url, "X-Amz-SignedHeaders=content-length%3Bhost%3Bx-amz-meta-q&"));
    assert_string_equal(json_get_text(headers, "content-length"), "5");
    assert_string_equal(json_get_text(headers, "x-amz-meta-q"), "say \"hi\" \\o/");
    assert_string_equal(json_get_text(headers, "content-type"), "text/plain");
    assert_int_equal(json_get_integer(put, "expires_in", 0), 900);
}

static void virtual_style_puts_the_bucket_into_the_host(void **state) {
    struct scene *scene = *state;
    scene->mint.virtual_style = true;
    AUTO_JSON struct json *get = grant(scene, "{\"op\":\"get\",\"key\":\"/k\"}");
    AUTO_JSON struct json *list = grant(scene, "{\"op\":\"list\",\"prefix\":\"\"}");
    assert_true(text_starts(json_get_text(get, "url"), "https://pail-b.s3.example.com//k?"));
    assert_true(text_starts(json_get_text(list, "url"), "https://pail-b.s3.example.com/?"));
}

static void the_life_is_the_shorter_of_the_two(void **state) {
    struct scene *scene = *state;
    scene->keys.session_token = session_token;
    scene->mint.keys_expire_s = scene->mint.now_s + 100;
    AUTO_JSON struct json *get = grant(scene, "{\"op\":\"get\",\"key\":\"k\"}");
    assert_int_equal(json_get_integer(get, "expires_in", 0), 100);
    assert_non_null(strstr(json_get_text(get, "url"), "X-Amz-Expires=100"));
    assert_non_null(strstr(json_get_text(get, "url"), "X-Amz-Security-Token=token%2Fwith%2Bsigns%3D"));
    scene->mint.keys_expire_s = scene->mint.now_s + 100000;
    AUTO_JSON struct json *later = grant(scene, "{\"op\":\"get\",\"key\":\"k\"}");
    assert_int_equal(json_get_integer(later, "expires_in", 0), 900);
    scene->mint.keys_expire_s = scene->mint.now_s - 1;
    AUTO_BUFFER struct buffer out = {0};
    struct policy_plan plan = {.method = "GET", .key = "k", .count = 1};
    assert_int_equal(mint_write(&scene->mint, &plan, &out), -ESTALE);
}

static void a_run_of_parts_has_a_url_for_each(void **state) {
    struct scene *scene = *state;
    AUTO_JSON struct json *parts = grant(
        scene, "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":9,\"count\":3,\"size\":100,\"last_size\":7}");
    const struct json *urls = json_get(parts, "urls");
    assert_int_equal(json_size(urls), 3);
    assert_non_null(strstr(json_text(json_at(urls, 0)), "partNumber=9&"));
    assert_non_null(strstr(json_text(json_at(urls, 2)), "partNumber=11&"));
    assert_string_equal(json_get_text(json_get(parts, "headers"), "content-length"), "100");
    assert_string_equal(json_get_text(json_get(parts, "last_headers"), "content-length"), "7");
    AUTO_JSON struct json *even =
        grant(scene, "{\"op\":\"part\",\"key\":\"k\",\"upload\":\"u\",\"first\":1,\"count\":1,\"size\":100}");
    assert_int_equal(json_size(json_get(even, "urls")), 1);
    assert_null(json_get(even, "last_headers"));
}

static void a_bound_body_is_signed_by_its_hash(void **state) {
    struct scene *scene = *state;
    scene->mint.life_s = 43200;
    scene->keys.session_token = session_token;
    scene->mint.keys_expire_s = scene->mint.now_s + 100000;
    AUTO_JSON struct json *many = grant(scene, "{\"op\":\"delete_many\",\"keys\":[{\"key\":\"a\\\"\\u00e4\"}]}");
    const struct json *headers = json_get(many, "headers");
    const char *body = json_get_text(many, "body");
    AUTO_FREE char *sha256 = NULL, *md5 = NULL;
    assert_int_equal(checksum_hex(CHECKSUM_SHA256, body, strlen(body), &sha256), 0);
    assert_int_equal(checksum_base64(CHECKSUM_MD5, body, strlen(body), &md5), 0);
    assert_string_equal(json_get_text(headers, "x-amz-content-sha256"), sha256);
    assert_string_equal(json_get_text(headers, "content-md5"), md5);
    assert_string_equal(json_get_text(headers, "x-amz-security-token"), session_token);
    assert_non_null(strstr(json_get_text(headers, "authorization"),
                           "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token"));
    assert_string_equal(json_get_text(many, "url"), "https://s3.example.com/pail-b?delete");
    assert_int_equal(json_get_integer(many, "expires_in", 0), 900);
    assert_non_null(strstr(body, "a&quot;\303\244"));
}

static void text_is_escaped_for_json(void **state) {
    (void)state;
    AUTO_BUFFER struct buffer out = {0};
    const char text[] = "a\"b\\c\n\t\001\303\244/";
    assert_int_equal(mint_write_text(&out, text, sizeof text - 1), 0);
    assert_string_equal(out.data, "\"a\\\"b\\\\c\\u000a\\u0009\\u0001\303\244/\"");
    buffer_clear(&out);
    assert_int_equal(mint_write_text(&out, "", 0), 0);
    assert_string_equal(out.data, "\"\"");
}

static void addresses_in_both_styles(void **state) {
    (void)state;
    static const struct {
        bool virtual_style;
        const char *bucket, *key, *host, *path;
    } rows[] = {
        {false, "b", "k", "http://h:1", "/b/k"},   {false, "b", NULL, "http://h:1", "/b"},
        {false, "b", "/k", "http://h:1", "/b//k"}, {false, NULL, NULL, "http://h:1", "/"},
        {true, "b", "k", "http://b.h:1", "/k"},    {true, "b", NULL, "http://b.h:1", "/"},
        {true, NULL, NULL, "http://h:1", "/"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct address address = {0};
        assert_int_equal(address_make("http://h:1", rows[i].virtual_style, rows[i].bucket, rows[i].key, &address), 0);
        assert_string_equal(address.scheme_host, rows[i].host);
        assert_string_equal(address.path, rows[i].path);
        address_finish(&address);
    }
}

static void a_session_policy_reaches_one_account(void **state) {
    (void)state;
    char bucket[64], prefix[101];
    memset(bucket, 'b', 63);
    bucket[63] = '\0';
    memset(prefix, 'p', 100);
    memcpy(prefix + 99, "/", 2);
    AUTO_FREE char *longest = role_policy(bucket, prefix), *whole = role_policy("b", ""),
                   *part = role_policy("b", "ann/");
    AUTO_JSON struct json *parsed = NULL;
    assert_true(strlen(longest) < 2048);
    assert_int_equal(json_parse(&parsed, longest, strlen(longest)), 0);
    assert_null(strstr(whole, "Condition"));
    assert_non_null(strstr(part, "\"Resource\":\"arn:aws:s3:::b/ann/*\""));
    assert_non_null(strstr(whole, "\"Resource\":\"arn:aws:s3:::b/*\""));
    assert_non_null(strstr(part, "\"s3:prefix\":\"ann/*\""));
    static const char *const never[] = {"DeleteObjectVersion", "Acl", "PutBucket", "CreateBucket", "s3:*", "Tagging"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_null(strstr(whole, never[i]));
    assert_null(role_policy("b", "x*/"));
    assert_null(role_policy("b\"", ""));
}

/* Tokens. */

static struct known *add(struct tokens *tokens, unsigned number, int64_t expires_s, uint64_t generation) {
    unsigned char hash[32];
    struct user user = {.id = number, .name = strdup("a")};
    struct known *known = NULL;
    assert_int_equal(tokens_hash((const char *)&number, sizeof number, hash), 0);
    assert_int_equal(tokens_add(tokens, hash, expires_s, generation, &user, &known), 0);
    assert_null(user.name);
    return known;
}

static struct known *find(struct tokens *tokens, unsigned number, uint64_t generation) {
    unsigned char hash[32];
    assert_int_equal(tokens_hash((const char *)&number, sizeof number, hash), 0);
    return tokens_find(tokens, hash, generation);
}

static void good_tokens_are_remembered(void **state) {
    (void)state;
    struct tokens *tokens = NULL;
    int64_t soon = clock_realtime_s() + 100;
    assert_int_equal(tokens_create(&tokens), 0);
    known_release(add(tokens, 1, soon, 7));
    known_release(add(tokens, 2, clock_realtime_s() - 1, 7));
    struct known *held = find(tokens, 1, 7);
    assert_non_null(held);
    assert_int_equal(held->user.id, 1);
    assert_null(find(tokens, 2, 7));    /* expired */
    assert_null(find(tokens, 3, 7));    /* never seen */
    assert_null(find(tokens, 1, 8));    /* other keys prove tokens now */
    assert_null(find(tokens, 1, 7));    /* and that forgot it */
    assert_int_equal(held->user.id, 1); /* but whoever held it still does */
    known_release(held);
    tokens_destroy(tokens);
}

static void the_memory_is_bounded(void **state) {
    (void)state;
    struct tokens *tokens = NULL;
    int64_t soon = clock_realtime_s() + 100;
    unsigned known = 0;
    assert_int_equal(tokens_create(&tokens), 0);
    for (unsigned i = 0; i < 100000; i++)
        known_release(add(tokens, i, soon, 1));
    for (unsigned i = 0; i < 100000; i++) {
        struct known *each = find(tokens, i, 1);
        known += each != NULL;
        known_release(each);
    }
    assert_in_range(known, 30000, 8192 * 8);
    struct known *last = find(tokens, 99999, 1);
    assert_non_null(last);
    known_release(last);
    tokens_destroy(tokens);
}

static void a_profile_of_aws_credentials(void **state) {
    (void)state;
    static const char text[] = "# comment\n[default]\naws_access_key_id = A1\naws_secret_access_key=S=1/+\n\n"
                               "[work]\r\n  aws_access_key_id=A2\r\naws_secret_access_key =S2\r\n"
                               "aws_session_token = T2\r\nregion = x\n[default-2]\naws_access_key_id = A3\n";
    struct profile first = {.name = "default"}, work = {.name = "work"}, none = {.name = "nobody"};
    assert_int_equal(profile_parse(text, &first) || profile_parse(text, &work) || profile_parse(text, &none), 0);
    assert_string_equal(first.access_key, "A1");
    assert_string_equal(first.secret_key, "S=1/+");
    assert_null(first.session_token);
    assert_string_equal(work.access_key, "A2");
    assert_string_equal(work.secret_key, "S2");
    assert_string_equal(work.session_token, "T2");
    assert_null(none.access_key);
    profile_finish(&first);
    profile_finish(&work);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_grant_is_json_with_everything_to_send),  TEST(virtual_style_puts_the_bucket_into_the_host),
        TEST(the_life_is_the_shorter_of_the_two),       TEST(a_run_of_parts_has_a_url_for_each),
        TEST(a_bound_body_is_signed_by_its_hash),       cmocka_unit_test(text_is_escaped_for_json),
        cmocka_unit_test(addresses_in_both_styles),     cmocka_unit_test(a_session_policy_reaches_one_account),
        cmocka_unit_test(good_tokens_are_remembered),   cmocka_unit_test(the_memory_is_bounded),
        cmocka_unit_test(a_profile_of_aws_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* s3/embedded/issuer_key: the key stays the same, and its tokens have the right form. (That others accept them is seen
 * in tests/e2e/test_embedded_login.py.) */
#include "s3/embedded/issuer_key.h"

#include "folder.h"

#include <sys/stat.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static char *sign(const struct issuer_key *key) {
    AUTO_JSON struct json *claims = json_object();
    json_add_text(claims, "sub", "ann");
    char *token = NULL;
    assert_int_equal(issuer_key_sign(key, claims, &token), 0);
    return token;
}

static void the_key_is_kept(void **state) {
    (void)state;
    AUTO_FOLDER char *folder = folder_make();
    AUTO_FREE char *path = folder_path(folder, "key.pem");
    struct issuer_key *key = NULL;
    struct fault fault = {{0}};
    assert_int_equal(issuer_key_open(&key, path, &fault), 0);
    AUTO_FREE char *before = sign(key);
    issuer_key_close(key);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(issuer_key_open(&key, path, &fault), 0);
    AUTO_FREE char *after = sign(key);
    assert_string_equal(before, after);
    issuer_key_close(key);
}

static void tokens_name_their_key(void **state) {
    (void)state;
    AUTO_FOLDER char *folder = folder_make();
    AUTO_FREE char *path = folder_path(folder, "key.pem");
    struct issuer_key *key = NULL;
    struct fault fault = {{0}};
    assert_int_equal(issuer_key_open(&key, path, &fault), 0);
    AUTO_FREE char *token = sign(key);
    AUTO_JSON struct json *set = issuer_key_set(key), *header = NULL;
    issuer_key_close(key);
    AUTO_FREE unsigned char *text = NULL;
    size_t size;
    assert_int_equal(text_base64url_decode(token, strcspn(token, "."), &text, &size), 0);
    assert_int_equal(json_parse(&header, (char *)text, size), 0);
    const struct json *public = json_at(json_get(set, "keys"), 0);
    assert_string_equal(json_get_text(header, "alg"), "RS256");
    assert_string_equal(json_get_text(header, "kid"), json_get_text(public, "kid"));
    assert_string_equal(json_get_text(public, "e"), "AQAB");
    assert_null(json_get(public, "d"));
}

static void a_file_that_is_no_key_is_told(void **state) {
    (void)state;
    AUTO_FOLDER char *folder = folder_make();
    AUTO_FREE char *path = folder_path(folder, "key.pem");
    struct issuer_key *key = NULL;
    struct fault fault = {{0}};
    assert_int_equal(file_replace(path, 0600, "nonsense", 8), 0);
    assert_int_equal(issuer_key_open(&key, path, &fault), -EBADMSG);
    assert_non_null(strstr(fault.text, "key.pem"));
    assert_null(key);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_kept),
        cmocka_unit_test(tokens_name_their_key),
        cmocka_unit_test(a_file_that_is_no_key_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

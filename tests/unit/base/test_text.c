/* Tests of base/text: comparing, cutting, UTF-8, percent, HTML, hex, base64, numbers, random bytes. */
#include "base/text.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void beginnings_and_ends(void **state) {
    (void)state;
    assert_true(text_starts("folder/file", "folder/") && text_starts("x", "") && !text_starts("fold", "folder"));
    assert_true(text_ends("a.tar.gz", ".gz") && text_ends("x", "") && !text_ends("gz", ".gz"));
    assert_true(text_equal("a", "a") && text_equal(NULL, NULL) && !text_equal("a", NULL) && !text_equal(NULL, "a"));
    assert_true(text_equal_secret("same", "same") && !text_equal_secret("same", "sane"));
    assert_false(text_equal_secret("same", "samesame"));
    char name[] = "MiXeD-\303\204-09";
    text_lower_ascii(name);
    assert_string_equal(name, "mixed-\303\204-09");
}

static void utf8_after_rfc_3629(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        bool fine;
    } rows[] = {
        {"plain", true},
        {"\303\244\342\202\254\360\237\230\200", true},
        {"\357\277\277", true},
        {"\364\217\277\277", true},
        {"\200", false},             /* a continuation alone */
        {"\303", false},             /* cut */
        {"\342\202", false},         /* cut */
        {"\360\237\230", false},     /* cut */
        {"\300\257", false},         /* overlong '/' */
        {"\340\200\257", false},     /* overlong '/' */
        {"\360\200\200\257", false}, /* overlong '/' */
        {"\355\240\200", false},     /* a surrogate */
        {"\364\220\200\200", false}, /* beyond U+10FFFF */
        {"\370\210\200\200\200", false},
        {"\377", false},
        {"\303\050", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(text_is_utf8(rows[i].bytes, strlen(rows[i].bytes)), rows[i].fine);
    assert_true(text_is_utf8("a\0b", 3));
}

static void cutting_never_splits_a_character(void **state) {
    (void)state;
    const char *text = "a\303\244\342\202\254"; /* 1 + 2 + 3 bytes */
    static const size_t stays[] = {0, 1, 1, 3, 3, 3, 6, 6};
    for (size_t max = 0; max < 8; max++)
        assert_int_equal(text_cut_utf8(text, 6, max), stays[max]);
}

static void numbers(void **state) {
    (void)state;
    uint64_t value = 7;
    assert_int_equal(text_parse_u64("0", &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(text_parse_u64("18446744073709551615", &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(text_parse_u64("18446744073709551616", &value), -ERANGE);
    assert_int_equal(text_parse_u64("99999999999999999999999", &value), -ERANGE);
    static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "0x10", "1e3", "1.0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(text_parse_u64(wrong[i], &value), -EINVAL);
}

static void percent_keeps_only_unreserved(void **state) {
    (void)state;
    AUTO_FREE char *all = text_percent_encode("a-._~Z0/ +%?&=#\303\244\0x", 19, false);
    assert_string_equal(all, "a-._~Z0%2F%20%2B%25%3F%26%3D%23%C3%A4%00x");
    AUTO_FREE char *path = text_percent_encode("a/b c", 5, true);
    assert_string_equal(path, "a/b%20c");
}

static void percent_decodes_what_it_encoded(void **state) {
    (void)state;
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    AUTO_FREE char *encoded = text_percent_encode(bytes, sizeof bytes, false);
    size_t size;
    AUTO_FREE char *decoded = text_percent_decode(encoded, strlen(encoded), false, &size);
    assert_int_equal(size, sizeof bytes);
    assert_memory_equal(decoded, bytes, sizeof bytes);
    AUTO_FREE char *plus = text_percent_decode("a+b%2b", 6, true, &size);
    assert_string_equal(plus, "a b+");
    AUTO_FREE char *kept = text_percent_decode("a+b%2b", 6, false, &size);
    assert_string_equal(kept, "a+b+");
}

static void bad_escapes_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"%", "%4", "a%", "%zz", "%4g", "%%41"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t size;
        errno = 0;
        assert_null(text_percent_decode(wrong[i], strlen(wrong[i]), false, &size));
        assert_int_equal(errno, EINVAL);
    }
    size_t size;
    assert_null(text_percent_decode("%411", 2, false, &size)); /* the length rules, not the NUL */
}

static void html_and_hex(void **state) {
    (void)state;
    AUTO_FREE char *html = text_html_escape("<a href=\"x\">'&'</a>");
    assert_string_equal(html, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    AUTO_FREE char *none = text_html_escape("");
    assert_string_equal(none, "");
    AUTO_FREE char *hex = text_hex("\0\x7f\xff", 3);
    assert_string_equal(hex, "007fff");
}

/* RFC 4648, section 10. */
static void base64_published_values(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff", "+/8=", "-_8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *padded = text_base64(rows[i][0], strlen(rows[i][0]));
        AUTO_FREE char *url = text_base64url(rows[i][0], strlen(rows[i][0]));
        assert_string_equal(padded, rows[i][1]);
        assert_string_equal(url, rows[i][2]);
        AUTO_FREE unsigned char *back = NULL, *back_url = NULL;
        size_t size;
        assert_int_equal(text_base64_decode(padded, strlen(padded), &back, &size), 0);
        assert_string_equal((char *)back, rows[i][0]);
        assert_int_equal(text_base64url_decode(url, strlen(url), &back_url, &size), 0);
        assert_string_equal((char *)back_url, rows[i][0]);
        assert_int_equal(size, strlen(rows[i][0]));
    }
}

static void base64_is_strict(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "====", "Zg==\n", "Zm 9", "Zm9-", "Zm9_"};
    static const char *const wrong_url[] = {"Z", "Zg==", "Zh", "Zm9v=", "Zm9+", "Zm9/", "Zm9v\n", "ZZZZZ"};
    unsigned char *out = NULL;
    size_t size;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(text_base64_decode(wrong[i], strlen(wrong[i]), &out, &size), -EINVAL);
    for (size_t i = 0; i < sizeof wrong_url / sizeof *wrong_url; i++)
        assert_int_equal(text_base64url_decode(wrong_url[i], strlen(wrong_url[i]), &out, &size), -EINVAL);
    assert_int_equal(text_base64url_decode("AA\0A", 4, &out, &size), -EINVAL);
}

static void hash_published_values(void **state) {
    (void)state;
    assert_int_equal(text_hash("", 0), 0xcbf29ce484222325);
    assert_int_equal(text_hash("a", 1), 0xaf63dc4c8601ec8c);
    assert_int_equal(text_hash("foobar", 6), 0x85944171f73967e8);
}

static void random_values_differ(void **state) {
    (void)state;
    char a[33], b[33];
    random_hex(a, 16);
    random_hex(b, 16);
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    assert_string_not_equal(a, b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beginnings_and_ends),
        cmocka_unit_test(utf8_after_rfc_3629),
        cmocka_unit_test(cutting_never_splits_a_character),
        cmocka_unit_test(numbers),
        cmocka_unit_test(percent_keeps_only_unreserved),
        cmocka_unit_test(percent_decodes_what_it_encoded),
        cmocka_unit_test(bad_escapes_are_refused),
        cmocka_unit_test(html_and_hex),
        cmocka_unit_test(base64_published_values),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(hash_published_values),
        cmocka_unit_test(random_values_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

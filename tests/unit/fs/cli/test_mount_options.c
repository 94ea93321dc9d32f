/* The options after -o. */
#include "fs/cli/mount_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct mount_words parse(const char *text, int expected, struct fault *fault) {
    struct mount_words words;
    mount_words_init(&words);
    assert_int_equal(mount_words_parse(&words, text, fault), expected);
    return words;
}

static void test_defaults(void **state) {
    (void)state;
    struct mount_words words = parse("", 0, NULL);
    assert_int_equal(words.options.fresh_ms, 5000);
    assert_int_equal(words.options.stall_ms, 30000);
    assert_false(words.options.allow_other || words.options.read_only || words.options.attrs_listing ||
                 words.options.durable_bucket || words.options.owner_keep || words.options.credentials);
    mount_words_finish(&words);
}

static void test_all(void **state) {
    (void)state;
    struct mount_words words =
        parse("ro,allow_other,fresh=60,timeout=5,attrs=listing,owner=keep,durable=bucket,mode=credentials,cache=2G,"
              "memory=512m,account=me@example.com,nosuid,nodev",
              0, NULL);
    assert_true(words.options.read_only && words.options.allow_other && words.options.attrs_listing &&
                words.options.owner_keep && words.options.durable_bucket && words.options.credentials);
    assert_int_equal(words.options.fresh_ms, 60000);
    assert_int_equal(words.options.stall_ms, 5000);
    assert_int_equal(words.options.cache_bytes, 2ull << 30);
    assert_int_equal(words.options.memory_bytes, 512ull << 20);
    assert_string_equal(words.account, "me@example.com");
    assert_string_equal(words.options.kernel_options, "nosuid,nodev");
    mount_words_finish(&words);
}

static void test_fresh_for_ever(void **state) {
    (void)state;
    struct mount_words words = parse("fresh=inf", 0, NULL);
    assert_true(words.options.fresh_ms == INT64_MAX);
    mount_words_finish(&words);
}

/* What fstab, systemd and udisks add means nothing here and is no error. */
static void test_harmless(void **state) {
    (void)state;
    struct mount_words words =
        parse("_netdev,nofail,defaults,rw,x-systemd.automount,x-gvfs-show,x-systemd.idle-timeout=1min,,users", 0, NULL);
    assert_null(words.kernel);
    mount_words_finish(&words);
}

static void test_wrong(void **state) {
    (void)state;
    static const char *const wrong[] = {"bogus",       "fresh=soon",     "fresh=-1",  "timeout=0",
                                        "timeout=inf", "attrs=all",      "owner=you", "durable=disk",
                                        "mode=keys",   "cache=1",        "cache=big", "memory=12Q",
                                        "cached=10G",  "fresh=99999999", "ro,frsh=5", "fresh="};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct fault fault = {0};
        struct mount_words words = parse(wrong[i], -EINVAL, &fault);
        assert_true(fault.text[0] != 0);
        mount_words_finish(&words);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_all),   cmocka_unit_test(test_fresh_for_ever),
        cmocka_unit_test(test_harmless), cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

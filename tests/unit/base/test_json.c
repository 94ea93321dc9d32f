/* Tests of base/json: everything that it refuses, look-ups, numbers, and building. */
#include "base/json.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json *parsed(const char *text) {
    struct json *json = NULL;
    assert_int_equal(json_parse(&json, text, strlen(text)), 0);
    return json;
}

static void documents_that_are_not_json_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{1:1}",
        "nul",
        "nulll",
        "True",
        "undefined",
        "NaN",
        "Infinity",
        "-Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "1 2",
        "[1]]",
        "[1] x",
        "{}{}",
        "\"",
        "\"a",
        "'a'",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\uD800\"",
        "\"\\uDC00\"",
        "\"\\uD800\\u0041\"",
        "\"a\nb\"",
        "\"a\tb\"",
        "/* c */ 1",
        "// c\n1",
        "\xef\xbb\xbf{}",
        "\f1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct json *json = NULL;
        if (json_parse(&json, wrong[i], strlen(wrong[i])) != -EBADMSG)
            fail_msg("accepted: %s", wrong[i]);
    }
}

static void nul_is_refused_in_every_form(void **state) {
    (void)state;
    struct json *json = NULL;
    assert_int_equal(json_parse(&json, "\"\\u0000\"", 8), -EBADMSG);
    assert_int_equal(json_parse(&json, "{\"a\\u0000b\":1}", 14), -EBADMSG);
    assert_int_equal(json_parse(&json, "\"a\0b\"", 5), -EBADMSG);
    assert_int_equal(json_parse(&json, "1\0", 2), -EBADMSG);
    assert_int_equal(json_parse(&json, "{}\0garbage", 10), -EBADMSG);
}

static void invalid_utf8_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "{\"\x80\":1}", "\"\xe2\x82\""};
    struct json *json = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(json_parse(&json, wrong[i], strlen(wrong[i])), -EBADMSG);
}

static void duplicate_members_are_refused_however_spelt(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"b\":2,\"\\u0061\":3}",
        "[{\"x\":{\"k\":1,\"k\":1}}]",
        "{\"\":1,\"\":2}",
        "{\"/\":1,\"\\/\":2}",
        "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"c\":1}",
    };
    struct json *json = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(json_parse(&json, wrong[i], strlen(wrong[i])), -EBADMSG);
    AUTO_JSON struct json *other_case = parsed("{\"a\":1,\"A\":2}");
    assert_int_equal(json_get_integer(other_case, "a", 0), 1);
    assert_int_equal(json_get_integer(other_case, "A", 0), 2);
    AUTO_JSON struct json *many =
        parsed("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"C\":1}");
    assert_int_equal(json_size(many), 10);
}

static int parse_nested(int depth, char open, const char *inner) {
    char text[512];
    size_t used = 0;
    for (int i = 0; i < depth; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, open == '[' ? "[" : "{\"a\":");
    used += (size_t)snprintf(text + used, sizeof text - used, "%s", inner);
    for (int i = 0; i < depth; i++)
        text[used++] = open == '[' ? ']' : '}';
    AUTO_JSON struct json *json = NULL;
    return json_parse(&json, text, used);
}

static void nesting_deeper_than_32_is_refused(void **state) {
    (void)state;
    assert_int_equal(parse_nested(32, '[', ""), 0);
    assert_int_equal(parse_nested(32, '[', "1"), 0);
    assert_int_equal(parse_nested(32, '{', "1"), 0);
    assert_int_equal(parse_nested(33, '[', ""), -EBADMSG);
    assert_int_equal(parse_nested(33, '[', "1"), -EBADMSG);
    assert_int_equal(parse_nested(33, '{', "1"), -EBADMSG);
    AUTO_FREE char *bomb = malloc(1 << 20);
    memset(bomb, '[', 1 << 20);
    struct json *json = NULL;
    assert_int_equal(json_parse(&json, bomb, 1 << 20), -EBADMSG);
}

static void size_bounds_the_text(void **state) {
    (void)state;
    AUTO_JSON struct json *json = NULL;
    assert_int_equal(json_parse(&json, "[1,2]garbage", 5), 0);
    assert_int_equal(json_size(json), 2);
}

static void values_are_looked_up_by_kind(void **state) {
    (void)state;
    AUTO_JSON struct json *json = parsed(" { \"text\" : \"\\u00e4\\ud83d\\ude00\\n\", \"yes\":true, \"none\":null,"
                                         "\"list\":[10,20,30], \"inner\":{\"Deep\":5} } ");
    assert_string_equal(json_get_text(json, "text"), "\303\244\360\237\230\200\n");
    assert_null(json_get_text(json, "yes"));
    assert_null(json_get_text(json, "TEXT"));
    assert_true(json_get_boolean(json, "yes", false));
    assert_true(json_get_boolean(json, "absent", true));
    assert_true(json_is_null(json_get(json, "none")) && !json_is_null(json_get(json, "absent")));
    const struct json *list = json_get(json, "list");
    assert_true(json_is_array(list) && !json_is_object(list));
    int64_t value = 0;
    assert_int_equal(json_integer(json_at(list, 2), &value), 0);
    assert_int_equal(value, 30);
    assert_null(json_at(list, 3));
    assert_int_equal(json_get_integer(json_get(json, "inner"), "Deep", -1), 5);
    assert_int_equal(json_get_integer(json_get(json, "inner"), "deep", -1), -1);
    assert_int_equal(json_size(json), 5);
    assert_string_equal(json_name(json_next(json_first(json))), "yes");
    assert_null(json_get(NULL, "x"));
    assert_null(json_get(list, "x"));
    assert_int_equal(json_size(NULL), 0);
}

static void integers_stay_within_what_a_double_holds(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int error;
        int64_t value;
    } rows[] = {
        {"0", 0, 0},
        {"-1", 0, -1},
        {"9007199254740992", 0, 9007199254740992},
        {"-9007199254740992", 0, -9007199254740992},
        {"1e3", 0, 1000},
        {"1.0", 0, 1},
        {"9007199254740994", -EINVAL, 0},
        {"1e400", -EINVAL, 0},
        {"-1e400", -EINVAL, 0},
        {"1.5", -EINVAL, 0},
        {"\"1\"", -EINVAL, 0},
        {"true", -EINVAL, 0},
        {"null", -EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_JSON struct json *json = parsed(rows[i].text);
        int64_t value = 0;
        assert_int_equal(json_integer(json, &value), rows[i].error);
        assert_int_equal(value, rows[i].value);
    }
    int64_t value;
    bool flag;
    double number;
    assert_int_equal(json_integer(NULL, &value), -EINVAL);
    assert_int_equal(json_boolean(NULL, &flag), -EINVAL);
    assert_int_equal(json_number(NULL, &number), -EINVAL);
}

static void what_is_built_can_be_read_again(void **state) {
    (void)state;
    AUTO_JSON struct json *json = json_object();
    struct json *list = json_array();
    assert_int_equal(json_push_text(list, "quote \" backslash \\ newline \n \303\244"), 0);
    assert_int_equal(json_push_integer(list, 9007199254740991), 0);
    assert_int_equal(json_push(list, json_from_text(NULL)), 0);
    assert_int_equal(json_add_text(json, "name", "a"), 0);
    assert_int_equal(json_add_text(json, "nothing", NULL), 0);
    assert_int_equal(json_add_integer(json, "size", 1099511627776), 0);
    assert_int_equal(json_add_boolean(json, "flag", false), 0);
    assert_int_equal(json_add(json, "list", list), 0);
    AUTO_FREE char *text = json_print(json);
    assert_string_equal(text, "{\"name\":\"a\",\"nothing\":null,\"size\":1099511627776,\"flag\":false,\"list\":["
                              "\"quote \\\" backslash \\\\ newline \\n \303\244\",9007199254740991,null]}");
    assert_int_equal(json_get_integer(json, "size", 0), 1099511627776);
    int64_t longest = 0;
    assert_int_equal(json_integer(json_at(json_get(json, "list"), 1), &longest), 0);
    assert_int_equal(longest, 9007199254740991);
    AUTO_FREE char *pretty = json_print_pretty(json);
    AUTO_JSON struct json *again = parsed(pretty);
    assert_int_equal(json_integer(json_at(json_get(again, "list"), 1), &longest), 0);
    assert_int_equal(longest, 9007199254740991);
    assert_string_equal(json_text(json_at(json_get(again, "list"), 0)), "quote \" backslash \\ newline \n \303\244");
    assert_int_equal(json_size(again), json_size(json));
}

static void adding_to_nothing_fails_and_frees(void **state) {
    (void)state;
    assert_int_equal(json_add_text(NULL, "a", "b"), -ENOMEM);
    assert_int_equal(json_add(NULL, "a", json_object()), -ENOMEM);
    assert_int_equal(json_push_integer(NULL, 1), -ENOMEM);
    assert_null(json_print(NULL));
    json_destroy(NULL);
}

/* What can be seen from outside: nothing is freed twice or left over, whatever the kinds and the depth. */
static void wiping_takes_every_kind(void **state) {
    (void)state;
    static const char text[] = "{\"a\":\"secret\",\"b\":[1,null,true,\"x\",[\"\",{\"c\":\"y\"}]],\"d\":{}}";
    AUTO_WIPE_JSON struct json *json = NULL;
    assert_int_equal(json_parse(&json, text, sizeof text - 1), 0);
    struct json *built = json_object();
    assert_int_equal(json_add(built, "inner", json_from_text("secret")), 0);
    assert_int_equal(json_add_integer(built, "n", 5), 0);
    json_wipe(built);
    json_wipe(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_that_are_not_json_are_refused),
        cmocka_unit_test(nul_is_refused_in_every_form),
        cmocka_unit_test(invalid_utf8_is_refused),
        cmocka_unit_test(duplicate_members_are_refused_however_spelt),
        cmocka_unit_test(nesting_deeper_than_32_is_refused),
        cmocka_unit_test(size_bounds_the_text),
        cmocka_unit_test(values_are_looked_up_by_kind),
        cmocka_unit_test(integers_stay_within_what_a_double_holds),
        cmocka_unit_test(what_is_built_can_be_read_again),
        cmocka_unit_test(adding_to_nothing_fails_and_frees),
        cmocka_unit_test(wiping_takes_every_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

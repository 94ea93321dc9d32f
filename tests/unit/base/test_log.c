/* Tests of base/log: levels, lines that cannot be forged, JSON, and URLs without their secrets. */
#include "base/log.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int ends[2];

static int set_up(void **state) {
    (void)state;
    return pipe(ends);
}

static int tear_down(void **state) {
    (void)state;
    close(ends[0]);
    return close(ends[1]);
}

static size_t written(char *out, size_t size) {
    assert_int_equal(write(ends[1], "", 1), 1); /* so that an empty pipe does not wait */
    ssize_t n = read(ends[0], out, size - 1);
    assert_true(n > 0);
    out[n] = 0;
    return (size_t)n - 1;
}

static void only_the_level_and_above_is_written(void **state) {
    (void)state;
    char out[4096];
    log_setup(LOG_WARNING, false, ends[1]);
    log_debug("no");
    log_info("no");
    log_warning("number %d", 5);
    log_error("last");
    written(out, sizeof out);
    assert_string_equal(out, "pail: warning: number 5\npail: error: last\n");
}

static void a_name_cannot_forge_a_line(void **state) {
    (void)state;
    char out[4096];
    log_setup(LOG_INFO, false, ends[1]);
    log_info("file %s", "a\npail: error: forged\x1b[2J");
    written(out, sizeof out);
    assert_string_equal(out, "pail: info: file a\\x0apail: error: forged\\x1b[2J\n");
}

static void json_lines_are_json(void **state) {
    (void)state;
    char out[4096];
    log_setup(LOG_INFO, true, ends[1]);
    log_error("quote \" backslash \\ newline \n end");
    size_t size = written(out, sizeof out);
    AUTO_JSON struct json *json = NULL;
    assert_int_equal(json_parse(&json, out, size), 0);
    assert_string_equal(json_get_text(json, "level"), "error");
    assert_string_equal(json_get_text(json, "message"), "quote \" backslash \\ newline \n end");
    assert_non_null(json_get_text(json, "time"));
}

static const struct log_field fields[] = {{.name = "status", .number = 429},
                                          {.name = "path", .value = "/v1/grants"},
                                          {.name = "why", .value = "two \"words\"\n"}};

static void fields_stand_behind_the_text_and_are_members_of_json(void **state) {
    (void)state;
    char out[4096];
    log_setup(LOG_INFO, false, ends[1]);
    log_event(LOG_DEBUG, fields, 3, "no");
    log_event(LOG_INFO, fields, 3, "Request %d", 1);
    written(out, sizeof out);
    assert_string_equal(out, "pail: info: Request 1 status=429 path=/v1/grants why=\"two \"words\"\\x0a\"\n");
    log_setup(LOG_INFO, true, ends[1]);
    log_event(LOG_INFO, fields, 3, "Request");
    size_t size = written(out, sizeof out);
    AUTO_JSON struct json *json = NULL;
    assert_int_equal(json_parse(&json, out, size), 0);
    assert_int_equal(json_get_integer(json, "status", 0), 429);
    assert_string_equal(json_get_text(json, "path"), "/v1/grants");
    assert_string_equal(json_get_text(json, "why"), "two \"words\"\n");
}

static void too_many_fields_are_cut_between_two(void **state) {
    (void)state;
    char out[8192], value[400];
    struct log_field many[10];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 10; i++)
        many[i] = (struct log_field){.name = (const char *const[]){"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}[i],
                                     .value = value};
    log_setup(LOG_INFO, true, ends[1]);
    log_event(LOG_INFO, many, 10, "Request");
    size_t size = written(out, sizeof out);
    AUTO_JSON struct json *json = NULL;
    assert_int_equal(json_parse(&json, out, size), 0);
    assert_string_equal(json_get_text(json, "a"), value);
    assert_null(json_get_text(json, "j"));
}

static void a_long_line_is_cut_and_ends(void **state) {
    (void)state;
    char out[8192], text[5000];
    memset(text, '\n', sizeof text - 1);
    text[sizeof text - 1] = 0;
    log_setup(LOG_INFO, false, ends[1]);
    log_info("%s", text);
    size_t size = written(out, sizeof out);
    assert_int_equal(out[size - 1], '\n');
    assert_ptr_equal(strchr(out, '\n'), out + size - 1);
}

static void a_sink_that_is_gone_is_no_harm(void **state) {
    (void)state;
    log_setup(LOG_INFO, false, -1);
    log_info("into nothing");
}

static void level_names(void **state) {
    (void)state;
    assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
    assert_int_equal(log_level_parse("error"), LOG_ERROR);
    assert_int_equal(log_level_parse("loud"), -EINVAL);
}

static void urls_lose_query_and_user(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"https://host/a/b?X-Amz-Signature=secret", "https://host/a/b?..."},
        {"https://user:word@host:1/a#part", "https://host:1/a?..."},
        {"http://host/a@b", "http://host/a@b"},
        {"https://host?token=x@y", "https://host?..."},
        {"/callback?code=secret", "/callback?..."},
    };
    char out[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(log_redact_url(rows[i][0], out, sizeof out), rows[i][1]);
    assert_string_equal(log_redact_url("https://host/long?x", out, 10), "https://h");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_level_and_above_is_written),
        cmocka_unit_test(a_name_cannot_forge_a_line),
        cmocka_unit_test(json_lines_are_json),
        cmocka_unit_test(fields_stand_behind_the_text_and_are_members_of_json),
        cmocka_unit_test(too_many_fields_are_cut_between_two),
        cmocka_unit_test(a_long_line_is_cut_and_ends),
        cmocka_unit_test(a_sink_that_is_gone_is_no_harm),
        cmocka_unit_test(level_names),
        cmocka_unit_test(urls_lose_query_and_user),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Tests of fs/cli/output: names made harmless, sizes, tables, JSON, colour and progress only where they belong. */
#include "base/cleanup.h"
#include "fs/cli/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static void names_cannot_drive_the_terminal(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"plain name.txt", "plain name.txt"},
        {"\303\204rger \360\237\230\200", "\303\204rger \360\237\230\200"},
        {"a\nb\tc\033[2J\177", "a\\x0ab\\x09c\\x1b[2J\\x7f"},
        {"bad \377 byte", "bad \\xff byte"},
        {"cut \342\202", "cut \\xe2\\x82"},
        {"c1 \302\233m", "c1 \\xc2\\x9bm"},
        {"\302\240", "\302\240"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *text = cli_printable(rows[i][0]);
        assert_string_equal(text, rows[i][1]);
    }
}

static void durations(void **state) {
    (void)state;
    char out[32];
    assert_string_equal(cli_duration(59, out), "59 s");
    assert_string_equal(cli_duration(125, out), "2 min 5 s");
    assert_string_equal(cli_duration(3840, out), "1 h 4 min");
}

static char *table_text(bool colour, bool heading) {
    char *text = NULL;
    size_t size;
    struct cli cli = {.out = open_memstream(&text, &size), .colour = colour};
    struct cli_table table = {.columns = 3, .right = 1u << 1};
    assert_int_equal(cli_table_add(&table, (const char *[]){"name", "size", "state"}), 0);
    assert_int_equal(cli_table_add(&table, (const char *[]){"\303\204rger", "9", "sent"}), 0);
    assert_int_equal(cli_table_add(&table, (const char *[]){"a\nb", "10000", "x"}), 0);
    cli_table_print(&cli, &table, heading);
    cli_table_finish(&table);
    fclose(cli.out);
    return text;
}

static void tables_are_aligned(void **state) {
    (void)state;
    AUTO_FREE char *plain = table_text(false, true);
    assert_string_equal(plain, "name     size  state\n\303\204rger       9  sent\na\\x0ab  10000  x\n");
    AUTO_FREE char *colour = table_text(true, true);
    assert_memory_equal(colour, "\033[1mname\033[0m     \033[1msize", 24);
    assert_non_null(strstr(colour, "\n\303\204rger       9  sent\n"));
}

static void failures_are_told_once_and_give_the_code(void **state) {
    (void)state;
    AUTO_FREE char *text = NULL;
    size_t size;
    struct cli cli = {.err = open_memstream(&text, &size)};
    struct fault fault;
    fault_set(&fault, PAIL_LOGIN_REQUIRED, "you are not logged in: run 'pail login'");
    assert_int_equal(cli_fail(&cli, PAIL_LOGIN_REQUIRED, &fault), CLI_EXIT_LOGIN);
    assert_int_equal(cli_fail(&cli, PAIL_OFFLINE, NULL), CLI_EXIT_OFFLINE);
    fault.text[0] = 0;
    assert_int_equal(cli_fail(&cli, -ENOSPC, &fault), CLI_EXIT_FAILED);
    fclose(cli.err);
    assert_string_equal(text, "pail: you are not logged in: run 'pail login'\npail: not reachable\n"
                              "pail: No space left on device\n");
}

static void json_is_indented_and_ends_with_a_newline(void **state) {
    (void)state;
    AUTO_FREE char *text = NULL;
    size_t size;
    struct cli cli = {.out = open_memstream(&text, &size)};
    struct json *json = json_object();
    json_add_integer(json, "unsent", 0);
    assert_int_equal(cli_print_json(&cli, json), CLI_EXIT_FINE);
    fclose(cli.out);
    assert_string_equal(text, "{\n\t\"unsent\":\t0\n}\n");
}

static char *progress_text(bool terminal) {
    char *text = NULL;
    size_t size;
    struct cli cli = {.err = open_memstream(&text, &size), .err_is_terminal = terminal};
    struct cli_progress progress = {.cli = &cli};
    cli_progress_show(&progress, 1 << 20, 4 << 20, "photo\n.jpg");
    cli_progress_end(&progress);
    fclose(cli.err);
    return text;
}

static void progress_is_for_terminals(void **state) {
    (void)state;
    AUTO_FREE char *piped = progress_text(false), *shown = progress_text(true);
    assert_string_equal(piped, "");
    assert_non_null(strstr(shown, "\r[#####---------------] 1.0 MiB of 4.0 MiB  0 B/s  photo\\x0a.jpg"));
    assert_memory_equal(shown + strlen(shown) - 4, "\r\033[K", 4);
}

int main(void) {
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_cannot_drive_the_terminal),
        cmocka_unit_test(durations),
        cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(failures_are_told_once_and_give_the_code),
        cmocka_unit_test(json_is_indented_and_ends_with_a_newline),
        cmocka_unit_test(progress_is_for_terminals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of fs/cli/commands, help and exit_code: the table is complete, and a mistyped command finds its neighbour. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "fs/cli/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void every_command_can_be_found_and_explains_itself(void **state) {
    (void)state;
    for (const struct cli_command *const *each = cli_commands(); *each; each++) {
        const struct cli_command *command = *each;
        assert_ptr_equal(cli_find_command(command->name), command);
        assert_non_null(command->run);
        assert_non_null(command->usage);
        assert_true(command->summary[0] >= 'A' && command->summary[0] <= 'Z');
        assert_int_not_equal(command->summary[strlen(command->summary) - 1], '.');
        char needle[64];
        snprintf(needle, sizeof needle, "  pail %s", command->name);
        assert_non_null(strstr(command->examples, needle));
        assert_int_equal(command->examples[strlen(command->examples) - 1], '\n');
    }
    assert_null(cli_find_command("mounts"));
    assert_null(cli_find_command(""));
}

static void no_two_options_of_a_command_are_one(void **state) {
    (void)state;
    for (const struct cli_command *const *each = cli_commands(); *each; each++)
        for (const struct cli_option *a = (*each)->options; a && a->id; a++) {
            assert_true(a->id != CLI_OPERAND && a->help && *a->help);
            assert_true(a->id < CLI_LONG_ONLY || a->name);
            for (const struct cli_option *b = (*each)->options; b < a; b++) {
                assert_int_not_equal(a->id, b->id);
                assert_false(a->name && b->name && strcmp(a->name, b->name) == 0);
            }
        }
}

static void a_mistyped_command_finds_the_right_one(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"serv", "serve"}, {"sevre", "serve"}, {"servee", "serve"},
        {"user", "users"}, {"uesrs", "users"}, {"srve", "serve"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct cli_command *found = cli_suggest_command(rows[i][0]);
        assert_non_null(found);
        assert_string_equal(found->name, rows[i][1]);
    }
    static const char *const foreign[] = {"", "x", "frobnicate", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "--serve--"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_null(cli_suggest_command(foreign[i]));
}

static char *written_by(void (*print)(FILE *, const struct cli_command *), const struct cli_command *command) {
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    print(to, command);
    fclose(to);
    return text;
}

static const struct cli_option options[] = {
    {'f', NULL, NULL, "stay"}, {'o', "option", "NAME", "one"}, {CLI_LONG_ONLY, "quiet", NULL, "less"}, {0}};
static const struct cli_command command = {.name = "try",
                                           .summary = "Try it",
                                           .usage = "FOLDER",
                                           .about = "Long text.",
                                           .options = options,
                                           .examples = "  pail try here\n"};

static void help_shows_options_and_examples(void **state) {
    (void)state;
    AUTO_FREE char *text = written_by(cli_print_help, &command);
    assert_string_equal(text, "Usage: pail try FOLDER\n\nTry it.\n\nLong text.\n\nOptions:\n"
                              "  -f                            stay\n"
                              "  -o, --option=NAME             one\n"
                              "      --quiet                   less\n"
                              "\nExamples:\n  pail try here\n");
}

static void exit_codes_tell_what_a_script_needs(void **state) {
    (void)state;
    static const struct {
        int error, code;
    } rows[] = {
        {0, CLI_EXIT_FINE},
        {PAIL_LOGIN_REQUIRED, CLI_EXIT_LOGIN},
        {PAIL_OFFLINE, CLI_EXIT_OFFLINE},
        {-EHOSTUNREACH, CLI_EXIT_OFFLINE},
        {-ETIMEDOUT, CLI_EXIT_OFFLINE},
        {PAIL_DENIED, CLI_EXIT_DENIED},
        {-ENOTCONN, CLI_EXIT_NOT_MOUNTED},
        {PAIL_CANCELLED, CLI_EXIT_CANCELLED},
        {-EINTR, CLI_EXIT_CANCELLED},
        {-EIO, CLI_EXIT_FAILED},
        {PAIL_DAMAGED, CLI_EXIT_FAILED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(cli_exit_code(rows[i].error), rows[i].code);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_can_be_found_and_explains_itself),
        cmocka_unit_test(no_two_options_of_a_command_are_one),
        cmocka_unit_test(a_mistyped_command_finds_the_right_one),
        cmocka_unit_test(help_shows_options_and_examples),
        cmocka_unit_test(exit_codes_tell_what_a_script_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of fs/cli/options: every way to write an option, and every wrong one. */
#include "base/cleanup.h"
#include "fs/cli/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum { JSON = CLI_LONG_ONLY, VAULT };
static const struct cli_option options[] = {{'f', NULL, NULL, "stay"},
                                            {'o', "option", "NAME", "one"},
                                            {JSON, "json", NULL, "JSON"},
                                            {VAULT, "vault", "KIND", "where"},
                                            {0}};
static const struct cli_command command = {
    .name = "try", .summary = "Try it", .usage = "[-f]", .options = options, .examples = ""};

/* "f;o=x;" and so on; wrong ones end in "!" and their message is in *message. */
static void read_all(char **argv, char *out, size_t size, char **message) {
    size_t message_size;
    struct cli cli = {.program = "pail", .err = open_memstream(message, &message_size)};
    int argc = 0, id;
    while (argv[argc])
        argc++;
    struct cli_reader reader = cli_reader(&cli, &command, argc, argv);
    const char *value;
    size_t used = 0;
    out[0] = 0;
    while ((id = cli_read(&reader, &value)) > 0) {
        const char *name = id == 'f' ? "f" : id == 'o' ? "o" : id == JSON ? "json" : id == VAULT ? "vault" : "operand";
        used += (size_t)snprintf(out + used, size - used, "%s%s%s;", name, value ? "=" : "", value ? value : "");
    }
    if (id < 0)
        snprintf(out + used, size - used, "!");
    fclose(cli.err);
}

static void good_ones(void **state) {
    (void)state;
    static const struct {
        const char *argv[8], *read;
    } rows[] = {
        {{"try"}, ""},
        {{"try", "-f", "a"}, "f;operand=a;"},
        {{"try", "-fo", "x", "b"}, "f;o=x;operand=b;"},
        {{"try", "-fox"}, "f;o=x;"},
        {{"try", "-ox=1,y", "--option=z", "--option", "w"}, "o=x=1,y;o=z;o=w;"},
        {{"try", "a", "--json", "b", "-f"}, "operand=a;json;operand=b;f;"},
        {{"try", "--vault=file"}, "vault=file;"},
        {{"try", "--vault="}, "vault=;"},
        {{"try", "-o", "-f"}, "o=-f;"},
        {{"try", "--", "-f", "--json", "--"}, "operand=-f;operand=--json;operand=--;"},
        {{"try", "-", ""}, "operand=-;operand=;"},
        {{"try", "-ff"}, "f;f;"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[200];
        AUTO_FREE char *message = NULL;
        read_all((char **)(uintptr_t)rows[i].argv, out, sizeof out, &message);
        assert_string_equal(out, rows[i].read);
        assert_string_equal(message, "");
    }
}

static void wrong_ones_are_named(void **state) {
    (void)state;
    static const struct {
        const char *argv[5], *read, *named;
    } rows[] = {
        {{"try", "-x"}, "!", "unknown option: -x\n"},
        {{"try", "-fx"}, "f;!", "unknown option: -x\n"},
        {{"try", "--jso"}, "!", "unknown option: --jso\n"},
        {{"try", "--jsonx"}, "!", "unknown option: --jsonx\n"},
        {{"try", "--json=1"}, "!", "option takes no value: --json=1\n"},
        {{"try", "-o"}, "!", "value missing after: -o\n"},
        {{"try", "a", "--vault"}, "operand=a;!", "value missing after: --vault\n"},
        {{"try", "--=x"}, "!", "unknown option: --=x\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[200];
        AUTO_FREE char *message = NULL;
        read_all((char **)(uintptr_t)rows[i].argv, out, sizeof out, &message);
        assert_string_equal(out, rows[i].read);
        assert_non_null(strstr(message, rows[i].named));
        assert_non_null(strstr(message, "Usage: pail try [-f]\n"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_ones), cmocka_unit_test(wrong_ones_are_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Reading a command's arguments against its own table of options. */
#include "fs/cli/command.h"

#include <stdarg.h>
#include <string.h>

struct cli_reader cli_reader(struct cli *cli, const struct cli_command *command, int argc, char **argv) {
    return (struct cli_reader){.cli = cli, .command = command, .argc = argc, .argv = argv, .at = 1};
}

int cli_usage_error(struct cli *cli, const struct cli_command *command, const char *format, ...) {
    va_list arguments;
    fprintf(cli->err, "pail %s: ", command->name);
    va_start(arguments, format);
    vfprintf(cli->err, format, arguments);
    va_end(arguments);
    fprintf(cli->err, "\nUsage: pail %s%s%s\n`pail %s --help` tells more.\n", command->name, *command->usage ? " " : "",
            command->usage, command->name);
    return CLI_EXIT_USAGE;
}

static const struct cli_option *by_letter(const struct cli_command *command, char letter) {
    for (const struct cli_option *option = command->options; option && option->id; option++)
        if (option->id == letter)
            return option;
    return NULL;
}

static const struct cli_option *by_name(const struct cli_command *command, const char *name, size_t size) {
    for (const struct cli_option *option = command->options; option && option->id; option++)
        if (option->name && strlen(option->name) == size && memcmp(option->name, name, size) == 0)
            return option;
    return NULL;
}

static int wrong(struct cli_reader *reader, const char *what, const char *option) {
    cli_usage_error(reader->cli, reader->command, "%s: %s", what, option);
    return -1;
}

static int read_letter(struct cli_reader *reader, const char **value) {
    char shown[] = {'-', *reader->letters++, 0};
    const struct cli_option *option = by_letter(reader->command, shown[1]);
    if (!option)
        return wrong(reader, "unknown option", shown);
    if (!option->value) {
        if (!*reader->letters)
            reader->letters = NULL;
        return option->id;
    }
    if (*reader->letters)
        *value = reader->letters;
    else if (reader->at < reader->argc)
        *value = reader->argv[reader->at++];
    else
        return wrong(reader, "value missing after", shown);
    reader->letters = NULL;
    return option->id;
}

static int read_name(struct cli_reader *reader, const char *argument, const char **value) {
    const char *name = argument + 2, *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *option = by_name(reader->command, name, size);
    if (!option)
        return wrong(reader, "unknown option", argument);
    if (!option->value)
        return equals ? wrong(reader, "option takes no value", argument) : option->id;
    if (equals)
        *value = equals + 1;
    else if (reader->at < reader->argc)
        *value = reader->argv[reader->at++];
    else
        return wrong(reader, "value missing after", argument);
    return option->id;
}

int cli_read(struct cli_reader *reader, const char **value) {
    *value = NULL;
    if (reader->letters)
        return read_letter(reader, value);
    if (reader->at >= reader->argc)
        return 0;
    const char *argument = reader->argv[reader->at++];
    if (!reader->operands_only && strcmp(argument, "--") == 0) {
        reader->operands_only = true;
        return cli_read(reader, value);
    }
    if (reader->operands_only || argument[0] != '-' || !argument[1]) {
        *value = argument;
        return CLI_OPERAND;
    }
    if (argument[1] == '-')
        return read_name(reader, argument, value);
    reader->letters = argument + 1;
    return read_letter(reader, value);
}

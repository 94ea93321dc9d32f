/* The help texts, made from the table of commands. */
#include "fs/cli/command.h"

#include <string.h>

void cli_print_overview(FILE *to) {
    fputs("Pail mounts your own bucket as a folder.\n\nUsage: pail COMMAND [ARGUMENTS]\n\n", to);
    for (const struct cli_command *const *command = cli_commands(); *command; command++)
        fprintf(to, "  %-8s  %s\n", (*command)->name, (*command)->summary);
    fputs("\nTo begin:  pail login https://drive.example.com   and then   pail mount\n"
          "Or, with everything on this machine:  pail demo\n\n"
          "`pail COMMAND --help` tells more, with examples. `man pail` has the exit codes.\n",
          to);
}

static void print_option(FILE *to, const struct cli_option *option) {
    char left[64];
    bool lettered = option->id < CLI_LONG_ONLY;
    const char *value = option->value ? option->value : "";
    int used = lettered ? snprintf(left, sizeof left, "-%c", option->id) : snprintf(left, sizeof left, "   ");
    if (!option->name)
        snprintf(left + used, sizeof left - (size_t)used, "%s%s", *value ? " " : "", value);
    else
        snprintf(left + used, sizeof left - (size_t)used, "%s--%s%s%s", lettered ? ", " : " ", option->name,
                 *value ? "=" : "", value);
    fprintf(to, "  %-28s  %s\n", left, option->help);
}

void cli_print_help(FILE *to, const struct cli_command *command) {
    fprintf(to, "Usage: pail %s%s%s\n\n%s.\n", command->name, *command->usage ? " " : "", command->usage,
            command->summary);
    if (command->about)
        fprintf(to, "\n%s\n", command->about);
    if (command->options)
        fputs("\nOptions:\n", to);
    for (const struct cli_option *option = command->options; option && option->id; option++)
        print_option(to, option);
    fprintf(to, "\nExamples:\n%s", command->examples);
}

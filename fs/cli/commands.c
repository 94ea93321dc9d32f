/* The table of commands: finding one by name, and the one that was probably meant. */
#include "fs/cli/command.h"

#include <stdlib.h>
#include <string.h>

static const struct cli_command *const commands[] = {
    &cli_command_login,
    &cli_command_logout,
    &cli_command_whoami,
    &cli_command_mount,
    &cli_command_umount,
    &cli_command_status,
    &cli_command_sync,
    &cli_command_demo,
    &cli_command_serve,
    &cli_command_users,
    NULL,
};

const struct cli_command *const *cli_commands(void) {
    return commands;
}

const struct cli_command *cli_find_command(const char *name) {
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

enum { LONGEST = 16 };

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Inserted, lost, changed and swapped letters between two words (Damerau's distance, adjacent swaps). */
static int distance(const char *a, const char *b) {
    int table[LONGEST + 1][LONGEST + 1];
    int rows = (int)strlen(a), columns = (int)strlen(b);
    if (rows > LONGEST || columns > LONGEST)
        return LONGEST;
    for (int i = 0; i <= rows; i++)
        for (int j = 0; j <= columns; j++) {
            if (!i || !j) {
                table[i][j] = i + j;
                continue;
            }
            int changed = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            table[i][j] = least(changed, least(table[i - 1][j], table[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                table[i][j] = least(table[i][j], table[i - 2][j - 2] + 1);
        }
    return table[rows][columns];
}

const struct cli_command *cli_suggest_command(const char *name) {
    const struct cli_command *best = NULL;
    int nearest = 3; /* three letters wrong is another word */
    for (size_t i = 0; commands[i]; i++) {
        int found = distance(name, commands[i]->name);
        if (strlen(name) > 2 && strncmp(name, commands[i]->name, strlen(name)) == 0)
            found = 1; /* cut short: "stat", "unmo" */
        if (found < nearest && found < (int)strlen(commands[i]->name)) {
            nearest = found;
            best = commands[i];
        }
    }
    return best;
}

/* What main passes to each command, the table of commands, and reading a command's options. A command is one file of
 * this folder: it defines `const struct cli_command cli_command_<name>` and stands in commands.c and meson.build. */
#pragma once

#include "base/error.h"
#include "fs/cli/exit_code.h"

#include <stdbool.h>
#include <stdio.h>

struct cli {
    const char *program; /* argv[0] of the process, borrowed */
    FILE *out, *err;     /* borrowed */
    bool out_is_terminal, err_is_terminal;
    bool colour; /* on out and err; never on a pipe, with NO_COLOR, or TERM=dumb */
};

/* One option. Its id is its letter ('f' for -f), or a number from CLI_LONG_ONLY up when it has none. */
struct cli_option {
    int id;
    const char *name;  /* "no-browser" for --no-browser; NULL: only the letter */
    const char *value; /* what its value is called in the help ("FOLDER"); NULL: it takes none */
    const char *help;  /* one line */
};
#define CLI_LONG_ONLY 256

struct cli_command {
    const char *name;
    const char *summary;              /* one line, no full stop */
    const char *usage;                /* what follows "pail NAME", "" if nothing can */
    const char *about;                /* a paragraph or more for --help, or NULL */
    const struct cli_option *options; /* ends with id 0; NULL: none */
    const char *examples;             /* lines for --help, each with two spaces before it */
    bool passes_options;              /* options are another program's: not read, not checked here */
    /* argv[0] is the command's name. Returns enum cli_exit. --help was handled before. */
    int (*run)(struct cli *cli, int argc, char **argv);
};

extern const struct cli_command cli_command_login, cli_command_logout, cli_command_whoami, cli_command_mount,
    cli_command_umount, cli_command_status, cli_command_sync, cli_command_demo, cli_command_serve, cli_command_users;

/* All commands in the order of the help, ending with NULL. */
const struct cli_command *const *cli_commands(void);
const struct cli_command *cli_find_command(const char *name);
/* The command that was probably meant, or NULL if none is near. */
const struct cli_command *cli_suggest_command(const char *name);

void cli_print_overview(FILE *to);
void cli_print_help(FILE *to, const struct cli_command *command);

/* Walks through a command's arguments in any order: -f, -ofoo, -o foo, --name=value, --name value, -- and operands.
 *
 *     struct cli_reader reader = cli_reader(cli, &cli_command_login, argc, argv);
 *     const char *value;
 *     int id;
 *     while ((id = cli_read(&reader, &value)) > 0)
 *         switch (id) { case DEVICE: ...; case CLI_OPERAND: ... }
 *     if (id < 0)
 *         return CLI_EXIT_USAGE;   (the message is out already)
 */
struct cli_reader {
    struct cli *cli;
    const struct cli_command *command;
    char **argv;
    int argc, at;
    const char *letters; /* the rest of a group such as -fv */
    bool operands_only;  /* after -- */
};
#define CLI_OPERAND 1 /* no option has this id */

struct cli_reader cli_reader(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* The option's id with its value (borrowed from argv; NULL without one), CLI_OPERAND, 0 at the end, -1 when wrong. */
int cli_read(struct cli_reader *reader, const char **value);
/* "pail NAME: text" and where the help is. Returns CLI_EXIT_USAGE. */
int cli_usage_error(struct cli *cli, const struct cli_command *command, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `mount -t fuse.pail SOURCE FOLDER -o ...` and fstab start `pail SOURCE FOLDER -o ...`: main turns that into
 * `pail mount --source SOURCE FOLDER -o ...`. */

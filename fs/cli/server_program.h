/* Running pail-server in place of pail. */
#pragma once

#include "fs/cli/command.h"

/* Replaces this process by `pail-server ARGUMENTS...`: the one beside our own executable, else the one in PATH. Returns
 * only on failure, with the exit code; the message is out already. */
int cli_exec_server(struct cli *cli, char **arguments);
/* Where it is; the caller frees. NULL when there is none beside us (then PATH decides). */
char *cli_server_beside(void);
